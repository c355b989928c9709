/* Descriptors: passed over unix sockets, adopted, looked at, handed over; credentials. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

enum { MOST = 253 };

static bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
static bool is_blocking(int fd) { return (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0; }
static bool is_close_on_exec(int fd) { return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

static bool same_file(int a, int b)
{
    struct stat one, other;
    CHECK(fstat(a, &one), ==, 0);
    CHECK(fstat(b, &other), ==, 0);
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static void close_both(sock_t a, sock_t b)
{
    CHECK(sock_close(a), ==, 0);
    CHECK(sock_close(b), ==, 0);
}

static void passed_descriptors_arrive_open_and_close_on_exec(void)
{
    static const int counts[] = {1, 2, 3, 100, MOST};
    sock_t pair[2];
    int pipe_ends[2], sent[MOST], got[MOST];
    unix_pair(pair);
    CHECK(pipe(pipe_ends), ==, 0);
    for (int i = 0; i < MOST; i++) sent[i] = pipe_ends[i % 2];
    for (size_t form = 0; form < sizeof counts / sizeof counts[0]; form++) {
        char buffer[16];
        size_t count = 999, expected = (size_t)counts[form];
        context("%zu descriptors", expected);
        CHECK(sock_send_fds(pair[0], "data", 4, sent, expected), ==, 4);
        CHECK(sock_recv_fds(pair[1], buffer, sizeof buffer, got, MOST, &count), ==, 4);
        CHECK(memcmp(buffer, "data", 4), ==, 0);
        CHECK(count, ==, expected);
        for (size_t i = 0; i < count; i++) {
            CHECK(is_close_on_exec(got[i]), ==, true);
            CHECK(same_file(got[i], sent[i]), ==, true);
            close(got[i]);
        }
    }
    context(NULL);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    close_both(pair[0], pair[1]);
}

static void too_many_and_closed_descriptors_are_refused(void)
{
    sock_t pair[2];
    int many[MOST + 1];
    char byte;
    unix_pair(pair);
    for (int i = 0; i <= MOST; i++) many[i] = 0;
    CHECK(sock_send_fds(pair[0], "x", 1, many, MOST + 1), ==, SOCK_EINVAL);
    CHECK(sock_send_fds(pair[0], "x", 1, &(int){-1}, 1), ==, SOCK_EINVAL);
    CHECK(sock_send_fds(pair[0], "x", 1, &(int){9999}, 1), ==, SOCK_EINVAL);
    CHECK(sock_send_fds(pair[0], "", 0, many, 1), ==, SOCK_EINVAL);
    CHECK(sock_send_fds(pair[0], "x", 1, NULL, 1), ==, SOCK_EINVAL);
    CHECK(sock_send_fds(pair[0], NULL, 1, many, 1), ==, SOCK_EINVAL);
    CHECK(sock_try_read(pair[1], &byte, 1), ==, SOCK_EAGAIN); /* nothing was sent */
    CHECK(sock_send_fds(pair[0], NULL, 0, NULL, 0), ==, 0);
    CHECK(sock_send_fds(pair[0], "x", 1, NULL, 0), ==, 1);
    size_t count = 9;
    CHECK(sock_recv_fds(pair[1], &byte, 1, NULL, 0, NULL), ==, SOCK_EINVAL);
    CHECK(sock_recv_fds(pair[1], &byte, 1, NULL, 1, &count), ==, SOCK_EINVAL);
    CHECK(count, ==, 0); /* with every failure */
    count = 9;
    CHECK(sock_recv_fds(pair[1], NULL, 1, NULL, 0, &count), ==, SOCK_EINVAL);
    CHECK(count, ==, 0);
    count = 9;
    CHECK(sock_recv_fds(0, &byte, 1, NULL, 0, &count), ==, SOCK_EHANDLE);
    CHECK(count, ==, 0);
    CHECK(sock_recv_fds(pair[1], &byte, 0, NULL, 0, &count), ==, 0);
    CHECK(sock_recv_fds(pair[1], &byte, 1, NULL, 0, &count), ==, 1);
    CHECK(count, ==, 0);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_recv_fds(pair[1], &byte, 1, NULL, 0, &count), ==, 0); /* the end of the stream */
    CHECK(sock_send_fds(pair[1], "x", 1, many, 1), ==, SOCK_EPIPE);
    CHECK(sock_close(pair[1]), ==, 0);
}

static void other_sockets_pass_none(void)
{
    sock_t pair[2], udp = sock_udp_bind("127.0.0.1", "0", NULL);
    char byte;
    size_t count;
    sock_credentials who;
    tcp_pair(pair);
    CHECK(sock_send_fds(pair[0], "x", 1, &(int){0}, 1), ==, SOCK_ENOTSUP);
    CHECK(sock_recv_fds(pair[1], &byte, 1, NULL, 0, &count), ==, SOCK_ENOTSUP);
    CHECK(sock_peer_credentials(pair[0], &who), ==, SOCK_ENOTSUP);
    CHECK(sock_send_fds(udp, "x", 1, &(int){0}, 1), ==, SOCK_ENOTSUP);
    CHECK(sock_peer_credentials(udp, &who), ==, SOCK_ENOTSUP);
    CHECK(sock_send_fds(0, "x", 1, NULL, 0), ==, SOCK_EHANDLE);
    CHECK(sock_recv_fds(-1, &byte, 1, NULL, 0, &count), ==, SOCK_EHANDLE);
    close_both(pair[0], pair[1]);
    CHECK(sock_close(udp), ==, 0);
}

