/* The operations: each makes one call of the header, or a few that belong together, on a shared handle, and checks what comes of it. */
#include "races.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 16384, FILE_OF_EACH_MARK = 8192 };

int disturbance;
atomic_bool stop;
static int mark_file = -1; /* 8 KiB of each mark */
static ino_t mark_file_number;

uint64_t draw(actor *a, uint64_t below)
{
    uint64_t z = a->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (z ^ z >> 31) % below;
}

static bool is_one_of(int64_t result, const int *codes)
{
    for (; *codes; codes++)
        if (result == *codes) return true;
    return false;
}

void allow_codes(const actor *a, const char *operation, int64_t result, int waits, const int *codes)
{
    if (result >= 0 || result == SOCK_EHANDLE || is_one_of(result, codes)) return;
    bool brought_about = (result == SOCK_ECLOSED) || (result == SOCK_ECANCELED && ((disturbance & CANCELING) || a->passing)) ||
                         (result == SOCK_ETIMEDOUT && (disturbance & TIMING));
    if (waits == WAITS && brought_about) return;
    note("%s gave %s: %s", operation, sock_error_name(result), sock_last_error());
    CHECK(result, >=, 0);
}

/* ---- marks ---- */

static void check_marks(const group *g, const char *bytes, int64_t length)
{
    for (int64_t i = 0; i < length; i++)
        if (bytes[i] != '\n') CHECK((unsigned char)bytes[i], ==, g->mark);
}

static const char *marks(const group *g, char *buffer, size_t size)
{
    memset(buffer, g->mark, size);
    if (size > 3) buffer[size / 2] = '\n';
    return buffer;
}

static size_t some_size(actor *a)
{
    switch (draw(a, 4)) {
    case 0: return 1 + draw(a, MOST);
    case 1: return 1;
    default: return 1 + draw(a, 100);
    }
}

static const char *words(uint32_t word, char *buffer, size_t size)
{
    for (size_t i = 0; i < size; i += sizeof word) memcpy(buffer + i, &word, sizeof word);
    return buffer;
}

/* At most `length` bytes of datagrams, of which the last may have been cut. */
static void check_words(uint32_t word, const char *buffer, int64_t length)
{
    for (int64_t i = 0; i + (int64_t)sizeof word <= length; i += sizeof word) {
        uint32_t received;
        memcpy(&received, buffer + i, sizeof received);
        CHECK(received, ==, word);
    }
}

void open_files(void)
{
    char block[FILE_OF_EACH_MARK];
    struct stat status;
    mark_file = memfd_create("marks", MFD_CLOEXEC);
    CHECK(mark_file, >=, 0);
    for (int mark = 0; mark < 256; mark++) {
        memset(block, mark, sizeof block);
        CHECK(write(mark_file, block, sizeof block), ==, sizeof block);
    }
    CHECK(fstat(mark_file, &status), ==, 0);
    mark_file_number = status.st_ino;
}

void close_files(void)
{
    CHECK(close(mark_file), ==, 0);
}

/* ---- reading streams ---- */

#define READ_CODES SOCK_ECONNRESET, 0

static int64_t read_some(actor *a, const group *g)
{
    char buffer[MOST];
    size_t size = some_size(a);
    int64_t result = sock_read(one_of(a, g), buffer, size);
    ALLOW(a, result, WAITS, READ_CODES);
    CHECK(result, <=, (int64_t)size);
    check_marks(g, buffer, result);
    return result;
}

static int64_t read_exact(actor *a, const group *g)
{
    char buffer[MOST];
    size_t size = some_size(a);
    int64_t result = sock_read_exact(one_of(a, g), buffer, size);
    ALLOW(a, result, WAITS, SOCK_EEOF, READ_CODES);
    CHECK(result < 0 || result == (int64_t)size, ==, true);
    check_marks(g, buffer, result < 0 ? (int64_t)sock_last_count() : result);
    return result;
}

