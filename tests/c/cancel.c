/* sock_cancel: sticky, at once, for every call that would have to wait, and callable from a signal handler. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include "harness.h"

static char data[BLOCKING_SIZE];

static void cancel_ends_every_blocked_transfer_within_50_ms(make_pair make)
{
    enum { TRIES = 5 };
    for (int i = 0; i < BLOCKING_CALLS; i++) {
        const blocking_call *b = &blocking_calls[i];
        int64_t took[TRIES];
        context("%s", b->name);
        for (int try = 0; try < TRIES; try++) {
            sock_t pair[2];
            make(pair);
            call c = { .run = b->run, .socket = pair[0], .buffer = calloc(1, b->size), .size = b->size };
            call_start(&c);
            call_wait_asleep(&c);
            int64_t began = now_us();
            CHECK(sock_cancel(pair[0]), ==, 0);
            CHECK(call_join(&c), ==, SOCK_ECANCELED);
            took[try] = call_ended_after_us(&c, began);
            free(c.buffer);
            close_pair(pair);
        }
        if (!under_memcheck()) CHECK(median(took, TRIES), <, 50000);
    }
}
OVER_BOTH(cancel_ends_every_blocked_transfer_within_50_ms)

static void cancel_ends_a_blocked_accept_and_every_later_one(void)
{
    call c = { .run = call_accept, .socket = listen_local() };
    call_start(&c);
    call_wait_asleep(&c);
    CHECK(sock_cancel(c.socket), ==, 0);
    CHECK(call_join(&c), ==, SOCK_ECANCELED);
    CHECK(sock_accept(c.socket), ==, SOCK_ECANCELED);
    CHECK(sock_close(c.socket), ==, 0);
}

static void cancel_is_sticky_for_whatever_would_wait(make_pair make)
{
    sock_t pair[2];
    make(pair);
    CHECK(sock_cancel(pair[0]), ==, 0);
    fill(pair[0]);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKING_CALLS; i++) {
            context("%s", blocking_calls[i].name);
            call c = { .run = blocking_calls[i].run, .socket = pair[0], .buffer = data, .size = blocking_calls[i].size };
            CHECK(c.run(&c), ==, SOCK_ECANCELED);
        }
        CHECK(sock_cancel(pair[0]), ==, 0);
        CHECK(sock_set_deadline(pair[0], SOCK_READ | SOCK_WRITE, SOCK_FOREVER), ==, 0);
    }
    close_pair(pair);
}
OVER_BOTH(cancel_is_sticky_for_whatever_would_wait)

/* A call on a canceled handle that need not wait works as usual. */
static void what_need_not_wait_is_done_after_cancel(make_pair make)
{
    sock_t pair[2];
    char buffer[8];
    make(pair);
    CHECK(sock_write(pair[1], "abc\ndef", 7), ==, 7);
    CHECK(sock_cancel(pair[0]), ==, 0);
    WAIT_UNTIL(sock_peek(pair[0], buffer, 7) == 7);
    CHECK(sock_read_line(pair[0], buffer, sizeof buffer), ==, 3);
    CHECK(sock_read_exact(pair[0], buffer, 3), ==, 3);
    CHECK(sock_write(pair[0], "out", 3), ==, 3);
    CHECK(sock_read_exact(pair[1], buffer, 3), ==, 3);
    CHECK(sock_try_read(pair[0], buffer, 1), ==, SOCK_EAGAIN);
    CHECK(sock_read(pair[0], buffer, 1), ==, SOCK_ECANCELED);
    close_pair(pair);
}
OVER_BOTH(what_need_not_wait_is_done_after_cancel)

static void cancel_reaches_calls_that_wait_for_their_turn(make_pair make)
{
    sock_t pair[2];
    call crowd[CROWD];
    make(pair);
    crowd_start(crowd, pair[0]);
    CHECK(sock_cancel(pair[0]), ==, 0);
    crowd_join(crowd, SOCK_ECANCELED);
    close_pair(pair);
}
OVER_BOTH(cancel_reaches_calls_that_wait_for_their_turn)

static void a_cut_transfer_counts_exactly(make_pair make)
{
    sock_t pair[2];
    char buffer[16];
    make(pair);
    CHECK(sock_write(pair[1], "12345", 5), ==, 5);
    call reader = { .run = call_read_exact, .socket = pair[0], .buffer = buffer, .size = sizeof buffer };
    call writer = { .run = call_write, .socket = pair[0], .buffer = data, .size = sizeof data };
    call_start(&reader);
    call_start(&writer);
    call_wait_asleep(&reader);
    call_wait_asleep(&writer);
    CHECK(sock_cancel(pair[0]), ==, 0);
    CHECK(call_join(&reader), ==, SOCK_ECANCELED);
    CHECK(call_join(&writer), ==, SOCK_ECANCELED);
    CHECK(reader.last_count, ==, 5);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_read_exact(pair[1], data, sizeof data), ==, SOCK_EEOF);
    CHECK(sock_last_count(), ==, writer.last_count);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(a_cut_transfer_counts_exactly)

