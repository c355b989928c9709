/* What a handle and the library report about themselves, and the logger. */
#include <stdlib.h>
#include <string.h>
#include "harness.h"

static sock_info info_of(sock_t s)
{
    sock_info info = { .size = sizeof info };
    CHECK(sock_get_info(s, &info), ==, 0);
    CHECK(info.size, ==, sizeof info);
    return info;
}

static void kind_and_family_are_told(void)
{
    sock_t pair[2], streams[2], listener = listen_local();
    unix_pair(pair);
    tcp_pair(streams);
    CHECK(info_of(pair[0]).kind, ==, SOCK_KIND_STREAM);
    CHECK(info_of(pair[0]).family, ==, SOCK_UNIX);
    CHECK(info_of(streams[0]).kind, ==, SOCK_KIND_STREAM);
    CHECK(info_of(streams[0]).family, ==, SOCK_IPV4);
    CHECK(info_of(listener).kind, ==, SOCK_KIND_LISTENER);
    CHECK(info_of(listener).family, ==, SOCK_IPV4);
    close_pair(pair);
    close_pair(streams);
    CHECK(sock_close(listener), ==, 0);
}

static void a_dual_stack_listener_accepts_connections_of_either_family(void)
{
    sock_t listener = sock_listen(NULL, "0", NULL);
    for (int six = 0; six < 1 + have_ipv6(); six++) {
        sock_t client = sock_open(six ? "::1" : "127.0.0.1", port_text(port_of(listener)), NULL);
        sock_t accepted = sock_accept(listener);
        CHECK(accepted, >, 0);
        CHECK(info_of(client).family, ==, six ? SOCK_IPV6 : SOCK_IPV4);
        CHECK(info_of(accepted).family, ==, six ? SOCK_IPV6 : SOCK_IPV4);
        accepted = sock_from_fd(sock_release_fd(accepted));
        CHECK(info_of(accepted).family, ==, six ? SOCK_IPV6 : SOCK_IPV4);
        CHECK(sock_close(client), ==, 0);
        CHECK(sock_close(accepted), ==, 0);
    }
    CHECK(sock_close(listener), ==, 0);
}

static void bytes_are_counted_in_each_direction(make_pair make)
{
    static char data[8 << 20];
    sock_t pair[2];
    char line[32];
    make(pair);
    CHECK(sock_write(pair[0], "line\nrest", 9), ==, 9);
    CHECK(sock_read_line(pair[1], line, sizeof line), ==, 4);
    CHECK(sock_read_exact(pair[1], line, 4), ==, 4);
    CHECK(info_of(pair[0]).bytes_written, ==, 9);
    CHECK(info_of(pair[0]).bytes_read, ==, 0);
    CHECK(info_of(pair[1]).bytes_read, ==, 9);
    CHECK(info_of(pair[1]).bytes_written, ==, 0);
    CHECK(sock_set_timeout(pair[0], SOCK_WRITE, 20), ==, 0);
    CHECK(sock_write(pair[0], data, sizeof data), ==, SOCK_ETIMEDOUT);
    CHECK(info_of(pair[0]).bytes_written, ==, 9 + sock_last_count()); /* a cut transfer counts what it moved */
    close_pair(pair);
}
OVER_BOTH(bytes_are_counted_in_each_direction)

