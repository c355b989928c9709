/* Options of live handles, checked from outside through the descriptor. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include "harness.h"

static int kernel_option(sock_t s, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    CHECK(getsockopt(sock_fd(s), level, name, &value, &length), ==, 0);
    return value;
}

static void switches_reach_the_kernel(void)
{
    struct {
        int option, level, name;
    } switches[] = { { SOCK_OPT_NODELAY, IPPROTO_TCP, TCP_NODELAY }, { SOCK_OPT_CORK, IPPROTO_TCP, TCP_CORK } };
    sock_t pair[2];
    tcp_pair(pair);
    for (int i = 0; i < 2; i++) {
        for (int value = 1; value >= 0; value--) {
            context("option %d, value %d", switches[i].option, value);
            CHECK(sock_set_option(pair[0], switches[i].option, value), ==, 0);
            CHECK(!!kernel_option(pair[0], switches[i].level, switches[i].name), ==, value);
            CHECK(sock_get_option(pair[0], switches[i].option), ==, value);
        }
    }
    close_pair(pair);
}

static void times_and_sizes_reach_the_kernel(void)
{
    sock_t pair[2];
    tcp_pair(pair);
    CHECK(sock_set_option(pair[0], SOCK_OPT_KEEPALIVE_MS, 30000), ==, 0);
    CHECK(kernel_option(pair[0], SOL_SOCKET, SO_KEEPALIVE), ==, 1);
    CHECK(kernel_option(pair[0], IPPROTO_TCP, TCP_KEEPIDLE), ==, 30);
    CHECK(kernel_option(pair[0], IPPROTO_TCP, TCP_KEEPINTVL), ==, 10);
    CHECK(kernel_option(pair[0], IPPROTO_TCP, TCP_KEEPCNT), ==, 3);
    CHECK(sock_get_option(pair[0], SOCK_OPT_KEEPALIVE_MS), ==, 30000);
    CHECK(sock_set_option(pair[0], SOCK_OPT_KEEPALIVE_MS, 0), ==, 0);
    CHECK(kernel_option(pair[0], SOL_SOCKET, SO_KEEPALIVE), ==, 0);
    CHECK(sock_get_option(pair[0], SOCK_OPT_KEEPALIVE_MS), ==, 0);

    CHECK(sock_set_option(pair[0], SOCK_OPT_USER_TIMEOUT_MS, 1234), ==, 0);
    CHECK(kernel_option(pair[0], IPPROTO_TCP, TCP_USER_TIMEOUT), ==, 1234);
    CHECK(sock_get_option(pair[0], SOCK_OPT_USER_TIMEOUT_MS), ==, 1234);

    CHECK(sock_set_option(pair[0], SOCK_OPT_SEND_BUFFER, 100000), ==, 0);
    CHECK(kernel_option(pair[0], SOL_SOCKET, SO_SNDBUF), >=, 100000);
    CHECK(sock_get_option(pair[0], SOCK_OPT_SEND_BUFFER), >=, 100000);
    CHECK(sock_set_option(pair[0], SOCK_OPT_RECEIVE_BUFFER, 100000), ==, 0);
    CHECK(kernel_option(pair[0], SOL_SOCKET, SO_RCVBUF), >=, 100000);
    CHECK(sock_get_option(pair[0], SOCK_OPT_RECEIVE_BUFFER), >=, 100000);

    CHECK(sock_set_option(pair[0], SOCK_OPT_TTL, 17), ==, 0);
    CHECK(kernel_option(pair[0], IPPROTO_IP, IP_TTL), ==, 17);
    CHECK(sock_get_option(pair[0], SOCK_OPT_TTL), ==, 17);
    CHECK(sock_set_option(pair[0], SOCK_OPT_TOS, 0x10), ==, 0);
    CHECK(kernel_option(pair[0], IPPROTO_IP, IP_TOS), ==, 0x10);
    CHECK(sock_get_option(pair[0], SOCK_OPT_TOS), ==, 0x10);

    CHECK(sock_set_option(pair[0], SOCK_OPT_SPIN_US, 20), ==, 0);
    CHECK(sock_get_option(pair[0], SOCK_OPT_SPIN_US), ==, 20);
    CHECK(sock_set_option(pair[0], SOCK_OPT_QUICKACK, 1), ==, 0);
    CHECK(sock_get_option(pair[0], SOCK_OPT_QUICKACK), >=, 0);
    close_pair(pair);
}

static void a_listener_takes_its_port_again_unless_told_not_to(void)
{
    static const struct { int given, kernel; } forms[] = { { 0, 1 }, { SOCK_ON, 1 }, { SOCK_OFF, 0 } };
    for (int i = 0; i < 3; i++) {
        sock_t s = sock_listen("127.0.0.1", "0", SOCK_OPTIONS(.reuse_address = forms[i].given));
        CHECK(kernel_option(s, SOL_SOCKET, SO_REUSEADDR), ==, forms[i].kernel);
        CHECK(sock_close(s), ==, 0);
    }
}

static void lingering_is_off_or_a_time_or_a_reset(void)
{
    sock_t s;
    int peer;
    struct linger value;
    socklen_t length = sizeof value;
    tcp_with_raw_peer(&s, &peer);
    CHECK(sock_get_option(s, SOCK_OPT_LINGER_MS), ==, -1);
    CHECK(sock_set_option(s, SOCK_OPT_LINGER_MS, 3000), ==, 0);
    CHECK(getsockopt(sock_fd(s), SOL_SOCKET, SO_LINGER, &value, &length), ==, 0);
    CHECK(value.l_onoff, ==, 1);
    CHECK(value.l_linger, ==, 3);
    CHECK(sock_get_option(s, SOCK_OPT_LINGER_MS), ==, 3000);
    CHECK(sock_set_option(s, SOCK_OPT_LINGER_MS, -1), ==, 0);
    CHECK(sock_get_option(s, SOCK_OPT_LINGER_MS), ==, -1);
    CHECK(sock_set_option(s, SOCK_OPT_LINGER_MS, 0), ==, 0);
    CHECK(sock_close(s), ==, 0);
    CHECK(raw_drain(peer), <, 0); /* a reset */
    raw_close(peer);
}

