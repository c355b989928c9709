/*
 * telnet: a terminal session with a telnet server (RFC 854), both ways at once through a poller.
 * Every option that the server offers or asks for is refused, which leaves plain text lines.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <pthread.h>
#include <sock.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SE = 240, SB = 250, WILL = 251, WONT = 252, DO = 253, DONT = 254, IAC = 255 };
enum { OPEN_MS = 30000, PIECE = 4096, PENDING = 4 * PIECE };

/* Where in the stream of commands and text the last byte left us. */
typedef enum state {
    TEXT, AFTER_CR, AFTER_IAC, AFTER_WILL, AFTER_DO, AFTER_OTHER, IN_SB, IN_SB_IAC
} state;

/* What still has to go to the server. */
typedef struct output {
    size_t size;
    unsigned char bytes[PENDING];
} output;

static int usage(FILE *out)
{
    fputs("usage: telnet HOST [PORT]\n"
          "\n"
          "Connects to the telnet server at HOST, port 23 unless told, sends it standard input\n"
          "and prints what it sends.\n",
          out);
    return out == stdout ? 0 : 2;
}

static int fail(const char *reason)
{
    fprintf(stderr, "telnet: %s\n", reason);
    return 1;
}

/* A poller watches sockets only: this thread makes one of standard input. */
static void *read_keys(void *argument)
{
    sock_t keys = *(sock_t *)argument;
    char buffer[PIECE];
    ssize_t size;

    while ((size = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
        if (sock_write(keys, buffer, (size_t)size) < 0)
            break;
    sock_close(keys);
    return NULL;
}

static void append(output *out, int byte)
{
    out->bytes[out->size++] = (unsigned char)byte;
}

static void refuse(output *out, int verb, int option)
{
    append(out, IAC);
    append(out, verb);
    append(out, option);
}

/* What follows IAC and this byte. */
static state after_command(int byte)
{
    switch (byte) {
    case WILL: return AFTER_WILL;
    case DO: return AFTER_DO;
    case WONT:
    case DONT: return AFTER_OTHER;
    case SB: return IN_SB;
    default: return TEXT;
    }
}

/* Prints the text among the bytes from the server, and answers the commands. */
static state receive(state where, const unsigned char *bytes, size_t size, output *out)
{
    for (size_t i = 0; i < size; i++) {
        int byte = bytes[i];

        switch (where) {
        case AFTER_CR: /* a carriage return alone is sent as CR NUL */
            where = TEXT;
            if (byte == '\0')
                break;
            /* fall through */
        case TEXT:
            if (byte == IAC) {
                where = AFTER_IAC;
                break;
            }
            putchar(byte);
            where = byte == '\r' ? AFTER_CR : TEXT;
            break;
        case AFTER_IAC:
            if (byte == IAC)
                putchar(byte);
            where = after_command(byte);
            break;
        case AFTER_WILL:
            refuse(out, DONT, byte);
            where = TEXT;
            break;
        case AFTER_DO:
            refuse(out, WONT, byte);
            where = TEXT;
            break;
        case AFTER_OTHER:
            where = TEXT;
            break;
        case IN_SB:
            where = byte == IAC ? IN_SB_IAC : IN_SB;
            break;
        case IN_SB_IAC:
            where = byte == SE ? TEXT : IN_SB;
            break;
        }
    }
    return where;
}

/* Lines end in CR LF on the wire, and a data byte 255 is doubled. */
static void send_keys(const unsigned char *bytes, size_t size, output *out)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n')
            append(out, '\r');
        append(out, bytes[i]);
        if (bytes[i] == IAC)
            append(out, IAC);
    }
}

static int64_t flush_output(sock_t server, output *out)
{
    int64_t sent = out->size > 0 ? sock_try_write(server, out->bytes, out->size) : 0;

    if (sent > 0)
        memmove(out->bytes, out->bytes + sent, out->size -= (size_t)sent);
    return sent == SOCK_EAGAIN ? 0 : sent;
}

/* Keys wait until the last ones are sent; the server is read as long as its answers have room. */
static int choose_interests(sock_t poller, sock_t server, sock_t keys, const output *out)
{
    int interest = out->size + PIECE <= PENDING ? SOCK_READ : 0;
    int status = sock_poller_set(poller, server,
                                 out->size > 0 ? interest | SOCK_WRITE : interest, NULL);

    if (status < 0 || keys == 0)
        return status;
    return sock_poller_set(poller, keys, out->size > 0 ? 0 : SOCK_READ, NULL);
}

/* Returns once the server has ended the session. The end of standard input ends our half only. */
static int talk(sock_t server, sock_t keys)
{
    static output out;
    unsigned char bytes[PIECE];
    state where = TEXT;
    int half_closed = 0;
    sock_t poller = sock_poller();

    if (poller < 0 || sock_poller_add(poller, server, SOCK_READ, NULL) < 0 ||
        sock_poller_add(poller, keys, SOCK_READ, NULL) < 0)
        return fail(sock_last_error());
    for (;;) {
        sock_event events[2];
        int64_t size, count = sock_poller_wait(poller, events, 2, SOCK_FOREVER);

        if (count < 0)
            return fail(sock_last_error());
        if (out.size + PIECE <= PENDING) {
            if ((size = sock_try_read(server, bytes, sizeof bytes)) == 0)
                return 0;
            if (size < 0 && size != SOCK_EAGAIN)
                return fail(sock_last_error());
            if (size > 0)
                where = receive(where, bytes, (size_t)size, &out);
            if (half_closed)
                out.size = 0; /* the answers come too late to be sent */
            if (fflush(stdout) != 0)
                return fail(strerror(errno));
        }
        if (keys > 0 && out.size == 0) {
            if ((size = sock_try_read(keys, bytes, sizeof bytes)) == 0) {
                sock_close(keys);
                keys = 0;
            } else if (size > 0) {
                send_keys(bytes, (size_t)size, &out);
            }
        }
        if (flush_output(server, &out) < 0)
            return fail(sock_last_error());
        if (keys == 0 && !half_closed && out.size == 0) {
            sock_shutdown(server, SOCK_WRITE);
            half_closed = 1;
        }
        if (choose_interests(poller, server, keys, &out) < 0)
            return fail(sock_last_error());
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    if (argc < 2 || argc > 3)
        return usage(stderr);

    sock_t server = sock_open(argv[1], argc == 3 ? argv[2] : "23",
                              SOCK_OPTIONS(.timeout_ms = OPEN_MS));
    sock_t keys[2];
    pthread_t reader;
    if (server < 0 || sock_pair(keys) < 0)
        return fail(sock_last_error());
    if (pthread_create(&reader, NULL, read_keys, &keys[1]) != 0)
        return fail("no thread for standard input");
    return talk(server, keys[0]);
}
