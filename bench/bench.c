/* The harness of the bench programs: slices in turn, clocks, pinning, and connected pairs. */
#include "bench.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

bench_time bench_slice;

static int quick, list;
static const char *only_case, *only_side;
static long only_count;
static cpu_set_t allowed;

void bench_start(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--quick") == 0) quick = 1;
    else if (strcmp(argv[i], "--list") == 0) list = 1;
    else if (strcmp(argv[i], "--only") == 0 && i + 3 < argc) {
      only_case = argv[++i];
      only_side = argv[++i];
      only_count = strtol(argv[++i], NULL, 10);
    } else {
      fprintf(stderr, "usage: %s [--quick] [--list] [--only CASE SIDE COUNT]\n", argv[0]);
      exit(2);
    }
  }
  sched_getaffinity(0, sizeof allowed, &allowed);
  bench_pin(0);
  setvbuf(stdout, NULL, _IOLBF, 0);
}

int bench_quick(void) { return quick; }

int bench_wanted(const char *name) { return only_case == NULL || strcmp(only_case, name) == 0; }

int bench_only(void) { return only_case != NULL; }

int bench_cpus(void) { return CPU_COUNT(&allowed); }

void bench_pin(int cpu) {
  int wanted = cpu % bench_cpus();
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE; i++) {
    if (CPU_ISSET(i, &allowed) && wanted-- == 0) CPU_SET(i, &one);
  }
  bench_raw(sched_setaffinity(0, sizeof one, &one), "sched_setaffinity");
}

static uint64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bench_time bench_now(void) {
  return (bench_time){clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
}

bench_time bench_now_thread(void) {
  return (bench_time){clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_THREAD_CPUTIME_ID)};
}

void bench_add(bench_time from, bench_time to) {
  bench_slice.wall_ns += to.wall_ns - from.wall_ns;
  bench_slice.cpu_ns += to.cpu_ns - from.cpu_ns;
}

static bench_time slice(const bench_side *side, long count) {
  bench_slice = (bench_time){0, 0};
  bench_time from = bench_now();
  side->run(side->context, count);
  bench_time to = bench_now();
  if (bench_slice.wall_ns == 0) bench_add(from, to);
  return bench_slice;
}

/* Slices are short, so that many of them escape whatever else the machine does, and long against the clocks' 50 ns. */
static long operations_a_slice(const bench_side *baseline) {
  const uint64_t wanted_ns = 4000000;
  for (long count = 1;; count *= 2) {
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
      uint64_t wall = slice(baseline, count).wall_ns;
      if (wall < best) best = wall;
    }
    if (best >= wanted_ns / 2) return count;
  }
}

void bench_case(const char *name, const bench_side *sides, size_t count) { bench_case_of(name, sides, count, 0, 101); }

void bench_case_of(const char *name, const bench_side *sides, size_t count, long operations, int rounds) {
  if (list) {
    for (size_t i = 0; i < count; i++) printf("%s\t%s\n", name, sides[i].name);
    return;
  }
  if (only_case != NULL) {
    for (size_t i = 0; i < count; i++) {
      if (strcmp(name, only_case) == 0 && strcmp(sides[i].name, only_side) == 0) sides[i].run(sides[i].context, only_count);
    }
    return;
  }
  if (operations == 0) {
    operations = operations_a_slice(&sides[0]);
    for (size_t i = 0; i < count; i++) slice(&sides[i], operations);
  }
  if (quick) rounds = (rounds + 3) / 4;
  for (int round = 0; round < rounds; round++) {
    for (size_t i = 0; i < count; i++) {
      const bench_side *side = &sides[round % 2 == 0 ? i : count - 1 - i];
      bench_time taken = slice(side, operations);
      printf("%s\t%s\t%d\t%ld\t%llu\t%llu\n", name, side->name, round, operations, (unsigned long long)taken.wall_ns,
             (unsigned long long)taken.cpu_ns);
    }
  }
}

_Noreturn void bench_fail(const char *what) {
  fprintf(stderr, "bench: %s\n", what);
  exit(1);
}

int64_t bench_raw(int64_t result, const char *what) {
  if (result < 0) {
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
  }
  return result;
}

int64_t bench_sock(int64_t result, const char *what) {
  if (result < 0) {
    fprintf(stderr, "bench: %s: %s: %s\n", what, sock_error_name(result), sock_last_error());
    exit(1);
  }
  return result;
}

void bench_tcp_pair(int fds[2]) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int one = 1;
  int listener = (int)bench_raw(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  bench_raw(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
  bench_raw(listen(listener, 1), "listen");
  bench_raw(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
  fds[0] = (int)bench_raw(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  bench_raw(connect(fds[0], (struct sockaddr *)&address, sizeof address), "connect");
  fds[1] = (int)bench_raw(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
  for (int i = 0; i < 2; i++) bench_raw(setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "TCP_NODELAY");
  close(listener);
}

void bench_mixed_tcp_pair(int *fd, sock_t *handle) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  char port[8];
  int one = 1;
  int listener = (int)bench_raw(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  bench_raw(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
  bench_raw(listen(listener, 1), "listen");
  bench_raw(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
  snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
  *handle = bench_sock(sock_open("127.0.0.1", port, NULL), "sock_open");
  *fd = (int)bench_raw(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
  bench_raw(setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "TCP_NODELAY");
  close(listener);
}

void bench_unix_pair(int fds[2]) { bench_raw(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair"); }

void bench_sock_tcp_pair(sock_t handles[2]) {
  sock_t listener = bench_sock(sock_listen("127.0.0.1", "0", NULL), "sock_listen");
  sock_address address;
  char port[8];
  bench_sock(sock_local_address(listener, &address), "sock_local_address");
  snprintf(port, sizeof port, "%d", sock_address_port(&address));
  handles[0] = bench_sock(sock_open("127.0.0.1", port, NULL), "sock_open");
  handles[1] = bench_sock(sock_accept(listener), "sock_accept");
  sock_close(listener);
}

void bench_sock_unix_pair(sock_t handles[2]) { bench_sock(sock_pair(handles), "sock_pair"); }

int64_t bench_recv_all(int fd, void *buffer, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t got = recv(fd, (char *)buffer + done, size - done, 0);
    if (got == 0) return 0;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    done += (size_t)got;
  }
  return (int64_t)done;
}

int64_t bench_send_all(int fd, const void *buffer, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t sent = send(fd, (const char *)buffer + done, size - done, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return -1;
    done += (size_t)sent;
  }
  return (int64_t)done;
}
