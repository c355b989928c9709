/* Listening and accepting. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "harness.h"

static int option_of(sock_t s, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    CHECK(getsockopt(sock_fd(s), level, name, &value, &length), ==, 0);
    return value;
}

static void text_of(int (*which)(sock_t, sock_address *), sock_t s, char text[SOCK_ADDRESS_TEXT])
{
    sock_address address;
    CHECK(which(s, &address), ==, 0);
    CHECK(sock_address_format(&address, text, SOCK_ADDRESS_TEXT), ==, strlen(text));
}

static void an_address_in_use_is_refused(void)
{
    sock_t listener = listen_local();
    const char *port = port_text(port_of(listener));
    int descriptors = open_descriptors();
    CHECK(sock_listen("127.0.0.1", port, NULL), ==, SOCK_EADDRINUSE);
    CHECK(strstr(sock_last_error(), port) != NULL, ==, true);
    CHECK(sock_last_errno(), ==, EADDRINUSE);
    CHECK(open_descriptors(), ==, descriptors);
    CHECK(sock_close(listener), ==, 0);
}

/* The side that closes first keeps its port in TIME_WAIT; a server can still restart. */
static void a_port_can_be_listened_on_again_at_once(void)
{
    const char *host = own_loopback();
    sock_t listener = sock_listen(host, "0", NULL);
    uint16_t port = port_of(listener);
    for (int i = 0; i < 20; i++) {
        sock_t client = sock_open(host, port_text(port), NULL), accepted = sock_accept(listener);
        char byte;
        CHECK(client, >, 0);
        CHECK(sock_close(accepted), ==, 0);
        CHECK(sock_read(client, &byte, 1), ==, 0);
        CHECK(sock_close(client), ==, 0);
        CHECK(sock_close(listener), ==, 0);
        listener = sock_listen(host, port_text(port), NULL);
        CHECK(listener, >, 0);
    }
    CHECK(sock_close(listener), ==, 0);
}

static void an_address_of_no_interface_is_refused(void)
{
    CHECK(sock_listen("192.0.2.1", "0", NULL), ==, SOCK_EADDRNOTAVAIL);
    CHECK(strstr(sock_last_error(), "192.0.2.1") != NULL, ==, true);
    CHECK(sock_listen("fe80::1%2147483647", "0", NULL), ==, SOCK_EADDRNOTAVAIL); /* and there is no such interface */
}

static void a_link_local_address_needs_its_scope(void)
{
    static sock_t (*const makers[])(const char *, const char *, const sock_options *) = { sock_listen, sock_udp_bind, sock_udp_open };
    if (!have_ipv6()) skip("there is no IPv6 here");
    for (int i = 0; i < 3; i++) {
        CHECK(makers[i]("fe80::1", "9", NULL), ==, SOCK_EINVAL);
        CHECK(strstr(sock_last_error(), "%scope") != NULL, ==, true);
    }
}

static void a_privileged_port_needs_the_privilege(void)
{
    if (geteuid() != 0) skip("only root can give up being root");
    pid_t child = fork_child();
    if (child == 0) {
        if (setresuid(65534, 65534, 65534) != 0) _exit(2);
        sock_t listener = sock_listen("127.0.0.1", "1", NULL);
        _exit(listener == SOCK_EACCES ? 0 : listener > 0 ? 3 : 1);
    }
    int status = child_status(child);
    if (status == 3) skip("port 1 is free for everybody here");
    CHECK(status, ==, 0);
}

