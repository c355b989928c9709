/* UDP and unix datagrams: one by one and in batches, truncation, errors, waiting. */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif
enum { LONGEST = 65507, LARGE = LONGEST }; /* large enough for joined datagrams on IPv4 */

static sock_address address_of(sock_t s)
{
    sock_address own;
    CHECK(sock_local_address(s, &own), ==, 0);
    return own;
}

static int64_t call_recv_from(call *c) { return sock_recv_from(c->socket, c->buffer, c->size, NULL); }

static sock_t bound_to(const char *host)
{
    sock_t s = sock_udp_bind(host, "0", NULL);
    CHECK(s, >, 0);
    return s;
}

static sock_t bound(void) { return bound_to("127.0.0.1"); }

/* Two sockets connected to each other. */
static void connected_pair(sock_t pair[2])
{
    const char *host = own_loopback();
    sock_t probe = bound_to(host);
    char port[8];
    snprintf(port, sizeof port, "%d", port_of(probe));
    pair[0] = sock_udp_open(host, port, SOCK_OPTIONS(.local_host = host));
    CHECK(pair[0], >, 0);
    CHECK(sock_close(probe), ==, 0);
    pair[1] = sock_udp_open(host, port_text(port_of(pair[0])), SOCK_OPTIONS(.local_host = host, .local_port = port));
    CHECK(pair[1], >, 0);
}

static void close_both(sock_t a, sock_t b)
{
    CHECK(sock_close(a), ==, 0);
    CHECK(sock_close(b), ==, 0);
}

/* A datagram that was sent may need a moment to arrive. */
static int64_t try_read_soon(sock_t s, char *buffer, size_t size)
{
    int64_t length;
    WAIT_UNTIL((length = sock_try_read(s, buffer, size)) != SOCK_EAGAIN);
    return length;
}

static void receive_in_batches(sock_t s, sock_datagram *in, int room, int expected)
{
    int count = 0;
    while (count < expected) {
        int64_t received = sock_recv_batch(s, in + count, room - count);
        CHECK(received, >, 0);
        count += (int)received;
    }
    CHECK(count, ==, expected);
}

/* And so does the answer that nobody is there. */
static void wait_for_refusal(sock_t s)
{
    struct pollfd error = {.fd = sock_fd(s)};
    CHECK(poll(&error, 1, 10000), ==, 1);
    CHECK(error.revents, ==, POLLERR);
}

static void check_text(const sock_address *address, const char *expected)
{
    char text[SOCK_ADDRESS_TEXT];
    CHECK(sock_address_format(address, text, sizeof text), >, 0);
    context("%s, expected %s", text, expected);
    CHECK(strcmp(text, expected), ==, 0);
    context(NULL);
}

static void a_datagram_arrives_whole_with_its_sender(void)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    for (int i = 0; i < 2; i++) {
        sock_t a = sock_udp_bind(hosts[i], "0", NULL), b = sock_udp_bind(hosts[i], "0", NULL);
        if (a == SOCK_EADDRNOTAVAIL) {
            note("no address %s here", hosts[i]);
            continue;
        }
        CHECK(a, >, 0);
        CHECK(b, >, 0);
        sock_address to = address_of(b), own = address_of(a), from;
        char buffer[100] = {0};
        CHECK(sock_send_to(a, "hello", 5, &to), ==, 5);
        CHECK(sock_recv_from(b, buffer, sizeof buffer, &from), ==, 5);
        CHECK(memcmp(buffer, "hello", 5), ==, 0);
        CHECK(sock_address_equal(&from, &own), ==, 1);
        CHECK(sock_send_to(b, "back", 4, &from), ==, 4);
        CHECK(sock_recv_from(a, buffer, sizeof buffer, NULL), ==, 4);
        close_both(a, b);
    }
}

static void a_wildcard_socket_speaks_both_families(void)
{
    sock_t all = sock_udp_bind(NULL, "0", NULL);
    CHECK(all, >, 0);
    const char *port = port_text(port_of(all));
    sock_t four = sock_udp_open("127.0.0.1", port, NULL), six = sock_udp_open("::1", port, NULL);
    CHECK(four, >, 0);
    CHECK(six, >, 0);
    sock_t peers[] = {four, six};
    for (int i = 0; i < 2; i++) {
        char byte, expected[40];
        sock_address from;
        CHECK(sock_write(peers[i], "x", 1), ==, 1);
        CHECK(sock_recv_from(all, &byte, 1, &from), ==, 1);
        snprintf(expected, sizeof expected, i == 0 ? "127.0.0.1:%d" : "[::1]:%d", port_of(peers[i]));
        check_text(&from, expected);
        CHECK(sock_send_to(all, "y", 1, &from), ==, 1);
        CHECK(sock_read(peers[i], &byte, 1), ==, 1);
        CHECK(byte, ==, 'y');
        sock_datagram one = {.data = "z", .size = 1, .address = from};
        CHECK(sock_send_batch(all, &one, 1), ==, 1);
        CHECK(sock_read(peers[i], &byte, 1), ==, 1);
        CHECK(byte, ==, 'z');
        one.data = &byte;
        CHECK(sock_write(peers[i], "w", 1), ==, 1);
        CHECK(sock_recv_batch(all, &one, 1), ==, 1);
        check_text(&one.address, expected);
    }
    close_both(four, six);
    CHECK(sock_close(all), ==, 0);
}

static void an_ipv6_only_socket_refuses_ipv4(void)
{
    sock_t six = sock_udp_bind(NULL, "0", SOCK_OPTIONS(.v6_only = SOCK_ON));
    CHECK(six, >, 0);
    sock_address four;
    CHECK(sock_address_parse("127.0.0.1", "9", &four), ==, 0);
    CHECK(sock_send_to(six, "x", 1, &four), ==, SOCK_EINVAL);
    CHECK(sock_close(six), ==, 0);
    six = sock_udp_bind("::1", "0", NULL);
    sock_datagram entry = {.data = "x", .size = 1, .address = four};
    CHECK(sock_send_to(six, "x", 1, &four), ==, SOCK_EINVAL);
    CHECK(strstr(sock_last_error(), "to 127.0.0.1:9: ") != NULL, ==, true);
    CHECK(sock_send_batch(six, &entry, 1), ==, SOCK_EINVAL);
    CHECK(sock_close(six), ==, 0);
}

static void addresses_of_the_wrong_family_and_port_are_refused(void)
{
    sock_t s = bound();
    sock_address six, zero, path, garbage;
    CHECK(sock_address_parse("::1", "9", &six), ==, 0);
    CHECK(sock_address_parse("127.0.0.1", "0", &zero), ==, 0);
    CHECK(sock_address_parse("unix:/nowhere", NULL, &path), ==, 0);
    memset(&garbage, 0xff, sizeof garbage);
    CHECK(sock_send_to(s, "x", 1, &six), ==, SOCK_EINVAL);
    CHECK(strstr(sock_last_error(), "to [::1]:9: ") != NULL, ==, true);
    CHECK(sock_send_to(s, "x", 1, &zero), ==, SOCK_EINVAL);
    CHECK(sock_send_to(s, "x", 1, &path), ==, SOCK_EINVAL);
    CHECK(sock_send_to(s, "x", 1, &garbage), ==, SOCK_EINVAL);
    CHECK(sock_send_to(s, "x", 1, NULL), ==, SOCK_ENOTCONN);
    CHECK(sock_write(s, "x", 1), ==, SOCK_ENOTCONN);
    CHECK(sock_udp_open("127.0.0.1", "0", NULL), ==, SOCK_EINVAL);
    CHECK(sock_udp_open("127.1", "9", NULL), ==, SOCK_EINVAL);
    CHECK(sock_udp_open("127.0.0.1", "9", SOCK_OPTIONS(.nodelay = SOCK_ON)), ==, SOCK_EINVAL);
    CHECK(sock_udp_bind("127.0.0.1", "0", SOCK_OPTIONS(.backlog = 1)), ==, SOCK_EINVAL);
    CHECK(sock_udp_bind("127.0.0.1", "0", SOCK_OPTIONS(.unix_mode = 0600)), ==, SOCK_EINVAL);
    CHECK(sock_close(s), ==, 0);
}

/* By sockets of either family, except one that cannot reach IPv4. */
static void a_mapped_receiver_is_reached_by_ipv4(void)
{
    sock_t four = bound(), senders[] = {bound(), sock_udp_bind(NULL, "0", NULL)};
    sock_address mapped;
    char port[8], byte;
    snprintf(port, sizeof port, "%d", port_of(four));
    CHECK(sock_address_parse("::ffff:127.0.0.1", port, &mapped), ==, 0);
    sock_datagram entries[70];
    for (int i = 0; i < 70; i++) entries[i] = (sock_datagram){.data = "x", .size = 1, .address = mapped};
    for (int i = 0; i < 2; i++) {
        context("sender %d", i);
        CHECK(sock_send_to(senders[i], "x", 1, &mapped), ==, 1);
        CHECK(sock_recv_from(four, &byte, 1, NULL), ==, 1);
        CHECK(sock_send_batch(senders[i], entries, 70), ==, 70);
        for (int j = 0; j < 70; j++) CHECK(sock_recv_from(four, &byte, 1, NULL), ==, 1);
        sock_datagram cut = {.data = "xy", .size = 2, .segment = 1, .address = mapped};
        CHECK(sock_send_batch(senders[i], &cut, 1), ==, 1);
        for (int j = 0; j < 2; j++) CHECK(sock_recv_from(four, &byte, 1, NULL), ==, 1);
        CHECK(sock_close(senders[i]), ==, 0);
    }
    context(NULL);
    mapped.length--; /* too short for its family */
    CHECK(sock_send_to(four, "x", 1, &mapped), ==, SOCK_EINVAL);
    mapped.length++;
    sock_t six = sock_udp_bind("::1", "0", NULL);
    if (six != SOCK_EADDRNOTAVAIL) {
        CHECK(sock_send_to(six, "x", 1, &mapped), ==, SOCK_EINVAL);
        CHECK(sock_close(six), ==, 0);
    }
    CHECK(sock_close(four), ==, 0);
}

