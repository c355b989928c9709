/* The poller: level-triggered readiness, read-ahead, ends reported once, closing, waking. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 16 };

/* The one event that is there, as its flags; 0 for none. */
static uint32_t ready_of(sock_t poller, sock_t expected, void *user)
{
    sock_event events[ROOM];
    int64_t count = sock_poller_wait(poller, events, ROOM, 0);
    CHECK(count, >=, 0);
    CHECK(count, <=, 1);
    if (count == 0) return 0;
    CHECK(events[0].socket, ==, expected);
    CHECK(events[0].user == user, ==, 1);
    CHECK(events[0].reserved, ==, 0);
    return events[0].ready;
}

/* A wait that nothing ends, which is asleep in the kernel all the time. */
static void expect_sleep(sock_t poller)
{
    sock_event event;
    int64_t began = processor_us();
    CHECK(sock_poller_wait(poller, &event, 1, 300), ==, 0);
    if (!under_memcheck()) CHECK(processor_us() - began, <, 20000);
}

static void tells_who_is_readable_and_writable(void)
{
    sock_t pair[2], poller = sock_poller();
    int mark;
    unix_pair(pair);
    CHECK(poller, >, 0);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, &mark), ==, 0);
    CHECK(ready_of(poller, pair[0], &mark), ==, 0);
    CHECK(sock_write(pair[1], "ab", 2), ==, 2);
    CHECK(ready_of(poller, pair[0], &mark), ==, SOCK_READ);
    CHECK(sock_poller_set(poller, pair[0], SOCK_READ | SOCK_WRITE, NULL), ==, 0);
    CHECK(ready_of(poller, pair[0], NULL), ==, SOCK_READ | SOCK_WRITE);
    CHECK(sock_poller_set(poller, pair[0], 0, NULL), ==, 0);
    CHECK(ready_of(poller, pair[0], NULL), ==, 0);
    CHECK(sock_poller_remove(poller, pair[0]), ==, 0);
    CHECK(sock_poller_remove(poller, pair[0]), ==, SOCK_EINVAL);
    CHECK(sock_poller_set(poller, pair[0], SOCK_READ, NULL), ==, SOCK_EINVAL);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

static void what_is_not_read_is_told_again(void)
{
    sock_t pair[2], poller = sock_poller();
    char byte;
    unix_pair(pair);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_write(pair[1], "ab", 2), ==, 2);
    CHECK(sock_read(pair[0], &byte, 1), ==, 1);
    CHECK(ready_of(poller, pair[0], NULL), ==, SOCK_READ);
    CHECK(sock_read(pair[0], &byte, 1), ==, 1);
    CHECK(ready_of(poller, pair[0], NULL), ==, 0);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

