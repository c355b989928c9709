/* Bulk data through a TCP connection: large writes, and files. A partner thread drains the far end, on the same CPU or on
   another one; a slice ends when it has everything. */
#include "bench.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MIB = 1 << 20, DRAIN = 256 * 1024, FILE_SIZE = 16 * MIB, SLICE = 48 * MIB };

typedef struct stream {
  int fds[2];
  int wakes[2];         /* of the sides that could be woken while they wait */
  sock_t handles[2];
  int64_t (*receive)(struct stream *, void *, size_t);
  int cpu;              /* the partner's */
  size_t expected;      /* in this slice */
  sem_t go, done;
} stream;

static char *data;
static size_t size;
static int file;

static int64_t raw_receive(stream *s, void *buffer, size_t room) { return bench_raw(recv(s->fds[1], buffer, room, 0), "recv"); }
static int64_t sock_receive(stream *s, void *buffer, size_t room) { return bench_sock(sock_read(s->handles[1], buffer, room), "sock_read"); }

/* What a wait that another thread can end costs at the least. */
static void poll_two(const stream *s, int end, short events) {
  struct pollfd both[2] = {{s->fds[end], events, 0}, {s->wakes[end], POLLIN, 0}};
  bench_raw(poll(both, 2, -1), "poll");
}

static int64_t polled_receive(stream *s, void *buffer, size_t room) {
  for (;;) {
    ssize_t got = recv(s->fds[1], buffer, room, MSG_DONTWAIT);
    if (got >= 0 || errno != EAGAIN) return bench_raw(got, "recv");
    poll_two(s, 1, POLLIN);
  }
}

static void *drain(void *argument) {
  stream *s = argument;
  char *buffer = malloc(DRAIN);
  if (buffer == NULL) bench_fail("malloc");
  bench_pin(s->cpu);
  for (;;) {
    while (sem_wait(&s->go) != 0) continue;
    for (size_t got = 0; got < s->expected;) got += (size_t)s->receive(s, buffer, DRAIN);
    sem_post(&s->done);
  }
  return NULL;
}

static void expect(stream *s, size_t bytes) {
  s->expected = bytes;
  sem_post(&s->go);
}

static void finish(stream *s) {
  while (sem_wait(&s->done) != 0) continue;
}

static void raw_write(void *context, long count) {
  stream *s = context;
  expect(s, (size_t)count * size);
  for (long i = 0; i < count; i++) bench_raw(bench_send_all(s->fds[0], data, size), "send");
  finish(s);
}