static void surplus_descriptors_are_closed_and_told(void)
{
    sock_t pair[2];
    int sent[10], got[10];
    unix_pair(pair);
    for (int i = 0; i < 10; i++) sent[i] = i % 2; /* any that are open */
    for (size_t capacity = 0; capacity < 10; capacity++) {
        char buffer[8] = {0};
        size_t count = 99;
        int before = open_descriptors();
        context("room for %zu of 10", capacity);
        CHECK(sock_send_fds(pair[0], "data", 4, sent, 10), ==, 4);
        CHECK(sock_recv_fds(pair[1], buffer, sizeof buffer, got, capacity, &count), ==, SOCK_ETRUNC);
        CHECK(sock_last_count(), ==, 4);
        CHECK(memcmp(buffer, "data", 4), ==, 0);
        CHECK(count, ==, capacity);
        CHECK(open_descriptors(), ==, before + (int)capacity);
        for (size_t i = 0; i < count; i++) close(got[i]);
    }
    context(NULL);
    close_both(pair[0], pair[1]);
}

static void at_the_limit_of_descriptors_the_bytes_still_come(void)
{
    sock_t pair[2];
    int sent[3] = {0, 1, 2}, got[3];
    char buffer[8];
    size_t count = 99;
    if (under_valgrind()) skip("valgrind keeps limits of descriptors to itself");
    unix_pair(pair);
    int before = open_descriptors();
    CHECK(sock_send_fds(pair[0], "data", 4, sent, 3), ==, 4);
    /* Room for one more. */
    int next = dup(0);
    close(next);
    struct rlimit limit, tight;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    tight = (struct rlimit){(rlim_t)next + 1, limit.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &tight), ==, 0);
    int64_t result = sock_recv_fds(pair[1], buffer, sizeof buffer, got, 3, &count);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    CHECK(result, ==, SOCK_ETRUNC);
    CHECK(sock_last_count(), ==, 4);
    CHECK(count, ==, 1);
    close(got[0]);
    CHECK(open_descriptors(), ==, before);
    close_both(pair[0], pair[1]);
}

/* Descriptors on their way count against the sender's limit, but not for the privileged. */
static void too_many_on_their_way_are_a_limit(void)
{
    if (under_valgrind()) skip("valgrind keeps limits of descriptors to itself");
    pid_t child = fork_child();
    if (child == 0) {
        sock_t pair[2];
        int64_t sent = 1;
        int fds[10];
        for (int i = 0; i < 10; i++) fds[i] = i % 3;
        unix_pair(pair);
        CHECK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64}), ==, 0);
        CHECK(getuid() != 0 || setresuid(65534, 65534, 65534) == 0, ==, true);
        for (int i = 0; i < 100 && sent == 1; i++) sent = sock_send_fds(pair[0], "x", 1, fds, 10);
        CHECK(sent, ==, SOCK_ELIMIT);
        /* Those that went are all there. */
        int got[10];
        char byte;
        size_t count;
        CHECK(sock_recv_fds(pair[1], &byte, 1, got, 10, &count), ==, 1);
        CHECK(count, ==, 10);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
}

static void no_other_reading_call_leaks_a_descriptor(void)
{
    sock_t pair[2];
    char buffer[16];
    struct iovec part = {buffer, 4};
    unix_pair(pair);
    int before = open_descriptors(), sent[3] = {0, 1, 2};
    for (int call = 0; call < 6; call++) {
        context("call %d", call);
        CHECK(sock_send_fds(pair[0], "abc\n", 4, sent, 3), ==, 4);
        switch (call) {
        case 0: CHECK(sock_read(pair[1], buffer, 4), ==, 4); break;
        case 1: CHECK(sock_read_exact(pair[1], buffer, 4), ==, 4); break;
        case 2: CHECK(sock_read_line(pair[1], buffer, 16), ==, 3); break;
        case 3: CHECK(sock_readv(pair[1], &part, 1), ==, 4); break;
        case 4: CHECK(sock_try_read(pair[1], buffer, 4), ==, 4); break;
        default:
            CHECK(sock_peek(pair[1], buffer, 4), ==, 4);
            CHECK(sock_read(pair[1], buffer, 4), ==, 4);
        }
        CHECK(open_descriptors(), ==, before);
    }
    context(NULL);
    /* Unread, they go with the socket. */
    CHECK(sock_send_fds(pair[0], "abc\n", 4, sent, 3), ==, 4);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(open_descriptors(), ==, before - 1);
    CHECK(sock_close(pair[0]), ==, 0);
}

