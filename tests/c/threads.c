/* Any thread, any function, any handle, at the same time. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "harness.h"

/* ---- close against everything ---- */

typedef struct duel {
    pthread_barrier_t barrier;
    sock_t socket;
    int64_t (*against)(sock_t s);
    int64_t result;
    bool over;
    pthread_t opponent;
} duel;

static void *fight(void *argument)
{
    duel *d = argument;
    for (;;) {
        pthread_barrier_wait(&d->barrier);
        if (d->over) return NULL;
        d->result = d->against(d->socket);
        pthread_barrier_wait(&d->barrier);
    }
}

static void begin(duel *d)
{
    pthread_barrier_init(&d->barrier, NULL, 2);
    d->opponent = start_thread(fight, d);
}

/* Lets the opponent act, and the caller a little later. If both are done, the caller waits at the barrier. */
static void start_round(duel *d, int pauses)
{
    pthread_barrier_wait(&d->barrier);
    for (int pause = 0; pause < pauses; pause++) atomic_signal_fence(memory_order_seq_cst);
}

static void end(duel *d)
{
    d->over = true;
    pthread_barrier_wait(&d->barrier);
    join_thread(d->opponent);
    pthread_barrier_destroy(&d->barrier);
}

static char bytes[64];
static sock_address address;

static int64_t duel_close(sock_t s) { return sock_close(s); }
static int64_t duel_abort(sock_t s) { return sock_abort(s); }
static int64_t duel_finish(sock_t s) { return sock_finish(s, 1); }
static int64_t duel_release(sock_t s)
{
    int fd = sock_release_fd(s);
    return fd >= 0 ? close(fd) : fd;
}
static int64_t duel_read(sock_t s) { return sock_read(s, bytes, 1); }
static int64_t duel_read_exact(sock_t s) { return sock_read_exact(s, bytes, sizeof bytes); }
static int64_t duel_read_line(sock_t s) { return sock_read_line(s, bytes, sizeof bytes); }
static int64_t duel_peek(sock_t s) { return sock_peek(s, bytes, 1); }
static int64_t duel_try_read(sock_t s) { return sock_try_read(s, bytes, 1); }
static int64_t duel_write(sock_t s) { return sock_write(s, bytes, 1); }
static int64_t duel_try_write(sock_t s) { return sock_try_write(s, bytes, 1); }
static int64_t duel_shutdown(sock_t s) { return sock_shutdown(s, SOCK_WRITE); }
static int64_t duel_set_timeout(sock_t s) { return sock_set_timeout(s, SOCK_READ, 5); }
static int64_t duel_set_deadline(sock_t s) { return sock_set_deadline(s, SOCK_READ, 5); }
static int64_t duel_cancel(sock_t s) { return sock_cancel(s); }
static int64_t duel_buffered(sock_t s) { return (int64_t)sock_buffered(s); }
static int64_t duel_fd(sock_t s) { return sock_fd(s) >= 0 ? 0 : SOCK_EHANDLE; }
static int64_t duel_local_address(sock_t s) { return sock_local_address(s, &address); }
static int64_t duel_peer_address(sock_t s) { return sock_peer_address(s, &address); }
static int64_t duel_option(sock_t s) { return sock_set_option(s, SOCK_OPT_SEND_BUFFER, 65536); }
static int64_t duel_info(sock_t s) { return sock_get_info(s, &(sock_info){ .size = sizeof(sock_info) }); }

static const struct {
    const char *name;
    int64_t (*against)(sock_t s);
    bool ends; /* of the two, exactly one closes the handle */
} duels[] = {
    { "close", duel_close, true },     { "abort", duel_abort, true },         { "finish", duel_finish, true },
    { "release_fd", duel_release, true }, { "read", duel_read, false },       { "read_exact", duel_read_exact, false },
    { "read_line", duel_read_line, false }, { "peek", duel_peek, false },     { "try_read", duel_try_read, false },
    { "write", duel_write, false },    { "try_write", duel_try_write, false }, { "shutdown", duel_shutdown, false },
    { "set_timeout", duel_set_timeout, false }, { "set_deadline", duel_set_deadline, false },
    { "cancel", duel_cancel, false },  { "buffered", duel_buffered, false },  { "fd", duel_fd, false },
    { "local_address", duel_local_address, false }, { "peer_address", duel_peer_address, false },
    { "set_option", duel_option, false }, { "get_info", duel_info, false },
};

