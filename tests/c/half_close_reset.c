/* How connections end: half closes, resets that stay resets, lingering and abortive closes. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "harness.h"

static void the_answer_to_a_half_close_is_readable(make_pair make)
{
    sock_t pair[2];
    char buffer[8];
    make(pair);
    CHECK(sock_write(pair[0], "ask", 3), ==, 3);
    CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
    CHECK(sock_read_exact(pair[1], buffer, 3), ==, 3);
    CHECK(sock_read(pair[1], buffer, 1), ==, 0);
    CHECK(sock_write(pair[1], "reply", 5), ==, 5);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(sock_read_exact(pair[0], buffer, 5), ==, 5);
    CHECK(sock_read(pair[0], buffer, 1), ==, 0);
    CHECK(sock_write(pair[0], "x", 1), ==, SOCK_EPIPE);
    CHECK(sock_close(pair[0]), ==, 0);
}
OVER_BOTH(the_answer_to_a_half_close_is_readable)

static void a_second_half_close_changes_nothing(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
    CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
    CHECK(sock_write(pair[1], "y", 1), ==, 1);
    CHECK(sock_read(pair[0], &byte, 1), ==, 1);
    close_pair(pair);
}
OVER_BOTH(a_second_half_close_changes_nothing)

/* Nor when the peer has ended its direction too, and the kernel knows no connection any more. */
static void a_second_half_close_on_a_finished_connection_changes_nothing(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    for (int side = 0; side < 2; side++) {
        CHECK(sock_shutdown(pair[side], SOCK_WRITE), ==, 0);
        CHECK(sock_read(pair[1 - side], &byte, 1), ==, 0);
    }
    for (int side = 0; side < 2; side++) CHECK(sock_shutdown(pair[side], SOCK_WRITE), ==, 0);
    close_pair(pair);
}
OVER_BOTH(a_second_half_close_on_a_finished_connection_changes_nothing)

/* The peer reads nothing, so that only the half close can end the call. */
static void a_half_close_ends_a_write_that_waits(make_pair make)
{
    static char data[1 << 20];
    static int64_t (*const writers[])(call *) = { call_write, call_writev };
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
        sock_t pair[2];
        make(pair);
        int64_t before = fill(pair[0]);
        call writer = { .run = writers[i], .socket = pair[0], .buffer = data, .size = sizeof data };
        call_start(&writer);
        call_wait_asleep(&writer);
        CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
        CHECK(call_join(&writer), ==, SOCK_EPIPE);
        int64_t arrived = 0, length;
        while ((length = sock_read(pair[1], data, sizeof data)) > 0) arrived += length;
        CHECK(length, ==, 0);
        CHECK(arrived, ==, before + (int64_t)writer.last_count);
        close_pair(pair);
    }
}
OVER_BOTH(a_half_close_ends_a_write_that_waits)

/* On a unix socket whose peer shuts down its reading: the kernel wakes nobody who polls for room. */
static void a_unix_peer_that_reads_no_more_ends_a_write_that_waits(void)
{
    static char data[1 << 20];
    for (size_t i = 0; i < BLOCKING_CALLS; i++) {
        if (!blocking_calls[i].writes) continue;
        context("%s", blocking_calls[i].name);
        sock_t pair[2];
        unix_pair(pair);
        fill(pair[0]);
        call writer = { .run = blocking_calls[i].run, .socket = pair[0], .buffer = data, .size = sizeof data };
        call_start(&writer);
        call_wait_asleep(&writer);
        CHECK(sock_shutdown(pair[1], SOCK_READ), ==, 0);
        CHECK(call_join(&writer), ==, SOCK_EPIPE);
        close_pair(pair);
    }
}

typedef struct fiber_writer {
    sock_t s;
    atomic_llong result;
} fiber_writer;

static void write_on_a_fiber(sock_t connection, void *context)
{
    (void)connection;
    fiber_writer *w = context;
    atomic_store(&w->result, sock_write(w->s, "x", 1));
}