static void bytes_read_ahead_are_readable(void)
{
    sock_t pair[2], poller = sock_poller();
    char line[16];
    unix_pair(pair);
    CHECK(sock_write(pair[1], "one\ntwo\nthree\n", 14), ==, 14);
    CHECK(sock_read_line(pair[0], line, sizeof line), ==, 3);
    CHECK(sock_buffered(pair[0]), ==, 10);
    /* Read ahead before the poller knows of it, and after. */
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(ready_of(poller, pair[0], NULL), ==, SOCK_READ);
    CHECK(sock_read_line(pair[0], line, sizeof line), ==, 3);
    CHECK(ready_of(poller, pair[0], NULL), ==, SOCK_READ);
    CHECK(sock_read_line(pair[0], line, sizeof line), ==, 5);
    CHECK(ready_of(poller, pair[0], NULL), ==, 0);
    CHECK(sock_write(pair[1], "four\nfive\n", 10), ==, 10);
    CHECK(ready_of(poller, pair[0], NULL), ==, SOCK_READ);
    CHECK(sock_read_line(pair[0], line, sizeof line), ==, 4);
    CHECK(ready_of(poller, pair[0], NULL), ==, SOCK_READ);
    CHECK(sock_poller_set(poller, pair[0], SOCK_WRITE, NULL), ==, 0);
    CHECK(ready_of(poller, pair[0], NULL), ==, SOCK_WRITE);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

/* What one wait reports of a handle, in one event or several: nothing twice. */
static uint32_t told_of(sock_t poller, sock_t expected)
{
    sock_event events[ROOM];
    uint32_t told = 0;
    int64_t count = sock_poller_wait(poller, events, ROOM, 0);
    CHECK(count, >=, 0);
    for (int64_t i = 0; i < count; i++) {
        CHECK(events[i].socket, ==, expected);
        CHECK(events[i].ready & told, ==, 0);
        told |= events[i].ready;
    }
    return told;
}

/* Before the poller is asked: a peer's end may need a moment to arrive. */
static void await(sock_t s, short events)
{
    struct pollfd watch = { .fd = sock_fd(s), .events = events };
    WAIT_UNTIL(poll(&watch, 1, 1000) == 1 && (watch.revents & events) == events);
}

static void read_ahead_of(sock_t pair[2])
{
    char line[8];
    CHECK(sock_write(pair[1], "a\nb\n", 4), ==, 4);
    CHECK(sock_read_line(pair[0], line, sizeof line), ==, 1);
}

/* Every mixture of what is ready and what is wanted. */
static void only_what_is_of_interest_is_told_and_once(void)
{
    for (unsigned mixture = 0; mixture < 32; mixture++) {
        uint32_t interest = mixture & 3;
        bool data = mixture & 4, full = mixture & 8, ahead = mixture & 16;
        sock_t pair[2], poller = sock_poller();
        context("interest %u%s%s%s", interest, data ? ", data" : "", full ? ", full" : "", ahead ? ", read ahead" : "");
        unix_pair(pair);
        if (ahead) read_ahead_of(pair);
        if (data) CHECK(sock_write(pair[1], "x", 1), ==, 1);
        if (full) CHECK(fill(pair[0]), >, 0);
        CHECK(sock_poller_add(poller, pair[0], (int)interest, NULL), ==, 0);
        uint32_t expected = ((data || ahead ? SOCK_READ : 0) | (full ? 0 : SOCK_WRITE)) & interest;
        for (int i = 0; i < 3; i++) CHECK(told_of(poller, pair[0]), ==, expected);
        close_pair(pair);
        CHECK(sock_close(poller), ==, 0);
    }
    context(NULL);
}

/* The hangup comes with the rest until the end has been read, or once where nobody reads. */
static void a_half_close_is_told_to_every_interest(make_pair make)
{
    for (unsigned mixture = 0; mixture < 16; mixture++) {
        uint32_t interest = mixture & 3, write = interest & SOCK_WRITE;
        bool data = mixture & 4, ahead = mixture & 8;
        sock_t pair[2], poller = sock_poller();
        char bytes[8];
        context("interest %u%s%s", interest, data ? ", data" : "", ahead ? ", read ahead" : "");
        make(pair);
        if (ahead) read_ahead_of(pair);
        if (data) CHECK(sock_write(pair[1], "x", 1), ==, 1);
        CHECK(sock_shutdown(pair[1], SOCK_WRITE), ==, 0);
        await(pair[0], POLLRDHUP);
        CHECK(sock_poller_add(poller, pair[0], (int)interest, NULL), ==, 0);
        CHECK(told_of(poller, pair[0]), ==, interest | SOCK_HANGUP);
        if (interest & SOCK_READ) {
            CHECK(told_of(poller, pair[0]), ==, interest | SOCK_HANGUP);
            while (sock_read(pair[0], bytes, sizeof bytes) > 0) {}
            CHECK(told_of(poller, pair[0]) & ~(uint32_t)SOCK_HANGUP, ==, write);
        }
        for (int i = 0; i < 3; i++) CHECK(told_of(poller, pair[0]), ==, write);
        if (!write && !data && !ahead) expect_sleep(poller);
        close_pair(pair);
        CHECK(sock_close(poller), ==, 0);
    }
    context(NULL);
}
OVER_BOTH(a_half_close_is_told_to_every_interest)

/* Hangup and error once, the directions until a call has reported the end there. */
static void a_dead_stream_is_told_to_every_interest(void)
{
    for (unsigned mixture = 0; mixture < 16; mixture++) {
        uint32_t interest = mixture & 3;
        bool tcp = mixture & 4, stuffed = mixture & 8, reset = tcp || stuffed; /* what the peer has not read makes it one */
        sock_t pair[2], poller = sock_poller();
        char bytes[8];
        context("interest %u%s%s", interest, tcp ? ", TCP" : "", stuffed ? ", read ahead and full" : "");
        (tcp ? tcp_pair : unix_pair)(pair);
        if (stuffed) {
            read_ahead_of(pair);
            CHECK(fill(pair[0]), >, 0);
        }
        CHECK(sock_poller_add(poller, pair[0], 0, NULL), ==, 0);
        CHECK(told_of(poller, pair[0]), ==, 0);
        CHECK(sock_poller_set(poller, pair[0], (int)interest, NULL), ==, 0);
        CHECK(tcp ? sock_abort(pair[1]) : sock_close(pair[1]), ==, 0);
        await(pair[0], POLLHUP);
        CHECK(told_of(poller, pair[0]), ==, interest | SOCK_HANGUP | (reset ? SOCK_ERROR : 0));
        for (int i = 0; i < 3; i++) CHECK(told_of(poller, pair[0]), ==, interest);
        while (sock_read(pair[0], bytes, sizeof bytes) > 0) {}
        CHECK(told_of(poller, pair[0]), ==, reset ? 0 : interest & SOCK_WRITE); /* a reset is the end of both */
        for (int i = 0; i < 2; i++) CHECK(sock_write(pair[0], "x", 1), <, 0);
        CHECK(told_of(poller, pair[0]), ==, 0);
        if (!stuffed) expect_sleep(poller);
        CHECK(sock_close(pair[0]), ==, 0);
        CHECK(sock_close(poller), ==, 0);
    }
    context(NULL);
}

/* A refused datagram is not an end: the socket is still watched. */
static void a_refused_datagram_is_told_to_every_interest(void)
{
    const char *host = own_loopback();
    for (uint32_t interest = 0; interest < 4; interest++) {
        sock_t nobody = sock_udp_bind(host, "0", NULL), poller = sock_poller();
        uint16_t port = port_of(nobody);
        sock_t s = sock_udp_open(host, port_text(port), NULL);
        sock_address to;
        context("interest %u", interest);
        CHECK(sock_local_address(s, &to), ==, 0);
        CHECK(sock_close(nobody), ==, 0);
        CHECK(sock_poller_add(poller, s, (int)interest, NULL), ==, 0);
        CHECK(sock_write(s, "x", 1), ==, 1);
        await(s, POLLERR);
        for (int i = 0; i < 3; i++) CHECK(told_of(poller, s), ==, interest | SOCK_ERROR);
        CHECK(sock_write(s, "x", 0), ==, SOCK_ECONNREFUSED);
        for (int i = 0; i < 2; i++) CHECK(told_of(poller, s), ==, interest & SOCK_WRITE);
        sock_t somebody = sock_udp_bind(host, port_text(port), NULL);
        CHECK(sock_send_to(somebody, "y", 1, &to), ==, 1);
        await(s, POLLIN);
        for (int i = 0; i < 2; i++) CHECK(told_of(poller, s), ==, interest);
        CHECK(sock_close(somebody), ==, 0);
        CHECK(sock_close(s), ==, 0);
        CHECK(sock_close(poller), ==, 0);
    }
    context(NULL);
}

/* Readiness of a direction that nobody is interested in does not even wake the wait. */
static void what_is_ready_without_interest_wakes_nobody(void)
{
    sock_t pair[2], poller = sock_poller();
    unix_pair(pair);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0); /* it is writable */
    expect_sleep(poller);
    CHECK(sock_write(pair[1], "x", 1), ==, 1);
    CHECK(sock_poller_set(poller, pair[0], 0, NULL), ==, 0);
    expect_sleep(poller);
    CHECK(fill(pair[0]), >, 0);
    CHECK(sock_poller_set(poller, pair[0], SOCK_WRITE, NULL), ==, 0);
    expect_sleep(poller);
    close_pair(pair);
    CHECK(sock_close(poller), ==, 0);
}

static void pair_with_read_ahead(sock_t pair[2], sock_t poller, int interest)
{
    unix_pair(pair);
    read_ahead_of(pair);
    CHECK(sock_poller_add(poller, pair[0], interest, NULL), ==, 0);
}

static void bytes_read_ahead_do_not_make_a_full_stream_writable(void)
{
    sock_t pair[2], poller = sock_poller();
    char line[8];
    pair_with_read_ahead(pair, poller, SOCK_READ | SOCK_WRITE);
    CHECK(fill(pair[0]), >, 0);
    for (int i = 0; i < 3; i++) CHECK(ready_of(poller, pair[0], NULL), ==, SOCK_READ);
    CHECK(sock_read_line(pair[0], line, sizeof line), ==, 1);
    for (int i = 0; i < 3; i++) CHECK(ready_of(poller, pair[0], NULL), ==, 0);
    close_pair(pair);
    CHECK(sock_close(poller), ==, 0);
}

