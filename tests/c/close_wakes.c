/* Closing a handle ends every call that is blocked in it, at once, and the connection lives on for whoever else holds it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "harness.h"

static char data[BLOCKING_SIZE];

enum { TRIES = 5, LIMIT_US = 50000 };

static void expect_woken_by_close(call *c, sock_t s, int64_t *woke_us, int64_t *close_us)
{
    call_start(c);
    call_wait_asleep(c);
    stopwatch watch = start_watch();
    CHECK(sock_close(s), ==, 0);
    *close_us = watch_us(&watch);
    CHECK(call_join(c), ==, SOCK_ECLOSED);
    *woke_us = call_ended_after_us(c, watch.began_us);
    CHECK(sock_close(s), ==, SOCK_EHANDLE);
}

static void expect_quick(int64_t *woke_us, int64_t *close_us)
{
    if (under_memcheck()) return;
    CHECK(median(woke_us, TRIES), <, LIMIT_US);
    CHECK(median(close_us, TRIES), <, LIMIT_US);
}

static void close_ends_every_blocked_transfer(make_pair make)
{
    for (int i = 0; i < BLOCKING_CALLS; i++) {
        const blocking_call *b = &blocking_calls[i];
        int64_t woke[TRIES], closing[TRIES];
        context("%s", b->name);
        for (int try = 0; try < TRIES; try++) {
            sock_t pair[2];
            char *buffer = malloc(b->size);
            memset(buffer, 0, b->size);
            make(pair);
            call c = { .run = b->run, .socket = pair[0], .buffer = buffer, .size = b->size };
            expect_woken_by_close(&c, pair[0], &woke[try], &closing[try]);
            CHECK(sock_close(pair[1]), ==, 0);
            free(buffer);
        }
        expect_quick(woke, closing);
    }
}
OVER_BOTH(close_ends_every_blocked_transfer)

static void close_ends_a_blocked_accept(void)
{
    int64_t woke[TRIES], closing[TRIES];
    for (int try = 0; try < TRIES; try++) {
        call c = { .run = call_accept, .socket = listen_local() };
        expect_woken_by_close(&c, c.socket, &woke[try], &closing[try]);
    }
    expect_quick(woke, closing);
}

static void close_ends_a_blocked_unix_accept(void)
{
    char folder[FOLDER], host[UNIX_HOST];
    make_unix_host(folder, host);
    int64_t woke[TRIES], closing[TRIES];
    for (int try = 0; try < TRIES; try++) {
        call c = { .run = call_accept, .socket = sock_listen(host, NULL, NULL) };
        CHECK(c.socket, >, 0);
        expect_woken_by_close(&c, c.socket, &woke[try], &closing[try]);
    }
    expect_quick(woke, closing);
    CHECK(rmdir(folder), ==, 0);
}

static void close_ends_a_lingering_close(make_pair make)
{
    sock_t pair[2];
    make(pair);
    call finisher = { .run = call_finish, .socket = pair[0], .number = SOCK_FOREVER };
    call_start(&finisher);
    call_wait_asleep(&finisher);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(call_join(&finisher), ==, SOCK_ECLOSED);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(close_ends_a_lingering_close)

static void linger_by_option(sock_t *s, int *peer)
{
    tcp_with_raw_peer(s, peer);
    CHECK(sock_set_option(*s, SOCK_OPT_LINGER_MS, 1000), ==, 0);
}

/* The kernel hands SO_LINGER on to what a listener accepts. */
static void linger_by_listener(sock_t *s, int *peer)
{
    uint16_t port;
    struct linger one_second = { 1, 1 };
    int fd = raw_listen(&port);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &one_second, sizeof one_second), ==, 0);
    sock_t listener = sock_from_fd(fd);
    CHECK(listener, >, 0);
    *peer = raw_connect(port);
    *s = sock_accept(listener);
    CHECK(*s, >, 0);
    CHECK(sock_close(listener), ==, 0);
}

