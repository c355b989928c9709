/* Signals: none is raised, none ends a wait, and a storm of them changes nothing that is read or written. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "harness.h"

static atomic_int signals_seen;
static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals_seen, 1);
}

static void handle(int number)
{
    struct sigaction action = { .sa_handler = count_signal }; /* without SA_RESTART */
    CHECK(sigaction(number, &action, NULL), ==, 0);
}

static void storm_every_us(int us)
{
    struct itimerval storm = { { 0, us }, { 0, us } };
    CHECK(setitimer(ITIMER_REAL, &storm, NULL), ==, 0);
}

/* Sends a signal to a thread every 200 us, which a timer of the process would not aim. */
typedef struct shooter {
    pthread_t target;
    atomic_bool stop;
} shooter;

static void *shoot(void *argument)
{
    shooter *s = argument;
    while (!atomic_load(&s->stop)) {
        CHECK(pthread_kill(s->target, SIGUSR1), ==, 0);
        usleep(200);
    }
    return NULL;
}

enum { TOTAL = 4 << 20, CHUNK = 1000 };

static void *write_all(void *argument)
{
    sock_t s = *(sock_t *)argument;
    static char chunk[TOTAL];
    size_t total = under_memcheck() ? TOTAL / 16 : TOTAL;
    pattern(chunk, total, 0);
    size_t half = total / 2;
    CHECK(sock_write(s, chunk, half), ==, half);
    for (size_t offset = half; offset < total;) {
        size_t part = total - offset < CHUNK ? total - offset : CHUNK;
        CHECK(sock_write(s, chunk + offset, part), ==, part);
        offset += part;
    }
    CHECK(sock_shutdown(s, SOCK_WRITE), ==, 0);
    return NULL;
}

static void a_storm_changes_nothing_in_what_is_read_and_written(make_pair make)
{
    sock_t pair[2];
    char buffer[CHUNK];
    uint64_t offset = 0;
    int64_t length;
    handle(SIGUSR1);
    make(pair);
    pthread_t writer = start_thread(write_all, &pair[0]);
    shooter at_reader = { .target = pthread_self() }, at_writer = { .target = writer };
    pthread_t shooters[] = { start_thread(shoot, &at_reader), start_thread(shoot, &at_writer) };
    while ((length = sock_read(pair[1], buffer, sizeof buffer)) > 0) {
        CHECK(pattern_mismatch(buffer, (size_t)length, offset), ==, length);
        offset += (uint64_t)length;
    }
    CHECK(length, ==, 0);
    CHECK(offset, ==, under_memcheck() ? TOTAL / 16 : TOTAL);
    atomic_store(&at_writer.stop, true);
    join_thread(shooters[1]);
    join_thread(writer);
    atomic_store(&at_reader.stop, true);
    join_thread(shooters[0]);
    CHECK(atomic_load(&signals_seen), >, 0);
    close_pair(pair);
}
OVER_BOTH(a_storm_changes_nothing_in_what_is_read_and_written)

static char data[BLOCKING_SIZE];

static void shoot_a_hundred_times(call *c)
{
    for (int shot = 0; shot < 100; shot++) {
        int before = atomic_load(&signals_seen);
        CHECK(pthread_kill(c->thread, SIGUSR1), ==, 0);
        WAIT_UNTIL(atomic_load(&signals_seen) > before);
    }
    CHECK(atomic_load(&c->done), ==, 0);
}

