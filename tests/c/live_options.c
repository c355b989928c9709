/* Every option on every kind of socket: the ones that it has reach the kernel, the others are refused. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "harness.h"

enum { TCP4 = 1, TCP6 = 2, LISTENER4 = 4, LISTENER6 = 8, UNIX = 16, UNIX_LISTENER = 32, UDP4 = 64, UDP6 = 128, UNIX_DATAGRAM = 256 };
enum {
    TCP = TCP4 | TCP6,
    LISTENER = LISTENER4 | LISTENER6,
    UDP = UDP4 | UDP6,
    ANY_UNIX = UNIX | UNIX_LISTENER | UNIX_DATAGRAM,
    SIX = TCP6 | LISTENER6 | UDP6,
    ALL = 511,
};

static const struct option {
    int option, has; /* the kinds that have it */
    int level, name, level6, name6;
    int64_t values[2];
    int kernel[2]; /* what getsockopt returns then */
    int64_t refused[2];
} options[] = {
    { SOCK_OPT_NODELAY, TCP | LISTENER, IPPROTO_TCP, TCP_NODELAY, 0, 0, { 0, 1 }, { 0, 1 }, { 2, -1 } },
    { SOCK_OPT_KEEPALIVE_MS, TCP | LISTENER, IPPROTO_TCP, TCP_KEEPIDLE, 0, 0, { 60000, 7000 }, { 60, 7 }, { -1, INT64_MIN } },
    { SOCK_OPT_USER_TIMEOUT_MS, TCP | LISTENER, IPPROTO_TCP, TCP_USER_TIMEOUT, 0, 0, { 1500, 0 }, { 1500, 0 }, { -1, INT64_MIN } },
    { SOCK_OPT_SEND_BUFFER, ALL, SOL_SOCKET, SO_SNDBUF, 0, 0, { 40000, 50000 }, { 80000, 100000 }, { -1, INT64_MAX } },
    { SOCK_OPT_RECEIVE_BUFFER, ALL, SOL_SOCKET, SO_RCVBUF, 0, 0, { 40000, 50000 }, { 80000, 100000 }, { -1, 1ll << 31 } },
    { SOCK_OPT_BROADCAST, UDP, SOL_SOCKET, SO_BROADCAST, 0, 0, { 1, 0 }, { 1, 0 }, { 2, -1 } },
    { SOCK_OPT_TTL, TCP | LISTENER | UDP, IPPROTO_IP, IP_TTL, IPPROTO_IPV6, IPV6_UNICAST_HOPS, { 1, 255 }, { 1, 255 }, { 0, 256 } },
    { SOCK_OPT_MULTICAST_TTL, UDP, IPPROTO_IP, IP_MULTICAST_TTL, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, { 0, 255 }, { 0, 255 }, { -2, 256 } },
    { SOCK_OPT_MULTICAST_LOOP, UDP, IPPROTO_IP, IP_MULTICAST_LOOP, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, { 0, 1 }, { 0, 1 }, { 2, -1 } },
    { SOCK_OPT_TOS, TCP | LISTENER | UDP, IPPROTO_IP, IP_TOS, IPPROTO_IPV6, IPV6_TCLASS, { 0x10, 0 }, { 0x10, 0 }, { 256, -1 } },
    { SOCK_OPT_CORK, TCP, IPPROTO_TCP, TCP_CORK, 0, 0, { 1, 0 }, { 1, 0 }, { 2, -1 } },
};
enum { OPTIONS = sizeof options / sizeof *options };

static const char *const option_names[] = { "",     "NODELAY",       "KEEPALIVE_MS",   "USER_TIMEOUT_MS", "LINGER_MS", "SEND_BUFFER", "RECEIVE_BUFFER", "BROADCAST",
                                            "TTL",  "MULTICAST_TTL", "MULTICAST_LOOP", "TOS",             "MARK",      "SPIN_US",     "QUICKACK",       "CORK" };