static void no_wait_tells_more_than_it_has_room_for(void)
{
    sock_t ahead[2], others[3][2], poller = sock_poller();
    sock_event events[ROOM];
    pair_with_read_ahead(ahead, poller, SOCK_READ);
    for (int i = 0; i < 3; i++) {
        unix_pair(others[i]);
        CHECK(sock_write(others[i][1], "x", 1), ==, 1);
        CHECK(sock_poller_add(poller, others[i][0], SOCK_READ, NULL), ==, 0);
    }
    for (int room = 1; room <= 5; room++) {
        for (int i = 0; i < 4; i++) {
            memset(events, 0, sizeof events);
            int64_t count = sock_poller_wait(poller, events, room, 0);
            CHECK(count, >, 0);
            CHECK(count, <=, room);
            CHECK(events[count].socket, ==, 0);
        }
    }
    for (int i = 0; i < 3; i++) close_pair(others[i]);
    close_pair(ahead);
    CHECK(sock_close(poller), ==, 0);
}

/* Of those that are ready by their read-ahead each has its turn, however little room there is. */
static void bytes_read_ahead_do_not_starve_each_other(void)
{
    enum { MANY = 3 };
    sock_t pairs[MANY][2], poller = sock_poller();
    sock_event event;
    int told[MANY] = { 0 };
    for (int i = 0; i < MANY; i++) pair_with_read_ahead(pairs[i], poller, SOCK_READ);
    for (int i = 0; i < 8 * MANY; i++) {
        CHECK(sock_poller_wait(poller, &event, 1, 10000), ==, 1);
        for (int k = 0; k < MANY; k++) told[k] += event.socket == pairs[k][0];
    }
    for (int i = 0; i < MANY; i++) CHECK(told[i], >=, 4);
    for (int i = 0; i < MANY; i++) close_pair(pairs[i]);
    CHECK(sock_close(poller), ==, 0);
}

