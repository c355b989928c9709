/* Reading and writing: how much, in which order, with which buffers. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "harness.h"

static void read_returns_what_is_there(make_pair make)
{
    sock_t pair[2];
    char buffer[64];
    make(pair);
    CHECK(sock_write(pair[0], "hello", 5), ==, 5);
    CHECK(sock_read(pair[1], buffer, sizeof buffer), ==, 5);
    CHECK(memcmp(buffer, "hello", 5), ==, 0);
    close_pair(pair);
}
OVER_BOTH(read_returns_what_is_there)

static void read_stays_within_its_buffer(make_pair make)
{
    sock_t pair[2];
    unsigned char guarded[32];
    char data[100];
    make(pair);
    pattern(data, sizeof data, 0);
    CHECK(sock_write(pair[0], data, sizeof data), ==, sizeof data);
    for (uint64_t offset = 0; offset < sizeof data; offset += 10) {
        memset(guarded, 0xEE, sizeof guarded);
        CHECK(sock_read_exact(pair[1], guarded + 8, 10), ==, 10);
        CHECK(pattern_mismatch(guarded + 8, 10, offset), ==, 10);
        for (int i = 0; i < 8; i++) CHECK(guarded[i], ==, 0xEE);
        for (int i = 18; i < 32; i++) CHECK(guarded[i], ==, 0xEE);
    }
    close_pair(pair);
}
OVER_BOTH(read_stays_within_its_buffer)

static void the_end_of_the_stream_reads_as_zero_again_and_again(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    CHECK(sock_write(pair[0], "x", 1), ==, 1);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_read(pair[1], &byte, 1), ==, 1);
    for (int i = 0; i < 3; i++) {
        CHECK(sock_read(pair[1], &byte, 1), ==, 0);
        CHECK(sock_peek(pair[1], &byte, 1), ==, 0);
        CHECK(sock_try_read(pair[1], &byte, 1), ==, 0);
    }
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(the_end_of_the_stream_reads_as_zero_again_and_again)

static void read_exact_reports_an_early_end_and_how_far_it_came(make_pair make)
{
    sock_t pair[2];
    char buffer[10];
    make(pair);
    CHECK(sock_write(pair[0], "123456789", 9), ==, 9);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_read_exact(pair[1], buffer, 10), ==, SOCK_EEOF);
    CHECK(sock_last_count(), ==, 9);
    CHECK(memcmp(buffer, "123456789", 9), ==, 0);
    CHECK(sock_read_exact(pair[1], buffer, 1), ==, SOCK_EEOF);
    CHECK(sock_last_count(), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(read_exact_reports_an_early_end_and_how_far_it_came)

static void nothing_is_read_or_written_in_no_time(make_pair make)
{
    sock_t pair[2];
    char byte = 0;
    struct iovec empty[2] = { { NULL, 0 }, { &byte, 0 } };
    make(pair);
    for (int with_buffer = 0; with_buffer < 2; with_buffer++) {
        void *buffer = with_buffer ? &byte : NULL;
        CHECK(sock_read(pair[0], buffer, 0), ==, 0);
        CHECK(sock_read_exact(pair[0], buffer, 0), ==, 0);
        CHECK(sock_peek(pair[0], buffer, 0), ==, 0);
        CHECK(sock_try_read(pair[0], buffer, 0), ==, 0);
        CHECK(sock_write(pair[0], buffer, 0), ==, 0);
        CHECK(sock_try_write(pair[0], buffer, 0), ==, 0);
    }
    CHECK(sock_readv(pair[0], empty, 2), ==, 0);
    CHECK(sock_writev(pair[0], empty, 2), ==, 0);
    CHECK(sock_readv(pair[0], NULL, 0), ==, 0);
    CHECK(sock_writev(pair[0], NULL, 0), ==, 0);
    CHECK(sock_try_read(pair[1], &byte, 1), ==, SOCK_EAGAIN);
    close_pair(pair);
}
OVER_BOTH(nothing_is_read_or_written_in_no_time)

static void peek_leaves_the_bytes_there(make_pair make)
{
    sock_t pair[2];
    char buffer[8] = { 0 };
    make(pair);
    CHECK(sock_write(pair[0], "abcdef", 6), ==, 6);
    for (int i = 0; i < 3; i++) {
        CHECK(sock_peek(pair[1], buffer, 3), ==, 3);
        CHECK(memcmp(buffer, "abc", 3), ==, 0);
    }
    CHECK(sock_read_exact(pair[1], buffer, 6), ==, 6);
    CHECK(memcmp(buffer, "abcdef", 6), ==, 0);
    CHECK(sock_try_read(pair[1], buffer, 1), ==, SOCK_EAGAIN);
    close_pair(pair);
}
OVER_BOTH(peek_leaves_the_bytes_there)

static void *write_slowly_read(void *argument)
{
    call *c = argument;
    CHECK(sock_write(c->socket, c->buffer, c->size), ==, c->size);
    return NULL;
}

static void write_delivers_everything_to_a_slow_reader(make_pair make)
{
    size_t size = (size_t)(under_memcheck() ? 4 : 32) << 20;
    unsigned char *data = malloc(size), *received = malloc(size);
    sock_t pair[2];
    make(pair);
    pattern(data, size, 0);
    call writer = { .socket = pair[0], .buffer = data, .size = size };
    pthread_t thread = start_thread(write_slowly_read, &writer);
    for (size_t offset = 0, round = 0; offset < size; round++) {
        size_t part = 1 + round * 7919 % 200000;
        int64_t length = sock_read(pair[1], received + offset, part < size - offset ? part : size - offset);
        CHECK(length, >, 0);
        offset += (size_t)length;
    }
    join_thread(thread);
    CHECK(memcmp(data, received, size), ==, 0);
    CHECK(sock_try_read(pair[1], received, 1), ==, SOCK_EAGAIN);
    free(data);
    free(received);
    close_pair(pair);
}
OVER_BOTH(write_delivers_everything_to_a_slow_reader)

static void try_write_takes_what_fits(make_pair make)
{
    static char data[16 << 20];
    sock_t pair[2];
    make(pair);
    pattern(data, sizeof data, 0);
    int64_t first = sock_try_write(pair[0], data, sizeof data);
    CHECK(first, >, 0);
    CHECK(first, <, sizeof data);
    fill(pair[0]); /* up to SOCK_EAGAIN */
    CHECK(sock_last_count(), ==, 0);
    for (int64_t offset = 0; offset < first;) {
        int64_t length = sock_try_read(pair[1], data, (size_t)(first - offset) < 4096 ? (size_t)(first - offset) : 4096);
        CHECK(length, >, 0);
        CHECK(pattern_mismatch(data, (size_t)length, (uint64_t)offset), ==, length);
        offset += length;
    }
    close_pair(pair);
}
OVER_BOTH(try_write_takes_what_fits)