/* A socket of a kind, and what must be closed with it; 0 if this machine has no such thing. */
typedef struct made { sock_t socket, other[2]; } made;

static made make(int kind)
{
    static char name[64];
    made m = { 0 };
    if (kind & SIX && !have_ipv6()) return m;
    switch (kind) {
    case TCP4:
    case TCP6:
        m.other[0] = sock_listen(kind == TCP6 ? "::1" : "127.0.0.1", "0", NULL);
        CHECK(m.other[0], >, 0);
        m.socket = sock_open(kind == TCP6 ? "::1" : "127.0.0.1", port_text(port_of(m.other[0])), NULL);
        break;
    case LISTENER4: m.socket = sock_listen("127.0.0.1", "0", NULL); break;
    case LISTENER6: m.socket = sock_listen("::1", "0", NULL); break;
    case UNIX: {
        sock_t pair[2];
        CHECK(sock_pair(pair), ==, 0);
        m.socket = pair[0];
        m.other[0] = pair[1];
        break;
    }
    case UNIX_LISTENER:
    case UNIX_DATAGRAM:
        snprintf(name, sizeof name, "unix:@sock-test-%d-%d", (int)getpid(), kind);
        m.socket = kind == UNIX_LISTENER ? sock_listen(name, NULL, NULL) : sock_udp_bind(name, NULL, NULL);
        break;
    case UDP4: m.socket = sock_udp_bind("127.0.0.1", "0", NULL); break;
    case UDP6: m.socket = sock_udp_bind("::1", "0", NULL); break;
    }
    CHECK(m.socket, >, 0);
    return m;
}

static void unmake(made m)
{
    CHECK(sock_close(m.socket), ==, 0);
    for (int i = 0; i < 2; i++)
        if (m.other[i] > 0) CHECK(sock_close(m.other[i]), ==, 0);
}

static int kernel_value(sock_t s, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    CHECK(getsockopt(sock_fd(s), level, name, &value, &length), ==, 0);
    return value;
}

static void check_option(sock_t s, int kind, const struct option *o)
{
    bool six = kind & SIX && o->level6;
    context("option %s, kind %d", option_names[o->option], kind);
    if (!(o->has & kind)) {
        CHECK(sock_set_option(s, o->option, o->values[0]), ==, SOCK_ENOTSUP);
        CHECK(sock_get_option(s, o->option), ==, SOCK_ENOTSUP);
        return;
    }
    for (int i = 0; i < 2; i++) {
        CHECK(sock_set_option(s, o->option, o->values[i]), ==, 0);
        CHECK(kernel_value(s, six ? o->level6 : o->level, six ? o->name6 : o->name), ==, o->kernel[i]);
        bool doubled = o->option == SOCK_OPT_SEND_BUFFER || o->option == SOCK_OPT_RECEIVE_BUFFER;
        CHECK(sock_get_option(s, o->option), ==, o->values[i] * (doubled ? 2 : 1));
    }
    for (int i = 0; i < 2; i++) {
        CHECK(sock_set_option(s, o->option, o->refused[i]), ==, SOCK_EINVAL);
        CHECK(kernel_value(s, six ? o->level6 : o->level, six ? o->name6 : o->name), ==, o->kernel[1]);
    }
}

static void every_option_on_every_kind_of_socket(void)
{
    int kinds = 0;
    for (int kind = 1; kind < ALL; kind *= 2) {
        made m = make(kind);
        if (m.socket == 0) continue;
        for (int i = 0; i < OPTIONS; i++) check_option(m.socket, kind, &options[i]);
        context(NULL);
        unmake(m);
        kinds++;
    }
    CHECK(kinds, >=, 6);
}