static void wrong_kinds_are_refused(void)
{
    sock_t s = bound(), l = listen_local();
    sock_datagram one = {0};
    char byte;
    CHECK(sock_accept(s), ==, SOCK_ETYPE);
    CHECK(sock_read_line(s, &byte, 1), ==, SOCK_ETYPE);
    CHECK(sock_read_exact(s, &byte, 1), ==, SOCK_ETYPE);
    call reader = {0}; /* and at once, while another call has the turn */
    char read;
    start_reader(&reader, s, &read);
    CHECK(sock_read_line(s, &byte, 1), ==, SOCK_ETYPE);
    CHECK(sock_read_exact(s, &byte, 1), ==, SOCK_ETYPE);
    CHECK(sock_relay(l, s), ==, SOCK_ETYPE);
    CHECK(sock_set_timeout(s, SOCK_READ, 0), ==, 0);
    CHECK(call_join(&reader), ==, SOCK_ETIMEDOUT);
    CHECK(sock_send_to(l, "x", 1, NULL), ==, SOCK_ETYPE);
    CHECK(sock_recv_from(l, &byte, 1, NULL), ==, SOCK_ETYPE);
    CHECK(sock_send_batch(l, &one, 1), ==, SOCK_ETYPE);
    CHECK(sock_recv_batch(l, &one, 1), ==, SOCK_ETYPE);
    CHECK(sock_join(l, "239.1.2.3", NULL), ==, SOCK_ETYPE);
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), ==, 0);
    sock_t local = sock_from_fd(ends[0]);
    CHECK(sock_join(local, "239.1.2.3", NULL), ==, SOCK_ENOTSUP);
    CHECK(sock_leave(local, "239.1.2.3", NULL), ==, SOCK_ENOTSUP);
    CHECK(sock_close(local), ==, 0);
    raw_close(ends[1]);
    CHECK(sock_recv_from(0, &byte, 1, NULL), ==, SOCK_EHANDLE);
    CHECK(sock_send_batch(s, NULL, 1), ==, SOCK_EINVAL);
    CHECK(sock_recv_batch(s, NULL, 1), ==, SOCK_EINVAL);
    one.size = 1;
    CHECK(sock_send_batch(s, &one, 1), ==, SOCK_EINVAL); /* data is NULL */
    CHECK(sock_send_batch(s, NULL, 0), ==, 0);
    CHECK(sock_recv_batch(s, NULL, 0), ==, 0);
    CHECK(sock_recv_from(s, NULL, 1, NULL), ==, SOCK_EINVAL);
    close_both(s, l);
}

static void empty_datagrams_are_datagrams(void)
{
    sock_t pair[2];
    char buffer[8];
    connected_pair(pair);
    CHECK(sock_write(pair[0], NULL, 0), ==, 0);
    CHECK(sock_send_to(pair[0], NULL, 0, NULL), ==, 0);
    CHECK(sock_write(pair[0], "end", 3), ==, 3);
    CHECK(sock_read(pair[1], buffer, sizeof buffer), ==, 0);
    CHECK(sock_recv_from(pair[1], buffer, sizeof buffer, NULL), ==, 0);
    CHECK(sock_read(pair[1], buffer, sizeof buffer), ==, 3);
    CHECK(sock_send_to(pair[0], NULL, 0, NULL), ==, 0);
    CHECK(sock_recv_from(pair[1], NULL, 0, NULL), ==, 0);
    CHECK(sock_try_read(pair[1], buffer, sizeof buffer), ==, SOCK_EAGAIN);
    close_both(pair[0], pair[1]);
}

static void a_longer_datagram_fills_the_buffer_and_says_so(void)
{
    sock_t pair[2];
    char buffer[5] = {0};
    connected_pair(pair);
    sock_address from = {0}, own = address_of(pair[0]);
    for (int i = 0; i < 6; i++) CHECK(sock_write(pair[0], "0123456789", 10), ==, 10);
    CHECK(sock_recv_from(pair[1], buffer, 4, &from), ==, SOCK_ETRUNC);
    CHECK(memcmp(buffer, "0123", 5), ==, 0);
    CHECK(sock_last_count(), ==, 4);
    CHECK(sock_address_equal(&from, &own), ==, 1);
    CHECK(sock_read(pair[1], buffer, 4), ==, SOCK_ETRUNC);
    CHECK(sock_last_count(), ==, 4);
    CHECK(sock_peek(pair[1], buffer, 4), ==, SOCK_ETRUNC); /* and leaves it there */
    struct iovec parts[] = {{buffer, 1}, {buffer + 1, 3}};
    CHECK(sock_readv(pair[1], parts, 2), ==, SOCK_ETRUNC);
    CHECK(sock_last_count(), ==, 4);
    CHECK(try_read_soon(pair[1], buffer, 4), ==, SOCK_ETRUNC);
    CHECK(sock_recv_from(pair[1], NULL, 0, NULL), ==, SOCK_ETRUNC);
    CHECK(sock_last_count(), ==, 0);
    sock_datagram one = {.data = buffer, .size = 4};
    CHECK(sock_recv_batch(pair[1], &one, 1), ==, 1);
    CHECK(one.length, ==, 4);
    CHECK(one.flags, ==, SOCK_TRUNCATED);
    CHECK(sock_try_read(pair[1], buffer, 4), ==, SOCK_EAGAIN);
    close_both(pair[0], pair[1]);
}

static void every_reading_call_takes_one_datagram(void)
{
    sock_t pair[2];
    char a[4], b[4];
    connected_pair(pair);
    struct iovec out[] = {{"ab", 2}, {"cd", 2}}, in[] = {{a, 1}, {b, 4}};
    for (int i = 0; i < 3; i++) CHECK(sock_writev(pair[0], out, 2), ==, 4);
    CHECK(sock_try_write(pair[0], "last", 4), ==, 4);
    CHECK(sock_peek(pair[1], b, 4), ==, 4);
    CHECK(sock_readv(pair[1], in, 2), ==, 4);
    CHECK(a[0], ==, 'a');
    CHECK(memcmp(b, "bcd", 3), ==, 0);
    CHECK(sock_read(pair[1], b, 4), ==, 4);
    CHECK(try_read_soon(pair[1], b, 4), ==, 4);
    CHECK(sock_recv_from(pair[1], b, 4, NULL), ==, 4);
    CHECK(memcmp(b, "last", 4), ==, 0);
    sock_info info = {.size = sizeof info};
    CHECK(sock_get_info(pair[1], &info), ==, 0);
    CHECK(info.kind, ==, SOCK_KIND_DATAGRAM);
    CHECK(info.bytes_read, ==, 16);
    CHECK(sock_get_info(pair[0], &info), ==, 0);
    CHECK(info.bytes_written, ==, 16);
    close_both(pair[0], pair[1]);
}

static void the_largest_datagram_passes_and_a_larger_one_is_refused(void)
{
    sock_t pair[2];
    char *out = malloc(LONGEST + 1), *in = malloc(LONGEST + 1);
    connected_pair(pair);
    pattern(out, LONGEST + 1, 7);
    CHECK(sock_write(pair[0], out, LONGEST), ==, LONGEST);
    CHECK(sock_read(pair[1], in, LONGEST + 1), ==, LONGEST);
    CHECK(pattern_mismatch(in, LONGEST, 7), ==, LONGEST);
    CHECK(sock_write(pair[0], out, LONGEST + 1), ==, SOCK_EMSGSIZE);
    sock_datagram one = {.data = out, .size = LONGEST + 1};
    CHECK(sock_send_batch(pair[0], &one, 1), ==, SOCK_EMSGSIZE);
    CHECK(sock_try_read(pair[1], in, LONGEST), ==, SOCK_EAGAIN);
    close_both(pair[0], pair[1]);
    free(out);
    free(in);
}

static void a_connected_socket_hears_only_its_peer(void)
{
    sock_t pair[2], stranger = bound();
    char buffer[8];
    connected_pair(pair);
    sock_address to = address_of(pair[1]);
    CHECK(sock_send_to(stranger, "evil", 4, &to), ==, 4);
    CHECK(sock_write(pair[0], "good", 4), ==, 4);
    CHECK(sock_read(pair[1], buffer, sizeof buffer), ==, 4);
    CHECK(memcmp(buffer, "good", 4), ==, 0);
    CHECK(sock_try_read(pair[1], buffer, sizeof buffer), ==, SOCK_EAGAIN);
    close_both(pair[0], pair[1]);
    CHECK(sock_close(stranger), ==, 0);
}

