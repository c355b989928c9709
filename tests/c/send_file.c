/* Files into streams: sock_send_file. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "harness.h"

enum { SIZE = 3 << 20, SMALL = 100000 };

/* A thread that reads `size` bytes of the pattern from `offset` on. */
typedef struct expected { sock_t s; size_t size; uint64_t offset; } expected;

static void *expect(void *argument)
{
    expected *e = argument;
    char chunk[65536];
    for (size_t done = 0; done < e->size;) {
        size_t size = e->size - done < sizeof chunk ? e->size - done : sizeof chunk;
        int64_t got = sock_read(e->s, chunk, size);
        CHECK(got, >, 0);
        CHECK(pattern_mismatch(chunk, (size_t)got, e->offset + done), ==, got);
        done += (size_t)got;
    }
    return NULL;
}

static void check_sent(sock_t pair[2], int fd, int64_t offset, int64_t size, size_t arrives, uint64_t from)
{
    expected e = { pair[1], arrives, from };
    context("offset %lld, size %lld", (long long)offset, (long long)size);
    pthread_t reader = start_thread(expect, &e);
    CHECK(sock_send_file(pair[0], fd, offset, size), ==, arrives);
    join_thread(reader);
    context(NULL);
}

static void a_file_arrives_whole_or_in_part(make_pair make)
{
    sock_t pair[2];
    sock_info info = { .size = sizeof info };
    make(pair);
    int fd = pattern_file(SIZE);
    check_sent(pair, fd, 0, -1, SIZE, 0);
    check_sent(pair, fd, 0, SIZE, SIZE, 0);
    check_sent(pair, fd, 12345, -1, SIZE - 12345, 12345);
    check_sent(pair, fd, 12345, 54321, 54321, 12345);
    check_sent(pair, fd, SIZE, -1, 0, 0);
    check_sent(pair, fd, SIZE + 5, -1, 0, 0);
    check_sent(pair, fd, 7, 0, 0, 0);
    CHECK(lseek(fd, 0, SEEK_CUR), ==, 0); /* the position was not used */
    CHECK(sock_get_info(pair[0], &info), ==, 0);
    CHECK(info.bytes_written, ==, 3ll * SIZE - 12345 + 54321);
    raw_close(fd);
    close_pair(pair);
}
OVER_BOTH(a_file_arrives_whole_or_in_part)

static void the_files_own_position_moves_on(void)
{
    sock_t pair[2];
    tcp_pair(pair);
    int fd = pattern_file(SMALL);
    check_sent(pair, fd, -1, 1000, 1000, 0);
    CHECK(lseek(fd, 0, SEEK_CUR), ==, 1000);
    check_sent(pair, fd, -1, -1, SMALL - 1000, 1000);
    CHECK(lseek(fd, 0, SEEK_CUR), ==, SMALL);
    raw_close(fd);
    close_pair(pair);
}

static void a_file_that_ends_too_early_is_told(void)
{
    sock_t pair[2];
    char got[10];
    tcp_pair(pair);
    int fd = pattern_file(10);
    CHECK(sock_send_file(pair[0], fd, 0, 11), ==, SOCK_EEOF);
    CHECK(sock_last_count(), ==, 10);
    CHECK(sock_read_exact(pair[1], got, 10), ==, 10);
    CHECK(sock_send_file(pair[0], fd, 20, 1), ==, SOCK_EEOF);
    CHECK(sock_last_count(), ==, 0);
    /* Far beyond the end the kernel gives another error for it, and yet another for files on a disk. */
    int fds[] = { fd, open("/proc/self/exe", O_RDONLY | O_CLOEXEC) };
    static const int64_t behind[] = { INT64_MAX / 1000, INT64_MAX / 2, INT64_MAX - 1 };
    for (size_t i = 0; i < 2 * sizeof behind / sizeof *behind; i++) {
        context("file %zu, offset %lld", i % 2, (long long)behind[i / 2]);
        CHECK(sock_send_file(pair[0], fds[i % 2], behind[i / 2], 1), ==, SOCK_EEOF);
        CHECK(sock_last_count(), ==, 0);
        CHECK(sock_send_file(pair[0], fds[i % 2], behind[i / 2], -1), ==, 0);
    }
    raw_close(fds[1]);
    raw_close(fd);
    close_pair(pair);
}

/* ---- what sendfile cannot take ---- */

static void *fill_pipe(void *argument)
{
    int fd = *(int *)argument;
    char chunk[5000];
    for (size_t done = 0; done < SMALL; done += sizeof chunk) {
        pattern(chunk, sizeof chunk, done);
        CHECK(write(fd, chunk, sizeof chunk), ==, sizeof chunk);
    }
    raw_close(fd);
    return NULL;
}

