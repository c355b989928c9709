/* What any connection must do, whatever carries it: the behaviours of stream connections with deadlines, over TCP and over
 * a pair of unix sockets. */
#include <stdlib.h>
#include <string.h>
#include "harness.h"

enum { TOTAL = 1 << 20, CHUNK = 1024, BOTH = SOCK_READ | SOCK_WRITE };

static void round_trip(sock_t s)
{
    static uint64_t serial;
    uint64_t sent = ++serial, received = 0;
    CHECK(sock_write(s, &sent, sizeof sent), ==, sizeof sent);
    CHECK(sock_read_exact(s, &received, sizeof received), ==, sizeof received);
    CHECK(received, ==, sent);
}

static void *write_pattern(void *handle)
{
    sock_t s = *(sock_t *)handle;
    char chunk[CHUNK];
    for (size_t offset = 0; offset < TOTAL; offset += CHUNK) {
        pattern(chunk, sizeof chunk, offset);
        CHECK(sock_write(s, chunk, sizeof chunk), ==, sizeof chunk);
    }
    CHECK(sock_shutdown(s, SOCK_WRITE), ==, 0);
    return NULL;
}

static void *echo_and_end(void *handle)
{
    echo_until_end(handle);
    CHECK(sock_shutdown(*(sock_t *)handle, SOCK_WRITE), ==, 0);
    return NULL;
}

static void what_is_written_is_read(make_pair make)
{
    sock_t pair[2];
    make(pair);
    pthread_t writer = start_thread(write_pattern, &pair[0]), echo = start_thread(echo_and_end, &pair[1]);
    char chunk[CHUNK];
    uint64_t offset = 0;
    int64_t length;
    while ((length = sock_read(pair[0], chunk, sizeof chunk)) > 0) {
        CHECK(pattern_mismatch(chunk, (size_t)length, offset), ==, length);
        offset += (uint64_t)length;
    }
    CHECK(length, ==, 0);
    CHECK(offset, ==, TOTAL);
    join_thread(writer);
    join_thread(echo);
    close_pair(pair);
}
OVER_BOTH(what_is_written_is_read)

static void *play(void *handle)
{
    sock_t s = *(sock_t *)handle;
    uint64_t ball;
    while (sock_read_exact(s, &ball, sizeof ball) == sizeof ball) {
        ball++;
        CHECK(sock_write(s, &ball, sizeof ball), ==, sizeof ball);
    }
    return NULL;
}

static void a_counter_goes_back_and_forth(make_pair make)
{
    sock_t pair[2];
    make(pair);
    pthread_t player = start_thread(play, &pair[1]);
    uint64_t ball = 0;
    for (uint64_t step = 0; step < 1000; step++) {
        CHECK(sock_write(pair[0], &ball, sizeof ball), ==, sizeof ball);
        CHECK(sock_read_exact(pair[0], &ball, sizeof ball), ==, sizeof ball);
        CHECK(ball, ==, step + 1);
    }
    CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
    join_thread(player);
    close_pair(pair);
}
OVER_BOTH(a_counter_goes_back_and_forth)

/* A stream of bytes without end, until the other side is gone. */
static void *flood(void *handle)
{
    static const char zeros[CHUNK];
    int64_t result;
    do result = sock_write(*(sock_t *)handle, zeros, sizeof zeros);
    while (result > 0);
    CHECK(result == SOCK_EPIPE || result == SOCK_ECONNRESET || result == SOCK_ECLOSED || result == SOCK_EHANDLE, ==, true);
    return NULL;
}

static void *drain(void *handle)
{
    char buffer[CHUNK];
    int64_t result;
    do result = sock_read(*(sock_t *)handle, buffer, sizeof buffer);
    while (result > 0);
    CHECK(result == 0 || result == SOCK_ECONNRESET || result == SOCK_ECLOSED || result == SOCK_EHANDLE, ==, true);
    return NULL;
}

static void *read_with_deadlines(void *handle)
{
    sock_t s = *(sock_t *)handle;
    char buffer[CHUNK];
    for (int i = 0; i < 10; i++) {
        CHECK(sock_set_deadline(s, SOCK_READ, 1), ==, 0);
        int64_t result = sock_read(s, buffer, sizeof buffer);
        if (result < 0) CHECK(result, ==, SOCK_ETIMEDOUT);
    }
    return NULL;
}

static void *write_with_deadlines(void *handle)
{
    static const char zeros[CHUNK];
    sock_t s = *(sock_t *)handle;
    for (int i = 0; i < 10; i++) {
        CHECK(sock_set_deadline(s, SOCK_WRITE, 1), ==, 0);
        int64_t result = sock_write(s, zeros, sizeof zeros);
        if (result < 0) {
            CHECK(result, ==, SOCK_ETIMEDOUT);
            CHECK(sock_last_count(), <, sizeof zeros);
        }
    }
    return NULL;
}

