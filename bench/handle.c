/* What the check of a handle costs, and what happens to it when two threads use one handle: their sum is compared with the
   same two threads on a handle each. The cheapest calls that check a handle stand for it: sock_buffered and a read of nothing. */
#include "bench.h"
#include <pthread.h>
#include <sys/socket.h>

static __attribute__((noinline)) int nothing(sock_t s) {
  __asm__ volatile("" : : "r"(s));
  return 0;
}

static void call_nothing(void *handles, long count) {
  for (long i = 0; i < count; i++) nothing(*(sock_t *)handles);
}

static void call_buffered(void *handles, long count) {
  for (long i = 0; i < count; i++) (void)sock_buffered(*(sock_t *)handles);
}

static void call_read(void *handles, long count) {
  char nothing_to_read;
  for (long i = 0; i < count; i++) bench_sock(sock_read(*(sock_t *)handles, &nothing_to_read, 0), "sock_read");
}

static void call_stale(void *handle, long count) {
  for (long i = 0; i < count; i++) (void)sock_buffered(*(sock_t *)handle);
}

/* A try that finds nothing, which a loop over a poller meets all the time: failing must be cheap too. */
static void raw_nothing(void *fd, long count) {
  char byte;
  for (long i = 0; i < count; i++) {
    if (recv(*(int *)fd, &byte, 1, MSG_DONTWAIT) != -1) bench_fail("recv found something");
  }
}

static void sock_nothing(void *handle, long count) {
  char byte;
  for (long i = 0; i < count; i++) {
    if (sock_try_read(*(sock_t *)handle, &byte, 1) != SOCK_EAGAIN) bench_fail("sock_try_read found something");
  }
}

/* Two threads, each on a CPU of its own, start together by a barrier; the slower one's time is the slice's. */
typedef struct task {
  void (*run)(void *context, long count);
  void *context;
  long count;
  int cpu;
  bench_time taken;
} task;
static pthread_barrier_t gate;

static void *worker(void *argument) {
  task *given = argument;
  bench_pin(given->cpu);
  pthread_barrier_wait(&gate);
  bench_time from = bench_now_thread();
  given->run(given->context, given->count);
  bench_time to = bench_now_thread();
  given->taken = (bench_time){to.wall_ns - from.wall_ns, to.cpu_ns - from.cpu_ns};
  return NULL;
}

static void two_threads(task first, task second) {
  task tasks[2] = {first, second};
  pthread_t threads[2];
  pthread_barrier_init(&gate, NULL, 2);
  for (int i = 0; i < 2; i++) {
    if (pthread_create(&threads[i], NULL, worker, &tasks[i]) != 0) bench_fail("pthread_create");
  }
  for (int i = 0; i < 2; i++) {
    pthread_join(threads[i], NULL);
    if (tasks[i].taken.wall_ns > bench_slice.wall_ns) bench_slice.wall_ns = tasks[i].taken.wall_ns;
    bench_slice.cpu_ns += tasks[i].taken.cpu_ns;
  }
  pthread_barrier_destroy(&gate);
}

static void buffered_two_threads(void *handles, long count) {
  sock_t *pair = handles;
  two_threads((task){call_buffered, &pair[0], count, 0, {0, 0}}, (task){call_buffered, &pair[1], count, 1, {0, 0}});
}

/* One thread writes to the handle (and takes it out at the far end), the other puts data in at the far end and reads it. */
typedef struct ends { sock_t handle; int near, far; } ends;

static void sock_writer(void *context, long count) {
  ends *e = context;
  char message[64] = {0};
  for (long i = 0; i < count; i++) {
    bench_sock(sock_write(e->handle, message, sizeof message), "sock_write");
    bench_raw(recv(e->far, message, sizeof message, 0), "recv");
  }
}

static void sock_reader(void *context, long count) {
  ends *e = context;
  char message[64] = {0};
  for (long i = 0; i < count; i++) {
    bench_raw(send(e->far, message, sizeof message, MSG_NOSIGNAL), "send");
    bench_sock(sock_read(e->handle, message, sizeof message), "sock_read");
  }
}

static void raw_writer(void *context, long count) {
  ends *e = context;
  char message[64] = {0};
  for (long i = 0; i < count; i++) {
    bench_raw(send(e->near, message, sizeof message, MSG_NOSIGNAL), "send");
    bench_raw(recv(e->far, message, sizeof message, 0), "recv");
  }
}

static void raw_reader(void *context, long count) {
  ends *e = context;
  char message[64] = {0};
  for (long i = 0; i < count; i++) {
    bench_raw(send(e->far, message, sizeof message, MSG_NOSIGNAL), "send");
    bench_raw(recv(e->near, message, sizeof message, 0), "recv");
  }
}

static void sock_both(void *context, long count) {
  two_threads((task){sock_writer, context, count, 0, {0, 0}}, (task){sock_reader, context, count, 1, {0, 0}});
}

static void raw_both(void *context, long count) {
  two_threads((task){raw_writer, context, count, 0, {0, 0}}, (task){raw_reader, context, count, 1, {0, 0}});
}

int main(int argc, char **argv) {
  bench_start(argc, argv);
  sock_t pair[2], stale[2];
  bench_sock_unix_pair(pair);
  bench_sock_unix_pair(stale);
  for (int i = 0; i < 2; i++) sock_close(stale[i]);

  bench_side checks[] = {
    {"empty function", call_nothing, &pair[0]},
    {"sock_buffered", call_buffered, &pair[0]},
    {"sock_read of 0 bytes", call_read, &pair[0]},
    {"sock_buffered, closed handle", call_stale, &stale[0]},
  };
  BENCH_CASE("one call", checks);

  int silent[2];
  bench_unix_pair(silent);
  bench_side tries[] = {{"recv", raw_nothing, &silent[0]}, {"libsock sock_try_read", sock_nothing, &pair[0]}};
  BENCH_CASE("a try that finds nothing", tries);

  sock_t shared[2] = {pair[0], pair[0]};
  bench_side threads[] = {
    {"a handle each", buffered_two_threads, pair},
    {"one handle", buffered_two_threads, shared},
  };
  BENCH_CASE("two threads calling sock_buffered", threads);

  int raw_fds[2];
  ends with_sock = {0, -1, -1};
  bench_tcp_pair(raw_fds);
  bench_mixed_tcp_pair(&with_sock.far, &with_sock.handle);
  ends with_raw = {0, raw_fds[0], raw_fds[1]};
  bench_side sides[] = {{"recv/send", raw_both, &with_raw}, {"libsock", sock_both, &with_sock}};
  BENCH_CASE("one thread reads, another writes", sides);
  return 0;
}
