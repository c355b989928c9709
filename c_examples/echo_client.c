/*
 * echo_client: sends standard input line by line to an echo server and prints what comes back.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <sock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static int usage(FILE *out)
{
    fputs("usage: echo_client HOST PORT\n"
          "\n"
          "Sends each line of standard input to an echo server and prints the answer.\n",
          out);
    return out == stdout ? 0 : 2;
}

static int fail(const char *reason)
{
    fprintf(stderr, "echo_client: %s\n", reason);
    return 1;
}

/* Long lines go in pieces: an echo server stops reading while nobody reads what it sends. */
static int echo(sock_t server, char *line, size_t length)
{
    while (length > 0) {
        size_t piece = length < 16384 ? length : 16384;

        if (sock_write(server, line, piece) < 0 || sock_read_exact(server, line, piece) < 0)
            return fail(sock_last_error());
        if (fwrite(line, 1, piece, stdout) != piece)
            return fail(strerror(errno));
        line += piece;
        length -= piece;
    }
    return fflush(stdout) == 0 ? 0 : fail(strerror(errno));
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    if (argc != 3)
        return usage(stderr);

    sock_t server = sock_open(argv[1], argv[2], SOCK_OPTIONS(.timeout_ms = 10000));
    if (server < 0)
        return fail(sock_last_error());

    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    int status = 0;
    while (status == 0 && (length = getline(&line, &capacity, stdin)) > 0)
        status = echo(server, line, (size_t)length);
    if (status == 0 && ferror(stdin))
        status = fail(strerror(errno));
    free(line);
    sock_close(server);
    return status;
}
