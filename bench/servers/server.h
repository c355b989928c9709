/* What the echo servers share: a raw listener where the library has none of its own, and the line that tells the port. */
#ifndef SERVER_H
#define SERVER_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { ROOM = 16384, EVENTS = 512 };

static inline void server_check(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static inline void server_ready(int port) {
  printf("%d\n", port);
  fflush(stdout);
}

static inline int server_listen(int flags) {
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  server_check(fd >= 0, "socket");
  address.sin_family = AF_INET;
  address.sin_port = 0;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  server_check(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
  server_check(listen(fd, 4096) == 0, "listen");
  server_check(getsockname(fd, (struct sockaddr *)&address, &length) == 0, "getsockname");
  server_ready(ntohs(address.sin_port));
  return fd;
}

static inline void server_nodelay(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

#endif
