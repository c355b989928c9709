/* Two streams into each other: sock_relay. The relay runs in a thread between two far ends. */
#include <errno.h>
#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "harness.h"

/* far[0] <-> near[0] <-relay-> near[1] <-> far[1] */
typedef struct line {
    sock_t far[2], near[2];
    call relay;
} line;

static int64_t call_relay(call *c) { return sock_relay(c->socket, (sock_t)c->number); }

static void join_ends(line *l, make_pair make)
{
    sock_t pair[2];
    for (int i = 0; i < 2; i++) {
        make(pair);
        l->far[i] = pair[0];
        l->near[i] = pair[1];
    }
}

static void start_relay(line *l)
{
    l->relay = (call){ .run = call_relay, .socket = l->near[0], .number = l->near[1] };
    call_start(&l->relay);
}

static void close_line(line *l)
{
    for (int i = 0; i < 2; i++) {
        CHECK(sock_close(l->far[i]), ==, 0);
        CHECK(sock_close(l->near[i]), ==, 0);
    }
}

static void send_text(sock_t s, const char *text) { CHECK(sock_write(s, text, strlen(text)), ==, strlen(text)); }

static void expect_text(sock_t s, const char *text)
{
    char got[64];
    CHECK(sock_read_exact(s, got, strlen(text)), ==, strlen(text));
    CHECK(memcmp(got, text, strlen(text)), ==, 0);
}

static void expect_end(sock_t s)
{
    char byte;
    CHECK(sock_read(s, &byte, 1), ==, 0);
}

static void each_end_is_passed_on_while_the_other_goes_on(make_pair make)
{
    line l;
    sock_info info = { .size = sizeof info };
    join_ends(&l, make);
    start_relay(&l);
    send_text(l.far[0], "question");
    expect_text(l.far[1], "question");
    CHECK(sock_shutdown(l.far[0], SOCK_WRITE), ==, 0);
    expect_end(l.far[1]);
    call_wait_asleep(&l.relay);
    send_text(l.far[1], "the answer");
    expect_text(l.far[0], "the answer");
    CHECK(sock_shutdown(l.far[1], SOCK_WRITE), ==, 0);
    expect_end(l.far[0]);
    CHECK(call_join(&l.relay), ==, 18);
    CHECK(sock_get_info(l.near[0], &info), ==, 0);
    CHECK(info.bytes_read, ==, 8);
    CHECK(info.bytes_written, ==, 10);
    for (int i = 0; i < 2; i++) CHECK(sock_shutdown(l.near[i], SOCK_WRITE), ==, 0); /* a second time */
    close_line(&l);
}
OVER_BOTH(each_end_is_passed_on_while_the_other_goes_on)

static void what_was_read_ahead_goes_first(make_pair make)
{
    line l;
    char text[16];
    join_ends(&l, make);
    send_text(l.far[0], "first\nsecond\nthi");
    CHECK(sock_read_line(l.near[0], text, sizeof text), ==, 5);
    CHECK(sock_buffered(l.near[0]), ==, 10);
    start_relay(&l);
    send_text(l.far[0], "rd\n");
    expect_text(l.far[1], "second\nthird\n");
    CHECK(sock_close(l.far[0]), ==, 0);
    expect_end(l.far[1]);
    CHECK(sock_close(l.far[1]), ==, 0);
    CHECK(call_join(&l.relay), ==, 13);
    CHECK(sock_close(l.near[0]), ==, 0);
    CHECK(sock_close(l.near[1]), ==, 0);
}
OVER_BOTH(what_was_read_ahead_goes_first)

/* ---- much, both ways at once ---- */

typedef struct half { sock_t s; size_t size; } half;

static void *send_pattern(void *argument)
{
    half *h = argument;
    char chunk[7919];
    for (size_t done = 0; done < h->size;) {
        size_t size = h->size - done < sizeof chunk ? h->size - done : sizeof chunk;
        pattern(chunk, size, done);
        CHECK(sock_write(h->s, chunk, size), ==, size);
        done += size;
    }
    CHECK(sock_shutdown(h->s, SOCK_WRITE), ==, 0);
    return NULL;
}

static void *expect_pattern(void *argument)
{
    half *h = argument;
    char chunk[65536];
    size_t done = 0;
    for (int64_t got; (got = sock_read(h->s, chunk, sizeof chunk)) != 0; done += (size_t)got) {
        CHECK(got, >, 0);
        CHECK(pattern_mismatch(chunk, (size_t)got, done), ==, got);
    }
    CHECK(done, ==, h->size);
    return NULL;
}