static void what_was_read_ahead_is_told_of_nobody_who_is_removed(void)
{
    sock_t removed[2], kept[2], poller = sock_poller();
    pair_with_read_ahead(removed, poller, SOCK_READ);
    pair_with_read_ahead(kept, poller, SOCK_READ);
    CHECK(sock_poller_remove(poller, removed[0]), ==, 0);
    for (int i = 0; i < 3; i++) CHECK(ready_of(poller, kept[0], NULL), ==, SOCK_READ);
    CHECK(sock_poller_add(poller, removed[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_poller_remove(poller, kept[0]), ==, 0);
    for (int i = 0; i < 3; i++) CHECK(ready_of(poller, removed[0], NULL), ==, SOCK_READ);
    close_pair(removed);
    close_pair(kept);
    CHECK(sock_close(poller), ==, 0);
}

/* Who comes and goes leaves room for the next. */
static void coming_and_going_takes_no_memory(void)
{
    sock_t pair[2], poller = sock_poller();
    int64_t before = 0;
    int turns = rounds(60000);
    unix_pair(pair);
    for (int i = 0; i < turns; i++) {
        if (i == turns / 10) before = resident_kib();
        CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
        CHECK(sock_poller_remove(poller, pair[0]), ==, 0);
    }
    if (!under_memcheck()) CHECK(resident_kib() - before, <, 1024);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_write(pair[1], "x", 1), ==, 1);
    CHECK(ready_of(poller, pair[0], NULL), ==, SOCK_READ);
    close_pair(pair);
    CHECK(sock_close(poller), ==, 0);
}

static void a_listener_is_readable_when_a_connection_waits(void)
{
    sock_t poller = sock_poller(), listener = listen_local();
    sock_event event;
    CHECK(sock_poller_add(poller, listener, SOCK_READ, NULL), ==, 0);
    CHECK(ready_of(poller, listener, NULL), ==, 0);
    int client = raw_connect(port_of(listener));
    CHECK(sock_poller_wait(poller, &event, 1, 5000), ==, 1);
    CHECK(event.ready, ==, SOCK_READ);
    sock_t connection = sock_try_accept(listener);
    CHECK(connection, >, 0);
    CHECK(ready_of(poller, listener, NULL), ==, 0);
    raw_close(client);
    CHECK(sock_close(connection), ==, 0);
    CHECK(sock_close(listener), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

/* How often a loop that reads what is reported goes round in 100 ms: an end that is reported for ever would spin. */
static int rounds_until_quiet(sock_t poller, sock_t s)
{
    sock_event events[ROOM];
    char bytes[64];
    int count = 0;
    while (count < 1000) {
        int64_t found = sock_poller_wait(poller, events, ROOM, 100);
        CHECK(found, >=, 0);
        if (found == 0) return count;
        count++;
        if (events[0].ready & SOCK_READ) (void)sock_try_read(s, bytes, sizeof bytes);
    }
    return count;
}

static void a_half_closed_peer_does_not_spin_the_loop(void)
{
    make_pair kinds[] = { tcp_pair, unix_pair };
    for (size_t kind = 0; kind < 2; kind++) {
        int interests[] = { SOCK_READ, 0 };
        for (size_t i = 0; i < 2; i++) {
            sock_t pair[2], poller = sock_poller();
            sock_event event;
            kinds[kind](pair);
            context("kind %zu, interest %d", kind, interests[i]);
            CHECK(sock_poller_add(poller, pair[0], interests[i], NULL), ==, 0);
            CHECK(sock_write(pair[1], "x", 1), ==, 1);
            CHECK(sock_shutdown(pair[1], SOCK_WRITE), ==, 0);
            WAIT_UNTIL(sock_poller_wait(poller, &event, 1, 10) == 1 && event.ready & SOCK_HANGUP);
            CHECK((event.ready & SOCK_READ) != 0, ==, interests[i] == SOCK_READ);
            CHECK(rounds_until_quiet(poller, pair[0]), <=, 4);
            /* The other direction still works. */
            CHECK(sock_poller_set(poller, pair[0], SOCK_WRITE, NULL), ==, 0);
            CHECK(sock_poller_wait(poller, &event, 1, 1000), ==, 1);
            CHECK((event.ready & SOCK_WRITE) != 0, ==, 1);
            CHECK(sock_write(pair[0], "y", 1), ==, 1);
            CHECK(sock_close(pair[0]), ==, 0);
            CHECK(sock_close(pair[1]), ==, 0);
            CHECK(sock_close(poller), ==, 0);
        }
    }
}

static void a_dead_peer_does_not_spin_the_loop(void)
{
    int interests[] = { 0, SOCK_READ };
    for (size_t i = 0; i < 2; i++) {
        sock_t s, poller = sock_poller();
        int peer;
        sock_event event;
        tcp_with_raw_peer(&s, &peer);
        context("interest %d", interests[i]);
        CHECK(sock_poller_add(poller, s, interests[i], NULL), ==, 0);
        raw_reset(peer);
        CHECK(sock_poller_wait(poller, &event, 1, 5000), ==, 1);
        CHECK((event.ready & (SOCK_HANGUP | SOCK_ERROR)) != 0, ==, 1);
        CHECK(rounds_until_quiet(poller, s), <=, 3);
        char byte;
        CHECK(sock_read(s, &byte, 1), ==, SOCK_ECONNRESET);
        CHECK(sock_close(s), ==, 0);
        CHECK(sock_close(poller), ==, 0);
    }
}

/* A writer is told that there is no waiting any more until a write has said why. */
static void a_dead_peer_is_told_to_a_writer_until_it_writes(void)
{
    sock_t s, poller = sock_poller();
    int peer;
    sock_event event;
    tcp_with_raw_peer(&s, &peer);
    CHECK(fill(s), >, 0);
    CHECK(sock_poller_add(poller, s, SOCK_WRITE, NULL), ==, 0);
    raw_reset(peer);
    WAIT_UNTIL(sock_poller_wait(poller, &event, 1, 1000) == 1 && event.ready & SOCK_HANGUP);
    for (int i = 0; i < 3; i++) {
        CHECK(sock_poller_wait(poller, &event, 1, 5000), ==, 1);
        CHECK(event.ready & SOCK_WRITE, ==, SOCK_WRITE);
    }
    CHECK(sock_write(s, "x", 1), ==, SOCK_ECONNRESET);
    CHECK(sock_write(s, "x", 1), <, 0);
    expect_sleep(poller);
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

static void the_end_of_a_stream_is_told_until_it_is_read(void)
{
    sock_t pair[2], poller = sock_poller();
    sock_event event;
    char bytes[8];
    unix_pair(pair);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_write(pair[1], "abc", 3), ==, 3);
    CHECK(sock_close(pair[1]), ==, 0);
    for (int i = 0; i < 5; i++) {
        CHECK(sock_poller_wait(poller, &event, 1, 1000), ==, 1);
        CHECK((event.ready & SOCK_READ) != 0, ==, 1);
    }
    CHECK(sock_read(pair[0], bytes, 1), ==, 1);
    CHECK(sock_poller_wait(poller, &event, 1, 1000), ==, 1);
    CHECK(sock_read(pair[0], bytes, sizeof bytes), ==, 2);
    /* To look at the end is not to read it. */
    for (int i = 0; i < 3; i++) {
        CHECK(sock_poller_wait(poller, &event, 1, 1000), ==, 1);
        CHECK((event.ready & SOCK_READ) != 0, ==, 1);
        CHECK(sock_peek(pair[0], bytes, sizeof bytes), ==, 0);
    }
    CHECK(sock_read(pair[0], bytes, sizeof bytes), ==, 0);
    CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 0);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

static void the_end_behind_a_last_line_is_told_until_it_is_read(void)
{
    const make_pair makers[] = { tcp_pair, unix_pair };
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        sock_t pair[2], poller = sock_poller();
        sock_event event;
        char line[8];
        makers[i](pair);
        CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
        CHECK(sock_write(pair[1], "last", 4), ==, 4);
        CHECK(sock_close(pair[1]), ==, 0);
        /* To see that the line is whole, this has to come upon the end; but it does not report it. */
        CHECK(sock_read_line(pair[0], line, 3), ==, SOCK_ETOOLONG);
        CHECK(sock_read_line(pair[0], line, sizeof line), ==, 4);
        for (int again = 0; again < 3; again++) {
            CHECK(sock_poller_wait(poller, &event, 1, 1000), ==, 1);
            CHECK((event.ready & SOCK_READ) != 0, ==, 1);
        }
        CHECK(sock_read_line(pair[0], line, sizeof line), ==, SOCK_EEOF);
        CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 0);
        CHECK(sock_close(pair[0]), ==, 0);
        CHECK(sock_close(poller), ==, 0);
    }
}

static void a_closed_handle_is_gone_from_every_poller(void)
{
    sock_t pair[2], one = sock_poller(), other = sock_poller();
    sock_event events[ROOM];
    unix_pair(pair);
    /* A second descriptor keeps the open file alive: epoll alone would go on telling of it. */
    int copy = dup(sock_fd(pair[0]));
    CHECK(copy, >=, 0);
    CHECK(sock_poller_add(one, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_poller_add(other, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_write(pair[1], "x", 1), ==, 1);
    CHECK(sock_poller_wait(one, events, ROOM, 1000), ==, 1);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_poller_wait(one, events, ROOM, 0), ==, 0);
    CHECK(sock_poller_wait(other, events, ROOM, 0), ==, 0);
    CHECK(sock_poller_remove(one, pair[0]), ==, SOCK_EHANDLE);
    expect_sleep(one);
    /* The next owner of the slot is nobody's business. */
    sock_t next[2];
    unix_pair(next);
    CHECK(sock_write(next[1], "x", 1), ==, 1);
    CHECK(sock_poller_wait(one, events, ROOM, 0), ==, 0);
    CHECK(close(copy), ==, 0);
    CHECK(sock_close(next[0]), ==, 0);
    CHECK(sock_close(next[1]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(sock_close(one), ==, 0);
    CHECK(sock_close(other), ==, 0);
}

static void two_pollers_may_watch_one_handle(void)
{
    sock_t pair[2], one = sock_poller(), other = sock_poller();
    char byte, first, second;
    unix_pair(pair);
    CHECK(sock_poller_add(one, pair[0], SOCK_READ, &first), ==, 0);
    CHECK(sock_poller_add(other, pair[0], SOCK_READ | SOCK_WRITE, &second), ==, 0);
    CHECK(ready_of(one, pair[0], &first), ==, 0);
    CHECK(sock_write(pair[1], "xy", 2), ==, 2);
    CHECK(ready_of(one, pair[0], &first), ==, SOCK_READ);
    CHECK(ready_of(other, pair[0], &second), ==, SOCK_READ | SOCK_WRITE);
    CHECK(sock_read(pair[0], &byte, 1), ==, 1);
    CHECK(sock_poller_remove(other, pair[0]), ==, 0);
    CHECK(ready_of(one, pair[0], &first), ==, SOCK_READ);
    CHECK(ready_of(other, pair[0], &second), ==, 0);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(sock_close(one), ==, 0);
    CHECK(sock_close(other), ==, 0);
}

/* And keeps nothing for the poller as long as they live. */
static void closing_a_poller_leaves_its_handles_alone(void)
{
    sock_t pair[2];
    char bytes[4];
    unix_pair(pair);
    int before = open_descriptors();
    sock_t poller = sock_poller(), other = sock_poller();
    CHECK(sock_poller_add(other, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_close(poller), ==, 0);
    CHECK(sock_poller_set(other, pair[0], SOCK_READ, NULL), ==, 0); /* which still watches it */
    CHECK(sock_close(other), ==, 0);
    CHECK(open_descriptors(), ==, before);
    CHECK(sock_write(pair[1], "a\nb", 3), ==, 3);
    CHECK(sock_read_line(pair[0], bytes, sizeof bytes), ==, 1);
    sock_t next = sock_poller();
    CHECK(sock_poller_add(next, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(ready_of(next, pair[0], NULL), ==, SOCK_READ);
    CHECK(sock_close(next), ==, 0);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
}

/* What is over for good is reported once, and waited for in silence: the kernel would report it for ever. */
static void wait_beside_what_is_over(sock_t s)
{
    sock_t poller = sock_poller();
    sock_event event;
    CHECK(sock_poller_add(poller, s, 0, NULL), ==, 0);
    CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 1);
    CHECK(event.ready, ==, SOCK_HANGUP);
    int64_t before = processor_us();
    CHECK(sock_poller_wait(poller, &event, 1, 300), ==, 0);
    CHECK(processor_us() - before, <, under_memcheck() ? 200000 : 15000);
    CHECK(sock_close(poller), ==, 0);
    CHECK(sock_close(s), ==, 0);
}

/* Packets that came before the end are reported, empty ones too; the end until it has been read, and written to. */
static void the_end_of_sequenced_packets_is_told_until_it_is_read(void)
{
    int fds[2];
    char buffer[4];
    sock_event event;
    sock_t poller = sock_poller();
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), ==, 0);
    sock_t s = sock_from_fd(fds[0]);
    CHECK(sock_poller_add(poller, s, SOCK_READ | SOCK_WRITE, NULL), ==, 0);
    CHECK(send(fds[1], "", 0, 0), ==, 0);
    raw_send(fds[1], "ab", 2);
    close(fds[1]);
    for (int left = 3; left-- > 0;) {
        CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 1);
        CHECK(event.ready & SOCK_READ, ==, SOCK_READ);
        CHECK(sock_read(s, buffer, sizeof buffer), ==, left == 1 ? 2 : 0);
    }
    CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 1);
    CHECK(event.ready, ==, SOCK_WRITE);
    CHECK(sock_write(s, "x", 1), ==, SOCK_EPIPE);
    expect_sleep(poller);
    CHECK(sock_read(s, buffer, sizeof buffer), ==, 0);
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

static void sockets_of_datagrams_that_are_over_do_not_spin_the_loop(void)
{
    int fds[2];
    sock_t s = sock_udp_open("127.0.0.1", "9", NULL);
    CHECK(sock_shutdown(s, SOCK_READ | SOCK_WRITE), ==, 0);
    wait_beside_what_is_over(s);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), ==, 0);
    s = sock_from_fd(fds[0]);
    close(fds[1]);
    wait_beside_what_is_over(s);
}

static void misuse_has_its_codes(void)
{
    sock_t pair[2], poller = sock_poller(), second = sock_poller();
    sock_event event;
    unix_pair(pair);
    CHECK(sock_poller_add(poller, poller, SOCK_READ, NULL), ==, SOCK_EINVAL);
    CHECK(sock_poller_add(0, 0, SOCK_READ, NULL), ==, SOCK_EHANDLE);
    CHECK(sock_poller_add(pair[0], pair[0], SOCK_READ, NULL), ==, SOCK_ETYPE);
    CHECK(sock_poller_add(poller, second, SOCK_READ, NULL), ==, SOCK_ETYPE);
    CHECK(sock_poller_add(pair[0], pair[1], SOCK_READ, NULL), ==, SOCK_ETYPE);
    CHECK(sock_poller_add(poller, pair[0], 4, NULL), ==, SOCK_EINVAL);
    CHECK(sock_poller_add(poller, pair[0], -1, NULL), ==, SOCK_EINVAL);
    CHECK(sock_poller_set(poller, pair[0], SOCK_READ, NULL), ==, SOCK_EINVAL);
    CHECK(sock_poller_remove(poller, pair[0]), ==, SOCK_EINVAL);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, SOCK_EBUSY);
    CHECK(sock_poller_wait(poller, &event, 0, 0), ==, SOCK_EINVAL);
    CHECK(sock_poller_wait(poller, NULL, 1, 0), ==, SOCK_EINVAL);
    CHECK(sock_poller_wait(poller, &event, 1, -2), ==, SOCK_EINVAL);
    CHECK(sock_poller_wait(pair[0], &event, 1, 0), ==, SOCK_ETYPE);
    CHECK(sock_poller_wake(pair[0]), ==, SOCK_ETYPE);
    CHECK(sock_read(poller, &event, 1), ==, SOCK_ETYPE);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(sock_close(poller), ==, 0);
    CHECK(sock_close(second), ==, 0);
}