static void opening_is_measured(void)
{
    uint16_t port;
    int listener = raw_listen(&port);
    sock_t s = sock_open("127.0.0.1", port_text(port), NULL);
    sock_info info = info_of(s);
    CHECK(info.attempts, ==, 1);
    CHECK(info.resolve_us, >=, 0);
    CHECK(info.connect_us, >=, 0);
    CHECK(info.connect_us, <, 10000000);
    CHECK(info.retransmits, ==, 0);
    CHECK(info.rtt_us, >, 0); /* of the handshake */
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

/* Opens again and again: the times reported of each are within what the whole call took, and not all zero. */
static void expect_measured(sock_t (*open)(const char *, const char *, const sock_options *), const char *host, const char *port, bool resolves)
{
    int64_t resolving = 0, connecting = 0;
    for (int i = 0; i < 50; i++) {
        int64_t began = now_us();
        sock_t s = open(host, port, NULL);
        int64_t took = now_us() - began;
        CHECK(s, >, 0);
        sock_info info = info_of(s);
        CHECK(info.resolve_us, >=, 0);
        CHECK(info.connect_us, >=, 0);
        CHECK(info.resolve_us + info.connect_us, <=, took + 1); /* each is cut to whole microseconds */
        resolving += info.resolve_us;
        connecting += info.connect_us;
        CHECK(sock_close(s), ==, 0);
    }
    if (resolves) CHECK(resolving, >, 50);
    CHECK(connecting, >, 50);
}

static void the_parts_of_an_open_add_up_to_no_more_than_it_took(void)
{
    uint16_t port;
    int listener = raw_listen_backlog(&port, 200);
    expect_measured(sock_open, "localhost", port_text(port), true);
    expect_measured(sock_open, "127.0.0.1", port_text(port), false);
    expect_measured(sock_udp_open, "localhost", "9", true);
    expect_measured(sock_udp_open, "127.0.0.1", "9", false);
    raw_close(listener);
}

static void the_size_is_checked_and_an_older_struct_is_respected(void)
{
    sock_t pair[2];
    unix_pair(pair);
    struct {
        sock_info info;
        unsigned char tail[16];
    } longer;
    memset(&longer, 0x99, sizeof longer);
    longer.info.size = 0;
    CHECK(sock_get_info(pair[0], &longer.info), ==, SOCK_EINVAL);
    longer.info.size = sizeof(size_t) + 2; /* through the middle of a field */
    CHECK(sock_get_info(pair[0], &longer.info), ==, SOCK_EINVAL);
    CHECK(longer.info.kind, ==, (int)0x99999999);
    longer.info.size = offsetof(sock_info, family); /* one whose struct ended here */
    CHECK(sock_get_info(pair[0], &longer.info), ==, 0);
    CHECK(longer.info.kind, ==, SOCK_KIND_STREAM);
    CHECK(longer.info.family, ==, (int)0x99999999);
    longer.info.size = offsetof(sock_info, bytes_written); /* a program of an older version */
    CHECK(sock_get_info(pair[0], &longer.info), ==, 0);
    CHECK(longer.info.kind, ==, SOCK_KIND_STREAM);
    CHECK(longer.info.bytes_written, ==, UINT64_C(0x9999999999999999));
    CHECK(longer.tail[0], ==, 0x99);
    longer.info.size = sizeof longer; /* a program of a newer version, or a size that was never set */
    CHECK(sock_get_info(pair[0], &longer.info), ==, 0);
    for (size_t i = 0; i < sizeof longer.tail; i++) CHECK(longer.tail[i], ==, 0x99);
    close_pair(pair);
}

static void the_version_is_told(void)
{
    CHECK(sock_version(), ==, SOCK_VERSION);
    CHECK(strcmp(sock_version_text(), SOCK_VERSION_TEXT), ==, 0);
}

/* ---- the logger ---- */

typedef struct log_book {
    atomic_int messages, broken;
} log_book;

static void write_down(int level, const char *message, void *context_pointer)
{
    log_book *book = context_pointer;
    (void)level;
    atomic_fetch_add(&book->messages, 1);
    if (!message || !*message || strchr(message, '\n')) atomic_fetch_add(&book->broken, 1);
}

static void do_something(void)
{
    sock_t pair[2];
    unix_pair(pair);
    close_pair(pair);
    CHECK(sock_open("127.0.0.1", "1", SOCK_OPTIONS(.timeout_ms = 1000)), <, 0);
}

static void a_logger_is_called_with_its_context_until_it_is_removed(void)
{
    log_book book = { 0 }, second = { 0 };
    CHECK(sock_set_logger(write_down, &book), ==, 0);
    do_something();
    CHECK(atomic_load(&book.messages), >, 0);
    CHECK(sock_set_logger(write_down, &second), ==, 0);
    int before = atomic_load(&book.messages);
    do_something();
    CHECK(atomic_load(&book.messages), ==, before);
    CHECK(atomic_load(&second.messages), >, 0);
    CHECK(sock_set_logger(NULL, NULL), ==, 0);
    before = atomic_load(&second.messages);
    do_something();
    CHECK(atomic_load(&second.messages), ==, before);
    CHECK(atomic_load(&book.broken) + atomic_load(&second.broken), ==, 0);
}

static void what_would_block_is_not_logged(void)
{
    log_book book = { 0 };
    sock_t pair[2];
    char byte;
    unix_pair(pair);
    CHECK(sock_set_logger(write_down, &book), ==, 0);
    CHECK(sock_try_read(pair[0], &byte, 1), ==, SOCK_EAGAIN);
    CHECK(atomic_load(&book.messages), ==, 0);
    CHECK(sock_close(3), ==, SOCK_EHANDLE);
    CHECK(atomic_load(&book.messages), ==, 1);
    CHECK(sock_set_logger(NULL, NULL), ==, 0);
    close_pair(pair);
}

/* A logger may use the library, and may replace itself. */
static void log_and_use(int level, const char *message, void *context_pointer)
{
    static _Thread_local bool inside;
    (void)level, (void)message;
    atomic_fetch_add((atomic_int *)context_pointer, 1);
    if (inside) return;
    inside = true;
    sock_t pair[2];
    unix_pair(pair);
    close_pair(pair);
    CHECK(strlen(sock_last_error()) < 8192, ==, true);
    CHECK(sock_close(3), ==, SOCK_EHANDLE);
    CHECK(sock_set_logger(log_and_use, context_pointer), ==, 0);
    inside = false;
}

static void a_logger_may_call_the_library(void)
{
    atomic_int calls = 0;
    CHECK(sock_set_logger(log_and_use, &calls), ==, 0);
    do_something();
    CHECK(atomic_load(&calls), >, 0);
    CHECK(sock_set_logger(NULL, NULL), ==, 0);
}

/* What fails inside the logger is not logged, and does not hide what it was called for. */
static void fail_inside(int level, const char *message, void *context_pointer)
{
    (void)level, (void)message;
    if (atomic_fetch_add((atomic_int *)context_pointer, 1) < 100) CHECK(sock_poller_wake(3), ==, SOCK_EHANDLE);
}

static void a_failure_inside_the_logger_stays_there(void)
{
    atomic_int calls = 0;
    CHECK(sock_set_logger(fail_inside, &calls), ==, 0);
    CHECK(sock_close(3), ==, SOCK_EHANDLE);
    CHECK(sock_set_logger(NULL, NULL), ==, 0);
    CHECK(atomic_load(&calls), ==, 1);
    CHECK(strncmp(sock_last_error(), "close", 5), ==, 0);
}

static atomic_bool stop;
static void *log_on(void *argument)
{
    (void)argument;
    while (!atomic_load(&stop)) {
        sock_t pair[2];
        unix_pair(pair);
        close_pair(pair);
        sock_close(3);
    }
    return NULL;
}

static void loggers_may_be_exchanged_while_others_log(void)
{
    log_book books[2] = { { 0 }, { 0 } };
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) threads[i] = start_thread(log_on, NULL);
    for (int i = 0; i < rounds(5000); i++) {
        CHECK(sock_set_logger(i % 3 ? write_down : NULL, i % 3 ? &books[i % 2] : NULL), ==, 0);
        if (i % 50 == 0) sched_yield();
    }
    CHECK(sock_set_logger(NULL, NULL), ==, 0);
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++) join_thread(threads[i]);
    CHECK(atomic_load(&books[0].broken) + atomic_load(&books[1].broken), ==, 0);
}

static const test_case cases[] = {
    CASE(kind_and_family_are_told),
    CASE(a_dual_stack_listener_accepts_connections_of_either_family),
    BOTH_CASES(bytes_are_counted_in_each_direction),
    CASE(opening_is_measured),
    CASE(the_parts_of_an_open_add_up_to_no_more_than_it_took),
    CASE(the_size_is_checked_and_an_older_struct_is_respected),
    CASE(the_version_is_told),
    CASE(a_logger_is_called_with_its_context_until_it_is_removed),
    CASE(what_would_block_is_not_logged),
    CASE(a_logger_may_call_the_library),
    CASE(a_failure_inside_the_logger_stays_there),
    CASE(loggers_may_be_exchanged_while_others_log),
};
TEST_MAIN(cases)