static void relay_much(line *l)
{
    size_t size = under_memcheck() ? 1 << 20 : 24 << 20;
    half halves[2] = { { l->far[0], size }, { l->far[1], size / 3 } };
    half arriving[2] = { { l->far[1], size }, { l->far[0], size / 3 } };
    pthread_t threads[4];
    start_relay(l);
    for (int i = 0; i < 2; i++) {
        threads[i] = start_thread(send_pattern, &halves[i]);
        threads[2 + i] = start_thread(expect_pattern, &arriving[i]);
    }
    for (int i = 0; i < 4; i++) join_thread(threads[i]);
    CHECK(call_join(&l->relay), ==, size + size / 3);
}

static void much_passes_both_ways_at_once(make_pair make)
{
    line l;
    join_ends(&l, make);
    relay_much(&l);
    close_line(&l);
}
OVER_BOTH(much_passes_both_ways_at_once)

/* Without descriptors for pipes it copies. */
static void it_does_without_pipes(void)
{
    line l;
    struct rlimit limit, before;
    join_ends(&l, tcp_pair);
    CHECK(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    limit = before;
    int free = dup(0);
    CHECK(close(free), ==, 0);
    limit.rlim_cur = (rlim_t)free;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    relay_much(&l);
    CHECK(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    close_line(&l);
}

/* The open file of an adopted socket is in blocking mode; afterwards it is again. */
static void adopted_sockets_are_relayed(void)
{
    line l;
    join_ends(&l, tcp_pair);
    for (int i = 0; i < 2; i++) {
        int fd = sock_release_fd(l.near[i]);
        CHECK(fd, >=, 0);
        CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), ==, 0);
        l.near[i] = sock_from_fd(fd);
        CHECK(l.near[i], >, 0);
    }
    relay_much(&l);
    int fd = sock_release_fd(l.near[0]);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK, ==, 0);
    raw_close(fd);
    CHECK(sock_close(l.near[1]), ==, 0);
    CHECK(sock_close(l.far[0]), ==, 0);
    CHECK(sock_close(l.far[1]), ==, 0);
}

/* ---- how it ends otherwise ---- */

static void silence_ends_it_at_the_timeout(make_pair make)
{
    line l;
    join_ends(&l, make);
    CHECK(sock_set_timeout(l.near[1], SOCK_READ, 100), ==, 0);
    for (int i = 0; i < 2; i++) CHECK(sock_set_timeout(l.near[i], SOCK_WRITE, 10), ==, 0); /* nobody waits for that */
    int64_t began = now_ms();
    CHECK(sock_relay(l.near[0], l.near[1]), ==, SOCK_ETIMEDOUT);
    CHECK(now_ms() - began, >=, 100);
    CHECK(sock_last_count(), ==, 0);
    CHECK(sock_set_timeout(l.near[1], SOCK_READ, SOCK_FOREVER), ==, 0);
    start_relay(&l);
    send_text(l.far[1], "some");
    expect_text(l.far[0], "some");
    CHECK(sock_set_deadline(l.near[0], SOCK_READ, 50), ==, 0);
    CHECK(call_join(&l.relay), ==, SOCK_ETIMEDOUT);
    CHECK(l.relay.last_count, ==, 4);
    close_line(&l);
}
OVER_BOTH(silence_ends_it_at_the_timeout)

static void pass_on(line *l, int from)
{
    send_text(l->far[from], "drop");
    expect_text(l->far[!from], "drop");
}

/* The timeout counts from the last byte of either direction: when both move, whichever is ahead, and when one does. */
static void what_moves_is_not_silent(void)
{
    enum { LINES = 3 };
    line lines[LINES];
    for (int n = 0; n < LINES; n++) {
        join_ends(&lines[n], tcp_pair);
        for (int i = 0; i < 2; i++) CHECK(sock_set_timeout(lines[n].near[i], SOCK_READ | SOCK_WRITE, 2500), ==, 0);
        start_relay(&lines[n]);
        pass_on(&lines[n], n % 2);
    }
    for (int i = 0; i < 15; i++) {
        for (int n = 0; n < LINES; n++) pass_on(&lines[n], n < 2 ? (i + n) % 2 : 0);
        sleep_ms(200);
    }
    for (int n = 0; n < LINES; n++) CHECK(atomic_load(&lines[n].relay.done), ==, false);
    for (int n = 0; n < LINES; n++) {
        CHECK(call_join(&lines[n].relay), ==, SOCK_ETIMEDOUT);
        CHECK(lines[n].relay.last_count, ==, 64);
        close_line(&lines[n]);
    }
}