/* A socket connected to a port where nobody is, and nobody will be. */
static sock_t connected_to_nobody(void)
{
    sock_t gone = bound_to(own_loopback());
    sock_t s = sock_udp_open(own_loopback(), port_text(port_of(gone)), NULL);
    CHECK(s, >, 0);
    CHECK(sock_close(gone), ==, 0);
    return s;
}

static void a_refused_datagram_is_told_once_and_the_socket_lives_on(void)
{
    char byte;
    sock_t s = connected_to_nobody();
    CHECK(sock_write(s, "x", 1), ==, 1);
    wait_for_refusal(s);
    CHECK(sock_write(s, "x", 1), ==, SOCK_ECONNREFUSED);
    CHECK(sock_write(s, "x", 1), ==, 1);
    CHECK(sock_read(s, &byte, 1), ==, SOCK_ECONNREFUSED);
    CHECK(sock_set_timeout(s, SOCK_READ, 20), ==, 0);
    CHECK(sock_read(s, &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(sock_write(s, "x", 1), ==, 1);
    CHECK(sock_recv_from(s, &byte, 1, NULL), ==, SOCK_ECONNREFUSED);
    CHECK(sock_close(s), ==, 0);
}

static void a_refusal_wakes_a_blocked_read(void)
{
    char byte;
    sock_t s = connected_to_nobody();
    call read;
    start_reader(&read, s, &byte);
    CHECK(sock_write(s, "x", 1), ==, 1);
    CHECK(call_join(&read), ==, SOCK_ECONNREFUSED);
    CHECK(sock_close(s), ==, 0);
}

static void an_unconnected_socket_hears_of_no_refusal(void)
{
    sock_t s = bound(), friend = bound(), gone = bound_to(own_loopback());
    sock_address nobody = address_of(gone), to = address_of(s);
    char byte;
    CHECK(sock_close(gone), ==, 0);
    CHECK(sock_send_to(s, "x", 1, &nobody), ==, 1);
    CHECK(sock_send_to(s, "x", 1, &nobody), ==, 1);
    CHECK(sock_try_read(s, &byte, 1), ==, SOCK_EAGAIN);
    CHECK(sock_send_to(friend, "y", 1, &to), ==, 1);
    CHECK(sock_recv_from(s, &byte, 1, NULL), ==, 1);
    close_both(s, friend);
}

static void a_batch_that_is_refused_midway_tells_it_afterwards(void)
{
    sock_t s = connected_to_nobody();
    sock_datagram batch[4];
    memset(batch, 0, sizeof batch);
    for (int i = 0; i < 4; i++) {
        batch[i].data = "x";
        batch[i].size = 1;
    }
    int64_t sent = sock_send_batch(s, batch, 4);
    CHECK(sent, >=, 1);
    for (int64_t i = 0; i < sent; i++) CHECK(batch[i].length, ==, 1);
    wait_for_refusal(s);
    CHECK(sock_write(s, "x", 1), ==, SOCK_ECONNREFUSED);
    CHECK(sock_write(s, "x", 1), ==, 1);
    CHECK(sock_close(s), ==, 0);
}

/* The refusal of what was sent comes while a later entry is being sent: whichever call comes next reports it, once. */
static void a_refusal_between_two_entries_is_kept_for_the_next_call(void)
{
    static char data[4000];
    for (int next = 0; next < 3; next++) {
        sock_t s = connected_to_nobody();
        sock_datagram batch[2] = {{.data = data, .size = 1}, {.data = data, .size = sizeof data, .segment = 10}}; /* more than one message */
        char byte;
        context("next call %d", next);
        CHECK(sock_send_batch(s, batch, 2), ==, 1);
        if (next == 0) CHECK(sock_write(s, "x", 1), ==, SOCK_ECONNREFUSED);
        if (next == 1) CHECK(sock_read(s, &byte, 1), ==, SOCK_ECONNREFUSED);
        if (next == 2) CHECK(sock_send_batch(s, batch, 1), ==, SOCK_ECONNREFUSED);
        CHECK(sock_write(s, "x", 1), ==, 1);
        CHECK(sock_close(s), ==, 0);
    }
    context(NULL);
}

static void a_batch_stops_before_the_entry_that_fails(void)
{
    sock_t a = bound(), b = bound();
    static char large[LONGEST + 1];
    sock_address to = address_of(b), six;
    CHECK(sock_address_parse("::1", "9", &six), ==, 0);
    for (int kind = 0; kind < 2; kind++) {
        sock_datagram batch[5];
        memset(batch, 0, sizeof batch);
        for (int i = 0; i < 5; i++) {
            batch[i].data = large;
            batch[i].size = (size_t)i + 1;
            batch[i].address = to;
        }
        if (kind == 0) batch[3].size = LONGEST + 1;
        if (kind == 1) batch[3].address = six;
        CHECK(sock_send_batch(a, batch, 5), ==, 3);
        CHECK(sock_send_batch(a, batch + 3, 2), ==, kind == 0 ? SOCK_EMSGSIZE : SOCK_EINVAL);
        CHECK(sock_send_batch(a, batch + 4, 1), ==, 1);
        sock_datagram in[8];
        char room[8][8];
        memset(in, 0, sizeof in);
        for (int i = 0; i < 8; i++) {
            in[i].data = room[i];
            in[i].size = 8;
        }
        receive_in_batches(b, in, 8, 4);
        CHECK(in[2].length, ==, 3);
        CHECK(in[3].length, ==, 5);
    }
    close_both(a, b);
}

static void batches_larger_than_one_system_call_keep_their_order(void)
{
    enum { COUNT = 150 };
    sock_t a = bound(), b = bound();
    sock_address to = address_of(b), own = address_of(a);
    static sock_datagram out[COUNT], in[COUNT + 10];
    static uint32_t sent[COUNT], got[COUNT + 10];
    for (uint32_t i = 0; i < COUNT; i++) {
        sent[i] = i * 2654435761u;
        out[i] = (sock_datagram){.data = &sent[i], .size = 1 + i % 4, .address = to};
    }
    for (uint32_t i = 0; i < COUNT + 10; i++) in[i] = (sock_datagram){.data = &got[i], .size = 4, .flags = 99, .segment = 99};
    CHECK(sock_send_batch(a, out, COUNT), ==, COUNT);
    receive_in_batches(b, in, COUNT + 10, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK(out[i].length, ==, 1 + i % 4);
        CHECK(in[i].length, ==, 1 + i % 4);
        CHECK(memcmp(&got[i], &sent[i], 1 + i % 4), ==, 0);
        CHECK(in[i].flags, ==, 0);
        CHECK(in[i].segment, ==, 0);
        CHECK(sock_address_equal(&in[i].address, &own), ==, 1);
    }
    close_both(a, b);
}

/* The library takes 64 from the kernel at once: there is nothing more to ask for when they have filled the batch. */
static void a_batch_that_one_system_call_fills_ends_with_it(void)
{
    enum { COUNT = 64 };
    sock_t a = bound(), b = bound();
    sock_address to = address_of(b);
    sock_datagram in[COUNT];
    char bytes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        CHECK(sock_send_to(a, "x", 1, &to), ==, 1);
        in[i] = (sock_datagram){.data = &bytes[i], .size = 1};
    }
    receive_in_batches(b, in, COUNT, COUNT);
    close_both(a, b);
}

static void a_flood_loses_datagrams_but_mixes_none_up(void)
{
    enum { COUNT = 10000, ROOMS = 100, LARGEST = 64 };
    sock_t a = bound(), b = sock_udp_bind("127.0.0.1", "0", SOCK_OPTIONS(.receive_buffer = 65536));
    sock_address to = address_of(b);
    static char rooms[ROOMS][LARGEST];
    static sock_datagram in[ROOMS];
    int received = 0;
    int64_t last = -1, number;
    for (int64_t i = 0; i < COUNT; i++) {
        char data[LARGEST];
        size_t size = sizeof i + (size_t)i % (LARGEST - sizeof i);
        pattern(data, size, (uint64_t)i);
        memcpy(data, &i, sizeof i);
        CHECK(sock_send_to(a, data, size, &to), ==, size);
        if (i % 1000 != 999) continue;
        for (int k = 0; k < ROOMS; k++) in[k] = (sock_datagram){.data = rooms[k], .size = LARGEST};
        CHECK(sock_set_timeout(b, SOCK_READ, 0), ==, 0);
        for (int64_t count; (count = sock_recv_batch(b, in, ROOMS)) > 0;) {
            for (int64_t k = 0; k < count; k++) {
                memcpy(&number, rooms[k], sizeof number);
                CHECK(number, >, last);
                last = number;
                CHECK(in[k].length, ==, sizeof i + (size_t)number % (LARGEST - sizeof i));
                size_t rest = in[k].length - sizeof number;
                CHECK(pattern_mismatch(rooms[k] + sizeof number, rest, (uint64_t)number + sizeof number), ==, rest);
                received++;
            }
        }
    }
    CHECK(received, >, 10);
    CHECK(received, <, COUNT);
    close_both(a, b);
}

/* Receives `size` bytes of pattern, in pieces of `segment`, through any one call. */
typedef int64_t (*receive)(sock_t s, char *buffer, size_t size);
static int64_t by_recv_from(sock_t s, char *buffer, size_t size) { return sock_recv_from(s, buffer, size, NULL); }
static int64_t by_read(sock_t s, char *buffer, size_t size) { return sock_read(s, buffer, size); }
static int64_t by_try_read(sock_t s, char *buffer, size_t size) { return try_read_soon(s, buffer, size); }
static int64_t by_readv(sock_t s, char *buffer, size_t size)
{
    struct iovec parts[] = {{buffer, 1}, {buffer + 1, size - 1}};
    return sock_readv(s, parts, 2);
}
static int64_t by_peek(sock_t s, char *buffer, size_t size)
{
    char again[2000];
    int64_t length = sock_peek(s, buffer, size);
    CHECK(sock_read(s, again, sizeof again), ==, length);
    CHECK(memcmp(again, buffer, (size_t)length), ==, 0);
    return length;
}
static int64_t by_batch(sock_t s, char *buffer, size_t size)
{
    sock_datagram one = {.data = buffer, .size = size};
    CHECK(sock_recv_batch(s, &one, 1), ==, 1);
    CHECK(one.segment, ==, 0);
    CHECK(one.flags, ==, 0);
    return (int64_t)one.length;
}
static const receive receivers[] = {by_recv_from, by_read, by_try_read, by_readv, by_peek, by_batch};
enum { RECEIVERS = sizeof receivers / sizeof receivers[0] };

static void expect_pieces(sock_t s, receive receive, size_t size, size_t segment)
{
    char buffer[2000];
    for (size_t done = 0; done < size;) {
        size_t expected = size - done < segment ? size - done : segment;
        CHECK(receive(s, buffer, sizeof buffer), ==, expected);
        CHECK(pattern_mismatch(buffer, expected, done), ==, expected);
        done += expected;
    }
    CHECK(sock_try_read(s, buffer, sizeof buffer), ==, SOCK_EAGAIN);
}

static void a_segmented_entry_arrives_as_datagrams_of_that_size(void)
{
    static char data[20000];
    static const struct { size_t size, segment; } forms[] = {{10000, 1000}, {10001, 1000}, {999, 1000}, {1000, 1000}, {2, 1}, {100, 1}};
    pattern(data, sizeof data, 0);
    for (size_t form = 0; form < sizeof forms / sizeof forms[0]; form++) {
        for (int i = 0; i < RECEIVERS; i++) {
            sock_t a = bound(), b = bound();
            context("form %zu, receiver %d", form, i);
            sock_datagram out = {.data = data, .size = forms[form].size, .segment = (uint32_t)forms[form].segment, .address = address_of(b)};
            CHECK(sock_send_batch(a, &out, 1), ==, 1);
            CHECK(out.length, ==, out.size);
            expect_pieces(b, receivers[i], out.size, out.segment);
            close_both(a, b);
        }
    }
    context(NULL);
}

static bool kernel_can_join(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    bool can = setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0;
    close(fd);
    return can;
}

static bool joins(sock_t s)
{
    int on = 0;
    socklen_t length = sizeof on;
    return getsockopt(sock_fd(s), IPPROTO_UDP, UDP_GRO, &on, &length) == 0 && on;
}

static void need_joining(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    if (setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) != 0) skip("this kernel has no UDP_GRO");
    raw_close(fd);
}

