/* 64 bytes there and back on one CPU: the price of a read that must wait. Each side has a partner thread that echoes. */
#include "bench.h"
#include "peer_glib.h"
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 64 };

static void *raw_echo(void *end) {
  char message[SIZE];
  bench_pin(0);
  while (recv(*(int *)end, message, SIZE, 0) > 0) {
    bench_raw(send(*(int *)end, message, SIZE, MSG_NOSIGNAL), "send");
  }
  return NULL;
}

static void raw(void *end, long count) {
  char message[SIZE] = {0};
  for (long i = 0; i < count; i++) {
    bench_raw(send(*(int *)end, message, SIZE, MSG_NOSIGNAL), "send");
    bench_raw(recv(*(int *)end, message, SIZE, 0), "recv");
  }
}

/* What every call pays that another thread can end: it waits for its socket and for an eventfd, and then receives. */
typedef struct interruptible { int fd, wake; } interruptible;

static ssize_t receive_interruptibly(const interruptible *end, char *message) {
  struct pollfd both[2] = {{end->fd, POLLIN, 0}, {end->wake, POLLIN, 0}};
  bench_raw(poll(both, 2, -1), "poll");
  return recv(end->fd, message, SIZE, MSG_DONTWAIT);
}

static void *polled_echo(void *end) {
  char message[SIZE];
  bench_pin(0);
  while (receive_interruptibly(end, message) > 0) {
    bench_raw(send(((interruptible *)end)->fd, message, SIZE, MSG_NOSIGNAL), "send");
  }
  return NULL;
}

static void polled(void *end, long count) {
  char message[SIZE] = {0};
  for (long i = 0; i < count; i++) {
    bench_raw(send(((interruptible *)end)->fd, message, SIZE, MSG_NOSIGNAL), "send");
    bench_raw(receive_interruptibly(end, message), "recv");
  }
}

static void *sock_echo(void *end) {
  char message[SIZE];
  bench_pin(0);
  while (sock_read(*(sock_t *)end, message, SIZE) > 0) bench_sock(sock_write(*(sock_t *)end, message, SIZE), "sock_write");
  return NULL;
}

static void with_sock(void *end, long count) {
  char message[SIZE] = {0};
  for (long i = 0; i < count; i++) {
    bench_sock(sock_write(*(sock_t *)end, message, SIZE), "sock_write");
    bench_sock(sock_read(*(sock_t *)end, message, SIZE), "sock_read");
  }
}

#ifdef HAVE_GLIB
static void *glib_echo(void *end) {
  char message[SIZE];
  bench_pin(0);
  while (peer_glib_receive(end, message, SIZE) > 0) peer_glib_send(end, message, SIZE);
  return NULL;
}

static void with_glib(void *end, long count) {
  char message[SIZE] = {0};
  for (long i = 0; i < count; i++) {
    peer_glib_send(end, message, SIZE);
    peer_glib_receive(end, message, SIZE);
  }
}
#endif

static void start(void *(*echo)(void *), void *end) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, echo, end) != 0) bench_fail("pthread_create");
  pthread_detach(thread);
}

static void measure(const char *name, void (*raw_pair)(int[2]), void (*sock_pair_of)(sock_t[2])) {
  if (!bench_wanted(name)) return;
  /* The partners wait on these until the process ends, so they outlive this function. */
  static int fds[2][2];
  static interruptible ends[2][2];
  static sock_t handles[2][2];
  static int used;
  int *fd = fds[used];
  interruptible *end = ends[used];
  sock_t *handle = handles[used++];
  raw_pair(fd);
  sock_pair_of(handle);
  start(raw_echo, &fd[1]);
  start(sock_echo, &handle[1]);
  int polled_fds[2];
  raw_pair(polled_fds);
  for (int i = 0; i < 2; i++) end[i] = (interruptible){polled_fds[i], (int)bench_raw(eventfd(0, EFD_CLOEXEC), "eventfd")};
  start(polled_echo, &end[1]);
#ifdef HAVE_GLIB
  int glib_fds[2];
  raw_pair(glib_fds);
  void *glib = peer_glib_socket(glib_fds[0]);
  start(glib_echo, peer_glib_socket(glib_fds[1]));
#endif
  bench_side sides[] = {
    {"recv/send", raw, &fd[0]},
    {"libsock", with_sock, &handle[0]},
    {"poll of two, recv/send", polled, &end[0]},
#ifdef HAVE_GLIB
    {"GLib GSocket", with_glib, glib},
#endif
  };
  BENCH_CASE(name, sides);
}

/* A partner that takes its time, so that every read must wait even where strace slows the reader: for --only. */
static void *slow_raw_echo(void *end) {
  char message[SIZE];
  while (recv(*(int *)end, message, SIZE, 0) > 0) {
    usleep(2000);
    bench_raw(send(*(int *)end, message, SIZE, MSG_NOSIGNAL), "send");
  }
  return NULL;
}

static void measure_waiting(void) {
  static int raw_fds[2], far_end;
  static sock_t near_end;
  if (!bench_only()) return;
  bench_tcp_pair(raw_fds);
  bench_mixed_tcp_pair(&far_end, &near_end);
  start(slow_raw_echo, &raw_fds[1]);
  start(slow_raw_echo, &far_end);
  bench_side sides[] = {{"recv/send", raw, &raw_fds[0]}, {"libsock", with_sock, &near_end}};
  BENCH_CASE("waiting", sides);
}

int main(int argc, char **argv) {
  bench_start(argc, argv);
  measure("TCP, 64 bytes", bench_tcp_pair, bench_sock_tcp_pair);
  measure("unix pair, 64 bytes", bench_unix_pair, bench_sock_unix_pair);
  measure_waiting();
  return 0;
}