static void read_ahead_bytes_come_first(void)
{
    sock_t pair[2];
    char line[16];
    int got[2];
    size_t count = 99;
    unix_pair(pair);
    CHECK(sock_write(pair[0], "one\nrest", 8), ==, 8);
    CHECK(sock_read_line(pair[1], line, sizeof line), ==, 3);
    CHECK(sock_send_fds(pair[0], "data", 4, (int[]){0, 1}, 2), ==, 4);
    CHECK(sock_recv_fds(pair[1], line, sizeof line, got, 2, &count), ==, 4);
    CHECK(memcmp(line, "rest", 4), ==, 0);
    CHECK(count, ==, 0);
    CHECK(sock_recv_fds(pair[1], line, sizeof line, got, 2, &count), ==, 4);
    CHECK(memcmp(line, "data", 4), ==, 0);
    CHECK(count, ==, 2);
    close(got[0]);
    close(got[1]);
    close_both(pair[0], pair[1]);
}

static void two_messages_keep_their_descriptors_apart(void)
{
    sock_t pair[2];
    char buffer[16];
    int ends[2], got[2];
    size_t count;
    unix_pair(pair);
    CHECK(pipe(ends), ==, 0);
    CHECK(sock_send_fds(pair[0], "a", 1, &ends[0], 1), ==, 1);
    CHECK(sock_send_fds(pair[0], "b", 1, &ends[1], 1), ==, 1);
    for (int i = 0; i < 2; i++) {
        CHECK(sock_recv_fds(pair[1], buffer, sizeof buffer, got, 2, &count), ==, 1);
        CHECK(buffer[0], ==, 'a' + i);
        CHECK(count, ==, 1);
        CHECK(same_file(got[0], ends[i]), ==, true);
        close(got[0]);
        close(ends[i]);
    }
    close_both(pair[0], pair[1]);
}

static int64_t call_recv_fds(call *c)
{
    size_t count;
    return sock_recv_fds(c->socket, c->buffer, c->size, NULL, 0, &count);
}

static int64_t call_send_fds(call *c) { return sock_send_fds(c->socket, c->buffer, c->size, &(int){0}, 1); }

static void passing_waits_and_ends_as_reading_does(void)
{
    sock_t pair[2];
    static char large[1 << 20];
    unix_pair(pair);
    call c = {.run = call_recv_fds, .socket = pair[1], .buffer = large, .size = 1};
    CHECK(sock_set_timeout(pair[1], SOCK_READ, 20), ==, 0);
    CHECK(call_recv_fds(&c), ==, SOCK_ETIMEDOUT);
    CHECK(sock_set_timeout(pair[1], SOCK_READ, SOCK_FOREVER), ==, 0);
    call_start(&c);
    call_wait_asleep(&c);
    CHECK(sock_write(pair[0], "x", 1), ==, 1);
    CHECK(call_join(&c), ==, 1);
    /* More than fits goes in parts, the descriptor with the first. */
    call send = {.run = call_send_fds, .socket = pair[0], .buffer = large, .size = sizeof large};
    call_start(&send);
    call_wait_asleep(&send);
    size_t done = 0, count, passed = 0;
    char *in = malloc(sizeof large);
    while (done < sizeof large) {
        int fd;
        int64_t length = sock_recv_fds(pair[1], in, sizeof large, &fd, 1, &count);
        CHECK(length, >, 0);
        CHECK(count == 0 || done == 0, ==, true);
        if (count) close(fd);
        passed += count;
        done += (size_t)length;
    }
    free(in);
    CHECK(passed, ==, 1);
    CHECK(call_join(&send), ==, sizeof large);
    call_start(&c);
    call_wait_asleep(&c);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(call_join(&c), ==, SOCK_ECLOSED);
    CHECK(sock_close(pair[0]), ==, 0);
}

static void datagrams_carry_descriptors(void)
{
    int fds[2], got[2];
    char buffer[4];
    size_t count;
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    sock_t a = sock_from_fd(fds[0]), b = sock_from_fd(fds[1]);
    CHECK(a, >, 0);
    CHECK(b, >, 0);
    CHECK(sock_send_fds(a, NULL, 0, &(int){0}, 1), ==, 0);
    CHECK(sock_recv_fds(b, NULL, 0, got, 2, &count), ==, 0);
    CHECK(count, ==, 1);
    close(got[0]);
    CHECK(sock_send_fds(a, "abcdef", 6, (int[]){0, 1}, 2), ==, 6);
    CHECK(sock_recv_fds(b, buffer, 4, got, 2, &count), ==, SOCK_ETRUNC);
    CHECK(sock_last_count(), ==, 4);
    CHECK(count, ==, 2);
    close(got[0]);
    close(got[1]);
    CHECK(sock_set_timeout(b, SOCK_READ, 20), ==, 0); /* for there is no more */
    CHECK(sock_recv_fds(b, buffer, 4, got, 2, &count), ==, SOCK_ETIMEDOUT);
    close_both(a, b);
}

static void a_socket_may_be_passed_through_itself(void)
{
    sock_t pair[2];
    int passed[2];
    char bytes[4];
    size_t count;
    unix_pair(pair);
    CHECK(sock_send_fds(pair[0], "self", 4, (int[]){ sock_fd(pair[0]), sock_fd(pair[1]) }, 2), ==, 4);
    CHECK(sock_recv_fds(pair[1], bytes, 4, passed, 2, &count), ==, 4);
    CHECK(count, ==, 2);
    CHECK(write(passed[0], "copy", 4), ==, 4);
    CHECK(sock_read_exact(pair[1], bytes, 4), ==, 4);
    CHECK(memcmp(bytes, "copy", 4), ==, 0);
    close(passed[0]);
    close(passed[1]);
    close_both(pair[0], pair[1]);
}

