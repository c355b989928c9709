/*
 * sockcat: a small netcat. Standard input goes to the socket and what arrives goes to standard
 * output, both at once: one thread writes while another reads the same handle.
 */
#define _GNU_SOURCE /* POLLRDHUP */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SILENCE_MS = 500, PIECE = 1400, DATAGRAM = 65536 };

static int datagrams;
static sock_address peer; /* with -l -u: whoever sent first; length 0 otherwise */

static int usage(FILE *out)
{
    fputs("usage: sockcat [-l] [-u] [-w MS] HOST PORT\n"
          "       sockcat [-l] [-u] [-w MS] unix:PATH\n"
          "\n"
          "Sends standard input to HOST and PORT, or to a unix socket, and writes what comes\n"
          "back to standard output. Ends when both sides have ended; when only the other side\n"
          "has, it still sends what standard input delivers, until that is silent for 500 ms.\n"
          "\n"
          "  -l     listen there, for one connection (or, with -u, one peer)\n"
          "  -u     datagrams: UDP, or unix datagrams\n"
          "  -w MS  give up when connecting takes longer, or nothing arrives for so long;\n"
          "         with -u, where nothing else tells the end, that is success\n",
          out);
    return out == stdout ? 0 : 2;
}

static int fail(const char *reason)
{
    fprintf(stderr, "sockcat: %s\n", reason);
    return 1;
}

/* Waits for input; once the peer has ended its side, only for a moment. */
static int wait_for_input(int *peer_fd)
{
    struct pollfd both[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                             {.fd = *peer_fd, .events = POLLRDHUP}};

    for (;;) {
        int ready = poll(both, 2, both[1].fd < 0 ? SILENCE_MS : -1);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0 || both[0].revents != 0)
            return ready > 0;
        both[1].fd = *peer_fd = -1;
    }
}

static int64_t put(sock_t s, const void *data, size_t size)
{
    return peer.length > 0 ? sock_send_to(s, data, size, &peer) : sock_write(s, data, size);
}

/* A failure here cancels the handle, so that the reading thread ends too. */
static void *send_input(void *argument)
{
    sock_t s = *(sock_t *)argument;
    int peer_fd = datagrams ? -1 : sock_fd(s);
    char buffer[PIECE];
    ssize_t size = 0;

    while ((datagrams || wait_for_input(&peer_fd)) &&
           (size = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
        if (put(s, buffer, (size_t)size) < 0) {
            fail(sock_last_error());
            sock_cancel(s);
            return &datagrams; /* anything but NULL */
        }
    if (size < 0)
        fail(strerror(errno));
    if (!datagrams)
        sock_shutdown(s, SOCK_WRITE);
    return size < 0 ? &datagrams : NULL;
}

static int64_t get(sock_t s, void *buffer, size_t size)
{
    sock_address from;
    int64_t length;

    if (!datagrams)
        return sock_read(s, buffer, size);
    do
        length = sock_recv_from(s, buffer, size, &from);
    while (length >= 0 && peer.length > 0 && !sock_address_equal(&from, &peer));
    return length;
}

static int print(const char *data, int64_t size)
{
    if (fwrite(data, 1, (size_t)size, stdout) == (size_t)size && fflush(stdout) == 0)
        return 0;
    return fail(strerror(errno));
}

static int receive(sock_t s, int64_t limit)
{
    static char buffer[DATAGRAM];
    int64_t size;

    while ((size = get(s, buffer, sizeof buffer)) > 0 || (size == 0 && datagrams))
        if (print(buffer, size) != 0)
            return 1;
    if (size == 0 || (size == SOCK_ETIMEDOUT && datagrams && limit > 0))
        return 0;
    return size == SOCK_ECANCELED ? 1 : fail(sock_last_error());
}

static void print_listening(sock_t s)
{
    sock_address address;
    char text[SOCK_ADDRESS_TEXT];

    if (sock_local_address(s, &address) == 0 &&
        sock_address_format(&address, text, sizeof text) >= 0)
        fprintf(stderr, "listening on %s\n", text);
}

static sock_t accept_one(const char *host, const char *port, const sock_options *options)
{
    sock_t listener = sock_listen(host, port, options);
    if (listener < 0)
        return listener;
    print_listening(listener);
    sock_t connection = sock_accept(listener);
    sock_close(listener);
    return connection;
}

/* A bound socket; whoever sends the first datagram is the peer. */
static sock_t bind_for_one(const char *host, const char *port, const sock_options *options)
{
    static char first[DATAGRAM];
    sock_t s = sock_udp_bind(host, port, options);
    if (s < 0)
        return s;
    print_listening(s);
    int64_t size = sock_recv_from(s, first, sizeof first, &peer);
    if (size >= 0)
        return print(first, size) == 0 ? s : 0;
    sock_close(s);
    return size;
}

static sock_t reach_peer(int listening, const char *host, const char *port, int64_t limit)
{
    const sock_options *options =
        listening ? SOCK_OPTIONS(.io_timeout_ms = limit)
                  : SOCK_OPTIONS(.io_timeout_ms = limit, .timeout_ms = limit);

    if (listening)
        return datagrams ? bind_for_one(host, port, options) : accept_one(host, port, options);
    return datagrams ? sock_udp_open(host, port, options) : sock_open(host, port, options);
}

int main(int argc, char **argv)
{
    int listening = 0, option;
    int64_t limit = 0;
    char *end;

    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    while ((option = getopt(argc, argv, "luw:")) != -1)
        switch (option) {
        case 'l':
            listening = 1;
            break;
        case 'u':
            datagrams = 1;
            break;
        case 'w':
            limit = strtoll(optarg, &end, 10);
            if (limit > 0 && *end == '\0')
                break;
            return usage(stderr);
        default:
            return usage(stderr);
        }
    int is_unix = argc > optind && strncmp(argv[optind], "unix:", 5) == 0;
    if (argc - optind != (is_unix ? 1 : 2))
        return usage(stderr);

    sock_t s = reach_peer(listening, argv[optind], is_unix ? NULL : argv[optind + 1], limit);
    if (s <= 0)
        return s < 0 ? fail(sock_last_error()) : 1;

    pthread_t sender;
    void *trouble = NULL;
    if (pthread_create(&sender, NULL, send_input, &s) != 0)
        return fail("no thread for standard input");
    int status = receive(s, limit);
    if (status == 0 && !datagrams) {
        pthread_join(sender, &trouble);
        sock_close(s);
    }
    return status != 0 || trouble != NULL;
}