static void no_host_means_every_address_of_both_families(void)
{
    if (!have_ipv6()) skip("there is no IPv6 here");
    sock_t listener = sock_listen(NULL, "0", NULL);
    CHECK(listener, >, 0);
    const char *port = port_text(port_of(listener)), *hosts[] = { "127.0.0.1", "::1", "127.0.0.5" };
    char text[SOCK_ADDRESS_TEXT], expected[SOCK_ADDRESS_TEXT], own[SOCK_ADDRESS_TEXT];
    snprintf(expected, sizeof expected, "[::]:%s", port);
    text_of(sock_local_address, listener, text);
    CHECK(strcmp(text, expected), ==, 0);
    for (int i = 0; i < 3; i++) {
        context("%s", hosts[i]);
        sock_t client = sock_open(hosts[i], port, NULL), accepted = sock_accept(listener);
        CHECK(client, >, 0);
        CHECK(accepted, >, 0);
        /* An IPv4 peer is reported as IPv4, not as IPv6 in disguise. */
        text_of(sock_local_address, client, own);
        text_of(sock_peer_address, accepted, text);
        CHECK(strcmp(text, own), ==, 0);
        text_of(sock_peer_address, client, own);
        text_of(sock_local_address, accepted, text);
        CHECK(strcmp(text, own), ==, 0);
        CHECK(sock_close(client), ==, 0);
        CHECK(sock_close(accepted), ==, 0);
    }
    context(NULL);
    CHECK(sock_listen("0.0.0.0", port, NULL), ==, SOCK_EADDRINUSE);
    CHECK(sock_close(listener), ==, 0);
}

/* As to connect to: open.c. */
static void a_mapped_address_is_listened_on_as_ipv4(void)
{
    sock_t (*const makers[])(const char *, const char *, const sock_options *) = { sock_listen, sock_udp_bind };
    for (int i = 0; i < 2; i++) {
        context("maker %d", i);
        sock_address address;
        char text[SOCK_ADDRESS_TEXT];
        sock_t s = makers[i]("::ffff:127.0.0.1", "0", NULL);
        CHECK(s, >, 0);
        CHECK(sock_local_address(s, &address), ==, 0);
        CHECK(sock_address_format(&address, text, sizeof text), >, 0);
        CHECK(strncmp(text, "127.0.0.1:", 10), ==, 0);
        CHECK(sock_close(s), ==, 0);
        CHECK(makers[i]("::ffff:127.0.0.1", "0", SOCK_OPTIONS(.family = SOCK_IPV6)), ==, SOCK_ENOHOST);
    }
}

static void v6_only_leaves_the_port_to_ipv4(void)
{
    if (!have_ipv6()) skip("there is no IPv6 here");
    sock_t v6, v4;
    const char *port;
    for (int tries = 0;; tries++) {
        v6 = sock_listen("::", "0", SOCK_OPTIONS(.v6_only = SOCK_ON));
        CHECK(v6, >, 0);
        port = port_text(port_of(v6));
        v4 = sock_listen("0.0.0.0", port, NULL);
        if (v4 != SOCK_EADDRINUSE || tries == 20) break; /* another process may have the port for IPv4 */
        CHECK(sock_close(v6), ==, 0);
    }
    CHECK(v4, >, 0);
    sock_t client = sock_open("127.0.0.1", port, NULL), accepted = sock_accept(v4);
    CHECK(client, >, 0);
    CHECK(accepted, >, 0);
    CHECK(sock_try_accept(v6), ==, SOCK_EAGAIN);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(v4), ==, 0);
    CHECK(sock_close(v6), ==, 0);
}

/* One socket for both families is not one for IPv4 because somebody has the port in IPv6. */
static void a_wildcard_port_that_is_taken_in_ipv6_is_taken(void)
{
    if (!have_ipv6()) skip("there is no IPv6 here");
    static sock_t (*const makers[])(const char *, const char *, const sock_options *) = { sock_listen, sock_udp_bind };
    for (int i = 0; i < 2; i++) {
        sock_t holder = makers[i]("::1", "0", NULL);
        CHECK(makers[i](NULL, port_text(port_of(holder)), NULL), ==, SOCK_EADDRINUSE);
        CHECK(sock_close(holder), ==, 0);
    }
}