static void the_systems_own_ttl_comes_back(void)
{
    made m = make(UDP4);
    int usual = kernel_value(m.socket, IPPROTO_IP, IP_TTL);
    CHECK(sock_set_option(m.socket, SOCK_OPT_TTL, 3), ==, 0);
    CHECK(sock_set_option(m.socket, SOCK_OPT_TTL, -1), ==, 0);
    CHECK(kernel_value(m.socket, IPPROTO_IP, IP_TTL), ==, usual);
    CHECK(sock_set_option(m.socket, SOCK_OPT_MULTICAST_TTL, -1), ==, 0);
    CHECK(kernel_value(m.socket, IPPROTO_IP, IP_MULTICAST_TTL), ==, 1);
    unmake(m);
}

static void times_in_between_are_rounded_up(void)
{
    made m = make(TCP4);
    struct linger linger;
    socklen_t length = sizeof linger;
    CHECK(sock_set_option(m.socket, SOCK_OPT_KEEPALIVE_MS, 1), ==, 0);
    CHECK(kernel_value(m.socket, IPPROTO_TCP, TCP_KEEPIDLE), ==, 1);
    CHECK(kernel_value(m.socket, IPPROTO_TCP, TCP_KEEPINTVL), ==, 1);
    CHECK(sock_set_option(m.socket, SOCK_OPT_KEEPALIVE_MS, INT64_MAX), ==, 0);
    CHECK(kernel_value(m.socket, IPPROTO_TCP, TCP_KEEPIDLE), ==, 32767);
    CHECK(sock_set_option(m.socket, SOCK_OPT_LINGER_MS, 1001), ==, 0);
    CHECK(getsockopt(sock_fd(m.socket), SOL_SOCKET, SO_LINGER, &linger, &length), ==, 0);
    CHECK(linger.l_linger, ==, 2);
    CHECK(sock_get_option(m.socket, SOCK_OPT_LINGER_MS), ==, 2000);
    CHECK(sock_set_option(m.socket, SOCK_OPT_LINGER_MS, INT64_MAX), ==, 0); /* as long as the kernel can */
    CHECK(sock_get_option(m.socket, SOCK_OPT_LINGER_MS), >, INT64_C(1000000000));
    CHECK(sock_set_option(m.socket, SOCK_OPT_LINGER_MS, -2), ==, SOCK_EINVAL);
    CHECK(sock_set_option(m.socket, SOCK_OPT_LINGER_MS, -1), ==, 0);
    unmake(m);
}

static void a_mark_needs_the_privilege(void)
{
    made m = make(TCP4);
    CHECK(sock_get_option(m.socket, SOCK_OPT_MARK), ==, 0);
    int code = sock_set_option(m.socket, SOCK_OPT_MARK, 0xfedcba98);
    if (code == 0) {
        CHECK((uint32_t)kernel_value(m.socket, SOL_SOCKET, SO_MARK), ==, 0xfedcba98);
        CHECK(sock_get_option(m.socket, SOCK_OPT_MARK), ==, 0xfedcba98);
    } else {
        CHECK(code, ==, SOCK_EACCES);
    }
    CHECK(sock_set_option(m.socket, SOCK_OPT_MARK, 1ll << 32), ==, SOCK_EINVAL);
    unmake(m);
}

static void what_is_no_socket_has_no_options(void)
{
    sock_t poller = sock_poller();
    CHECK(sock_set_option(poller, SOCK_OPT_SPIN_US, 1), ==, SOCK_ETYPE);
    CHECK(sock_get_option(poller, SOCK_OPT_SPIN_US), ==, SOCK_ETYPE);
    CHECK(sock_close(poller), ==, 0);
    CHECK(sock_set_option(poller, SOCK_OPT_NODELAY, 1), ==, SOCK_EHANDLE);
    CHECK(sock_get_option(0, SOCK_OPT_NODELAY), ==, SOCK_EHANDLE);
}

static const test_case cases[] = {
    CASE(every_option_on_every_kind_of_socket), CASE(the_systems_own_ttl_comes_back), CASE(times_in_between_are_rounded_up),
    CASE(a_mark_needs_the_privilege),           CASE(what_is_no_socket_has_no_options),
};
TEST_MAIN(cases)
