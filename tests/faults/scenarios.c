/* See scenarios.h. The other side of a connection is a plain socket where that is enough: the shim never
 * touches its calls. */
#include "scenarios.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "network.h"

int64_t patience_ms = 100;
const char *failed_step = "";
static int64_t first_code;

static void begin(void)
{
    failed_step = "";
    first_code = 0;
}

/* Remembers the first failure, as code and text. */
static bool failed(const char *text, int64_t code, int64_t expected)
{
    if (code >= 0 && expected >= 0) return false;
    if (code == expected) return false;
    if (first_code == 0) {
        failed_step = text;
        first_code = code < 0 ? code : SOCK_EINTERNAL; /* a success that must not be */
    }
    return true;
}

/* One step; the first that fails ends the scenario. FAILS is for one that must fail with this code. */
#define STEP(call) if (failed(#call, (call), 0)) goto done
#define FAILS(code, call) if (failed(#call " is " #code, (call), code)) goto done

static void close_handles(sock_t *handles, int count)
{
    for (int i = count - 1; i >= 0; i--)
        if (handles[i] > 0) failed("sock_close", sock_close(handles[i]), 0);
}

static void close_plain(int *fds, int count)
{
    for (int i = 0; i < count; i++)
        if (fds[i] >= 0) close(fds[i]);
}

static sock_options *limits(void)
{
    static _Thread_local sock_options options;
    options = (sock_options){ .size = sizeof options, .timeout_ms = patience_ms, .io_timeout_ms = patience_ms };
    return &options;
}

static sock_options *waiting_limits(void)
{
    static _Thread_local sock_options options;
    options = (sock_options){ .size = sizeof options, .io_timeout_ms = patience_ms };
    return &options;
}

/* The library said that it is connected, so somebody must be there. */
static int accept_plain(int listener)
{
    CHECK(raw_readable(listener, 5000), ==, true);
    int fd = accept(listener, NULL, NULL); /* not accept4, which a case forbids */
    CHECK(fd, >=, 0);
    return fd;
}

static uint16_t plain_port(int fd)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    CHECK(getsockname(fd, (struct sockaddr *)&address, &length), ==, 0);
    return ntohs(address.sin_port);
}

/* The library said that these bytes were written, so they must come. */
static void expect_bytes(int fd, const char *text)
{
    char bytes[64];
    size_t length = strlen(text), have = 0;
    while (have < length) {
        CHECK(raw_readable(fd, 5000), ==, true);
        ssize_t received = recv(fd, bytes + have, length - have, 0);
        CHECK(received, >, 0);
        have += (size_t)received;
    }
    CHECK(memcmp(bytes, text, length), ==, 0);
}

/* ---- streams ---- */

int64_t tcp_echo(void)
{
    char reply[5];
    uint16_t port;
    sock_t s = 0;
    int peer[2] = { raw_listen(&port), -1 };
    begin();
    STEP(s = sock_open("127.0.0.1", port_text(port), limits()));
    peer[1] = accept_plain(peer[0]);
    STEP(sock_write(s, "hello", 5));
    expect_bytes(peer[1], "hello");
    raw_send(peer[1], "world", 5);
    STEP(sock_read_exact(s, reply, sizeof reply));
    CHECK(memcmp(reply, "world", 5), ==, 0);
    STEP(sock_shutdown(s, SOCK_WRITE));
    CHECK(raw_readable(peer[1], 5000), ==, true);
    CHECK(recv(peer[1], reply, sizeof reply, 0), ==, 0);
done:
    close_handles(&s, 1);
    close_plain(peer, 2);
    return first_code;
}

int64_t open_by_name(void)
{
    sock_t s = 0;
    sock_address addresses[2];
    int peer[2] = { listen_at("192.0.2.130", 0), -1 };
    uint16_t port = plain_port(peer[0]);
    begin();
    STEP(s = sock_open("dual.test", port_text(port), limits()));
    peer[1] = accept_plain(peer[0]);
    STEP(sock_write(s, "name", 4));
    expect_bytes(peer[1], "name");
    STEP(sock_resolve("dual.test", "80", SOCK_OPTIONS(.timeout_ms = patience_ms), addresses, 2));
done:
    close_handles(&s, 1);
    close_plain(peer, 2);
    return first_code;
}

