/* GLib's GSocket in its blocking mode. Apart, so that the other files do not see GLib's headers. */
#ifndef PEER_GLIB_H
#define PEER_GLIB_H
#ifdef HAVE_GLIB
#include <stddef.h>
#include <stdint.h>

void *peer_glib_socket(int fd); /* a GSocket that owns fd */
int64_t peer_glib_send(void *socket, const void *data, size_t size);
int64_t peer_glib_receive(void *socket, void *buffer, size_t size);
#endif
#endif
