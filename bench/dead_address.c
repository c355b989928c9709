/* Time to a connection when the first of a name's addresses swallows everything. run.py starts this inside a network
   namespace where dead.test is ::1, which drops packets, and then 127.0.0.1, which answers. */
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef HAVE_GLIB
#include <gio/gio.h>
#endif
#ifdef HAVE_LIBCURL
#include <curl/curl.h>
#endif

static char port[8];

/* What a careful program does by hand: each address in turn with 2 s for each (the kernel itself would take 2 minutes). */
static void serial(void *context, long count) {
  (void)context;
  (void)count;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  if (getaddrinfo("dead.test", port, &hints, &found) != 0) bench_fail("getaddrinfo: dead.test");
  int connected = -1;
  for (struct addrinfo *a = found; a != NULL && connected < 0; a = a->ai_next) {
    int fd = (int)bench_raw(socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    struct pollfd wait = {fd, POLLOUT, 0};
    int error = 0;
    socklen_t length = sizeof error;
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0 ||
        (errno == EINPROGRESS && poll(&wait, 1, 2000) == 1 &&
         getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0)) {
      connected = fd;
    } else {
      close(fd);
    }
  }
  freeaddrinfo(found);
  if (connected < 0) bench_fail("serial loop: no connection");
  close(connected);
}

static void with_sock(void *context, long count) {
  (void)context;
  (void)count;
  sock_close(bench_sock(sock_open("dead.test", port, NULL), "sock_open"));
}

#ifdef HAVE_GLIB
/* GLib races addresses in its asynchronous call only; the blocking one tries them in turn, here with 2 s for each. */
static void glib_blocking(void *context, long count) {
  (void)context;
  (void)count;
  GSocketClient *client = g_socket_client_new();
  GError *error = NULL;
  g_socket_client_set_timeout(client, 2);
  GSocketConnection *connection = g_socket_client_connect_to_host(client, "dead.test", (guint16)atoi(port), NULL, &error);
  if (connection == NULL) bench_fail(error->message);
  g_object_unref(connection);
  g_object_unref(client);
}

static void connected(GObject *client, GAsyncResult *result, gpointer loop) {
  GError *error = NULL;
  GSocketConnection *connection = g_socket_client_connect_to_host_finish((GSocketClient *)client, result, &error);
  if (connection == NULL) bench_fail(error->message);
  g_object_unref(connection);
  g_main_loop_quit(loop);
}

static void glib_asynchronous(void *context, long count) {
  (void)context;
  (void)count;
  GMainLoop *loop = g_main_loop_new(NULL, FALSE);
  GSocketClient *client = g_socket_client_new();
  g_socket_client_connect_to_host_async(client, "dead.test", (guint16)atoi(port), NULL, connected, loop);
  g_main_loop_run(loop);
  g_object_unref(client);
  g_main_loop_unref(loop);
}
#endif

#ifdef HAVE_LIBCURL
static void with_libcurl(void *context, long count) {
  (void)context;
  (void)count;
  char url[64];
  snprintf(url, sizeof url, "http://dead.test:%s/", port);
  CURL *curl = curl_easy_init();
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
  if (curl_easy_perform(curl) != CURLE_OK) bench_fail("libcurl: no connection");
  curl_easy_cleanup(curl);
}
#endif

int main(int argc, char **argv) {
  bench_start(argc, argv);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int listener = (int)bench_raw(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  bench_raw(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
  bench_raw(listen(listener, 128), "listen");
  bench_raw(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
  snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
  bench_side sides[] = {
    {"serial loop, 2 s an address", serial, NULL},
    {"libsock", with_sock, NULL},
#ifdef HAVE_GLIB
    {"GLib GSocketClient, asynchronous", glib_asynchronous, NULL},
    {"GLib GSocketClient, blocking, 2 s an address", glib_blocking, NULL},
#endif
#ifdef HAVE_LIBCURL
    {"libcurl CONNECT_ONLY", with_libcurl, NULL},
#endif
  };
  bench_case_of("first address dead", sides, sizeof sides / sizeof sides[0], 1, 5);
  return 0;
}