static void try_calls_do_not_wait(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    CHECK(sock_try_read(pair[0], &byte, 1), ==, SOCK_EAGAIN);
    CHECK(sock_write(pair[1], "y", 1), ==, 1);
    WAIT_UNTIL(sock_try_read(pair[0], &byte, 1) == 1);
    CHECK(byte, ==, 'y');
    close_pair(pair);
}
OVER_BOTH(try_calls_do_not_wait)

static void vectors_are_gathered_and_scattered_in_order(make_pair make)
{
    enum { LARGE = 65536 };
    static char large[LARGE], received[LARGE + 4];
    sock_t pair[2];
    make(pair);
    pattern(large, sizeof large, 1);
    struct iovec out[] = { { NULL, 0 }, { "A", 1 }, { large, LARGE }, { large, 0 }, { "xyz", 3 } };
    CHECK(sock_writev(pair[0], out, 5), ==, LARGE + 4);
    struct iovec in[] = { { received, 10 }, { NULL, 0 }, { received + 10, LARGE - 10 }, { received + LARGE, 4 } };
    int64_t length = sock_readv(pair[1], in, 4);
    CHECK(length, >, 10);
    CHECK(sock_read_exact(pair[1], received + length, (size_t)(LARGE + 4 - length)), ==, LARGE + 4 - length);
    CHECK(received[0], ==, 'A');
    CHECK(memcmp(received + 1, large, LARGE), ==, 0);
    CHECK(memcmp(received + 1 + LARGE, "xyz", 3), ==, 0);
    close_pair(pair);
}
OVER_BOTH(vectors_are_gathered_and_scattered_in_order)