static void cancel_and_close_end_it(make_pair make)
{
    for (int i = 0; i < 4; i++) {
        line l;
        join_ends(&l, make);
        start_relay(&l);
        call_wait_asleep(&l.relay);
        int64_t began = now_us();
        CHECK(i < 2 ? sock_cancel(l.near[i]) : sock_close(l.near[i - 2]), ==, 0);
        CHECK(call_join(&l.relay), ==, i < 2 ? SOCK_ECANCELED : SOCK_ECLOSED);
        CHECK(call_ended_after_us(&l.relay, began), <, 1000000);
        if (i >= 2) l.near[i - 2] = l.far[i - 2];
        for (int end = 0; end < 2; end++) {
            CHECK(sock_close(l.near[end]), ==, 0);
            if (l.far[end] != l.near[end]) CHECK(sock_close(l.far[end]), ==, 0);
        }
    }
}
OVER_BOTH(cancel_and_close_end_it)

/* What may end a relay, done to one stream. */
static int64_t end_relay(sock_t s, int way)
{
    switch (way) {
    case 0: CHECK(sock_close(s), ==, 0); return SOCK_ECLOSED;
    case 1: CHECK(sock_cancel(s), ==, 0); return SOCK_ECANCELED;
    default: CHECK(sock_set_deadline(s, way == 2 ? SOCK_READ : SOCK_WRITE, 0), ==, 0); return SOCK_ETIMEDOUT;
    }
}

enum { WAYS = 4 };

/* Passing on what is there needs no waiting, and neither does an end that is there. */
static void pass_on_without_waiting(make_pair make, int (*forbid)(sock_t), int ended, int64_t refusal)
{
    line l;
    join_ends(&l, make);
    for (int i = 0; i < 2; i++) {
        send_text(l.far[i], "all ");
        send_text(l.far[i], "there is");
        struct pollfd near = { .fd = sock_fd(l.near[i]), .events = ended ? POLLRDHUP : POLLIN };
        if (ended) CHECK(sock_shutdown(l.far[i], SOCK_WRITE), ==, 0);
        CHECK(poll(&near, 1, 10000), ==, 1);
    }
    CHECK(forbid(l.near[0]), ==, 0);
    CHECK(sock_relay(l.near[0], l.near[1]), ==, ended ? 24 : refusal);
    if (!ended) CHECK(sock_last_count(), ==, 24);
    for (int i = 0; i < 2; i++) {
        expect_text(l.far[i], "all there is");
        if (ended) expect_end(l.far[i]);
    }
    close_line(&l);
}

static int by_a_timeout(sock_t s) { return sock_set_timeout(s, SOCK_READ | SOCK_WRITE, 0); }
static int by_a_deadline(sock_t s) { return sock_set_deadline(s, SOCK_READ | SOCK_WRITE, 0); }

static void what_is_there_is_passed_on_all_the_same(make_pair make)
{
    for (int ended = 0; ended < 2; ended++) {
        pass_on_without_waiting(make, by_a_timeout, ended, SOCK_ETIMEDOUT);
        pass_on_without_waiting(make, by_a_deadline, ended, SOCK_ETIMEDOUT);
        pass_on_without_waiting(make, sock_cancel, ended, SOCK_ECANCELED);
    }
}

OVER_BOTH(what_is_there_is_passed_on_all_the_same)

static void either_stream_ends_it_while_the_other_takes_nothing(make_pair make)
{
    for (int way = 0; way < WAYS; way++) {
        context("way %d", way);
        line l;
        join_ends(&l, make);
        start_relay(&l);
        /* So much that the other far end, which reads nothing, has no room for it. */
        CHECK(sock_set_timeout(l.far[0], SOCK_WRITE, 200), ==, 0);
        static char much[BLOCKING_SIZE];
        CHECK(sock_write(l.far[0], much, sizeof much), ==, SOCK_ETIMEDOUT);
        call_wait_asleep(&l.relay);
        int64_t began = now_us(), expected = end_relay(l.near[0], way);
        CHECK(call_join(&l.relay), ==, expected);
        CHECK(call_ended_after_us(&l.relay, began), <, 1000000);
        if (way != 0) CHECK(sock_close(l.near[0]), ==, 0);
        CHECK(sock_close(l.near[1]), ==, 0);
        CHECK(sock_close(l.far[0]), ==, 0);
        CHECK(sock_close(l.far[1]), ==, 0);
    }
}
OVER_BOTH(either_stream_ends_it_while_the_other_takes_nothing)

