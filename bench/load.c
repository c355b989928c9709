/* The load generator for the echo servers, raw epoll in C. It starts every server on the first CPU, works from the last one,
   and takes the servers in turn. Each connection has one request under way at a time.
   Usage: load [--quick] NAME=COMMAND ...   Output: case, side, round, operations, wall ns, server's CPU ns, p50 ns, p99 ns.
          load --attach PORT COUNT          so many requests over 64 connections to a server that runs already. */
#include "bench.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST = 4096, EVENTS = 512, SERVERS = 16, MOST = 5000, BUCKETS = 4096 };

typedef struct server { const char *name; char *command; pid_t pid; int port; clockid_t clock; } server;
typedef struct client { int fd; size_t left; uint64_t sent_at; } client;

static server servers[SERVERS];
static size_t server_count;
static client clients[MOST];
static int epoll;
static char message[LARGEST], room[65536];
static int quick;

/* Latencies: 64 steps to each doubling, so that a percentile is read to about 1.5 %. */
static uint64_t histogram[BUCKETS], measured;

static uint64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static unsigned bucket_of(uint64_t ns) {
  if (ns < 64) return (unsigned)ns;
  unsigned exponent = 63 - (unsigned)__builtin_clzll(ns);
  return (exponent - 5) * 64 + (unsigned)((ns >> (exponent - 6)) & 63);
}

static uint64_t value_of(unsigned bucket) {
  if (bucket < 64) return bucket;
  unsigned exponent = bucket / 64 + 5;
  return ((uint64_t)64 + bucket % 64) << (exponent - 6);
}

static uint64_t percentile(double part) {
  uint64_t wanted = (uint64_t)((double)measured * part), seen = 0;
  for (unsigned i = 0; i < BUCKETS; i++) {
    seen += histogram[i];
    if (seen > wanted) return value_of(i);
  }
  return 0;
}

/* The server dies with this process and prints its port on its first line. */
static void launch(server *s) {
  int pipe_fds[2];
  char line[16];
  bench_raw(pipe(pipe_fds), "pipe");
  s->pid = (pid_t)bench_raw(fork(), "fork");
  if (s->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(pipe_fds[1], STDOUT_FILENO);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    char *arguments[8];
    int count = 0;
    for (char *word = strtok(s->command, " "); word != NULL && count < 7; word = strtok(NULL, " ")) arguments[count++] = word;
    arguments[count] = NULL;
    execv(arguments[0], arguments);
    perror(arguments[0]);
    _exit(1);
  }
  close(pipe_fds[1]);
  size_t length = 0;
  for (ssize_t got; length < sizeof line - 1 && (got = read(pipe_fds[0], line + length, sizeof line - 1 - length)) > 0;) {
    length += (size_t)got;
    if (memchr(line, '\n', length) != NULL) break;
  }
  close(pipe_fds[0]);
  line[length] = 0;
  s->port = atoi(line);
  if (s->port == 0) bench_fail(s->name);
  if (clock_getcpuclockid(s->pid, &s->clock) != 0) bench_fail("clock_getcpuclockid");
}

static int dial(const server *s, int flags) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct linger reset = {1, 0};
  int one = 1;
  int fd = (int)bench_raw(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), "socket");
  bench_raw(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "TCP_NODELAY");
  bench_raw(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), "SO_LINGER");
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) bench_raw(-1, "connect");
  return fd;
}

static void request(client *c, size_t size) {
  c->left = size;
  c->sent_at = now_ns(CLOCK_MONOTONIC);
  if (send(c->fd, message, size, MSG_NOSIGNAL) != (ssize_t)size) bench_raw(-1, "send");
}

/* Takes what has come and says whether the answer is whole. */
static int answered(client *c) {
  ssize_t got = recv(c->fd, room, c->left, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return 0;
  if (got <= 0) bench_fail("a server dropped a connection");
  c->left -= (size_t)got;
  return c->left == 0;
}

static void count_latency(const client *c) {
  unsigned bucket = bucket_of(now_ns(CLOCK_MONOTONIC) - c->sent_at);
  histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
  measured++;
}

static void watch(client *c, uint32_t events, int operation) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  bench_raw(epoll_ctl(epoll, operation, c->fd, &event), "epoll_ctl");
}

