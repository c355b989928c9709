/* Connecting: which address wins and when, what a failed open says, and what the options do to the socket. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "network.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

enum { SLACK_MS = 4000 }; /* for a machine that is busy */

/* The numbers are those that share 24 or 112 bits with our own address, so that the resolver's sorting
 * keeps the order of the DNS answer. */
#define FOUR "192.0.2.130"
#define SIX "2001:db8::ff01"
#define DUAL_ZONE "dual.test A answer " FOUR "\ndual.test AAAA answer " SIX "\n"

static int64_t elapsed(int64_t begin_ms) { return now_ms() - begin_ms; }

static bool says(const char *text) { return strstr(sock_last_error(), text) != NULL; }

static void check_peer(sock_t s, const char *expected)
{
    sock_address address;
    char text[SOCK_ADDRESS_TEXT];
    CHECK(sock_peer_address(s, &address), ==, 0);
    CHECK(sock_address_format(&address, text, sizeof text), >, 0);
    context("peer %s", text);
    CHECK(strcmp(text, expected), ==, 0);
    context(NULL);
}

static int64_t option_of(sock_t s, int level, int name)
{
    int value = 0;
    socklen_t length = sizeof value;
    CHECK(getsockopt(sock_fd(s), level, name, &value, &length), ==, 0);
    return value;
}

/* ---- one address ---- */

static void refusals_have_their_codes(void)
{
    static const struct { const char *host, *how; int64_t code; } cases[] = {
        { FOUR, "tcp reset", SOCK_ECONNREFUSED },
        { FOUR, "icmp port-unreachable", SOCK_ECONNREFUSED },
        { FOUR, "icmp host-unreachable", SOCK_EUNREACH },
        { FOUR, "icmp net-unreachable", SOCK_EUNREACH },
        { FOUR, "icmp admin-prohibited", SOCK_EUNREACH },
        { SIX, "tcp reset", SOCK_ECONNREFUSED },
        { SIX, "icmpv6 port-unreachable", SOCK_ECONNREFUSED },
        { SIX, "icmpv6 addr-unreachable", SOCK_EUNREACH },
        { SIX, "icmpv6 no-route", SOCK_EUNREACH },
        { SIX, "icmpv6 admin-prohibited", SOCK_EACCES },
    };
    char rule[128];
    network_begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(rule, sizeof rule, "tcp dport %zu reject with %s", 7000 + i, cases[i].how);
        firewall("input", rule);
        context("%s, %s", cases[i].host, cases[i].how);
        int64_t begin = now_ms();
        CHECK(sock_open(cases[i].host, port_text((uint16_t)(7000 + i)), NULL), ==, cases[i].code);
        CHECK(elapsed(begin), <, 1100 + SLACK_MS); /* the kernel looks at ICMPv6 when it repeats the SYN, after a second */
        context(NULL);
    }
    CHECK(sock_open(FOUR, "7999", NULL), ==, SOCK_ECONNREFUSED);
}

static void a_dropped_syn_times_out_at_the_deadline(void)
{
    network_begin();
    firewall("input", "tcp dport 7000 drop");
    for (int i = 0; i < 2; i++) {
        int64_t begin = now_ms();
        CHECK(sock_open(i ? SIX : FOUR, "7000", SOCK_OPTIONS(.timeout_ms = 500)), ==, SOCK_ETIMEDOUT);
        CHECK(elapsed(begin), >=, 500);
        CHECK(elapsed(begin), <, 500 + SLACK_MS);
        CHECK(says(i ? "[" SIX "]:7000" : FOUR ":7000"), ==, true);
    }
}

static void no_route_fails_at_once(void)
{
    network_begin();
    int64_t begin = now_ms();
    CHECK(sock_open("203.0.113.1", "80", NULL), ==, SOCK_EUNREACH);
    CHECK(sock_open("2001:db8:1::1", "80", NULL), ==, SOCK_EUNREACH);
    CHECK(elapsed(begin), <, SLACK_MS);
}

static void a_silent_neighbour_is_unreachable(void)
{
    network_begin();
    run("ip link add va type veth peer name vb");
    run("ip address add 198.51.100.1/24 dev va");
    run("ip link set va up");
    run("ip link set vb up");
    CHECK(sock_open("198.51.100.2", "80", SOCK_OPTIONS(.timeout_ms = 15000)), ==, SOCK_EUNREACH);
}

