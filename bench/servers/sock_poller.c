/* The echo server over libsock's poller, with the non-blocking calls, in one thread. */
#include "server.h"
#include <sock.h>
#include <string.h>

/* What a connection could not send yet; NULL while the peer reads as fast as it writes. */
typedef struct unsent { size_t length; char data[]; } unsent;

static char room[ROOM];
static sock_t poller;

static void drop(sock_t s, unsent *rest) {
  sock_close(s);
  free(rest);
}

/* Sends what it can; the rest waits for SOCK_WRITE, and nothing more is read until it is gone. */
static int echo(sock_t s, const char *data, size_t size, int was_waiting) {
  int64_t sent = sock_try_write(s, data, size);
  if (sent == (int64_t)size) return was_waiting ? sock_poller_set(poller, s, SOCK_READ, NULL) : 0;
  if (sent < 0 && sent != SOCK_EAGAIN) return -1;
  size_t done = sent > 0 ? (size_t)sent : 0;
  unsent *rest = malloc(sizeof *rest + size - done);
  if (rest == NULL) return -1;
  rest->length = size - done;
  memcpy(rest->data, data + done, size - done);
  return sock_poller_set(poller, s, SOCK_WRITE, rest);
}

static void serve(const sock_event *event) {
  unsent *rest = event->user;
  if (rest != NULL) {
    int failed = echo(event->socket, rest->data, rest->length, 1);
    if (failed) sock_close(event->socket);
    free(rest);
    return;
  }
  int64_t got = sock_try_read(event->socket, room, sizeof room);
  if (got == SOCK_EAGAIN) return;
  if (got <= 0 || echo(event->socket, room, (size_t)got, 0) < 0) drop(event->socket, rest);
}

static void accept_all(sock_t listener) {
  for (sock_t s; (s = sock_try_accept(listener)) > 0;) {
    if (sock_poller_add(poller, s, SOCK_READ, NULL) < 0) sock_close(s);
  }
}

int main(void) {
  sock_event events[EVENTS];
  sock_address address;
  sock_t listener = sock_listen("127.0.0.1", "0", NULL);
  poller = sock_poller();
  if (listener < 0 || poller < 0 || sock_poller_add(poller, listener, SOCK_READ, NULL) < 0 ||
      sock_local_address(listener, &address) < 0) {
    fprintf(stderr, "%s\n", sock_last_error());
    return 1;
  }
  server_ready(sock_address_port(&address));
  for (;;) {
    int64_t ready = sock_poller_wait(poller, events, EVENTS, SOCK_FOREVER);
    if (ready < 0) return 1;
    for (int64_t i = 0; i < ready; i++) {
      if (events[i].socket == listener) accept_all(listener);
      else serve(&events[i]);
    }
  }
}