static void a_unix_peer_that_reads_no_more_ends_a_write_on_a_fiber(void)
{
    sock_t pair[2];
    unix_pair(pair);
    fill(pair[0]);
    fiber_writer writer = { .s = pair[0] };
    served place = serve_with(write_on_a_fiber, &writer, SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS, .workers = 1));
    int client = raw_connect(place.port);
    WAIT_UNTIL(server_info(place.server).active == 1);
    sleep_ms(10); /* for the fiber to wait, which changes nothing of what is to come */
    CHECK(sock_shutdown(pair[1], SOCK_READ), ==, 0);
    WAIT_UNTIL(atomic_load(&writer.result) != 0);
    CHECK(atomic_load(&writer.result), ==, SOCK_EPIPE);
    CHECK(sock_close(place.server), ==, 0);
    raw_close(client);
    close_pair(pair);
}

static void after_shutting_down_reading_nothing_waits(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    call reader;
    start_reader(&reader, pair[0], &byte);
    CHECK(sock_shutdown(pair[0], SOCK_READ), ==, 0);
    CHECK(call_join(&reader), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, 0);
    CHECK(sock_write(pair[0], "w", 1), ==, 1);
    CHECK(sock_read(pair[1], &byte, 1), ==, 1);
    close_pair(pair);
}
OVER_BOTH(after_shutting_down_reading_nothing_waits)

static void the_directions_of_a_shutdown_are_checked(void)
{
    sock_t pair[2];
    unix_pair(pair);
    int wrong[] = { 0, -1, 4, 5, SOCK_READ | SOCK_WRITE | 8, 1 << 30 };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) CHECK(sock_shutdown(pair[0], wrong[i]), ==, SOCK_EINVAL);
    CHECK(sock_write(pair[0], "x", 1), ==, 1);
    CHECK(sock_shutdown(pair[0], SOCK_READ | SOCK_WRITE), ==, 0);
    close_pair(pair);
}

static void queued_bytes_come_before_the_reset(void)
{
    sock_t s;
    int peer;
    char buffer[8];
    tcp_with_raw_peer(&s, &peer);
    raw_send(peer, "abc", 3);
    raw_reset(peer);
    CHECK(sock_read_exact(s, buffer, 3), ==, 3);
    CHECK(memcmp(buffer, "abc", 3), ==, 0);
    CHECK(sock_read(s, buffer, 1), ==, SOCK_ECONNRESET);
    CHECK(sock_close(s), ==, 0);
}

/* The kernel reports a reset once and then a clean end; the library does not let it decay. */
static void a_reset_stays_a_reset_in_every_call(void)
{
    sock_t s;
    int peer;
    char buffer[8] = { 0 };
    struct iovec part = { buffer, 1 };
    tcp_with_raw_peer(&s, &peer);
    raw_reset(peer);
    CHECK(sock_read(s, buffer, 1), ==, SOCK_ECONNRESET);
    for (int i = 0; i < 3; i++) {
        CHECK(sock_read(s, buffer, 1), ==, SOCK_ECONNRESET);
        CHECK(sock_read_exact(s, buffer, 1), ==, SOCK_ECONNRESET);
        CHECK(sock_read_line(s, buffer, sizeof buffer), ==, SOCK_ECONNRESET);
        CHECK(sock_peek(s, buffer, 1), ==, SOCK_ECONNRESET);
        CHECK(sock_try_read(s, buffer, 1), ==, SOCK_ECONNRESET);
        CHECK(sock_readv(s, &part, 1), ==, SOCK_ECONNRESET);
        CHECK(sock_write(s, buffer, 1), ==, SOCK_ECONNRESET);
        CHECK(sock_try_write(s, buffer, 1), ==, SOCK_ECONNRESET);
        CHECK(sock_writev(s, &part, 1), ==, SOCK_ECONNRESET);
    }
    CHECK(sock_close(s), ==, 0);
}

