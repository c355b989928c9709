/* Sockets passed by a service manager: LISTEN_PID, LISTEN_FDS, and descriptors from 3 on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

/* In a child: puts `sockets` and what else is given at 3 and on, as a service manager does before exec, and sets the variables. */
static void pass(const int *fds, int count, const char *pid, const char *number)
{
    char text[16];
    int high[8];
    for (int i = 0; i < count; i++) high[i] = fcntl(fds[i], F_DUPFD, 100);
    for (int i = 0; i < count; i++) CHECK(dup2(high[i], 3 + i), ==, 3 + i);
    for (int i = 0; i < count; i++) close(high[i]);
    snprintf(text, sizeof text, "%d", pid ? atoi(pid) : (int)getpid());
    setenv("LISTEN_PID", text, 1);
    snprintf(text, sizeof text, "%d", count);
    setenv("LISTEN_FDS", number ? number : text, 1);
    setenv("LISTEN_FDNAMES", "web:admin", 1);
}

static bool is_close_on_exec(int fd) { return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

static void passed_sockets_are_adopted_in_order(void)
{
    uint16_t ports[2];
    int fds[] = {raw_listen(&ports[0]), raw_listen(&ports[1])};
    pid_t child = fork_child();
    if (child == 0) {
        sock_t got[4] = {7, 7, 7, 7}, again[4];
        pass(fds, 2, NULL, NULL);
        CHECK(sock_inherited(NULL, 0), ==, 2);
        CHECK(is_close_on_exec(3), ==, false);
        CHECK(sock_inherited(got, 1), ==, 2);
        CHECK(got[1], ==, 7);
        CHECK(is_close_on_exec(3), ==, true);
        CHECK(sock_inherited(got, 4), ==, 2);
        CHECK(got[2], ==, 7);
        CHECK(is_close_on_exec(4), ==, true);
        for (int i = 0; i < 2; i++) {
            CHECK(sock_fd(got[i]), ==, 3 + i);
            CHECK(port_of(got[i]), ==, ports[i]);
            int peer = raw_connect(ports[i]);
            sock_t s = sock_accept(got[i]);
            CHECK(s, >, 0);
            CHECK(sock_close(s), ==, 0);
            raw_close(peer);
        }
        /* Asking again gives the same handles. */
        CHECK(sock_inherited(again, 4), ==, 2);
        CHECK(memcmp(again, got, 2 * sizeof got[0]), ==, 0);
        CHECK(sock_close(got[0]), ==, 0);
        CHECK(sock_inherited(again, 4), ==, 2);
        CHECK(sock_fd(again[0]), ==, SOCK_EHANDLE);
        CHECK(sock_fd(again[1]), ==, 4);
        CHECK(sock_close(again[1]), ==, 0);
        CHECK(atoi(getenv("LISTEN_PID")), ==, getpid());
        CHECK(strcmp(getenv("LISTEN_FDS"), "2"), ==, 0);
        CHECK(strcmp(getenv("LISTEN_FDNAMES"), "web:admin"), ==, 0);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
    raw_close(fds[0]);
    raw_close(fds[1]);
}

static void what_is_for_others_is_left_alone(void)
{
    sock_t got[2];
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    CHECK(sock_inherited(got, 2), ==, 0);
    setenv("LISTEN_FDS", "1", 1);
    CHECK(sock_inherited(got, 2), ==, 0);
    uint16_t port;
    int fd = raw_listen(&port);
    pid_t child = fork_child();
    if (child == 0) {
        pass(&fd, 1, "1", NULL);
        CHECK(sock_inherited(got, 2), ==, 0);
        CHECK(is_close_on_exec(3), ==, false);
        setenv("LISTEN_PID", "me", 1);
        CHECK(sock_inherited(got, 2), ==, 0);
        pass(&fd, 1, NULL, NULL);
        CHECK(sock_inherited(got, 2), ==, 1);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            /* The variables came along, but name the parent. */
            CHECK(sock_inherited(got, 2), ==, 0);
            /* What is passed to this process has nothing to do with what the parent got. */
            uint16_t other;
            int own = raw_listen(&other);
            CHECK(sock_close(got[0]), ==, 0);
            pass(&own, 1, NULL, NULL);
            CHECK(sock_inherited(got, 2), ==, 1);
            CHECK(port_of(got[0]), ==, other);
            _exit(0);
        }
        CHECK(child_status(grandchild), ==, 0);
        CHECK(sock_close(got[0]), ==, 0);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
    raw_close(fd);
}

static void numbers_that_are_none_are_refused(void)
{
    static const char *const numbers[] = {"", "x", "-1", "1x", "99999999999", " 1", "2147483647", "2147483645"};
    uint16_t port;
    int fd = raw_listen(&port);
    pid_t child = fork_child();
    if (child == 0) {
        sock_t got[1] = {7};
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
            context("LISTEN_FDS=%s", numbers[i]);
            pass(&fd, 1, NULL, numbers[i]);
            CHECK(sock_inherited(got, 1), ==, SOCK_EINVAL);
            CHECK(got[0], ==, 7);
        }
        pass(&fd, 1, NULL, "0");
        CHECK(sock_inherited(got, 1), ==, 0);
        pass(&fd, 1, NULL, "2147483644"); /* up to the greatest number of a descriptor */
        CHECK(sock_inherited(got, 1), ==, 2147483644);
        CHECK(sock_close(got[0]), ==, 0);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
    raw_close(fd);
}

static void what_is_no_socket_has_a_code_in_its_place(void)
{
    uint16_t port;
    int fds[] = {open("/dev/null", O_RDONLY | O_CLOEXEC), raw_listen(&port)};
    pid_t child = fork_child();
    if (child == 0) {
        sock_t got[2];
        pass(fds, 2, NULL, NULL);
        CHECK(sock_inherited(got, 2), ==, 2);
        CHECK(got[0], ==, SOCK_EINVAL);
        CHECK(fcntl(3, F_GETFD), ==, 0); /* open, and as it was */
        CHECK(port_of(got[1]), ==, port);
        CHECK(sock_close(got[1]), ==, 0);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
    close(fds[0]);
    raw_close(fds[1]);
}

static void datagram_sockets_are_passed_too(void)
{
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    pid_t child = fork_child();
    if (child == 0) {
        sock_t got;
        char buffer[8];
        pass(fds, 1, NULL, NULL);
        CHECK(sock_inherited(&got, 1), ==, 1);
        CHECK(sock_read(got, buffer, sizeof buffer), ==, 5);
        CHECK(sock_close(got), ==, 0);
        _exit(0);
    }
    raw_send(fds[1], "hello", 5);
    CHECK(child_status(child), ==, 0);
    close(fds[0]);
    close(fds[1]);
}

static const test_case cases[] = {
    CASE(passed_sockets_are_adopted_in_order),
    CASE(what_is_for_others_is_left_alone),
    CASE(numbers_that_are_none_are_refused),
    CASE(what_is_no_socket_has_a_code_in_its_place),
    CASE(datagram_sockets_are_passed_too),
};
TEST_MAIN(cases)
