/* Timeouts of each call and deadlines over many: never early, over whatever number of steps, exact in what they cut. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "harness.h"

enum { BOTH = SOCK_READ | SOCK_WRITE };

/* Each call that can wait, on a socket that gives it nothing. */
static char silence[8 << 20];

typedef struct waiting {
    const char *name;
    int64_t (*run)(sock_t s);
    int direction;
} waiting;

static int64_t wait_read(sock_t s) { return sock_read(s, silence, 1); }
static int64_t wait_read_exact(sock_t s) { return sock_read_exact(s, silence, 2); }
static int64_t wait_read_line(sock_t s) { return sock_read_line(s, silence, 10); }
static int64_t wait_peek(sock_t s) { return sock_peek(s, silence, 1); }
static int64_t wait_readv(sock_t s)
{
    struct iovec part = { silence, 1 };
    return sock_readv(s, &part, 1);
}
static int64_t wait_write(sock_t s) { return sock_write(s, silence, sizeof silence); }
static int64_t wait_writev(sock_t s)
{
    struct iovec parts[] = { { silence, 5 }, { silence, sizeof silence } };
    return sock_writev(s, parts, 2);
}
static int64_t wait_printf(sock_t s) { return sock_printf(s, "%*s", (int)sizeof silence, "x"); }

static const waiting all_waiting[] = {
    { "read", wait_read, SOCK_READ },       { "read_exact", wait_read_exact, SOCK_READ },
    { "read_line", wait_read_line, SOCK_READ }, { "peek", wait_peek, SOCK_READ },
    { "readv", wait_readv, SOCK_READ },     { "write", wait_write, SOCK_WRITE },
    { "writev", wait_writev, SOCK_WRITE },  { "printf", wait_printf, SOCK_WRITE },
};
enum { WAITING = sizeof all_waiting / sizeof *all_waiting };

/* How late each call came back; it must never be early. */
static void expect_timeouts(make_pair make, int (*set)(sock_t, int, int64_t), int64_t ms)
{
    int64_t late[WAITING];
    for (size_t i = 0; i < WAITING; i++) {
        const waiting *w = &all_waiting[i];
        sock_t pair[2];
        make(pair);
        fill(pair[0]);
        context("%s, %lld ms", w->name, (long long)ms);
        stopwatch watch = start_watch();
        CHECK(set(pair[0], w->direction, ms), ==, 0);
        CHECK(w->run(pair[0]), ==, SOCK_ETIMEDOUT);
        CHECK(now_us() - watch.began_us, >=, ms * 1000);
        late[i] = watch_us(&watch) - ms * 1000;
        close_pair(pair);
    }
    context("the middle of all, %lld ms", (long long)ms);
    if (!under_memcheck()) CHECK(median(late, WAITING), <, 50000);
    context(NULL);
}

static void every_waiting_call_ends_at_its_timeout(make_pair make) { expect_timeouts(make, sock_set_timeout, 60); }
OVER_BOTH(every_waiting_call_ends_at_its_timeout)

static void every_waiting_call_ends_at_the_deadline(make_pair make) { expect_timeouts(make, sock_set_deadline, 60); }
OVER_BOTH(every_waiting_call_ends_at_the_deadline)

static void a_timeout_of_zero_does_not_wait(make_pair make) { expect_timeouts(make, sock_set_timeout, 0); }
OVER_BOTH(a_timeout_of_zero_does_not_wait)

