/* fork and exec: handles work on both sides of a fork, one side's close is its own affair, and nothing survives an exec. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "harness.h"

static void handles_work_in_the_child(make_pair make)
{
    sock_t pair[2];
    char buffer[16];
    make(pair);
    CHECK(sock_write(pair[1], "line\nread-ahead\n", 16), ==, 16);
    CHECK(sock_read_line(pair[0], buffer, sizeof buffer), ==, 4);
    pid_t child = fork_child();
    if (child == 0) {
        CHECK(sock_read_line(pair[0], buffer, sizeof buffer), ==, 10); /* its copy of what was read ahead */
        CHECK(sock_write(pair[0], "child", 5), ==, 5);
        CHECK(sock_set_timeout(pair[0], SOCK_READ, 10), ==, 0);
        CHECK(sock_read(pair[0], buffer, 1), ==, SOCK_ETIMEDOUT);
        sock_t own[2];
        unix_pair(own);
        close_pair(own);
        close_pair(pair);
        CHECK(sock_live_handles(), ==, 0);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
    CHECK(sock_live_handles(), ==, 2);
    CHECK(sock_read_exact(pair[1], buffer, 5), ==, 5);
    CHECK(memcmp(buffer, "child", 5), ==, 0);
    /* The child closed its copies; ours are as good as before. */
    CHECK(sock_write(pair[0], "parent", 6), ==, 6);
    CHECK(sock_read_exact(pair[1], buffer, 6), ==, 6);
    close_pair(pair);
}
OVER_BOTH(handles_work_in_the_child)

