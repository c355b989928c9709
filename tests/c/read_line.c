/* Reading lines, and the read-ahead that belongs to the handle. */
#include <stdlib.h>
#include <string.h>
#include "harness.h"

static void expect_line(sock_t s, const char *expected)
{
    char line[256];
    memset(line, 0x5A, sizeof line);
    context("the line \"%s\"", expected);
    CHECK(sock_read_line(s, line, sizeof line), ==, strlen(expected));
    CHECK(strcmp(line, expected), ==, 0);
    context(NULL);
}

static void expect_end(sock_t s)
{
    char line[8];
    CHECK(sock_read_line(s, line, sizeof line), ==, SOCK_EEOF);
    CHECK(sock_read_line(s, line, sizeof line), ==, SOCK_EEOF);
    CHECK(sock_read(s, line, sizeof line), ==, 0);
}

static void send_text(sock_t s, const char *text)
{
    CHECK(sock_write(s, text, strlen(text)), ==, strlen(text));
}

static void lines_end_in_lf_or_crlf_and_the_last_may_lack_it(make_pair make)
{
    sock_t pair[2];
    make(pair);
    send_text(pair[0], "a\nb\r\n\n\r\nc\rd\n\r\r\ne");
    CHECK(sock_close(pair[0]), ==, 0);
    expect_line(pair[1], "a");
    expect_line(pair[1], "b");
    expect_line(pair[1], "");
    expect_line(pair[1], "");
    expect_line(pair[1], "c\rd");
    expect_line(pair[1], "\r");
    expect_line(pair[1], "e");
    expect_end(pair[1]);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(lines_end_in_lf_or_crlf_and_the_last_may_lack_it)

static void an_ended_line_is_not_followed_by_an_empty_one(make_pair make)
{
    sock_t pair[2];
    make(pair);
    send_text(pair[0], "only\n");
    CHECK(sock_close(pair[0]), ==, 0);
    expect_line(pair[1], "only");
    expect_end(pair[1]);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(an_ended_line_is_not_followed_by_an_empty_one)

/* Each byte comes alone, and the reader waits for it. */
static void a_line_end_may_arrive_in_pieces(void)
{
    sock_t s;
    int peer;
    char line[16];
    tcp_with_raw_peer(&s, &peer);
    call reader = { .run = call_read_line, .socket = s, .buffer = line, .size = sizeof line };
    call_start(&reader);
    for (const char *byte = "ab\r\n"; *byte; byte++) {
        call_wait_asleep(&reader);
        raw_send(peer, byte, 1);
    }
    CHECK(call_join(&reader), ==, 2);
    CHECK(strcmp(line, "ab"), ==, 0);
    CHECK(sock_buffered(s), ==, 0);
    CHECK(sock_try_read(s, line, sizeof line), ==, SOCK_EAGAIN);
    raw_close(peer);
    expect_end(s);
    CHECK(sock_close(s), ==, 0);
}

static void nul_bytes_are_data(make_pair make)
{
    sock_t pair[2];
    char line[16];
    make(pair);
    CHECK(sock_write(pair[0], "a\0b\0\n\0\n", 7), ==, 7);
    CHECK(sock_read_line(pair[1], line, sizeof line), ==, 4);
    CHECK(memcmp(line, "a\0b\0", 5), ==, 0);
    CHECK(sock_read_line(pair[1], line, sizeof line), ==, 1);
    CHECK(memcmp(line, "\0", 2), ==, 0);
    close_pair(pair);
}
OVER_BOTH(nul_bytes_are_data)

/* Every reading call drains the read-ahead first. */
static void read_ahead_is_lost_to_no_reading_call(make_pair make)
{
    sock_t pair[2];
    char buffer[64], part[8];
    make(pair);
    send_text(pair[0], "first\nread peek try  vector exact lines\nlast");
    expect_line(pair[1], "first");
    size_t buffered = sock_buffered(pair[1]);
    CHECK(buffered <= 38, ==, true);
    CHECK(sock_read_exact(pair[1], buffer, 5), ==, 5);
    CHECK(memcmp(buffer, "read ", 5), ==, 0);
    CHECK(sock_peek(pair[1], buffer, 5), ==, 5);
    CHECK(memcmp(buffer, "peek ", 5), ==, 0);
    CHECK(sock_read(pair[1], buffer, 5), ==, 5);
    CHECK(memcmp(buffer, "peek ", 5), ==, 0);
    CHECK(sock_try_read(pair[1], buffer, 5), ==, 5);
    CHECK(memcmp(buffer, "try  ", 5), ==, 0);
    struct iovec parts[] = { { buffer, 3 }, { part, 4 } };
    CHECK(sock_readv(pair[1], parts, 2), ==, 7);
    CHECK(memcmp(buffer, "vec", 3), ==, 0);
    CHECK(memcmp(part, "tor ", 4), ==, 0);
    CHECK(sock_read_exact(pair[1], buffer, 6), ==, 6);
    CHECK(memcmp(buffer, "exact ", 6), ==, 0);
    expect_line(pair[1], "lines");
    CHECK(sock_close(pair[0]), ==, 0);
    expect_line(pair[1], "last");
    expect_end(pair[1]);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(read_ahead_is_lost_to_no_reading_call)

/* An exact read larger than the read-ahead takes it and goes on with the socket. */
static void reads_go_on_from_read_ahead_to_the_socket(make_pair make)
{
    sock_t pair[2];
    char buffer[16];
    make(pair);
    send_text(pair[0], "line\nabc");
    expect_line(pair[1], "line");
    send_text(pair[0], "defg\nh\n");
    CHECK(sock_read_exact(pair[1], buffer, 7), ==, 7);
    CHECK(memcmp(buffer, "abcdefg", 7), ==, 0);
    expect_line(pair[1], "");
    expect_line(pair[1], "h");
    CHECK(sock_buffered(pair[1]), ==, 0);
    close_pair(pair);
}
OVER_BOTH(reads_go_on_from_read_ahead_to_the_socket)

static void a_line_fits_up_to_one_byte_less_than_the_buffer(make_pair make)
{
    sock_t pair[2];
    char line[12];
    make(pair);
    for (int crlf = 0; crlf < 2; crlf++) {
        const char *end = crlf ? "\r\n" : "\n";
        memset(line, 'x', sizeof line);
        send_text(pair[0], "1234567");
        send_text(pair[0], end);
        CHECK(sock_read_line(pair[1], line, 8), ==, 7);
        CHECK(memcmp(line, "1234567\0xxxx", 12), ==, 0);

        send_text(pair[0], "12345678");
        send_text(pair[0], end);
        memset(line, 'x', sizeof line);
        CHECK(sock_read_line(pair[1], line, 8), ==, SOCK_ETOOLONG);
        for (int i = 8; i < 12; i++) CHECK(line[i], ==, 'x');
        /* It stays there: for a larger buffer, or any other reading call. */
        CHECK(sock_read_line(pair[1], line, 8), ==, SOCK_ETOOLONG);
        CHECK(sock_peek(pair[1], line, 4), ==, 4);
        CHECK(memcmp(line, "1234", 4), ==, 0);
        CHECK(sock_read_line(pair[1], line, 9), ==, 8);
        CHECK(strcmp(line, "12345678"), ==, 0);
    }
    close_pair(pair);
}
OVER_BOTH(a_line_fits_up_to_one_byte_less_than_the_buffer)

/* A '\r' followed by the end of the stream is not a line end, and counts. */
static void the_last_line_has_the_same_limit(make_pair make)
{
    static const struct { const char *text; int64_t result; } ends[] = {
        { "1234567", 7 }, { "1234567\r", SOCK_ETOOLONG }, { "12345678", SOCK_ETOOLONG }, { "123456\r", 7 },
    };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        sock_t pair[2];
        char line[8];
        make(pair);
        context("%d", (int)i);
        send_text(pair[0], ends[i].text);
        CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
        CHECK(sock_read_line(pair[1], line, sizeof line), ==, ends[i].result);
        close_pair(pair);
    }
    context(NULL);
}
OVER_BOTH(the_last_line_has_the_same_limit)

static void a_line_too_long_is_readable_in_parts(make_pair make)
{
    sock_t pair[2];
    char line[16];
    make(pair);
    send_text(pair[0], "0123456789ABCDEFGHIJ\nnext\n");
    CHECK(sock_read_line(pair[1], line, 8), ==, SOCK_ETOOLONG);
    CHECK(sock_read_exact(pair[1], line, 10), ==, 10);
    CHECK(memcmp(line, "0123456789", 10), ==, 0);
    expect_line(pair[1], "ABCDEFGHIJ");
    expect_line(pair[1], "next");
    close_pair(pair);
}
OVER_BOTH(a_line_too_long_is_readable_in_parts)

/* Reading what did not fit takes nothing of the line after it, however long the line is. */
static void a_line_too_long_can_be_skipped(make_pair make)
{
    for (int length = 8; length < 40; length++) {
        sock_t pair[2];
        char text[64], line[8];
        int64_t head = 0, size;
        make(pair);
        context("%d", length);
        memset(text, 'x', (size_t)length);
        strcpy(text + length, "\r\nnext\n");
        send_text(pair[0], text);
        while ((size = sock_read_line(pair[1], line, sizeof line)) == SOCK_ETOOLONG) {
            CHECK(strstr(sock_last_error(), "longer than 7 bytes") != NULL, ==, true);
            head += sock_read(pair[1], line, sizeof line - 1);
        }
        CHECK(head + size, ==, length);
        expect_line(pair[1], "next");
        close_pair(pair);
    }
    context(NULL);
}
OVER_BOTH(a_line_too_long_can_be_skipped)

static void *write_without_line_end(void *handle)
{
    static const char data[65536] = { 'x' };
    while (sock_write(*(sock_t *)handle, data, sizeof data) > 0) { }
    return NULL;
}

/* A peer that never ends its line costs no more memory than the caller's buffer and a little. */
static void an_endless_line_is_refused_in_bounded_memory(void)
{
    enum { LIMIT = 1 << 20 };
    static char line[LIMIT];
    sock_t pair[2];
    tcp_pair(pair);
    pthread_t writer = start_thread(write_without_line_end, &pair[0]);
    int64_t before = resident_kib();
    CHECK(sock_read_line(pair[1], line, sizeof line), ==, SOCK_ETOOLONG);
    CHECK(sock_read_line(pair[1], line, sizeof line), ==, SOCK_ETOOLONG);
    CHECK(resident_kib() - before, <, 16 * 1024);
    CHECK(sock_close(pair[0]), ==, 0);
    join_thread(writer);
    CHECK(sock_close(pair[1]), ==, 0);
}

static void the_buffer_is_checked(make_pair make)
{
    sock_t pair[2];
    char line[2] = { 'x', 'x' };
    make(pair);
    send_text(pair[0], "\nab\n");
    CHECK(sock_read_line(pair[1], NULL, 10), ==, SOCK_EINVAL);
    CHECK(sock_read_line(pair[1], line, (size_t)PTRDIFF_MAX + 1), ==, SOCK_EINVAL);
    CHECK(sock_read_line(pair[1], line, 0), ==, 0); /* a size of 0 returns 0 at once, and takes nothing */
    CHECK(line[0], ==, 'x');
    /* A buffer of one byte has room for an empty line. */
    CHECK(sock_read_line(pair[1], line, 1), ==, 0);
    CHECK(line[0], ==, 0);
    CHECK(line[1], ==, 'x');
    CHECK(sock_read_line(pair[1], line, 1), ==, SOCK_ETOOLONG);
    expect_line(pair[1], "ab");
    close_pair(pair);
}
OVER_BOTH(the_buffer_is_checked)

/* What came before the deadline is kept for the next call. */
static void a_deadline_in_a_line_loses_nothing(void)
{
    sock_t s;
    int peer;
    char line[64];
    tcp_with_raw_peer(&s, &peer);
    raw_send(peer, "beginning ", 10);
    int64_t began = now_us();
    CHECK(sock_set_deadline(s, SOCK_READ, 50), ==, 0);
    CHECK(sock_read_line(s, line, sizeof line), ==, SOCK_ETIMEDOUT);
    CHECK(now_us() - began, >=, 50000);
    CHECK(sock_set_deadline(s, SOCK_READ, SOCK_FOREVER), ==, 0);
    raw_send(peer, "and end\nx", 9);
    expect_line(s, "beginning and end");
    CHECK(sock_read(s, line, sizeof line), ==, 1);
    raw_close(peer);
    CHECK(sock_close(s), ==, 0);
}

/* Bytes that came before the reset are delivered, then the reset, and never a clean end. */
static void a_reset_in_a_line_is_not_an_end(void)
{
    sock_t s;
    int peer;
    char line[64];
    tcp_with_raw_peer(&s, &peer);
    raw_send(peer, "whole\nhalf", 10);
    expect_line(s, "whole");
    raw_reset(peer);
    for (int i = 0; i < 3; i++) CHECK(sock_read_line(s, line, sizeof line), ==, SOCK_ECONNRESET);
    CHECK(sock_close(s), ==, 0);
}

static void many_lines_take_linear_time(void)
{
    enum { LINES = 1000000 };
    int lines = rounds(LINES);
    char *data = malloc((size_t)lines), line[8];
    sock_t pair[2];
    unix_pair(pair);
    memset(data, '\n', (size_t)lines);
    call writer = { .run = call_write, .socket = pair[0], .buffer = data, .size = (size_t)lines };
    call_start(&writer);
    int64_t began = processor_us();
    for (int i = 0; i < lines; i++) CHECK(sock_read_line(pair[1], line, sizeof line), ==, 0);
    /* 10^6 one-byte moves of a buffer of 8 KiB or more would take longer than this. */
    if (!under_memcheck()) CHECK(processor_us() - began, <, 5000000);
    CHECK(call_join(&writer), ==, lines);
    free(data);
    close_pair(pair);
}

typedef struct lines_read {
    sock_t socket;
    int count;
    int64_t sum;
} lines_read;

static void *read_numbered_lines(void *argument)
{
    lines_read *reading = argument;
    char line[32];
    int64_t length;
    while ((length = sock_read_line(reading->socket, line, sizeof line)) >= 0) {
        CHECK(length, ==, 11);
        CHECK(strncmp(line, "line ", 5), ==, 0);
        reading->sum += atoi(line + 5);
        reading->count++;
    }
    CHECK(length, ==, SOCK_EEOF);
    return NULL;
}

static void two_readers_get_whole_lines_each_once(make_pair make)
{
    enum { LINES = 5000 };
    sock_t pair[2];
    pthread_t threads[2];
    make(pair);
    lines_read readers[2] = { { .socket = pair[1] }, { .socket = pair[1] } };
    for (int i = 0; i < 2; i++) threads[i] = start_thread(read_numbered_lines, &readers[i]);
    for (int i = 0; i < LINES; i++) CHECK(sock_printf(pair[0], "line %06d\r\n", i), ==, 13);
    CHECK(sock_close(pair[0]), ==, 0);
    for (int i = 0; i < 2; i++) join_thread(threads[i]);
    CHECK(readers[0].count + readers[1].count, ==, LINES);
    CHECK(readers[0].sum + readers[1].sum, ==, (int64_t)LINES * (LINES - 1) / 2);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(two_readers_get_whole_lines_each_once)

static void nothing_is_buffered_where_there_is_no_handle(void)
{
    sock_t listener = listen_local();
    CHECK(sock_buffered(0), ==, 0);
    CHECK(sock_buffered(-1), ==, 0);
    CHECK(sock_buffered(INT64_MAX), ==, 0);
    CHECK(sock_buffered(listener), ==, 0);
    CHECK(sock_close(listener), ==, 0);
    CHECK(sock_buffered(listener), ==, 0);
}

static const test_case cases[] = {
    BOTH_CASES(lines_end_in_lf_or_crlf_and_the_last_may_lack_it),
    BOTH_CASES(an_ended_line_is_not_followed_by_an_empty_one),
    CASE(a_line_end_may_arrive_in_pieces),
    BOTH_CASES(nul_bytes_are_data),
    BOTH_CASES(read_ahead_is_lost_to_no_reading_call),
    BOTH_CASES(reads_go_on_from_read_ahead_to_the_socket),
    BOTH_CASES(a_line_fits_up_to_one_byte_less_than_the_buffer),
    BOTH_CASES(the_last_line_has_the_same_limit),
    BOTH_CASES(a_line_too_long_is_readable_in_parts),
    BOTH_CASES(a_line_too_long_can_be_skipped),
    CASE(an_endless_line_is_refused_in_bounded_memory),
    BOTH_CASES(the_buffer_is_checked),
    CASE(a_deadline_in_a_line_loses_nothing),
    CASE(a_reset_in_a_line_is_not_an_end),
    CASE(many_lines_take_linear_time),
    BOTH_CASES(two_readers_get_whole_lines_each_once),
    CASE(nothing_is_buffered_where_there_is_no_handle),
};
TEST_MAIN(cases)