/* Room for one event, which the poller's own news must not take away from a handle's. */
static void what_is_ready_is_told_whatever_else_happened(void)
{
    char line[8];
    sock_t pair[2], other[2], poller = sock_poller();
    sock_event event;
    unix_pair(pair);
    unix_pair(other);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_poller_add(poller, other[0], SOCK_READ, NULL), ==, 0);
    /* Bytes read ahead wake the poller; then they are gone, and another handle has some, which the kernel would report next. */
    CHECK(sock_write(other[1], "\nx", 2), ==, 2);
    CHECK(sock_read_line(other[0], line, sizeof line), ==, 0);
    CHECK(sock_read(other[0], line, sizeof line), ==, 1);
    CHECK(sock_write(pair[1], "y", 1), ==, 1);
    CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 1);
    CHECK(event.socket, ==, pair[0]);
    CHECK(sock_poller_wait(poller, &event, SIZE_MAX, 0), ==, 1);
    /* After a cancel nobody waits, but what is ready is still reported. */
    CHECK(sock_cancel(poller), ==, 0);
    for (int i = 0; i < 4; i++) {
        CHECK(sock_poller_wait(poller, &event, 1, i % 2 ? SOCK_FOREVER : 0), ==, 1);
        CHECK(event.socket, ==, pair[0]);
    }
    CHECK(sock_read(pair[0], line, sizeof line), ==, 1);
    CHECK(sock_poller_wait(poller, &event, 1, SOCK_FOREVER), ==, SOCK_ECANCELED);
    close_pair(pair);
    close_pair(other);
    CHECK(sock_close(poller), ==, 0);
}