static void a_deadline_for_writing_ends_it_while_it_waits_to_read(make_pair make)
{
    for (int i = 0; i < 2; i++) {
        line l;
        join_ends(&l, make);
        CHECK(sock_set_deadline(l.near[i], SOCK_WRITE, 50), ==, 0);
        int64_t began = now_us();
        start_relay(&l);
        CHECK(call_join(&l.relay), ==, SOCK_ETIMEDOUT);
        CHECK(l.relay.ended_us - began, >=, 49000);
        close_line(&l);
    }
}
OVER_BOTH(a_deadline_for_writing_ends_it_while_it_waits_to_read)

static void a_reset_is_reported_after_what_came_before_it(void)
{
    line l;
    char text[8];
    sock_t listener = listen_local();
    int raw = raw_connect(port_of(listener));
    join_ends(&l, tcp_pair);
    CHECK(sock_close(l.far[0]), ==, 0);
    CHECK(sock_close(l.near[0]), ==, 0);
    l.near[0] = sock_accept(listener);
    CHECK(l.near[0], >, 0);
    raw_send(raw, "last", 4);
    start_relay(&l);
    expect_text(l.far[1], "last");
    raw_reset(raw);
    CHECK(call_join(&l.relay), ==, SOCK_ECONNRESET);
    CHECK(strstr(l.relay.last_error, "receiving from 127.0.0.1:") != NULL, ==, true);
    CHECK(l.relay.last_errno, ==, ECONNRESET);
    CHECK(l.relay.last_count, ==, 4);
    CHECK(sock_read(l.near[0], text, sizeof text), ==, SOCK_ECONNRESET);
    /* The other side was not told that the stream is whole. */
    CHECK(sock_set_timeout(l.far[1], SOCK_READ, 0), ==, 0);
    CHECK(sock_read(l.far[1], text, sizeof text), ==, SOCK_ETIMEDOUT);
    CHECK(sock_close(l.near[0]), ==, 0);
    CHECK(sock_close(l.near[1]), ==, 0);
    CHECK(sock_close(l.far[1]), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

/* A side that reads no more: what it had to say still comes, and no signal does. */
/* The byte itself stays out of band, as for every read; what follows it is passed on. */
static void urgent_data_does_not_hold_up_what_follows(void)
{
    for (int ended = 0; ended < 2; ended++) {
        line l;
        join_ends(&l, tcp_pair);
        send_text(l.far[0], "before ");
        CHECK(send(sock_fd(l.far[0]), "!", 1, MSG_OOB), ==, 1);
        send_text(l.far[0], "and after");
        if (ended) {
            struct pollfd near = { .fd = sock_fd(l.near[0]), .events = POLLRDHUP };
            CHECK(sock_shutdown(l.far[0], SOCK_WRITE), ==, 0);
            CHECK(poll(&near, 1, 10000), ==, 1);
        }
        start_relay(&l);
        expect_text(l.far[1], "before and after");
        call_wait_asleep(&l.relay);
        send_text(l.far[1], "and the answer");
        expect_text(l.far[0], "and the answer");
        for (int i = ended; i < 2; i++) CHECK(sock_shutdown(l.far[i], SOCK_WRITE), ==, 0);
        CHECK(call_join(&l.relay), ==, 30);
        close_line(&l);
    }
}

static void a_side_that_stops_reading_is_heard_out(void)
{
    line l;
    struct sigaction was;
    sigset_t set;
    join_ends(&l, unix_pair);
    CHECK(sigaction(SIGPIPE, NULL, &was), ==, 0);
    CHECK(was.sa_handler == SIG_DFL, ==, true); /* a SIGPIPE would be the end of this process */
    CHECK(sock_shutdown(l.far[1], SOCK_READ), ==, 0);
    start_relay(&l);
    send_text(l.far[0], "in vain");
    send_text(l.far[1], "still here");
    expect_text(l.far[0], "still here");
    CHECK(sock_shutdown(l.far[1], SOCK_WRITE), ==, 0);
    expect_end(l.far[0]);
    CHECK(call_join(&l.relay), ==, SOCK_EPIPE);
    CHECK(l.relay.last_count, ==, 10);
    CHECK(sigpending(&set), ==, 0);
    CHECK(sigismember(&set, SIGPIPE), ==, 0);
    close_line(&l);
}

static void the_callers_signal_mask_stays_as_it_is(void)
{
    line l;
    sigset_t before, after;
    join_ends(&l, tcp_pair);
    for (int i = 0; i < 2; i++) CHECK(sock_shutdown(l.far[i], SOCK_WRITE), ==, 0);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &before), ==, 0);
    CHECK(sock_relay(l.near[0], l.near[1]), ==, 0);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &after), ==, 0);
    for (int i = 1; i < 32; i++) CHECK(sigismember(&after, i), ==, sigismember(&before, i));
    close_line(&l);
}