static bool is_documented(int64_t result, int64_t (*against)(sock_t s))
{
    if (result >= 0 || result == SOCK_EHANDLE || result == SOCK_ECLOSED) return true;
    if (against == duel_try_read || against == duel_try_write) return result == SOCK_EAGAIN;
    return against == duel_finish && result == SOCK_ETIMEDOUT;
}

static void close_may_race_with_every_function(make_pair make)
{
    for (size_t i = 0; i < sizeof duels / sizeof *duels; i++) {
        duel d = { .against = duels[i].against };
        int won[2] = { 0, 0 };
        begin(&d);
        context("%s", duels[i].name);
        for (int round = 0; round < rounds(deep() ? 10000 : 400); round++) {
            sock_t pair[2];
            make(pair);
            d.socket = pair[0];
            start_round(&d, round % 50 * 20);
            int closed = sock_close(pair[0]);
            pthread_barrier_wait(&d.barrier);
            CHECK(is_documented(d.result, d.against), ==, true);
            if (duels[i].ends) {
                bool other_won = d.result == 0 || d.result == SOCK_ETIMEDOUT;
                /* A finish that was closed while it lingered is neither's alone. */
                if (d.result != SOCK_ECLOSED) CHECK((closed == 0) + other_won, ==, 1);
                won[other_won]++;
            } else {
                CHECK(closed, ==, 0);
            }
            CHECK(sock_close(pair[0]), ==, SOCK_EHANDLE);
            CHECK(sock_close(pair[1]), ==, 0);
        }
        end(&d);
        CHECK(sock_live_handles(), ==, 0);
    }
}
OVER_BOTH(close_may_race_with_every_function)

/* ---- a release that fails, against everything ---- */

static void *release_until_it_ends(void *argument)
{
    duel *d = argument;
    pthread_barrier_wait(&d->barrier);
    do d->result = sock_release_fd(d->socket);
    while (d->result == SOCK_EBUSY);
    return NULL;
}

/* One writes and waits, so that no release succeeds: nobody else notices that it is tried. */
static void a_release_that_fails_disturbs_nobody(void)
{
    for (int round = 0; round < rounds(deep() ? 10000 : 200); round++) {
        duel d;
        sock_t pair[2];
        char byte = 'x';
        unix_pair(pair);
        d.socket = pair[0];
        fill(pair[0]);
        call write = { .run = call_write, .socket = pair[0], .buffer = &byte, .size = 1 };
        call_start(&write);
        call_wait_asleep(&write);
        pthread_barrier_init(&d.barrier, NULL, 2);
        pthread_t releaser = start_thread(release_until_it_ends, &d);
        pthread_barrier_wait(&d.barrier);
        for (int i = 0; i < 500; i++) {
            CHECK(sock_try_read(pair[0], bytes, 1), ==, SOCK_EAGAIN);
            CHECK(duel_info(pair[0]), ==, 0);
        }
        if (round % 2) {
            CHECK(sock_set_deadline(pair[0], SOCK_READ, 60000), ==, 0);
            CHECK(sock_cancel(pair[0]), ==, 0);
            int64_t got = sock_read(pair[0], bytes, 1);
            CHECK(got == SOCK_ECANCELED || got == SOCK_EHANDLE, ==, true); /* the releaser may have come first by now */
            CHECK(call_join(&write), ==, SOCK_ECANCELED);
            join_thread(releaser);
            CHECK(d.result, >=, 0);
            CHECK(close((int)d.result), ==, 0);
        } else {
            CHECK(sock_close(pair[0]), ==, 0);
            CHECK(call_join(&write), ==, SOCK_ECLOSED);
            join_thread(releaser);
            CHECK(d.result, ==, SOCK_EHANDLE);
        }
        pthread_barrier_destroy(&d.barrier);
        CHECK(sock_close(pair[0]), ==, SOCK_EHANDLE);
        CHECK(sock_close(pair[1]), ==, 0);
    }
}

