/* Datagrams in networks of their own: multicast groups, joined and left on a device, in both families; broadcast; small packets. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "harness.h"
#include "network.h"

#define FOUR "192.0.2.7"
#define GROUP "239.1.2.3"
#define OTHER_GROUP "239.1.2.4"

/* Sends one byte to a group, from an address of the loopback, which decides the way it goes. */
static void send_to_group(const char *group, uint16_t port)
{
    sock_t s = sock_udp_open(group, port_text(port), SOCK_OPTIONS(.local_host = FOUR));
    CHECK(s, >, 0);
    CHECK(sock_write(s, "x", 1), ==, 1);
    CHECK(sock_close(s), ==, 0);
}

/* How many datagrams wait at a socket, where so many are expected: the last may need a moment. */
static int waiting(sock_t s, int expected)
{
    char byte;
    int count = 0;
    while (count < expected && raw_readable(sock_fd(s), 10000)) count += sock_try_read(s, &byte, 1) == 1;
    while (sock_try_read(s, &byte, 1) == 1) count++;
    return count;
}

static sock_t member_of(const char *host, const char *group, uint16_t port)
{
    sock_t s = sock_udp_bind(host, port_text(port), SOCK_OPTIONS(.reuse_address = SOCK_ON));
    CHECK(s, >, 0);
    CHECK(sock_join(s, group, "lo"), ==, 0);
    return s;
}

static void members_and_only_they_receive(void)
{
    network_begin();
    sock_t member = member_of("0.0.0.0", GROUP, 7100), other = member_of("0.0.0.0", OTHER_GROUP, 7100);
    sock_t both = member_of(NULL, GROUP, 7100), bound = member_of(GROUP, GROUP, 7100);
    send_to_group(GROUP, 7100);
    CHECK(waiting(member, 1), ==, 1);
    CHECK(waiting(both, 1), ==, 1);
    CHECK(waiting(bound, 1), ==, 1);
    CHECK(waiting(other, 0), ==, 0);
    CHECK(sock_leave(member, GROUP, "lo"), ==, 0);
    send_to_group(GROUP, 7100);
    CHECK(waiting(member, 0), ==, 0);
    CHECK(waiting(both, 1), ==, 1);
    sock_t all[] = {member, other, both, bound};
    for (int i = 0; i < 4; i++) CHECK(sock_close(all[i]), ==, 0);
}

/* Whether the system has a way to an address by now: a wire takes a moment to come up. */
static bool reachable(const char *host)
{
    sock_t s = sock_udp_open(host, "9", NULL);
    return s > 0 && sock_close(s) == 0;
}

/* Two ends of a wire of our own, one with an address: the loopback has no IPv6 multicasts. */
static void link_with_an_address(const char *address, const char *neighbour)
{
    run("ip link add va type veth peer name vb");
    run("ip addr add %s dev va%s", address, strchr(address, ':') ? " nodad" : " broadcast +");
    run("ip link set va up");
    run("ip link set vb up");
    WAIT_UNTIL(reachable(neighbour));
}

static void ipv6_groups_are_joined_on_their_device(void)
{
    network_begin();
    link_with_an_address("fe80::aa/64", "ff02::1234%va");
    sock_t by_device = sock_udp_bind(NULL, "7101", SOCK_OPTIONS(.reuse_address = SOCK_ON));
    sock_t by_scope = sock_udp_bind("::", "7101", SOCK_OPTIONS(.reuse_address = SOCK_ON));
    sock_t sender = sock_udp_open("ff02::1234%va", "7101", NULL);
    CHECK(sender, >, 0);
    CHECK(sock_join(by_device, "ff02::1234", "va"), ==, 0);
    CHECK(sock_join(by_scope, "ff02::1234%va", NULL), ==, 0);
    CHECK(sock_write(sender, "x", 1), ==, 1);
    CHECK(waiting(by_device, 1), ==, 1);
    CHECK(waiting(by_scope, 1), ==, 1);
    CHECK(sock_leave(by_device, "ff02::1234", "va"), ==, 0);
    CHECK(sock_leave(by_scope, "ff02::1234%va", NULL), ==, 0);
    CHECK(sock_write(sender, "x", 1), ==, 1);
    CHECK(waiting(by_device, 0), ==, 0);
    CHECK(waiting(by_scope, 0), ==, 0);
    CHECK(sock_close(by_device), ==, 0);
    CHECK(sock_close(by_scope), ==, 0);
    CHECK(sock_close(sender), ==, 0);
}

