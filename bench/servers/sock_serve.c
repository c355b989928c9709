/* The echo server over sock_serve: a straight line of blocking calls, on threads or (with "fibers") on fibers of one worker. */
#include "server.h"
#include <sock.h>
#include <string.h>

static void echo(sock_t connection, void *context) {
  char room[ROOM];
  int64_t got;
  (void)context;
  while ((got = sock_read(connection, room, sizeof room)) > 0) {
    if (sock_write(connection, room, (size_t)got) < 0) return;
  }
}

int main(int argc, char **argv) {
  sock_server_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.model = argc > 1 && strcmp(argv[1], "fibers") == 0 ? SOCK_FIBERS : SOCK_THREADS;
  options.workers = options.model == SOCK_FIBERS ? 1 : 0;
  sock_address address;
  sock_t listener = sock_listen("127.0.0.1", "0", NULL);
  if (listener < 0 || sock_local_address(listener, &address) < 0) {
    fprintf(stderr, "%s\n", sock_last_error());
    return 1;
  }
  sock_t server = sock_serve(listener, echo, NULL, &options);
  if (server < 0) {
    fprintf(stderr, "%s\n", sock_last_error());
    return 1;
  }
  server_ready(sock_address_port(&address));
  return sock_server_wait(server) < 0;
}
