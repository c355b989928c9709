/* GLib's GSocket in its blocking mode, for the bench programs. */
#include "peer_glib.h"
#include "bench.h"
#ifdef HAVE_GLIB
#include <gio/gio.h>

void *peer_glib_socket(int fd) {
  GSocket *socket = g_socket_new_from_fd(fd, NULL);
  if (socket == NULL) bench_fail("g_socket_new_from_fd");
  g_socket_set_blocking(socket, TRUE);
  return socket;
}

int64_t peer_glib_send(void *socket, const void *data, size_t size) {
  gssize sent = g_socket_send(socket, data, size, NULL, NULL);
  if (sent < 0) bench_fail("g_socket_send");
  return sent;
}

int64_t peer_glib_receive(void *socket, void *buffer, size_t size) {
  gssize got = g_socket_receive(socket, buffer, size, NULL, NULL);
  if (got < 0) bench_fail("g_socket_receive");
  return got;
}
#else
typedef int bench_without_glib; /* ISO C wants a declaration in every file */
#endif