static void bad_arguments_are_refused(void)
{
    line l;
    sock_t listener = listen_local();
    join_ends(&l, tcp_pair);
    CHECK(sock_relay(l.near[0], l.near[0]), ==, SOCK_EINVAL);
    CHECK(sock_relay(0, 0), ==, SOCK_EHANDLE);
    CHECK(sock_relay(l.near[0], 0), ==, SOCK_EHANDLE);
    CHECK(sock_relay(-1, l.near[0]), ==, SOCK_EHANDLE);
    CHECK(sock_relay(l.near[0], listener), ==, SOCK_ETYPE);
    CHECK(sock_relay(listener, l.near[0]), ==, SOCK_ETYPE);
    send_text(l.far[0], "ok");
    expect_text(l.near[0], "ok");
    CHECK(sock_close(listener), ==, 0);
    close_line(&l);
}

/* A second relay of the same two, the other way round, waits for the first to end. */
static void two_relays_of_the_same_streams_take_turns(void)
{
    line l;
    join_ends(&l, tcp_pair);
    start_relay(&l);
    call_wait_asleep(&l.relay);
    call second = { .run = call_relay, .socket = l.near[1], .number = l.near[0] };
    call_start(&second);
    call_wait_asleep(&second);
    send_text(l.far[0], "once");
    expect_text(l.far[1], "once");
    for (int i = 0; i < 2; i++) CHECK(sock_shutdown(l.far[i], SOCK_WRITE), ==, 0);
    int64_t results[2] = { call_join(&l.relay), call_join(&second) };
    CHECK(results[0] + results[1], ==, 4);
    close_line(&l);
}

/* ---- in handlers: a forwarder, on one worker, so that a call that blocked it would stop everybody ---- */

static atomic_int forwarded;

static void forward(sock_t connection, void *context)
{
    sock_t upstream = sock_open("localhost", context, SOCK_OPTIONS(.family = SOCK_IPV4, .timeout_ms = 10000));
    CHECK(upstream, >, 0);
    CHECK(sock_relay(connection, upstream), >, 0);
    CHECK(sock_close(upstream), ==, 0);
    atomic_fetch_add(&forwarded, 1);
}

static void idle_relay(sock_t connection, void *context)
{
    sock_t upstream = sock_open("127.0.0.1", context, NULL);
    CHECK(upstream, >, 0);
    CHECK(sock_relay(connection, upstream), ==, SOCK_ECANCELED);
    CHECK(sock_close(upstream), ==, 0);
}

