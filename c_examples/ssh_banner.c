/*
 * ssh_banner: prints the line with which an SSH server introduces itself (RFC 4253, section 4.2).
 */
#include <errno.h>
#include <sock.h>
#include <stdio.h>
#include <string.h>

enum { TIMEOUT_MS = 10000, LINES = 64 };

static int usage(FILE *out)
{
    fputs("usage: ssh_banner HOST [PORT]\n"
          "\n"
          "Prints the version line of the SSH server at HOST, port 22 unless told.\n",
          out);
    return out == stdout ? 0 : 2;
}

static int fail(const char *reason)
{
    fprintf(stderr, "ssh_banner: %s\n", reason);
    return 1;
}

/* A server may send other lines before the one that counts. */
static int print_banner(sock_t server)
{
    char line[256];

    for (int count = 0; count < LINES; count++) {
        if (sock_read_line(server, line, sizeof line) < 0)
            return fail(sock_last_error());
        if (strncmp(line, "SSH-", 4) == 0)
            return puts(line) >= 0 && fflush(stdout) == 0 ? 0 : fail(strerror(errno));
    }
    return fail("this is not an SSH server");
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    if (argc < 2 || argc > 3)
        return usage(stderr);

    sock_t server = sock_open(argv[1], argc == 3 ? argv[2] : "22",
                              SOCK_OPTIONS(.timeout_ms = TIMEOUT_MS));
    if (server < 0)
        return fail(sock_last_error());
    sock_set_deadline(server, SOCK_READ, TIMEOUT_MS);

    int status = print_banner(server);
    sock_close(server);
    return status;
}
