/*
 * unix_credentials: asks the kernel who is at the other end of a unix socket. Nothing that the
 * peer sends could be trusted as much.
 */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <sock.h>
#include <stdio.h>
#include <string.h>

enum { TIMEOUT_MS = 5000 };

static sock_t listener;

static void stop(int signal_number)
{
    (void)signal_number;
    sock_cancel(listener);
}

static int usage(FILE *out)
{
    fputs("usage: unix_credentials -l unix:PATH\n"
          "       unix_credentials unix:PATH\n"
          "\n"
          "With -l: listens there, prints process, user and group of every client, and tells\n"
          "the client too, until SIGINT or SIGTERM. Without: prints whose server it is that\n"
          "listens there, and the line with which the server answers.\n",
          out);
    return out == stdout ? 0 : 2;
}

static int fail(void)
{
    fprintf(stderr, "unix_credentials: %s\n", sock_last_error());
    return 1;
}

static int serve(const char *path)
{
    listener = sock_listen(path, NULL, SOCK_OPTIONS(.unix_mode = 0666));
    if (listener < 0)
        return fail();
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    printf("listening on %s\n", path);
    fflush(stdout);

    sock_t client;
    while ((client = sock_accept(listener)) > 0) {
        sock_credentials who;

        sock_set_timeout(client, SOCK_WRITE, TIMEOUT_MS);
        if (sock_peer_credentials(client, &who) < 0) {
            fail();
        } else {
            printf("client: process %d, user %u, group %u\n", (int)who.pid, (unsigned)who.uid,
                   (unsigned)who.gid);
            fflush(stdout);
            if (sock_printf(client, "you are process %d, user %u, group %u\n", (int)who.pid,
                            (unsigned)who.uid, (unsigned)who.gid) < 0)
                fail();
        }
        sock_close(client);
    }
    if (client != SOCK_ECANCELED)
        return fail();
    sock_close(listener); /* which removes the path */
    return 0;
}

static int ask(const char *path)
{
    sock_credentials who;
    char line[256];
    sock_t server = sock_open(path, NULL, SOCK_OPTIONS(.timeout_ms = TIMEOUT_MS,
                                                       .io_timeout_ms = TIMEOUT_MS));

    if (server < 0 || sock_peer_credentials(server, &who) < 0)
        return fail();
    printf("server: process %d, user %u, group %u\n", (int)who.pid, (unsigned)who.uid,
           (unsigned)who.gid);
    if (sock_read_line(server, line, sizeof line) < 0)
        return fail();
    puts(line);
    sock_close(server);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    int listening = argc > 1 && strcmp(argv[1], "-l") == 0;
    if (argc != 2 + listening || strncmp(argv[argc - 1], "unix:", 5) != 0)
        return usage(stderr);
    return listening ? serve(argv[2]) : ask(argv[1]);
}