int64_t three_clients(void)
{
    sock_t handles[7] = { 0 };
    char byte;
    begin();
    STEP(handles[0] = sock_listen("127.0.0.1", "0", waiting_limits()));
    sock_address address;
    char text[SOCK_ADDRESS_TEXT];
    STEP(sock_local_address(handles[0], &address));
    STEP(sock_address_format(&address, text, sizeof text));
    for (int i = 1; i <= 3; i++) {
        STEP(handles[i] = sock_open(text, NULL, limits()));
        STEP(handles[i + 3] = sock_accept(handles[0]));
    }
    for (int i = 1; i <= 3; i++) {
        STEP(sock_write(handles[i], &(char){ (char)i }, 1));
        STEP(sock_read_exact(handles[i + 3], &byte, 1));
        CHECK(byte, ==, i);
    }
done:
    close_handles(handles, 7);
    return first_code;
}

enum { BULK = 128 << 10 };

typedef struct bulk_peer {
    int fd;
    size_t received;
    bool ended;
} bulk_peer;

/* What arrives must be the beginning of what was sent; at its end the same goes back. */
static void *mirror_bulk(void *argument)
{
    bulk_peer *peer = argument;
    static unsigned char bytes[BULK + 1];
    for (;;) {
        ssize_t received = recv(peer->fd, bytes + peer->received, sizeof bytes - peer->received, 0);
        if (received <= 0) {
            peer->ended = received == 0;
            break;
        }
        peer->received += (size_t)received;
        CHECK(peer->received, <=, BULK);
    }
    CHECK(pattern_mismatch(bytes, peer->received, 0), ==, peer->received);
    for (size_t sent = 0; peer->ended && sent < peer->received;) {
        ssize_t more = send(peer->fd, bytes + sent, peer->received - sent, MSG_NOSIGNAL);
        if (more < 0) break;
        sent += (size_t)more;
    }
    shutdown(peer->fd, SHUT_WR);
    return NULL;
}

int64_t bulk_both_ways(void)
{
    static unsigned char bytes[BULK];
    uint16_t port;
    sock_t s = 0;
    int peer[2] = { raw_listen(&port), -1 };
    bulk_peer mirror = { -1, 0, false };
    pthread_t thread;
    bool started = false;
    sock_options *options = limits();
    options->send_buffer = 4096;
    begin();
    STEP(s = sock_open("127.0.0.1", port_text(port), options));
    peer[1] = mirror.fd = accept_plain(peer[0]);
    thread = start_thread(mirror_bulk, &mirror);
    started = true;
    pattern(bytes, sizeof bytes, 0);
    STEP(sock_write(s, bytes, sizeof bytes));
    STEP(sock_shutdown(s, SOCK_WRITE));
    memset(bytes, 0, sizeof bytes);
    STEP(sock_read_exact(s, bytes, sizeof bytes));
    CHECK(pattern_mismatch(bytes, sizeof bytes, 0), ==, sizeof bytes);
    FAILS(SOCK_EEOF, sock_read_exact(s, bytes, 1));
done:
    close_handles(&s, 1);
    if (started) join_thread(thread);
    if (first_code == 0) CHECK(mirror.received, ==, BULK);
    close_plain(peer, 2);
    return first_code;
}

int64_t lines(void)
{
    char line[32];
    uint16_t port;
    sock_t s = 0;
    int peer[2] = { raw_listen(&port), -1 };
    begin();
    STEP(s = sock_open("127.0.0.1", port_text(port), limits()));
    peer[1] = accept_plain(peer[0]);
    raw_send(peer[1], "first\r", 6);
    STEP(sock_peek(s, line, 6)); /* so that the end of the line comes in two pieces */
    raw_send(peer[1], "\nsecond\nthird", 13);
    CHECK(shutdown(peer[1], SHUT_WR), ==, 0);
    STEP(sock_read_line(s, line, sizeof line));
    CHECK(strcmp(line, "first"), ==, 0);
    STEP(sock_read_line(s, line, sizeof line));
    CHECK(strcmp(line, "second"), ==, 0);
    STEP(sock_read_line(s, line, sizeof line));
    CHECK(strcmp(line, "third"), ==, 0);
    FAILS(SOCK_EEOF, sock_read_line(s, line, sizeof line));
done:
    close_handles(&s, 1);
    close_plain(peer, 2);
    return first_code;
}

