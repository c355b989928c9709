/* Opening connections over the loopback: who is reached, what refusals look like, and limits on the whole of it. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "harness.h"

/* A listener whose backlog is full: further connects wait. */
typedef struct full_listener {
    int fd, queued[8];
    uint16_t port;
} full_listener;

static full_listener fill_backlog(void)
{
    full_listener f;
    f.fd = raw_listen_backlog(&f.port, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(f.port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < sizeof f.queued / sizeof *f.queued; i++) {
        f.queued[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK(connect(f.queued[i], (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS, ==, true);
    }
    return f;
}

static void release_backlog(full_listener *f)
{
    for (size_t i = 0; i < sizeof f->queued / sizeof *f->queued; i++) raw_close(f->queued[i]);
    raw_close(f->fd);
}

static void the_addresses_of_both_sides_agree(void)
{
    sock_t pair[2];
    sock_address local, peer;
    tcp_pair(pair);
    for (int side = 0; side < 2; side++) {
        CHECK(sock_local_address(pair[side], &local), ==, 0);
        CHECK(sock_peer_address(pair[1 - side], &peer), ==, 0);
        CHECK(sock_address_equal(&local, &peer), ==, 1);
    }
    close_pair(pair);
}

/* Linux connects a socket that asks for the unspecified address to this machine. */
static void the_peer_at_the_unspecified_address_is_told_as_what_it_is(void)
{
    if (!have_ipv6()) skip("there is no IPv6 here");
    static const char *const hosts[] = { "0.0.0.0", "::", "::ffff:0.0.0.0" };
    sock_t listener = sock_listen(NULL, "0", NULL);
    const char *port = port_text(port_of(listener));
    sock_address local, peer;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        context("%s", hosts[i]);
        sock_t client = sock_open(hosts[i], port, NULL), accepted = sock_accept(listener);
        CHECK(client, >, 0);
        CHECK(sock_peer_address(client, &peer), ==, 0);
        CHECK(sock_local_address(accepted, &local), ==, 0);
        CHECK(sock_address_equal(&peer, &local), ==, 1);
        CHECK(sock_close(client), ==, 0);
        CHECK(sock_close(accepted), ==, 0);

        sock_t datagrams = sock_udp_open(hosts[i], port, NULL);
        CHECK(sock_peer_address(datagrams, &peer), ==, 0);
        CHECK(sock_address_equal(&peer, &local), ==, 1);
        CHECK(sock_close(datagrams), ==, 0);
    }
    CHECK(sock_close(listener), ==, 0);
}

static void no_host_means_the_loopback(void)
{
    uint16_t port;
    int listener = raw_listen(&port);
    sock_t s = sock_open(NULL, port_text(port), NULL);
    CHECK(s, >, 0);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void localhost_is_found_by_name(void)
{
    uint16_t port;
    int listener = raw_listen(&port);
    sock_t s = sock_open("localhost", port_text(port), SOCK_OPTIONS(.timeout_ms = 10000));
    CHECK(s, >, 0);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void a_closed_port_refuses_at_once(void)
{
    uint16_t port;
    int reserved = raw_reserve(&port);
    char expected[64];
    snprintf(expected, sizeof expected, "127.0.0.1:%u", (unsigned)port);
    int64_t took[5];
    for (int i = 0; i < 5; i++) {
        stopwatch watch = start_watch();
        CHECK(sock_open("127.0.0.1", port_text(port), NULL), ==, SOCK_ECONNREFUSED);
        took[i] = watch_us(&watch);
    }
    CHECK(sock_last_errno(), ==, ECONNREFUSED);
    CHECK(strstr(sock_last_error(), expected) != NULL, ==, true);
    CHECK(strstr(sock_last_error(), "refused") != NULL, ==, true);
    if (!under_memcheck()) CHECK(median(took, 5), <, 50000);
    raw_close(reserved);
}

static void the_timeout_covers_the_whole_open(void)
{
    full_listener f = fill_backlog();
    int64_t began = now_us();
    CHECK(sock_open("127.0.0.1", port_text(f.port), SOCK_OPTIONS(.timeout_ms = 200)), ==, SOCK_ETIMEDOUT);
    int64_t took = now_us() - began;
    CHECK(took, >=, 200000);
    CHECK(took, <, 5000000);
    CHECK(strstr(sock_last_error(), "timed out") != NULL, ==, true);
    CHECK(strstr(sock_last_error(), "127.0.0.1") != NULL, ==, true);
    release_backlog(&f);
}

static void on_signal(int number) { (void)number; }

/* A connect that a signal interrupts is finished, not begun again. */
static void signals_do_not_disturb_connecting(void)
{
    struct sigaction action = { .sa_handler = on_signal };
    CHECK(sigaction(SIGALRM, &action, NULL), ==, 0);
    struct itimerval storm = { { 0, 200 }, { 0, 200 } }, calm = { { 0, 0 }, { 0, 0 } };
    sock_t listener = listen_local();
    CHECK(setitimer(ITIMER_REAL, &storm, NULL), ==, 0);
    for (int i = 0; i < rounds(300); i++) {
        sock_t client = open_local(listener), accepted = sock_accept(listener);
        CHECK(accepted, >, 0);
        CHECK(sock_write(client, "x", 1), ==, 1);
        CHECK(sock_close(client), ==, 0);
        CHECK(sock_close(accepted), ==, 0);
    }
    CHECK(setitimer(ITIMER_REAL, &calm, NULL), ==, 0);
    CHECK(sock_try_accept(listener), ==, SOCK_EAGAIN);
    CHECK(sock_close(listener), ==, 0);
}

static void signals_do_not_lengthen_a_connect(void)
{
    struct sigaction action = { .sa_handler = on_signal };
    CHECK(sigaction(SIGALRM, &action, NULL), ==, 0);
    struct itimerval storm = { { 0, 1000 }, { 0, 1000 } }, calm = { { 0, 0 }, { 0, 0 } };
    full_listener f = fill_backlog();
    CHECK(setitimer(ITIMER_REAL, &storm, NULL), ==, 0);
    int64_t began = now_us();
    CHECK(sock_open("127.0.0.1", port_text(f.port), SOCK_OPTIONS(.timeout_ms = 200)), ==, SOCK_ETIMEDOUT);
    int64_t took = now_us() - began;
    CHECK(setitimer(ITIMER_REAL, &calm, NULL), ==, 0);
    CHECK(took, >=, 200000);
    CHECK(took, <, 5000000);
    release_backlog(&f);
}

static void the_local_end_can_be_chosen(void)
{
    sock_t listener = sock_listen(NULL, "0", NULL);
    const char *port = port_text(port_of(listener));
    sock_address address;
    char text[SOCK_ADDRESS_TEXT];
    sock_t s = sock_open("127.0.0.1", port, SOCK_OPTIONS(.local_host = "127.0.0.7"));
    CHECK(s, >, 0);
    CHECK(sock_local_address(s, &address), ==, 0);
    CHECK(sock_address_format(&address, text, sizeof text), >, 0);
    CHECK(strncmp(text, "127.0.0.7:", 10), ==, 0);
    CHECK(sock_close(s), ==, 0);

    s = sock_open("127.0.0.1", port, SOCK_OPTIONS(.local_host = "127.0.0.7", .family = SOCK_IPV4)); /* says the same twice */
    CHECK(s, >, 0);
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_open("127.0.0.1", port, SOCK_OPTIONS(.local_host = "127.0.0.7", .family = SOCK_IPV6)), ==, SOCK_EINVAL);

    /* The port alone: another process may be faster to take the one that was just given back. */
    uint16_t free_port;
    int tries = 0;
    do {
        raw_close(raw_reserve(&free_port));
        s = sock_open("127.0.0.1", port, SOCK_OPTIONS(.local_port = port_text(free_port)));
    } while (s == SOCK_EADDRINUSE && ++tries < 20);
    CHECK(s, >, 0);
    CHECK(port_of(s), ==, free_port);
    CHECK(sock_abort(s), ==, 0);

    CHECK(sock_open("127.0.0.1", port, SOCK_OPTIONS(.local_host = "192.0.2.1")), ==, SOCK_EADDRNOTAVAIL);
    CHECK(sock_close(listener), ==, 0);
}

/* As addresses are written elsewhere. */
static void the_local_end_can_be_one_text(void)
{
    uint16_t free_port;
    sock_t listener = sock_listen(NULL, "0", NULL);
    const char *port = port_text(port_of(listener));
    char text[SOCK_ADDRESS_TEXT], host[64];
    sock_address address;
    sock_t s;
    snprintf(host, sizeof host, "%s", own_loopback());
    raw_close(raw_reserve(&free_port)); /* nobody else's at our own address */
    snprintf(text, sizeof text, "%s:%d", host, free_port);
    s = sock_open("127.0.0.1", port, SOCK_OPTIONS(.local_host = text));
    CHECK(s, >, 0);
    char is[SOCK_ADDRESS_TEXT];
    CHECK(sock_local_address(s, &address), ==, 0);
    CHECK(sock_address_format(&address, is, sizeof is), >, 0);
    CHECK(strcmp(is, text), ==, 0);
    CHECK(sock_abort(s), ==, 0);
    CHECK(sock_open("127.0.0.1", port, SOCK_OPTIONS(.local_host = text, .local_port = "0")), ==, SOCK_EINVAL);
    CHECK(sock_open("127.0.0.1", port, SOCK_OPTIONS(.local_host = "127.0.0.1:65536")), ==, SOCK_EINVAL);
    CHECK(sock_close(listener), ==, 0);
}

/* As long as the peers are different. */
static void several_connections_can_share_a_local_port(void)
{
    const char *host = own_loopback();
    sock_t first = listen_local(), second = listen_local();
    sock_t one = sock_open("127.0.0.1", port_text(port_of(first)), SOCK_OPTIONS(.local_host = host));
    CHECK(one, >, 0);
    char port[8];
    snprintf(port, sizeof port, "%d", port_of(one));
    CHECK(sock_abort(one), ==, 0); /* the port is free, and nobody else's */
    one = sock_open("127.0.0.1", port_text(port_of(first)), SOCK_OPTIONS(.local_host = host, .local_port = port));
    CHECK(one, >, 0);
    sock_t two = sock_open("127.0.0.1", port_text(port_of(second)), SOCK_OPTIONS(.local_host = host, .local_port = port));
    CHECK(two, >, 0);
    CHECK(port_of(one), ==, port_of(two));
    CHECK(sock_abort(one), ==, 0);
    CHECK(sock_abort(two), ==, 0);
    CHECK(sock_close(first), ==, 0);
    CHECK(sock_close(second), ==, 0);
}

static void a_wanted_family_is_the_only_one_tried(void)
{
    uint16_t port;
    int listener = raw_listen(&port);
    CHECK(sock_open("127.0.0.1", port_text(port), SOCK_OPTIONS(.family = SOCK_IPV6)), <, 0);
    sock_t s = sock_open("127.0.0.1", port_text(port), SOCK_OPTIONS(.family = SOCK_IPV4));
    CHECK(s, >, 0);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void a_mapped_literal_is_an_address_of_ipv4(void)
{
    sock_t listener = sock_listen("127.0.0.1", "0", NULL), datagrams = sock_udp_bind("127.0.0.1", "0", NULL);
    const char *port = port_text(port_of(listener)), *host = "::ffff:127.0.0.1";
    sock_t (*const makers[])(const char *, const char *, const sock_options *) = { sock_open, sock_udp_open };
    const int families[] = { SOCK_ANY, SOCK_IPV4 };
    sock_address plain, found;
    CHECK(sock_address_parse("127.0.0.1", port, &plain), ==, 0);
    for (int f = 0; f < 2; f++) {
        context("family %d", families[f]);
        CHECK(sock_resolve(host, port, SOCK_OPTIONS(.family = families[f]), &found, 1), ==, 1);
        CHECK(sock_address_equal(&found, &plain), ==, 1);
        for (int i = 0; i < 2; i++) {
            const char *to = i == 0 ? port : port_text(port_of(datagrams));
            sock_t s = makers[i](host, to, SOCK_OPTIONS(.family = families[f], .local_host = "::ffff:127.0.0.7"));
            CHECK(s, >, 0);
            sock_info info = { .size = sizeof info };
            CHECK(sock_get_info(s, &info), ==, 0);
            CHECK(info.family, ==, SOCK_IPV4);
            CHECK(sock_close(s), ==, 0);
        }
    }
    context("SOCK_IPV6");
    CHECK(sock_resolve(host, port, SOCK_OPTIONS(.family = SOCK_IPV6), &found, 1), ==, SOCK_ENOHOST);
    for (int i = 0; i < 2; i++) CHECK(makers[i](host, port, SOCK_OPTIONS(.family = SOCK_IPV6)), ==, SOCK_ENOHOST);
    CHECK(sock_close(datagrams), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void nodelay_is_on_unless_switched_off(void)
{
    uint16_t port;
    int listener = raw_listen(&port), switches[] = { SOCK_DEFAULT, SOCK_ON, SOCK_OFF };
    for (int i = 0; i < 3; i++) {
        int value = -1;
        socklen_t length = sizeof value;
        sock_t s = sock_open("127.0.0.1", port_text(port), SOCK_OPTIONS(.nodelay = switches[i]));
        CHECK(s, >, 0);
        CHECK(getsockopt(sock_fd(s), IPPROTO_TCP, TCP_NODELAY, &value, &length), ==, 0);
        CHECK(!!value, ==, switches[i] != SOCK_OFF);
        CHECK(sock_close(s), ==, 0);
    }
    raw_close(listener);
}

static void keepalive_is_rounded_up_to_whole_seconds(void)
{
    uint16_t port;
    int listener = raw_listen(&port), idle = 0, interval = 0;
    socklen_t length = sizeof idle;
    sock_t s = sock_open("127.0.0.1", port_text(port), SOCK_OPTIONS(.keepalive_ms = 7001));
    CHECK(s, >, 0);
    CHECK(getsockopt(sock_fd(s), IPPROTO_TCP, TCP_KEEPIDLE, &idle, &length), ==, 0);
    CHECK(getsockopt(sock_fd(s), IPPROTO_TCP, TCP_KEEPINTVL, &interval, &length), ==, 0);
    CHECK(idle, ==, 8);
    CHECK(interval, ==, 3); /* a third of it */
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void the_io_timeout_is_the_first_timeout_of_the_handle(void)
{
    uint16_t port;
    char byte;
    int listener = raw_listen(&port);
    sock_t s = sock_open("127.0.0.1", port_text(port), SOCK_OPTIONS(.timeout_ms = 10000, .io_timeout_ms = 50));
    int64_t began = now_us();
    CHECK(sock_read(s, &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(now_us() - began, >=, 50000);
    CHECK(now_us() - began, <, 9000000);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

/* Without a listener, a connect to a port of the ephemeral range may by chance meet itself; that is nobody's connection. */
static void a_connection_to_itself_is_never_returned(void)
{
    const char *host = own_loopback();
    sock_t listener = sock_listen(host, "0", NULL);
    uint16_t port = port_of(listener);
    CHECK(sock_close(listener), ==, 0);
    for (int i = 0; i < rounds(200); i++) {
        int64_t s = sock_open(host, port_text(port), SOCK_OPTIONS(.local_port = port_text(port), .local_host = host));
        CHECK(s == SOCK_ECONNREFUSED || s == SOCK_EADDRINUSE || s == SOCK_EADDRNOTAVAIL, ==, true);
    }
}

typedef struct dialing {
    uint16_t port;
    atomic_bool closed;
    _Atomic int opened, failed;
} dialing;

static void *dial(void *argument)
{
    dialing *d = argument;
    for (int after_the_end = 0; after_the_end < rounds(100); after_the_end += atomic_load(&d->closed)) {
        int64_t s = sock_open("127.0.0.1", port_text(d->port), SOCK_OPTIONS(.timeout_ms = 50));
        if (s > 0) {
            int64_t sent = sock_write(s, "x", 1);
            CHECK(sent == 1 || sent == SOCK_ECONNRESET || sent == SOCK_EPIPE, ==, true);
            CHECK(sock_close(s), ==, 0);
            atomic_fetch_add(&d->opened, 1);
        } else {
            CHECK(s == SOCK_ECONNREFUSED || s == SOCK_ECONNRESET || s == SOCK_ETIMEDOUT, ==, true);
            atomic_fetch_add(&d->failed, 1);
        }
    }
    return NULL;
}

static void a_listener_may_close_while_clients_connect(void)
{
    enum { DIALERS = 5 };
    sock_t listener = listen_local();
    dialing d = { .port = port_of(listener) };
    pthread_t dialers[DIALERS];
    for (int i = 0; i < DIALERS; i++) dialers[i] = start_thread(dial, &d);
    WAIT_UNTIL(atomic_load(&d.opened) > 20);
    CHECK(sock_close(listener), ==, 0);
    atomic_store(&d.closed, true);
    for (int i = 0; i < DIALERS; i++) join_thread(dialers[i]);
    CHECK(atomic_load(&d.failed), >, 0);
}

static void what_cannot_be_reached_is_told(void)
{
    int64_t s = sock_open("224.0.0.1", "9", SOCK_OPTIONS(.timeout_ms = 500)); /* no stream to a group */
    CHECK(s == SOCK_EUNREACH || s == SOCK_EINVAL || s == SOCK_EADDRNOTAVAIL || s == SOCK_EACCES, ==, true);
    s = sock_open("255.255.255.255", "9", SOCK_OPTIONS(.timeout_ms = 500));
    CHECK(s == SOCK_EUNREACH || s == SOCK_EACCES || s == SOCK_EINVAL, ==, true);
}

static void a_negative_timeout_means_forever(void)
{
    uint16_t port;
    int listener = raw_listen(&port);
    int64_t timeouts[] = { SOCK_FOREVER, 0, INT64_MAX, INT64_MAX / 1000 };
    for (int i = 0; i < 4; i++) {
        sock_t s = sock_open("127.0.0.1", port_text(port), SOCK_OPTIONS(.timeout_ms = timeouts[i]));
        CHECK(s, >, 0);
        CHECK(sock_close(s), ==, 0);
    }
    raw_close(listener);
}

static const test_case cases[] = {
    CASE(the_addresses_of_both_sides_agree),
    CASE(the_peer_at_the_unspecified_address_is_told_as_what_it_is),
    CASE(no_host_means_the_loopback),
    CASE(localhost_is_found_by_name),
    CASE(a_closed_port_refuses_at_once),
    CASE(the_timeout_covers_the_whole_open),
    CASE(signals_do_not_disturb_connecting),
    CASE(signals_do_not_lengthen_a_connect),
    CASE(the_local_end_can_be_chosen),
    CASE(the_local_end_can_be_one_text),
    CASE(several_connections_can_share_a_local_port),
    CASE(a_wanted_family_is_the_only_one_tried),
    CASE(a_mapped_literal_is_an_address_of_ipv4),
    CASE(nodelay_is_on_unless_switched_off),
    CASE(keepalive_is_rounded_up_to_whole_seconds),
    CASE(the_io_timeout_is_the_first_timeout_of_the_handle),
    CASE(a_connection_to_itself_is_never_returned),
    CASE(a_listener_may_close_while_clients_connect),
    CASE(what_cannot_be_reached_is_told),
    CASE(a_negative_timeout_means_forever),
};
TEST_MAIN(cases)