/* A connection that is accepted from a canceled listener, or opened beside, is not canceled. */
static void cancel_concerns_one_handle_only(void)
{
    sock_t listener = listen_local(), client = open_local(listener), accepted;
    char byte;
    CHECK(sock_cancel(listener), ==, 0);
    WAIT_UNTIL((accepted = sock_accept(listener)) != SOCK_ECANCELED);
    CHECK(accepted, >, 0);
    call reader;
    start_reader(&reader, accepted, &byte);
    CHECK(sock_write(client, "x", 1), ==, 1);
    CHECK(call_join(&reader), ==, 1);
    CHECK(sock_close(listener), ==, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
}

static sock_t cancel_this;
static volatile sig_atomic_t cancel_result, handler_ran;

static void cancel_in_handler(int number)
{
    (void)number;
    int before = errno;
    cancel_result = sock_cancel(cancel_this);
    handler_ran++;
    errno = before;
}

static void install(int number, void (*handler)(int))
{
    struct sigaction action = { .sa_handler = handler };
    CHECK(sigaction(number, &action, NULL), ==, 0);
}

static void a_sigint_handler_may_cancel(void)
{
    for (int in_other_thread = 0; in_other_thread < 2; in_other_thread++) {
        call c = { .run = call_accept, .socket = listen_local() };
        install(SIGINT, cancel_in_handler);
        cancel_this = c.socket;
        handler_ran = 0;
        call_start(&c);
        call_wait_asleep(&c);
        CHECK(pthread_kill(in_other_thread ? pthread_self() : c.thread, SIGINT), ==, 0);
        CHECK(call_join(&c), ==, SOCK_ECANCELED);
        CHECK(handler_ran, ==, 1);
        CHECK(cancel_result, ==, 0);
        CHECK(sock_close(c.socket), ==, 0);
    }
}

/* The handler interrupts the library wherever it is, thousands of times: it must neither deadlock nor break anything. */
static void a_handler_may_cancel_at_any_moment(void)
{
    sock_t pair[2], canceled[2];
    char buffer[64];
    unix_pair(pair);
    unix_pair(canceled);
    install(SIGALRM, cancel_in_handler);
    cancel_this = canceled[0];
    handler_ran = 0;
    struct itimerval storm = { { 0, 100 }, { 0, 100 } }, calm = { { 0, 0 }, { 0, 0 } };
    CHECK(setitimer(ITIMER_REAL, &storm, NULL), ==, 0);
    while (handler_ran < rounds(3000)) {
        CHECK(sock_printf(pair[0], "%s", "a line\n"), ==, 7);
        CHECK(sock_read_line(pair[1], buffer, sizeof buffer), ==, 6);
        CHECK(sock_read(canceled[0], buffer, 1), <, 0);
        sock_t more[2];
        unix_pair(more);
        close_pair(more);
    }
    CHECK(setitimer(ITIMER_REAL, &calm, NULL), ==, 0);
    CHECK(cancel_result, ==, 0);
    CHECK(sock_read(canceled[0], buffer, 1), ==, SOCK_ECANCELED);
    close_pair(pair);
    close_pair(canceled);
}

static void a_handler_may_cancel_its_own_handle_before_it_waits(void)
{
    install(SIGUSR1, cancel_in_handler);
    for (int i = 0; i < rounds(500); i++) {
        sock_t pair[2];
        char byte;
        unix_pair(pair);
        cancel_this = pair[0];
        call reader = { .run = call_read, .socket = pair[0], .buffer = &byte, .size = 1 };
        call_start(&reader);
        WAIT_UNTIL(atomic_load(&reader.id) != 0);
        CHECK(pthread_kill(reader.thread, SIGUSR1), ==, 0); /* at whatever point it is */
        CHECK(call_join(&reader), ==, SOCK_ECANCELED);
        close_pair(pair);
    }
}

static void cancel_of_a_dead_handle_is_refused(void)
{
    sock_t pair[2];
    unix_pair(pair);
    close_pair(pair);
    CHECK(sock_cancel(pair[0]), ==, SOCK_EHANDLE);
    CHECK(sock_cancel(0), ==, SOCK_EHANDLE);
}

static const test_case cases[] = {
    BOTH_CASES(cancel_ends_every_blocked_transfer_within_50_ms),
    CASE(cancel_ends_a_blocked_accept_and_every_later_one),
    BOTH_CASES(cancel_is_sticky_for_whatever_would_wait),
    BOTH_CASES(what_need_not_wait_is_done_after_cancel),
    BOTH_CASES(cancel_reaches_calls_that_wait_for_their_turn),
    BOTH_CASES(a_cut_transfer_counts_exactly),
    CASE(cancel_concerns_one_handle_only),
    CASE(a_sigint_handler_may_cancel),
    CASE(a_handler_may_cancel_at_any_moment),
    CASE(a_handler_may_cancel_its_own_handle_before_it_waits),
    CASE(cancel_of_a_dead_handle_is_refused),
};
TEST_MAIN(cases)