int64_t half_close_and_reset(void)
{
    char byte;
    uint16_t port;
    sock_t s = 0;
    int peer[2] = { raw_listen(&port), -1 };
    begin();
    STEP(s = sock_open("127.0.0.1", port_text(port), limits()));
    peer[1] = accept_plain(peer[0]);
    STEP(sock_shutdown(s, SOCK_WRITE));
    FAILS(SOCK_EPIPE, sock_write(s, "x", 1));
    CHECK(raw_readable(peer[1], 5000), ==, true);
    raw_send(peer[1], "y", 1);
    STEP(sock_read_exact(s, &byte, 1));
    CHECK(byte, ==, 'y');
    raw_reset(peer[1]);
    peer[1] = -1;
    FAILS(SOCK_ECONNRESET, sock_read(s, &byte, 1));
    FAILS(SOCK_ECONNRESET, sock_read(s, &byte, 1));
done:
    close_handles(&s, 1);
    close_plain(peer, 2);
    return first_code;
}

/* ---- datagrams and unix sockets ---- */

int64_t datagrams(void)
{
    sock_t handles[2] = { 0 };
    sock_address address, from;
    char text[SOCK_ADDRESS_TEXT], bytes[20], longer[100] = "longer";
    sock_datagram batch[2];
    begin();
    STEP(handles[0] = sock_udp_bind("127.0.0.1", "0", waiting_limits()));
    STEP(sock_local_address(handles[0], &address));
    STEP(sock_address_format(&address, text, sizeof text));
    STEP(handles[1] = sock_udp_open(text, NULL, limits()));
    STEP(sock_write(handles[1], "ping", 4));
    STEP(sock_recv_from(handles[0], bytes, sizeof bytes, &from));
    CHECK(memcmp(bytes, "ping", 4), ==, 0);
    STEP(sock_write(handles[1], longer, sizeof longer));
    FAILS(SOCK_ETRUNC, sock_recv_from(handles[0], bytes, sizeof bytes, NULL));
    CHECK(memcmp(bytes, longer, sizeof bytes), ==, 0);
    for (int i = 0; i < 2; i++) batch[i] = (sock_datagram){ .data = longer, .size = 4, .address = from };
    STEP(sock_send_batch(handles[0], batch, 2));
    for (int i = 0; i < 2; i++) batch[i] = (sock_datagram){ .data = bytes, .size = sizeof bytes };
    STEP(sock_recv_batch(handles[1], batch, 2));
    CHECK(batch[0].length, ==, 4);
done:
    close_handles(handles, 2);
    return first_code;
}

int64_t unix_descriptors(void)
{
    sock_t handles[3] = { 0 };
    char host[64], byte;
    int pipes[2], received[2] = { -1, -1 };
    size_t count = 0;
    sock_credentials who;
    CHECK(pipe2(pipes, O_CLOEXEC), ==, 0);
    snprintf(host, sizeof host, "unix:/tmp/sock-fault-%d", (int)getpid());
    begin();
    STEP(handles[0] = sock_listen(host, NULL, waiting_limits()));
    STEP(handles[1] = sock_open(host, NULL, limits()));
    STEP(handles[2] = sock_accept(handles[0]));
    STEP(sock_peer_credentials(handles[2], &who));
    CHECK(who.pid, ==, getpid());
    STEP(sock_send_fds(handles[1], "x", 1, pipes, 2));
    STEP(sock_recv_fds(handles[2], &byte, 1, received, 2, &count));
    CHECK(count, ==, 2);
    CHECK(write(received[1], "through", 7), ==, 7);
    CHECK(read(pipes[0], host, 7), ==, 7);
done:
    close_handles(handles, 3);
    unlink(host + 5); /* gone already, unless the library could not */
    close_plain(pipes, 2);
    close_plain(received, (int)count);
    return first_code;
}

/* ---- many at once ---- */

enum { CLIENTS = 5 };

int64_t poller(void)
{
    sock_t handles[CLIENTS + 2] = { 0 };
    sock_t *listener = &handles[0], *events_of = &handles[1];
    int clients[CLIENTS] = { -1, -1, -1, -1, -1 }, accepted = 0, served = 0;
    sock_event events[4];
    char byte;
    begin();
    STEP(*listener = sock_listen("127.0.0.1", "0", waiting_limits()));
    STEP(*events_of = sock_poller());
    STEP(sock_poller_add(*events_of, *listener, SOCK_READ, NULL));
    sock_address address;
    STEP(sock_local_address(*listener, &address));
    uint16_t port = (uint16_t)sock_address_port(&address);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = raw_connect(port);
        raw_send(clients[i], "x", 1);
    }
    for (int turn = 0; turn < 100 && served < CLIENTS; turn++) {
        int64_t ready;
        STEP(ready = sock_poller_wait(*events_of, events, 4, patience_ms));
        for (int64_t i = 0; i < ready; i++) {
            sock_t s = events[i].socket;
            if (s == *listener && accepted < CLIENTS) {
                STEP(handles[2 + accepted] = sock_try_accept(*listener));
                STEP(sock_poller_add(*events_of, handles[2 + accepted++], SOCK_READ, NULL));
            } else if (s != *listener) {
                STEP(sock_try_read(s, &byte, 1));
                STEP(sock_poller_set(*events_of, s, SOCK_WRITE, NULL));
                STEP(sock_poller_remove(*events_of, s));
                served++;
            }
        }
        if (ready == 0) failed("sock_poller_wait has events", SOCK_ETIMEDOUT, 0);
        if (ready == 0) goto done;
    }
    STEP(sock_poller_wake(*events_of));
    STEP(sock_poller_wait(*events_of, events, 4, patience_ms));
