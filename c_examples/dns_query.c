/*
 * dns_query: asks one DNS server for the addresses of a name, over UDP; over TCP if the answer did
 * not fit into a datagram. A lost datagram is sent again.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <sock.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TYPE_A = 1, TYPE_AAAA = 28, CLASS_IN = 1 };
enum { HEADER = 12, NAME_LIMIT = 255, TRIES = 3, TRY_MS = 2000 };
enum { TRUNCATED = 0x02, RESPONSE = 0x80 };

typedef struct message {
    size_t size;
    unsigned char bytes[65535];
} message;

static int usage(FILE *out)
{
    fputs("usage: dns_query SERVER PORT NAME\n"
          "\n"
          "Asks the DNS server at SERVER and PORT for the addresses of NAME and prints them,\n"
          "one a line.\n",
          out);
    return out == stdout ? 0 : 2;
}

static int fail(const char *reason)
{
    fprintf(stderr, "dns_query: %s\n", reason);
    return -1;
}

static unsigned number(const unsigned char *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

/* Writes the question for one type. Returns 0, or -1 if the name cannot be asked for. */
static int make_query(message *query, const char *name, unsigned id, unsigned type)
{
    unsigned char *to = query->bytes + HEADER;
    size_t length = strlen(name);

    if (length > 0 && name[length - 1] == '.')
        length--;
    if (length == 0 || length > NAME_LIMIT - 2)
        return -1;
    memset(query->bytes, 0, HEADER);
    query->bytes[0] = (unsigned char)(id >> 8);
    query->bytes[1] = (unsigned char)id;
    query->bytes[2] = 0x01; /* recursion desired */
    query->bytes[5] = 1;    /* one question */

    for (const char *label = name; label < name + length;) {
        size_t size = strcspn(label, ".");
        if (size == 0 || size > 63)
            return -1;
        *to++ = (unsigned char)size;
        memcpy(to, label, size);
        to += size;
        label += size + 1;
    }
    *to++ = 0;
    *to++ = 0;
    *to++ = (unsigned char)type;
    *to++ = 0;
    *to++ = CLASS_IN;
    query->size = (size_t)(to - query->bytes);
    return 0;
}

/* An answer must carry our number and repeat our question; anything else is not for us. */
static int is_answer(const message *query, const message *answer)
{
    const unsigned char *ours = query->bytes, *theirs = answer->bytes;

    return answer->size >= query->size && (theirs[2] & RESPONSE) && ours[0] == theirs[0] &&
           ours[1] == theirs[1] && number(theirs + 4) == 1 &&
           memcmp(ours + HEADER, theirs + HEADER, query->size - HEADER) == 0;
}

static int ask_by_udp(const char *server, const char *port, const message *query, message *answer)
{
    sock_t s = sock_udp_open(server, port, SOCK_OPTIONS(.timeout_ms = TRY_MS));
    int64_t size = s;

    for (int attempt = 0; s > 0 && attempt < TRIES; attempt++) {
        sock_set_deadline(s, SOCK_READ | SOCK_WRITE, TRY_MS);
        if ((size = sock_write(s, query->bytes, query->size)) < 0)
            break;
        while ((size = sock_read(s, answer->bytes, sizeof answer->bytes)) >= 0) {
            answer->size = (size_t)size;
            if (is_answer(query, answer)) {
                sock_close(s);
                return 0;
            }
        }
        if (size != SOCK_ETIMEDOUT)
            break;
    }
    fail(sock_last_error());
    sock_close(s);
    return -1;
}

/* The same message, with its length in two bytes before it. */
static int ask_by_tcp(const char *server, const char *port, const message *query, message *answer)
{
    unsigned char length[2] = {(unsigned char)(query->size >> 8), (unsigned char)query->size};
    sock_t s = sock_open(server, port, SOCK_OPTIONS(.timeout_ms = TRY_MS));
    int status = -1;

    if (s < 0 || sock_set_deadline(s, SOCK_READ | SOCK_WRITE, TRY_MS) < 0 ||
        sock_write(s, length, 2) < 0 || sock_write(s, query->bytes, query->size) < 0 ||
        sock_read_exact(s, length, 2) < 0 ||
        sock_read_exact(s, answer->bytes, answer->size = number(length)) < 0)
        fail(sock_last_error());
    else if (!is_answer(query, answer))
        fail("the server answered another question");
    else
        status = 0;
    sock_close(s);
    return status;
}