static int64_t read_line(actor *a, const group *g)
{
    char line[512];
    size_t size = 2 + draw(a, sizeof line - 2);
    int64_t result = sock_read_line(one_of(a, g), line, size);
    ALLOW(a, result, WAITS, SOCK_EEOF, SOCK_ETOOLONG, READ_CODES);
    CHECK(result, <, (int64_t)size);
    for (int64_t i = 0; i < result; i++) CHECK((unsigned char)line[i], ==, g->mark);
    if (result >= 0) CHECK(line[result], ==, 0);
    return result;
}

static int64_t peek(actor *a, const group *g)
{
    char buffer[MOST];
    size_t size = some_size(a);
    int64_t result = sock_peek(one_of(a, g), buffer, size);
    ALLOW(a, result, WAITS, READ_CODES);
    CHECK(result, <=, (int64_t)size);
    check_marks(g, buffer, result);
    return result;
}

static int64_t readv_some(actor *a, const group *g)
{
    char buffer[300];
    struct iovec parts[3] = { { buffer, 100 }, { buffer + 100, draw(a, 100) }, { buffer + 200, 100 } };
    int64_t result = sock_readv(one_of(a, g), parts, 3);
    ALLOW(a, result, WAITS, READ_CODES);
    int64_t left = result;
    for (int i = 0; i < 3 && left > 0; i++) {
        int64_t length = left < (int64_t)parts[i].iov_len ? left : (int64_t)parts[i].iov_len;
        check_marks(g, parts[i].iov_base, length);
        left -= length;
    }
    CHECK(left, <=, 0);
    return result;
}

static int64_t try_read(actor *a, const group *g)
{
    char buffer[MOST];
    size_t size = some_size(a);
    int64_t result = sock_try_read(one_of(a, g), buffer, size);
    ALLOW(a, result, AT_ONCE, SOCK_EAGAIN, READ_CODES);
    check_marks(g, buffer, result);
    return result;
}

/* ---- writing streams ---- */

#define WRITE_CODES SOCK_EPIPE, SOCK_ECONNRESET, 0
/* A unix receiver that is gone refuses one datagram; then the sender has no receiver any more. */
#define SEND_CODES SOCK_ECONNREFUSED, SOCK_ECONNRESET, SOCK_ENOTCONN, 0

static void check_written(int64_t result, size_t size)
{
    if (result >= 0) CHECK(result, ==, (int64_t)size);
    else CHECK(sock_last_count(), <=, size);
}

static int64_t write_all(actor *a, const group *g)
{
    char buffer[MOST];
    size_t size = some_size(a);
    int64_t result = sock_write(one_of(a, g), marks(g, buffer, size), size);
    ALLOW(a, result, WAITS, WRITE_CODES);
    check_written(result, size);
    return result;
}

static int64_t writev_all(actor *a, const group *g)
{
    char buffer[MOST];
    size_t size = some_size(a), first = draw(a, size);
    marks(g, buffer, size);
    struct iovec parts[2] = { { buffer, first }, { buffer + first, size - first } };
    int64_t result = sock_writev(one_of(a, g), parts, 2);
    ALLOW(a, result, WAITS, WRITE_CODES);
    check_written(result, size);
    return result;
}

static int64_t try_write(actor *a, const group *g)
{
    char buffer[MOST];
    size_t size = some_size(a);
    int64_t result = sock_try_write(one_of(a, g), marks(g, buffer, size), size);
    ALLOW(a, result, AT_ONCE, SOCK_EAGAIN, WRITE_CODES);
    CHECK(result, !=, 0);
    CHECK(result, <=, (int64_t)size);
    return result;
}

static int64_t print(actor *a, const group *g)
{
    char text[100];
    size_t size = 1 + draw(a, sizeof text - 2);
    memset(text, g->mark, size);
    text[size] = '\0';
    int64_t result = sock_printf(one_of(a, g), "%s\n", text);
    ALLOW(a, result, WAITS, WRITE_CODES);
    check_written(result, size + 1);
    return result;
}