/* One system call takes IOV_MAX (1024) parts; ours has no such limit. */
static void vectors_may_have_more_parts_than_a_system_call_takes(make_pair make)
{
    enum { PARTS = 2500 };
    static unsigned char data[PARTS], received[PARTS];
    static struct iovec out[PARTS], in[PARTS];
    sock_t pair[2];
    make(pair);
    pattern(data, sizeof data, 0);
    for (int i = 0; i < PARTS; i++) {
        out[i] = (struct iovec){ &data[i], 1 };
        in[i] = (struct iovec){ &received[i], 1 };
    }
    CHECK(sock_writev(pair[0], out, PARTS), ==, PARTS);
    size_t got = 0;
    while (got < PARTS) {
        int64_t length = sock_readv(pair[1], in + got, (int)(PARTS - got));
        CHECK(length, >, 0);
        got += (size_t)length;
    }
    CHECK(memcmp(data, received, PARTS), ==, 0);
    close_pair(pair);
}
OVER_BOTH(vectors_may_have_more_parts_than_a_system_call_takes)

static void empty_parts_in_front_are_not_the_end_of_the_stream(make_pair make)
{
    enum { PARTS = 2500 };
    static struct iovec parts[PARTS]; /* all { NULL, 0 } but the last */
    sock_t pair[2];
    char bytes[4] = "abc";
    make(pair);
    parts[PARTS - 1] = (struct iovec){ bytes, 3 };
    CHECK(sock_writev(pair[0], parts, PARTS), ==, 3);
    memset(bytes, 0, sizeof bytes);
    CHECK(sock_readv(pair[1], parts, PARTS), ==, 3);
    CHECK(strcmp(bytes, "abc"), ==, 0);
    close_pair(pair);
}
OVER_BOTH(empty_parts_in_front_are_not_the_end_of_the_stream)

static void vectors_that_cannot_be_are_refused(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    struct iovec overflowing[] = { { &byte, 1 }, { &byte, SIZE_MAX } };
    struct iovec too_much[] = { { &byte, PTRDIFF_MAX }, { &byte, 1 } };
    struct iovec missing[] = { { NULL, 5 } };
    struct iovec good[] = { { &byte, 1 } };
    struct iovec *bad[] = { overflowing, too_much, missing, NULL, good };
    int counts[] = { 2, 2, 1, 1, -1 };
    for (int i = 0; i < 5; i++) {
        context("vector %d", i);
        CHECK(sock_writev(pair[0], bad[i], counts[i]), ==, SOCK_EINVAL);
        CHECK(sock_readv(pair[0], bad[i], counts[i]), ==, SOCK_EINVAL);
    }
    CHECK(sock_try_read(pair[1], &byte, 1), ==, SOCK_EAGAIN);
    close_pair(pair);
}
OVER_BOTH(vectors_that_cannot_be_are_refused)

typedef struct run {
    sock_t socket;
    char letter;
} run;

enum { RUN = 1 << 20, RUNS = 4, WRITERS = 4 };

static void *write_runs(void *argument)
{
    run *r = argument;
    char *data = malloc(RUN);
    memset(data, r->letter, RUN);
    struct iovec halves[] = { { data, RUN / 2 }, { data + RUN / 2, RUN / 2 } };
    for (int i = 0; i < RUNS; i++) {
        int64_t written = i % 2 ? sock_writev(r->socket, halves, 2) : sock_write(r->socket, data, RUN);
        CHECK(written, ==, RUN);
    }
    free(data);
    return NULL;
}