static void a_passed_connection_outlives_our_copy(void)
{
    sock_t tcp[2], pair[2];
    char byte;
    int got;
    size_t count;
    tcp_pair(tcp);
    unix_pair(pair);
    CHECK(sock_send_fds(pair[0], "x", 1, &(int){sock_fd(tcp[1])}, 1), ==, 1);
    CHECK(sock_close(tcp[1]), ==, 0);
    CHECK(sock_recv_fds(pair[1], &byte, 1, &got, 1, &count), ==, 1);
    sock_t passed = sock_from_fd(got);
    CHECK(sock_write(passed, "alive", 5), ==, 5);
    char buffer[8];
    CHECK(sock_read_exact(tcp[0], buffer, 5), ==, 5);
    close_both(tcp[0], passed);
    close_both(pair[0], pair[1]);
}

static void expect_peer(sock_t s, pid_t pid)
{
    sock_credentials who;
    CHECK(sock_peer_credentials(s, &who), ==, 0);
    CHECK(who.pid, ==, pid);
    CHECK(who.uid, ==, getuid());
    CHECK(who.gid, ==, getgid());
}

static void credentials_are_the_peers(void)
{
    char host[80], ready;
    snprintf(host, sizeof host, "unix:@sock-descriptors-%d-%lld", (int)getpid(), (long long)now_us());
    sock_t listener = sock_listen(host, NULL, NULL);
    int out[2];
    CHECK(pipe(out), ==, 0);
    pid_t child = fork_child();
    if (child == 0) {
        sock_t s = sock_open(host, NULL, NULL);
        sock_credentials who;
        CHECK(sock_peer_credentials(s, &who), ==, 0);
        CHECK(who.pid, ==, getppid());
        CHECK(sock_read(s, &ready, 1), ==, 0); /* until the parent has seen enough */
        _exit(0);
    }
    sock_t s = sock_accept(listener);
    sock_credentials who;
    expect_peer(s, child);
    CHECK(sock_close(s), ==, 0);
    CHECK(child_status(child), ==, 0);
    CHECK(sock_peer_credentials(listener, &who), ==, SOCK_ETYPE);
    CHECK(sock_peer_credentials(s, &who), ==, SOCK_EHANDLE);
    CHECK(sock_close(listener), ==, 0);
    sock_t pair[2], unconnected = sock_udp_bind(host, NULL, NULL);
    unix_pair(pair);
    CHECK(sock_peer_credentials(pair[0], &who), ==, 0);
    CHECK(who.pid, ==, getpid());
    CHECK(sock_peer_credentials(pair[0], NULL), ==, SOCK_EINVAL);
    CHECK(sock_peer_credentials(unconnected, &who), ==, SOCK_ENOTCONN);
    close_both(pair[0], pair[1]);
    CHECK(sock_close(unconnected), ==, 0);
    close(out[0]);
    close(out[1]);
}

static int kind_of(sock_t s)
{
    sock_info info = {.size = sizeof info};
    CHECK(sock_get_info(s, &info), ==, 0);
    return info.kind;
}