/* SO_LINGER makes close(2) wait in whoever calls it: that has to be the closer, and not the reader that it wakes. */
static void woken_though_the_closer_lingers(void (*make)(sock_t *s, int *peer))
{
    int64_t woke[TRIES];
    for (int try = 0; try < TRIES; try++) {
        sock_t s;
        int peer;
        char byte;
        call reader;
        make(&s, &peer);
        CHECK(fill(s), >, 0);
        start_reader(&reader, s, &byte);
        int64_t began = now_us();
        CHECK(sock_close(s), ==, 0);
        CHECK(now_us() - began, >=, 1000000);
        CHECK(call_join(&reader), ==, SOCK_ECLOSED);
        woke[try] = call_ended_after_us(&reader, began);
        raw_close(peer);
    }
    if (!under_memcheck()) CHECK(median(woke, TRIES), <, LIMIT_US);
}

static void a_reader_is_woken_though_the_closer_lingers(void) { woken_though_the_closer_lingers(linger_by_option); }
static void a_reader_is_woken_though_the_listener_lingered(void) { woken_though_the_closer_lingers(linger_by_listener); }

/* What comes before it wakes is not read any more. */
static void a_reader_that_wakes_late_hears_of_the_close(make_pair make)
{
    sock_t pair[2];
    char byte;
    call reader;
    make(pair);
    start_reader(&reader, pair[0], &byte);
    call_hold(&reader);
    CHECK(sock_write(pair[1], "x", 1), ==, 1);
    CHECK(sock_close(pair[0]), ==, 0);
    call_let_go();
    CHECK(call_join(&reader), ==, SOCK_ECLOSED);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(a_reader_that_wakes_late_hears_of_the_close)

static void *drain_later(void *peer)
{
    sleep_ms(50);
    return (void *)(intptr_t)raw_drain(*(int *)peer);
}

static void *reset_later(void *peer)
{
    sleep_ms(50);
    raw_reset(*(int *)peer);
    return NULL;
}

static void lingering_ends_when_the_peer_has_everything_or_is_gone(void)
{
    for (int gone = 0; gone < 2; gone++) {
        sock_t s;
        int peer;
        tcp_with_raw_peer(&s, &peer);
        int64_t written = fill(s);
        CHECK(sock_set_option(s, SOCK_OPT_LINGER_MS, 60000), ==, 0);
        pthread_t other = start_thread(gone ? reset_later : drain_later, &peer);
        int64_t began = now_ms();
        CHECK(sock_close(s), ==, 0);
        CHECK(now_ms() - began, >=, 40);
        CHECK(now_ms() - began, <, 30000);
        void *drained = join_thread(other);
        if (gone) continue;
        CHECK((intptr_t)drained, ==, written);
        raw_close(peer);
    }
}

static void close_ends_all_of_eight_accepts(void)
{
    enum { THREADS = 8 };
    call calls[THREADS];
    int64_t took[THREADS];
    sock_t listener = listen_local();
    for (int i = 0; i < THREADS; i++) {
        calls[i] = (call){ .run = call_accept, .socket = listener };
        call_start(&calls[i]);
    }
    for (int i = 0; i < THREADS; i++) call_wait_asleep(&calls[i]);
    stopwatch watch = start_watch();
    CHECK(sock_close(listener), ==, 0);
    int64_t closed_us = now_us(), own_us = watch_us(&watch);
    for (int i = 0; i < THREADS; i++) {
        CHECK(call_join(&calls[i]), ==, SOCK_ECLOSED);
        took[i] = own_us + call_ended_after_us(&calls[i], closed_us); /* woken one after the other while we close */
    }
    if (!under_memcheck()) CHECK(median(took, THREADS), <, LIMIT_US);
    CHECK(sock_accept(listener), ==, SOCK_EHANDLE);
}

/* Also those that only wait for their turn to write or to read. */
static void close_ends_calls_that_wait_for_their_turn(make_pair make)
{
    sock_t pair[2];
    call crowd[CROWD];
    make(pair);
    crowd_start(crowd, pair[0]);
    CHECK(sock_close(pair[0]), ==, 0);
    crowd_join(crowd, SOCK_ECLOSED);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(close_ends_calls_that_wait_for_their_turn)

static void a_cut_write_counts_exactly_what_was_sent(make_pair make)
{
    sock_t pair[2];
    make(pair);
    call writer = { .run = call_write, .socket = pair[0], .buffer = data, .size = sizeof data };
    call_start(&writer);
    call_wait_asleep(&writer);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(call_join(&writer), ==, SOCK_ECLOSED);
    char *received = malloc(sizeof data);
    CHECK(sock_read_exact(pair[1], received, sizeof data), ==, SOCK_EEOF);
    CHECK(sock_last_count(), ==, writer.last_count);
    free(received);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(a_cut_write_counts_exactly_what_was_sent)

/* The peer learns of the close as soon as the last call has left, which is at once. */
static void the_peer_sees_the_end_though_a_reader_was_blocked(void)
{
    sock_t s;
    int peer;
    char byte;
    tcp_with_raw_peer(&s, &peer);
    call reader;
    start_reader(&reader, s, &byte);
    CHECK(sock_close(s), ==, 0);
    CHECK(raw_readable(peer, 10000), ==, true);
    CHECK(recv(peer, &byte, 1, 0), ==, 0);
    CHECK(call_join(&reader), ==, SOCK_ECLOSED);
    raw_close(peer);
}

static void closing_does_not_shut_the_connection_of_another_process(void)
{
    sock_t s;
    int peer;
    char byte = 0;
    tcp_with_raw_peer(&s, &peer);
    int shared = sock_fd(s);
    pid_t child = fork_child();
    if (child == 0) {
        /* The child has its own copy of the descriptor; it answers after the parent has closed. */
        raw_receive(shared, &byte, 1);
        raw_send(shared, "c", 1);
        _exit(byte == 'p' ? 0 : 1);
    }
    call reader = { .run = call_peek, .socket = s, .buffer = data, .size = 1 };
    call_start(&reader);
    call_wait_asleep(&reader);
    CHECK(sock_close(s), ==, 0);
    CHECK(call_join(&reader), ==, SOCK_ECLOSED);
    raw_send(peer, "p", 1);
    raw_receive(peer, &byte, 1);
    CHECK(byte, ==, 'c');
    CHECK(child_status(child), ==, 0);
    CHECK(raw_drain(peer), ==, 0);
    raw_close(peer);
}

static void a_connection_that_was_passed_on_survives_the_close(void)
{
    sock_t s;
    int peer;
    char byte;
    tcp_with_raw_peer(&s, &peer);
    int passed = dup(sock_fd(s));
    CHECK(passed, >, 0);
    CHECK(sock_close(s), ==, 0);
    raw_send(peer, "1", 1);
    raw_receive(passed, &byte, 1);
    raw_send(passed, "2", 1);
    raw_receive(peer, &byte, 1);
    CHECK(byte, ==, '2');
    raw_close(passed);
    raw_close(peer);
}

static void close_of_another_handle_does_not_disturb(make_pair make)
{
    sock_t pair[2], other[2];
    char byte;
    make(pair);
    make(other);
    call reader;
    start_reader(&reader, pair[0], &byte);
    close_pair(other);
    CHECK(atomic_load(&reader.done), ==, 0);
    CHECK(sock_write(pair[1], "k", 1), ==, 1);
    CHECK(call_join(&reader), ==, 1);
    CHECK(byte, ==, 'k');
    close_pair(pair);
}
OVER_BOTH(close_of_another_handle_does_not_disturb)

static const test_case cases[] = {
    BOTH_CASES(close_ends_every_blocked_transfer),
    CASE(close_ends_a_blocked_accept),
    CASE(close_ends_a_blocked_unix_accept),
    BOTH_CASES(close_ends_a_lingering_close),
    SLOW_CASE(a_reader_is_woken_though_the_closer_lingers),
    SLOW_CASE(a_reader_is_woken_though_the_listener_lingered),
    BOTH_CASES(a_reader_that_wakes_late_hears_of_the_close),
    CASE(lingering_ends_when_the_peer_has_everything_or_is_gone),
    CASE(close_ends_all_of_eight_accepts),
    BOTH_CASES(close_ends_calls_that_wait_for_their_turn),
    BOTH_CASES(a_cut_write_counts_exactly_what_was_sent),
    CASE(the_peer_sees_the_end_though_a_reader_was_blocked),
    CASE(closing_does_not_shut_the_connection_of_another_process),
    CASE(a_connection_that_was_passed_on_survives_the_close),
    BOTH_CASES(close_of_another_handle_does_not_disturb),
};
TEST_MAIN(cases)