/* Each blocked call sleeps through a hundred signals and then does what it was called for. */
static void no_blocked_call_ends_because_of_a_signal(make_pair make)
{
    handle(SIGUSR1);
    for (int i = 0; i < BLOCKING_CALLS; i++) {
        sock_t pair[2];
        context("%s", blocking_calls[i].name);
        make(pair);
        call c = { .run = blocking_calls[i].run, .socket = pair[0], .buffer = data, .size = blocking_calls[i].size };
        call_start(&c);
        call_wait_asleep(&c);
        shoot_a_hundred_times(&c);
        if (blocking_calls[i].writes) {
            char *received = malloc(sizeof data);
            CHECK(sock_read_exact(pair[1], received, sizeof data), ==, sizeof data);
            CHECK(call_join(&c), ==, sizeof data);
            free(received);
        } else {
            static const char line[100] = "abc\n";
            CHECK(sock_write(pair[1], line, sizeof line), ==, sizeof line);
            CHECK(call_join(&c), >, 0);
        }
        close_pair(pair);
    }
}
OVER_BOTH(no_blocked_call_ends_because_of_a_signal)

static void accept_sleeps_through_signals(void)
{
    handle(SIGUSR1);
    call c = { .run = call_accept, .socket = listen_local() };
    call_start(&c);
    call_wait_asleep(&c);
    shoot_a_hundred_times(&c);
    sock_t client = open_local(c.socket);
    CHECK(call_join(&c), >, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(c.result), ==, 0);
    CHECK(sock_close(c.socket), ==, 0);
}

/* ---- SIGPIPE ---- */

static int64_t pipe_write(sock_t s) { return sock_write(s, data, 100); }
static int64_t pipe_try_write(sock_t s) { return sock_try_write(s, data, 100); }
static int64_t pipe_writev(sock_t s)
{
    struct iovec parts[] = { { data, 50 }, { data, 50 } };
    return sock_writev(s, parts, 2);
}
static int64_t pipe_printf(sock_t s) { return sock_printf(s, "%s", "text"); }

static void writing_to_nobody_raises_no_sigpipe(make_pair make)
{
    int64_t (*writers[])(sock_t) = { pipe_write, pipe_try_write, pipe_writev, pipe_printf };
    struct sigaction now;
    CHECK(sigaction(SIGPIPE, NULL, &now), ==, 0);
    CHECK(now.sa_handler == SIG_DFL, ==, true); /* which would kill us */
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
        sock_t pair[2];
        context("writer %d", (int)i);
        make(pair);
        CHECK(sock_close(pair[1]), ==, 0);
        int64_t result = 0;
        WAIT_UNTIL((result = writers[i](pair[0])) < 0);
        CHECK(result == SOCK_EPIPE || result == SOCK_ECONNRESET, ==, true);
        result = writers[i](pair[0]);
        CHECK(result == SOCK_EPIPE || result == SOCK_ECONNRESET, ==, true);
        CHECK(sock_close(pair[0]), ==, 0);
    }
    CHECK(sigaction(SIGPIPE, NULL, &now), ==, 0);
    CHECK(now.sa_handler == SIG_DFL, ==, true);
}
OVER_BOTH(writing_to_nobody_raises_no_sigpipe)

static void a_writer_whose_peer_dies_while_it_waits_gets_no_sigpipe(make_pair make)
{
    sock_t pair[2];
    make(pair);
    call writer = { .run = call_write, .socket = pair[0], .buffer = data, .size = sizeof data };
    call_start(&writer);
    call_wait_asleep(&writer);
    CHECK(sock_close(pair[1]), ==, 0);
    int64_t result = call_join(&writer);
    CHECK(result == SOCK_EPIPE || result == SOCK_ECONNRESET, ==, true);
    CHECK(sock_close(pair[0]), ==, 0);
}
OVER_BOTH(a_writer_whose_peer_dies_while_it_waits_gets_no_sigpipe)