/* Makes `s` a socket whose datagrams arrive joined: its first receiving call has large buffers. */
static void ask_for_joined(sock_t from, sock_t s)
{
    static char room[LARGE];
    sock_datagram one = {.data = room, .size = sizeof room};
    sock_address to = address_of(s);
    CHECK(sock_send_to(from, "first", 5, &to), ==, 5);
    CHECK(sock_recv_batch(s, &one, 1), ==, 1);
    CHECK(one.length, ==, 5);
}

static void large_buffers_get_joined_datagrams_with_their_size(void)
{
    static char data[54 * 1200], room[LARGE];
    if (!kernel_can_join()) skip("this kernel has no UDP_GRO");
    sock_t a = bound(), b = bound();
    need_joining();
    ask_for_joined(a, b);
    CHECK(joins(b), ==, true);
    pattern(data, sizeof data, 0);
    sock_datagram out = {.data = data, .size = sizeof data, .segment = 1200, .address = address_of(b)};
    sock_datagram in = {.data = room, .size = sizeof room};
    sock_address own = address_of(a);
    CHECK(sock_send_batch(a, &out, 1), ==, 1);
    size_t got = 0;
    bool joined = false;
    while (got < sizeof data) {
        CHECK(sock_recv_batch(b, &in, 1), ==, 1);
        CHECK(pattern_mismatch(room, in.length, got), ==, in.length);
        CHECK(sock_address_equal(&in.address, &own), ==, 1);
        CHECK(in.flags, ==, 0);
        joined |= in.length > 1200;
        CHECK(in.length <= 1200 || in.segment == 1200, ==, true);
        got += in.length;
    }
    CHECK(got, ==, sizeof data);
    CHECK(joined, ==, true);
    close_both(a, b);
}

static void joined_datagrams_never_reach_who_takes_one(void)
{
    static char data[10500];
    pattern(data, sizeof data, 0);
    for (int i = 0; i < RECEIVERS; i++) {
        sock_t a = bound(), b = bound();
        context("receiver %d", i);
        ask_for_joined(a, b);
        sock_datagram out = {.data = data, .size = sizeof data, .segment = 1000, .address = address_of(b)};
        CHECK(sock_send_batch(a, &out, 1), ==, 1);
        expect_pieces(b, receivers[i], sizeof data, 1000);
        CHECK(sock_buffered(b), ==, 0);
        /* A short buffer costs the rest of one datagram only, and an empty one is one. */
        char buffer[2000];
        sock_address from, own = address_of(a), to = address_of(b);
        CHECK(sock_send_batch(a, &out, 1), ==, 1);
        CHECK(sock_send_to(a, NULL, 0, &to), ==, 0);
        CHECK(sock_recv_from(b, buffer, 10, &from), ==, SOCK_ETRUNC);
        CHECK(sock_last_count(), ==, 10);
        CHECK(sock_address_equal(&from, &own), ==, 1);
        CHECK(receivers[i](b, buffer, sizeof buffer), ==, 1000);
        CHECK(pattern_mismatch(buffer, 1000, 1000), ==, 1000);
        sock_datagram in[20];
        static char rooms[20][1500];
        for (int k = 0; k < 20; k++) in[k] = (sock_datagram){.data = rooms[k], .size = sizeof rooms[k]};
        receive_in_batches(b, in, 20, 10);
        CHECK(in[8].length, ==, 500);
        CHECK(in[9].length, ==, 0);
        CHECK(sock_buffered(b), ==, 0);
        close_both(a, b);
    }
    context(NULL);
}

static void what_is_left_of_joined_datagrams_comes_first(void)
{
    static char data[3000], room[LARGE];
    char buffer[2000];
    sock_t a = bound(), b = bound();
    need_joining();
    ask_for_joined(a, b);
    pattern(data, sizeof data, 0);
    sock_address to = address_of(b);
    sock_datagram out = {.data = data, .size = sizeof data, .segment = 1000, .address = to}, in = {.data = room, .size = sizeof room};
    CHECK(sock_send_batch(a, &out, 1), ==, 1);
    CHECK(sock_send_to(a, "later", 5, &to), ==, 5);
    CHECK(sock_read(b, buffer, sizeof buffer), ==, 1000);
    for (size_t piece = 1; piece < 3; piece++) {
        CHECK(sock_recv_batch(b, &in, 1), ==, 1);
        CHECK(in.length, ==, 1000);
        CHECK(pattern_mismatch(room, 1000, 1000 * piece), ==, 1000);
    }
    CHECK(sock_recv_batch(b, &in, 1), ==, 1);
    CHECK(in.length, ==, 5);
    close_both(a, b);
}

/* A call after calls that had to wait waits first, but not for what is there. */
static void what_is_left_of_joined_datagrams_is_not_waited_for(void)
{
    static char data[3000];
    char buffer[2000];
    need_joining();
    for (int waits = 1; waits < 6; waits++) {
        sock_t a = bound(), b = bound();
        sock_address to = address_of(b);
        context("after %d waits", waits);
        ask_for_joined(a, b);
        for (int i = 0; i < waits; i++) {
            call read;
            start_reader(&read, b, buffer);
            CHECK(sock_send_to(a, "x", 1, &to), ==, 1);
            CHECK(call_join(&read), ==, 1);
        }
        sock_datagram out = {.data = data, .size = sizeof data, .segment = 1000, .address = to};
        CHECK(sock_send_batch(a, &out, 1), ==, 1);
        for (int i = 0; i < 3; i++) CHECK(sock_read(b, buffer, sizeof buffer), ==, 1000);
        close_both(a, b);
    }
    context(NULL);
}

static void a_small_batch_where_datagrams_are_joined_tells_its_error(void)
{
    char buffer[100];
    sock_t a = bound(), b = bound();
    need_joining();
    ask_for_joined(a, b);
    sock_datagram in = {.data = buffer, .size = sizeof buffer};
    CHECK(sock_set_timeout(b, SOCK_READ, 0), ==, 0);
    CHECK(sock_recv_batch(b, &in, 1), ==, SOCK_ETIMEDOUT);
    CHECK(sock_cancel(b), ==, 0);
    CHECK(sock_recv_batch(b, &in, 1), ==, SOCK_ECANCELED);
    close_both(a, b);
}

