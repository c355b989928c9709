/*
 * chat_server: what one client says, all others hear. One thread serves everybody through a poller,
 * and nobody waits for a client that does not read.
 */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <sock.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 32, LINE = 1024, WAITING = 65536, EVENTS = 64 };

typedef struct client {
    struct client *next;
    sock_t socket;
    int gone;                     /* freed at the end of the round: events may still name it */
    size_t received, waiting;     /* bytes in the two buffers */
    char name[NAME];              /* its first line; empty until then */
    char line[LINE];              /* the line that it is typing */
    char output[WAITING];         /* what it has not read yet */
} client;

static sock_t poller, listener;
static client *clients;

static void stop(int signal_number)
{
    (void)signal_number;
    sock_cancel(poller);
}

static int usage(FILE *out)
{
    fputs("usage: chat_server [HOST] PORT\n"
          "\n"
          "A chat for any number of clients (nc, telnet, sockcat): the first line is one's name,\n"
          "every later one goes to all others. Without HOST it listens on every address of this\n"
          "machine; PORT 0 takes any free port. Stops on SIGINT and SIGTERM.\n",
          out);
    return out == stdout ? 0 : 2;
}

static int fail(void)
{
    fprintf(stderr, "chat_server: %s\n", sock_last_error());
    return 1;
}

/* Sends what the client can take now and keeps the rest until it is writable again. */
static void flush_client(client *to)
{
    int64_t sent = sock_try_write(to->socket, to->output, to->waiting);

    if (sent > 0)
        memmove(to->output, to->output + sent, to->waiting -= (size_t)sent);
    if ((sent < 0 && sent != SOCK_EAGAIN) ||
        sock_poller_set(poller, to->socket, to->waiting > 0 ? SOCK_READ | SOCK_WRITE : SOCK_READ,
                        to) < 0)
        to->gone = 1;
}

/* A client whose buffer is full does not read: it has to go, the others stay. */
static void tell(client *to, const char *text, size_t length)
{
    if (length > WAITING - to->waiting) {
        to->gone = 1;
        return;
    }
    memcpy(to->output + to->waiting, text, length);
    to->waiting += length;
    flush_client(to);
}

static void tell_others(const client *from, const char *format, ...)
{
    char text[NAME + LINE + 32];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (client *to = clients; to != NULL; to = to->next)
        if (to != from && !to->gone && to->name[0] != '\0')
            tell(to, text, (size_t)length);
}

/* Without a descriptor for one more client, newcomers wait until somebody leaves. */
static void add_client(void)
{
    static const char greeting[] = "Your name?\n";
    sock_t socket = sock_try_accept(listener);
    client *new_client;

    if (socket == SOCK_ELIMIT)
        sock_poller_set(poller, listener, 0, NULL);
    if (socket < 0)
        return;
    if ((new_client = calloc(1, sizeof *new_client)) == NULL ||
        sock_poller_add(poller, socket, SOCK_READ, new_client) < 0) {
        free(new_client);
        sock_close(socket);
        return;
    }
    new_client->socket = socket;
    new_client->next = clients;
    clients = new_client;
    tell(new_client, greeting, sizeof greeting - 1);
}

/* Control characters would reach the others' terminals. */
static void clean(char *line)
{
    for (; *line != '\0'; line++)
        if ((unsigned char)*line < ' ' || *line == 127)
            *line = ' ';
}

static void take_line(client *from, char *line)
{
    line[strcspn(line, "\r")] = '\0';
    clean(line);
    if (from->name[0] != '\0') {
        tell_others(from, "%s: %s\n", from->name, line);
    } else if (line[0] != '\0') {
        snprintf(from->name, NAME, "%.*s", NAME - 1, line);
        tell_others(from, "%s is here\n", from->name);
    }
}

/* Reads what is there and takes every whole line out of it. */
static void read_client(client *from)
{
    int64_t size = sock_try_read(from->socket, from->line + from->received,
                                 sizeof from->line - 1 - from->received);
    char *line = from->line, *end;

    if (size == SOCK_EAGAIN)
        return;
    if (size <= 0) {
        from->gone = 1;
        return;
    }
    from->received += (size_t)size;
    while ((end = memchr(line, '\n', from->received - (size_t)(line - from->line))) != NULL) {
        *end = '\0';
        take_line(from, line);
        line = end + 1;
    }
    from->received -= (size_t)(line - from->line);
    memmove(from->line, line, from->received);
    if (from->received == sizeof from->line - 1)
        from->gone = 1; /* a line without end */
}

static void serve_client(client *one, uint32_t ready)
{
    if (!one->gone && (ready & SOCK_WRITE))
        flush_client(one);
    if (!one->gone && (ready & ~(uint32_t)SOCK_WRITE))
        read_client(one);
}

/* Farewells can find out that others are gone too, so this goes on until nobody is. */
static void remove_gone(void)
{
    client **at = &clients;

    while (*at != NULL) {
        client *one = *at;
        if (!one->gone) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        sock_close(one->socket);
        sock_poller_set(poller, listener, SOCK_READ, NULL);
        if (one->name[0] != '\0')
            tell_others(one, "%s has left\n", one->name);
        free(one);
        at = &clients;
    }
}

static int64_t run(void)
{
    sock_event events[EVENTS];
    int64_t count;

    while ((count = sock_poller_wait(poller, events, EVENTS, SOCK_FOREVER)) >= 0) {
        for (int64_t i = 0; i < count; i++)
            if (events[i].socket == listener)
                add_client();
            else
                serve_client(events[i].user, events[i].ready);
        remove_gone();
    }
    return count;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    if (argc < 2 || argc > 3)
        return usage(stderr);

    listener = sock_listen(argc == 3 ? argv[1] : NULL, argv[argc - 1], NULL);
    if (listener < 0 || (poller = sock_poller()) < 0 ||
        sock_poller_add(poller, listener, SOCK_READ, NULL) < 0)
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

    if (run() != SOCK_ECANCELED)
        return fail();
    for (client *one = clients; one != NULL; one = one->next)
        one->gone = 1;
    remove_gone();
    sock_close(poller);
    sock_close(listener);
    return 0;
}