static void unknown_options_and_values_are_refused(void)
{
    sock_t pair[2];
    int unknown[] = { 0, -1, SOCK_OPT_CORK + 1, 1000, INT32_MAX, INT32_MIN };
    tcp_pair(pair);
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        CHECK(sock_set_option(pair[0], unknown[i], 1), ==, SOCK_EINVAL);
        CHECK(sock_get_option(pair[0], unknown[i]), ==, SOCK_EINVAL);
    }
    int options[] = { SOCK_OPT_SEND_BUFFER, SOCK_OPT_RECEIVE_BUFFER, SOCK_OPT_KEEPALIVE_MS, SOCK_OPT_USER_TIMEOUT_MS, SOCK_OPT_SPIN_US };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        context("option %d", options[i]);
        CHECK(sock_set_option(pair[0], options[i], -1), ==, SOCK_EINVAL);
    }
    CHECK(sock_set_option(pair[0], SOCK_OPT_LINGER_MS, -2), ==, SOCK_EINVAL);
    CHECK(sock_set_option(pair[0], SOCK_OPT_SEND_BUFFER, INT64_MAX), ==, SOCK_EINVAL);
    close_pair(pair);
}

static void options_of_tcp_are_not_for_unix_sockets(void)
{
    sock_t pair[2];
    int options[] = { SOCK_OPT_NODELAY, SOCK_OPT_KEEPALIVE_MS, SOCK_OPT_USER_TIMEOUT_MS, SOCK_OPT_TTL, SOCK_OPT_TOS,
                      SOCK_OPT_MULTICAST_TTL, SOCK_OPT_MULTICAST_LOOP, SOCK_OPT_QUICKACK, SOCK_OPT_CORK, SOCK_OPT_BROADCAST };
    unix_pair(pair);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        context("option %d", options[i]);
        CHECK(sock_set_option(pair[0], options[i], 1), ==, SOCK_ENOTSUP);
        CHECK(sock_get_option(pair[0], options[i]), ==, SOCK_ENOTSUP);
    }
    CHECK(sock_set_option(pair[0], SOCK_OPT_SEND_BUFFER, 65536), ==, 0);
    close_pair(pair);
}