static void pipes_and_sockets_are_copied(make_pair make)
{
    for (int i = 0; i < 4; i++) {
        int ends[2];
        sock_t pair[2];
        make(pair);
        if (i < 2) CHECK(pipe2(ends, O_CLOEXEC), ==, 0);
        else CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
        pthread_t writer = start_thread(fill_pipe, &ends[1]);
        check_sent(pair, ends[0], -(i % 2), -1, SMALL, 0);
        join_thread(writer);
        CHECK(sock_send_file(pair[0], ends[0], 5, -1), ==, SOCK_EINVAL);
        raw_close(ends[0]);
        close_pair(pair);
    }
}
OVER_BOTH(pipes_and_sockets_are_copied)

static int64_t call_send_file(call *c) { return sock_send_file(c->socket, (int)c->number, -1, -1); }

static void waiting_for_a_pipe_obeys_the_handle(make_pair make)
{
    int ends[2];
    sock_t pair[2];
    char got[2];
    make(pair);
    CHECK(pipe2(ends, O_CLOEXEC), ==, 0);
    CHECK(write(ends[1], "ab", 2), ==, 2);
    CHECK(sock_set_timeout(pair[0], SOCK_WRITE, 300), ==, 0);
    int64_t began = now_ms();
    CHECK(sock_send_file(pair[0], ends[0], -1, -1), ==, SOCK_ETIMEDOUT);
    CHECK(now_ms() - began, >=, 300);
    CHECK(sock_last_count(), ==, 2);
    CHECK(sock_read_exact(pair[1], got, 2), ==, 2);
    CHECK(sock_set_timeout(pair[0], SOCK_WRITE, SOCK_FOREVER), ==, 0);
    call sender = { .run = call_send_file, .socket = pair[0], .number = ends[0] };
    call_start(&sender);
    call_wait_asleep(&sender);
    CHECK(sock_cancel(pair[0]), ==, 0);
    CHECK(call_join(&sender), ==, SOCK_ECANCELED);
    raw_close(ends[0]);
    raw_close(ends[1]);
    close_pair(pair);
}
OVER_BOTH(waiting_for_a_pipe_obeys_the_handle)

/* The connection ends while the file has nothing: nobody waits for what could not be sent any more. */
static void the_end_of_the_connection_ends_the_wait_for_a_pipe(make_pair make)
{
    for (int local = 0; local < 2; local++) {
        context(local ? "shut down here" : "closed there");
        int ends[2];
        sock_t pair[2];
        char byte;
        make(pair);
        CHECK(pipe2(ends, O_CLOEXEC), ==, 0);
        call sender = { .run = call_send_file, .socket = pair[0], .number = ends[0] };
        call_start(&sender);
        call_wait_asleep(&sender);
        CHECK(sock_shutdown(pair[1], SOCK_WRITE), ==, 0); /* is no reason to stop: the peer still reads */
        CHECK(write(ends[1], "a", 1), ==, 1);
        CHECK(sock_read(pair[1], &byte, 1), ==, 1);
        call_wait_asleep(&sender);
        if (local) CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
        else CHECK(sock_abort(pair[1]), ==, 0);
        CHECK(call_join(&sender), <, 0);
        CHECK(sender.result == SOCK_EPIPE || (!local && sender.result == SOCK_ECONNRESET), ==, true);
        CHECK(sender.last_count, ==, 1);
        if (local) CHECK(sock_close(pair[1]), ==, 0);
        CHECK(sock_close(pair[0]), ==, 0);
        raw_close(ends[0]);
        raw_close(ends[1]);
    }
}
OVER_BOTH(the_end_of_the_connection_ends_the_wait_for_a_pipe)

static void *write_later(void *fd)
{
    sleep_ms(300);
    CHECK(write(*(int *)fd, "y", 1), ==, 1);
    return NULL;
}

/* A time stamp that nobody fetches is an error to poll(2), and none of the connection. */
static void a_socket_that_is_always_ready_lets_the_wait_for_a_pipe_sleep(void)
{
    sock_t s;
    enum { SENT = 1 << 1, BY_SOFTWARE = 1 << 4 }; /* SOF_TIMESTAMPING_, whose header not every C library's programs find */
    int peer, ends[2], broken[2], output, stamps = SENT | BY_SOFTWARE;
    char bytes[2];
    tcp_with_raw_peer(&s, &peer);
    if (setsockopt(sock_fd(s), SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof stamps) != 0) skip("no time stamps here");
    CHECK(sock_write(s, "x", 1), ==, 1);
    WAIT_UNTIL(poll(&(struct pollfd){ .fd = sock_fd(s) }, 1, 0) == 1);
    /* Nor does it watch another descriptor in its place. */
    CHECK(pipe2(ends, O_CLOEXEC) | pipe2(broken, O_CLOEXEC), ==, 0);
    raw_close(broken[0]);
    output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    CHECK(dup2(broken[1], STDOUT_FILENO), ==, STDOUT_FILENO);
    pthread_t writer = start_thread(write_later, &ends[1]);
    int64_t used = processor_us(), sent = sock_send_file(s, ends[0], -1, 1);
    used = processor_us() - used;
    CHECK(dup2(output, STDOUT_FILENO), ==, STDOUT_FILENO);
    CHECK(sent, ==, 1);
    if (!under_memcheck()) CHECK(used, <, 10000);
    join_thread(writer);
    raw_receive(peer, bytes, sizeof bytes);
    CHECK(memcmp(bytes, "xy", 2), ==, 0);
    raw_close(output);
    raw_close(broken[1]);
    raw_close(ends[0]);
    raw_close(ends[1]);
    raw_close(peer);
    CHECK(sock_close(s), ==, 0);
}