static void connect_clients(const server *s, int count) {
  epoll = (int)bench_raw(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  for (int i = 0; i < count; i++) {
    clients[i] = (client){.fd = dial(s, 0)};
    watch(&clients[i], EPOLLIN, EPOLL_CTL_ADD);
  }
}

static void drop_clients(int count) {
  for (int i = 0; i < count; i++) close(clients[i].fd);
  close(epoll);
}

/* Waits for events. With a CPU of its own the generator polls in a loop instead of sleeping: waking it would be the server's
   work, and the slower a server is, the more often the generator sleeps. */
static int wait_for_events(struct epoll_event *events, int most) {
  const uint64_t patience = 10000000000u;
  uint64_t from = now_ns(CLOCK_MONOTONIC);
  int pause = bench_cpus() > 1 ? 0 : 1000;
  while (now_ns(CLOCK_MONOTONIC) - from < patience) {
    int ready = (int)bench_raw(epoll_wait(epoll, events, most, pause), "epoll_wait");
    if (ready > 0) return ready;
  }
  bench_fail("a server stopped answering");
}

/* Runs closed-loop requests until the time; counts those that end after the warm-up. */
static void requests(const server *s, const char *name, int round, int count, size_t size, uint64_t duration) {
  struct epoll_event events[EVENTS];
  memset(histogram, 0, sizeof histogram);
  measured = 0;
  connect_clients(s, count);
  /* Every connection is answered once before the clock starts: accepting is over then. */
  for (int i = 0; i < count; i++) request(&clients[i], size);
  for (int waiting = count; waiting > 0;) {
    int ready = wait_for_events(events, EVENTS);
    for (int i = 0; i < ready; i++) waiting -= answered(events[i].data.ptr);
  }
  for (int i = 0; i < count; i++) request(&clients[i], size);
  uint64_t from = now_ns(CLOCK_MONOTONIC), cpu_from = now_ns(s->clock);
  while (now_ns(CLOCK_MONOTONIC) - from < duration) {
    int ready = wait_for_events(events, EVENTS);
    for (int i = 0; i < ready; i++) {
      client *c = events[i].data.ptr;
      if (!answered(c)) continue;
      count_latency(c);
      request(c, size);
    }
  }
  uint64_t wall = now_ns(CLOCK_MONOTONIC) - from, cpu = now_ns(s->clock) - cpu_from;
  drop_clients(count);
  printf("%s\t%s\t%d\t%llu\t%llu\t%llu\t%llu\t%llu\n", name, s->name, round, (unsigned long long)measured,
         (unsigned long long)wall, (unsigned long long)cpu, (unsigned long long)percentile(0.5),
         (unsigned long long)percentile(0.99));
}

/* Short connections, 32 at a time: connect, one request, its answer, close. */
static void short_connections(const server *s, const char *name, int round, uint64_t duration) {
  enum { AT_ONCE = 32, SIZE = 64 };
  struct epoll_event events[AT_ONCE];
  memset(histogram, 0, sizeof histogram);
  measured = 0;
  epoll = (int)bench_raw(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  for (int i = 0; i < AT_ONCE; i++) {
    clients[i] = (client){.fd = dial(s, SOCK_NONBLOCK), .sent_at = now_ns(CLOCK_MONOTONIC)};
    watch(&clients[i], EPOLLOUT, EPOLL_CTL_ADD);
  }
  uint64_t from = now_ns(CLOCK_MONOTONIC), cpu_from = now_ns(s->clock);
  while (now_ns(CLOCK_MONOTONIC) - from < duration) {
    int ready = wait_for_events(events, AT_ONCE);
    for (int i = 0; i < ready; i++) {
      client *c = events[i].data.ptr;
      if (c->left == 0) {
        uint64_t since = c->sent_at;
        request(c, SIZE);
        c->sent_at = since;
        watch(c, EPOLLIN, EPOLL_CTL_MOD);
        continue;
      }
      if (!answered(c)) continue;
      count_latency(c);
      close(c->fd);
      *c = (client){.fd = dial(s, SOCK_NONBLOCK), .sent_at = now_ns(CLOCK_MONOTONIC)};
      watch(c, EPOLLOUT, EPOLL_CTL_ADD);
    }
  }
  uint64_t wall = now_ns(CLOCK_MONOTONIC) - from, cpu = now_ns(s->clock) - cpu_from;
  drop_clients(AT_ONCE);
  printf("%s\t%s\t%d\t%llu\t%llu\t%llu\t%llu\t%llu\n", name, s->name, round, (unsigned long long)measured,
         (unsigned long long)wall, (unsigned long long)cpu, (unsigned long long)percentile(0.5),
         (unsigned long long)percentile(0.99));
}

static long resident_bytes(pid_t pid) {
  char path[64];
  long pages = 0, whole = 0;
  snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
  FILE *statm = fopen(path, "r");
  if (statm == NULL || fscanf(statm, "%ld %ld", &whole, &pages) != 2) bench_fail(path);
  fclose(statm);
  return pages * sysconf(_SC_PAGESIZE);
}

/* Resident memory of a fresh server for each connection that has been answered once and is idle since. */
static void memory(const server *given, int count) {
  struct epoll_event events[EVENTS];
  server fresh = *given;
  launch(&fresh);
  /* One connection first, so that what the first one costs is not counted. */
  connect_clients(&fresh, 1);
  request(&clients[0], 64);
  while (!answered(&clients[0])) bench_raw(epoll_wait(epoll, events, 1, 10000), "epoll_wait");
  drop_clients(1);
  long before = resident_bytes(fresh.pid);
  connect_clients(&fresh, count);
  for (int i = 0; i < count; i++) request(&clients[i], 64);
  for (int waiting = count; waiting > 0;) {
    int ready = wait_for_events(events, EVENTS);
    for (int i = 0; i < ready; i++) waiting -= answered(events[i].data.ptr);
  }
  long after = resident_bytes(fresh.pid);
  drop_clients(count);
  kill(fresh.pid, SIGKILL);
  waitpid(fresh.pid, NULL, 0);
  printf("memory of an idle connection\t%s\t0\t%d\t%ld\t0\n", fresh.name, count, after - before);
}

static void attach(int port, long count) {
  enum { CONNECTIONS = 64, SIZE = 64 };
  struct epoll_event events[EVENTS];
  server running = {.name = "attached", .port = port};
  connect_clients(&running, CONNECTIONS);
  long begun = 0, ended = 0;
  for (int i = 0; i < CONNECTIONS; i++, begun++) request(&clients[i], SIZE);
  while (ended < begun) {
    int ready = epoll_wait(epoll, events, EVENTS, 10000);
    if (ready == 0) bench_fail("the server stopped answering");
    for (int i = 0; i < ready; i++) {
      if (!answered(events[i].data.ptr)) continue;
      ended++;
      if (begun == count) continue;
      request(events[i].data.ptr, SIZE);
      begun++;
    }
  }
  drop_clients(CONNECTIONS);
}

static void add_server(char *argument) {
  char *equals = strchr(argument, '=');
  if (equals == NULL || server_count == SERVERS) bench_fail("a server is NAME=COMMAND");
  *equals = 0;
  servers[server_count++] = (server){.name = argument, .command = equals + 1};
}

int main(int argc, char **argv) {
  char *none[] = {argv[0], NULL};
  if (argc == 4 && strcmp(argv[1], "--attach") == 0) {
    attach(atoi(argv[2]), atol(argv[3]));
    return 0;
  }
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--quick") == 0) quick = 1;
    else add_server(argv[i]);
  }
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  bench_start(1, none); /* the servers inherit the first CPU */
  for (size_t i = 0; i < server_count; i++) launch(&servers[i]);
  bench_pin(bench_cpus() - 1);

  const struct { int connections; size_t size; } loads[] = {{1, 64}, {1, 4096}, {64, 64}, {64, 4096}, {1000, 64}, {1000, 4096}, {5000, 64}, {5000, 4096}};
  uint64_t duration = quick ? 100000000 : 200000000;
  int rounds = quick ? 3 : 7;
  for (size_t l = 0; l < sizeof loads / sizeof loads[0]; l++) {
    char name[64];
    snprintf(name, sizeof name, "%d connection%s, %zu bytes", loads[l].connections, loads[l].connections > 1 ? "s" : "", loads[l].size);
    for (int round = 0; round < rounds; round++) {
      for (size_t i = 0; i < server_count; i++) {
        server *s = &servers[round % 2 == 0 ? i : server_count - 1 - i];
        requests(s, name, round, loads[l].connections, loads[l].size, duration);
      }
    }
  }
  for (int round = 0; round < rounds; round++) {
    for (size_t i = 0; i < server_count; i++) short_connections(&servers[round % 2 == 0 ? i : server_count - 1 - i], "short connections", round, duration);
  }
  for (size_t i = 0; i < server_count; i++) {
    kill(servers[i].pid, SIGKILL);
    waitpid(servers[i].pid, NULL, 0);
  }
  bench_pin(0);
  for (size_t i = 0; i < server_count; i++) memory(&servers[i], 5000);
  return 0;
}