static void a_family_chooses_the_wildcard(void)
{
    if (!have_ipv6()) skip("there is no IPv6 here");
    sock_t v6 = sock_listen(NULL, "0", SOCK_OPTIONS(.family = SOCK_IPV6)), v4 = sock_listen(NULL, "0", SOCK_OPTIONS(.family = SOCK_IPV4));
    CHECK(v6, >, 0);
    CHECK(v4, >, 0);
    CHECK(sock_open("127.0.0.1", port_text(port_of(v6)), NULL), ==, SOCK_ECONNREFUSED);
    CHECK(sock_open("::1", port_text(port_of(v4)), NULL), ==, SOCK_ECONNREFUSED);
    CHECK(sock_close(sock_open("::1", port_text(port_of(v6)), NULL)), ==, 0);
    CHECK(sock_close(sock_open("127.0.0.1", port_text(port_of(v4)), NULL)), ==, 0);
    CHECK(sock_close(v6), ==, 0);
    CHECK(sock_close(v4), ==, 0);
}

static void a_listener_may_be_of_multipath_tcp_and_take_fast_opens(void)
{
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
    sock_t listener = sock_listen("127.0.0.1", "0", SOCK_OPTIONS(.multipath = SOCK_ON));
    CHECK(listener, >, 0);
    CHECK(option_of(listener, SOL_SOCKET, SO_PROTOCOL), ==, probe >= 0 ? IPPROTO_MPTCP : IPPROTO_TCP);
    if (probe >= 0) raw_close(probe);
    sock_t client = open_local(listener), accepted = sock_accept(listener);
    CHECK(accepted, >, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);

    /* Multipath TCP lacks an option of TCP: then the connections have the option, and one path. */
    listener = sock_listen("127.0.0.1", "0", SOCK_OPTIONS(.multipath = SOCK_ON, .user_timeout_ms = 7000));
    CHECK(listener, >, 0);
    client = open_local(listener), accepted = sock_accept(listener);
    CHECK(sock_get_option(accepted, SOCK_OPT_USER_TIMEOUT_MS), ==, 7000);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);

    listener = sock_listen("127.0.0.1", "0", SOCK_OPTIONS(.fast_open = SOCK_ON));
    CHECK(listener, >, 0);
    CHECK(option_of(listener, IPPROTO_TCP, TCP_FASTOPEN), >, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void the_whole_address_may_be_one_text(void)
{
    sock_t listener = sock_listen("127.0.0.1:0", NULL, NULL);
    CHECK(listener, >, 0);
    char text[SOCK_ADDRESS_TEXT];
    text_of(sock_local_address, listener, text);
    CHECK(strncmp(text, "127.0.0.1:", 10), ==, 0);
    sock_t client = sock_open(text, NULL, NULL);
    CHECK(client, >, 0);
    sock_t accepted = sock_accept(listener);
    CHECK(accepted, >, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);

    listener = sock_listen(":0", NULL, NULL);
    CHECK(listener, >, 0);
    snprintf(text, sizeof text, ":%s", port_text(port_of(listener)));
    client = sock_open(text, NULL, NULL); /* no host: the loopback */
    CHECK(client, >, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void try_accept_does_not_wait(void)
{
    sock_t listener = listen_local(), accepted;
    CHECK(sock_try_accept(listener), ==, SOCK_EAGAIN);
    sock_t client = open_local(listener);
    WAIT_UNTIL((accepted = sock_try_accept(listener)) != SOCK_EAGAIN);
    CHECK(accepted, >, 0);
    CHECK(sock_try_accept(listener), ==, SOCK_EAGAIN);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void accepted_handles_inherit_what_is_promised(void)
{
    sock_t listener = sock_listen("127.0.0.1", "0",
                                  SOCK_OPTIONS(.io_timeout_ms = 40, .nodelay = SOCK_OFF, .keepalive_ms = 9000, .user_timeout_ms = 7000));
    CHECK(listener, >, 0);
    CHECK(sock_set_deadline(listener, SOCK_READ, 10000), ==, 0); /* the listener's own */
    sock_t client = open_local(listener), accepted = sock_accept(listener);
    CHECK(accepted, >, 0);
    CHECK(option_of(accepted, IPPROTO_TCP, TCP_NODELAY), ==, 0);
    CHECK(option_of(accepted, SOL_SOCKET, SO_KEEPALIVE), ==, 1);
    CHECK(option_of(accepted, IPPROTO_TCP, TCP_KEEPIDLE), ==, 9);
    CHECK(option_of(accepted, IPPROTO_TCP, TCP_USER_TIMEOUT), ==, 7000);
    char byte;
    int64_t began = now_us();
    CHECK(sock_read(accepted, &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(now_us() - began, >=, 40000);
    CHECK(now_us() - began, <, 9000000);
    CHECK(sock_set_timeout(accepted, SOCK_READ | SOCK_WRITE, SOCK_FOREVER), ==, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

/* Also if the listener got it only later. */
static void accepted_handles_inherit_what_is_set_on_the_listener(void)
{
    sock_t listener = sock_listen("127.0.0.1", "0", SOCK_OPTIONS(.spin_us = 3));
    CHECK(listener, >, 0);
    sock_t client = open_local(listener), before = sock_accept(listener);
    CHECK(sock_get_option(before, SOCK_OPT_SPIN_US), ==, 3);
    CHECK(sock_set_option(listener, SOCK_OPT_SPIN_US, 5), ==, 0);
    CHECK(sock_set_option(listener, SOCK_OPT_NODELAY, 0), ==, 0);
    CHECK(sock_set_option(listener, SOCK_OPT_KEEPALIVE_MS, 9000), ==, 0);
    CHECK(sock_set_option(listener, SOCK_OPT_USER_TIMEOUT_MS, 7000), ==, 0);
    sock_t later = open_local(listener), accepted = sock_accept(listener);
    CHECK(sock_get_option(accepted, SOCK_OPT_SPIN_US), ==, 5);
    CHECK(sock_get_option(accepted, SOCK_OPT_NODELAY), ==, 0);
    CHECK(sock_get_option(accepted, SOCK_OPT_KEEPALIVE_MS), ==, 9000);
    CHECK(sock_get_option(accepted, SOCK_OPT_USER_TIMEOUT_MS), ==, 7000);
    CHECK(sock_get_option(before, SOCK_OPT_SPIN_US), ==, 3);
    sock_t handles[] = { client, before, later, accepted, listener };
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++) CHECK(sock_close(handles[i]), ==, 0);
}

static void accepted_handles_inherit_nothing_else(void)
{
    sock_t listener = listen_local();
    CHECK(sock_set_timeout(listener, SOCK_READ, 100), ==, 0);
    sock_t client = open_local(listener), accepted = sock_accept(listener);
    CHECK(accepted, >, 0);
    CHECK(sock_set_deadline(listener, SOCK_READ, 0), ==, 0);
    CHECK(fcntl(sock_fd(accepted), F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    CHECK(option_of(accepted, IPPROTO_TCP, TCP_NODELAY), ==, 1);
    CHECK(option_of(accepted, SOL_SOCKET, SO_KEEPALIVE), ==, 0);
    char byte;
    call reader = { .run = call_read, .socket = accepted, .buffer = &byte, .size = 1 };
    call_start(&reader);
    sleep_ms(150); /* past the listener's timeout, which is not this handle's */
    call_wait_asleep(&reader);
    CHECK(sock_write(client, "x", 1), ==, 1);
    CHECK(call_join(&reader), ==, 1);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void an_accept_timeout_leaves_the_listener_good(void)
{
    sock_t listener = sock_listen("127.0.0.1", "0", SOCK_OPTIONS(.io_timeout_ms = 20));
    for (int i = 0; i < 3; i++) CHECK(sock_accept(listener), ==, SOCK_ETIMEDOUT);
    sock_t client = open_local(listener);
    sock_t accepted;
    WAIT_UNTIL((accepted = sock_accept(listener)) != SOCK_ETIMEDOUT);
    CHECK(accepted, >, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

typedef struct acceptor {
    sock_t listener;
    _Atomic int64_t *accepted;
} acceptor;

static void *accept_until_closed(void *argument)
{
    acceptor *a = argument;
    sock_t s;
    while ((s = sock_accept(a->listener)) > 0) {
        CHECK(sock_close(s), ==, 0);
        atomic_fetch_add(a->accepted, 1);
    }
    CHECK(s == SOCK_ECLOSED || s == SOCK_EHANDLE, ==, true); /* the latter if it was on its way to the next accept */
    return NULL;
}

static void each_client_is_accepted_once_by_one_of_many(void)
{
    enum { THREADS = 8, CLIENTS = 200 };
    _Atomic int64_t accepted = 0;
    acceptor a = { listen_local(), &accepted };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = start_thread(accept_until_closed, &a);
    for (int i = 0; i < CLIENTS; i++) {
        sock_t client = open_local(a.listener);
        char byte;
        CHECK(sock_read(client, &byte, 1), ==, 0);
        CHECK(sock_close(client), ==, 0);
    }
    WAIT_UNTIL(atomic_load(&accepted) == CLIENTS);
    CHECK(sock_close(a.listener), ==, 0);
    for (int i = 0; i < THREADS; i++) join_thread(threads[i]);
    CHECK(atomic_load(&accepted), ==, CLIENTS);
}

static void closing_a_listener_frees_the_port_and_its_queue(void)
{
    enum { QUEUED = 5 };
    const char *host = own_loopback();
    sock_t listener = sock_listen(host, "0", NULL), clients[QUEUED];
    uint16_t port = port_of(listener);
    for (int i = 0; i < QUEUED; i++) {
        clients[i] = sock_open(host, port_text(port), NULL);
        CHECK(clients[i], >, 0);
    }
    CHECK(sock_close(listener), ==, 0);
    for (int i = 0; i < QUEUED; i++) {
        char byte;
        int64_t end = sock_read(clients[i], &byte, 1);
        CHECK(end == 0 || end == SOCK_ECONNRESET, ==, true);
        CHECK(sock_close(clients[i]), ==, 0);
    }
    CHECK(sock_open(host, port_text(port), NULL), ==, SOCK_ECONNREFUSED);
    listener = sock_listen(host, port_text(port), NULL);
    CHECK(listener, >, 0);
    CHECK(sock_close(listener), ==, 0);
}

/* A client that came and reset before it was accepted is either swallowed or an ordinary dead connection; never an error of the listener. */
static void a_client_that_is_gone_does_not_disturb_the_listener(void)
{
    sock_t listener = listen_local();
    uint16_t port = port_of(listener);
    for (int i = 0; i < 20; i++) raw_reset(raw_connect(port));
    sock_t client = open_local(listener);
    CHECK(sock_write(client, "alive", 5), ==, 5);
    char buffer[5];
    for (bool found = false; !found;) {
        sock_t accepted = sock_accept(listener);
        CHECK(accepted, >, 0);
        found = sock_read_exact(accepted, buffer, 5) == 5;
        CHECK(sock_close(accepted), ==, 0);
    }
    CHECK(memcmp(buffer, "alive", 5), ==, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void the_peers_address_is_remembered(void)
{
    sock_t listener = listen_local();
    int client = raw_connect(port_of(listener));
    sock_t accepted = sock_accept(listener);
    char before[SOCK_ADDRESS_TEXT], after[SOCK_ADDRESS_TEXT], byte;
    text_of(sock_peer_address, accepted, before);
    raw_reset(client);
    CHECK(sock_read(accepted, &byte, 1), ==, SOCK_ECONNRESET);
    text_of(sock_peer_address, accepted, after); /* the kernel would say "not connected" by now */
    CHECK(strcmp(before, after), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void a_port_is_shared_only_on_request(void)
{
    sock_t alone = listen_local();
    CHECK(sock_listen("127.0.0.1", port_text(port_of(alone)), SOCK_OPTIONS(.reuse_port = SOCK_ON)), ==, SOCK_EADDRINUSE);
    CHECK(sock_close(alone), ==, 0);
    sock_t first = sock_listen("127.0.0.1", "0", SOCK_OPTIONS(.reuse_port = SOCK_ON));
    sock_t second = sock_listen("127.0.0.1", port_text(port_of(first)), SOCK_OPTIONS(.reuse_port = SOCK_ON));
    CHECK(first, >, 0);
    CHECK(second, >, 0);
    CHECK(sock_close(first), ==, 0);
    CHECK(sock_close(second), ==, 0);
}

/* More clients than the queue of the listener holds, and a server that is not quick: the kernel drops and tries again. */
static void *accept_slowly(void *argument)
{
    sock_t listener = *(sock_t *)argument, accepted;
    while ((accepted = sock_accept(listener)) > 0) {
        sleep_ms(2);
        CHECK(sock_close(accepted), ==, 0);
    }
    CHECK(accepted == SOCK_ECLOSED || accepted == SOCK_EHANDLE, ==, true); /* the latter if it was closed between two calls */
    return NULL;
}

static atomic_int clients_served;

static void *be_served(void *argument)
{
    char byte;
    sock_t s = sock_open("127.0.0.1", argument, SOCK_OPTIONS(.timeout_ms = 2500, .io_timeout_ms = 2500));
    if (s < 0) {
        CHECK(s, ==, SOCK_ETIMEDOUT);
        return NULL;
    }
    int64_t end = sock_read(s, &byte, 1);
    CHECK(end == 0 || end == SOCK_ETIMEDOUT || end == SOCK_ECONNRESET, ==, true);
    if (end == 0) atomic_fetch_add(&clients_served, 1);
    CHECK(sock_close(s), ==, 0);
    return NULL;
}

static void a_crowd_before_a_short_queue_is_served_or_told(void)
{
    enum { CLIENTS = 40 };
    pthread_t clients[CLIENTS];
    char port[8];
    sock_t listener = sock_listen("127.0.0.1", "0", SOCK_OPTIONS(.backlog = 4));
    CHECK(listener, >, 0);
    strcpy(port, port_text(port_of(listener)));
    for (int i = 0; i < CLIENTS; i++) clients[i] = start_thread(be_served, port);
    pthread_t server = start_thread(accept_slowly, &listener);
    for (int i = 0; i < CLIENTS; i++) join_thread(clients[i]);
    note("%d of %d were served", atomic_load(&clients_served), CLIENTS);
    CHECK(atomic_load(&clients_served), >=, 4);
    /* And the listener is as good as before. */
    int before = atomic_load(&clients_served);
    be_served(port);
    CHECK(atomic_load(&clients_served), ==, before + 1);
    CHECK(sock_close(listener), ==, 0);
    join_thread(server);
}

static const test_case cases[] = {
    CASE(an_address_in_use_is_refused),
    CASE(a_port_can_be_listened_on_again_at_once),
    CASE(an_address_of_no_interface_is_refused),
    CASE(a_link_local_address_needs_its_scope),
    CASE(a_privileged_port_needs_the_privilege),
    CASE(no_host_means_every_address_of_both_families),
    CASE(a_mapped_address_is_listened_on_as_ipv4),
    CASE(v6_only_leaves_the_port_to_ipv4),
    CASE(a_wildcard_port_that_is_taken_in_ipv6_is_taken),
    CASE(a_family_chooses_the_wildcard),
    CASE(a_listener_may_be_of_multipath_tcp_and_take_fast_opens),
    CASE(the_whole_address_may_be_one_text),
    CASE(try_accept_does_not_wait),
    CASE(accepted_handles_inherit_what_is_promised),
    CASE(accepted_handles_inherit_what_is_set_on_the_listener),
    CASE(accepted_handles_inherit_nothing_else),
    CASE(an_accept_timeout_leaves_the_listener_good),
    CASE(each_client_is_accepted_once_by_one_of_many),
    CASE(closing_a_listener_frees_the_port_and_its_queue),
    CASE(a_client_that_is_gone_does_not_disturb_the_listener),
    CASE(the_peers_address_is_remembered),
    CASE(a_port_is_shared_only_on_request),
    SLOW_CASE(a_crowd_before_a_short_queue_is_served_or_told),
};
TEST_MAIN(cases)