/* Whoever connected stays the peer, whatever program it has become. */
static void credentials_survive_an_exec_of_the_peer(void)
{
    char host[80], bytes[4];
    snprintf(host, sizeof host, "unix:@sock-descriptors-%d-%lld", (int)getpid(), (long long)now_us());
    sock_t listener = sock_listen(host, NULL, NULL);
    pid_t child = fork_child();
    if (child == 0) {
        sock_t s = sock_open(host, NULL, NULL);
        if (dup2(sock_fd(s), STDIN_FILENO) < 0 || dup2(sock_fd(s), STDOUT_FILENO) < 0) _exit(1);
        if (fcntl(STDIN_FILENO, F_SETFL, 0) < 0) _exit(1); /* cat expects to be able to wait */
        execlp("cat", "cat", (char *)NULL);
        _exit(127);
    }
    sock_t s = sock_accept(listener);
    CHECK(s, >, 0);
    CHECK(sock_write(s, "ping", 4), ==, 4);
    CHECK(sock_read_exact(s, bytes, 4), ==, 4); /* cat is there */
    expect_peer(s, child);
    CHECK(sock_close(s), ==, 0);
    CHECK(child_status(child), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void every_kind_of_socket_can_be_adopted(void)
{
    static const struct { int domain, type, kind; } kinds[] = {
        {AF_INET, SOCK_STREAM, SOCK_KIND_STREAM},  {AF_INET6, SOCK_STREAM, SOCK_KIND_STREAM},
        {AF_UNIX, SOCK_STREAM, SOCK_KIND_STREAM},  {AF_INET, SOCK_DGRAM, SOCK_KIND_DATAGRAM},
        {AF_UNIX, SOCK_DGRAM, SOCK_KIND_DATAGRAM}, {AF_UNIX, SOCK_SEQPACKET, SOCK_KIND_DATAGRAM},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        context("kind %zu", i);
        int fd = socket(kinds[i].domain, kinds[i].type, 0);
        if (fd < 0) continue; /* no IPv6 here */
        sock_t s = sock_from_fd(fd);
        CHECK(s, >, 0);
        CHECK(kind_of(s), ==, kinds[i].kind);
        CHECK(sock_fd(s), ==, fd);
        CHECK(is_blocking(fd), ==, true);
        CHECK(is_close_on_exec(fd), ==, true);
        CHECK(sock_close(s), ==, 0);
        CHECK(is_open(fd), ==, false);
    }
    uint16_t port;
    sock_t listener = sock_from_fd(raw_listen(&port));
    context(NULL);
    CHECK(kind_of(listener), ==, SOCK_KIND_LISTENER);
    CHECK(port_of(listener), ==, port);
    CHECK(sock_close(listener), ==, 0);
}

/* Sockets of other families are datagram sockets without addresses that the library could show. */
static void a_socket_of_another_family_can_be_adopted(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    sock_info info = {.size = sizeof info};
    char byte;
    CHECK(fd, >=, 0);
    sock_t s = sock_from_fd(fd);
    CHECK(s, >, 0);
    CHECK(sock_get_info(s, &info), ==, 0);
    CHECK(info.kind, ==, SOCK_KIND_DATAGRAM);
    CHECK(info.family, ==, SOCK_ANY);
    CHECK(sock_try_read(s, &byte, 1), ==, SOCK_EAGAIN);
    CHECK(sock_close(s), ==, 0);
}

static void an_adopted_socket_that_was_never_connected_says_so(void)
{
    sock_t s = sock_from_fd(socket(AF_INET, SOCK_STREAM, 0));
    sock_address address;
    char byte;
    CHECK(s, >, 0);
    CHECK(sock_read(s, &byte, 1), ==, SOCK_ENOTCONN);
    CHECK(sock_try_read(s, &byte, 1), ==, SOCK_ENOTCONN);
    CHECK(sock_write(s, "x", 1), ==, SOCK_ENOTCONN);
    CHECK(sock_peer_address(s, &address), ==, SOCK_ENOTCONN);
    CHECK(sock_shutdown(s, SOCK_WRITE), ==, SOCK_ENOTCONN);
    CHECK(sock_close(s), ==, 0);
}

/* The end of a connection that was made behind the library's back is reported like that of any other. */
static void an_adopted_socket_may_be_connected_later(void)
{
    uint16_t port;
    int listener = raw_listen(&port), fd = socket(AF_INET, SOCK_STREAM, 0);
    sock_t s = sock_from_fd(fd);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    CHECK(s, >, 0);
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof to), ==, 0);
    raw_close(raw_accept(listener));
    char byte;
    CHECK(sock_read(s, &byte, 1), ==, 0);
    CHECK(sock_write(s, "x", 1), ==, 1); /* to which the peer's machine answers with a reset */
    int64_t result;
    WAIT_UNTIL((result = sock_try_write(s, "x", 1)) < 0);
    CHECK(result, ==, SOCK_EPIPE);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void what_is_no_socket_is_refused_and_left_alone(void)
{
    int ends[2], file = open("/dev/null", O_RDWR);
    CHECK(pipe(ends), ==, 0);
    CHECK(sock_from_fd(-1), ==, SOCK_EINVAL);
    CHECK(sock_from_fd(9999), ==, SOCK_EINVAL);
    CHECK(sock_from_fd(file), ==, SOCK_EINVAL);
    CHECK(sock_from_fd(ends[0]), ==, SOCK_EINVAL);
    CHECK(is_open(file) && is_open(ends[0]), ==, true);
    CHECK(is_close_on_exec(file), ==, false);
    CHECK(is_blocking(ends[0]), ==, true);
    close(file);
    close(ends[0]);
    close(ends[1]);
    CHECK(sock_fd(0), ==, SOCK_EHANDLE);
    CHECK(sock_release_fd(12345), ==, SOCK_EHANDLE);
}

static int64_t call_from_fd(call *c) { return sock_from_fd((int)c->number); }

static void no_descriptor_has_two_handles(void)
{
    int fds[2];
    sock_t pair[2], listener = listen_local();
    unix_pair(pair);
    CHECK(sock_from_fd(sock_fd(pair[0])), ==, SOCK_EBUSY);
    CHECK(sock_from_fd(sock_fd(listener)), ==, SOCK_EBUSY);
    CHECK(sock_write(pair[0], "x", 1), ==, 1);
    close_pair(pair);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    for (int i = 0; i < 3; i++) {
        sock_t adopted = sock_from_fd(fds[0]);
        CHECK(adopted, >, 0);
        CHECK(sock_from_fd(fds[0]), ==, SOCK_EBUSY);
        CHECK(is_close_on_exec(fds[0]), ==, true);
        CHECK(sock_release_fd(adopted), ==, fds[0]);
    }
    /* Of two that adopt at once, one does. */
    for (int i = 0; i < rounds(200); i++) {
        call both[2] = { { .run = call_from_fd, .number = fds[0] }, { .run = call_from_fd, .number = fds[0] } };
        for (int j = 0; j < 2; j++) call_start(&both[j]);
        for (int j = 0; j < 2; j++) call_join(&both[j]);
        int winner = both[1].result > 0;
        CHECK(both[winner].result, >, 0);
        CHECK(both[!winner].result, ==, SOCK_EBUSY);
        CHECK(sock_release_fd(both[winner].result), ==, fds[0]);
    }
    close(fds[0]);
    close(fds[1]);
    CHECK(sock_close(listener), ==, 0);
}

/* A number that was closed behind a handle's back is soon another socket's, which is then its handle's. */
static void a_number_that_was_closed_under_a_handle_can_be_used(void)
{
    sock_t pair[2], fresh[2];
    unix_pair(pair);
    int stolen = sock_fd(pair[0]), spare = dup(stolen);
    close(stolen);
    unix_pair(fresh);
    CHECK(sock_fd(fresh[0]), ==, stolen);
    CHECK(sock_from_fd(stolen), ==, SOCK_EBUSY);
    CHECK(sock_write(fresh[0], "x", 1), ==, 1);
    CHECK(sock_close(fresh[0]), ==, 0);
    CHECK(dup2(spare, stolen), ==, stolen);
    close(spare);
    CHECK(sock_close(fresh[1]), ==, 0);
    close_pair(pair);
}

static void an_adopted_connection_works_and_waits_without_blocking(void)
{
    int fds[2];
    char buffer[8];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    sock_t s = sock_from_fd(fds[0]);
    CHECK(sock_set_timeout(s, SOCK_READ | SOCK_WRITE, 20), ==, 0);
    CHECK(sock_read(s, buffer, 1), ==, SOCK_ETIMEDOUT);
    CHECK(sock_try_read(s, buffer, 1), ==, SOCK_EAGAIN);
    CHECK(sock_write(s, "hello", 5), ==, 5);
    raw_receive(fds[1], buffer, 5);
    CHECK(fill(s), >, 0);
    CHECK(sock_write(s, "x", 1), ==, SOCK_ETIMEDOUT);
    CHECK(is_blocking(fds[0]), ==, true);
    call read = {.run = call_read, .socket = s, .buffer = buffer, .size = 1};
    CHECK(sock_set_timeout(s, SOCK_READ, SOCK_FOREVER), ==, 0);
    call_start(&read);
    call_wait_asleep(&read);
    CHECK(sock_close(s), ==, 0);
    CHECK(call_join(&read), ==, SOCK_ECLOSED);
    raw_close(fds[1]);
}

static void sequenced_packets_keep_their_boundaries(void)
{
    int fds[2];
    char buffer[8];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), ==, 0);
    sock_t a = sock_from_fd(fds[0]), b = sock_from_fd(fds[1]);
    CHECK(sock_write(a, "one", 3), ==, 3);
    CHECK(sock_write(a, "three", 5), ==, 5);
    CHECK(sock_read(b, buffer, 8), ==, 3);
    CHECK(sock_read(b, buffer, 2), ==, SOCK_ETRUNC);
    CHECK(sock_try_read(b, buffer, 8), ==, SOCK_EAGAIN);
    CHECK(sock_close(a), ==, 0);
    CHECK(sock_read(b, buffer, 8), ==, 0);
    CHECK(sock_close(b), ==, 0);

    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "sock-packets-%d-%lld", (int)getpid(), (long long)now_us());
    socklen_t size = (socklen_t)(sizeof name.sun_family + 1 + (size_t)length);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0), client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    CHECK(bind(fd, (struct sockaddr *)&name, size), ==, 0);
    CHECK(listen(fd, 4), ==, 0);
    sock_t listener = sock_from_fd(fd);
    CHECK(connect(client, (struct sockaddr *)&name, size), ==, 0);
    sock_t s = sock_accept(listener);
    CHECK(kind_of(s), ==, SOCK_KIND_DATAGRAM);
    raw_send(client, "ab", 2);
    raw_send(client, "cd", 2);
    CHECK(sock_read(s, buffer, 8), ==, 2);
    CHECK(sock_read(s, buffer, 8), ==, 2);
    raw_close(client);
    close_both(s, listener);
}

