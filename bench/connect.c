/* Connecting to a live listener on the loopback. A batch is opened, closed (with a reset, so that no TIME_WAIT piles up) and
   then accepted and dropped off the clock. */
#include "bench.h"
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64 };

static int listener;
static struct sockaddr_in address;
static char port[8];
static int close_is_timed;

static int raw_connect(const struct sockaddr *to, socklen_t length, int family) {
  int one = 1;
  int fd = (int)bench_raw(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  bench_raw(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "TCP_NODELAY");
  bench_raw(connect(fd, to, length), "connect");
  return fd;
}

static int64_t raw_literal(void) { return raw_connect((struct sockaddr *)&address, sizeof address, AF_INET); }

static int64_t raw_name(void) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *found;
  if (getaddrinfo("localhost", port, &hints, &found) != 0) bench_fail("getaddrinfo: localhost");
  int fd = raw_connect(found->ai_addr, found->ai_addrlen, found->ai_family);
  freeaddrinfo(found);
  return fd;
}

static void raw_abort(int64_t fd) {
  struct linger reset = {1, 0};
  setsockopt((int)fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close((int)fd);
}

static int64_t sock_literal(void) { return bench_sock(sock_open("127.0.0.1", port, NULL), "sock_open"); }

static int64_t sock_name(void) {
  sock_options options = SOCK_OPTIONS_INIT;
  options.family = SOCK_IPV4;
  return bench_sock(sock_open("localhost", port, &options), "sock_open");
}

static void sock_end(int64_t s) { bench_sock(sock_abort(s), "sock_abort"); }

typedef struct way { int64_t (*open)(void); void (*close)(int64_t); } way;

static void connects(void *context, long count) {
  way *given = context;
  int64_t opened[BATCH];
  for (long done = 0; done < count; done += BATCH) {
    int batch = count - done < BATCH ? (int)(count - done) : BATCH;
    bench_time from = bench_now();
    for (int i = 0; i < batch; i++) opened[i] = given->open();
    if (!close_is_timed) bench_add(from, bench_now());
    for (int i = 0; i < batch; i++) given->close(opened[i]);
    if (close_is_timed) bench_add(from, bench_now());
    for (int i = 0; i < batch; i++) close((int)bench_raw(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept"));
  }
}

int main(int argc, char **argv) {
  bench_start(argc, argv);
  socklen_t length = sizeof address;
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  listener = (int)bench_raw(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  bench_raw(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
  bench_raw(listen(listener, BATCH), "listen");
  bench_raw(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
  snprintf(port, sizeof port, "%d", ntohs(address.sin_port));

  way raw = {raw_literal, raw_abort}, with_sock = {sock_literal, sock_end};
  bench_side literal[] = {{"socket+connect", connects, &raw}, {"libsock", connects, &with_sock}};
  BENCH_CASE("connect to a literal", literal);
  close_is_timed = 1;
  BENCH_CASE("connect to a literal and close", literal);
  close_is_timed = 0;
  way raw_by_name = {raw_name, raw_abort}, sock_by_name = {sock_name, sock_end};
  bench_side name[] = {{"getaddrinfo+connect", connects, &raw_by_name}, {"libsock", connects, &sock_by_name}};
  BENCH_CASE("connect to localhost by name", name);
  return 0;
}