static void mistakes_with_groups_are_told_apart(void)
{
    network_begin();
    sock_t s = member_of("0.0.0.0", GROUP, 7102), unix_socket = sock_udp_bind("unix:@sock-multicast", NULL, NULL);
    CHECK(sock_join(s, GROUP, "lo"), ==, SOCK_EADDRINUSE);
    CHECK(sock_leave(s, OTHER_GROUP, "lo"), ==, SOCK_EADDRNOTAVAIL);
    CHECK(sock_join(s, "192.0.2.1", "lo"), ==, SOCK_EINVAL);
    CHECK(sock_join(s, "group.test", "lo"), ==, SOCK_EINVAL);
    CHECK(sock_join(s, GROUP ":80", "lo"), ==, SOCK_EINVAL);
    CHECK(sock_join(s, NULL, "lo"), ==, SOCK_EINVAL);
    CHECK(sock_join(s, "", "lo"), ==, SOCK_EINVAL);
    CHECK(sock_join(s, OTHER_GROUP, "nosuch0"), ==, SOCK_EINVAL);
    CHECK(sock_join(s, OTHER_GROUP, ""), ==, SOCK_EINVAL);
    CHECK(sock_join(s, "ff02::1", "lo"), ==, SOCK_EINVAL);
    CHECK(sock_join(s, OTHER_GROUP, NULL), ==, SOCK_EUNREACH); /* no route says on which device */
    CHECK(sock_join(unix_socket, GROUP, "lo"), ==, SOCK_ENOTSUP);
    CHECK(sock_join(0, GROUP, "lo"), ==, SOCK_EHANDLE);
    CHECK(sock_close(s), ==, 0);
    s = sock_udp_bind(NULL, "0", SOCK_OPTIONS(.v6_only = SOCK_ON)); /* which the kernel would let join */
    CHECK(sock_join(s, GROUP, "lo"), ==, SOCK_EINVAL);
    CHECK(sock_leave(s, GROUP, "lo"), ==, SOCK_EINVAL);
    CHECK(sock_join(s, "ff02::1%lo", NULL), ==, 0);
    CHECK(sock_join(s, "ff02::1%4242", NULL), ==, SOCK_EINVAL); /* no device has this number */
    CHECK(sock_leave(s, "ff02::1%4242", NULL), ==, SOCK_EADDRNOTAVAIL);
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_close(unix_socket), ==, 0);
}

/* Nor is an IPv4 socket taken for one of IPv6 that cannot reach IPv4, which is a mistake of the caller. */
static void without_a_route_a_datagram_is_unreachable(void)
{
    network_begin();
    sock_address address;
    CHECK(sock_address_parse("203.0.113.1", "9", &address), ==, 0);
    sock_t s = sock_udp_bind("0.0.0.0", "0", NULL);
    CHECK(sock_send_to(s, "x", 1, &address), ==, SOCK_EUNREACH);
    CHECK(sock_close(s), ==, 0);
    s = sock_udp_bind(NULL, "0", NULL);
    CHECK(sock_send_to(s, "x", 1, &address), ==, SOCK_EUNREACH);
    CHECK(sock_close(s), ==, 0);
    s = sock_udp_bind(NULL, "0", SOCK_OPTIONS(.v6_only = SOCK_ON));
    CHECK(sock_send_to(s, "x", 1, &address), ==, SOCK_EINVAL);
    CHECK(sock_close(s), ==, 0);
}

static void memberships_have_a_limit(void)
{
    network_begin();
    sock_t s = sock_udp_bind("0.0.0.0", "0", NULL);
    int joined = 0;
    int64_t result = 0;
    while (joined < 1000 && result == 0) {
        char group[32];
        snprintf(group, sizeof group, "239.2.%d.%d", joined / 250, joined % 250 + 1);
        result = sock_join(s, group, "lo");
        joined += result == 0;
    }
    CHECK(joined, >=, 20);
    CHECK(result, ==, SOCK_ENOMEM);
    CHECK(sock_close(s), ==, 0);
}

static void a_member_of_two_groups_tells_senders_apart(void)
{
    network_begin();
    sock_t member = member_of("0.0.0.0", GROUP, 7103);
    CHECK(sock_join(member, OTHER_GROUP, "lo"), ==, 0);
    sock_t sender = sock_udp_bind(FOUR, "7104", NULL);
    sock_address group, from, own;
    char byte;
    CHECK(sock_address_parse(OTHER_GROUP, "7103", &group), ==, 0);
    CHECK(sock_send_to(sender, "y", 1, &group), ==, 1);
    CHECK(sock_recv_from(member, &byte, 1, &from), ==, 1);
    CHECK(sock_local_address(sender, &own), ==, 0);
    CHECK(sock_address_equal(&from, &own), ==, 1);
    CHECK(sock_close(member), ==, 0);
    CHECK(sock_close(sender), ==, 0);
}