/* IPv6 datagrams may be longer than IPv4's by the header that is not counted. */
static void only_buffers_for_the_longest_datagram_ask_for_joined_ones(void)
{
    enum { LONGEST_SIX = 65527 };
    static const struct { const char *host; size_t size; bool joins; } forms[] = {
        {"127.0.0.1", LONGEST - 1, false}, {"127.0.0.1", LONGEST, true}, {"::", LONGEST, false}, {"::", LONGEST_SIX - 1, false}, {"::", LONGEST_SIX, true},
    };
    static char room[LONGEST_SIX];
    need_joining();
    sock_t six = sock_udp_bind("::", "0", NULL);
    bool only_four = six < 0;
    if (!only_four) CHECK(sock_close(six), ==, 0);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (forms[i].host[0] == ':' && only_four) continue;
        context("%zu bytes at %s", forms[i].size, forms[i].host);
        sock_t s = bound_to(forms[i].host);
        sock_datagram in = {.data = room, .size = forms[i].size};
        CHECK(sock_set_timeout(s, SOCK_READ, 0), ==, 0);
        CHECK(sock_recv_batch(s, &in, 1), ==, SOCK_ETIMEDOUT);
        CHECK(joins(s), ==, forms[i].joins);
        CHECK(sock_close(s), ==, 0);
    }
    context(NULL);
}

/* A socket that comes with UDP_GRO turned on: each call still takes one datagram. */
static void an_adopted_socket_may_join_datagrams_already(void)
{
    static char data[5000];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(fd, (struct sockaddr *)&own, sizeof own), ==, 0);
    if (setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) != 0) skip("this kernel has no UDP_GRO");
    sock_t a = bound(), b = sock_from_fd(fd);
    CHECK(b, >, 0);
    pattern(data, sizeof data, 0);
    for (int i = 0; i < RECEIVERS; i++) {
        context("receiver %d", i);
        sock_datagram out = {.data = data, .size = sizeof data, .segment = 1000, .address = address_of(b)};
        CHECK(sock_send_batch(a, &out, 1), ==, 1);
        expect_pieces(b, receivers[i], sizeof data, 1000);
    }
    context(NULL);
    socklen_t length = sizeof on;
    CHECK(sock_release_fd(b), ==, fd);
    CHECK(getsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, &length), ==, 0);
    CHECK(on, ==, 1); /* as it was */
    close(fd);
    CHECK(sock_close(a), ==, 0);
}

/* The owner of an adopted socket may have asked the kernel to send more along with each datagram than the library wants. */
static void what_else_an_owner_asked_for_hides_no_sizes(void)
{
    enum { ROOMS = 30, SEGMENT = 100, SIZE = 4 * SEGMENT };
    enum { RX_SOFTWARE = 1 << 3, SOFTWARE = 1 << 4, OPT_CMSG = 1 << 10, OPT_PKTINFO = 1 << 13 }; /* of linux/net_tstamp.h */
    static const struct { int level, name, value; } asked[] = {
        {SOL_SOCKET, SO_TIMESTAMP, 1}, {SOL_SOCKET, SO_TIMESTAMPNS, 1}, {SOL_SOCKET, SO_RXQ_OVFL, 1},
        {SOL_SOCKET, SO_TIMESTAMPING, RX_SOFTWARE | SOFTWARE | OPT_CMSG | OPT_PKTINFO},
        {SOL_SOCKET, SO_RCVMARK, 1}, {IPPROTO_IP, IP_PKTINFO, 1}, {IPPROTO_IP, IP_RECVTOS, 1}, {IPPROTO_IP, IP_RECVTTL, 1},
    };
    static char rooms[ROOMS][LARGE], data[SIZE];
    sock_datagram in[ROOMS], out[ROOMS];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(fd, (struct sockaddr *)&own, sizeof own), ==, 0);
    if (setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) != 0) skip("this kernel has no UDP_GRO");
    sock_t a = bound(), b = sock_from_fd(fd);
    pattern(data, SIZE, 0);
    for (int i = 0; i < ROOMS; i++) {
        in[i] = (sock_datagram){.data = rooms[i], .size = LARGE};
        out[i] = (sock_datagram){.data = data, .size = SIZE, .segment = SEGMENT, .address = address_of(b)};
    }
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) { /* each, and together with those before */
        context("option %zu", i);
        if (setsockopt(fd, asked[i].level, asked[i].name, &asked[i].value, sizeof asked[i].value) != 0) note("no option %zu", i);
        for (int room = 1; room <= ROOMS; room += ROOMS - 1) {
            CHECK(sock_send_batch(a, out, ROOMS), ==, ROOMS);
            bool joined = false;
            for (size_t got = 0; got < (size_t)ROOMS * SIZE;) {
                int64_t count = sock_recv_batch(b, in, (size_t)room);
                CHECK(count, >, 0);
                for (int64_t k = 0; k < count; k++) {
                    CHECK(in[k].length == SEGMENT || in[k].segment == SEGMENT, ==, true);
                    CHECK(pattern_mismatch(in[k].data, in[k].length, got % SIZE), ==, in[k].length);
                    joined |= in[k].length > SEGMENT;
                    got += in[k].length;
                }
            }
            CHECK(joined, ==, true);
        }
        CHECK(sock_send_batch(a, out, 1), ==, 1);
        expect_pieces(b, by_read, SIZE, SEGMENT);
    }
    context(NULL);
    close_both(a, b);
}

static void what_is_left_of_joined_datagrams_is_readable_to_pollers(void)
{
    static char data[3000];
    char buffer[1000];
    sock_t a = bound(), b = bound(), poller = sock_poller();
    sock_event event;
    ask_for_joined(a, b);
    CHECK(sock_poller_add(poller, b, SOCK_READ, NULL), ==, 0);
    CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 0);
    sock_datagram out = {.data = data, .size = sizeof data, .segment = 1000, .address = address_of(b)};
    CHECK(sock_send_batch(a, &out, 1), ==, 1);
    for (int left = 3; left > 0; left--) {
        CHECK(sock_poller_wait(poller, &event, 1, 10000), ==, 1);
        CHECK(event.socket, ==, b);
        CHECK(event.ready & SOCK_READ, ==, SOCK_READ);
        CHECK(sock_read(b, buffer, sizeof buffer), ==, 1000);
    }
    CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 0);
    close_both(a, b);
    CHECK(sock_close(poller), ==, 0);
}

static void small_buffers_leave_joining_off(void)
{
    sock_t a = bound(), b = bound();
    static char data[3000], room[LARGE];
    char small[100];
    sock_address to = address_of(b);
    CHECK(sock_send_to(a, "x", 1, &to), ==, 1);
    CHECK(sock_recv_from(b, small, sizeof small, NULL), ==, 1);
    sock_datagram out = {.data = data, .size = sizeof data, .segment = 1000, .address = to};
    CHECK(sock_send_batch(a, &out, 1), ==, 1);
    for (int i = 0; i < 3; i++) {
        sock_datagram in = {.data = room, .size = sizeof room};
        CHECK(sock_recv_batch(b, &in, 1), ==, 1);
        CHECK(in.length, ==, 1000);
        CHECK(in.segment, ==, 0);
    }
    CHECK(joins(b), ==, false);
    close_both(a, b);
}

static void data_of_any_size_is_segmented(void)
{
    /* More segments, and more bytes, than the kernel takes at once; and segments larger than a packet of the loopback. */
    static const struct { size_t size, segment; } forms[] = {{4000, 10}, {200000, 1400}, {20000, 9000}};
    static char data[200000];
    char buffer[10000];
    pattern(data, sizeof data, 0);
    for (size_t form = 0; form < 3; form++) {
        sock_t a = bound(), b = sock_udp_bind("127.0.0.1", "0", SOCK_OPTIONS(.receive_buffer = 4 << 20));
        int granted = 0;
        socklen_t length = sizeof granted;
        CHECK(getsockopt(sock_fd(b), SOL_SOCKET, SO_RCVBUF, &granted, &length), ==, 0);
        context("form %zu, room for %d", form, granted);
        size_t size = forms[form].size, segment = forms[form].segment;
        /* What waits in the queue costs more than its bytes. */
        size_t most = (size_t)granted / (segment + 1000) * segment;
        if (size > most) size = most;
        sock_datagram out = {.data = data, .size = size, .segment = (uint32_t)segment, .address = address_of(b)};
        CHECK(sock_send_batch(a, &out, 1), ==, 1);
        CHECK(out.length, ==, size);
        for (size_t done = 0; done < size;) {
            size_t expected = size - done < segment ? size - done : segment;
            CHECK(sock_read(b, buffer, sizeof buffer), ==, expected);
            CHECK(pattern_mismatch(buffer, expected, done), ==, expected);
            done += expected;
        }
        close_both(a, b);
    }
    context(NULL);
}

static void broadcast_needs_the_option(void)
{
    sock_t s = sock_udp_bind(NULL, "0", SOCK_OPTIONS(.family = SOCK_IPV4));
    sock_address all;
    CHECK(sock_address_parse("255.255.255.255", "9", &all), ==, 0);
    int64_t refused = sock_send_to(s, "x", 1, &all);
    CHECK(refused == SOCK_EACCES || refused == SOCK_EUNREACH, ==, true);
    int on = 1;
    CHECK(setsockopt(sock_fd(s), SOL_SOCKET, SO_BROADCAST, &on, sizeof on), ==, 0);
    int64_t sent = sock_send_to(s, "x", 1, &all);
    CHECK(sent == 1 || sent == SOCK_EUNREACH, ==, true); /* without a network there is nowhere to send it */
    CHECK(sock_close(s), ==, 0);
}