static void writers_never_interleave(make_pair make)
{
    static char received[RUN];
    sock_t pair[2];
    run runs[WRITERS];
    pthread_t writers[WRITERS];
    int seen[WRITERS] = { 0 };
    make(pair);
    for (int i = 0; i < WRITERS; i++) {
        runs[i] = (run){ pair[0], (char)('A' + i) };
        writers[i] = start_thread(write_runs, &runs[i]);
    }
    for (int i = 0; i < WRITERS * RUNS; i++) {
        CHECK(sock_read_exact(pair[1], received, RUN), ==, RUN);
        for (size_t at = 1; at < RUN; at++) CHECK(received[at], ==, received[0]);
        seen[received[0] - 'A']++;
    }
    for (int i = 0; i < WRITERS; i++) {
        join_thread(writers[i]);
        CHECK(seen[i], ==, RUNS);
    }
    close_pair(pair);
}
OVER_BOTH(writers_never_interleave)

typedef struct reading {
    sock_t socket;
    uint64_t sum, bytes;
} reading;

static void *read_and_add(void *argument)
{
    reading *r = argument;
    unsigned char buffer[777];
    int64_t length;
    while ((length = sock_read(r->socket, buffer, sizeof buffer)) > 0) {
        for (int64_t i = 0; i < length; i++) r->sum += buffer[i];
        r->bytes += (uint64_t)length;
    }
    CHECK(length, ==, 0);
    return NULL;
}