/* The kernel would give a batch as many empty packets as it has entries. */
static void the_end_of_sequenced_packets_is_no_packet_of_a_batch(void)
{
    enum { MOST = 70 };
    const int sizes[] = {1, 2, 64, MOST};
    char bytes[MOST];
    sock_datagram in[MOST];
    for (int i = 0; i < MOST; i++) in[i] = (sock_datagram){.data = &bytes[i], .size = 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int fds[2];
        context("batches of %d", sizes[i]);
        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), ==, 0);
        sock_t s = sock_from_fd(fds[0]), poller = sock_poller();
        sock_event event;
        CHECK(sock_poller_add(poller, s, SOCK_READ, NULL), ==, 0);
        CHECK(send(fds[1], "", 0, 0), ==, 0); /* an empty packet that is followed by another is a packet */
        raw_send(fds[1], "x", 1);
        close(fds[1]);
        int64_t got = 0;
        while (got < 2) {
            CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 1);
            CHECK(event.ready & SOCK_READ, ==, SOCK_READ);
            int64_t count = sock_recv_batch(s, in, (size_t)sizes[i]);
            CHECK(count, >, 0);
            got += count;
        }
        CHECK(got, ==, 2);
        CHECK(bytes[sizes[i] > 1 ? 1 : 0], ==, 'x');
        CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 1); /* the end has not been read yet */
        CHECK(event.ready & SOCK_READ, ==, SOCK_READ);
        CHECK(sock_recv_batch(s, in, (size_t)sizes[i]), ==, 0);
        CHECK(sock_recv_batch(s, in, (size_t)sizes[i]), ==, 0);
        CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 0);
        close_both(s, poller);
    }
}