static void handlers_relay(int model)
{
    enum { CLIENTS = 8 };
    sock_t behind = listen_local(), front = listen_local(), clients[CLIENTS], echoes[CLIENTS];
    size_t size = under_memcheck() ? 100000 : 2 << 20;
    half sent[CLIENTS], back[CLIENTS];
    pthread_t senders[CLIENTS], readers[CLIENTS], echoing[CLIENTS];
    char port[8];
    const char *front_port = port_text(port_of(front));
    snprintf(port, sizeof port, "%d", port_of(behind));
    sock_t server = sock_serve(front, forward, port, SOCK_SERVER_OPTIONS(.model = model, .workers = model == SOCK_FIBERS));
    CHECK(server, >, 0);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = sock_open("127.0.0.1", front_port, NULL);
        CHECK(clients[i], >, 0);
        echoes[i] = sock_accept(behind);
        CHECK(echoes[i], >, 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        sent[i] = back[i] = (half){ clients[i], size };
        echoing[i] = start_thread(echo_until_end, &echoes[i]);
        readers[i] = start_thread(expect_pattern, &back[i]);
        senders[i] = start_thread(send_pattern, &sent[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        join_thread(senders[i]);
        join_thread(echoing[i]);
        CHECK(sock_close(echoes[i]), ==, 0);
        join_thread(readers[i]);
        CHECK(sock_close(clients[i]), ==, 0);
    }
    WAIT_UNTIL(atomic_load(&forwarded) == CLIENTS);
    CHECK(sock_server_stop(server, SOCK_FOREVER), ==, 0);
    CHECK(sock_close(server), ==, 0);
    CHECK(sock_close(behind), ==, 0);
}

static void handlers_relay_in_threads(void) { handlers_relay(SOCK_THREADS); }
static void handlers_relay_in_fibers(void) { handlers_relay(SOCK_FIBERS); }

/* Relays its connection and the stream that it is given, and keeps what came of it. */
typedef struct half_relay {
    sock_t near, connection;
    _Atomic int64_t result;
} half_relay;

static void relay_to(sock_t connection, void *context)
{
    half_relay *half = context;
    half->connection = connection;
    atomic_store(&half->result, sock_relay(connection, half->near));
}

/* The same as in a thread, when a fiber waits. */
static void a_fiber_hears_of_both_streams(void)
{
    for (int way = 0; way < WAYS; way++) {
        context("way %d", way);
        half_relay half = { .result = 1 };
        sock_t pair[2];
        unix_pair(pair);
        half.near = pair[0];
        served serving = serve_with(relay_to, &half, SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS, .workers = 1));
        sock_t client = sock_open("127.0.0.1", port_text(serving.port), NULL);
        CHECK(client, >, 0);
        CHECK(sock_shutdown(client, SOCK_WRITE), ==, 0);
        expect_end(pair[1]);
        int64_t expected = end_relay(half.connection, way);
        WAIT_UNTIL(atomic_load(&half.result) == expected);
        CHECK(sock_close(serving.server), ==, 0);
        CHECK(sock_close(client), ==, 0);
        close_pair(pair);
    }
}

/* A server that stops does not wait for a relay that has nothing to pass on. */
static void a_stopped_server_ends_its_relays(void)
{
    sock_t behind = listen_local(), front = listen_local();
    char port[8];
    const char *front_port = port_text(port_of(front));
    snprintf(port, sizeof port, "%d", port_of(behind));
    for (int model = SOCK_THREADS; model <= SOCK_FIBERS; model++) {
        sock_t listener = model == SOCK_THREADS ? front : listen_local();
        sock_t server = sock_serve(listener, idle_relay, port, SOCK_SERVER_OPTIONS(.model = model));
        CHECK(server, >, 0);
        sock_t client = sock_open("127.0.0.1", model == SOCK_THREADS ? front_port : port_text(port_of(listener)), NULL);
        CHECK(client, >, 0);
        sock_t upstream = sock_accept(behind);
        CHECK(upstream, >, 0);
        CHECK(sock_server_stop(server, 0), ==, 1);
        CHECK(sock_close(server), ==, 0);
        CHECK(sock_close(client), ==, 0);
        CHECK(sock_close(upstream), ==, 0);
    }
    CHECK(sock_close(behind), ==, 0);
}

/* What can end a relay may happen to the side that has nothing to say any more, and in a direction that waits for nothing. */
static void either_stream_ends_it_in_any_direction(make_pair make)
{
    for (int side = 0; side < 2; side++) {
        for (int how = 0; how < 4; how++) {
            line l;
            context("side %d, way %d", side, how);
            join_ends(&l, make);
            start_relay(&l);
            send_text(l.far[0], "last");
            CHECK(sock_shutdown(l.far[0], SOCK_WRITE), ==, 0);
            expect_text(l.far[1], "last");
            expect_end(l.far[1]);
            call_wait_asleep(&l.relay);
            sock_t s = l.near[side];
            int64_t began = now_us(), expected = SOCK_ETIMEDOUT;
            if (how == 0) {
                expected = SOCK_ECANCELED;
                CHECK(sock_cancel(s), ==, 0);
            } else if (how == 1) {
                expected = SOCK_ECLOSED;
                CHECK(sock_close(s), ==, 0);
            } else {
                CHECK(sock_set_deadline(s, how == 2 ? SOCK_READ : SOCK_WRITE, 0), ==, 0);
            }
            CHECK(call_join(&l.relay), ==, expected);
            CHECK(l.relay.last_count, ==, 4);
            if (!under_memcheck()) CHECK(call_ended_after_us(&l.relay, began), <, 50000);
            if (how == 1) {
                CHECK(sock_close(l.near[!side]), ==, 0);
                close_pair(l.far);
            } else {
                close_line(&l);
            }
        }
    }
}
OVER_BOTH(either_stream_ends_it_in_any_direction)

/* The relay's own writing may get the reset, and its reading an end: that is not passed on as one. */
static void a_reset_is_never_passed_on_as_an_end(void)
{
    for (int i = 0; i < rounds(30); i++) {
        line l;
        int peer;
        char byte;
        tcp_with_raw_peer(&l.near[0], &peer);
        tcp_pair(l.far);
        l.near[1] = l.far[1];
        start_relay(&l);
        raw_send(peer, "part", 4);
        expect_text(l.far[0], "part");
        fill(l.far[0]); /* the relay waits to write to the peer, too */
        call_wait_asleep(&l.relay);
        raw_reset(peer);
        CHECK(call_join(&l.relay), ==, SOCK_ECONNRESET);
        CHECK(sock_try_read(l.far[0], &byte, 1), ==, SOCK_EAGAIN);
        CHECK(sock_close(l.near[0]), ==, 0);
        close_pair(l.far);
    }
}

/* Time stamps of what was sent lie in the error queue until the program takes them, and poll(2) keeps reporting POLLERR for them. */
static void wait_beside_an_error_queue(sock_t connection, void *unused)
{
    sock_t pair[2], other[2];
    char byte;
    int stamps = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    (void)connection, (void)unused;
    tcp_pair(pair);
    unix_pair(other);
    if (setsockopt(sock_fd(pair[0]), SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof stamps) != 0) skip("there are no time stamps here");
    CHECK(sock_write(pair[0], "x", 1), ==, 1);
    struct pollfd told = { .fd = sock_fd(pair[0]) };
    CHECK(poll(&told, 1, 10000), ==, 1);
    CHECK(told.revents, ==, POLLERR);
    int64_t began = processor_us();
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 200), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(sock_relay(pair[0], other[0]), ==, SOCK_ETIMEDOUT);
    if (!under_memcheck()) CHECK(processor_us() - began, <, 10000); /* and not all the time that a busy machine gives it */
    close_pair(pair);
    close_pair(other);
}

