/*
 * echo_server: sends every client its own bytes back. The handler is a straight line of blocking
 * calls; threads or fibers run it.
 */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <sock.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { GRACE_MS = 1000 };

static sock_t server;

static void stop(int signal_number)
{
    (void)signal_number;
    sock_cancel(server);
}

static int usage(FILE *out)
{
    fputs("usage: echo_server [-m MODEL] [HOST] PORT\n"
          "\n"
          "Sends back what each client sends. Without HOST it listens on every address of\n"
          "this machine; PORT 0 takes any free port. Stops on SIGINT and SIGTERM.\n"
          "\n"
          "  -m MODEL  threads (default): one for each client; fibers: event-driven workers\n",
          out);
    return out == stdout ? 0 : 2;
}

static int fail(void)
{
    fprintf(stderr, "echo_server: %s\n", sock_last_error());
    return 1;
}

static void echo(sock_t client, void *context)
{
    char buffer[16384];
    int64_t length;

    (void)context;
    while ((length = sock_read(client, buffer, sizeof buffer)) > 0)
        if (sock_write(client, buffer, (size_t)length) < 0)
            return;
}

int main(int argc, char **argv)
{
    int model = SOCK_THREADS, option;

    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    while ((option = getopt(argc, argv, "m:")) != -1) {
        if (option != 'm')
            return usage(stderr);
        model = strcmp(optarg, "fibers") == 0 ? SOCK_FIBERS : SOCK_THREADS;
        if (model == SOCK_THREADS && strcmp(optarg, "threads") != 0)
            return usage(stderr);
    }
    int arguments = argc - optind;
    if (arguments < 1 || arguments > 2)
        return usage(stderr);

    sock_t listener = sock_listen(arguments == 2 ? argv[optind] : NULL, argv[argc - 1], NULL);
    if (listener < 0)
        return fail();
    server = sock_serve(listener, echo, NULL, SOCK_SERVER_OPTIONS(.model = model));
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