static void of_two_releases_one_succeeds(void)
{
    duel d = { .against = duel_release };
    begin(&d);
    for (int round = 0; round < rounds(deep() ? 100000 : 5000); round++) {
        sock_t pair[2];
        unix_pair(pair);
        d.socket = pair[0];
        start_round(&d, round % 50 * 10);
        int64_t result = duel_release(pair[0]);
        pthread_barrier_wait(&d.barrier);
        int64_t lost = result == 0 ? d.result : result;
        CHECK((result == 0) + (d.result == 0), ==, 1);
        CHECK(lost == SOCK_EBUSY || lost == SOCK_EHANDLE, ==, true);
        CHECK(sock_close(pair[0]), ==, SOCK_EHANDLE);
        CHECK(sock_close(pair[1]), ==, 0);
    }
    end(&d);
}

/* ---- cancel and deadlines against waiting calls: no wake-up is ever lost ---- */

static void a_cancel_is_never_lost(void)
{
    duel d = { .against = duel_read };
    begin(&d);
    for (int round = 0; round < rounds(deep() ? 100000 : 5000); round++) {
        sock_t pair[2];
        unix_pair(pair);
        d.socket = pair[0];
        start_round(&d, round % 50 * 20);
        CHECK(sock_cancel(pair[0]), ==, 0);
        pthread_barrier_wait(&d.barrier);
        CHECK(d.result, ==, SOCK_ECANCELED);
        close_pair(pair);
    }
    end(&d);
}

static void a_deadline_is_never_lost(void)
{
    duel d = { .against = duel_read };
    begin(&d);
    sock_t pair[2];
    unix_pair(pair);
    d.socket = pair[0];
    for (int round = 0; round < rounds(deep() ? 100000 : 5000); round++) {
        CHECK(sock_set_deadline(pair[0], SOCK_READ, SOCK_FOREVER), ==, 0);
        start_round(&d, round % 50 * 20);
        CHECK(sock_set_deadline(pair[0], SOCK_READ, 0), ==, 0);
        pthread_barrier_wait(&d.barrier);
        CHECK(d.result, ==, SOCK_ETIMEDOUT);
    }
    close_pair(pair);
    end(&d);
}

/* ---- many threads, one server ---- */

typedef struct crowd {
    sock_t listener;
    uint16_t port;
    int each;
    _Atomic int64_t served;
} crowd;

static void *serve(void *argument)
{
    crowd *c = argument;
    for (;;) {
        sock_t s = sock_accept(c->listener);
        if (s < 0) {
            CHECK(s == SOCK_ECLOSED || s == SOCK_EHANDLE, ==, true);
            return NULL;
        }
        uint64_t number;
        CHECK(sock_read_exact(s, &number, sizeof number), ==, sizeof number);
        CHECK(sock_write(s, &number, sizeof number), ==, sizeof number);
        CHECK(sock_close(s), ==, 0);
        atomic_fetch_add(&c->served, 1);
    }
}

static void *visit(void *argument)
{
    crowd *c = argument;
    for (int i = 0; i < c->each; i++) {
        uint64_t sent = (uint64_t)(uintptr_t)&sent + (uint64_t)i, received = 0;
        sock_t s = sock_open("127.0.0.1", port_text(c->port), NULL);
        CHECK(s, >, 0);
        CHECK(sock_write(s, &sent, sizeof sent), ==, sizeof sent);
        CHECK(sock_read_exact(s, &received, sizeof received), ==, sizeof received);
        CHECK(received, ==, sent);
        CHECK(sock_close(s), ==, 0);
    }
    return NULL;
}

static void many_threads_open_and_close_against_one_listener(void)
{
    enum { CLIENTS = 32, SERVERS = 8 };
    crowd c = { .listener = listen_local(), .each = rounds(deep() ? 2000 : 40) };
    pthread_t clients[CLIENTS], servers[SERVERS];
    c.port = port_of(c.listener);
    for (int i = 0; i < SERVERS; i++) servers[i] = start_thread(serve, &c);
    for (int i = 0; i < CLIENTS; i++) clients[i] = start_thread(visit, &c);
    for (int i = 0; i < CLIENTS; i++) join_thread(clients[i]);
    WAIT_UNTIL(atomic_load(&c.served) == (int64_t)CLIENTS * c.each);
    CHECK(sock_close(c.listener), ==, 0);
    for (int i = 0; i < SERVERS; i++) join_thread(servers[i]);
}