static void a_reset_seen_by_a_writer_is_seen_by_readers(void)
{
    static char data[1 << 20];
    sock_t s;
    int peer;
    tcp_with_raw_peer(&s, &peer);
    fill(s);
    call writer = { .run = call_write, .socket = s, .buffer = data, .size = sizeof data };
    call_start(&writer);
    call_wait_asleep(&writer);
    raw_reset(peer);
    CHECK(call_join(&writer), ==, SOCK_ECONNRESET);
    CHECK(sock_read(s, data, 1), ==, SOCK_ECONNRESET);
    CHECK(sock_write(s, data, 1), ==, SOCK_ECONNRESET);
    CHECK(sock_close(s), ==, 0);
}

static void a_reset_ends_readers_that_wait(void)
{
    sock_t s;
    int peer;
    char buffer[8];
    tcp_with_raw_peer(&s, &peer);
    call readers[3];
    for (int i = 0; i < 3; i++) {
        readers[i] = (call){ .run = call_read, .socket = s, .buffer = buffer, .size = 1 };
        call_start(&readers[i]);
    }
    for (int i = 0; i < 3; i++) call_wait_asleep(&readers[i]);
    raw_reset(peer);
    for (int i = 0; i < 3; i++) CHECK(call_join(&readers[i]), ==, SOCK_ECONNRESET);
    CHECK(sock_close(s), ==, 0);
}

/* The kernel reports a reset once: whichever of the two gets it, the other must not see a clean end. */
static void a_reset_is_told_to_a_reader_and_a_writer_at_once(void)
{
    static char data[1 << 20];
    char byte;
    for (int i = 0; i < rounds(50); i++) {
        sock_t s;
        int peer;
        tcp_with_raw_peer(&s, &peer);
        fill(s);
        call reader = { .run = i % 2 ? call_read : call_peek, .socket = s, .buffer = &byte, .size = 1 };
        call writer = { .run = call_write, .socket = s, .buffer = data, .size = sizeof data };
        call *first = i % 4 < 2 ? &writer : &reader, *second = i % 4 < 2 ? &reader : &writer;
        call_start(first);
        call_wait_asleep(first);
        call_start(second);
        call_wait_asleep(second);
        raw_reset(peer);
        CHECK(call_join(&reader), ==, SOCK_ECONNRESET);
        CHECK(call_join(&writer) == SOCK_ECONNRESET || writer.result == SOCK_EPIPE, ==, true);
        CHECK(sock_read(s, &byte, 1), ==, SOCK_ECONNRESET);
        CHECK(sock_write(s, &byte, 1), ==, SOCK_ECONNRESET);
        CHECK(sock_close(s), ==, 0);
    }
}

