/* Passing a stream on: source -> relay -> sink over two TCP connections, the relay on one CPU and the others on another.
   One operation is a MiB. The CPU time is the relay's alone: that of the process less the source's and the sink's. */
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024, PIPE = 256 * 1024, MIB = 1 << 20 };

typedef struct end { int fd; size_t bytes; uint64_t cpu_ns; } end;

static void *source(void *argument) {
  end *e = argument;
  bench_pin(1);
  bench_time from = bench_now_thread();
  char *data = calloc(1, CHUNK);
  if (data == NULL) bench_fail("calloc");
  for (size_t sent = 0; sent < e->bytes; sent += CHUNK) bench_raw(bench_send_all(e->fd, data, CHUNK), "send");
  bench_raw(shutdown(e->fd, SHUT_WR), "shutdown");
  free(data);
  e->cpu_ns = bench_now_thread().cpu_ns - from.cpu_ns;
  return NULL;
}

static void *sink(void *argument) {
  end *e = argument;
  bench_pin(1);
  bench_time from = bench_now_thread();
  char *room = malloc(PIPE);
  if (room == NULL) bench_fail("malloc");
  size_t total = 0;
  for (int64_t got; (got = bench_raw(recv(e->fd, room, PIPE, 0), "recv")) > 0;) total += (size_t)got;
  if (total != e->bytes) bench_fail("the relay lost bytes");
  free(room);
  bench_raw(shutdown(e->fd, SHUT_WR), "shutdown");
  e->cpu_ns = bench_now_thread().cpu_ns - from.cpu_ns;
  return NULL;
}

static void copy(int in, int out) {
  char *buffer = malloc(CHUNK);
  if (buffer == NULL) bench_fail("malloc");
  for (int64_t got; (got = bench_raw(recv(in, buffer, CHUNK, 0), "recv")) > 0;) bench_raw(bench_send_all(out, buffer, (size_t)got), "send");
  free(buffer);
}

static void splice_through(int in, int out) {
  int pipe[2];
  bench_raw(pipe2(pipe, O_CLOEXEC), "pipe");
  bench_raw(fcntl(pipe[0], F_SETPIPE_SZ, PIPE), "F_SETPIPE_SZ");
  for (int64_t got; (got = bench_raw(splice(in, NULL, pipe[1], NULL, PIPE, SPLICE_F_MOVE), "splice")) > 0;) {
    while (got > 0) got -= bench_raw(splice(pipe[0], NULL, out, NULL, (size_t)got, SPLICE_F_MOVE), "splice");
  }
  close(pipe[0]);
  close(pipe[1]);
}

typedef void (*raw_relay)(int in, int out);

static void slice(raw_relay relay, long count) {
  int in[2] = {-1, -1}, out[2] = {-1, -1};
  sock_t from = 0, to = 0;
  if (relay != NULL) {
    bench_tcp_pair(in);
    bench_tcp_pair(out);
  } else {
    bench_mixed_tcp_pair(&in[0], &from);
    bench_mixed_tcp_pair(&out[1], &to);
  }
  end first = {in[0], (size_t)count * MIB, 0}, last = {out[1], (size_t)count * MIB, 0};
  pthread_t threads[2];
  bench_time start = bench_now();
  if (pthread_create(&threads[0], NULL, source, &first) != 0 || pthread_create(&threads[1], NULL, sink, &last) != 0) {
    bench_fail("pthread_create");
  }
  if (relay != NULL) {
    relay(in[1], out[0]);
    bench_raw(shutdown(out[0], SHUT_WR), "shutdown");
  } else {
    bench_sock(sock_relay(from, to), "sock_relay");
  }
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  bench_add(start, bench_now());
  bench_slice.cpu_ns -= first.cpu_ns + last.cpu_ns;
  for (int i = 0; i < 2; i++) {
    if (in[i] >= 0) close(in[i]);
    if (out[i] >= 0) close(out[i]);
  }
  if (from > 0) sock_close(from);
  if (to > 0) sock_close(to);
}

static void raw_splice(void *context, long count) { (void)context; slice(splice_through, count); }
static void raw_copy(void *context, long count) { (void)context; slice(copy, count); }
static void with_sock(void *context, long count) { (void)context; slice(NULL, count); }

int main(int argc, char **argv) {
  bench_start(argc, argv);
  bench_side sides[] = {{"splice, 256 KiB pipe", raw_splice, NULL}, {"libsock sock_relay", with_sock, NULL},
                        {"recv/send loop, 64 KiB", raw_copy, NULL}};
  bench_case_of("one way through", sides, 3, 128, 41);
  return 0;
}