static void an_error_queue_keeps_nobody_busy(void)
{
    wait_beside_an_error_queue(0, NULL);
    served s = serve_with(wait_beside_an_error_queue, NULL, SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS, .workers = 1));
    int client = raw_connect(s.port);
    CHECK(raw_drain(client), ==, 0);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

static const test_case cases[] = {
    BOTH_CASES(each_end_is_passed_on_while_the_other_goes_on),
    BOTH_CASES(what_was_read_ahead_goes_first),
    BOTH_CASES(much_passes_both_ways_at_once),
    CASE(it_does_without_pipes),
    CASE(adopted_sockets_are_relayed),
    BOTH_CASES(silence_ends_it_at_the_timeout),
    SLOW_CASE(what_moves_is_not_silent),
    BOTH_CASES(cancel_and_close_end_it),
    BOTH_CASES(what_is_there_is_passed_on_all_the_same),
    BOTH_CASES(either_stream_ends_it_while_the_other_takes_nothing),
    BOTH_CASES(a_deadline_for_writing_ends_it_while_it_waits_to_read),
    BOTH_CASES(either_stream_ends_it_in_any_direction),
    CASE(a_reset_is_reported_after_what_came_before_it),
    CASE(a_reset_is_never_passed_on_as_an_end),
    CASE(urgent_data_does_not_hold_up_what_follows),
    CASE(a_side_that_stops_reading_is_heard_out),
    CASE(the_callers_signal_mask_stays_as_it_is),
    CASE(bad_arguments_are_refused),
    CASE(two_relays_of_the_same_streams_take_turns),
    CASE(handlers_relay_in_threads),
    CASE(handlers_relay_in_fibers),
    CASE(a_fiber_hears_of_both_streams),
    CASE(a_stopped_server_ends_its_relays),
    CASE(an_error_queue_keeps_nobody_busy),
};
TEST_MAIN(cases)