static int64_t send_file(actor *a, const group *g)
{
    size_t size = 1 + draw(a, FILE_OF_EACH_MARK);
    int64_t result = sock_send_file(one_of(a, g), mark_file, g->mark * FILE_OF_EACH_MARK, (int64_t)size);
    ALLOW(a, result, WAITS, WRITE_CODES);
    check_written(result, size);
    return result;
}

static int64_t relay(actor *a, const group *g)
{
    sock_t from = one_of(a, g), to = one_of(a, g);
    int64_t result = sock_relay(from, to);
    if (from == to) CHECK(result == SOCK_EINVAL || result == SOCK_EHANDLE, ==, true);
    else ALLOW(a, result, WAITS, WRITE_CODES);
    return result;
}

/* ---- descriptors ---- */

static int64_t send_descriptors(actor *a, const group *g)
{
    char buffer[100];
    int fds[3] = { mark_file, mark_file, mark_file };
    size_t size = 4 * (1 + draw(a, sizeof buffer / 4)), count = 1 + draw(a, 3);
    bool connected = g->kind == UNIX_STREAMS;
    if (connected) marks(g, buffer, size);
    else words(g->words[0], buffer, size);
    int64_t result = sock_send_fds(connected ? one_of(a, g) : g->handles[1], buffer, size, fds, count);
    if (connected) ALLOW(a, result, WAITS, WRITE_CODES);
    else ALLOW(a, result, WAITS, SEND_CODES);
    return result;
}

static int64_t receive_descriptors(actor *a, const group *g)
{
    char buffer[4096];
    int fds[2];
    size_t size = sizeof buffer, count = 0;
    bool connected = g->kind == UNIX_STREAMS;
    int64_t result = sock_recv_fds(connected ? one_of(a, g) : g->handles[0], buffer, size, fds, 2, &count);
    ALLOW(a, result, WAITS, SOCK_ETRUNC, READ_CODES);
    int64_t length = result == SOCK_ETRUNC ? (int64_t)sock_last_count() : result;
    if (connected) check_marks(g, buffer, length);
    else check_words(g->words[0], buffer, length);
    CHECK(count, <=, 2);
    for (size_t i = 0; i < count; i++) {
        struct stat status;
        CHECK(fstat(fds[i], &status), ==, 0);
        CHECK(status.st_ino, ==, mark_file_number);
        CHECK(close(fds[i]), ==, 0);
    }
    return result;
}

/* The descriptor is this call's alone then: whatever comes from it was meant for the group. */
static int64_t release(actor *a, const group *g)
{
    char buffer[100];
    int fd = sock_release_fd(one_of(a, g));
    ALLOW(a, fd, AT_ONCE, SOCK_EBUSY, 0);
    if (fd < 0) return fd;
    ssize_t length = (g->kind & STREAMS) ? recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) : 0;
    check_marks(g, buffer, length);
    if (draw(a, 2)) {
        CHECK(close(fd), ==, 0);
        return fd;
    }
    sock_t again = sock_from_fd(fd);
    CHECK(again, >, 0);
    CHECK(sock_fd(again), ==, fd);
    if (g->kind & STREAMS) check_marks(g, buffer, sock_try_read(again, buffer, sizeof buffer));
    CHECK(sock_close(again), ==, 0);
    return fd;
}

/* ---- ending ---- */

static int64_t shut_down(actor *a, const group *g)
{
    int64_t result = sock_shutdown(one_of(a, g), 1 + (int)draw(a, 3));
    ALLOW(a, result, AT_ONCE, SOCK_ENOTCONN, 0);
    return result;
}