static void a_listener_is_shared_with_the_child(void)
{
    sock_t listener = listen_local();
    pid_t child = fork_child();
    if (child == 0) {
        sock_t accepted = sock_accept(listener);
        CHECK(accepted, >, 0);
        CHECK(sock_write(accepted, "c", 1), ==, 1);
        CHECK(sock_close(accepted), ==, 0);
        CHECK(sock_close(listener), ==, 0);
        _exit(0);
    }
    sock_t client = open_local(listener);
    char byte;
    CHECK(sock_read(client, &byte, 1), ==, 1);
    CHECK(sock_close(client), ==, 0);
    CHECK(child_status(child), ==, 0);
    client = open_local(listener); /* it still listens, though the child has closed it */
    sock_t accepted = sock_accept(listener);
    CHECK(accepted, >, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void datagrams_go_to_whichever_process_asks(void)
{
    enum { SIZE = 3000, SEGMENT = 1000 };
    static char data[SIZE], room[65536];
    char buffer[SEGMENT];
    sock_t a = sock_udp_bind("127.0.0.1", "0", NULL), b = sock_udp_bind("127.0.0.1", "0", NULL);
    sock_datagram in = { .data = room, .size = sizeof room }, out = { .data = data, .size = SIZE, .segment = SEGMENT };
    CHECK(sock_local_address(b, &out.address), ==, 0);
    CHECK(sock_send_to(a, "x", 1, &out.address), ==, 1);
    CHECK(sock_recv_batch(b, &in, 1), ==, 1); /* from now on they may arrive joined */
    pattern(data, SIZE, 0);
    CHECK(sock_send_batch(a, &out, 1), ==, 1);
    CHECK(sock_recv_from(b, buffer, SEGMENT, NULL), ==, SEGMENT);
    size_t inside = sock_buffered(b);
    pid_t child = fork_child();
    if (child == 0) {
        /* What the parent had inside came along. */
        for (size_t left = inside; left > 0; left -= SEGMENT) CHECK(sock_recv_from(b, buffer, SEGMENT, NULL), ==, SEGMENT);
        CHECK(sock_send_to(a, "from the child", 14, &out.address), ==, 14);
        CHECK(sock_close(a), ==, 0);
        CHECK(sock_close(b), ==, 0);
        CHECK(sock_live_handles(), ==, 0);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
    for (size_t left = SIZE - SEGMENT; left > 0; left -= SEGMENT) {
        CHECK(sock_recv_from(b, buffer, SEGMENT, NULL), ==, SEGMENT);
        CHECK(pattern_mismatch(buffer, SEGMENT, SIZE - left), ==, SEGMENT);
    }
    CHECK(sock_recv_from(b, buffer, SEGMENT, NULL), ==, 14);
    CHECK(sock_close(a), ==, 0);
    CHECK(sock_close(b), ==, 0);
}

/* A cancel, a close and a deadline in one process do not reach into the other. */
static void one_process_does_not_wake_the_other(make_pair make)
{
    sock_t pair[2];
    char byte;
    make(pair);
    call reader;
    start_reader(&reader, pair[0], &byte);
    pid_t child = fork_child();
    if (child == 0) {
        CHECK(sock_cancel(pair[0]), ==, 0);
        CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ECANCELED);
        CHECK(sock_set_deadline(pair[0], SOCK_READ, 0), ==, 0);
        CHECK(sock_close(pair[0]), ==, 0);
        CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_EHANDLE);
        leave_child();
    }
    CHECK(child_status(child), ==, 0);
    call_wait_asleep(&reader);
    CHECK(sock_write(pair[1], "x", 1), ==, 1);
    CHECK(call_join(&reader), ==, 1);
    close_pair(pair);
}
OVER_BOTH(one_process_does_not_wake_the_other)

/* Other threads are in the middle of anything when the process forks: no lock is left behind for the child. */
static atomic_bool stop;

static void *be_busy(void *argument)
{
    (void)argument;
    char line[16];
    while (!atomic_load(&stop)) {
        sock_t pair[2];
        unix_pair(pair);
        CHECK(sock_write(pair[0], "abc\n", 4), ==, 4);
        CHECK(sock_read_line(pair[1], line, sizeof line), ==, 3);
        CHECK(sock_set_deadline(pair[1], SOCK_READ, 0), ==, 0);
        CHECK(sock_read(pair[1], line, 1), ==, SOCK_ETIMEDOUT);
        close_pair(pair);
    }
    return NULL;
}

static void a_fork_amid_busy_threads_leaves_a_library_that_works(void)
{
    enum { BUSY = 4 };
    pthread_t threads[BUSY];
    sock_t kept[2];
    unix_pair(kept);
    for (int i = 0; i < BUSY; i++) threads[i] = start_thread(be_busy, NULL);
    for (int i = 0; i < rounds(100); i++) {
        pid_t child = fork_child();
        if (child == 0) {
            sock_t pair[2];
            char byte;
            unix_pair(pair);
            CHECK(sock_write(pair[0], "x", 1), ==, 1);
            CHECK(sock_read(pair[1], &byte, 1), ==, 1);
            CHECK(sock_set_timeout(pair[1], SOCK_READ, 1), ==, 0);
            CHECK(sock_read(pair[1], &byte, 1), ==, SOCK_ETIMEDOUT);
            close_pair(pair);
            close_pair(kept);
            leave_child();
        }
        CHECK(child_status(child), ==, 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < BUSY; i++) join_thread(threads[i]);
    close_pair(kept);
}

/* The same if the child closes the very handles that those threads use: none of their calls ever leaves in the child. */
static void *read_lines(void *argument)
{
    char line[16];
    while (sock_read_line(*(sock_t *)argument, line, sizeof line) >= 0) {}
    return NULL;
}

static void *write_lines(void *argument)
{
    while (sock_write(*(sock_t *)argument, "a\nb\nc\nd\n", 8) == 8) {}
    return NULL;
}

static void *ask_again_and_again(void *argument)
{
    sock_event event;
    while (sock_poller_wait(*(sock_t *)argument, &event, 1, 0) >= 0) {}
    return NULL;
}

static void the_child_closes_what_the_parents_threads_use(make_pair make)
{
    sock_t pair[2], poller = sock_poller();
    make(pair);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ | SOCK_WRITE, NULL), ==, 0);
    pthread_t threads[] = {
        start_thread(read_lines, &pair[0]), start_thread(write_lines, &pair[1]), start_thread(ask_again_and_again, &poller),
    };
    for (int i = 0; i < rounds(300); i++) {
        pid_t child = fork_child();
        if (child == 0) {
            close_pair(pair);
            CHECK(sock_close(poller), ==, 0);
            leave_child();
        }
        CHECK(child_status(child), ==, 0);
    }
    close_pair(pair);
    CHECK(sock_close(poller), ==, 0);
    for (int i = 0; i < 3; i++) join_thread(threads[i]);
}
OVER_BOTH(the_child_closes_what_the_parents_threads_use)