/* ---- the other side ---- */

static void a_peer_that_does_not_read_is_waited_for_until_the_deadline(make_pair make)
{
    sock_t pair[2];
    make(pair);
    int fd = pattern_file(SIZE * 4);
    CHECK(sock_set_option(pair[0], SOCK_OPT_SEND_BUFFER, 100000), ==, 0);
    CHECK(sock_set_deadline(pair[0], SOCK_WRITE, 100), ==, 0);
    int64_t began = now_ms();
    CHECK(sock_send_file(pair[0], fd, 0, -1), ==, SOCK_ETIMEDOUT);
    CHECK(now_ms() - began, >=, 99);
    size_t sent = sock_last_count();
    CHECK(sent, >, 0);
    CHECK(sent, <, SIZE * 4);
    /* Exactly so much has arrived, and the rest can follow. */
    CHECK(sock_set_deadline(pair[0], SOCK_WRITE, SOCK_FOREVER), ==, 0);
    expected e = { pair[1], SIZE * 4, 0 };
    pthread_t reader = start_thread(expect, &e);
    CHECK(sock_send_file(pair[0], fd, (int64_t)sent, -1), ==, (int64_t)(SIZE * 4 - sent));
    join_thread(reader);
    raw_close(fd);
    close_pair(pair);
}
OVER_BOTH(a_peer_that_does_not_read_is_waited_for_until_the_deadline)

static void a_peer_that_is_gone_is_no_signal(make_pair make)
{
    sock_t pair[2];
    sigset_t before, after;
    struct sigaction action;
    make(pair);
    int fd = pattern_file(SIZE);
    CHECK(sigaction(SIGPIPE, NULL, &action), ==, 0);
    CHECK(action.sa_handler == SIG_DFL, ==, true); /* a SIGPIPE would be the end of this process */
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &before), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
    int64_t code = 0;
    for (int i = 0; i < 100 && code >= 0; i++) code = sock_send_file(pair[0], fd, 0, -1);
    CHECK(code == SOCK_ECONNRESET ? SOCK_EPIPE : code, ==, SOCK_EPIPE);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &after), ==, 0);
    CHECK(sigismember(&after, SIGPIPE), ==, sigismember(&before, SIGPIPE));
    CHECK(sigpending(&after), ==, 0);
    CHECK(sigismember(&after, SIGPIPE), ==, 0);
    raw_close(fd);
    CHECK(sock_close(pair[0]), ==, 0);
}
OVER_BOTH(a_peer_that_is_gone_is_no_signal)

/* A SIGPIPE that waited to be delivered before the call is the caller's, and still waits. */
static void a_signal_that_was_pending_stays_so(void)
{
    sock_t pair[2];
    sigset_t pipe_signal, pending;
    unix_pair(pair);
    int fd = pattern_file(SMALL);
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    CHECK(pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL), ==, 0);
    CHECK(raise(SIGPIPE), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(sock_send_file(pair[0], fd, 0, -1), ==, SOCK_EPIPE);
    CHECK(sigpending(&pending), ==, 0);
    CHECK(sigismember(&pending, SIGPIPE), ==, 1);
    int number;
    CHECK(sigwait(&pipe_signal, &number), ==, 0);
    CHECK(sigpending(&pending), ==, 0);
    CHECK(sigismember(&pending, SIGPIPE), ==, 0);
    raw_close(fd);
    CHECK(sock_close(pair[0]), ==, 0);
}

static void an_adopted_socket_in_blocking_mode_keeps_its_deadline(void)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
    sock_t s = sock_from_fd(ends[0]);
    CHECK(s, >, 0);
    int fd = pattern_file(SIZE);
    CHECK(sock_set_timeout(s, SOCK_WRITE, 100), ==, 0);
    CHECK(sock_send_file(s, fd, 0, -1), ==, SOCK_ETIMEDOUT);
    CHECK(sock_last_count(), >, 0);
    CHECK(sock_release_fd(s), ==, ends[0]);
    CHECK(fcntl(ends[0], F_GETFL) & O_NONBLOCK, ==, 0);
    raw_close(ends[0]);
    raw_close(ends[1]);
    raw_close(fd);
}