done:
    close_handles(handles, CLIENTS + 2);
    close_plain(clients, CLIENTS);
    return first_code;
}

/* One thread blocks, another closes. Whatever was made to fail, the blocked one comes back. */
static int64_t close_under(int64_t (*run)(call *), sock_t s)
{
    char byte;
    call blocked = { .run = run, .socket = s, .buffer = &byte, .size = 1 };
    call_start(&blocked);
    int64_t give_up = now_ms() + 20;
    while (!atomic_load(&blocked.id) && now_ms() < give_up) sleep_ms(1);
    sleep_ms(2); /* usually it sleeps by now, but either order must do */
    failed("sock_close", sock_close(s), 0);
    int64_t code = call_join(&blocked);
    return code == SOCK_EHANDLE ? SOCK_ECLOSED : code; /* closed before the call began */
}

int64_t closed_by_another_thread(void)
{
    sock_t pair[2] = { 0 }, listener = 0;
    begin();
    STEP(sock_pair(pair));
    for (int i = 0; i < 2; i++) STEP(sock_set_timeout(pair[i], SOCK_READ | SOCK_WRITE, patience_ms));
    sock_t read_from = pair[0];
    pair[0] = 0;
    FAILS(SOCK_ECLOSED, close_under(call_read, read_from));
    STEP(listener = sock_listen("127.0.0.1", "0", waiting_limits()));
    sock_t accept_on = listener;
    listener = 0;
    FAILS(SOCK_ECLOSED, close_under(call_accept, accept_on));
done:
    close_handles(pair, 2);
    close_handles(&listener, 1);
    return first_code;
}

int64_t deadlines(void)
{
    sock_t handles[4] = { 0 };
    char byte;
    begin();
    STEP(handles[0] = sock_listen("127.0.0.1", "0", waiting_limits()));
    STEP(sock_set_deadline(handles[0], SOCK_READ, 5));
    FAILS(SOCK_ETIMEDOUT, sock_accept(handles[0]));
    STEP(sock_set_deadline(handles[0], SOCK_READ, SOCK_FOREVER));
    sock_address address;
    char text[SOCK_ADDRESS_TEXT];
    STEP(sock_local_address(handles[0], &address));
    STEP(sock_address_format(&address, text, sizeof text));
    STEP(handles[1] = sock_open(text, NULL, limits()));
    STEP(handles[2] = sock_accept(handles[0]));
    STEP(sock_set_timeout(handles[1], SOCK_READ, 5));
    FAILS(SOCK_ETIMEDOUT, sock_read(handles[1], &byte, 1));
    STEP(sock_set_timeout(handles[1], SOCK_READ, patience_ms));
    STEP(sock_write(handles[2], "x", 1));
    STEP(sock_read_exact(handles[1], &byte, 1));
    STEP(sock_cancel(handles[1]));
    FAILS(SOCK_ECANCELED, sock_read(handles[1], &byte, 1));
done:
    close_handles(handles, 4);
    return first_code;
}

typedef struct relay_ends {
    sock_t a, b;
    int64_t moved;
} relay_ends;

static void *run_relay(void *argument)
{
    relay_ends *ends = argument;
    ends->moved = sock_relay(ends->a, ends->b);
    return NULL;
}