static void nothing_is_inherited_over_exec(void)
{
    sock_t pair[2], passing[2], listener = listen_local(), datagrams = sock_udp_bind(NULL, "0", NULL), poller = sock_poller();
    tcp_pair(pair);
    unix_pair(passing);
    /* Those that come from elsewhere, too. */
    int inheritable = socket(AF_INET, SOCK_STREAM, 0), passed;
    size_t count;
    char byte;
    sock_t adopted = sock_from_fd(inheritable);
    CHECK(adopted, >, 0);
    CHECK(sock_send_fds(passing[0], "x", 1, &inheritable, 1), ==, 1);
    CHECK(sock_recv_fds(passing[1], &byte, 1, &passed, 1, &count), ==, 1);
    CHECK(count, ==, 1);
    int output[2];
    CHECK(pipe2(output, O_CLOEXEC), ==, 0);
    pid_t child = fork_child();
    if (child == 0) {
        dup2(output[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", "ls -l /proc/$$/fd", (char *)NULL);
        _exit(127);
    }
    close(output[1]);
    char text[4096] = "";
    size_t length = 0;
    ssize_t got;
    while ((got = read(output[0], text + length, sizeof text - 1 - length)) > 0) length += (size_t)got;
    close(output[0]);
    CHECK(child_status(child), ==, 0);
    CHECK(length, >, 0);
    text[length] = '\0';
    CHECK(strstr(text, "socket:") == NULL, ==, true);
    CHECK(strstr(text, "eventfd") == NULL, ==, true);
    CHECK(strstr(text, "eventpoll") == NULL, ==, true);
    close_pair(pair);
    close_pair(passing);
    close(passed);
    sock_t all[] = { listener, datagrams, poller, adopted };
    for (int i = 0; i < 4; i++) CHECK(sock_close(all[i]), ==, 0);
}

/* The ways of starting a program that share the parent's memory until it runs. */
static void starting_programs_disturbs_no_handle(void)
{
    sock_t pair[2];
    char byte, *arguments[] = { "true", NULL }, *environment[] = { NULL };
    tcp_pair(pair);
    call reader;
    start_reader(&reader, pair[0], &byte);
    for (int i = 0; i < 20; i++) {
        pid_t child;
        CHECK(posix_spawnp(&child, "true", NULL, NULL, arguments, environment), ==, 0);
        CHECK(child_status(child), ==, 0);
    }
    CHECK(system("true"), ==, 0);
    CHECK(atomic_load(&reader.done), ==, 0);
    CHECK(sock_write(pair[1], "x", 1), ==, 1);
    CHECK(call_join(&reader), ==, 1);
    close_pair(pair);
}

/* What daemon(3) does: two forks and a session of its own; all before the first use, or with handles already open. */
static void a_daemon_uses_handles_from_before_and_after(void)
{
    for (int opened_before = 0; opened_before < 2; opened_before++) {
        int answer[2];
        sock_t pair[2];
        char byte = 0;
        context("opened before: %d", opened_before);
        CHECK(pipe2(answer, O_CLOEXEC), ==, 0);
        pid_t child = fork_child();
        if (child == 0) {
            if (opened_before) tcp_pair(pair);
            CHECK(setsid(), ==, getpid());
            pid_t server = fork_child();
            if (server == 0) {
                if (!opened_before) tcp_pair(pair);
                CHECK(sock_write(pair[0], "d", 1), ==, 1);
                CHECK(sock_read(pair[1], &byte, 1), ==, 1);
                close_pair(pair);
                CHECK(sock_live_handles(), ==, 0);
                CHECK(write(answer[1], &byte, 1), ==, 1);
                _exit(0);
            }
            _exit(child_status(server));
        }
        CHECK(child_status(child), ==, 0);
        CHECK(read(answer[0], &byte, 1), ==, 1);
        CHECK(byte, ==, 'd');
        close(answer[0]);
        close(answer[1]);
    }
}

/* A call that was under way at the fork never ends in the child; closing there still lets go of the connection, and keeps the
 * descriptor's number from being used for something else. */
static void closing_in_the_child_lets_go_though_a_call_was_under_way(make_pair make)
{
    sock_t pair[2];
    char byte;
    int closed[2], done[2];
    make(pair);
    CHECK(pipe2(closed, O_CLOEXEC) | pipe2(done, O_CLOEXEC), ==, 0);
    call reader;
    start_reader(&reader, pair[0], &byte);
    pid_t child = fork_child();
    if (child == 0) {
        struct stat status;
        int fd = sock_fd(pair[0]);
        close(done[1]);
        CHECK(sock_close(pair[0]), ==, 0);
        CHECK(fstat(fd, &status), ==, 0);
        CHECK(S_ISSOCK(status.st_mode), ==, 0);
        CHECK(write(closed[1], "c", 1), ==, 1);
        CHECK(read(done[0], &byte, 1), ==, 0); /* the child outlives the connection */
        leave_child();
    }
    close(done[0]);
    CHECK(read(closed[0], &byte, 1), ==, 1);
    CHECK(sock_cancel(pair[0]), ==, 0);
    CHECK(call_join(&reader), ==, SOCK_ECANCELED);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_read(pair[1], &byte, 1), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
    close(done[1]);
    CHECK(child_status(child), ==, 0);
    close(closed[0]);
    close(closed[1]);
}
OVER_BOTH(closing_in_the_child_lets_go_though_a_call_was_under_way)

/* A process that goes on as a daemon closes the descriptors that it was born with, those too that only the library knows of: what it
 * opens then, under the same numbers, is its own. */
static void a_child_that_has_closed_descriptors_keeps_what_it_opens(make_pair make)
{
    enum { HIGHEST = 256, MANY = 32 };
    sock_t pair[2];
    char byte;
    make(pair);
    CHECK(sock_set_timeout(pair[1], SOCK_READ, 1), ==, 0);
    CHECK(sock_read(pair[1], &byte, 1), ==, SOCK_ETIMEDOUT); /* what this thread waits with is kept for its next wait */
    call reader;
    start_reader(&reader, pair[0], &byte);
    pid_t child = fork_child();
    if (child == 0) {
        sock_t own[2];
        int opened[MANY], lost = 0, kept = sock_fd(pair[0]);
        struct stat status;
        for (int fd = STDERR_FILENO + 1; fd < HIGHEST; fd++)
            if (fd != kept) close(fd);
        for (int i = 0; i < MANY; i++) opened[i] = memfd_create("its own", MFD_CLOEXEC);
        CHECK(sock_set_deadline(pair[0], SOCK_READ, 0), ==, 0); /* wakes nobody here */
        unix_pair(own);
        CHECK(sock_set_timeout(own[0], SOCK_READ, 1), ==, 0);
        CHECK(sock_read(own[0], &byte, 1), ==, SOCK_ETIMEDOUT);
        close_pair(own);
        for (int i = 0; i < MANY; i++) lost += fstat(opened[i], &status) != 0 || status.st_size != 0;
        if (lost > 0) _exit(lost);
        leave_child();
    }
    CHECK(child_status(child), ==, 0);
    CHECK(sock_write(pair[1], "x", 1), ==, 1);
    CHECK(call_join(&reader), ==, 1);
    close_pair(pair);
}
OVER_BOTH(a_child_that_has_closed_descriptors_keeps_what_it_opens)

/* A child that was forked and lives on keeps a connection open; that is what descriptors are. */
static void a_forked_copy_keeps_the_connection_until_it_is_closed_too(void)
{
    sock_t s;
    int peer, go[2];
    char byte;
    tcp_with_raw_peer(&s, &peer);
    CHECK(pipe2(go, O_CLOEXEC), ==, 0);
    pid_t child = fork_child();
    if (child == 0) {
        if (read(go[0], &byte, 1) != 1) _exit(1);
        CHECK(sock_write(s, "late", 4), ==, 4);
        CHECK(sock_close(s), ==, 0);
        _exit(0);
    }
    CHECK(sock_close(s), ==, 0);
    CHECK(raw_readable(peer, 100), ==, false); /* no end yet: the child has it */
    CHECK(write(go[1], "g", 1), ==, 1);
    CHECK(child_status(child), ==, 0);
    CHECK(raw_drain(peer), ==, 4);
    raw_close(peer);
    close(go[0]);
    close(go[1]);
}

/* In the child there is nothing to wait for: what is unsent is sent from the parent's copy, which lingers as it was asked to. */
static void a_lingering_handle_is_closed_in_the_child_at_once(void)
{
    sock_t s;
    int peer;
    tcp_with_raw_peer(&s, &peer);
    CHECK(fill(s), >, 0);
    CHECK(sock_set_option(s, SOCK_OPT_LINGER_MS, 15000), ==, 0);
    pid_t child = fork_child();
    if (child == 0) {
        int64_t began = now_ms();
        CHECK(sock_close(s), ==, 0);
        CHECK(now_ms() - began, <, 10000);
        leave_child();
    }
    CHECK(child_status(child), ==, 0);
    CHECK(sock_get_option(s, SOCK_OPT_LINGER_MS), ==, 15000);
    raw_reset(peer);
    CHECK(sock_close(s), ==, 0);
}

static const test_case cases[] = {
    BOTH_CASES(handles_work_in_the_child),
    CASE(a_listener_is_shared_with_the_child),
    CASE(datagrams_go_to_whichever_process_asks),
    BOTH_CASES(one_process_does_not_wake_the_other),
    CASE(a_fork_amid_busy_threads_leaves_a_library_that_works),
    BOTH_CASES(the_child_closes_what_the_parents_threads_use),
    CASE(nothing_is_inherited_over_exec),
    CASE(starting_programs_disturbs_no_handle),
    CASE(a_daemon_uses_handles_from_before_and_after),
    BOTH_CASES(a_child_that_has_closed_descriptors_keeps_what_it_opens),
    CASE(a_forked_copy_keeps_the_connection_until_it_is_closed_too),
    BOTH_CASES(closing_in_the_child_lets_go_though_a_call_was_under_way),
    CASE(a_lingering_handle_is_closed_in_the_child_at_once),
};
TEST_MAIN(cases)