static void two_readers_get_each_byte_once(make_pair make)
{
    static unsigned char data[1 << 20];
    sock_t pair[2];
    pthread_t threads[2];
    uint64_t expected = 0;
    make(pair);
    pattern(data, sizeof data, 0);
    for (size_t i = 0; i < sizeof data; i++) expected += data[i];
    reading readers[2] = { { .socket = pair[1] }, { .socket = pair[1] } };
    for (int i = 0; i < 2; i++) threads[i] = start_thread(read_and_add, &readers[i]);
    CHECK(sock_write(pair[0], data, sizeof data), ==, sizeof data);
    CHECK(sock_close(pair[0]), ==, 0);
    for (int i = 0; i < 2; i++) join_thread(threads[i]);
    CHECK(readers[0].bytes + readers[1].bytes, ==, sizeof data);
    CHECK(readers[0].sum + readers[1].sum, ==, expected);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(two_readers_get_each_byte_once)

static void what_was_written_before_close_arrives(make_pair make)
{
    static char data[100000];
    sock_t pair[2];
    uint64_t offset = 0;
    int64_t length;
    make(pair);
    pattern(data, sizeof data, 0);
    CHECK(sock_write(pair[0], data, sizeof data), ==, sizeof data);
    CHECK(sock_close(pair[0]), ==, 0);
    char buffer[1000];
    while ((length = sock_read(pair[1], buffer, sizeof buffer)) > 0) {
        CHECK(pattern_mismatch(buffer, (size_t)length, offset), ==, length);
        offset += (uint64_t)length;
    }
    CHECK(length, ==, 0);
    CHECK(offset, ==, sizeof data);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(what_was_written_before_close_arrives)

/* The peer's half close means nothing to a writer whose peer does not read: it goes on waiting, without spinning. */
static void a_writer_waits_through_the_peers_half_close(void)
{
    static char data[16 << 20];
    sock_t s;
    int peer;
    tcp_with_raw_peer(&s, &peer);
    fill(s);
    call writer = { .run = call_write, .socket = s, .buffer = data, .size = sizeof data };
    call_start(&writer);
    call_wait_asleep(&writer);
    CHECK(shutdown(peer, SHUT_WR), ==, 0);
    call_wait_asleep(&writer);
    clockid_t clock;
    struct timespec before, after;
    CHECK(pthread_getcpuclockid(writer.thread, &clock), ==, 0);
    clock_gettime(clock, &before);
    sleep_ms(200);
    clock_gettime(clock, &after);
    CHECK(atomic_load(&writer.done), ==, 0);
    int64_t used_us = (int64_t)(after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    CHECK(used_us, <, 20000); /* a loop would have used most of the 200 ms */
    raw_close(peer);
    int64_t result = call_join(&writer);
    CHECK(result == SOCK_EPIPE || result == SOCK_ECONNRESET, ==, true);
    CHECK(sock_close(s), ==, 0);
}

static void printf_writes_formatted_text(make_pair make)
{
    sock_t pair[2];
    char buffer[32], *large = malloc(100001);
    make(pair);
    CHECK(sock_printf(pair[0], "%s %d\n", "number", 42), ==, 10);
    CHECK(sock_read_exact(pair[1], buffer, 10), ==, 10);
    CHECK(memcmp(buffer, "number 42\n", 10), ==, 0);
    CHECK(sock_printf(pair[0], "%s", ""), ==, 0);
    /* Longer than any buffer on the stack would be. */
    CHECK(sock_printf(pair[0], "%0100000d", 7), ==, 100000);
    CHECK(sock_read_exact(pair[1], large, 100000), ==, 100000);
    for (int i = 0; i < 99999; i++) CHECK(large[i], ==, '0');
    CHECK(large[99999], ==, '7');
    CHECK(sock_printf(0, "%d", 1), ==, SOCK_EHANDLE);
    const char *volatile missing = NULL; /* not for the compiler to see */
    CHECK(sock_printf(pair[0], missing, 1), ==, SOCK_EINVAL);
    CHECK(strncmp(sock_last_error(), "write ", 6), ==, 0); /* and not what failed before */
    wchar_t odd[] = { (wchar_t)0x110000, 0 }; /* no character, in no encoding */
    CHECK(sock_printf(pair[0], "%ls", odd), ==, SOCK_EINVAL);
    CHECK(strncmp(sock_last_error(), "write ", 6), ==, 0);
    free(large);
    close_pair(pair);
}
OVER_BOTH(printf_writes_formatted_text)

/* A descriptor that another process holds keeps its own blocking mode; here we only see that ours works beside it. */
static void a_socket_works_whatever_its_blocking_mode(void)
{
    sock_t s;
    int peer;
    char byte;
    tcp_with_raw_peer(&s, &peer);
    int flags = fcntl(sock_fd(s), F_GETFL);
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        CHECK(fcntl(sock_fd(s), F_SETFL, nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), ==, 0);
        CHECK(sock_try_read(s, &byte, 1), ==, SOCK_EAGAIN);
        call reader;
        start_reader(&reader, s, &byte);
        raw_send(peer, "z", 1);
        CHECK(call_join(&reader), ==, 1);
        CHECK(byte, ==, 'z');
    }
    raw_close(peer);
    CHECK(sock_close(s), ==, 0);
}

static void asking_for_nothing_waits_for_nobody(make_pair make)
{
    static char data[8 << 20];
    sock_t pair[2];
    char byte;
    struct iovec nothing = { NULL, 0 };
    make(pair);
    fill(pair[0]);
    call reader, writer = { .run = call_write, .socket = pair[0], .buffer = data, .size = sizeof data };
    start_reader(&reader, pair[0], &byte);
    call_start(&writer);
    call_wait_asleep(&writer);
    CHECK(sock_read(pair[0], NULL, 0), ==, 0);
    CHECK(sock_readv(pair[0], &nothing, 1), ==, 0);
    CHECK(sock_try_read(pair[0], NULL, 0), ==, 0);
    CHECK(sock_read_line(pair[0], NULL, 0), ==, 0);
    CHECK(sock_write(pair[0], NULL, 0), ==, 0);
    CHECK(sock_writev(pair[0], &nothing, 1), ==, 0);
    CHECK(sock_try_write(pair[0], NULL, 0), ==, 0);
    CHECK(sock_send_file(pair[0], STDIN_FILENO, 0, 0), ==, 0);
    sock_info info = { .size = sizeof info };
    CHECK(sock_get_info(pair[0], &info), ==, 0);
    if (info.family == SOCK_UNIX) {
        size_t count;
        CHECK(sock_recv_fds(pair[0], NULL, 0, NULL, 0, &count), ==, 0);
        CHECK(sock_send_fds(pair[0], NULL, 0, NULL, 0), ==, 0);
    }
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(call_join(&reader), ==, SOCK_ECLOSED);
    CHECK(call_join(&writer), ==, SOCK_ECLOSED);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(asking_for_nothing_waits_for_nobody)

/* recv(2) has other words for it on unix sockets, and send(2) on TCP sockets. */
static void a_socket_that_was_never_connected_says_so(void)
{
    int families[] = { AF_INET, AF_INET6, AF_UNIX };
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char buffer[4] = { 0 };
        struct iovec part = { buffer, 1 };
        context("family %d", families[i]);
        sock_t s = sock_from_fd(socket(families[i], SOCK_STREAM | SOCK_CLOEXEC, 0));
        CHECK(s, >, 0);
        CHECK(sock_read(s, buffer, 1), ==, SOCK_ENOTCONN);
        CHECK(sock_read_exact(s, buffer, 1), ==, SOCK_ENOTCONN);
        CHECK(sock_read_line(s, buffer, sizeof buffer), ==, SOCK_ENOTCONN);
        CHECK(sock_readv(s, &part, 1), ==, SOCK_ENOTCONN);
        CHECK(sock_peek(s, buffer, 1), ==, SOCK_ENOTCONN);
        CHECK(sock_try_read(s, buffer, 1), ==, SOCK_ENOTCONN);
        CHECK(sock_write(s, buffer, 1), ==, SOCK_ENOTCONN);
        CHECK(sock_writev(s, &part, 1), ==, SOCK_ENOTCONN);
        CHECK(sock_try_write(s, buffer, 1), ==, SOCK_ENOTCONN);
        CHECK(sock_read(s, buffer, 1), ==, SOCK_ENOTCONN);
        CHECK(sock_finish(s, 1000), ==, SOCK_ENOTCONN);
    }
}

static const test_case cases[] = {
    BOTH_CASES(read_returns_what_is_there),
    BOTH_CASES(read_stays_within_its_buffer),
    BOTH_CASES(the_end_of_the_stream_reads_as_zero_again_and_again),
    BOTH_CASES(read_exact_reports_an_early_end_and_how_far_it_came),
    BOTH_CASES(nothing_is_read_or_written_in_no_time),
    BOTH_CASES(peek_leaves_the_bytes_there),
    BOTH_CASES(write_delivers_everything_to_a_slow_reader),
    BOTH_CASES(try_write_takes_what_fits),
    BOTH_CASES(try_calls_do_not_wait),
    BOTH_CASES(vectors_are_gathered_and_scattered_in_order),
    BOTH_CASES(vectors_may_have_more_parts_than_a_system_call_takes),
    BOTH_CASES(empty_parts_in_front_are_not_the_end_of_the_stream),
    BOTH_CASES(vectors_that_cannot_be_are_refused),
    BOTH_CASES(writers_never_interleave),
    BOTH_CASES(two_readers_get_each_byte_once),
    BOTH_CASES(what_was_written_before_close_arrives),
    CASE(a_writer_waits_through_the_peers_half_close),
    BOTH_CASES(printf_writes_formatted_text),
    CASE(a_socket_works_whatever_its_blocking_mode),
    BOTH_CASES(asking_for_nothing_waits_for_nobody),
    CASE(a_socket_that_was_never_connected_says_so),
};
TEST_MAIN(cases)