/* ---- the first use ---- */

static void *use_once(void *argument)
{
    pthread_barrier_wait(argument);
    sock_t pair[2];
    char byte;
    unix_pair(pair);
    CHECK(sock_write(pair[0], "1", 1), ==, 1);
    CHECK(sock_read(pair[1], &byte, 1), ==, 1);
    close_pair(pair);
    return NULL;
}

static void the_first_use_may_come_from_many_threads_at_once(void)
{
    enum { THREADS = 16 };
    pthread_barrier_t barrier;
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) threads[i] = start_thread(use_once, &barrier);
    for (int i = 0; i < THREADS; i++) join_thread(threads[i]);
    pthread_barrier_destroy(&barrier);
}

/* ---- results of the last failure ---- */

static void *fail_with_timeout(void *argument)
{
    sock_t s = *(sock_t *)argument;
    char buffer[4];
    CHECK(strcmp(sock_last_error(), ""), ==, 0); /* nothing failed on this thread yet */
    CHECK(sock_last_errno(), ==, 0);
    CHECK(sock_last_count(), ==, 0);
    CHECK(sock_read_exact(s, buffer, 4), ==, SOCK_ETIMEDOUT);
    CHECK(sock_last_count(), ==, 2);
    return NULL;
}

static void the_last_failure_is_that_of_the_thread(void)
{
    sock_t pair[2];
    unix_pair(pair);
    CHECK(sock_close(1), ==, SOCK_EHANDLE);
    char before[256];
    strcpy(before, sock_last_error());
    CHECK(strlen(before), >, 0);
    CHECK(sock_write(pair[1], "ab", 2), ==, 2);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 10), ==, 0);
    join_thread(start_thread(fail_with_timeout, &pair[0]));
    CHECK(strcmp(sock_last_error(), before), ==, 0);
    CHECK(sock_last_count(), ==, 0);
    close_pair(pair);
}

/* ---- threads of unusual shape ---- */

static void *use_everything(void *argument)
{
    (void)argument;
    sock_t pair[2];
    char line[16];
    tcp_pair(pair);
    CHECK(sock_printf(pair[0], "%s\n", "small"), ==, 6);
    CHECK(sock_read_line(pair[1], line, sizeof line), ==, 5);
    CHECK(sock_set_timeout(pair[1], SOCK_READ, 1), ==, 0);
    CHECK(sock_read(pair[1], line, 1), ==, SOCK_ETIMEDOUT);
    CHECK(strlen(sock_last_error()), >, 0);
    CHECK(sock_open("no good", "1", NULL), ==, SOCK_EINVAL);
    CHECK(sock_open("127.0.0.1", "1", SOCK_OPTIONS(.timeout_ms = 1000)), <, 0);
    close_pair(pair);
    return NULL;
}

static void small_stacks_are_enough(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    size_t size = 64 * 1024;
    CHECK(pthread_attr_init(&attributes), ==, 0);
    CHECK(pthread_attr_setstacksize(&attributes, size > (size_t)PTHREAD_STACK_MIN ? size : (size_t)PTHREAD_STACK_MIN), ==, 0);
    CHECK(pthread_create(&thread, &attributes, use_everything, NULL), ==, 0);
    join_thread(thread);
    pthread_attr_destroy(&attributes);
}

static void *wait_for_ever(void *argument)
{
    char byte;
    sock_read(*(sock_t *)argument, &byte, 1);
    return NULL;
}

/* main returns while threads are blocked in the library and handles are open. */
static void a_program_may_end_at_any_moment(void)
{
    for (int i = 0; i < rounds(40); i++) {
        pid_t child = fork_child();
        if (child == 0) {
            static sock_t pairs[8][2];
            for (int p = 0; p < 8; p++) {
                unix_pair(pairs[p]);
                start_thread(wait_for_ever, &pairs[p][0]);
            }
            if (i % 2) sleep_ms(1);
            exit(0); /* runs the library's and the program's destructors */
        }
        CHECK(child_status(child), ==, 0);
    }
}