static int64_t finish(actor *a, const group *g)
{
    int64_t result = sock_finish(one_of(a, g), (int64_t)draw(a, 20));
    ALLOW(a, result, WAITS, SOCK_ETIMEDOUT, SOCK_ECONNRESET, 0);
    return result;
}

static int64_t abort_it(actor *a, const group *g)
{
    int64_t result = sock_abort(one_of(a, g));
    ALLOW(a, result, AT_ONCE, 0);
    return result;
}

static int64_t close_it(actor *a, const group *g)
{
    int64_t result = sock_close(one_of(a, g));
    ALLOW(a, result, AT_ONCE, 0);
    return result;
}

/* ---- questions and options ---- */

static int64_t ask(actor *a, const group *g)
{
    sock_t s = one_of(a, g);
    sock_info info = { .size = sizeof info };
    sock_address address;
    sock_credentials credentials;
    int64_t result = 0;
    switch (draw(a, 6)) {
    case 0:
        result = sock_get_info(s, &info);
        ALLOW(a, result, AT_ONCE, 0);
        if (result == 0) CHECK(info.kind, >, 0);
        break;
    case 1:
        result = sock_local_address(s, &address);
        ALLOW(a, result, AT_ONCE, 0);
        break;
    case 2:
        result = sock_peer_address(s, &address);
        if (g->kind & STREAMS) ALLOW(a, result, AT_ONCE, 0);
        else ALLOW(a, result, AT_ONCE, SOCK_ENOTCONN, SOCK_ETYPE, 0);
        break;
    case 3:
        result = sock_peer_credentials(s, &credentials);
        if (g->kind == UNIX_STREAMS) ALLOW(a, result, AT_ONCE, 0);
        else ALLOW(a, result, AT_ONCE, SOCK_ENOTSUP, SOCK_ENOTCONN, SOCK_ETYPE, 0);
        if (result == 0) CHECK(credentials.pid, ==, getpid());
        break;
    case 4:
        result = sock_fd(s);
        ALLOW(a, result, AT_ONCE, 0);
        break;
    default: CHECK(sock_buffered(s), <=, 1 << 20);
    }
    return result;
}

static int64_t set_options(actor *a, const group *g)
{
    static const struct { int option; int64_t values[3]; } options[] = {
        { SOCK_OPT_NODELAY, { 0, 1, 1 } },        { SOCK_OPT_SEND_BUFFER, { 2048, 16384, 200000 } },
        { SOCK_OPT_RECEIVE_BUFFER, { 2048, 16384, 200000 } }, { SOCK_OPT_LINGER_MS, { -1, -1, 0 } },
        { SOCK_OPT_SPIN_US, { 0, 0, 20 } },       { SOCK_OPT_QUICKACK, { 0, 1, 1 } },
        { SOCK_OPT_CORK, { 0, 0, 1 } },           { SOCK_OPT_TOS, { 0, 8, 16 } },
        { SOCK_OPT_KEEPALIVE_MS, { 0, 1000, 9000 } }, { SOCK_OPT_USER_TIMEOUT_MS, { 0, 5000, 9000 } },
    };
    uint64_t which = draw(a, sizeof options / sizeof *options);
    sock_t s = one_of(a, g);
    int64_t result = sock_set_option(s, options[which].option, options[which].values[draw(a, 3)]);
    ALLOW(a, result, AT_ONCE, SOCK_ENOTSUP, 0);
    /* -1 is a value of lingering. */
    if (options[which].option != SOCK_OPT_LINGER_MS) ALLOW(a, sock_get_option(s, options[which].option), AT_ONCE, SOCK_ENOTSUP, 0);
    return result;
}

static int64_t resolve(actor *a, const group *g)
{
    (void)g;
    sock_address addresses[4];
    int64_t result = sock_resolve(draw(a, 8) ? "127.0.0.1" : "localhost", "80", NULL, addresses, 4);
    bool may_end = a->passing && result == SOCK_ECANCELED;
    if (!may_end) CHECK(result, >, 0);
    return result;
}