/* Unlike sequenced packets, they have no end: one that is shut down reports that itself when all has been read. */
static void empty_unix_datagrams_that_came_before_a_shutdown_are_delivered(void)
{
    int fds[2];
    char byte;
    sock_datagram one = {.data = &byte, .size = 1};
    sock_event event;
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), ==, 0);
    sock_t s = sock_from_fd(fds[0]), poller = sock_poller();
    CHECK(sock_poller_add(poller, s, SOCK_READ, NULL), ==, 0);
    for (int i = 0; i < 3; i++) CHECK(send(fds[1], "", 0, 0), ==, 0);
    CHECK(sock_shutdown(s, SOCK_READ), ==, 0);
    for (int i = 0; i < 3; i++) {
        CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 1);
        CHECK(event.ready & SOCK_READ, ==, SOCK_READ);
        CHECK(i == 0 ? sock_read(s, &byte, 1) + 1 : sock_recv_batch(s, &one, 1), ==, 1);
    }
    CHECK(sock_recv_batch(s, &one, 1), ==, 0);
    CHECK(sock_poller_wait(poller, &event, 1, 0), ==, 0);
    close_both(s, poller);
    close(fds[1]);
}

static void accepting_on_an_adopted_blocking_listener_never_blocks(void)
{
    uint16_t port;
    int fd = raw_listen(&port), copy = dup(fd);
    CHECK(fcntl(fd, F_SETFL, 0), ==, 0);
    sock_t listener = sock_from_fd(fd);
    CHECK(is_blocking(copy), ==, true);
    CHECK(sock_try_accept(listener), ==, SOCK_EAGAIN);
    CHECK(sock_set_timeout(listener, SOCK_READ, 20), ==, 0);
    CHECK(sock_accept(listener), ==, SOCK_ETIMEDOUT);
    int peer = raw_connect(port);
    sock_t s = sock_accept(listener);
    CHECK(s, >, 0);
    CHECK(sock_close(s), ==, 0);
    raw_close(peer);
    CHECK(sock_close(listener), ==, 0);
    CHECK(is_blocking(copy), ==, true); /* as it was, for whoever else has it */
    close(copy);
}

static void a_released_descriptor_is_as_it_was(void)
{
    uint16_t port;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int fd = raw_listen(&port);
        CHECK(fcntl(fd, F_SETFL, nonblocking ? O_NONBLOCK : 0), ==, 0);
        CHECK(fcntl(fd, F_SETFD, 0), ==, 0);
        sock_t s = sock_from_fd(fd);
        CHECK(sock_try_accept(s), ==, SOCK_EAGAIN);
        CHECK(is_close_on_exec(fd), ==, true);
        CHECK(sock_release_fd(s), ==, fd);
        CHECK(is_blocking(fd), ==, !nonblocking);
        CHECK(is_close_on_exec(fd), ==, false);
        CHECK(sock_release_fd(s), ==, SOCK_EHANDLE);
        CHECK(sock_close(s), ==, SOCK_EHANDLE);
        int peer = raw_connect(port); /* the socket still listens */
        raw_close(peer);
        close(fd);
    }
    sock_t pair[2];
    char byte;
    tcp_pair(pair);
    int fd = sock_fd(pair[0]);
    CHECK(sock_release_fd(pair[0]), ==, fd);
    raw_send(fd, "x", 1);
    CHECK(sock_read(pair[1], &byte, 1), ==, 1);
    CHECK(is_close_on_exec(fd), ==, true);
    raw_close(fd);
    CHECK(sock_read(pair[1], &byte, 1), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
}

static void a_handle_in_use_is_not_released(void)
{
    sock_t pair[2];
    char buffer[8];
    unix_pair(pair);
    call read = {.run = call_read, .socket = pair[0], .buffer = buffer, .size = 8};
    call_start(&read);
    call_wait_asleep(&read);
    CHECK(sock_release_fd(pair[0]), ==, SOCK_EBUSY);
    CHECK(sock_write(pair[1], "a\nbc", 4), ==, 4);
    CHECK(call_join(&read), ==, 4);
    CHECK(fill(pair[0]), >, 0);
    call write = {.run = call_write, .socket = pair[0], .buffer = buffer, .size = 1};
    call_start(&write);
    call_wait_asleep(&write);
    CHECK(sock_release_fd(pair[0]), ==, SOCK_EBUSY);
    CHECK(strstr(sock_last_error(), "another call") != NULL, ==, true);
    CHECK(sock_cancel(pair[0]), ==, 0);
    CHECK(call_join(&write), ==, SOCK_ECANCELED);
    /* Read-ahead would be lost. */
    CHECK(sock_write(pair[1], "a\nbc", 4), ==, 4);
    CHECK(sock_read_line(pair[0], buffer, 8), ==, 1);
    CHECK(sock_release_fd(pair[0]), ==, SOCK_EBUSY);
    CHECK(strstr(sock_last_error(), "read ahead") != NULL, ==, true);
    CHECK(sock_read(pair[0], buffer, 8), ==, 2);
    int fd = sock_release_fd(pair[0]);
    CHECK(fd, >=, 0);
    close(fd);
    CHECK(sock_close(pair[1]), ==, 0);
}