/* What comes through a pipe and finds no room waits for the peer; a peer that goes instead ends it. */
static void a_pipe_waits_for_a_slow_peer(void)
{
    for (int goes = 0; goes < 2; goes++) {
        sock_t pair[2];
        int ends[2];
        unix_pair(pair);
        CHECK(pipe2(ends, O_CLOEXEC), ==, 0);
        int64_t before = fill(pair[0]);
        CHECK(write(ends[1], "the end", 7), ==, 7);
        close(ends[1]);
        call sending = { .run = call_send_file, .socket = pair[0], .number = ends[0] };
        call_start(&sending);
        call_wait_asleep(&sending);
        if (goes) {
            CHECK(sock_close(pair[1]), ==, 0);
            CHECK(call_join(&sending), ==, SOCK_EPIPE);
            CHECK(sending.last_count, ==, 0);
        } else {
            static char all[1 << 20];
            char text[7];
            for (int64_t length; before > 0; before -= length) {
                length = sock_read(pair[1], all, before < (int64_t)sizeof all ? (size_t)before : sizeof all);
                CHECK(length, >, 0);
            }
            CHECK(call_join(&sending), ==, 7);
            CHECK(sock_read_exact(pair[1], text, 7), ==, 7);
            CHECK(memcmp(text, "the end", 7), ==, 0);
            CHECK(sock_close(pair[1]), ==, 0);
        }
        CHECK(sock_close(pair[0]), ==, 0);
        close(ends[0]);
    }
}

static void bad_arguments_are_refused(void)
{
    sock_t pair[2], listener = listen_local();
    tcp_pair(pair);
    int fd = pattern_file(10), unreadable = open("/dev/null", O_WRONLY | O_CLOEXEC), folder = open("/", O_RDONLY | O_CLOEXEC);
    CHECK(sock_send_file(pair[0], -1, 0, -1), ==, SOCK_EINVAL);
    CHECK(sock_send_file(pair[0], 999, 0, -1), ==, SOCK_EINVAL);
    CHECK(sock_send_file(pair[0], unreadable, 0, -1), ==, SOCK_EINVAL);
    CHECK(sock_send_file(pair[0], folder, 0, -1), ==, SOCK_ESYS);
    CHECK(sock_send_file(pair[0], fd, -2, -1), ==, SOCK_EINVAL);
    CHECK(sock_send_file(pair[0], fd, 0, -2), ==, SOCK_EINVAL);
    CHECK(sock_send_file(pair[0], fd, INT64_MAX, INT64_MAX), ==, SOCK_EINVAL);
    CHECK(sock_send_file(listener, fd, 0, -1), ==, SOCK_ETYPE);
    CHECK(sock_send_file(0, fd, 0, -1), ==, SOCK_EHANDLE);
    /* found out before anything comes through the pipe */
    int ends[2];
    CHECK(pipe(ends), ==, 0);
    CHECK(sock_set_timeout(pair[0], SOCK_WRITE, 5000), ==, 0);
    CHECK(sock_send_file(pair[0], ends[0], 7, -1), ==, SOCK_EINVAL);
    raw_close(ends[0]);
    raw_close(ends[1]);
    CHECK(sock_set_timeout(pair[1], SOCK_READ, 0), ==, 0);
    char byte;
    CHECK(sock_read(pair[1], &byte, 1), ==, SOCK_ETIMEDOUT); /* nothing was sent */
    raw_close(fd);
    raw_close(unreadable);
    raw_close(folder);
    CHECK(sock_close(listener), ==, 0);
    close_pair(pair);
}

static const test_case cases[] = {
    BOTH_CASES(a_file_arrives_whole_or_in_part),
    CASE(the_files_own_position_moves_on),
    CASE(a_file_that_ends_too_early_is_told),
    BOTH_CASES(pipes_and_sockets_are_copied),
    BOTH_CASES(waiting_for_a_pipe_obeys_the_handle),
    BOTH_CASES(the_end_of_the_connection_ends_the_wait_for_a_pipe),
    CASE(a_socket_that_is_always_ready_lets_the_wait_for_a_pipe_sleep),
    CASE(a_pipe_waits_for_a_slow_peer),
    BOTH_CASES(a_peer_that_does_not_read_is_waited_for_until_the_deadline),
    BOTH_CASES(a_peer_that_is_gone_is_no_signal),
    CASE(a_signal_that_was_pending_stays_so),
    CASE(an_adopted_socket_in_blocking_mode_keeps_its_deadline),
    CASE(bad_arguments_are_refused),
};
TEST_MAIN(cases)