/* ---- connections ---- */

static void check_uniform(unsigned char mark, const char *bytes, int64_t length)
{
    for (int64_t i = 0; i < length; i++) CHECK((unsigned char)bytes[i], ==, mark);
}

/* A connection of this actor's own, whose times nobody changes. */
static void use_connection(actor *a, sock_t s, unsigned char mark)
{
    char buffer[64];
    CHECK(sock_set_timeout(s, SOCK_READ | SOCK_WRITE, 20), ==, 0);
    memset(buffer, mark, sizeof buffer);
    if (draw(a, 2)) ALLOW(a, sock_write(s, buffer, 1 + draw(a, sizeof buffer)), WAITS, SOCK_ETIMEDOUT, WRITE_CODES);
    if (draw(a, 2)) {
        int64_t result = sock_read(s, buffer, sizeof buffer);
        ALLOW(a, result, WAITS, SOCK_ETIMEDOUT, READ_CODES);
        check_uniform(mark, buffer, result);
    }
    close_somehow(a, s);
}

static int64_t accept_one(actor *a, const group *g)
{
    sock_t s = sock_accept(g->handles[0]);
    ALLOW(a, s, WAITS, 0);
    if (s > 0) use_connection(a, s, g->mark);
    return s;
}

static int64_t try_accept(actor *a, const group *g)
{
    sock_t s = sock_try_accept(g->handles[0]);
    ALLOW(a, s, AT_ONCE, SOCK_EAGAIN, 0);
    if (s > 0) use_connection(a, s, g->mark);
    return s;
}

static int64_t connect_to(actor *a, const group *g)
{
    char text[SOCK_ADDRESS_TEXT];
    if (sock_address_format(&g->addresses[0], text, sizeof text) <= 0) return 0;
    sock_t s = sock_open(text, NULL, SOCK_OPTIONS(.timeout_ms = 50));
    bool over = a->passing && s == SOCK_ECANCELED; /* nobody has the handle yet */
    if (!over) ALLOW(a, s, AT_ONCE, SOCK_ETIMEDOUT, SOCK_ECONNREFUSED, SOCK_ECONNRESET, 0);
    if (s > 0) use_connection(a, s, g->mark);
    return s;
}

static int64_t accept_from_server(actor *a, const group *g)
{
    sock_t s = draw(a, 2) ? sock_accept(g->handles[1]) : sock_try_accept(g->handles[1]);
    ALLOW(a, s, WAITS, SOCK_EBUSY, 0);
    CHECK(s, <, 0);
    return 0;
}

/* ---- datagrams ---- */

static size_t datagram_size(actor *a) { return sizeof(uint32_t) * draw(a, 32); }

static int64_t send_to(actor *a, const group *g)
{
    char buffer[128];
    size_t size = datagram_size(a), to = draw(a, 2);
    int64_t result = sock_send_to(g->handles[1 - to], words(g->words[to], buffer, size), size,
                                  to == 0 && draw(a, 2) ? NULL : &g->addresses[to]);
    ALLOW(a, result, WAITS, SEND_CODES);
    check_written(result, size);
    return result;
}

static int64_t write_datagram(actor *a, const group *g)
{
    char buffer[128];
    size_t size = datagram_size(a);
    words(g->words[0], buffer, size);
    struct iovec parts[2] = { { buffer, size / 2 }, { buffer + size / 2, size - size / 2 } };
    sock_t s = g->handles[1];
    int64_t result = 0;
    switch (draw(a, 3)) {
    case 0: result = sock_write(s, buffer, size); break;
    case 1: result = sock_writev(s, parts, 2); break;
    default:
        result = sock_try_write(s, buffer, size);
        if (result == SOCK_EAGAIN) return result;
    }
    ALLOW(a, result, WAITS, SEND_CODES);
    check_written(result, size);
    return result;
}