static void race(make_pair make, void *(*racer)(void *), void *(*other_side)(void *))
{
    sock_t pair[2];
    pthread_t racers[10];
    make(pair);
    pthread_t other = start_thread(other_side, &pair[1]);
    for (int i = 0; i < 10; i++) racers[i] = start_thread(racer, &pair[0]);
    for (int i = 0; i < 10; i++) join_thread(racers[i]);
    CHECK(sock_close(pair[0]), ==, 0);
    join_thread(other);
    CHECK(sock_close(pair[1]), ==, 0);
}

static void ten_readers_race_with_deadlines(make_pair make) { race(make, read_with_deadlines, flood); }
OVER_BOTH(ten_readers_race_with_deadlines)

static void ten_writers_race_with_deadlines(make_pair make) { race(make, write_with_deadlines, drain); }
OVER_BOTH(ten_writers_race_with_deadlines)

static void a_read_timeout_does_not_touch_writing(make_pair make)
{
    sock_t pair[2];
    char buffer[CHUNK] = { 0 };
    make(pair);
    pthread_t reader = start_thread(drain, &pair[1]);
    CHECK(sock_set_deadline(pair[0], SOCK_READ, 0), ==, 0);
    CHECK(sock_read(pair[0], buffer, sizeof buffer), ==, SOCK_ETIMEDOUT);
    for (int i = 0; i < 1000; i++) CHECK(sock_write(pair[0], buffer, sizeof buffer), ==, sizeof buffer);
    CHECK(sock_close(pair[0]), ==, 0);
    join_thread(reader);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(a_read_timeout_does_not_touch_writing)

static void a_write_timeout_does_not_touch_reading(make_pair make)
{
    sock_t pair[2];
    char buffer[CHUNK];
    static const char much[8 << 20];
    make(pair);
    CHECK(sock_set_deadline(pair[0], SOCK_WRITE, 0), ==, 0);
    CHECK(sock_write(pair[0], much, sizeof much), ==, SOCK_ETIMEDOUT);
    pthread_t writer = start_thread(flood, &pair[1]);
    for (int i = 0; i < 1000; i++) CHECK(sock_read(pair[0], buffer, sizeof buffer), >, 0);
    CHECK(sock_close(pair[0]), ==, 0);
    join_thread(writer);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(a_write_timeout_does_not_touch_reading)

static void a_past_deadline_ends_every_wait_until_it_is_lifted(make_pair make)
{
    static const char much[8 << 20];
    sock_t pair[2];
    char byte = 0;
    make(pair);
    CHECK(sock_set_deadline(pair[0], BOTH, 0), ==, 0);
    for (int i = 0; i < 3; i++) {
        CHECK(sock_write(pair[0], much, sizeof much), ==, SOCK_ETIMEDOUT);
        CHECK(sock_last_count(), <, sizeof much);
        CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
        CHECK(sock_last_count(), ==, 0);
    }
    close_pair(pair);

    make(pair);
    pthread_t echo = start_thread(echo_until_end, &pair[1]);
    round_trip(pair[0]);
    CHECK(sock_set_deadline(pair[0], BOTH, 0), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(sock_set_deadline(pair[0], BOTH, SOCK_FOREVER), ==, 0);
    round_trip(pair[0]);
    CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
    join_thread(echo);
    close_pair(pair);
}
OVER_BOTH(a_past_deadline_ends_every_wait_until_it_is_lifted)

static void a_deadline_ends_calls_that_already_wait(make_pair make)
{
    static char buffer[8 << 20];
    sock_t pair[2];
    make(pair);
    fill(pair[0]);
    call reader = { .run = call_read, .socket = pair[0], .buffer = buffer, .size = 1 };
    call writer = { .run = call_write, .socket = pair[0], .buffer = buffer, .size = sizeof buffer };
    call_start(&reader);
    call_start(&writer);
    call_wait_asleep(&reader);
    call_wait_asleep(&writer);
    CHECK(sock_set_deadline(pair[0], BOTH, 0), ==, 0);
    CHECK(call_join(&reader), ==, SOCK_ETIMEDOUT);
    CHECK(call_join(&writer), ==, SOCK_ETIMEDOUT);
    close_pair(pair);
}
OVER_BOTH(a_deadline_ends_calls_that_already_wait)

static void a_future_deadline_ends_waits_when_it_comes(make_pair make)
{
    static char buffer[8 << 20];
    sock_t pair[2];
    make(pair);
    call reader = { .run = call_read, .socket = pair[0], .buffer = buffer, .size = 1 };
    call writer = { .run = call_write, .socket = pair[0], .buffer = buffer, .size = sizeof buffer };
    int64_t set_at = now_us();
    CHECK(sock_set_deadline(pair[0], BOTH, 100), ==, 0);
    call_start(&reader);
    call_start(&writer);
    CHECK(call_join(&reader), ==, SOCK_ETIMEDOUT);
    CHECK(call_join(&writer), ==, SOCK_ETIMEDOUT);
    CHECK(reader.ended_us - set_at, >=, 100000);
    CHECK(writer.ended_us - set_at, >=, 100000);

    /* The handle is as good as before: what was cut is read there, and then it echoes. */
    size_t left = writer.last_count;
    while (left > 0) {
        int64_t length = sock_read(pair[1], buffer, left);
        CHECK(length, >, 0);
        left -= (size_t)length;
    }
    CHECK(sock_set_deadline(pair[0], BOTH, SOCK_FOREVER), ==, 0);
    pthread_t echo = start_thread(echo_until_end, &pair[1]);
    round_trip(pair[0]);
    CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
    join_thread(echo);
    close_pair(pair);
}
OVER_BOTH(a_future_deadline_ends_waits_when_it_comes)

static void close_ends_reading_and_writing(make_pair make)
{
    static char buffer[8 << 20];
    sock_t pair[2];
    make(pair);
    call reader = { .run = call_read, .socket = pair[0], .buffer = buffer, .size = 1 };
    call writer = { .run = call_write, .socket = pair[0], .buffer = buffer, .size = sizeof buffer };
    call_start(&reader);
    call_start(&writer);
    call_wait_asleep(&reader);
    call_wait_asleep(&writer);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(call_join(&reader), ==, SOCK_ECLOSED);
    CHECK(call_join(&writer), ==, SOCK_ECLOSED);
    CHECK(sock_close(pair[1]), ==, 0);
}
OVER_BOTH(close_ends_reading_and_writing)

typedef struct everything {
    sock_t socket;
    int which;
} everything;

static void *use_every_method(void *argument)
{
    everything *use = argument;
    sock_t s = use->socket;
    char buffer[CHUNK] = { 0 };
    sock_address address;
    for (int i = 0; i < 20; i++) {
        switch (use->which) {
        case 0: CHECK(sock_read(s, buffer, sizeof buffer), >, 0); break;
        case 1: CHECK(sock_write(s, buffer, sizeof buffer), ==, sizeof buffer); break;
        case 2: CHECK(sock_set_deadline(s, BOTH, 10000), ==, 0); break;
        case 3: CHECK(sock_set_deadline(s, SOCK_READ, 10000), ==, 0); break;
        case 4: CHECK(sock_set_timeout(s, SOCK_WRITE, 10000), ==, 0); break;
        case 5: CHECK(sock_local_address(s, &address), ==, 0); break;
        case 6: CHECK(sock_peer_address(s, &address), ==, 0); break;
        }
    }
    return NULL;
}

static void every_method_can_be_used_at_once(make_pair make)
{
    enum { METHODS = 7, EACH = 10 };
    sock_t pair[2];
    pthread_t threads[METHODS * EACH];
    everything uses[METHODS];
    make(pair);
    pthread_t echo = start_thread(echo_until_end, &pair[1]);
    for (int i = 0; i < METHODS; i++) uses[i] = (everything){ pair[0], i };
    for (int i = 0; i < METHODS * EACH; i++) threads[i] = start_thread(use_every_method, &uses[i % METHODS]);
    for (int i = 0; i < METHODS * EACH; i++) join_thread(threads[i]);

    /* Readers may have taken less at a time than writers gave: take the rest of the echo, then it is in step again. */
    CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
    join_thread(echo);
    CHECK(sock_shutdown(pair[1], SOCK_WRITE), ==, 0);
    drain(&pair[0]);
    sock_info info = { .size = sizeof info };
    CHECK(sock_get_info(pair[0], &info), ==, 0);
    CHECK(info.bytes_read, ==, info.bytes_written);
    CHECK(info.bytes_written, ==, 20 * EACH * CHUNK);
    close_pair(pair);
}
OVER_BOTH(every_method_can_be_used_at_once)

static const test_case cases[] = {
    BOTH_CASES(what_is_written_is_read),
    BOTH_CASES(a_counter_goes_back_and_forth),
    BOTH_CASES(ten_readers_race_with_deadlines),
    BOTH_CASES(ten_writers_race_with_deadlines),
    BOTH_CASES(a_read_timeout_does_not_touch_writing),
    BOTH_CASES(a_write_timeout_does_not_touch_reading),
    BOTH_CASES(a_past_deadline_ends_every_wait_until_it_is_lifted),
    BOTH_CASES(a_deadline_ends_calls_that_already_wait),
    BOTH_CASES(a_future_deadline_ends_waits_when_it_comes),
    BOTH_CASES(close_ends_reading_and_writing),
    BOTH_CASES(every_method_can_be_used_at_once),
};
TEST_MAIN(cases)