/* The position after the name at this position, or 0 if the message ends within it. */
static size_t skip_name(const message *answer, size_t at)
{
    while (at < answer->size) {
        unsigned length = answer->bytes[at];
        if (length >= 0xc0)
            return at + 2;
        if (length == 0)
            return at + 1;
        at += length + 1;
    }
    return 0;
}

static void print_address(const unsigned char *data, unsigned type)
{
    if (type == TYPE_A) {
        printf("%u.%u.%u.%u\n", data[0], data[1], data[2], data[3]);
        return;
    }
    sock_address address;
    char literal[40], text[SOCK_ADDRESS_TEXT], *end;
    snprintf(literal, sizeof literal, "%x:%x:%x:%x:%x:%x:%x:%x", number(data), number(data + 2),
             number(data + 4), number(data + 6), number(data + 8), number(data + 10),
             number(data + 12), number(data + 14));
    if (sock_address_parse(literal, "0", &address) == 0 &&
        sock_address_format(&address, text, sizeof text) > 0 &&
        (end = strchr(text, ']')) != NULL) {
        *end = '\0'; /* "[2001:db8::1]:0" without brackets and port */
        puts(text + 1);
    }
}

/* Prints the addresses in the answer. Returns how many there were, or -1. */
static int print_answer(const message *query, const message *answer, unsigned type)
{
    size_t at = query->size;
    int found = 0;

    for (unsigned left = number(answer->bytes + 6); left > 0; left--) {
        at = skip_name(answer, at);
        if (at == 0 || at + 10 > answer->size)
            return fail("the answer is cut short");
        const unsigned char *record = answer->bytes + at;
        size_t size = number(record + 8);
        if ((at += 10 + size) > answer->size)
            return fail("the answer is cut short");
        if (number(record) == type && number(record + 2) == CLASS_IN &&
            size == (type == TYPE_A ? 4 : 16)) {
            print_address(record + 10, type);
            found++;
        }
    }
    return found;
}

/* Asks for one type and prints what comes. Returns how many addresses there were, or -1. */
static int query_type(char **argv, unsigned type)
{
    static message query, answer;
    static const char *const refusals[] = {"", "format error", "server failure", "no such name",
                                           "not implemented", "refused"};
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    unsigned id = ((unsigned)now.tv_nsec ^ (unsigned)getpid() << 4) & 0xffff;
    if (make_query(&query, argv[3], id, type) < 0)
        return fail("not a name that can be asked for");
    if (ask_by_udp(argv[1], argv[2], &query, &answer) < 0)
        return -1;
    if ((answer.bytes[2] & TRUNCATED) && ask_by_tcp(argv[1], argv[2], &query, &answer) < 0)
        return -1;

    unsigned refusal = answer.bytes[3] & 0x0f;
    if (refusal != 0) {
        fprintf(stderr, "dns_query: %s: %s\n", argv[3],
                refusal < sizeof refusals / sizeof *refusals ? refusals[refusal]
                                                             : "the server reports an error");
        return -1;
    }
    return print_answer(&query, &answer, type);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    if (argc != 4)
        return usage(stderr);

    int ipv4 = query_type(argv, TYPE_A);
    if (ipv4 < 0)
        return 1;
    int ipv6 = query_type(argv, TYPE_AAAA);
    if (ipv6 < 0)
        return 1;
    if (ipv4 + ipv6 == 0) {
        fprintf(stderr, "dns_query: %s has no address\n", argv[3]);
        return 1;
    }
    return fflush(stdout) == 0 ? 0 : -fail(strerror(errno));
}
