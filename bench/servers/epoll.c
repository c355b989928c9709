/* The echo server written by hand over edge-triggered epoll: two system calls a request and a share of one epoll_wait. All
   connections share one buffer, as only a server can that keeps nothing of a request; with "each" everyone has its own. */
#include "server.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* What a connection could not send yet stays NULL while the peer reads as fast as it writes. */
typedef struct connection { int fd; size_t length; char *unsent, *room; char own_room[]; } connection;

static char shared_room[ROOM];
static int epoll, each;

static void watch(connection *c, int operation, uint32_t events) {
  struct epoll_event event = {.events = events | EPOLLET, .data.ptr = c};
  server_check(epoll_ctl(epoll, operation, c->fd, &event) == 0, "epoll_ctl");
}

static void drop(connection *c) {
  close(c->fd);
  free(c->unsent);
  free(c);
}

/* Sends what it can and keeps the rest, reading nothing more until it is gone. */
static int echo(connection *c, const char *data, size_t size) {
  ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
  if (sent == (ssize_t)size) return 0;
  if (sent < 0 && errno != EAGAIN) return -1;
  size_t left = size - (size_t)(sent < 0 ? 0 : sent);
  char *rest = malloc(left);
  if (rest == NULL) return -1;
  memcpy(rest, data + (size - left), left);
  free(c->unsent);
  c->unsent = rest;
  c->length = left;
  return 0;
}

static void serve(connection *c, uint32_t events) {
  if (events & EPOLLOUT) {
    char *data = c->unsent;
    c->unsent = NULL;
    int failed = echo(c, data, c->length);
    free(data);
    if (failed) drop(c);
    else if (c->unsent == NULL) watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLRDHUP);
    return;
  }
  /* A short read has drained the socket, unless the end came along with the data: that edge is over. */
  int more = 1;
  while (more) {
    ssize_t got = recv(c->fd, c->room, ROOM, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0 || echo(c, c->room, (size_t)got) != 0) {
      drop(c);
      return;
    }
    if (c->unsent != NULL) {
      watch(c, EPOLL_CTL_MOD, EPOLLOUT);
      return;
    }
    more = got == ROOM || events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
  }
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    server_nodelay(fd);
    connection *c = calloc(1, sizeof *c + (each ? ROOM : 0));
    server_check(c != NULL, "calloc");
    c->fd = fd;
    c->room = each ? c->own_room : shared_room;
    watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLRDHUP);
  }
}

int main(int argc, char **argv) {
  each = argc > 1 && strcmp(argv[1], "each") == 0;
  static connection listener;
  struct epoll_event events[EVENTS];
  epoll = epoll_create1(EPOLL_CLOEXEC);
  listener.fd = server_listen(SOCK_NONBLOCK);
  watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
  for (;;) {
    int ready = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
      if (events[i].data.ptr == &listener) accept_all(listener.fd);
      else serve(events[i].data.ptr, events[i].events);
    }
  }
}
