/* `serve` echoes on one worker of fibers, prints its port and ends when all connections have; `talk PORT` is the other side: so many
 * connections, each with one request under way at a time. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sock.h>

enum { CONNECTIONS = 16, REQUESTS = 500, SIZE = 64 };

static void echo(sock_t connection, void *context)
{
    char buffer[256];
    int64_t length;
    (void)context;
    while ((length = sock_read(connection, buffer, sizeof buffer)) > 0)
        if (sock_write(connection, buffer, (size_t)length) < 0) return;
}

static int serve(void)
{
    sock_address address;
    sock_server_info info = { .size = sizeof info };
    sock_t listener = sock_listen("127.0.0.1", "0", NULL);
    if (listener < 0 || sock_local_address(listener, &address) < 0) return 1;
    sock_t server = sock_serve(listener, echo, NULL, SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS, .workers = 1));
    if (server < 0) return 1;
    printf("%d\n", sock_address_port(&address));
    fflush(stdout);
    while (sock_get_server_info(server, &info) == 0 && info.finished < CONNECTIONS) sock_sleep(20);
    return sock_close(server) < 0;
}

static int talk(const char *port)
{
    char message[SIZE] = { 0 };
    sock_t connections[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++)
        if ((connections[i] = sock_open("127.0.0.1", port, NULL)) < 0) return 1;
    for (int round = 0; round < REQUESTS; round++) {
        for (int i = 0; i < CONNECTIONS; i++)
            if (sock_write(connections[i], message, SIZE) != SIZE) return 1;
        for (int i = 0; i < CONNECTIONS; i++)
            if (sock_read_exact(connections[i], message, SIZE) != SIZE) return 1;
    }
    for (int i = 0; i < CONNECTIONS; i++) sock_close(connections[i]);
    printf("%d\n", CONNECTIONS * REQUESTS);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "serve") == 0) return serve();
    if (argc == 3 && strcmp(argv[1], "talk") == 0) return talk(argv[2]);
    return 2;
}