/* A connection that was still being made when it was adopted, and then was refused. */
static void a_refusal_does_not_become_an_end(void)
{
    uint16_t port;
    char byte = 0;
    int reserved = raw_reserve(&port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in nobody = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    CHECK(connect(fd, (struct sockaddr *)&nobody, sizeof nobody), ==, -1);
    CHECK(errno, ==, EINPROGRESS);
    sock_t s = sock_from_fd(fd);
    CHECK(s, >, 0);
    for (int i = 0; i < 3; i++) {
        CHECK(sock_read(s, &byte, 1), ==, SOCK_ECONNREFUSED);
        CHECK(sock_write(s, &byte, 1), ==, SOCK_ECONNREFUSED);
    }
    CHECK(sock_close(s), ==, 0);
    raw_close(reserved);
}

/* A peer that closes with input unread resets; its answer comes first, and then a reset, not an end. */
static void a_peer_that_closes_with_input_unread_resets(void)
{
    sock_t s;
    int peer;
    char buffer[8];
    tcp_with_raw_peer(&s, &peer);
    CHECK(sock_write(s, "unread", 6), ==, 6);
    CHECK(raw_readable(peer, 10000), ==, true);
    raw_send(peer, "reply", 5);
    raw_close(peer);
    CHECK(sock_read_exact(s, buffer, 5), ==, 5);
    CHECK(memcmp(buffer, "reply", 5), ==, 0);
    CHECK(sock_read(s, buffer, 1), ==, SOCK_ECONNRESET);
    CHECK(sock_close(s), ==, 0);
}

static void writing_to_a_peer_that_closed_fails_and_raises_nothing(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    CHECK(sock_close(pair[1]), ==, 0);
    int64_t result = 1;
    for (int i = 0; result == 1 && i < 1000; i++) {
        result = sock_write(pair[0], "x", 1);
        sleep_ms(1);
    }
    CHECK(result == SOCK_EPIPE || result == SOCK_ECONNRESET, ==, true);
    int64_t again = sock_write(pair[0], "x", 1);
    CHECK(again == SOCK_EPIPE || again == SOCK_ECONNRESET, ==, true);
    int64_t end = sock_read(pair[0], &byte, 1);
    CHECK(end == 0 || end == SOCK_ECONNRESET || end == SOCK_EPIPE, ==, true);
    CHECK(sock_close(pair[0]), ==, 0);
}
OVER_BOTH(writing_to_a_peer_that_closed_fails_and_raises_nothing)

/* Whether /proc/net/tcp has a connection between these ports, in whatever state. */
static bool kernel_has(uint16_t local, uint16_t remote)
{
    char line[256];
    bool found = false;
    FILE *table = fopen("/proc/net/tcp", "r");
    CHECK(table != NULL, ==, true);
    while (fgets(line, sizeof line, table)) {
        unsigned here, there;
        if (sscanf(line, " %*d: %*x:%x %*x:%x", &here, &there) == 2 && here == local && there == remote) found = true;
    }
    fclose(table);
    return found;
}

static void abort_leaves_no_connection_in_the_kernel(void)
{
    sock_t pair[2];
    tcp_pair(pair);
    uint16_t own = port_of(pair[0]), peers = port_of(pair[1]);
    WAIT_UNTIL(kernel_has(own, peers)); /* if the table changes meanwhile, a look may miss a line */
    CHECK(sock_abort(pair[0]), ==, 0);
    WAIT_UNTIL(!kernel_has(own, peers)); /* no TIME_WAIT either, which would stay for a minute */
    CHECK(sock_close(pair[1]), ==, 0);
}

static void abort_resets_the_peer(void)
{
    sock_t s;
    int peer;
    char byte;
    tcp_with_raw_peer(&s, &peer);
    CHECK(sock_abort(s), ==, 0);
    CHECK(sock_read(s, &byte, 1), ==, SOCK_EHANDLE);
    CHECK(raw_drain(peer), ==, -ECONNRESET);
    raw_close(peer);
}

static void abort_ends_calls_in_flight_as_close_does(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    call reader;
    start_reader(&reader, pair[0], &byte);
    CHECK(sock_abort(pair[0]), ==, 0);
    CHECK(call_join(&reader), ==, SOCK_ECLOSED);
    CHECK(sock_abort(pair[0]), ==, SOCK_EHANDLE);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(abort_ends_calls_in_flight_as_close_does)

static void abort_after_a_half_close_resets_too(void)
{
    sock_t s;
    int peer;
    tcp_with_raw_peer(&s, &peer);
    raw_send(peer, "unread", 6);
    CHECK(sock_shutdown(s, SOCK_WRITE), ==, 0);
    CHECK(raw_drain(peer), ==, 0);
    CHECK(sock_abort(s), ==, 0);
    CHECK(sock_close(s), ==, SOCK_EHANDLE);
    char byte = 0;
    WAIT_UNTIL(send(peer, &byte, 1, MSG_NOSIGNAL) < 0);
    CHECK(errno == ECONNRESET || errno == EPIPE, ==, true);
    raw_close(peer);
}

/* With close alone, input left unread would reset the connection and take the answer with it. */
static void finish_delivers_what_was_written_though_input_was_left_unread(void)
{
    enum { SIZE = 1 << 20 };
    static char data[SIZE];
    sock_t s;
    int peer;
    tcp_with_raw_peer(&s, &peer);
    raw_send(peer, data, 100000);
    call writer = { .run = call_write, .socket = s, .buffer = data, .size = SIZE };
    call_start(&writer);
    /* The end of the answer is under way when the handle is finished. */
    char part[1024];
    call finisher = { .run = call_finish, .socket = s, .number = 10000 };
    for (size_t got = 0; got < SIZE - 4096; got += sizeof part) raw_receive(peer, part, sizeof part);
    CHECK(call_join(&writer), ==, SIZE);
    call_start(&finisher);
    CHECK(raw_drain(peer), ==, 4096);
    raw_close(peer);
    CHECK(call_join(&finisher), ==, 0);
    CHECK(sock_close(s), ==, SOCK_EHANDLE);
}

static void finish_gives_up_when_its_time_is_over(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    int64_t began = now_us();
    CHECK(sock_finish(pair[0], 50), ==, SOCK_ETIMEDOUT);
    CHECK(now_us() - began, >=, 50000);
    CHECK(sock_close(pair[0]), ==, SOCK_EHANDLE);
    CHECK(sock_read(pair[1], &byte, 1), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(finish_gives_up_when_its_time_is_over)

/* The limit is that of the whole call: SOCK_OPT_LINGER_MS does not prolong it. */
static void finish_lingers_no_longer_than_its_time(void)
{
    sock_t s;
    int peer;
    tcp_with_raw_peer(&s, &peer);
    CHECK(fill(s), >, 0);
    CHECK(sock_set_option(s, SOCK_OPT_LINGER_MS, 15000), ==, 0);
    int64_t began = now_ms();
    CHECK(sock_finish(s, 50), ==, SOCK_ETIMEDOUT);
    CHECK(now_ms() - began, <, 10000);
    raw_reset(peer);
}

static void *send_much_and_end(void *handle)
{
    static char much[24 << 20];
    sock_t s = *(sock_t *)handle;
    CHECK(sock_write(s, much, sizeof much), ==, sizeof much);
    CHECK(sock_shutdown(s, SOCK_WRITE), ==, 0);
    return NULL;
}

/* However much it is: only when its time is over does it matter. */
static void finish_drops_all_that_comes_before_the_end(make_pair make)
{
    static const int64_t timeouts[] = { SOCK_FOREVER, 600000 };
    for (int i = 0; i < 2; i++) {
        sock_t pair[2];
        char byte;
        make(pair);
        CHECK(sock_write(pair[1], "x", 1), ==, 1);
        call finisher = { .run = call_finish, .socket = pair[0], .number = timeouts[i] };
        call_start(&finisher);
        call_wait_asleep(&finisher); /* what has come is not the end */
        pthread_t sender = start_thread(send_much_and_end, &pair[1]);
        CHECK(call_join(&finisher), ==, 0);
        join_thread(sender);
        CHECK(sock_read(pair[1], &byte, 1), ==, 0); /* and no reset */
        CHECK(sock_close(pair[1]), ==, 0);
    }
}
OVER_BOTH(finish_drops_all_that_comes_before_the_end)

static void finish_tells_of_a_reset(void)
{
    sock_t s;
    int peer;
    tcp_with_raw_peer(&s, &peer);
    raw_reset(peer);
    CHECK(raw_readable(sock_fd(s), 5000), ==, true); /* it is here, and shutdown(2) knows of no connection any more */
    CHECK(sock_finish(s, 5000), ==, SOCK_ECONNRESET);
    CHECK(sock_close(s), ==, SOCK_EHANDLE);
}

static void finish_leaves_other_kinds_alone(void)
{
    sock_t bound = sock_udp_bind("127.0.0.1", "0", NULL), connected;
    sock_address address;
    char text[SOCK_ADDRESS_TEXT], byte;
    CHECK(sock_local_address(bound, &address), ==, 0);
    CHECK(sock_address_format(&address, text, sizeof text), >, 0);
    connected = sock_udp_open(text, NULL, NULL);
    CHECK(connected, >, 0);
    CHECK(sock_finish(connected, 0), ==, SOCK_ETYPE);
    CHECK(sock_write(connected, "x", 1), ==, 1);
    CHECK(sock_read(bound, &byte, 1), ==, 1);
    CHECK(sock_close(connected), ==, 0);
    CHECK(sock_close(bound), ==, 0);
}

static void finish_ends_when_the_peer_has_ended(make_pair make)
{
    sock_t pair[2];
    make(pair);
    CHECK(sock_write(pair[1], "dropped", 7), ==, 7);
    CHECK(sock_shutdown(pair[1], SOCK_WRITE), ==, 0);
    CHECK(sock_finish(pair[0], SOCK_FOREVER), ==, 0);
    CHECK(sock_finish(pair[0], 0), ==, SOCK_EHANDLE);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(finish_ends_when_the_peer_has_ended)

static void both_sides_may_close_at_once(make_pair make)
{
    for (int i = 0; i < rounds(500); i++) {
        sock_t pair[2];
        make(pair);
        CHECK(sock_write(pair[0], "a", 1), ==, 1);
        CHECK(sock_write(pair[1], "b", 1), ==, 1);
        call closers[2];
        for (int side = 0; side < 2; side++) {
            closers[side] = (call){ .run = call_finish, .socket = pair[side], .number = 10000 };
            call_start(&closers[side]);
        }
        for (int side = 0; side < 2; side++) {
            int64_t result = call_join(&closers[side]);
            CHECK(result == 0 || result == SOCK_ECONNRESET, ==, true);
        }
    }
}
OVER_BOTH(both_sides_may_close_at_once)

/* Closing does not wait for bytes that the peer does not take. */
static void close_does_not_wait_for_unsent_bytes(make_pair make)
{
    int64_t took[5];
    for (int i = 0; i < 5; i++) {
        sock_t pair[2];
        make(pair);
        fill(pair[0]);
        stopwatch watch = start_watch();
        CHECK(sock_close(pair[0]), ==, 0);
        took[i] = watch_us(&watch);
        CHECK(sock_close(pair[1]), ==, 0);
    }
    if (!under_memcheck()) CHECK(median(took, 5), <, 5000);
}
OVER_BOTH(close_does_not_wait_for_unsent_bytes)

static const test_case cases[] = {
    BOTH_CASES(the_answer_to_a_half_close_is_readable),
    BOTH_CASES(a_second_half_close_changes_nothing),
    BOTH_CASES(a_second_half_close_on_a_finished_connection_changes_nothing),
    BOTH_CASES(a_half_close_ends_a_write_that_waits),
    CASE(a_unix_peer_that_reads_no_more_ends_a_write_that_waits),
    CASE(a_unix_peer_that_reads_no_more_ends_a_write_on_a_fiber),
    BOTH_CASES(after_shutting_down_reading_nothing_waits),
    CASE(the_directions_of_a_shutdown_are_checked),
    CASE(queued_bytes_come_before_the_reset),
    CASE(a_reset_stays_a_reset_in_every_call),
    CASE(a_reset_seen_by_a_writer_is_seen_by_readers),
    CASE(a_reset_ends_readers_that_wait),
    CASE(a_reset_is_told_to_a_reader_and_a_writer_at_once),
    CASE(a_refusal_does_not_become_an_end),
    CASE(a_peer_that_closes_with_input_unread_resets),
    BOTH_CASES(writing_to_a_peer_that_closed_fails_and_raises_nothing),
    CASE(abort_resets_the_peer),
    CASE(abort_leaves_no_connection_in_the_kernel),
    BOTH_CASES(abort_ends_calls_in_flight_as_close_does),
    CASE(abort_after_a_half_close_resets_too),
    CASE(finish_delivers_what_was_written_though_input_was_left_unread),
    CASE(finish_tells_of_a_reset),
    CASE(finish_leaves_other_kinds_alone),
    BOTH_CASES(finish_gives_up_when_its_time_is_over),
    CASE(finish_lingers_no_longer_than_its_time),
    BOTH_CASES(finish_ends_when_the_peer_has_ended),
    BOTH_CASES(finish_drops_all_that_comes_before_the_end),
    BOTH_CASES(both_sides_may_close_at_once),
    BOTH_CASES(close_does_not_wait_for_unsent_bytes),
};
TEST_MAIN(cases)