static void stop_at_once(sock_t connection, void *context)
{
    (void)context;
    CHECK(sock_close(connection), ==, 0);
}

static void a_listener_that_a_server_has_is_not_released(void)
{
    sock_t listener = listen_local(), server = sock_serve(listener, stop_at_once, NULL, NULL);
    CHECK(server, >, 0);
    CHECK(sock_release_fd(listener), ==, SOCK_EBUSY);
    CHECK(sock_close(server), ==, 0);
    CHECK(sock_close(listener), ==, SOCK_EHANDLE); /* it went with the server */
}

/* The path of a released socket is its new owner's to remove. */
static void a_released_listener_leaves_its_path(void)
{
    char folder[FOLDER], host[UNIX_HOST];
    make_unix_host(folder, host);
    sock_t listener = sock_listen(host, NULL, NULL);
    CHECK(listener, >, 0);
    int fd = sock_release_fd(listener);
    CHECK(fd, >=, 0);
    sock_t client = sock_open(host, NULL, NULL); /* it still listens there */
    CHECK(client, >, 0);
    CHECK(sock_close(client), ==, 0);
    close(fd);
    CHECK(unlink(host + strlen("unix:")), ==, 0);
    CHECK(rmdir(folder), ==, 0);
}

static void a_released_datagram_socket_joins_none(void)
{
    static char room[65536];
    int on = 1;
    socklen_t length = sizeof on;
    sock_t s = sock_udp_bind("127.0.0.1", "0", NULL);
    sock_datagram one = {.data = room, .size = sizeof room};
    CHECK(sock_set_timeout(s, SOCK_READ, 0), ==, 0);
    CHECK(sock_recv_batch(s, &one, 1), ==, SOCK_ETIMEDOUT);
    int fd = sock_release_fd(s);
    CHECK(fd, >=, 0);
    if (getsockopt(fd, IPPROTO_UDP, 104 /* UDP_GRO */, &on, &length) == 0) CHECK(on, ==, 0);
    close(fd);
}

/* With SO_PASSPIDFD the kernel adds a descriptor of the sender's process to each message, which nobody can ask this library for. */
static void a_descriptor_of_the_senders_process_is_closed(void)
{
    int pair[2], on = 1, passed;
    size_t count = 999;
    char byte;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    if (setsockopt(pair[0], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on) != 0) skip("this kernel has no SO_PASSPIDFD");
    sock_t s = sock_from_fd(pair[0]), sender = sock_from_fd(pair[1]);
    int before = open_descriptors();
    CHECK(sock_send_fds(sender, "x", 1, pair, 1), ==, 1);
    CHECK(sock_recv_fds(s, &byte, 1, &passed, 1, &count), ==, 1);
    CHECK(count, ==, 1);
    CHECK(same_file(passed, pair[0]), ==, true);
    close(passed);
    CHECK(open_descriptors(), ==, before);
    close_both(s, sender);
}

static const test_case cases[] = {
    CASE(passed_descriptors_arrive_open_and_close_on_exec),
    CASE(too_many_and_closed_descriptors_are_refused),
    CASE(other_sockets_pass_none),
    CASE(surplus_descriptors_are_closed_and_told),
    CASE(a_descriptor_of_the_senders_process_is_closed),
    CASE(at_the_limit_of_descriptors_the_bytes_still_come),
    CASE(too_many_on_their_way_are_a_limit),
    CASE(no_other_reading_call_leaks_a_descriptor),
    CASE(read_ahead_bytes_come_first),
    CASE(two_messages_keep_their_descriptors_apart),
    CASE(passing_waits_and_ends_as_reading_does),
    CASE(datagrams_carry_descriptors),
    CASE(a_socket_may_be_passed_through_itself),
    CASE(a_passed_connection_outlives_our_copy),
    CASE(credentials_are_the_peers),
    CASE(credentials_survive_an_exec_of_the_peer),
    CASE(every_kind_of_socket_can_be_adopted),
    CASE(a_socket_of_another_family_can_be_adopted),
    CASE(an_adopted_socket_that_was_never_connected_says_so),
    CASE(an_adopted_socket_may_be_connected_later),
    CASE(what_is_no_socket_is_refused_and_left_alone),
    CASE(no_descriptor_has_two_handles),
    CASE(a_number_that_was_closed_under_a_handle_can_be_used),
    CASE(an_adopted_connection_works_and_waits_without_blocking),
    CASE(sequenced_packets_keep_their_boundaries),
    CASE(the_end_of_sequenced_packets_is_no_packet_of_a_batch),
    CASE(empty_unix_datagrams_that_came_before_a_shutdown_are_delivered),
    CASE(accepting_on_an_adopted_blocking_listener_never_blocks),
    CASE(a_released_descriptor_is_as_it_was),
    CASE(a_handle_in_use_is_not_released),
    CASE(a_listener_that_a_server_has_is_not_released),
    CASE(a_released_listener_leaves_its_path),
    CASE(a_released_datagram_socket_joins_none),
};
TEST_MAIN(cases)