/* A stopped peer process is only slow. */
static void a_peer_that_is_stopped_for_a_while_loses_nothing(void)
{
    sock_t pair[2];
    char buffer[CHUNK];
    uint64_t offset = 0;
    int64_t length;
    unix_pair(pair);
    pid_t child = fork_child();
    if (child == 0) {
        write_all(&pair[1]);
        _exit(0);
    }
    CHECK(sock_close(pair[1]), ==, 0);
    for (int stops = 0; (length = sock_read(pair[0], buffer, sizeof buffer)) > 0;) {
        CHECK(pattern_mismatch(buffer, (size_t)length, offset), ==, length);
        offset += (uint64_t)length;
        if (stops < 3 && offset > 100000u * (uint64_t)(stops + 1)) {
            CHECK(kill(child, SIGSTOP), ==, 0);
            sleep_ms(100);
            CHECK(kill(child, SIGCONT), ==, 0);
            stops++;
        }
    }
    CHECK(length, ==, 0);
    CHECK(offset, ==, under_memcheck() ? TOTAL / 16 : TOTAL);
    CHECK(child_status(child), ==, 0);
    CHECK(sock_close(pair[0]), ==, 0);
}

/* Timer signals on top of everything that opens and closes. */
static void a_storm_changes_nothing_in_opening_and_closing(void)
{
    handle(SIGALRM);
    storm_every_us(200);
    for (int i = 0; i < rounds(200); i++) {
        sock_t pair[2];
        char line[16];
        tcp_pair(pair);
        CHECK(sock_write(pair[0], "line\n", 5), ==, 5);
        CHECK(sock_read_line(pair[1], line, sizeof line), ==, 4);
        CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
        CHECK(sock_read(pair[1], line, 1), ==, 0);
        CHECK(sock_shutdown(pair[1], SOCK_WRITE), ==, 0);
        CHECK(sock_finish(pair[0], 10000), ==, 0);
        CHECK(sock_close(pair[1]), ==, 0);
    }
    struct itimerval calm = { { 0, 0 }, { 0, 0 } };
    CHECK(setitimer(ITIMER_REAL, &calm, NULL), ==, 0);
    CHECK(atomic_load(&signals_seen), >, 0);
}

/* Handlers that run on a small stack of their own, as Go's and others' do. */
static void *read_with_a_signal_stack(void *argument)
{
    call *c = argument;
    static char memory[16 * 1024];
    stack_t own = { .ss_sp = memory, .ss_size = sizeof memory }, none = { .ss_flags = SS_DISABLE };
    CHECK(sigaltstack(&own, NULL), ==, 0);
    atomic_store(&c->id, 1);
    c->result = sock_read(c->socket, c->buffer, c->size);
    CHECK(sigaltstack(&none, NULL), ==, 0);
    return NULL;
}

static sock_t cancel_this;
static void cancel_on_its_stack(int number)
{
    (void)number;
    sock_cancel(cancel_this);
    atomic_fetch_add(&signals_seen, 1);
}

static void a_handler_on_a_signal_stack_may_cancel(void)
{
    sock_t pair[2];
    char byte;
    struct sigaction action = { .sa_handler = cancel_on_its_stack, .sa_flags = SA_ONSTACK };
    CHECK(sigaction(SIGUSR1, &action, NULL), ==, 0);
    unix_pair(pair);
    cancel_this = pair[0];
    call c = { .socket = pair[0], .buffer = &byte, .size = 1 };
    pthread_t reader = start_thread(read_with_a_signal_stack, &c);
    WAIT_UNTIL(atomic_load(&c.id) != 0);
    CHECK(pthread_kill(reader, SIGUSR1), ==, 0);
    join_thread(reader);
    CHECK(c.result, ==, SOCK_ECANCELED);
    CHECK(atomic_load(&signals_seen), ==, 1);
    close_pair(pair);
}

static const test_case cases[] = {
    BOTH_CASES(a_storm_changes_nothing_in_what_is_read_and_written),
    BOTH_CASES(no_blocked_call_ends_because_of_a_signal),
    CASE(accept_sleeps_through_signals),
    BOTH_CASES(writing_to_nobody_raises_no_sigpipe),
    BOTH_CASES(a_writer_whose_peer_dies_while_it_waits_gets_no_sigpipe),
    CASE(a_peer_that_is_stopped_for_a_while_loses_nothing),
    CASE(a_storm_changes_nothing_in_opening_and_closing),
    CASE(a_handler_on_a_signal_stack_may_cancel),
};
TEST_MAIN(cases)