static void polled_write(void *context, long count) {
  stream *s = context;
  expect(s, (size_t)count * size);
  for (long i = 0; i < count; i++) {
    for (size_t sent = 0; sent < size;) {
      ssize_t part = send(s->fds[0], data + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (part < 0 && errno != EAGAIN) bench_raw(part, "send");
      if (part > 0) sent += (size_t)part;
      if (sent < size) poll_two(s, 0, POLLOUT);
    }
  }
  finish(s);
}

static void sock_writes(void *context, long count) {
  stream *s = context;
  expect(s, (size_t)count * size);
  for (long i = 0; i < count; i++) bench_sock(sock_write(s->handles[0], data, size), "sock_write");
  finish(s);
}

static void raw_sendfile(void *context, long count) {
  stream *s = context;
  expect(s, (size_t)count * FILE_SIZE);
  for (long i = 0; i < count; i++) {
    for (off_t offset = 0; offset < FILE_SIZE;) bench_raw(sendfile(s->fds[0], file, &offset, (size_t)(FILE_SIZE - offset)), "sendfile");
  }
  finish(s);
}

static void sock_files(void *context, long count) {
  stream *s = context;
  expect(s, (size_t)count * FILE_SIZE);
  for (long i = 0; i < count; i++) bench_sock(sock_send_file(s->handles[0], file, 0, FILE_SIZE), "sock_send_file");
  finish(s);
}

static void copied_file(void *context, long count) {
  stream *s = context;
  expect(s, (size_t)count * FILE_SIZE);
  for (long i = 0; i < count; i++) {
    for (off_t offset = 0; offset < FILE_SIZE; offset += 65536) {
      bench_raw(pread(file, data, 65536, offset), "pread");
      bench_raw(bench_send_all(s->fds[0], data, 65536), "send");
    }
  }
  finish(s);
}

/* Buffers of one size: the kernel's own tuning keeps a connection fast or slow by the accidents of its first milliseconds. */
static void fix_buffers(int sender, int receiver) {
  int wanted = MIB;
  bench_raw(setsockopt(sender, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted), "SO_SNDBUF");
  bench_raw(setsockopt(receiver, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted), "SO_RCVBUF");
}

static stream *new_stream(int cpu) {
  stream *s = calloc(1, sizeof *s);
  if (s == NULL) bench_fail("calloc");
  s->receive = raw_receive;
  s->cpu = cpu;
  return s;
}

static stream *raw_stream(int cpu) {
  stream *s = new_stream(cpu);
  bench_tcp_pair(s->fds);
  fix_buffers(s->fds[0], s->fds[1]);
  return s;
}

static stream *polled_stream(int cpu) {
  stream *s = raw_stream(cpu);
  s->receive = polled_receive;
  for (int i = 0; i < 2; i++) s->wakes[i] = (int)bench_raw(eventfd(0, EFD_CLOEXEC), "eventfd");
  return s;
}

static stream *sock_stream(int cpu) {
  stream *s = new_stream(cpu);
  bench_sock_tcp_pair(s->handles);
  fix_buffers(sock_fd(s->handles[0]), sock_fd(s->handles[1]));
  s->receive = sock_receive;
  return s;
}

/* libsock sends and a plain recv drains: for files, where only the sender differs. */
static stream *mixed_stream(int cpu) {
  stream *s = new_stream(cpu);
  bench_mixed_tcp_pair(&s->fds[1], &s->handles[0]);
  fix_buffers(sock_fd(s->handles[0]), s->fds[1]);
  return s;
}

static stream *draining(stream *s) {
  pthread_t thread;
  sem_init(&s->go, 0, 0);
  sem_init(&s->done, 0, 0);
  if (pthread_create(&thread, NULL, drain, s) != 0) bench_fail("pthread_create");
  pthread_detach(thread);
  return s;
}

int main(int argc, char **argv) {
  bench_start(argc, argv);
  data = calloc(1, MIB);
  file = (int)bench_raw(memfd_create("bench", MFD_CLOEXEC), "memfd_create");
  for (int i = 0; i < FILE_SIZE / MIB; i++) bench_raw(write(file, data, MIB), "write");
  size_t sizes[] = {65536, MIB};
  for (int cpus = 1; cpus <= 2 && cpus <= bench_cpus(); cpus++) {
    stream *raw = draining(raw_stream(cpus - 1)), *with_sock = draining(sock_stream(cpus - 1));
    stream *polled = draining(polled_stream(cpus - 1)), *mixed = draining(mixed_stream(cpus - 1));
    char name[80];
    for (int i = 0; i < 2; i++) {
      size = sizes[i];
      snprintf(name, sizeof name, "writes of %zu KiB, %d CPU%s", size / 1024, cpus, cpus > 1 ? "s" : "");
      bench_side writes[] = {{"send/recv", raw_write, raw}, {"libsock", sock_writes, with_sock},
                             {"poll of two, send/recv", polled_write, polled}};
      bench_case_of(name, writes, 3, (long)(SLICE / size), 61);
    }
    snprintf(name, sizeof name, "file of 16 MiB, %d CPU%s", cpus, cpus > 1 ? "s" : "");
    bench_side files[] = {{"sendfile", raw_sendfile, raw}, {"libsock sock_send_file", sock_files, mixed},
                          {"pread+send", copied_file, raw}};
    bench_case_of(name, files, 3, SLICE / FILE_SIZE, 41);
  }
  return 0;
}
