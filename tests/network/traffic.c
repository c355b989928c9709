/* Traffic over a network that loses, delays and forbids packets, and peers that vanish. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "network.h"

#define FOUR "192.0.2.130"
enum { SLACK_MS = 4000 }; /* for a machine that is busy */

static void cut_the_wire(void)
{
    firewall("input", "tcp dport 7000 drop");
    firewall("input", "tcp sport 7000 drop");
}

/* A connection to port 7000; its peer is a plain socket. */
static sock_t connected(const sock_options *options, int *listener, int *peer)
{
    *listener = listen_at(FOUR, 7000);
    sock_t s = sock_open(FOUR, "7000", options);
    CHECK(s, >, 0);
    *peer = raw_accept(*listener);
    return s;
}

static void close_all(sock_t s, int listener, int peer)
{
    CHECK(sock_close(s), ==, 0);
    raw_close(peer);
    raw_close(listener);
}

static void unanswered_data_times_out_by_the_user_timeout(void)
{
    int listener, peer;
    char byte;
    network_begin();
    sock_t s = connected(SOCK_OPTIONS(.user_timeout_ms = 700), &listener, &peer);
    cut_the_wire();
    CHECK(sock_write(s, "x", 1), ==, 1);
    int64_t begin = now_ms();
    CHECK(sock_read(s, &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(now_ms() - begin, >=, 500);
    CHECK(now_ms() - begin, <, 2000 + SLACK_MS);
    CHECK(sock_last_errno(), ==, ETIMEDOUT);
    CHECK(sock_read(s, &byte, 1), <, 0); /* never a clean end of stream */
    CHECK(sock_write(s, "x", 1), <, 0);
    close_all(s, listener, peer);
}

static void an_idle_dead_peer_is_found_by_keepalive(void)
{
    int listener, peer;
    char byte;
    network_begin();
    sock_t s = connected(SOCK_OPTIONS(.keepalive_ms = 1000), &listener, &peer);
    cut_the_wire();
    int64_t begin = now_ms();
    CHECK(sock_read(s, &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(now_ms() - begin, >=, 2000);
    CHECK(now_ms() - begin, <, 6000 + SLACK_MS);
    CHECK(sock_last_errno(), ==, ETIMEDOUT);
    close_all(s, listener, peer);
}

static void close_never_waits_for_the_peer(void)
{
    int listener, peer;
    network_begin();
    sock_t s = connected(NULL, &listener, &peer);
    cut_the_wire();
    fill(s);
    int64_t begin = now_ms();
    CHECK(sock_close(s), ==, 0);
    CHECK(now_ms() - begin, <, SLACK_MS);
    raw_close(peer);
    raw_close(listener);
}

static void finish_ends_at_its_timeout(void)
{
    int listener, peer;
    network_begin();
    sock_t s = connected(NULL, &listener, &peer);
    cut_the_wire();
    CHECK(sock_write(s, "x", 1), ==, 1);
    int64_t begin = now_ms();
    CHECK(sock_finish(s, 300), ==, SOCK_ETIMEDOUT);
    CHECK(now_ms() - begin, >=, 300);
    CHECK(now_ms() - begin, <, 300 + SLACK_MS);
    CHECK(sock_close(s), ==, SOCK_EHANDLE);
    raw_close(peer);
    raw_close(listener);
}

/* Nobody here closed it, so it is an error, and it comes at once and stays. */
static void a_listener_that_the_system_kills_is_an_error(void)
{
    network_begin();
    sock_t listener = sock_listen(FOUR, "7000", NULL);
    CHECK(listener, >, 0);
    call accept = { .run = call_accept, .socket = listener };
    call_start(&accept);
    call_wait_asleep(&accept);
    run("ss --kill --no-header state listening sport = 7000 >/dev/null 2>&1");
    int64_t give_up = now_ms() + 2000;
    while (!atomic_load(&accept.done) && now_ms() < give_up) sleep_ms(1);
    if (!atomic_load(&accept.done)) {
        CHECK(sock_cancel(listener), ==, 0);
        CHECK(call_join(&accept), ==, SOCK_ECANCELED);
        CHECK(sock_close(listener), ==, 0);
        sock_t again = sock_open(FOUR, "7000", NULL);
        if (again > 0) skip("this kernel does not kill sockets");
        CHECK(again, ==, 1); /* killed, and the accept slept on */
    }
    int64_t code = call_join(&accept);
    CHECK(code, <, 0);
    CHECK(code, !=, SOCK_ECLOSED);
    CHECK(code, !=, SOCK_EINTERNAL);
    CHECK(sock_accept(listener), <, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void a_killed_connection_is_an_error(void)
{
    int listener, peer;
    char byte;
    network_begin();
    sock_t s = connected(NULL, &listener, &peer);
    call read;
    start_reader(&read, s, &byte);
    run("ss --kill --no-header state established dport = 7000 >/dev/null 2>&1");
    CHECK(call_join(&read), ==, SOCK_ECONNRESET);
    CHECK(sock_read(s, &byte, 1), ==, SOCK_ECONNRESET);
    close_all(s, listener, peer);
}

static void forbidden_datagrams_are_a_permission_error(void)
{
    network_begin();
    firewall("output", "udp dport 7000 drop");
    sock_address to;
    CHECK(sock_address_parse(FOUR, "7000", &to), ==, 0);
    sock_t bound = sock_udp_bind(FOUR, "0", NULL);
    CHECK(bound, >, 0);
    CHECK(sock_send_to(bound, "x", 1, &to), ==, SOCK_EACCES);
    CHECK(sock_close(bound), ==, 0);
    sock_t opened = sock_udp_open(FOUR, "7000", NULL);
    CHECK(opened, >, 0);
    CHECK(sock_write(opened, "x", 1), ==, SOCK_EACCES);
    CHECK(sock_close(opened), ==, 0);
}

static void datagrams_without_a_free_port_say_so(void)
{
    sock_t opened[8];
    network_begin();
    sysctl("net/ipv4/ip_local_port_range", "40000 40007");
    for (int i = 0; i < 8; i++) {
        opened[i] = sock_udp_bind("127.0.0.1", "0", NULL);
        CHECK(opened[i], >, 0);
    }
    CHECK(sock_udp_bind("127.0.0.1", "0", NULL), ==, SOCK_EADDRNOTAVAIL); /* the kernel says EADDRINUSE */
    CHECK(sock_udp_open("127.0.0.1", "7000", NULL), ==, SOCK_EADDRNOTAVAIL); /* the kernel says EAGAIN */
    sock_t unbound = sock_from_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sock_address to;
    CHECK(sock_local_address(opened[0], &to), ==, 0);
    CHECK(sock_set_timeout(unbound, SOCK_WRITE, 5000), ==, 0);
    CHECK(sock_send_to(unbound, "x", 1, &to), ==, SOCK_EADDRNOTAVAIL); /* and so does a send */
    CHECK(sock_close(unbound), ==, 0);
    for (int i = 0; i < 8; i++) CHECK(sock_close(opened[i]), ==, 0);
}

static void listening_without_a_free_port_says_so(void)
{
    sock_t listeners[8];
    network_begin();
    sysctl("net/ipv4/ip_local_port_range", "40000 40007");
    for (int i = 0; i < 8; i++) {
        listeners[i] = sock_listen("127.0.0.1", "0", NULL);
        CHECK(listeners[i], >, 0);
    }
    CHECK(sock_listen("127.0.0.1", "0", NULL), ==, SOCK_EADDRNOTAVAIL); /* the kernel says EADDRINUSE */
    CHECK(sock_listen("127.0.0.1", "40000", NULL), ==, SOCK_EADDRINUSE);
    for (int i = 0; i < 8; i++) CHECK(sock_close(listeners[i]), ==, 0);
}

static void an_address_of_others_cannot_be_listened_on(void)
{
    network_begin();
    CHECK(sock_listen("203.0.113.1", "7000", NULL), ==, SOCK_EADDRNOTAVAIL);
    CHECK(sock_udp_bind("203.0.113.1", "7000", NULL), ==, SOCK_EADDRNOTAVAIL);
}

enum { LOSSY_BYTES = 5 << 20 };

static void *send_pattern(void *argument)
{
    sock_t s = *(sock_t *)argument;
    static unsigned char bytes[LOSSY_BYTES];
    pattern(bytes, sizeof bytes, 0);
    CHECK(sock_write(s, bytes, sizeof bytes), ==, LOSSY_BYTES);
    CHECK(sock_shutdown(s, SOCK_WRITE), ==, 0);
    return NULL;
}

static void lost_packets_lose_no_bytes(void)
{
    static unsigned char received[LOSSY_BYTES + 1];
    sock_t pair[2];
    network_begin();
    tcp_pair(pair);
    firewall("input", "meta l4proto tcp numgen random mod 10 == 0 drop");
    pthread_t sender = start_thread(send_pattern, &pair[0]);
    CHECK(sock_read_exact(pair[1], received, sizeof received), ==, SOCK_EEOF);
    CHECK(sock_last_count(), ==, LOSSY_BYTES);
    CHECK(pattern_mismatch(received, LOSSY_BYTES, 0), ==, LOSSY_BYTES);
    join_thread(sender);
    firewall_clear();
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
}

enum { CLIENTS = 50, MESSAGE = 1000 };

static void *echo_client(void *unused)
{
    unsigned char sent[MESSAGE], received[MESSAGE];
    (void)unused;
    sock_t s = sock_open("127.0.0.1", "7000", SOCK_OPTIONS(.timeout_ms = 15000, .io_timeout_ms = 15000));
    CHECK(s, >, 0);
    pattern(sent, sizeof sent, (uint64_t)s);
    CHECK(sock_write(s, sent, sizeof sent), ==, MESSAGE);
    CHECK(sock_read_exact(s, received, sizeof received), ==, MESSAGE);
    CHECK(memcmp(sent, received, sizeof sent), ==, 0);
    CHECK(sock_close(s), ==, 0);
    return NULL;
}

static void *echo_peer(void *argument)
{
    char bytes[MESSAGE];
    sock_t s = *(sock_t *)argument;
    CHECK(sock_read_exact(s, bytes, sizeof bytes), ==, MESSAGE);
    CHECK(sock_write(s, bytes, sizeof bytes), ==, MESSAGE);
    CHECK(sock_finish(s, 15000), ==, 0);
    return NULL;
}

/* 100 kB over a line that carries 125 kB a second, so everybody waits for everybody else. */
static void fifty_clients_share_a_slow_line(void)
{
    sock_t accepted[CLIENTS];
    pthread_t clients[CLIENTS], peers[CLIENTS];
    network_begin();
    run("ip link set lo mtu 1500");
    run("tc qdisc add dev lo root tbf rate 1mbit burst 16kb limit 1mb");
    sock_t listener = sock_listen("127.0.0.1", "7000", SOCK_OPTIONS(.io_timeout_ms = 15000));
    CHECK(listener, >, 0);
    for (int i = 0; i < CLIENTS; i++) clients[i] = start_thread(echo_client, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        accepted[i] = sock_accept(listener);
        CHECK(accepted[i], >, 0);
        peers[i] = start_thread(echo_peer, &accepted[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        join_thread(clients[i]);
        join_thread(peers[i]);
    }
    CHECK(sock_close(listener), ==, 0);
}

static const test_case cases[] = {
    CASE(unanswered_data_times_out_by_the_user_timeout),
    CASE(an_idle_dead_peer_is_found_by_keepalive),
    CASE(close_never_waits_for_the_peer),
    CASE(finish_ends_at_its_timeout),
    CASE(a_listener_that_the_system_kills_is_an_error),
    CASE(a_killed_connection_is_an_error),
    CASE(forbidden_datagrams_are_a_permission_error),
    CASE(datagrams_without_a_free_port_say_so),
    CASE(listening_without_a_free_port_says_so),
    CASE(an_address_of_others_cannot_be_listened_on),
    LONG_CASE(lost_packets_lose_no_bytes, 120),
    LONG_CASE(fifty_clients_share_a_slow_line, 40),
};
TEST_MAIN(cases)