static void accept_ends_at_timeout_and_deadline(void)
{
    sock_t listener = listen_local();
    for (int i = 0; i < 2; i++) {
        int64_t began = now_us();
        CHECK(i == 0 ? sock_set_timeout(listener, SOCK_READ, 60) : sock_set_deadline(listener, SOCK_READ, 60), ==, 0);
        CHECK(sock_accept(listener), ==, SOCK_ETIMEDOUT);
        CHECK(now_us() - began, >=, 60000);
        CHECK(sock_set_timeout(listener, SOCK_READ, SOCK_FOREVER), ==, 0);
        CHECK(sock_set_deadline(listener, SOCK_READ, SOCK_FOREVER), ==, 0);
    }
    sock_t client = open_local(listener), accepted = sock_accept(listener);
    CHECK(accepted, >, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static int64_t poll_alone(int64_t ms)
{
    stopwatch watch = start_watch();
    CHECK(poll(NULL, 0, (int)ms), ==, 0);
    return watch_us(&watch) - ms * 1000;
}

/* Short waits are short: no tick of the kernel's timer is added to what poll alone needs on this machine now. */
static void short_timeouts_are_exact(void)
{
    enum { TRIES = 51 };
    sock_t pair[2];
    char byte;
    unix_pair(pair);
    for (int64_t ms = 1; ms <= 5; ms += 2) {
        int64_t late[TRIES], late_alone[TRIES];
        CHECK(sock_set_timeout(pair[0], SOCK_READ, ms), ==, 0);
        for (int i = 0; i < TRIES; i++) {
            late_alone[i] = poll_alone(ms);
            stopwatch watch = start_watch();
            CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
            CHECK(now_us() - watch.began_us, >=, ms * 1000);
            late[i] = watch_us(&watch) - ms * 1000;
        }
        if (!under_memcheck()) CHECK(median(late, TRIES), <=, median(late_alone, TRIES) + 3000);
    }
    close_pair(pair);
}

static void whichever_comes_first_ends_the_call(make_pair make)
{
    sock_t pair[2];
    char byte;
    int64_t times[][2] = { { 40, 10000 }, { 10000, 40 }, { SOCK_FOREVER, 40 }, { 40, SOCK_FOREVER } };
    make(pair);
    for (int i = 0; i < 4; i++) {
        context("timeout %d, deadline %d", (int)times[i][0], (int)times[i][1]);
        int64_t began = now_us();
        CHECK(sock_set_timeout(pair[0], SOCK_READ, times[i][0]), ==, 0);
        CHECK(sock_set_deadline(pair[0], SOCK_READ, times[i][1]), ==, 0);
        CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
        CHECK(now_us() - began, >=, 40000);
        CHECK(now_us() - began, <, 9000000);
    }
    close_pair(pair);
}
OVER_BOTH(whichever_comes_first_ends_the_call)

static void data_that_is_there_is_delivered_after_the_deadline(make_pair make)
{
    sock_t pair[2];
    char buffer[8];
    make(pair);
    CHECK(sock_set_deadline(pair[1], BOTH, 0), ==, 0);
    CHECK(sock_set_timeout(pair[1], BOTH, 0), ==, 0);
    CHECK(sock_write(pair[0], "ab\ncd\nef", 8), ==, 8);
    WAIT_UNTIL(sock_peek(pair[1], buffer, 8) == 8);
    CHECK(sock_read_line(pair[1], buffer, sizeof buffer), ==, 2);
    CHECK(sock_read_exact(pair[1], buffer, 3), ==, 3);
    CHECK(sock_read(pair[1], buffer, sizeof buffer), ==, 2);
    CHECK(sock_write(pair[1], "room", 4), ==, 4);
    CHECK(sock_read(pair[1], buffer, 1), ==, SOCK_ETIMEDOUT);
    close_pair(pair);

    sock_t listener = listen_local(), client = open_local(listener);
    CHECK(sock_set_deadline(listener, SOCK_READ, 0), ==, 0);
    sock_t accepted = SOCK_ETIMEDOUT;
    WAIT_UNTIL((accepted = sock_accept(listener)) != SOCK_ETIMEDOUT);
    CHECK(accepted, >, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}
OVER_BOTH(data_that_is_there_is_delivered_after_the_deadline)

/* Also if recent reads each had to wait, so that they wait before they look. */
static void a_read_used_to_waiting_looks_once_more(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    for (int i = 0; i < 5; i++) {
        call read;
        start_reader(&read, pair[0], &byte);
        CHECK(sock_write(pair[1], "x", 1), ==, 1);
        CHECK(call_join(&read), ==, 1);
    }
    CHECK(sock_set_deadline(pair[0], SOCK_READ, 0), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(sock_write(pair[1], "y", 1), ==, 1);
    CHECK(raw_readable(sock_fd(pair[0]), 10000), ==, true);
    CHECK(sock_read(pair[0], &byte, 1), ==, 1);
    CHECK(byte, ==, 'y');
    CHECK(sock_cancel(pair[0]), ==, 0);
    CHECK(sock_write(pair[1], "z", 1), ==, 1);
    CHECK(raw_readable(sock_fd(pair[0]), 10000), ==, true);
    CHECK(sock_read(pair[0], &byte, 1), ==, 1);
    CHECK(byte, ==, 'z');
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ECANCELED);
    close_pair(pair);
}
OVER_BOTH(a_read_used_to_waiting_looks_once_more)

/* Each of these calls begins to wait, and finds at once that it may not. */
static void many_waits_leave_nothing_behind(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 0), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
    int64_t before = resident_kib();
    for (int i = 0; i < rounds(50000); i++) CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
    if (!under_memcheck()) CHECK(resident_kib() - before, <, 512);
    close_pair(pair);
}
OVER_BOTH(many_waits_leave_nothing_behind)

static void an_end_is_reported_after_the_deadline(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    CHECK(sock_set_deadline(pair[1], BOTH, 0), ==, 0);
    CHECK(sock_close(pair[0]), ==, 0);
    WAIT_UNTIL(sock_read(pair[1], &byte, 1) == 0);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(an_end_is_reported_after_the_deadline)

/* The peer sends a byte every few milliseconds: each step makes progress, and yet the whole ends in time. */
typedef struct dripping {
    int peer;
    atomic_bool stop;
    _Atomic size_t sent;
} dripping;

static void *drip(void *argument)
{
    dripping *d = argument;
    while (!atomic_load(&d->stop)) {
        raw_send(d->peer, "x", 1);
        atomic_fetch_add(&d->sent, 1);
        sleep_ms(5);
    }
    return NULL;
}

static void the_limit_is_on_the_whole_call_not_on_each_step(void)
{
    static char buffer[100000];
    for (int use_deadline = 0; use_deadline < 2; use_deadline++) {
        for (int use_line = 0; use_line < 2; use_line++) {
            sock_t s;
            dripping d = { 0 };
            tcp_with_raw_peer(&s, &d.peer);
            pthread_t thread = start_thread(drip, &d);
            context("%s, read_%s", use_deadline ? "deadline" : "timeout", use_line ? "line" : "exact");
            int64_t began = now_us();
            CHECK(use_deadline ? sock_set_deadline(s, SOCK_READ, 150) : sock_set_timeout(s, SOCK_READ, 150), ==, 0);
            CHECK(use_line ? sock_read_line(s, buffer, sizeof buffer) : sock_read_exact(s, buffer, sizeof buffer), ==,
                  SOCK_ETIMEDOUT);
            int64_t took = now_us() - began;
            size_t count = sock_last_count();
            CHECK(took, >=, 150000);
            CHECK(took, <, 5000000);
            atomic_store(&d.stop, true);
            join_thread(thread);
            /* A line that was cut is still to be read; of an exact read, the caller has what was counted. */
            if (use_line) CHECK(count, ==, 0);
            CHECK(shutdown(d.peer, SHUT_WR), ==, 0);
            CHECK(sock_set_deadline(s, SOCK_READ, SOCK_FOREVER), ==, 0);
            CHECK(sock_set_timeout(s, SOCK_READ, SOCK_FOREVER), ==, 0);
            CHECK(sock_read_exact(s, buffer, sizeof buffer), ==, SOCK_EEOF);
            CHECK(sock_last_count() + count, ==, atomic_load(&d.sent));
            raw_close(d.peer);
            CHECK(sock_close(s), ==, 0);
        }
    }
}

static void a_cut_write_counts_exactly_what_the_peer_will_read(make_pair make)
{
    static char data[8 << 20];
    sock_t pair[2];
    char buffer[65536];
    uint64_t received = 0;
    int64_t length;
    make(pair);
    pattern(data, sizeof data, 0);
    CHECK(sock_set_timeout(pair[0], SOCK_WRITE, 50), ==, 0);
    CHECK(sock_write(pair[0], data, sizeof data), ==, SOCK_ETIMEDOUT);
    size_t written = sock_last_count();
    CHECK(written, >, 0);
    CHECK(written, <, sizeof data);
    /* The handle is usable: what was not written may follow. */
    CHECK(sock_set_timeout(pair[0], SOCK_WRITE, SOCK_FOREVER), ==, 0);
    call rest = { .run = call_write, .socket = pair[0], .buffer = data + written, .size = sizeof data - written };
    call_start(&rest);
    while (received < sizeof data) {
        length = sock_read(pair[1], buffer, sizeof buffer);
        CHECK(length, >, 0);
        CHECK(pattern_mismatch(buffer, (size_t)length, received), ==, length);
        received += (uint64_t)length;
    }
    CHECK(call_join(&rest), ==, sizeof data - written);
    CHECK(sock_try_read(pair[1], buffer, 1), ==, SOCK_EAGAIN);
    close_pair(pair);
}
OVER_BOTH(a_cut_write_counts_exactly_what_the_peer_will_read)

static void a_cut_gathering_write_counts_exactly(make_pair make)
{
    static char data[8 << 20];
    enum { PARTS = 3000, PART = sizeof data / PARTS };
    static struct iovec parts[PARTS];
    sock_t pair[2];
    make(pair);
    for (int i = 0; i < PARTS; i++) parts[i] = (struct iovec){ data + (size_t)i * PART, PART };
    CHECK(sock_set_timeout(pair[0], SOCK_WRITE, 50), ==, 0);
    CHECK(sock_writev(pair[0], parts, PARTS), ==, SOCK_ETIMEDOUT);
    size_t written = sock_last_count();
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_read_exact(pair[1], data, sizeof data), ==, SOCK_EEOF);
    CHECK(sock_last_count(), ==, written);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(a_cut_gathering_write_counts_exactly)

static void a_cut_exact_read_counts_exactly(make_pair make)
{
    sock_t pair[2];
    char buffer[10];
    make(pair);
    CHECK(sock_write(pair[1], "1234567", 7), ==, 7);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 30), ==, 0);
    CHECK(sock_read_exact(pair[0], buffer, 10), ==, SOCK_ETIMEDOUT);
    CHECK(sock_last_count(), ==, 7);
    CHECK(memcmp(buffer, "1234567", 7), ==, 0);
    CHECK(sock_write(pair[1], "890", 3), ==, 3);
    CHECK(sock_read_exact(pair[0], buffer + 7, 3), ==, 3);
    CHECK(memcmp(buffer, "1234567890", 10), ==, 0);
    /* From read-ahead as well as from the socket. */
    CHECK(sock_write(pair[1], "l\nabc", 5), ==, 5);
    CHECK(sock_read_line(pair[0], buffer, 10), ==, 1);
    CHECK(sock_read_exact(pair[0], buffer, 10), ==, SOCK_ETIMEDOUT);
    CHECK(sock_last_count(), ==, 3);
    close_pair(pair);
}
OVER_BOTH(a_cut_exact_read_counts_exactly)

static void a_deadline_ends_one_direction_only(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    call reader;
    start_reader(&reader, pair[0], &byte);
    fill(pair[0]);
    CHECK(sock_set_timeout(pair[0], SOCK_WRITE, 20), ==, 0);
    CHECK(sock_write(pair[0], silence, sizeof silence), ==, SOCK_ETIMEDOUT);
    CHECK(sock_set_deadline(pair[0], SOCK_WRITE, 0), ==, 0);
    CHECK(sock_write(pair[0], silence, sizeof silence), ==, SOCK_ETIMEDOUT);
    CHECK(atomic_load(&reader.done), ==, 0);
    CHECK(sock_write(pair[1], "r", 1), ==, 1);
    CHECK(call_join(&reader), ==, 1);
    close_pair(pair);
}
OVER_BOTH(a_deadline_ends_one_direction_only)

/* Another thread's change reaches a call that already waits, whether it makes the limit sooner or later. */
static void changes_reach_calls_that_already_wait(make_pair make)
{
    enum { FIRST_LIMIT = 3000 }; /* comfortably after the readers are seen asleep */
    int (*setters[])(sock_t, int, int64_t) = { sock_set_timeout, sock_set_deadline };
    sock_t pairs[2][2];
    call readers[2];
    char bytes[2];
    for (int i = 0; i < 2; i++) {
        make(pairs[i]);
        readers[i] = (call){ .run = call_read, .socket = pairs[i][0], .buffer = &bytes[i], .size = 1 };
        CHECK(setters[i](pairs[i][0], SOCK_READ, FIRST_LIMIT), ==, 0);
        call_start(&readers[i]);
        call_wait_asleep(&readers[i]);
        CHECK(setters[i](pairs[i][0], SOCK_READ, SOCK_FOREVER), ==, 0);
    }
    sleep_ms(FIRST_LIMIT + 100); /* the first limit passes, and must not end the calls */
    for (int i = 0; i < 2; i++) {
        CHECK(atomic_load(&readers[i].done), ==, 0);
        CHECK(setters[i](pairs[i][0], SOCK_READ, 1), ==, 0);
        CHECK(call_join(&readers[i]), ==, SOCK_ETIMEDOUT);
        close_pair(pairs[i]);
    }
}
OVER_BOTH(changes_reach_calls_that_already_wait)

/* The time of a timeout runs from when the call first had to wait, whichever timeout it had then. */
static void a_timeout_set_late_counts_from_the_beginning_of_the_wait(void)
{
    int64_t before[2] = { SOCK_FOREVER, 60000 };
    sock_t pairs[2][2];
    call readers[2];
    char byte;
    for (int i = 0; i < 2; i++) {
        unix_pair(pairs[i]);
        CHECK(sock_set_timeout(pairs[i][0], SOCK_READ, before[i]), ==, 0);
        readers[i] = (call){ .run = call_read, .socket = pairs[i][0], .buffer = &byte, .size = 1 };
        call_start(&readers[i]);
    }
    for (int i = 0; i < 2; i++) call_wait_asleep(&readers[i]);
    sleep_ms(1100);
    int64_t set_at = now_us();
    for (int i = 0; i < 2; i++) CHECK(sock_set_timeout(pairs[i][0], SOCK_READ, 1000), ==, 0);
    for (int i = 0; i < 2; i++) {
        context("after a timeout of %lld", (long long)before[i]);
        CHECK(call_join(&readers[i]), ==, SOCK_ETIMEDOUT);
        if (!under_memcheck()) CHECK(call_ended_after_us(&readers[i], set_at), <, 900000); /* at once, not a second later */
        close_pair(pairs[i]);
    }
}

static void a_deadline_set_elsewhere_wakes_within_50_ms(make_pair make)
{
    enum { TRIES = 5 };
    int64_t took[TRIES];
    for (int i = 0; i < TRIES; i++) {
        sock_t pair[2];
        char byte;
        make(pair);
        call reader;
        start_reader(&reader, pair[0], &byte);
        int64_t set_at = now_us();
        CHECK(sock_set_deadline(pair[0], SOCK_READ, 0), ==, 0);
        CHECK(call_join(&reader), ==, SOCK_ETIMEDOUT);
        took[i] = call_ended_after_us(&reader, set_at);
        close_pair(pair);
    }
    if (!under_memcheck()) CHECK(median(took, TRIES), <, 50000);
}
OVER_BOTH(a_deadline_set_elsewhere_wakes_within_50_ms)

/* Waiting for one's turn to write counts. */
static void waiting_for_another_writer_counts(make_pair make)
{
    sock_t pair[2];
    make(pair);
    call first = { .run = call_write, .socket = pair[0], .buffer = silence, .size = sizeof silence };
    call_start(&first);
    call_wait_asleep(&first);
    int64_t began = now_us();
    call second = { .run = call_write, .socket = pair[0], .buffer = silence, .size = sizeof silence };
    CHECK(sock_set_deadline(pair[0], SOCK_WRITE, 60), ==, 0);
    call_start(&second);
    CHECK(call_join(&second), ==, SOCK_ETIMEDOUT);
    CHECK(second.ended_us - began, >=, 60000);
    CHECK(call_join(&first), ==, SOCK_ETIMEDOUT);
    close_pair(pair);
}
OVER_BOTH(waiting_for_another_writer_counts)

/* Values whose conversion would overflow mean forever; negative ones other than SOCK_FOREVER are refused. */
static void huge_times_mean_forever(make_pair make)
{
    int64_t huge[] = { INT64_MAX, INT64_MAX / 2, INT64_MAX / 1000, INT64_C(1) << 40, SOCK_FOREVER };
    int (*setters[])(sock_t, int, int64_t) = { sock_set_timeout, sock_set_deadline };
    sock_t pair[2];
    char byte;
    make(pair);
    for (int setter = 0; setter < 2; setter++) {
        for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
            context("%s %lld", setter ? "deadline" : "timeout", (long long)huge[i]);
            CHECK(setters[setter](pair[0], BOTH, huge[i]), ==, 0);
            call reader;
            start_reader(&reader, pair[0], &byte);
            CHECK(sock_write(pair[1], "b", 1), ==, 1);
            CHECK(call_join(&reader), ==, 1);
        }
    }
    close_pair(pair);
}
OVER_BOTH(huge_times_mean_forever)