static int64_t send_batch(actor *a, const group *g)
{
    char buffer[128];
    sock_datagram batch[8];
    size_t size = datagram_size(a), count = 1 + draw(a, 8);
    words(g->words[0], buffer, size);
    for (size_t i = 0; i < count; i++)
        batch[i] = (sock_datagram){ .data = buffer, .size = size, .segment = g->kind == UDP && size ? (uint32_t)draw(a, 2) * 8 : 0 };
    int64_t result = sock_send_batch(g->handles[1], batch, count);
    ALLOW(a, result, WAITS, SEND_CODES);
    CHECK(result, <=, (int64_t)count);
    CHECK(result, !=, 0);
    return result;
}

static int64_t receive_from(actor *a, const group *g)
{
    char buffer[128];
    size_t size = draw(a, sizeof buffer), at = draw(a, 2);
    sock_address from;
    sock_t s = g->handles[at];
    int64_t result = 0;
    switch (draw(a, at == 0 ? 2 : 4)) {
    case 0: result = sock_recv_from(s, buffer, size, &from); break;
    case 1: result = sock_peek(s, buffer, size); break;
    case 2: result = sock_read(s, buffer, size); break;
    default:
        result = sock_try_read(s, buffer, size);
        if (result == SOCK_EAGAIN) return result;
    }
    ALLOW(a, result, WAITS, SOCK_ETRUNC, SEND_CODES);
    check_words(g->words[at], buffer, result == SOCK_ETRUNC ? (int64_t)sock_last_count() : result);
    return result;
}

static int64_t receive_batch(actor *a, const group *g)
{
    char buffers[4][128];
    sock_datagram batch[4];
    size_t at = draw(a, 2), count = 1 + draw(a, 4);
    for (size_t i = 0; i < count; i++) batch[i] = (sock_datagram){ .data = buffers[i], .size = draw(a, sizeof buffers[i]) };
    int64_t result = sock_recv_batch(g->handles[at], batch, count);
    ALLOW(a, result, WAITS, SEND_CODES);
    CHECK(result, <=, (int64_t)count);
    CHECK(result, !=, 0);
    for (int64_t i = 0; i < result; i++) check_words(g->words[at], buffers[i], (int64_t)batch[i].length);
    return result;
}

static int64_t join_and_leave(actor *a, const group *g)
{
    int64_t result = sock_join(g->handles[0], "239.1.2.3", "lo");
    ALLOW(a, result, AT_ONCE, SOCK_EADDRINUSE, 0);
    ALLOW(a, sock_leave(g->handles[0], "239.1.2.3", "lo"), AT_ONCE, SOCK_EADDRNOTAVAIL, 0);
    return result;
}

/* ---- pollers ---- */

static void *user_of(sock_t s) { return (void *)(uintptr_t)((uint64_t)s * 3); }

static int64_t watch(actor *a, const group *g)
{
    group other = world_pick(a, SOCKETS);
    sock_t s = one_of(a, &other);
    int interest = (int)draw(a, 4);
    int64_t result = 0;
    switch (draw(a, 4)) {
    case 0: result = sock_poller_remove(g->handles[0], s); break;
    case 1: result = sock_poller_set(g->handles[0], s, interest, user_of(s)); break;
    default: result = sock_poller_add(g->handles[0], s, interest, user_of(s));
    }
    ALLOW(a, result, AT_ONCE, SOCK_EBUSY, SOCK_EINVAL, SOCK_ECLOSED, 0); /* of the poller or of what it shall watch */
    return result;
}