static void broadcasts_need_the_option_and_reach_everybody(void)
{
    network_begin();
    link_with_an_address("198.51.100.1/24", "198.51.100.2");
    sock_t s = sock_udp_bind("0.0.0.0", "0", NULL);
    sock_address all;
    char text[24];
    snprintf(text, sizeof text, "198.51.100.255:%d", port_of(s));
    CHECK(sock_address_parse(text, NULL, &all), ==, 0);
    CHECK(sock_send_to(s, "x", 1, &all), ==, SOCK_EACCES);
    CHECK(setsockopt(sock_fd(s), SOL_SOCKET, SO_BROADCAST, &(int){1}, sizeof(int)), ==, 0);
    CHECK(sock_send_to(s, "x", 1, &all), ==, 1);
    char byte;
    CHECK(sock_set_timeout(s, SOCK_READ, 10000), ==, 0);
    CHECK(sock_read(s, &byte, 1), ==, 1); /* they come back to this machine as well */
    CHECK(sock_close(s), ==, 0);
}

static void link_local_senders_are_told_with_their_scope(void)
{
    network_begin();
    link_with_an_address("fe80::aa/64", "ff02::1234%va");
    sock_t s = sock_udp_bind("fe80::aa%va", "0", NULL);
    CHECK(s, >, 0);
    sock_address own, from;
    char byte, text[SOCK_ADDRESS_TEXT];
    CHECK(sock_local_address(s, &own), ==, 0);
    CHECK(sock_send_to(s, "x", 1, &own), ==, 1);
    CHECK(sock_recv_from(s, &byte, 1, &from), ==, 1);
    CHECK(sock_address_equal(&from, &own), ==, 1);
    CHECK(sock_address_format(&from, text, sizeof text), >, 0);
    CHECK(strncmp(text, "[fe80::aa%va]:", 14), ==, 0);
    CHECK(sock_close(s), ==, 0);
}

static void segments_larger_than_a_packet_arrive_all_the_same(void)
{
    enum { SIZE = 20000, SEGMENT = 3000 };
    static char data[SIZE], buffer[SEGMENT + 1];
    network_begin();
    run("ip link set lo mtu 1500"); /* the kernel refuses to cut to more than a packet: the library does it */
    for (int six = 0; six < 2; six++) {
        sock_t to = sock_udp_bind(six ? "2001:db8::7" : FOUR, "0", NULL), from = sock_udp_bind(six ? "2001:db8::8" : FOUR, "0", NULL);
        CHECK(to, >, 0);
        CHECK(from, >, 0);
        pattern(data, SIZE, 3);
        sock_datagram out[2] = {{.data = "first", .size = 5}, {.data = data, .size = SIZE, .segment = SEGMENT}};
        CHECK(sock_local_address(to, &out[0].address), ==, 0);
        out[1].address = out[0].address;
        CHECK(sock_send_batch(from, out, 2), ==, 2);
        CHECK(out[1].length, ==, SIZE);
        CHECK(sock_set_timeout(to, SOCK_READ, 10000), ==, 0);
        CHECK(sock_recv_from(to, buffer, sizeof buffer, NULL), ==, 5);
        for (size_t done = 0; done < SIZE;) {
            size_t expected = SIZE - done < SEGMENT ? SIZE - done : SEGMENT;
            CHECK(sock_recv_from(to, buffer, sizeof buffer, NULL), ==, expected);
            CHECK(pattern_mismatch(buffer, expected, 3 + done), ==, expected);
            done += expected;
        }
        CHECK(sock_close(to), ==, 0);
        CHECK(sock_close(from), ==, 0);
    }
}

/* The default host's IPv4 address comes first. */
static void the_address_that_was_reached_is_counted(void)
{
    network_begin();
    run("ip -4 addr flush dev lo");
    sock_t s = sock_udp_open(NULL, "9", NULL);
    CHECK(s, >, 0);
    sock_info info = {.size = sizeof info};
    CHECK(sock_get_info(s, &info), ==, 0);
    CHECK(info.attempts, ==, 2);
    CHECK(info.family, ==, SOCK_IPV6);
    CHECK(sock_close(s), ==, 0);
}

static const test_case cases[] = {
    CASE(members_and_only_they_receive),
    CASE(ipv6_groups_are_joined_on_their_device),
    CASE(mistakes_with_groups_are_told_apart),
    CASE(without_a_route_a_datagram_is_unreachable),
    CASE(memberships_have_a_limit),
    CASE(a_member_of_two_groups_tells_senders_apart),
    CASE(broadcasts_need_the_option_and_reach_everybody),
    CASE(link_local_senders_are_told_with_their_scope),
    CASE(segments_larger_than_a_packet_arrive_all_the_same),
    CASE(the_address_that_was_reached_is_counted),
};
TEST_MAIN(cases)
