/* Write and read where nothing ever waits: one thread writes into one end and reads it from the other. This is also what
   strace and callgrind look at, by --only. */
#include "bench.h"
#include "peer_glib.h"
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static char message[4096];
static size_t message_size;  /* what is written */
static size_t buffer_size;   /* what the reader offers */

static void raw(void *pair, long count) {
  const int *fd = pair;
  for (long i = 0; i < count; i++) {
    bench_raw(send(fd[0], message, message_size, MSG_NOSIGNAL), "send");
    bench_raw(recv(fd[1], message, buffer_size, 0), "recv");
  }
}

static void with_sock(void *pair, long count) {
  const sock_t *handle = pair;
  for (long i = 0; i < count; i++) {
    bench_sock(sock_write(handle[0], message, message_size), "sock_write");
    bench_sock(sock_read(handle[1], message, buffer_size), "sock_read");
  }
}

#ifdef HAVE_GLIB
static void with_glib(void *pair, long count) {
  void **sockets = pair;
  for (long i = 0; i < count; i++) {
    peer_glib_send(sockets[0], message, message_size);
    peer_glib_receive(sockets[1], message, buffer_size);
  }
}
#endif

static void measure(const char *family, size_t size, size_t buffer, void (*raw_pair)(int[2]), void (*sock_pair_of)(sock_t[2])) {
  char name[80];
  if (size == buffer) snprintf(name, sizeof name, "%s, %zu bytes", family, size);
  else snprintf(name, sizeof name, "%s, %zu bytes into a buffer of %zu", family, size, buffer);
  if (!bench_wanted(name)) return;
  message_size = size;
  buffer_size = buffer;
  int fds[2];
  sock_t handles[2];
  raw_pair(fds);
  sock_pair_of(handles);
#ifdef HAVE_GLIB
  int glib_fds[2];
  raw_pair(glib_fds);
  void *glib[2] = {peer_glib_socket(glib_fds[0]), peer_glib_socket(glib_fds[1])};
#endif
  bench_side sides[] = {
    {"recv/send", raw, fds},
    {"libsock", with_sock, handles},
#ifdef HAVE_GLIB
    {"GLib GSocket", with_glib, glib},
#endif
  };
  BENCH_CASE(name, sides);
  for (int i = 0; i < 2; i++) sock_close(handles[i]);
}

int main(int argc, char **argv) {
  bench_start(argc, argv);
  measure("TCP", 64, 64, bench_tcp_pair, bench_sock_tcp_pair);
  measure("TCP", 64, 4096, bench_tcp_pair, bench_sock_tcp_pair);
  measure("TCP", 4096, 4096, bench_tcp_pair, bench_sock_tcp_pair);
  measure("unix pair", 64, 64, bench_unix_pair, bench_sock_unix_pair);
  measure("unix pair", 64, 4096, bench_unix_pair, bench_sock_unix_pair);
  return 0;
}