static void wait_when_canceled(sock_t connection, void *result)
{
    sock_t poller = sock_poller();
    sock_event event;
    char byte;
    CHECK(sock_poller_add(poller, connection, SOCK_READ, NULL), ==, 0);
    CHECK(sock_cancel(poller), ==, 0);
    CHECK(sock_peek(connection, &byte, 1), ==, 1);
    CHECK(sock_poller_wait(poller, &event, 1, SOCK_FOREVER), ==, 1);
    CHECK(event.socket, ==, connection);
    CHECK(sock_read(connection, &byte, 1), ==, 1);
    CHECK(sock_poller_wait(poller, &event, 1, SOCK_FOREVER), ==, SOCK_ECANCELED);
    CHECK(sock_close(poller), ==, 0);
    atomic_fetch_add((atomic_int *)result, 1);
}

static void handlers_hear_what_is_ready_after_a_cancel(void)
{
    atomic_int done = 0;
    for (int model = SOCK_THREADS; model <= SOCK_FIBERS; model++) {
        served serving = serve_with(wait_when_canceled, &done, SOCK_SERVER_OPTIONS(.model = model));
        int client = raw_connect(serving.port);
        raw_send(client, "x", 1);
        CHECK(raw_drain(client), ==, 0);
        raw_close(client);
        CHECK(sock_close(serving.server), ==, 0);
    }
    CHECK(done, ==, 2);
}

static int64_t call_poller(call *c)
{
    return sock_poller_wait(c->socket, c->buffer, 1, c->number);
}

static void waiting_ends_at_its_time(void)
{
    sock_t poller = sock_poller();
    sock_event event;
    int64_t spans[5];
    for (int i = 0; i < 5; i++) {
        stopwatch watch = start_watch();
        CHECK(sock_poller_wait(poller, &event, 1, 50), ==, 0);
        CHECK(now_us() - watch.began_us, >=, 50000);
        spans[i] = watch_us(&watch);
    }
    if (!under_memcheck()) CHECK(median(spans, 5), <, 75000);
    CHECK(sock_close(poller), ==, 0);
}

static atomic_int signals_seen;
static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals_seen, 1);
}

static void signals_neither_end_nor_lengthen_a_wait(void)
{
    sock_t poller = sock_poller();
    sock_event event;
    struct sigaction action = { .sa_handler = count_signal }; /* without SA_RESTART */
    CHECK(sigaction(SIGALRM, &action, NULL), ==, 0);
    CHECK(setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 1000 }, { 0, 1000 } }, NULL), ==, 0);
    stopwatch watch = start_watch();
    CHECK(sock_poller_wait(poller, &event, 1, 200), ==, 0);
    CHECK(now_us() - watch.began_us, >=, 200000);
    int64_t span = watch_us(&watch);
    CHECK(setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 0 } }, NULL), ==, 0);
    CHECK(atomic_load(&signals_seen), >, 5);
    /* A wait begun anew by each signal would not end at all. */
    if (!under_memcheck()) CHECK(span, <, 1000000);
    CHECK(sock_close(poller), ==, 0);
}

static void close_and_cancel_end_every_wait(void)
{
    for (int cancel = 0; cancel < 2; cancel++) {
        sock_t poller = sock_poller();
        sock_event events[3];
        call waits[3];
        for (int i = 0; i < 3; i++) {
            waits[i] = (call){ .run = call_poller, .socket = poller, .buffer = &events[i], .number = SOCK_FOREVER };
            call_start(&waits[i]);
        }
        for (int i = 0; i < 3; i++) call_wait_asleep(&waits[i]);
        int64_t began = now_us();
        CHECK(cancel ? sock_cancel(poller) : sock_close(poller), ==, 0);
        int64_t took[3];
        for (int i = 0; i < 3; i++) {
            CHECK(call_join(&waits[i]), ==, cancel ? SOCK_ECANCELED : SOCK_ECLOSED);
            took[i] = call_ended_after_us(&waits[i], began);
        }
        if (!under_memcheck()) CHECK(median(took, 3), <, 50000);
        if (cancel) {
            CHECK(sock_poller_wait(poller, events, 1, SOCK_FOREVER), ==, SOCK_ECANCELED);
            CHECK(sock_poller_wait(poller, events, 1, 0), ==, 0);
            /* Only those that would have to wait are canceled. */
            sock_t pair[2];
            CHECK(sock_pair(pair), ==, 0);
            CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
            CHECK(sock_poller_wait(poller, events, 3, 10000), ==, SOCK_ECANCELED);
            CHECK(sock_write(pair[1], "x", 1), ==, 1);
            CHECK(sock_poller_wait(poller, events, 3, SOCK_FOREVER), ==, 1);
            CHECK(events[0].socket, ==, pair[0]);
            CHECK(events[0].ready, ==, SOCK_READ);
            CHECK(sock_close(pair[0]), ==, 0);
            CHECK(sock_close(pair[1]), ==, 0);
            CHECK(sock_poller_wait(poller, events, 3, SOCK_FOREVER), ==, SOCK_ECANCELED);
            CHECK(sock_close(poller), ==, 0);
        }
    }
}

static void a_wake_reaches_one_wait_and_none_is_lost(void)
{
    sock_t poller = sock_poller();
    sock_event event;
    CHECK(sock_poller_wake(poller), ==, 0);
    CHECK(sock_poller_wake(poller), ==, 0);
    CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 1);
    CHECK(event.socket, ==, poller);
    CHECK(event.user == NULL, ==, 1);
    CHECK(event.ready, ==, SOCK_WOKEN);
    CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 0);
    for (int i = 0; i < rounds(2000); i++) {
        call wait = { .run = call_poller, .socket = poller, .buffer = &event, .number = 10000 };
        call_start(&wait);
        CHECK(sock_poller_wake(poller), ==, 0);
        CHECK(call_join(&wait), ==, 1);
        CHECK(event.ready, ==, SOCK_WOKEN);
    }
    CHECK(sock_close(poller), ==, 0);
}

static void a_handle_becoming_ready_ends_a_wait_in_another_thread(void)
{
    sock_t pair[2], poller = sock_poller();
    sock_event event;
    unix_pair(pair);
    call wait = { .run = call_poller, .socket = poller, .buffer = &event, .number = 10000 };
    call_start(&wait);
    call_wait_asleep(&wait);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_write(pair[1], "x", 1), ==, 1);
    CHECK(call_join(&wait), ==, 1);
    CHECK(event.socket, ==, pair[0]);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

