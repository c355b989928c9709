/* The echo server over libuv: one read buffer for the loop, uv_try_write first as its documentation advises for small answers. */
#include "server.h"
#include <signal.h>
#include <string.h>
#include <uv.h>

static char room[ROOM];

/* A write that could not be done at once owns a copy, since the read buffer is shared. */
typedef struct pending { uv_write_t request; char data[]; } pending;

static void closed(uv_handle_t *handle) { free(handle); }

static void written(uv_write_t *request, int status) {
  if (status < 0 && !uv_is_closing((uv_handle_t *)request->handle)) uv_close((uv_handle_t *)request->handle, closed);
  free(request);
}

static void buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
  (void)handle;
  (void)suggested;
  *out = uv_buf_init(room, sizeof room);
}

static void echo(uv_stream_t *stream, ssize_t got, const uv_buf_t *data) {
  if (got == 0) return;
  if (got < 0) {
    uv_close((uv_handle_t *)stream, closed);
    return;
  }
  uv_buf_t out = uv_buf_init(data->base, (unsigned)got);
  int sent = uv_try_write(stream, &out, 1);
  if (sent == got) return;
  size_t done = sent > 0 ? (size_t)sent : 0, left = (size_t)got - done;
  pending *rest = malloc(sizeof *rest + left);
  server_check(rest != NULL, "malloc");
  memcpy(rest->data, data->base + done, left);
  out = uv_buf_init(rest->data, (unsigned)left);
  uv_write(&rest->request, stream, &out, 1, written);
}

static void connected(uv_stream_t *listener, int status) {
  if (status < 0) return;
  uv_tcp_t *client = malloc(sizeof *client);
  server_check(client != NULL, "malloc");
  uv_tcp_init(listener->loop, client);
  if (uv_accept(listener, (uv_stream_t *)client) != 0) {
    uv_close((uv_handle_t *)client, closed);
    return;
  }
  uv_tcp_nodelay(client, 1);
  uv_read_start((uv_stream_t *)client, buffer, echo);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  uv_loop_t *loop = uv_default_loop();
  uv_tcp_t listener;
  struct sockaddr_in address;
  int length = sizeof address;
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_tcp_init(loop, &listener);
  server_check(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0) == 0, "uv_tcp_bind");
  server_check(uv_listen((uv_stream_t *)&listener, 4096, connected) == 0, "uv_listen");
  uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &length);
  server_ready(ntohs(address.sin_port));
  return uv_run(loop, UV_RUN_DEFAULT);
}