static void link_local_addresses_have_scopes(void)
{
    char numbered[64];
    sock_address address;
    network_begin();
    dns_begin("");
    run("ip link add va type veth peer name vb");
    run("ip link set va up");
    run("ip link set vb up");
    run("ip address add fe80::1/64 dev va nodad");
    snprintf(numbered, sizeof numbered, "fe80::1%%%u", if_nametoindex("va"));
    sock_t listener = sock_listen("fe80::1%va", "7000", NULL);
    CHECK(listener, >, 0);
    for (int i = 0; i < 2; i++) {
        sock_t s = sock_open(i ? numbered : "[fe80::1%va]", "7000", SOCK_OPTIONS(.timeout_ms = 5000));
        CHECK(s, >, 0);
        check_peer(s, "[fe80::1%va]:7000");
        sock_t accepted = sock_accept(listener);
        CHECK(accepted, >, 0);
        CHECK(sock_close(s), ==, 0);
        CHECK(sock_close(accepted), ==, 0);
    }
    CHECK(sock_open("fe80::1%nosuch", "7000", NULL), <, 0);
    CHECK(sock_resolve("fe80::1%nosuch", "7000", NULL, &address, 1), <, 0);
    CHECK(sock_open("fe80::1", "7000", SOCK_OPTIONS(.timeout_ms = 5000)), ==, SOCK_EINVAL);
    CHECK(says("%scope"), ==, true);
    CHECK(sock_open("fe80::1%va", "7000", SOCK_OPTIONS(.timeout_ms = 5000, .device = "lo")), ==, SOCK_EINVAL); /* another's scope */
    CHECK(says("%scope"), ==, false);
    CHECK(dns_queries(""), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void odd_targets_fail_with_a_code(void)
{
    network_begin();
    CHECK(sock_open("224.0.0.1", "80", NULL), ==, SOCK_EUNREACH);
    CHECK(sock_open("255.255.255.255", "80", NULL), ==, SOCK_EUNREACH);
    CHECK(sock_open("0.0.0.0", "7000", NULL), ==, SOCK_ECONNREFUSED);
    int listener = listen_at("127.0.0.1", 7000);
    sock_t s = sock_open("0.0.0.0", "7000", NULL);
    CHECK(s, >, 0);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void a_full_tcp_backlog_times_out(void)
{
    uint16_t port;
    sock_t opened[8];
    int count = 0;
    network_begin();
    int listener = raw_listen_backlog(&port, 1);
    while (count < 8) {
        sock_t s = sock_open("127.0.0.1", port_text(port), SOCK_OPTIONS(.timeout_ms = 300));
        if (s < 0) {
            CHECK(s, ==, SOCK_ETIMEDOUT);
            break;
        }
        opened[count++] = s;
    }
    CHECK(count, <, 8);
    while (count > 0) CHECK(sock_close(opened[--count]), ==, 0);
    raw_close(listener);
}

/* ---- racing ---- */

static void a_dead_family_costs_one_attempt_delay(void)
{
    network_begin();
    dns_begin(DUAL_ZONE);
    firewall("input", "ip6 daddr " SIX " tcp dport 7000 drop");
    int listener = listen_at(FOUR, 7000);
    sock_info info = { .size = sizeof info };
    int64_t begin = now_ms();
    sock_t s = sock_open("dual.test", "7000", SOCK_OPTIONS(.timeout_ms = 5000));
    CHECK(s, >, 0);
    CHECK(elapsed(begin), >=, 250);
    CHECK(elapsed(begin), <, 250 + SLACK_MS);
    check_peer(s, FOUR ":7000");
    CHECK(sock_get_info(s, &info), ==, 0);
    CHECK(info.attempts, ==, 2);
    CHECK(info.connect_us, >=, 250000);
    CHECK(info.resolve_us, >, 0);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void a_refused_family_costs_nothing(void)
{
    network_begin();
    dns_begin(DUAL_ZONE);
    int listener = listen_at(FOUR, 7000);
    sock_info info = { .size = sizeof info };
    int64_t begin = now_ms();
    sock_t s = sock_open("dual.test", "7000", SOCK_OPTIONS(.timeout_ms = 5000, .attempt_delay_ms = 2000));
    CHECK(s, >, 0);
    CHECK(elapsed(begin), <, 2000);
    CHECK(sock_get_info(s, &info), ==, 0);
    CHECK(info.attempts, ==, 2);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void the_preferred_family_wins_alone(void)
{
    network_begin();
    dns_begin(DUAL_ZONE);
    int four = listen_at(FOUR, 7000), six = listen_at(SIX, 7000);
    sock_t s = sock_open("dual.test", "7000", NULL);
    CHECK(s, >, 0);
    check_peer(s, "[" SIX "]:7000");
    CHECK(raw_readable(six, 0), ==, true);
    CHECK(raw_readable(four, 600), ==, false);
    CHECK(sock_close(s), ==, 0);
    raw_close(four);
    raw_close(six);
}

/* The loser's first SYN is dropped and its second, a second later, would be answered. */
static void a_loser_is_closed(void)
{
    network_begin();
    dns_begin(DUAL_ZONE);
    int four = listen_at(FOUR, 7000), six = listen_at(SIX, 7000);
    int before = open_descriptors();
    firewall("input", "ip6 daddr " SIX " tcp dport 7000 drop");
    sock_t s = sock_open("dual.test", "7000", NULL);
    CHECK(s, >, 0);
    CHECK(open_descriptors() - before, <=, 2); /* the socket, and at most one for this thread to be woken by */
    firewall_clear();
    CHECK(raw_readable(six, 2500), ==, false);
    CHECK(sock_close(s), ==, 0);
    raw_close(four);
    raw_close(six);
}

/* Both connections complete: the one that lost is ended without a byte. */
static void a_late_winner_sends_nothing(void)
{
    char byte;
    network_begin();
    dns_begin(DUAL_ZONE);
    int four = listen_at(FOUR, 7000), six = listen_at(SIX, 7000);
    for (int i = 0; i < 20; i++) {
        sock_t s = sock_open("dual.test", "7000", SOCK_OPTIONS(.attempt_delay_ms = 10, .nodelay = SOCK_ON));
        CHECK(s, >, 0);
        CHECK(sock_write(s, "x", 1), ==, 1);
        sock_address peer;
        CHECK(sock_peer_address(s, &peer), ==, 0);
        bool by_six = peer.length == sizeof(struct sockaddr_in6);
        int winner = raw_accept(by_six ? six : four);
        raw_receive(winner, &byte, 1);
        raw_close(winner);
        if (raw_readable(by_six ? four : six, 0)) {
            int loser = raw_accept(by_six ? four : six);
            CHECK(raw_drain(loser), <=, 0);
            raw_close(loser);
        }
        CHECK(sock_close(s), ==, 0);
    }
    raw_close(four);
    raw_close(six);
}

/* "many.test A answer 192.0.2.130 ... " with `count` addresses; gives the last as text. */
static const char *many_addresses(char *zone, size_t size, int count)
{
    static char last[32];
    snprintf(zone, size, "many.test A answer");
    for (int i = 0; i < count; i++) {
        snprintf(last, sizeof last, "192.0.2.%d", 130 + i);
        snprintf(zone + strlen(zone), size - strlen(zone), " %s", last);
    }
    strcat(zone, "\n");
    return last;
}

static void the_last_of_twenty_addresses_is_reached(void)
{
    char zone[1024];
    network_begin();
    const char *last = many_addresses(zone, sizeof zone, 20);
    dns_begin(zone);
    int listener = listen_at(last, 7000);
    for (int dead = 0; dead < 2; dead++) {
        char rule[128];
        snprintf(rule, sizeof rule, "tcp dport 7000 ip daddr != %s drop", last);
        if (dead) firewall("input", rule);
        context(dead ? "dead ones" : "refusing ones");
        int64_t begin = now_ms();
        sock_t s = sock_open("many.test", "7000", SOCK_OPTIONS(.timeout_ms = 10000, .attempt_delay_ms = 50));
        CHECK(s, >, 0);
        CHECK(elapsed(begin), <, dead ? 19 * 50 + 2000 : SLACK_MS);
        CHECK(sock_close(s), ==, 0);
        context(NULL);
    }
    raw_close(listener);
}

static void racing_is_bounded(void)
{
    char zone[2048];
    network_begin();
    many_addresses(zone, sizeof zone, 100);
    dns_begin(zone);
    firewall("input", "tcp dport 7000 drop");
    call open = { .run = call_open, .host = "many.test", .port = "7000",
                  .options = SOCK_OPTIONS(.timeout_ms = 1500, .attempt_delay_ms = 10) };
    int before = open_descriptors(), most = 0;
    call_start(&open);
    while (!atomic_load(&open.done)) {
        int now = open_descriptors() - before;
        if (now > most) most = now;
        sleep_ms(2);
    }
    CHECK(call_join(&open), ==, SOCK_ETIMEDOUT);
    CHECK(most, >=, 3);
    CHECK(most, <, 40);
}

static void duplicates_are_tried_once(void)
{
    sock_info info = { .size = sizeof info };
    network_begin();
    dns_begin("dup.test A answer 192.0.2.130 192.0.2.130 192.0.2.130 192.0.2.130 192.0.2.131\n");
    firewall("input", "ip daddr 192.0.2.130 tcp dport 7000 drop");
    int listener = listen_at("192.0.2.131", 7000);
    sock_t s = sock_open("dup.test", "7000", SOCK_OPTIONS(.timeout_ms = 5000));
    CHECK(s, >, 0);
    CHECK(sock_get_info(s, &info), ==, 0);
    CHECK(info.attempts, ==, 2);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void the_attempt_delay_is_clamped(void)
{
    static const struct { int64_t asked, at_least, at_most; } cases[] = { { 1, 10, SLACK_MS }, { 10000, 2000, 2000 + SLACK_MS } };
    network_begin();
    dns_begin(DUAL_ZONE);
    firewall("input", "ip6 daddr " SIX " tcp dport 7000 drop");
    int listener = listen_at(FOUR, 7000);
    for (int i = 0; i < 2; i++) {
        sock_info info = { .size = sizeof info };
        sock_t s = sock_open("dual.test", "7000", SOCK_OPTIONS(.timeout_ms = 9000, .attempt_delay_ms = cases[i].asked));
        CHECK(s, >, 0);
        CHECK(sock_get_info(s, &info), ==, 0);
        CHECK(info.connect_us / 1000, >=, cases[i].at_least);
        CHECK(info.connect_us / 1000, <, cases[i].at_most);
        CHECK(sock_close(s), ==, 0);
    }
    raw_close(listener);
}

static void a_deadline_before_the_second_attempt_is_kept(void)
{
    network_begin();
    dns_begin(DUAL_ZONE);
    firewall("input", "ip6 daddr " SIX " tcp dport 7000 drop");
    int listener = listen_at(FOUR, 7000);
    int64_t begin = now_ms();
    sock_t s = sock_open("dual.test", "7000", SOCK_OPTIONS(.timeout_ms = 100, .attempt_delay_ms = 2000));
    CHECK(elapsed(begin), <, 100 + SLACK_MS);
    CHECK(s > 0 ? SOCK_ETIMEDOUT : s, ==, SOCK_ETIMEDOUT);
    if (s > 0) CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void two_hundred_races_leave_no_descriptor(void)
{
    network_begin();
    dns_begin(DUAL_ZONE);
    firewall("input", "ip6 daddr " SIX " tcp dport 7000 drop");
    int listener = listen_at(FOUR, 7000);
    const sock_options *options = SOCK_OPTIONS(.timeout_ms = 9000, .attempt_delay_ms = 10);
    sock_t first = sock_open("dual.test", "7000", options);
    CHECK(first, >, 0);
    CHECK(sock_close(first), ==, 0);
    raw_close(raw_accept(listener));
    int before = open_descriptors();
    for (int i = 0; i < 200; i++) {
        sock_t s = sock_open("dual.test", "7000", options);
        CHECK(s, >, 0);
        CHECK(sock_close(s), ==, 0);
        raw_close(raw_accept(listener));
    }
    CHECK(open_descriptors(), ==, before);
    raw_close(listener);
}

/* ---- errors ---- */

static void a_failed_open_tells_every_attempt(void)
{
    network_begin();
    dns_begin("dead.test A answer 192.0.2.130 192.0.2.131\ndead.test AAAA answer 2001:db8::ff01 2001:db8::ff02\n");
    int64_t begin = now_ms();
    CHECK(sock_open("dead.test", "7000", SOCK_OPTIONS(.attempt_delay_ms = 2000)), ==, SOCK_ECONNREFUSED);
    CHECK(elapsed(begin), <, 2000);
    context("%s", sock_last_error());
    CHECK(says("open dead.test:7000"), ==, true);
    CHECK(says("192.0.2.130:7000"), ==, true);
    CHECK(says("192.0.2.131:7000"), ==, true);
    CHECK(says("[2001:db8::ff01]:7000"), ==, true);
    CHECK(says("[2001:db8::ff02]:7000"), ==, true);
    CHECK(strchr(sock_last_error(), '\n') == NULL, ==, true);
    CHECK(sock_last_errno(), ==, ECONNREFUSED);
}

/* Nothing in the last error took longer than the call. */
static void check_times(int64_t took)
{
    static const char words[] = " after ";
    CHECK(says(words), ==, true);
    for (const char *at = sock_last_error(); (at = strstr(at, words)) != NULL;) {
        at += strlen(words);
        CHECK(strtoll(at, NULL, 10), >=, 0);
        CHECK(strtoll(at, NULL, 10), <=, took);
    }
}

static void each_attempt_has_its_own_cause(void)
{
    network_begin();
    dns_begin(DUAL_ZONE);
    firewall("input", "ip6 daddr " SIX " tcp dport 7000 drop");
    int64_t begin = now_ms();
    CHECK(sock_open("dual.test", "7000", SOCK_OPTIONS(.timeout_ms = 600)), ==, SOCK_ETIMEDOUT);
    int64_t took = elapsed(begin);
    context("%s", sock_last_error());
    CHECK(says("[" SIX "]:7000: timed out after "), ==, true);
    CHECK(says(FOUR ":7000: connection refused after "), ==, true);
    CHECK(atoi(strstr(sock_last_error(), "timed out after ") + strlen("timed out after ")), >=, 600);
    CHECK(atoi(strstr(sock_last_error(), "]:7000: timed out after ") + strlen("]:7000: timed out after ")), >, 0);
    CHECK(says("; ") && !says("(; "), ==, true); /* between them only */
    check_times(took);
}

static void an_attempt_that_made_room_says_how_long_it_took(void)
{
    static const char words[] = "given up in favour of others after ";
    char zone[1024];
    network_begin();
    many_addresses(zone, sizeof zone, 30);
    dns_begin(zone);
    firewall("input", "tcp dport 7000 drop");
    int64_t begin = now_ms();
    CHECK(sock_open("many.test", "7000", SOCK_OPTIONS(.timeout_ms = 3000, .attempt_delay_ms = 10)), ==, SOCK_ETIMEDOUT);
    int64_t took = elapsed(begin);
    context("%s", sock_last_error());
    CHECK(says(words), ==, true);
    CHECK(atoi(strstr(sock_last_error(), words) + strlen(words)), >=, 24 * 10); /* for as many others */
    check_times(took);
}

/* An attempt for which there is no descriptor is made later, while others are under way that may give theirs back. */
static void an_attempt_without_a_descriptor_is_made_later(void)
{
    network_begin();
    firewall("input", "ip6 daddr ::1 tcp dport 7000 drop");
    int listener = listen_at("127.0.0.1", 7000), next = dup(listener);
    raw_close(next);
    struct rlimit limit, few;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    few = (struct rlimit){ .rlim_cur = (rlim_t)next + 1, .rlim_max = limit.rlim_max };
    call open = { .run = call_open, .port = "7000", .options = SOCK_OPTIONS(.timeout_ms = 9000, .attempt_delay_ms = 10) };
    CHECK(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    call_start(&open);
    WAIT_UNTIL(fcntl(next, F_GETFD) >= 0); /* by the attempt at ::1 */
    sleep_ms(200); /* some tries of the other fail: were there none, this would show less, and not fail */
    CHECK(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    CHECK(call_join(&open), >, 0);
    sock_info info = { .size = sizeof info };
    CHECK(sock_get_info(open.result, &info), ==, 0);
    CHECK(info.attempts, ==, 2);
    check_peer(open.result, "127.0.0.1:7000");
    CHECK(sock_close(open.result), ==, 0);
    raw_close(listener);
}

/* ---- the kernel's traps ---- */

static void nobody_is_connected_to_himself(void)
{
    network_begin();
    sysctl("net/ipv4/ip_local_port_range", "7000 7001");
    for (int i = 0; i < 50; i++) {
        sock_t s = sock_open("127.0.0.1", i % 2 ? "7000" : "7001", SOCK_OPTIONS(.timeout_ms = 5000));
        context("round %d", i);
        CHECK(s == SOCK_EADDRNOTAVAIL ? SOCK_ECONNREFUSED : s, ==, SOCK_ECONNREFUSED);
        context(NULL);
    }
}

static void running_out_of_ports_is_said(void)
{
    sock_t opened[8];
    network_begin();
    int one = listen_at("127.0.0.1", 7000), other = listen_at("127.0.0.2", 7000);
    sysctl("net/ipv4/ip_local_port_range", "40000 40007");
    for (int i = 0; i < 8; i++) {
        opened[i] = sock_open("127.0.0.1", "7000", NULL);
        CHECK(opened[i], >, 0);
    }
    CHECK(sock_open("127.0.0.1", "7000", NULL), ==, SOCK_EADDRNOTAVAIL);
    sock_t s = sock_open("127.0.0.2", "7000", NULL);
    CHECK(s, >, 0);
    CHECK(sock_close(s), ==, 0);
    for (int i = 0; i < 8; i++) CHECK(sock_close(opened[i]), ==, 0);
    raw_close(one);
    raw_close(other);
}

/* Whatever open returned as success is a connection, even if it does not live long. */
static void a_listener_that_goes_away_never_fakes_success(void)
{
    const sock_options *options = SOCK_OPTIONS(.timeout_ms = 50);
    network_begin();
    for (int i = 0; i < 200; i++) {
        int listener = listen_at(FOUR, 7000);
        call open = { .run = call_open, .host = FOUR, .port = "7000", .options = options };
        call_start(&open);
        if (i % 2) WAIT_UNTIL(atomic_load(&open.id) != 0);
        raw_close(listener);
        sock_t s = call_join(&open);
        if (s < 0) {
            CHECK(s == SOCK_ECONNRESET || s == SOCK_ETIMEDOUT ? SOCK_ECONNREFUSED : s, ==, SOCK_ECONNREFUSED);
            continue;
        }
        CHECK(sock_write(s, "x", 1), !=, SOCK_ENOTCONN);
        CHECK(sock_close(s), ==, 0);
    }
}

static void ignore_signal(int number) { (void)number; }

/* The SYN is repeated after a second; until then every millisecond brings a signal. */
static void signals_do_not_disturb_a_connect(void)
{
    const struct sigaction action = { .sa_handler = ignore_signal };
    const struct itimerval storm = { { 0, 1000 }, { 0, 1000 } }, calm = { { 0, 0 }, { 0, 0 } };
    network_begin();
    int listener = listen_at(FOUR, 7000);
    firewall("input", "tcp dport 7000 drop");
    call open = { .run = call_open, .host = FOUR, .port = "7000", .options = SOCK_OPTIONS(.timeout_ms = 9000) };
    CHECK(sigaction(SIGALRM, &action, NULL), ==, 0);
    call_start(&open);
    call_wait_asleep(&open);
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    firewall_clear();
    CHECK(pthread_sigmask(SIG_BLOCK, &alarm, NULL), ==, 0); /* so that they reach the other thread */
    CHECK(setitimer(ITIMER_REAL, &storm, NULL), ==, 0);
    sock_t s = call_join(&open);
    CHECK(setitimer(ITIMER_REAL, &calm, NULL), ==, 0);
    CHECK(s, >, 0);
    CHECK(open.ended_us - open.began_us, >=, 500000);
    raw_close(raw_accept(listener));
    CHECK(raw_readable(listener, 0), ==, false);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void a_unix_connect_waits_for_a_place_in_the_backlog(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char path[FOLDER], host[64];
    make_folder(path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", path);
    snprintf(host, sizeof host, "unix:%s/s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address), ==, 0);
    CHECK(listen(listener, 0), ==, 0);
    sock_t first = sock_open(host, NULL, NULL);
    CHECK(first, >, 0);
    int64_t begin = now_ms();
    CHECK(sock_open(host, NULL, SOCK_OPTIONS(.timeout_ms = 200)), ==, SOCK_ETIMEDOUT);
    const char *told = strstr(sock_last_error(), " after ");
    context("%s", sock_last_error());
    CHECK(told != NULL, ==, true);
    CHECK(atoi(told + strlen(" after ")), >=, 200);
    CHECK(atoi(told + strlen(" after ")), <=, elapsed(begin));
    context(NULL);
    CHECK(elapsed(begin), >=, 200);
    CHECK(elapsed(begin), <, 200 + SLACK_MS);
    call open = { .run = call_open, .host = host, .options = SOCK_OPTIONS(.timeout_ms = 9000) };
    call_start(&open);
    call_wait_asleep(&open);
    raw_close(raw_accept(listener));
    CHECK(call_join(&open), >, 0);
    CHECK(sock_close(open.result), ==, 0);
    CHECK(sock_close(first), ==, 0);
    raw_close(listener);
    CHECK(unlink(address.sun_path), ==, 0);
    CHECK(rmdir(path), ==, 0);
}

/* ---- options, seen from outside ---- */

static void a_local_address_is_used(void)
{
    struct sockaddr_in seen;
    socklen_t length = sizeof seen;
    network_begin();
    int listener = listen_at(FOUR, 7000);
    sock_t s = sock_open(FOUR, "7000", SOCK_OPTIONS(.local_host = "192.0.2.77", .local_port = "7077"));
    CHECK(s, >, 0);
    int peer = accept(listener, (struct sockaddr *)&seen, &length);
    CHECK(ntohl(seen.sin_addr.s_addr), ==, 0xC000024D);
    CHECK(ntohs(seen.sin_port), ==, 7077);
    CHECK(sock_close(s), ==, 0);
    raw_close(peer);
    CHECK(sock_open(FOUR, "7000", SOCK_OPTIONS(.local_host = "203.0.113.5")), ==, SOCK_EADDRNOTAVAIL);
    CHECK(sock_open(FOUR, "7000", SOCK_OPTIONS(.local_host = "::1")), <, 0);
    CHECK(sock_open(FOUR, "7000", SOCK_OPTIONS(.local_host = "127.1")), ==, SOCK_EINVAL);
    raw_close(listener);
}

static void a_device_is_used(void)
{
    char name[IFNAMSIZ] = "";
    socklen_t length = sizeof name;
    network_begin();
    run("ip link add va type veth peer name vb");
    run("ip link set va up");
    int listener = listen_at(FOUR, 7000);
    sock_t s = sock_open(FOUR, "7000", SOCK_OPTIONS(.device = "lo"));
    CHECK(s, >, 0);
    CHECK(getsockopt(sock_fd(s), SOL_SOCKET, SO_BINDTODEVICE, name, &length), ==, 0);
    CHECK(strcmp(name, "lo"), ==, 0);
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_open(FOUR, "7000", SOCK_OPTIONS(.device = "va", .timeout_ms = 500)), <, 0);
    CHECK(sock_open(FOUR, "7000", SOCK_OPTIONS(.device = "nosuch")), ==, SOCK_EINVAL);
    CHECK(says("nosuch"), ==, true);
    run("ip link add a23456789012345 type veth peer name vc"); /* as long as a name can be: the kernel would cut a longer one to this */
    CHECK(sock_open(FOUR, "7000", SOCK_OPTIONS(.device = "a23456789012345", .timeout_ms = 100)), ==, SOCK_EUNREACH);
    CHECK(sock_open(FOUR, "7000", SOCK_OPTIONS(.device = "a234567890123456", .timeout_ms = 100)), ==, SOCK_EINVAL);
    raw_close(listener);
}

static void options_reach_the_socket(void)
{
    network_begin();
    int listener = listen_at(FOUR, 7000);
    sock_t plain = sock_open(FOUR, "7000", NULL);
    CHECK(plain, >, 0);
    CHECK(option_of(plain, IPPROTO_TCP, TCP_NODELAY), ==, 1);
    CHECK(option_of(plain, SOL_SOCKET, SO_KEEPALIVE), ==, 0);
    CHECK(option_of(plain, IPPROTO_TCP, TCP_USER_TIMEOUT), ==, 0);
    CHECK(option_of(plain, SOL_SOCKET, SO_PROTOCOL), ==, IPPROTO_TCP);
    CHECK(sock_close(plain), ==, 0);
    sock_t s = sock_open(FOUR, "7000", SOCK_OPTIONS(.nodelay = SOCK_OFF, .keepalive_ms = 30000, .user_timeout_ms = 7000,
                                                    .send_buffer = 50000, .receive_buffer = 60000, .spin_us = 20));
    CHECK(s, >, 0);
    CHECK(option_of(s, IPPROTO_TCP, TCP_NODELAY), ==, 0);
    CHECK(option_of(s, SOL_SOCKET, SO_KEEPALIVE), ==, 1);
    CHECK(option_of(s, IPPROTO_TCP, TCP_KEEPIDLE), ==, 30);
    CHECK(option_of(s, IPPROTO_TCP, TCP_KEEPINTVL), ==, 10);
    CHECK(option_of(s, IPPROTO_TCP, TCP_KEEPCNT), ==, 3);
    CHECK(option_of(s, IPPROTO_TCP, TCP_USER_TIMEOUT), ==, 7000);
    CHECK(option_of(s, SOL_SOCKET, SO_SNDBUF), ==, 100000); /* the kernel doubles them for itself */
    CHECK(option_of(s, SOL_SOCKET, SO_RCVBUF), ==, 120000);
    CHECK(sock_get_option(s, SOCK_OPT_SPIN_US), ==, 20);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void multipath_is_used_where_the_kernel_has_it(void)
{
    network_begin();
    int listener = listen_at(FOUR, 7000);
    int probe = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
    int expected = probe >= 0 ? IPPROTO_MPTCP : IPPROTO_TCP;
    if (probe >= 0) raw_close(probe);
    sock_t s = sock_open(FOUR, "7000", SOCK_OPTIONS(.multipath = SOCK_ON));
    CHECK(s, >, 0);
    CHECK(option_of(s, SOL_SOCKET, SO_PROTOCOL), ==, expected);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

/* A fast open carries its first bytes in the SYN: without a cookie of the server that is only the request
 * for one, with it the server counts a passive fast open. */
static void fast_open_is_asked_for(void)
{
    int queue = 16;
    char text[4];
    network_begin();
    sysctl("net/ipv4/tcp_fastopen", "3");
    int listener = listen_at(FOUR, 7000);
    CHECK(setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue), ==, 0);
    sock_t unasked = sock_open(FOUR, "7000", SOCK_OPTIONS(.timeout_ms = 5000));
    CHECK(option_of(unasked, IPPROTO_TCP, TCP_FASTOPEN_CONNECT), ==, 0);
    CHECK(sock_close(unasked), ==, 0);
    raw_close(raw_accept(listener));
    for (int i = 0; i < 2; i++) {
        sock_t s = sock_open(FOUR, "7000", SOCK_OPTIONS(.fast_open = SOCK_ON, .timeout_ms = 5000));
        CHECK(s, >, 0);
        CHECK(sock_write(s, "data", 4), ==, 4);
        int peer = raw_accept(listener);
        raw_receive(peer, text, 4);
        CHECK(memcmp(text, "data", 4), ==, 0);
        if (i == 1) {
            struct tcp_info info;
            socklen_t length = sizeof info;
            CHECK(getsockopt(sock_fd(s), IPPROTO_TCP, TCP_INFO, &info, &length), ==, 0);
            CHECK(info.tcpi_options & TCPI_OPT_SYN_DATA, !=, 0);
        }
        CHECK(sock_close(s), ==, 0);
        raw_close(peer);
    }
    raw_close(listener);
}

static void a_family_limits_the_attempts(void)
{
    network_begin();
    dns_begin(DUAL_ZONE);
    int four = listen_at(FOUR, 7000);
    sock_t s = sock_open("dual.test", "7000", SOCK_OPTIONS(.family = SOCK_IPV4));
    CHECK(s, >, 0);
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_open("dual.test", "7000", SOCK_OPTIONS(.family = SOCK_IPV6)), ==, SOCK_ECONNREFUSED);
    CHECK(says(FOUR), ==, false);
    raw_close(four);
}

static const test_case cases[] = {
    SLOW_CASE(refusals_have_their_codes),
    CASE(a_dropped_syn_times_out_at_the_deadline),
    CASE(no_route_fails_at_once),
    SLOW_CASE(a_silent_neighbour_is_unreachable),
    CASE(link_local_addresses_have_scopes),
    CASE(odd_targets_fail_with_a_code),
    CASE(a_full_tcp_backlog_times_out),
    CASE(a_dead_family_costs_one_attempt_delay),
    CASE(a_refused_family_costs_nothing),
    CASE(the_preferred_family_wins_alone),
    SLOW_CASE(a_loser_is_closed),
    CASE(a_late_winner_sends_nothing),
    CASE(the_last_of_twenty_addresses_is_reached),
    SLOW_CASE(racing_is_bounded),
    CASE(duplicates_are_tried_once),
    SLOW_CASE(the_attempt_delay_is_clamped),
    CASE(a_deadline_before_the_second_attempt_is_kept),
    SLOW_CASE(two_hundred_races_leave_no_descriptor),
    CASE(a_failed_open_tells_every_attempt),
    CASE(each_attempt_has_its_own_cause),
    SLOW_CASE(an_attempt_that_made_room_says_how_long_it_took),
    CASE(an_attempt_without_a_descriptor_is_made_later),
    CASE(nobody_is_connected_to_himself),
    CASE(running_out_of_ports_is_said),
    CASE(a_listener_that_goes_away_never_fakes_success),
    CASE(signals_do_not_disturb_a_connect),
    CASE(a_unix_connect_waits_for_a_place_in_the_backlog),
    CASE(a_local_address_is_used),
    CASE(a_device_is_used),
    CASE(options_reach_the_socket),
    CASE(multipath_is_used_where_the_kernel_has_it),
    CASE(fast_open_is_asked_for),
    CASE(a_family_limits_the_attempts),
};
TEST_MAIN(cases)