static int64_t wait_for_events(actor *a, const group *g)
{
    sock_event events[8];
    size_t capacity = 1 + draw(a, 8);
    bool ends = disturbance != TIMING; /* nothing else than a close or a cancel ends it */
    int64_t result = sock_poller_wait(g->handles[0], events, capacity, ends && draw(a, 8) == 0 ? SOCK_FOREVER : (int64_t)draw(a, 20));
    ALLOW(a, result, WAITS, 0);
    CHECK(result != SOCK_ETIMEDOUT, ==, true);
    CHECK(result, <=, (int64_t)capacity);
    for (int64_t i = 0; i < result; i++) {
        CHECK(events[i].ready, !=, 0);
        bool woken = events[i].ready == SOCK_WOKEN;
        CHECK(events[i].user == (woken ? NULL : user_of(events[i].socket)), ==, true);
        if (woken) CHECK(events[i].socket, ==, g->handles[0]);
    }
    return result;
}

static int64_t wake(actor *a, const group *g)
{
    int64_t result = sock_poller_wake(g->handles[0]);
    ALLOW(a, result, AT_ONCE, 0);
    return result;
}

/* ---- servers ---- */

static int64_t ask_server(actor *a, const group *g)
{
    sock_server_info info = { .size = sizeof info };
    int64_t result = sock_get_server_info(g->handles[0], &info);
    ALLOW(a, result, AT_ONCE, 0);
    if (result == 0) CHECK(info.accepted, >=, info.finished);
    return result;
}

static int64_t wait_for_server(actor *a, const group *g)
{
    int64_t result = sock_server_wait(g->handles[0]);
    ALLOW(a, result, WAITS, 0);
    return result;
}

static int64_t stop_server(actor *a, const group *g)
{
    int64_t result = sock_server_stop(g->handles[0], (int64_t)draw(a, 5));
    ALLOW(a, result, WAITS, 0);
    return result;
}

/* ---- handles of the wrong kind ---- */

static int64_t mistake(actor *a, const group *g)
{
    char buffer[16];
    sock_event event;
    sock_t s = g->handles[0]; /* a poller or a server */
    int64_t result = 0;
    switch (draw(a, 8)) {
    case 0: result = sock_read(s, buffer, sizeof buffer); break;
    case 1: result = sock_write(s, "x", 1); break;
    case 2: result = sock_accept(s); break;
    case 3: result = sock_recv_from(s, buffer, sizeof buffer, NULL); break;
    case 4: result = sock_release_fd(s); break;
    case 5: result = sock_shutdown(s, SOCK_READ); break;
    case 6: result = g->kind == SERVER ? sock_poller_wait(s, &event, 1, 0) : sock_server_wait(s); break;
    default: result = sock_finish(s, 0);
    }
    CHECK(result == SOCK_ETYPE || result == SOCK_EHANDLE, ==, true);
    ALLOW(a, result, AT_ONCE, SOCK_ETYPE, 0);
    return 0;
}

/* ---- the table ---- */