/* What was read ahead wakes those who wait already, when the handle is added and when the interest is changed to it. */
static void bytes_read_ahead_end_a_wait_in_another_thread(void)
{
    for (int first_interest = -1; first_interest <= 0; first_interest++) {
        sock_t pair[2], poller = sock_poller();
        sock_event event;
        char line[8];
        unix_pair(pair);
        CHECK(sock_write(pair[1], "a\nb\n", 4), ==, 4);
        CHECK(sock_read_line(pair[0], line, sizeof line), ==, 1);
        if (first_interest == 0) CHECK(sock_poller_add(poller, pair[0], 0, NULL), ==, 0);
        call wait = { .run = call_poller, .socket = poller, .buffer = &event, .number = 10000 };
        call_start(&wait);
        call_wait_asleep(&wait);
        if (first_interest == 0) CHECK(sock_poller_set(poller, pair[0], SOCK_READ, NULL), ==, 0);
        else CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
        CHECK(call_join(&wait), ==, 1);
        CHECK(event.socket, ==, pair[0]);
        CHECK(event.ready, ==, SOCK_READ);
        CHECK(sock_close(pair[0]), ==, 0);
        CHECK(sock_close(pair[1]), ==, 0);
        CHECK(sock_close(poller), ==, 0);
    }
}

/* One that is always ready by its read-ahead leaves room for what the kernel reports, however little room there is. */
static void bytes_read_ahead_do_not_starve_the_others(void)
{
    sock_t pair[2], other[2], poller = sock_poller();
    sock_event event;
    char line[8];
    bool seen[3] = { false };
    unix_pair(pair);
    unix_pair(other);
    CHECK(sock_write(pair[1], "a\nb\n", 4), ==, 4);
    CHECK(sock_read_line(pair[0], line, sizeof line), ==, 1);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_poller_add(poller, other[0], SOCK_READ, NULL), ==, 0);
    for (int i = 0; i < 4; i++) {
        CHECK(sock_poller_wait(poller, &event, 1, 10000), ==, 1);
        CHECK(event.socket, ==, pair[0]);
    }
    CHECK(sock_write(other[1], "x", 1), ==, 1);
    CHECK(sock_poller_wake(poller), ==, 0);
    for (int i = 0; i < 12; i++) {
        CHECK(sock_poller_wait(poller, &event, 1, 10000), ==, 1);
        seen[event.socket == pair[0] ? 0 : event.socket == other[0] ? 1 : 2] = true;
    }
    CHECK(seen[0] && seen[1] && seen[2], ==, true);
    close_pair(pair);
    close_pair(other);
    CHECK(sock_close(poller), ==, 0);
}

typedef struct vanishing {
    _Atomic sock_t poller;
    sock_t pair[2];
    atomic_bool over;
} vanishing;

static void *register_on(void *argument)
{
    vanishing *v = argument;
    while (!atomic_load(&v->over)) {
        sock_t poller = atomic_load(&v->poller);
        CHECK(sock_poller_set(poller, v->pair[0], SOCK_READ, NULL), !=, SOCK_EINTERNAL);
        CHECK(sock_poller_add(poller, v->pair[0], SOCK_READ, NULL), !=, SOCK_EINTERNAL);
    }
    return NULL;
}

static void *read_lines_on(void *argument)
{
    vanishing *v = argument;
    char line[8];
    while (!atomic_load(&v->over)) {
        CHECK(sock_write(v->pair[1], "a\nb\n", 4), ==, 4);
        for (int i = 0; i < 2; i++) CHECK(sock_read_line(v->pair[0], line, sizeof line), ==, 1);
    }
    return NULL;
}

static void *wait_on(void *argument)
{
    vanishing *v = argument;
    sock_event events[ROOM];
    while (!atomic_load(&v->over)) CHECK(sock_poller_wait(atomic_load(&v->poller), events, ROOM, 1), !=, SOCK_EINTERNAL);
    return NULL;
}

/* A poller is closed while others register with it, wait in it, and read ahead on what it watches. */
static void a_poller_may_be_closed_while_it_is_used(void)
{
    vanishing v = { .poller = sock_poller() };
    unix_pair(v.pair);
    void *(*const users[])(void *) = { register_on, read_lines_on, wait_on };
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) threads[i] = start_thread(users[i], &v);
    for (int i = 0; i < rounds(5000); i++) {
        sock_t old = atomic_load(&v.poller);
        int added = sock_poller_add(old, v.pair[0], SOCK_READ, NULL);
        CHECK(added == 0 || added == SOCK_EBUSY, ==, true);
        atomic_store(&v.poller, sock_poller());
        CHECK(sock_close(old), ==, 0);
    }
    atomic_store(&v.over, true);
    for (int i = 0; i < 3; i++) join_thread(threads[i]);
    CHECK(sock_close(atomic_load(&v.poller)), ==, 0);
    CHECK(sock_close(v.pair[0]), ==, 0);
    CHECK(sock_close(v.pair[1]), ==, 0);
}