static void times_below_forever_are_refused(void)
{
    int64_t negative[] = { -2, -1000, INT64_MIN + 1, INT64_MIN };
    sock_t pair[2];
    char byte;
    unix_pair(pair);
    CHECK(sock_set_timeout(pair[0], BOTH, 20), ==, 0);
    for (size_t i = 0; i < sizeof negative / sizeof *negative; i++) {
        CHECK(sock_set_timeout(pair[0], BOTH, negative[i]), ==, SOCK_EINVAL);
        CHECK(sock_set_deadline(pair[0], BOTH, negative[i]), ==, SOCK_EINVAL);
        CHECK(sock_open("127.0.0.1", "1", SOCK_OPTIONS(.timeout_ms = negative[i])), ==, SOCK_EINVAL);
        CHECK(sock_finish(pair[0], negative[i]), ==, SOCK_EINVAL);
    }
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT); /* what was set before holds */
    close_pair(pair);
}

static void directions_are_checked(void)
{
    sock_t pair[2];
    char byte;
    int wrong[] = { 0, -1, 4, SOCK_READ | SOCK_WRITE | 4, 1 << 30 };
    unix_pair(pair);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(sock_set_timeout(pair[0], wrong[i], 0), ==, SOCK_EINVAL);
        CHECK(sock_set_deadline(pair[0], wrong[i], 0), ==, SOCK_EINVAL);
    }
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 20), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
    close_pair(pair);
}

