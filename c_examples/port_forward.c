/*
 * port_forward: accepts connections at one address and passes them on to another, each in a fiber
 * of its own. A fiber's code is that of a thread; a parked fiber costs a few kilobytes.
 */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <sock.h>
#include <stdio.h>
#include <string.h>

enum { OPEN_MS = 10000, GRACE_MS = 1000 };

static sock_t server;

static void stop(int signal_number)
{
    (void)signal_number;
    sock_cancel(server);
}

static int usage(FILE *out)
{
    fputs("usage: port_forward LISTEN_HOST LISTEN_PORT HOST PORT\n"
          "\n"
          "Passes each connection to LISTEN_HOST and LISTEN_PORT on to HOST and PORT.\n"
          "LISTEN_PORT 0 takes any free port. Stops on SIGINT and SIGTERM.\n",
          out);
    return out == stdout ? 0 : 2;
}

static int fail(void)
{
    fprintf(stderr, "port_forward: %s\n", sock_last_error());
    return 1;
}

/* The client learns of a failure by a reset: an orderly end would look like a short answer. */
static void forward(sock_t client, void *context)
{
    char **target = context;
    sock_t upstream = sock_open(target[0], target[1], SOCK_OPTIONS(.timeout_ms = OPEN_MS));
    int64_t moved = upstream < 0 ? upstream : sock_relay(client, upstream);

    if (moved >= 0) {
        sock_close(upstream);
        return;
    }
    if (moved != SOCK_ECANCELED) /* that is how stopping ends a relay */
        fail();
    sock_abort(client);
    sock_abort(upstream);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    if (argc != 5)
        return usage(stderr);

    sock_t listener = sock_listen(argv[1], argv[2], NULL);
    if (listener < 0)
        return fail();
    server = sock_serve(listener, forward, argv + 3, SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS));
    if (server < 0)
        return fail();

    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    sock_address address;
    char text[SOCK_ADDRESS_TEXT];
    if (sock_local_address(listener, &address) < 0 ||
        sock_address_format(&address, text, sizeof text) < 0)
        return fail();
    printf("listening on %s\n", text);
    fflush(stdout);

    sock_server_wait(server);
    return sock_server_stop(server, GRACE_MS) < 0 ? fail() : 0;
}