static void one_that_always_talks_does_not_starve_the_others(void)
{
    enum { OTHERS = 40 };
    sock_t chatty[2], quiet[OTHERS][2], poller = sock_poller();
    sock_event events[4];
    bool heard[OTHERS] = { false };
    int missing = OTHERS;
    unix_pair(chatty);
    CHECK(sock_poller_add(poller, chatty[0], SOCK_READ | SOCK_WRITE, NULL), ==, 0);
    CHECK(sock_write(chatty[1], "never read", 10), ==, 10);
    for (int i = 0; i < OTHERS; i++) {
        unix_pair(quiet[i]);
        CHECK(sock_poller_add(poller, quiet[i][0], SOCK_READ, &heard[i]), ==, 0);
        CHECK(sock_write(quiet[i][1], "x", 1), ==, 1);
    }
    for (int round = 0; round < 4 * OTHERS && missing > 0; round++) {
        int64_t count = sock_poller_wait(poller, events, 4, 0);
        for (int64_t i = 0; i < count; i++) {
            if (events[i].user != NULL && !*(bool *)events[i].user) {
                *(bool *)events[i].user = true;
                missing--;
            }
        }
    }
    CHECK(missing, ==, 0);
    for (int i = 0; i < OTHERS; i++) {
        CHECK(sock_close(quiet[i][0]), ==, 0);
        CHECK(sock_close(quiet[i][1]), ==, 0);
    }
    CHECK(sock_close(chatty[0]), ==, 0);
    CHECK(sock_close(chatty[1]), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

typedef struct churn {
    sock_t poller;
    atomic_bool over;
} churn;

static void *watch_for_strangers(void *argument)
{
    churn *c = argument;
    sock_event events[ROOM];
    while (!atomic_load(&c->over)) {
        int64_t count = sock_poller_wait(c->poller, events, ROOM, 10);
        CHECK(count, >=, 0);
        for (int64_t i = 0; i < count; i++) CHECK(events[i].socket, ==, (sock_t)(intptr_t)events[i].user);
    }
    return NULL;
}

/* Handles come and go while another thread waits: every event names the handle it was registered for. */
static void events_never_reach_the_next_owner_of_a_slot(void)
{
    churn c = { .poller = sock_poller() };
    pthread_t watcher = start_thread(watch_for_strangers, &c);
    for (int i = 0; i < rounds(5000); i++) {
        sock_t pair[2];
        unix_pair(pair);
        CHECK(sock_poller_add(c.poller, pair[0], SOCK_READ, (void *)(intptr_t)pair[0]), ==, 0);
        CHECK(sock_write(pair[1], "x", 1), ==, 1);
        CHECK(sock_close(pair[0]), ==, 0);
        CHECK(sock_close(pair[1]), ==, 0);
    }
    atomic_store(&c.over, true);
    join_thread(watcher);
    CHECK(sock_close(c.poller), ==, 0);
}

static void a_poller_in_a_forked_child_is_refused_and_the_parents_is_unharmed(void)
{
    sock_t pair[2], poller = sock_poller();
    sock_event event;
    unix_pair(pair);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
    pid_t child = fork_child();
    if (child == 0) {
        CHECK(sock_poller_wait(poller, &event, 1, 0), ==, SOCK_ENOTSUP);
        CHECK(sock_close(pair[0]), ==, 0);
        CHECK(sock_close(poller), ==, 0);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
    CHECK(sock_write(pair[1], "x", 1), ==, 1);
    CHECK(ready_of(poller, pair[0], NULL), ==, SOCK_READ);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

/* Idle registrations cost nothing per event: with ten thousand of them a round trip takes about as much work as with none. */
static void ten_thousand_idle_handles_cost_nothing(void)
{
    int many = deep() ? 10000 : 4000;
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    if (limit.rlim_cur < (rlim_t)(2 * many + 100)) many = ((int)limit.rlim_cur - 100) / 2;
    if (under_memcheck()) many = 100;
    sock_t *idle = calloc((size_t)many * 2, sizeof *idle), active[2], poller = sock_poller();
    sock_event event;
    char byte;
    int64_t spans[2];
    unix_pair(active);
    CHECK(sock_poller_add(poller, active[0], SOCK_READ, NULL), ==, 0);
    for (int full = 0; full < 2; full++) {
        int64_t best = INT64_MAX;
        for (int turn = 0; turn < 5; turn++) {
            int64_t began = processor_us();
            for (int i = 0; i < 2000; i++) {
                CHECK(sock_write(active[1], "x", 1), ==, 1);
                CHECK(sock_poller_wait(poller, &event, 1, 10000), ==, 1);
                CHECK(sock_read(active[0], &byte, 1), ==, 1);
            }
            int64_t span = processor_us() - began;
            if (span < best) best = span;
        }
        spans[full] = best;
        for (int i = 0; !full && i < many; i++) {
            unix_pair(&idle[2 * i]);
            CHECK(sock_poller_add(poller, idle[2 * i], SOCK_READ, NULL), ==, 0);
        }
    }
    note("2000 round trips: %lld us alone, %lld us beside %d idle handles", (long long)spans[0], (long long)spans[1], many);
    /* A cost for each idle handle would show as a factor of hundreds. */
    CHECK(spans[1], <, 5 * spans[0] + 10000);
    for (int i = 0; i < 2 * many; i++) CHECK(sock_close(idle[i]), ==, 0);
    free(idle);
    CHECK(sock_close(active[0]), ==, 0);
    CHECK(sock_close(active[1]), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

static const test_case cases[] = {
    CASE(tells_who_is_readable_and_writable),
    CASE(what_is_not_read_is_told_again),
    CASE(bytes_read_ahead_are_readable),
    CASE(only_what_is_of_interest_is_told_and_once),
    BOTH_CASES(a_half_close_is_told_to_every_interest),
    SLOW_CASE(a_dead_stream_is_told_to_every_interest),
    CASE(a_refused_datagram_is_told_to_every_interest),
    CASE(what_is_ready_without_interest_wakes_nobody),
    CASE(bytes_read_ahead_do_not_make_a_full_stream_writable),
    CASE(no_wait_tells_more_than_it_has_room_for),
    CASE(bytes_read_ahead_do_not_starve_each_other),
    CASE(what_was_read_ahead_is_told_of_nobody_who_is_removed),
    CASE(coming_and_going_takes_no_memory),
    CASE(a_listener_is_readable_when_a_connection_waits),
    CASE(a_half_closed_peer_does_not_spin_the_loop),
    CASE(a_dead_peer_does_not_spin_the_loop),
    CASE(a_dead_peer_is_told_to_a_writer_until_it_writes),
    CASE(the_end_of_a_stream_is_told_until_it_is_read),
    CASE(the_end_behind_a_last_line_is_told_until_it_is_read),
    CASE(a_closed_handle_is_gone_from_every_poller),
    CASE(two_pollers_may_watch_one_handle),
    CASE(closing_a_poller_leaves_its_handles_alone),
    CASE(the_end_of_sequenced_packets_is_told_until_it_is_read),
    CASE(sockets_of_datagrams_that_are_over_do_not_spin_the_loop),
    CASE(misuse_has_its_codes),
    CASE(what_is_ready_is_told_whatever_else_happened),
    CASE(handlers_hear_what_is_ready_after_a_cancel),
    CASE(waiting_ends_at_its_time),
    CASE(signals_neither_end_nor_lengthen_a_wait),
    CASE(close_and_cancel_end_every_wait),
    CASE(a_wake_reaches_one_wait_and_none_is_lost),
    CASE(a_handle_becoming_ready_ends_a_wait_in_another_thread),
    CASE(bytes_read_ahead_end_a_wait_in_another_thread),
    CASE(bytes_read_ahead_do_not_starve_the_others),
    CASE(a_poller_may_be_closed_while_it_is_used),
    CASE(one_that_always_talks_does_not_starve_the_others),
    CASE(events_never_reach_the_next_owner_of_a_slot),
    CASE(a_poller_in_a_forked_child_is_refused_and_the_parents_is_unharmed),
    CASE(ten_thousand_idle_handles_cost_nothing),
};

TEST_MAIN(cases)