/* A signal a millisecond: the time already waited counts. */
static void on_alarm(int number) { (void)number; }

static void signals_do_not_lengthen_the_wait(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    struct sigaction action = { .sa_handler = on_alarm };
    CHECK(sigaction(SIGALRM, &action, NULL), ==, 0);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 200), ==, 0);
    struct itimerval storm = { { 0, 1000 }, { 0, 1000 } }, calm = { { 0, 0 }, { 0, 0 } };
    int64_t took[5];
    for (int i = 0; i < 5; i++) {
        stopwatch watch = start_watch();
        CHECK(setitimer(ITIMER_REAL, &storm, NULL), ==, 0);
        CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
        CHECK(setitimer(ITIMER_REAL, &calm, NULL), ==, 0);
        CHECK(now_us() - watch.began_us, >=, 200000);
        took[i] = watch_us(&watch);
    }
    if (!under_memcheck()) CHECK(median(took, 5), <, 250000);
    close_pair(pair);
}
OVER_BOTH(signals_do_not_lengthen_the_wait)

static void a_stopped_process_times_out_soon_after_it_goes_on(void)
{
    sock_t pair[2];
    char byte;
    unix_pair(pair);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 100), ==, 0);
    pid_t child = fork_child();
    if (child == 0) {
        int64_t result = sock_read(pair[0], &byte, 1);
        _exit(result == SOCK_ETIMEDOUT ? 0 : 1);
    }
    CHECK(kill(child, SIGSTOP), ==, 0);
    sleep_ms(300);
    CHECK(kill(child, SIGCONT), ==, 0);
    CHECK(child_status(child), ==, 0);
    close_pair(pair);
}

