/*
 * http_get: fetches one page over HTTP and writes its body to standard output.
 * One deadline covers everything: the name, the connection, the request and the whole answer.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <sock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static int usage(FILE *out)
{
    fputs("usage: http_get [-t MS] HOST PORT PATH\n"
          "\n"
          "Writes the body of http://HOST:PORT/PATH to standard output.\n"
          "\n"
          "  -t MS  give up after so many milliseconds in all (default 30000)\n",
          out);
    return out == stdout ? 0 : 2;
}

static int fail(const char *reason)
{
    fprintf(stderr, "http_get: %s\n", reason);
    return 1;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* HTTP/1.0, so that the body is never chunked and ends where the connection ends. */
static int64_t send_request(sock_t server, const char *host, const char *port, const char *path)
{
    int bare_ipv6 = strchr(host, ':') != NULL && host[0] != '[';

    return sock_printf(server,
                       "GET %s%s HTTP/1.0\r\n"
                       "Host: %s%s%s:%s\r\n"
                       "User-Agent: http_get\r\n"
                       "Accept: */*\r\n"
                       "\r\n",
                       path[0] == '/' ? "" : "/", path, bare_ipv6 ? "[" : "", host,
                       bare_ipv6 ? "]" : "", port);
}

/* Reads status line and headers. *length gets the length of the body, -1 if it is not given. */
static int read_head(sock_t server, int64_t *length)
{
    char line[8192];
    int status = 0;

    if (sock_read_line(server, line, sizeof line) < 0)
        return fail(sock_last_error());
    if (sscanf(line, "HTTP/1.%*d %d", &status) != 1)
        return fail("the server does not speak HTTP/1");
    if (status < 200 || status > 299)
        return fail(line);

    *length = -1;
    for (;;) {
        int64_t size = sock_read_line(server, line, sizeof line);
        if (size < 0)
            return fail(sock_last_error());
        if (size == 0)
            return 0;
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            *length = strtoll(line + 15, NULL, 10);
    }
}

static int copy_body(sock_t server, int64_t length)
{
    char buffer[65536];
    int64_t received = 0, size;

    while (received != length) {
        int64_t missing = length - received;
        size_t wanted = length < 0 || missing > (int64_t)sizeof buffer ? sizeof buffer
                                                                       : (size_t)missing;
        if ((size = sock_read(server, buffer, wanted)) == 0)
            break;
        if (size < 0)
            return fail(sock_last_error());
        if (fwrite(buffer, 1, (size_t)size, stdout) != (size_t)size)
            return fail(strerror(errno));
        received += size;
    }
    if (received < length)
        return fail("the server ended the connection in the middle of the page");
    return fflush(stdout) == 0 ? 0 : fail(strerror(errno));
}

int main(int argc, char **argv)
{
    int64_t timeout = 30000;
    char *end;
    int option;

    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    while ((option = getopt(argc, argv, "t:")) != -1) {
        if (option != 't')
            return usage(stderr);
        timeout = strtoll(optarg, &end, 10);
        if (timeout <= 0 || *end != '\0')
            return usage(stderr);
    }
    if (argc - optind != 3)
        return usage(stderr);
    const char *host = argv[optind], *port = argv[optind + 1], *path = argv[optind + 2];
    if (path[strcspn(path, " \r\n")] != '\0')
        return usage(stderr);

    int64_t started = now_ms();
    sock_t server = sock_open(host, port, SOCK_OPTIONS(.timeout_ms = timeout));
    if (server < 0)
        return fail(sock_last_error());
    int64_t left = timeout - (now_ms() - started);
    sock_set_deadline(server, SOCK_READ | SOCK_WRITE, left > 0 ? left : 0);

    int64_t length;
    int status;
    if (send_request(server, host, port, path) < 0)
        status = fail(sock_last_error());
    else if ((status = read_head(server, &length)) == 0)
        status = copy_body(server, length);
    sock_close(server);
    return status;
}