static int64_t call_recv_batch(call *c)
{
    sock_datagram one = {.data = c->buffer, .size = c->size};
    return sock_recv_batch(c->socket, &one, 1);
}

static void every_receiving_call_ends_as_streams_do(void)
{
    static int64_t (*const calls[])(call *) = {call_recv_from, call_recv_batch, call_read, call_peek, call_readv};
    static char room[LARGE];
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        context("call %zu", i);
        sock_t s = bound();
        call c = {.run = calls[i], .socket = s, .buffer = room, .size = sizeof room};
        CHECK(sock_set_timeout(s, SOCK_READ, 30), ==, 0);
        int64_t begin = now_ms();
        CHECK(calls[i](&c), ==, SOCK_ETIMEDOUT);
        CHECK(now_ms() - begin, >=, 29);
        CHECK(sock_set_timeout(s, SOCK_READ, SOCK_FOREVER), ==, 0);
        call_start(&c);
        call_wait_asleep(&c);
        CHECK(sock_set_deadline(s, SOCK_READ, 10), ==, 0);
        CHECK(call_join(&c), ==, SOCK_ETIMEDOUT);
        /* What is there is delivered even so. */
        sock_address own = address_of(s);
        CHECK(sock_send_to(s, "x", 1, &own), ==, 1);
        CHECK(calls[i](&c), ==, 1);
        sock_try_read(s, room, sizeof room);
        CHECK(sock_set_deadline(s, SOCK_READ, SOCK_FOREVER), ==, 0);
        call_start(&c);
        call_wait_asleep(&c);
        CHECK(sock_cancel(s), ==, 0);
        CHECK(call_join(&c), ==, SOCK_ECANCELED);
        CHECK(sock_close(s), ==, 0);

        s = c.socket = bound();
        call_start(&c);
        call_wait_asleep(&c);
        CHECK(sock_close(s), ==, 0);
        CHECK(call_join(&c), ==, SOCK_ECLOSED);
    }
    context(NULL);
}

static void an_unconnected_socket_is_not_shut_down(void)
{
    char byte = 0;
    sock_t s = bound(), pair[2];
    sock_address own = address_of(s);
    call c = {.run = call_recv_from, .socket = s, .buffer = &byte, .size = 1};
    call_start(&c);
    call_wait_asleep(&c);
    CHECK(sock_shutdown(s, SOCK_READ | SOCK_WRITE), ==, SOCK_ENOTCONN);
    CHECK(sock_send_to(s, "x", 1, &own), ==, 1);
    CHECK(call_join(&c), ==, 1); /* a datagram, and not the nothing that a shutdown leaves */
    CHECK(byte, ==, 'x');
    CHECK(sock_close(s), ==, 0);
    connected_pair(pair);
    CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
    CHECK(sock_write(pair[0], "x", 1), ==, SOCK_EPIPE);
    CHECK(sock_write(pair[1], "y", 1), ==, 1);
    CHECK(sock_read(pair[0], &byte, 1), ==, 1);
    close_both(pair[0], pair[1]);
}

/* Every receiving call, blocked and not, gives nothing at once when receiving is shut down, and does not look for it again and
 * again. */
static void what_is_shut_down_receives_what_came_and_then_nothing(sock_t from, sock_t s)
{
    char byte;
    sock_address sender;
    sock_datagram entry = {.data = &byte, .size = 1};
    call c = {.run = call_recv_from, .socket = s, .buffer = &byte, .size = 1};
    call_start(&c);
    call_wait_asleep(&c);
    CHECK(sock_shutdown(s, SOCK_READ), ==, 0);
    CHECK(call_join(&c), ==, 0);
    CHECK(sock_recv_from(s, &byte, 1, &sender), ==, 0);
    CHECK(sender.length, ==, 0);
    CHECK(sock_read(s, &byte, 1), ==, 0);
    CHECK(sock_readv(s, &(struct iovec){.iov_base = &byte, .iov_len = 1}, 1), ==, 0);
    CHECK(sock_peek(s, &byte, 1), ==, 0);
    CHECK(sock_try_read(s, &byte, 1), ==, 0);
    CHECK(sock_recv_batch(s, &entry, 1), ==, 0);
    CHECK(sock_cancel(s), ==, 0);
    CHECK(sock_read(s, &byte, 1), ==, 0);
    CHECK(sock_shutdown(s, SOCK_READ), ==, 0);
    close_both(from, s);
}

static void a_shut_down_socket_receives_no_more(void)
{
    int fds[2], passed;
    sock_t pair[2];
    char byte;
    size_t count = 1;
    connected_pair(pair);
    what_is_shut_down_receives_what_came_and_then_nothing(pair[0], pair[1]);
    connected_pair(pair);
    ask_for_joined(pair[0], pair[1]);
    what_is_shut_down_receives_what_came_and_then_nothing(pair[0], pair[1]);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    for (int i = 0; i < 2; i++) pair[i] = sock_from_fd(fds[i]);
    CHECK(sock_write(pair[0], "x", 1), ==, 1);
    CHECK(sock_shutdown(pair[1], SOCK_READ), ==, 0);
    CHECK(sock_read(pair[1], &byte, 1), ==, 1);
    CHECK(sock_recv_fds(pair[1], &byte, 1, &passed, 1, &count), ==, 0);
    CHECK(count, ==, 0);
    close_both(pair[0], pair[1]);
}

/* One who shares the open file may shut it down too: the library is not told. */
static void who_shares_a_socket_may_shut_it_down(void)
{
    sock_t pair[2], poller = sock_poller();
    char byte;
    sock_event event;
    connected_pair(pair);
    CHECK(sock_poller_add(poller, pair[1], SOCK_READ, NULL), ==, 0);
    CHECK(shutdown(sock_fd(pair[1]), SHUT_RD), ==, 0);
    CHECK(sock_poller_wait(poller, &event, 1, 10000), ==, 1);
    CHECK(event.ready & SOCK_READ, !=, 0);
    CHECK(sock_read(pair[1], &byte, 1), ==, 0);
    CHECK(sock_poller_wait(poller, &event, 1, 20), ==, 0); /* the end has been reported */
    CHECK(sock_close(poller), ==, 0);
    close_both(pair[0], pair[1]);
}

static void several_threads_receive_at_once(void)
{
    enum { THREADS = 4 };
    sock_t s = bound(), a = bound();
    sock_address to = address_of(s);
    call calls[THREADS];
    char bytes[THREADS];
    memset(calls, 0, sizeof calls);
    for (int i = 0; i < THREADS; i++) {
        calls[i].run = call_recv_from;
        calls[i].socket = s;
        calls[i].buffer = &bytes[i];
        calls[i].size = 1;
        call_start(&calls[i]);
    }
    for (int i = 0; i < THREADS; i++) call_wait_asleep(&calls[i]);
    for (int i = 0; i < THREADS; i++) CHECK(sock_send_to(a, &(char){(char)('a' + i)}, 1, &to), ==, 1);
    int seen = 0;
    for (int i = 0; i < THREADS; i++) {
        CHECK(call_join(&calls[i]), ==, 1);
        seen |= 1 << (bytes[i] - 'a');
    }
    CHECK(seen, ==, (1 << THREADS) - 1);
    close_both(s, a);
}

static void *read_some(void *argument)
{
    sock_t *s = argument;
    char byte;
    int64_t count = 0;
    while (sock_read(*s, &byte, 1) == 1) count++;
    return (void *)(intptr_t)count;
}

static void reading_threads_take_no_turns(void)
{
    enum { THREADS = 4, COUNT = 200 }; /* fewer than the queue holds */
    sock_t pair[2];
    pthread_t threads[THREADS];
    connected_pair(pair);
    for (int i = 0; i < THREADS; i++) threads[i] = start_thread(read_some, &pair[1]);
    /* Each that is asleep at once could be woken by any datagram, and all are ended by a cancel. */
    for (int i = 0; i < COUNT; i++) CHECK(sock_write(pair[0], "x", 1), ==, 1);
    sock_info info = {.size = sizeof info};
    WAIT_UNTIL(sock_get_info(pair[1], &info) == 0 && info.bytes_read == COUNT);
    CHECK(sock_cancel(pair[1]), ==, 0);
    int64_t total = 0;
    for (int i = 0; i < THREADS; i++) total += (intptr_t)join_thread(threads[i]);
    CHECK(total, ==, COUNT);
    close_both(pair[0], pair[1]);
}

/* A call that looks at the queue does not queue behind one that waits there. */
static void trying_to_read_beside_a_waiting_call_does_not_wait(void)
{
    sock_t s = bound();
    char byte;
    call receiver = {.run = call_recv_from, .socket = s, .buffer = &byte, .size = 1};
    call_start(&receiver);
    call_wait_asleep(&receiver);
    CHECK(sock_try_read(s, &byte, 1), ==, SOCK_EAGAIN);
    CHECK(sock_cancel(s), ==, 0);
    CHECK(call_join(&receiver), ==, SOCK_ECANCELED);
    CHECK(sock_close(s), ==, 0);
}