/* Bytes go through the relay and are those that were sent, or an error is said by somebody. */
int64_t relayed(void)
{
    sock_t left[2] = { 0 }, right[2] = { 0 };
    char bytes[6];
    pthread_t thread;
    bool started = false;
    begin();
    STEP(sock_pair(left));
    STEP(sock_pair(right));
    for (int i = 0; i < 2; i++) {
        STEP(sock_set_timeout(left[i], SOCK_READ | SOCK_WRITE, patience_ms));
        STEP(sock_set_timeout(right[i], SOCK_READ | SOCK_WRITE, patience_ms));
    }
    relay_ends ends = { left[1], right[0], 0 };
    thread = start_thread(run_relay, &ends);
    started = true;
    STEP(sock_write(left[0], "onward", 6));
    STEP(sock_read_exact(right[1], bytes, 6));
    CHECK(memcmp(bytes, "onward", 6), ==, 0);
    STEP(sock_write(right[1], "return", 6));
    STEP(sock_read_exact(left[0], bytes, 6));
    CHECK(memcmp(bytes, "return", 6), ==, 0);
    STEP(sock_shutdown(left[0], SOCK_WRITE));
    STEP(sock_shutdown(right[1], SOCK_WRITE));
done:
    if (started) {
        join_thread(thread);
        failed("sock_relay", ends.moved, 0);
        if (first_code == 0) CHECK(ends.moved, ==, 12);
    }
    close_handles(left, 2);
    close_handles(right, 2);
    return first_code;
}

int64_t file_sent(void)
{
    static unsigned char bytes[4096];
    sock_t pair[2] = { 0 };
    int file = memfd_create("file", MFD_CLOEXEC);
    pattern(bytes, sizeof bytes, 0);
    CHECK(write(file, bytes, sizeof bytes), ==, sizeof bytes);
    begin();
    STEP(sock_pair(pair));
    for (int i = 0; i < 2; i++) STEP(sock_set_timeout(pair[i], SOCK_READ | SOCK_WRITE, patience_ms));
    STEP(sock_send_file(pair[0], file, 96, -1));
    memset(bytes, 0, sizeof bytes);
    STEP(sock_read_exact(pair[1], bytes, sizeof bytes - 96));
    CHECK(pattern_mismatch(bytes, sizeof bytes - 96, 96), ==, sizeof bytes - 96);
done:
    close_handles(pair, 2);
    close(file);
    return first_code;
}

/* ---- servers ---- */

static void echo_once(sock_t connection, void *context)
{
    char bytes[4];
    (void)context;
    if (sock_read_exact(connection, bytes, 4) == 4) sock_write(connection, bytes, 4);
}

static int64_t serve(int model)
{
    sock_t handles[5] = { 0 };
    sock_t *listener = &handles[0], *server = &handles[1];
    char bytes[4];
    begin();
    STEP(*listener = sock_listen("127.0.0.1", "0", waiting_limits()));
    sock_address address;
    char text[SOCK_ADDRESS_TEXT];
    STEP(sock_local_address(*listener, &address));
    STEP(sock_address_format(&address, text, sizeof text));
    STEP(*server = sock_serve(*listener, echo_once, NULL, SOCK_SERVER_OPTIONS(.model = model, .workers = 2)));
    for (int i = 2; i < 5; i++) {
        STEP(handles[i] = sock_open(text, NULL, limits()));
        STEP(sock_write(handles[i], "echo", 4));
    }
    for (int i = 2; i < 5; i++) {
        STEP(sock_read_exact(handles[i], bytes, 4));
        CHECK(memcmp(bytes, "echo", 4), ==, 0);
    }
    STEP(sock_server_stop(*server, patience_ms));
    STEP(sock_server_wait(*server));
done:
    if (*server > 0) *listener = 0; /* the server's now, and closed with it */
    close_handles(handles, 5);
    return first_code;
}

int64_t server_with_threads(void) { return serve(SOCK_THREADS); }
int64_t server_with_fibers(void) { return serve(SOCK_FIBERS); }

/* ---- the logger ---- */

static void count_message(int level, const char *message, void *count)
{
    CHECK(level, ==, SOCK_LOG_ERROR);
    CHECK(strlen(message), >, 0);
    ++*(int *)count;
}

int64_t logged(void)
{
    char byte;
    uint16_t port;
    int messages = 0;
    sock_t s = 0;
    int listener = raw_listen(&port);
    begin();
    STEP(sock_set_logger(count_message, &messages));
    STEP(s = sock_open("127.0.0.1", port_text(port), limits()));
    STEP(sock_set_timeout(s, SOCK_READ, 0));
    FAILS(SOCK_ETIMEDOUT, sock_read(s, &byte, 1));
    FAILS(SOCK_EHANDLE, sock_close(3));
    CHECK(messages, <=, 2);
    if (patience_ms > 1000) CHECK(messages, ==, 2); /* all is well, and there is memory for messages */
done:
    close_handles(&s, 1);
    CHECK(sock_set_logger(NULL, NULL), ==, 0);
    close_plain(&listener, 1);
    return first_code;
}