static struct {
    const char *name;
    int kinds;
    int64_t (*run)(actor *a, const group *g);
    int weight;
    bool settles; /* other handlers may have to end for it: not for handlers of a server that is itself stopped */
    _Atomic uint64_t calls, successes;
} operations[] = {
#define OPERATION(function, kinds, weight) { #function, kinds, function, weight, false, 0, 0 }
    OPERATION(read_some, STREAMS, 8),
    OPERATION(read_exact, STREAMS, 6),
    OPERATION(read_line, STREAMS, 6),
    OPERATION(peek, STREAMS, 3),
    OPERATION(readv_some, STREAMS, 3),
    OPERATION(try_read, STREAMS, 5),
    OPERATION(write_all, STREAMS, 14),
    OPERATION(writev_all, STREAMS, 6),
    OPERATION(try_write, STREAMS, 6),
    OPERATION(print, STREAMS, 8),
    OPERATION(send_file, STREAMS, 4),
    OPERATION(relay, STREAMS, 1),
    OPERATION(send_descriptors, UNIX_STREAMS | UNIX_DATAGRAMS, 4),
    OPERATION(receive_descriptors, UNIX_STREAMS | UNIX_DATAGRAMS, 5),
    OPERATION(release, SOCKETS, 1),
    OPERATION(shut_down, STREAMS, 1),
    OPERATION(finish, STREAMS, 1),
    OPERATION(abort_it, STREAMS, 1),
    OPERATION(close_it, SOCKETS | POLLER, 1),
    OPERATION(ask, SOCKETS, 5),
    OPERATION(set_options, SOCKETS, 4),
    OPERATION(resolve, STREAMS, 1),
    OPERATION(accept_one, LISTENERS, 3),
    OPERATION(try_accept, LISTENERS, 2),
    OPERATION(connect_to, LISTENERS | SERVER, 6),
    OPERATION(accept_from_server, SERVER, 1),
    OPERATION(send_to, DATAGRAMS, 6),
    OPERATION(write_datagram, DATAGRAMS, 5),
    OPERATION(send_batch, DATAGRAMS, 4),
    OPERATION(receive_from, DATAGRAMS, 6),
    OPERATION(receive_batch, DATAGRAMS, 4),
    OPERATION(join_and_leave, UDP, 1),
    OPERATION(watch, POLLER, 8),
    OPERATION(wait_for_events, POLLER, 5),
    OPERATION(wake, POLLER, 1),
    OPERATION(ask_server, SERVER, 2),
    { "wait_for_server", SERVER, wait_for_server, 1, true, 0, 0 },
    { "stop_server", SERVER, stop_server, 1, true, 0, 0 },
    OPERATION(mistake, POLLER | SERVER, 1),
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

static size_t pick_operation(actor *a)
{
    int sum = 0;
    for (size_t i = 0; i < OPERATIONS; i++) sum += operations[i].weight;
    int drawn = (int)draw(a, (uint64_t)sum);
    size_t i = 0;
    while ((drawn -= operations[i].weight) >= 0) i++;
    return i;
}

void act_once(actor *a)
{
    size_t i = pick_operation(a);
    if (operations[i].settles && a->passing) return;
    group g = world_pick(a, operations[i].kinds);
    atomic_store(&a->inside, operations[i].name);
    int64_t result = operations[i].run(a, &g);
    atomic_store(&a->inside, NULL);
    atomic_fetch_add(&operations[i].calls, 1);
    if (result >= 0) atomic_fetch_add(&operations[i].successes, 1);
}

/* A handler of a server that may be stopped at any moment: it looks around for a while. */
void visit(sock_t connection, void *mark)
{
    static _Atomic uint64_t visits;
    actor a = { .random = atomic_fetch_add(&visits, 1), .passing = true };
    char buffer[64];
    if (sock_set_timeout(connection, SOCK_READ | SOCK_WRITE, 20) != 0) return; /* closed by a server that was stopped long ago */
    int64_t length = sock_read(connection, buffer, sizeof buffer);
    ALLOW(&a, length, WAITS, SOCK_ETIMEDOUT, READ_CODES);
    check_uniform((unsigned char)(uintptr_t)mark, buffer, length);
    memset(buffer, (int)(uintptr_t)mark, sizeof buffer);
    ALLOW(&a, sock_write(connection, buffer, sizeof buffer), WAITS, SOCK_ETIMEDOUT, WRITE_CODES);
    for (int i = 0; i < 8 && !atomic_load(&stop); i++) act_once(&a);
}

uint64_t operations_done(void)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < OPERATIONS; i++) sum += atomic_load(&operations[i].calls);
    return sum;
}

void report_operations(bool all_must_succeed)
{
    for (size_t i = 0; i < OPERATIONS; i++) {
        uint64_t calls = atomic_load(&operations[i].calls), successes = atomic_load(&operations[i].successes);
        if (all_must_succeed) note("  %s: %llu, of which %llu succeeded", operations[i].name, (unsigned long long)calls, (unsigned long long)successes);
        context("%s", operations[i].name);
        if (all_must_succeed) CHECK(successes, >, 0);
    }
    context(NULL);
}