static void ttl_and_tos_work_for_ipv6_too(void)
{
    if (!have_ipv6()) skip("there is no IPv6 here");
    sock_t listener = sock_listen("::1", "0", NULL);
    sock_t s = sock_open("::1", port_text(port_of(listener)), NULL);
    CHECK(s, >, 0);
    CHECK(sock_set_option(s, SOCK_OPT_TTL, 33), ==, 0);
    CHECK(kernel_option(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS), ==, 33);
    CHECK(sock_set_option(s, SOCK_OPT_TOS, 0x20), ==, 0);
    CHECK(kernel_option(s, IPPROTO_IPV6, IPV6_TCLASS), ==, 0x20);
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

/* Busy waiting first changes how a call waits, not what it does. */
static void spinning_calls_obey_the_same_rules(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    CHECK(sock_set_option(pair[0], SOCK_OPT_SPIN_US, 2000), ==, 0);
    int64_t began = now_us();
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 1), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(now_us() - began, >=, 1000);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, SOCK_FOREVER), ==, 0);
    call reader = { .run = call_read, .socket = pair[0], .buffer = &byte, .size = 1 };
    call_start(&reader);
    CHECK(sock_write(pair[1], "x", 1), ==, 1);
    CHECK(call_join(&reader), ==, 1);
    call_start(&reader);
    CHECK(sock_cancel(pair[0]), ==, 0);
    CHECK(call_join(&reader), ==, SOCK_ECANCELED);
    close_pair(pair);
}
OVER_BOTH(spinning_calls_obey_the_same_rules)

static int64_t processor_time_us(pthread_t thread)
{
    clockid_t clock;
    struct timespec used;
    CHECK(pthread_getcpuclockid(thread, &clock), ==, 0);
    CHECK(clock_gettime(clock, &used), ==, 0);
    return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

/* Only while it spins does a call that waits use the processor. */
static void a_call_spins_first_and_sleeps_afterwards(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    CHECK(sock_set_option(pair[0], SOCK_OPT_SPIN_US, 60000000), ==, 0);
    call reader = { .run = call_read, .socket = pair[0], .buffer = &byte, .size = 1 };
    call_start(&reader);
    WAIT_UNTIL(processor_time_us(reader.thread) > 5000);
    CHECK(sock_write(pair[1], "x", 1), ==, 1);
    CHECK(call_join(&reader), ==, 1);
    CHECK(sock_set_option(pair[0], SOCK_OPT_SPIN_US, 1000), ==, 0);
    call_start(&reader);
    call_wait_asleep(&reader);
    CHECK(sock_write(pair[1], "y", 1), ==, 1);
    CHECK(call_join(&reader), ==, 1);
    CHECK(byte, ==, 'y');
    close_pair(pair);
}
OVER_BOTH(a_call_spins_first_and_sleeps_afterwards)

static const test_case cases[] = {
    CASE(switches_reach_the_kernel),
    CASE(times_and_sizes_reach_the_kernel),
    CASE(a_listener_takes_its_port_again_unless_told_not_to),
    CASE(lingering_is_off_or_a_time_or_a_reset),
    CASE(unknown_options_and_values_are_refused),
    CASE(options_of_tcp_are_not_for_unix_sockets),
    CASE(ttl_and_tos_work_for_ipv6_too),
    BOTH_CASES(spinning_calls_obey_the_same_rules),
    BOTH_CASES(a_call_spins_first_and_sleeps_afterwards),
};
TEST_MAIN(cases)
