/* The echo server over libevent's bufferevents, moving the input buffer's memory to the output buffer without a copy. */
#include "server.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>

static void echo(struct bufferevent *stream, void *context) {
  (void)context;
  evbuffer_add_buffer(bufferevent_get_output(stream), bufferevent_get_input(stream));
}

static void ended(struct bufferevent *stream, short what, void *context) {
  (void)context;
  if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) bufferevent_free(stream);
}

static void connected(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length, void *context) {
  (void)listener;
  (void)address;
  (void)length;
  server_nodelay(fd);
  struct bufferevent *stream = bufferevent_socket_new(context, fd, BEV_OPT_CLOSE_ON_FREE);
  server_check(stream != NULL, "bufferevent_socket_new");
  bufferevent_setcb(stream, echo, NULL, ended, NULL);
  bufferevent_enable(stream, EV_READ | EV_WRITE);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  struct event_base *base = event_base_new();
  int fd = server_listen(SOCK_NONBLOCK);
  struct evconnlistener *listener = evconnlistener_new(base, connected, base, LEV_OPT_CLOSE_ON_FREE, 0, fd);
  server_check(listener != NULL, "evconnlistener_new");
  return event_base_dispatch(base);
}