typedef struct sleeper {
    int64_t ms, late_us;
} sleeper;

static void *time_out(void *argument)
{
    sleeper *who = argument;
    sock_t pair[2];
    char byte;
    unix_pair(pair);
    stopwatch watch = start_watch();
    CHECK(sock_set_deadline(pair[0], SOCK_READ, who->ms), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(now_us() - watch.began_us, >=, who->ms * 1000);
    who->late_us = watch_us(&watch) - who->ms * 1000;
    close_pair(pair);
    return NULL;
}

static void many_deadlines_at_once_come_each_in_its_time(void)
{
    enum { SLEEPERS = 200 };
    static sleeper sleepers[SLEEPERS];
    static pthread_t threads[SLEEPERS];
    int count = under_memcheck() ? 20 : SLEEPERS;
    int64_t late[SLEEPERS];
    for (int i = 0; i < count; i++) {
        sleepers[i].ms = 50 + i * 7919 % 1000;
        threads[i] = start_thread(time_out, &sleepers[i]);
    }
    for (int i = 0; i < count; i++) {
        join_thread(threads[i]);
        late[i] = sleepers[i].late_us;
    }
    /* If all ended with the last of them, the middle one would be 500 ms late. */
    if (!under_memcheck()) CHECK(median(late, (size_t)count), <, 100000);
}

static const test_case cases[] = {
    BOTH_CASES(every_waiting_call_ends_at_its_timeout),
    BOTH_CASES(every_waiting_call_ends_at_the_deadline),
    BOTH_CASES(a_timeout_of_zero_does_not_wait),
    CASE(accept_ends_at_timeout_and_deadline),
    CASE(short_timeouts_are_exact),
    SLOW_CASE(a_timeout_set_late_counts_from_the_beginning_of_the_wait),
    BOTH_CASES(whichever_comes_first_ends_the_call),
    BOTH_CASES(data_that_is_there_is_delivered_after_the_deadline),
    BOTH_CASES(a_read_used_to_waiting_looks_once_more),
    BOTH_CASES(many_waits_leave_nothing_behind),
    BOTH_CASES(an_end_is_reported_after_the_deadline),
    CASE(the_limit_is_on_the_whole_call_not_on_each_step),
    BOTH_CASES(a_cut_write_counts_exactly_what_the_peer_will_read),
    BOTH_CASES(a_cut_gathering_write_counts_exactly),
    BOTH_CASES(a_cut_exact_read_counts_exactly),
    BOTH_CASES(a_deadline_ends_one_direction_only),
    BOTH_SLOW_CASES(changes_reach_calls_that_already_wait),
    BOTH_CASES(a_deadline_set_elsewhere_wakes_within_50_ms),
    BOTH_CASES(waiting_for_another_writer_counts),
    BOTH_CASES(huge_times_mean_forever),
    CASE(times_below_forever_are_refused),
    CASE(directions_are_checked),
    BOTH_SLOW_CASES(signals_do_not_lengthen_the_wait),
    CASE(a_stopped_process_times_out_soon_after_it_goes_on),
    CASE(many_deadlines_at_once_come_each_in_its_time),
};
TEST_MAIN(cases)