static pthread_key_t late_key;
static atomic_int late_uses;

static void use_late(void *argument)
{
    (void)argument;
    sock_t pair[2];
    char byte;
    unix_pair(pair);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 1), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(strlen(sock_last_error()), >, 0);
    close_pair(pair);
    atomic_fetch_add(&late_uses, 1);
}

static void *leave_a_late_use(void *argument)
{
    use_once(argument);
    CHECK(pthread_setspecific(late_key, "value"), ==, 0);
    return NULL;
}

/* A thread's destructors run when the library's own state of the thread may be gone already. */
static void the_library_may_be_used_while_a_thread_ends(void)
{
    pthread_barrier_t alone;
    pthread_barrier_init(&alone, NULL, 1);
    sock_t pair[2]; /* while there are handles, threads keep what they wait with until they end */
    unix_pair(pair);
    int descriptors = open_descriptors();
    CHECK(pthread_key_create(&late_key, use_late), ==, 0);
    for (int i = 0; i < 20; i++) join_thread(start_thread(leave_a_late_use, &alone));
    CHECK(atomic_load(&late_uses), ==, 20);
    CHECK(open_descriptors(), ==, descriptors);
    close_pair(pair);
    CHECK(pthread_key_delete(late_key), ==, 0);
    pthread_barrier_destroy(&alone);
}

static void *use_and_leave(void *argument)
{
    use_late(argument);
    return NULL;
}

static void threads_that_come_and_go_leave_nothing(void)
{
    int descriptors = open_descriptors();
    for (int i = 0; i < rounds(500); i++) join_thread(start_thread(use_and_leave, NULL));
    CHECK(open_descriptors(), ==, descriptors);
}

/* ---- no lock is held while a call waits ---- */

static void calls_that_wait_hold_up_no_other_handle(void)
{
    enum { WAITING = 8, TRIPS = 101 };
    sock_t waiting[WAITING][2], pair[2];
    call calls[WAITING];
    char received[WAITING], byte;
    int64_t spans[TRIPS];
    for (int i = 0; i < WAITING; i++) {
        tcp_pair(waiting[i]);
        calls[i] = (call){ .run = call_read, .socket = waiting[i][0], .buffer = &received[i], .size = 1 };
        call_start(&calls[i]);
    }
    for (int i = 0; i < WAITING; i++) call_wait_asleep(&calls[i]);
    tcp_pair(pair);
    pthread_t echo = start_thread(echo_until_end, &pair[1]);
    for (int i = 0; i < TRIPS; i++) {
        int64_t began = now_us();
        CHECK(sock_write(pair[0], "x", 1), ==, 1);
        CHECK(sock_read(pair[0], &byte, 1), ==, 1);
        spans[i] = now_us() - began;
    }
    if (!under_memcheck()) CHECK(median(spans, TRIPS), <, 100000); /* behind a lock it would take for ever */
    CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
    join_thread(echo);
    close_pair(pair);
    for (int i = 0; i < WAITING; i++) {
        CHECK(atomic_load(&calls[i].done), ==, 0);
        CHECK(sock_write(waiting[i][1], "x", 1), ==, 1);
        CHECK(call_join(&calls[i]), ==, 1);
        close_pair(waiting[i]);
    }
}

static const test_case cases[] = {
    LONG_CASE(close_may_race_with_every_function_over_tcp, 60),
    LONG_CASE(close_may_race_with_every_function_over_unix, 60),
    LONG_CASE(a_release_that_fails_disturbs_nobody, 60),
    LONG_CASE(of_two_releases_one_succeeds, 60),
    LONG_CASE(a_cancel_is_never_lost, 60),
    LONG_CASE(a_deadline_is_never_lost, 60),
    LONG_CASE(many_threads_open_and_close_against_one_listener, 60),
    CASE(the_first_use_may_come_from_many_threads_at_once),
    CASE(calls_that_wait_hold_up_no_other_handle),
    CASE(the_last_failure_is_that_of_the_thread),
    CASE(small_stacks_are_enough),
    CASE(a_program_may_end_at_any_moment),
    CASE(the_library_may_be_used_while_a_thread_ends),
    CASE(threads_that_come_and_go_leave_nothing),
};
TEST_MAIN(cases)