/* A socket whose calls have had to wait so far waits first; its deadlines hold all the same, and what is there is delivered. */
static void a_socket_used_to_waiting_keeps_its_deadlines(void)
{
    sock_t pair[2];
    char byte;
    connected_pair(pair);
    for (int i = 0; i < 5; i++) {
        call read;
        start_reader(&read, pair[1], &byte);
        CHECK(sock_write(pair[0], "x", 1), ==, 1);
        CHECK(call_join(&read), ==, 1);
    }
    CHECK(sock_set_timeout(pair[1], SOCK_READ, 20), ==, 0);
    int64_t began = now_ms();
    CHECK(sock_read(pair[1], &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(now_ms() - began, >=, 20);
    CHECK(sock_set_deadline(pair[1], SOCK_READ, 0), ==, 0);
    CHECK(sock_read(pair[1], &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(sock_write(pair[0], "y", 1), ==, 1);
    CHECK(sock_read(pair[1], &byte, 1), ==, 1);
    CHECK(byte, ==, 'y');
    CHECK(sock_cancel(pair[1]), ==, 0);
    CHECK(sock_read(pair[1], &byte, 1), ==, SOCK_ECANCELED);
    close_both(pair[0], pair[1]);
}

static void a_datagram_of_too_many_parts_is_refused(void)
{
    static struct iovec parts[1025];
    sock_t pair[2];
    char byte = 'x';
    connected_pair(pair);
    for (int i = 0; i < 1025; i++) parts[i] = (struct iovec){.iov_base = &byte, .iov_len = i == 0};
    CHECK(sock_writev(pair[0], parts, 1025), ==, SOCK_EINVAL);
    CHECK(sock_readv(pair[1], parts, 1025), ==, SOCK_EINVAL);
    CHECK(sock_writev(pair[0], parts, 1024), ==, 1);
    CHECK(sock_readv(pair[1], parts, 1024), ==, 1);
    close_both(pair[0], pair[1]);
}

static void the_second_to_bind_is_refused(void)
{
    sock_t a = bound();
    const char *port = port_text(port_of(a));
    CHECK(sock_udp_bind("127.0.0.1", port, NULL), ==, SOCK_EADDRINUSE);
    CHECK(sock_udp_bind("192.0.2.77", "0", NULL), ==, SOCK_EADDRNOTAVAIL);
    CHECK(sock_close(a), ==, 0);
    sock_t one = sock_udp_bind("127.0.0.1", "0", SOCK_OPTIONS(.reuse_port = SOCK_ON));
    sock_t two = sock_udp_bind("127.0.0.1", port_text(port_of(one)), SOCK_OPTIONS(.reuse_port = SOCK_ON));
    CHECK(two, >, 0);
    close_both(one, two);
}

static void a_local_address_chooses_the_family(void)
{
    if (!have_ipv6()) skip("there is no IPv6 here");
    for (int six = 0; six < 2; six++) {
        sock_t s = sock_udp_open(NULL, "9", SOCK_OPTIONS(.local_host = six ? "::1" : "127.0.0.1"));
        CHECK(s, >, 0);
        sock_info info = {.size = sizeof info};
        CHECK(sock_get_info(s, &info), ==, 0);
        CHECK(info.attempts, ==, 1); /* the other family's address was not one to try */
        sock_address peer;
        CHECK(sock_peer_address(s, &peer), ==, 0);
        check_text(&peer, six ? "[::1]:9" : "127.0.0.1:9");
        CHECK(sock_close(s), ==, 0);
    }
    /* What is wrong with the options is reported before the name is looked up. */
    CHECK(sock_udp_open("name.invalid", "9", SOCK_OPTIONS(.local_host = "localhost")), ==, SOCK_EINVAL);
}

static void the_default_host_is_the_loopback(void)
{
    sock_t b = bound();
    sock_t a = sock_udp_open(NULL, port_text(port_of(b)), NULL);
    char text[32], buffer[8];
    CHECK(a, >, 0);
    CHECK(sock_write(a, "x", 1), ==, 1);
    CHECK(sock_read(b, buffer, 8), ==, 1);
    snprintf(text, sizeof text, "127.0.0.1:%d", port_of(b));
    sock_address peer;
    CHECK(sock_peer_address(a, &peer), ==, 0);
    check_text(&peer, text);
    sock_t whole = sock_udp_open(text, NULL, NULL); /* the whole address in one */
    CHECK(whole, >, 0);
    sock_t all = sock_udp_bind(NULL, "0", NULL), named = sock_udp_open("localhost", port_text(port_of(all)), NULL);
    CHECK(named, >, 0);
    CHECK(sock_write(named, "x", 1), ==, 1);
    CHECK(sock_read(all, buffer, 8), ==, 1);
    close_both(all, named);
    CHECK(sock_peer_address(b, &peer), ==, SOCK_ENOTCONN);
    close_both(a, b);
    CHECK(sock_close(whole), ==, 0);
}

static void a_local_port_alone_is_one_of_the_peers_family(void)
{
    for (int six = 0; six < 2; six++) {
        const char *host = six ? "::1" : "127.0.0.1";
        sock_t holder = sock_udp_bind(host, "0", SOCK_OPTIONS(.reuse_address = SOCK_ON)); /* of the port, beside the other */
        if (six && holder < 0) break; /* there is no IPv6 here */
        uint16_t port = port_of(holder);
        sock_t s = sock_udp_open(host, "9", SOCK_OPTIONS(.local_port = port_text(port), .reuse_address = SOCK_ON));
        CHECK(s, >, 0);
        CHECK(port_of(s), ==, port);
        close_both(holder, s);
    }
}

static char folder[FOLDER];

static const char *unix_host(const char *name)
{
    static char hosts[4][128];
    static int next;
    char *host = hosts[next++ % 4];
    if (folder[0] == '\0') make_folder(folder);
    snprintf(host, 128, "unix:%s/%s", folder, name);
    return host;
}

static void unix_datagrams_keep_boundaries_and_names(void)
{
    sock_t server = sock_udp_bind(unix_host("server"), NULL, NULL);
    CHECK(server, >, 0);
    sock_t named = sock_udp_open(unix_host("server"), NULL, SOCK_OPTIONS(.local_host = unix_host("client")));
    sock_t unnamed = sock_udp_open(unix_host("server"), NULL, NULL);
    CHECK(named, >, 0);
    CHECK(unnamed, >, 0);
    char buffer[100];
    sock_address from;
    CHECK(sock_write(named, "one", 3), ==, 3);
    CHECK(sock_write(named, "", 0), ==, 0);
    CHECK(sock_write(unnamed, "three", 5), ==, 5);
    CHECK(sock_recv_from(server, buffer, sizeof buffer, &from), ==, 3);
    check_text(&from, unix_host("client"));
    CHECK(sock_recv_from(server, buffer, sizeof buffer, &from), ==, 0);
    CHECK(sock_send_to(server, "reply", 5, &from), ==, 5);
    CHECK(sock_read(named, buffer, sizeof buffer), ==, 5);
    CHECK(sock_recv_from(server, buffer, sizeof buffer, &from), ==, 5);
    check_text(&from, "unix:");
    CHECK(sock_send_to(server, "x", 1, &from), <, 0);
    /* A batch with segments: the kernel does not cut these, so the library does. */
    sock_datagram out = {.data = "abcdefg", .size = 7, .segment = 3};
    CHECK(sock_send_batch(named, &out, 1), ==, 1);
    CHECK(sock_read(server, buffer, sizeof buffer), ==, 3);
    CHECK(sock_read(server, buffer, sizeof buffer), ==, 3);
    CHECK(sock_read(server, buffer, sizeof buffer), ==, 1);
    CHECK(sock_udp_open(unix_host("server"), NULL, SOCK_OPTIONS(.local_port = "1")), ==, SOCK_EINVAL);
    close_both(named, unnamed);
    CHECK(sock_close(server), ==, 0);
    CHECK(rmdir(folder), ==, 0); /* both paths are gone */
}

static void a_unix_socket_takes_a_batch_into_large_buffers(void)
{
    static char rooms[3][65536];
    sock_t server = sock_udp_bind(unix_host("server"), NULL, NULL), client = sock_udp_open(unix_host("server"), NULL, NULL);
    sock_datagram in[3];
    for (int i = 0; i < 3; i++) in[i] = (sock_datagram){.data = rooms[i], .size = sizeof rooms[i], .segment = 99};
    CHECK(sock_write(client, "one", 3), ==, 3);
    CHECK(sock_write(client, "three", 5), ==, 5);
    CHECK(sock_recv_batch(server, in, 3), ==, 2);
    CHECK(in[0].length, ==, 3);
    CHECK(in[1].length, ==, 5);
    CHECK(in[0].segment, ==, 0);
    close_both(client, server);
    CHECK(rmdir(folder), ==, 0);
}

static void a_unix_receiver_that_is_gone_refuses(void)
{
    sock_t server = sock_udp_bind(unix_host("gone"), NULL, NULL);
    sock_t client = sock_udp_open(unix_host("gone"), NULL, NULL);
    sock_address to = address_of(server);
    CHECK(sock_close(server), ==, 0);
    CHECK(sock_write(client, "x", 1), ==, SOCK_ECONNREFUSED);
    CHECK(sock_write(client, "x", 1), ==, SOCK_ENOTCONN); /* the kernel has parted them */
    sock_t other = sock_udp_bind(unix_host("other"), NULL, NULL);
    CHECK(sock_send_to(other, "x", 1, &to), ==, SOCK_ENOENT);
    CHECK(sock_udp_open(unix_host("gone"), NULL, NULL), ==, SOCK_ENOENT);
    close_both(client, other);
    CHECK(rmdir(folder), ==, 0);
}

static void a_full_unix_queue_makes_the_sender_wait(void)
{
    sock_t server = sock_udp_bind(unix_host("full"), NULL, NULL);
    sock_t connected = sock_udp_open(unix_host("full"), NULL, NULL);
    sock_t free_sender = sock_udp_bind(unix_host("free"), NULL, NULL);
    sock_address to = address_of(server);
    while (sock_try_write(connected, "x", 1) == 1) {}
    CHECK(sock_set_timeout(connected, SOCK_WRITE, 30), ==, 0);
    CHECK(sock_set_timeout(free_sender, SOCK_WRITE, 30), ==, 0);
    int64_t begin = now_ms();
    CHECK(sock_write(connected, "x", 1), ==, SOCK_ETIMEDOUT);
    CHECK(sock_send_to(free_sender, "x", 1, &to), ==, SOCK_ETIMEDOUT);
    CHECK(now_ms() - begin, >=, 58);
    CHECK(sock_set_timeout(free_sender, SOCK_WRITE, 500), ==, 0);
    int64_t before = processor_us();
    CHECK(sock_send_to(free_sender, "x", 1, &to), ==, SOCK_ETIMEDOUT);
    if (!under_memcheck()) CHECK(processor_us() - before, <, 20000); /* poll would say that there is room */
    CHECK(sock_set_timeout(connected, SOCK_WRITE, SOCK_FOREVER), ==, 0);
    CHECK(sock_set_timeout(free_sender, SOCK_WRITE, SOCK_FOREVER), ==, 0);
    call writes[2];
    for (int i = 0; i < 2; i++) {
        writes[i] = (call){.run = call_write, .socket = connected, .buffer = "y", .size = 1};
        call_start(&writes[i]);
        call_wait_asleep(&writes[i]);
    }
    char byte;
    for (int i = 0; i < 4; i++) CHECK(sock_read(server, &byte, 1), ==, 1);
    for (int i = 0; i < 2; i++) CHECK(call_join(&writes[i]), ==, 1);
    while (sock_try_read(server, &byte, 1) == 1) {}
    CHECK(sock_send_to(free_sender, "z", 1, &to), ==, 1);
    close_both(connected, free_sender);
    CHECK(sock_close(server), ==, 0);
    CHECK(rmdir(folder), ==, 0);
}

static void abstract_datagram_sockets_need_no_file(void)
{
    char name[64], text[SOCK_ADDRESS_TEXT];
    snprintf(name, sizeof name, "unix:@sock-datagrams-%d-%lld", (int)getpid(), (long long)now_us());
    sock_t server = sock_udp_bind(name, NULL, NULL);
    CHECK(server, >, 0);
    CHECK(sock_udp_bind(name, NULL, NULL), ==, SOCK_EADDRINUSE);
    sock_t client = sock_udp_open(name, NULL, NULL);
    CHECK(sock_write(client, "x", 1), ==, 1);
    CHECK(sock_read(server, text, sizeof text), ==, 1);
    close_both(client, server);
}

static void *batch_on_a_small_stack(void *argument)
{
    sock_t *pair = argument;
    sock_datagram out = {.data = "abcdef", .size = 6, .segment = 2};
    char *room = malloc(LARGE);
    CHECK(sock_send_batch(pair[0], &out, 1), ==, 1);
    for (size_t got = 0; got < 6;) {
        sock_datagram in = {.data = room, .size = LARGE};
        CHECK(sock_recv_batch(pair[1], &in, 1), ==, 1);
        got += in.length;
    }
    free(room);
    return NULL;
}
static void a_batch_fits_a_thread_of_64_kib(void)
{
    sock_t pair[2];
    connected_pair(pair);
    pthread_attr_t small;
    pthread_t thread;
    pthread_attr_init(&small);
    size_t least = PTHREAD_STACK_MIN; /* 128 KiB on some machines */
    CHECK(pthread_attr_setstacksize(&small, least > 65536 ? least : 65536), ==, 0);
    CHECK(pthread_create(&thread, &small, batch_on_a_small_stack, pair), ==, 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&small);
    close_both(pair[0], pair[1]);
}

static void exchange_on_a_fiber(sock_t connection, void *unused)
{
    (void)unused;
    sock_t pair[2];
    char byte;
    connected_pair(pair);
    CHECK(sock_set_timeout(pair[1], SOCK_READ, 20), ==, 0);
    CHECK(sock_recv_from(pair[1], &byte, 1, NULL), ==, SOCK_ETIMEDOUT);
    CHECK(sock_set_timeout(pair[1], SOCK_READ, 10000), ==, 0);
    batch_on_a_small_stack(pair);
    sock_t queue = sock_udp_bind("127.0.0.1", "0", NULL);
    sock_address to = address_of(queue);
    CHECK(sock_send_to(pair[0], "x", 1, &to), ==, 1);
    CHECK(sock_recv_from(queue, &byte, 1, NULL), ==, 1);
    CHECK(sock_close(queue), ==, 0);
    close_both(pair[0], pair[1]);
    CHECK(sock_write(connection, "done", 4), ==, 4);
}

static void datagrams_work_on_fibers(void)
{
    char answer[4];
    sock_t listener = listen_local();
    uint16_t port = port_of(listener);
    sock_t server = sock_serve(listener, exchange_on_a_fiber, NULL, SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS));
    CHECK(server, >, 0);
    sock_t clients[4];
    for (int i = 0; i < 4; i++) clients[i] = sock_open("127.0.0.1", port_text(port), NULL);
    for (int i = 0; i < 4; i++) {
        CHECK(sock_read_exact(clients[i], answer, 4), ==, 4);
        CHECK(sock_close(clients[i]), ==, 0);
    }
    CHECK(sock_close(server), ==, 0);
}

static const test_case cases[] = {
    CASE(a_datagram_arrives_whole_with_its_sender),
    CASE(a_wildcard_socket_speaks_both_families),
    CASE(an_ipv6_only_socket_refuses_ipv4),
    CASE(addresses_of_the_wrong_family_and_port_are_refused),
    CASE(a_mapped_receiver_is_reached_by_ipv4),
    CASE(wrong_kinds_are_refused),
    CASE(empty_datagrams_are_datagrams),
    CASE(a_longer_datagram_fills_the_buffer_and_says_so),
    CASE(every_reading_call_takes_one_datagram),
    CASE(the_largest_datagram_passes_and_a_larger_one_is_refused),
    CASE(a_connected_socket_hears_only_its_peer),
    CASE(a_refused_datagram_is_told_once_and_the_socket_lives_on),
    CASE(a_refusal_wakes_a_blocked_read),
    CASE(an_unconnected_socket_hears_of_no_refusal),
    CASE(a_batch_that_is_refused_midway_tells_it_afterwards),
    CASE(a_refusal_between_two_entries_is_kept_for_the_next_call),
    CASE(a_batch_stops_before_the_entry_that_fails),
    CASE(batches_larger_than_one_system_call_keep_their_order),
    CASE(a_batch_that_one_system_call_fills_ends_with_it),
    CASE(a_flood_loses_datagrams_but_mixes_none_up),
    CASE(a_segmented_entry_arrives_as_datagrams_of_that_size),
    CASE(large_buffers_get_joined_datagrams_with_their_size),
    CASE(joined_datagrams_never_reach_who_takes_one),
    CASE(what_is_left_of_joined_datagrams_comes_first),
    CASE(what_is_left_of_joined_datagrams_is_not_waited_for),
    CASE(a_small_batch_where_datagrams_are_joined_tells_its_error),
    CASE(only_buffers_for_the_longest_datagram_ask_for_joined_ones),
    CASE(an_adopted_socket_may_join_datagrams_already),
    CASE(what_else_an_owner_asked_for_hides_no_sizes),
    CASE(what_is_left_of_joined_datagrams_is_readable_to_pollers),
    CASE(small_buffers_leave_joining_off),
    CASE(data_of_any_size_is_segmented),
    CASE(broadcast_needs_the_option),
    CASE(every_receiving_call_ends_as_streams_do),
    CASE(an_unconnected_socket_is_not_shut_down),
    CASE(a_shut_down_socket_receives_no_more),
    CASE(who_shares_a_socket_may_shut_it_down),
    CASE(several_threads_receive_at_once),
    CASE(reading_threads_take_no_turns),
    CASE(trying_to_read_beside_a_waiting_call_does_not_wait),
    CASE(a_socket_used_to_waiting_keeps_its_deadlines),
    CASE(a_datagram_of_too_many_parts_is_refused),
    CASE(the_second_to_bind_is_refused),
    CASE(a_local_address_chooses_the_family),
    CASE(the_default_host_is_the_loopback),
    CASE(a_local_port_alone_is_one_of_the_peers_family),
    CASE(unix_datagrams_keep_boundaries_and_names),
    CASE(a_unix_socket_takes_a_batch_into_large_buffers),
    CASE(a_unix_receiver_that_is_gone_refuses),
    CASE(a_full_unix_queue_makes_the_sender_wait),
    CASE(abstract_datagram_sockets_need_no_file),
    CASE(a_batch_fits_a_thread_of_64_kib),
    CASE(datagrams_work_on_fibers),
};
TEST_MAIN(cases)
