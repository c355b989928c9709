/* The echo server over GLib: non-blocking GSockets with a source each in one main loop. */
#include "server.h"
#include <gio/gio.h>

static char room[ROOM];

static gboolean echo(GSocket *socket, GIOCondition condition, gpointer context) {
  (void)condition;
  (void)context;
  gssize got = g_socket_receive_with_blocking(socket, room, sizeof room, FALSE, NULL, NULL);
  /* Where the peer does not read, this blocks the loop; the load generator always reads. */
  if (got > 0 && g_socket_send_with_blocking(socket, room, (gsize)got, TRUE, NULL, NULL) == got) return G_SOURCE_CONTINUE;
  g_socket_close(socket, NULL);
  return G_SOURCE_REMOVE;
}

static gboolean connected(GSocket *listener, GIOCondition condition, gpointer context) {
  (void)condition;
  (void)context;
  GSocket *client = g_socket_accept(listener, NULL, NULL);
  if (client == NULL) return G_SOURCE_CONTINUE;
  server_nodelay(g_socket_get_fd(client));
  GSource *source = g_socket_create_source(client, G_IO_IN, NULL);
  g_source_set_callback(source, G_SOURCE_FUNC(echo), NULL, NULL);
  g_source_attach(source, NULL);
  g_source_unref(source);
  g_object_unref(client); /* the source holds it */
  return G_SOURCE_CONTINUE;
}

int main(void) {
  GSocket *listener = g_socket_new_from_fd(server_listen(0), NULL);
  server_check(listener != NULL, "g_socket_new_from_fd");
  g_socket_set_blocking(listener, FALSE);
  GSource *source = g_socket_create_source(listener, G_IO_IN, NULL);
  g_source_set_callback(source, G_SOURCE_FUNC(connected), NULL, NULL);
  g_source_attach(source, NULL);
  g_main_loop_run(g_main_loop_new(NULL, FALSE));
  return 0;
}
