/* What the library does about single failures of the system that cannot be provoked otherwise. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "scenarios.h"
#include "shim.h"

static void fail_once(const char *functions, int error)
{
    fault_arm(&(fault_plan){ .action = FAULT_ERRNO, .value = error, .when = FAULT_ONCE, .first = 1, .functions = functions });
}

static void fail_always(const char *functions, int error)
{
    fault_arm(&(fault_plan){ .action = FAULT_ERRNO, .value = error, .when = FAULT_FROM, .first = 1, .functions = functions });
}

/* The calls were really made to fail: otherwise the test proved nothing. */
static long disarm(void)
{
    long calls = fault_disarm();
    CHECK(fault_hits(), >, 0);
    return calls;
}

/* ---- connecting ---- */

static void a_connect_interrupted_after_its_syn_is_completed(void)
{
    uint16_t port;
    int listener = raw_listen(&port);
    fault_arm(&(fault_plan){ .action = FAULT_POST, .value = EINTR, .when = FAULT_ONCE, .first = 1, .functions = "connect" });
    sock_t s = sock_open("127.0.0.1", port_text(port), SOCK_OPTIONS(.timeout_ms = 5000));
    CHECK(disarm(), ==, 1);
    CHECK(s, >, 0);
    int peer = raw_accept(listener);
    CHECK(raw_readable(listener, 0), ==, false);
    CHECK(sock_write(s, "x", 1), ==, 1);
    CHECK(raw_readable(peer, 5000), ==, true);
    CHECK(sock_close(s), ==, 0);
    raw_close(peer);
    raw_close(listener);
}

static void an_interrupted_unix_connect_is_made_once(void)
{
    char path[FOLDER], host[UNIX_HOST];
    make_unix_host(path, host);
    sock_t listener = sock_listen(host, NULL, NULL);
    CHECK(listener, >, 0);
    fail_once("connect", EINTR); /* reported after it was made */
    sock_t s = sock_open(host, NULL, SOCK_OPTIONS(.timeout_ms = 5000));
    CHECK(disarm(), ==, 1);
    CHECK(s, >, 0);
    sock_t accepted = sock_try_accept(listener);
    CHECK(accepted, >, 0);
    CHECK(sock_try_accept(listener), ==, SOCK_EAGAIN);
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);
    CHECK(rmdir(path), ==, 0);
}

/* The listener may go away between two looks at the socket. */
static void a_connection_that_is_gone_at_once_was_reset(void)
{
    uint16_t port;
    int listener = raw_listen(&port);
    fail_always("getpeername", ENOTCONN);
    CHECK(sock_open("127.0.0.1", port_text(port), SOCK_OPTIONS(.timeout_ms = 5000)), ==, SOCK_ECONNRESET);
    fault_disarm();
    raw_close(listener);
}

static void an_unreadable_result_is_no_success(void)
{
    uint16_t port;
    int reserved = raw_reserve(&port);
    fail_always("getsockopt", EIO);
    CHECK(sock_open("127.0.0.1", port_text(port), SOCK_OPTIONS(.timeout_ms = 5000)), <, 0);
    fault_disarm();
    raw_close(reserved);
}

static void without_multipath_in_the_kernel_it_is_plain_tcp(void)
{
    uint16_t port;
    int listener = raw_listen(&port);
    static const int errors[] = { EPROTONOSUPPORT, ENOPROTOOPT, EINVAL };
    for (int i = 0; i < 3; i++) {
        fail_once("socket", errors[i]);
        sock_t s = sock_open("127.0.0.1", port_text(port), SOCK_OPTIONS(.multipath = SOCK_ON));
        context("errno %d", errors[i]);
        CHECK(disarm(), ==, 2);
        CHECK(s, >, 0);
        context(NULL);
        CHECK(sock_close(s), ==, 0);
    }
    raw_close(listener);
}

static void the_resolvers_failures_have_their_codes(void)
{
    static const struct { int failure; int64_t code; } cases[] = {
        { EAI_NONAME, SOCK_ENOHOST }, { EAI_NODATA, SOCK_ENOHOST }, { EAI_ADDRFAMILY, SOCK_ENOHOST },
        { EAI_AGAIN, SOCK_ERESOLVE }, { EAI_FAIL, SOCK_ERESOLVE }, { EAI_MEMORY, SOCK_ENOMEM },
        { EAI_SERVICE, SOCK_ENOSERVICE }, { EAI_FAMILY, SOCK_ENOTSUP }, { EAI_SOCKTYPE, SOCK_ENOTSUP },
        { -9999, SOCK_ERESOLVE }, { EMFILE, SOCK_ELIMIT }, { EIO, SOCK_ERESOLVE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fail_always("getaddrinfo", cases[i].failure);
        int64_t code = sock_open("name.test", "80", NULL);
        disarm();
        context("%d: %s", cases[i].failure, sock_last_error());
        CHECK(code, ==, cases[i].code);
        CHECK(strstr(sock_last_error(), "name.test") != NULL, ==, true);
        context(NULL);
    }
}

static void without_a_thread_for_names_literals_still_work(void)
{
    uint16_t port;
    int listener = raw_listen(&port);
    fail_always("pthread_create", EAGAIN);
    CHECK(sock_open("localhost", port_text(port), SOCK_OPTIONS(.timeout_ms = 5000)), ==, SOCK_ELIMIT);
    sock_t literal = sock_open("127.0.0.1", port_text(port), NULL);
    disarm();
    CHECK(literal, >, 0);
    sock_t again = sock_open("localhost", port_text(port), SOCK_OPTIONS(.family = SOCK_IPV4));
    CHECK(again, >, 0);
    CHECK(sock_close(literal), ==, 0);
    CHECK(sock_close(again), ==, 0);
    raw_close(listener);
}

/* ---- listening and accepting ---- */

static void a_thread_that_needs_a_larger_stack_gets_the_default(void)
{
    uint16_t port;
    int listener = raw_listen(&port);
    fail_once("pthread_create", EINVAL);
    sock_t s = sock_open("localhost", port_text(port), SOCK_OPTIONS(.family = SOCK_IPV4, .timeout_ms = 10000));
    CHECK(disarm(), ==, 2);
    CHECK(s, >, 0);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

/* ---- unix paths ---- */

static char folder[FOLDER], host[UNIX_HOST];
static const char *const path = host + 5;

static void leave_a_stale_path(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    make_unix_host(folder, host);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    raw_close(fd);
}

static void remove_the_path(void)
{
    unlink(path);
    CHECK(rmdir(folder), ==, 0);
}

/* Whatever step of taking a stale path over fails, it has a code and leaves nothing open. */
static void a_takeover_that_fails_says_why(void)
{
    static const struct { const char *function; int error; int64_t code; } steps[] = {
        { "lstat", EACCES, SOCK_EACCES }, { "socket", EMFILE, SOCK_ELIMIT },
        { "open open64", EACCES, SOCK_EACCES }, { "flock", ENOLCK, SOCK_ESYS },
        { "unlink", EACCES, SOCK_EACCES },
        { "bind", EADDRINUSE, SOCK_EBUSY },  /* others take the path again and again */
        { "connect", ENOENT, SOCK_EBUSY },   /* it seems to be gone, but is not */
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        leave_a_stale_path();
        int descriptors = open_descriptors();
        fail_always(steps[i].function, steps[i].error);
        int64_t code = sock_listen(host, NULL, NULL);
        fault_disarm();
        context("%s: %s", steps[i].function, sock_last_error());
        CHECK(fault_hits(), >, 0);
        CHECK(code, ==, steps[i].code);
        CHECK(open_descriptors(), ==, descriptors);
        sock_t listener = sock_listen(host, NULL, NULL); /* and afterwards it works */
        CHECK(listener, >, 0);
        CHECK(sock_close(listener), ==, 0);
        context(NULL);
        remove_the_path();
    }
}

/* Before Linux 6.6 the C library changes a path without following links only by way of /proc. */
static void permissions_are_set_where_links_cannot_be_kept_from(void)
{
    struct stat status;
    leave_a_stale_path();
    CHECK(unlink(path), ==, 0);
    mode_t before = umask(077);
    fail_once("fchmodat", EOPNOTSUPP);
    sock_t listener = sock_listen(host, NULL, SOCK_OPTIONS(.unix_mode = 0666));
    CHECK(disarm(), ==, 2);
    umask(before);
    CHECK(listener, >, 0);
    CHECK(stat(path, &status), ==, 0);
    CHECK(status.st_mode & 0777, ==, 0666);
    CHECK(sock_close(listener), ==, 0);
    remove_the_path();
}

/* ---- accepting ---- */

/* A file that the kernel does not send by itself is read, from the offset on. */
static void a_file_is_copied_where_the_kernel_does_not_send_it(void)
{
    enum { SIZE = 300000, OFFSET = 1000 };
    static char got[SIZE - OFFSET];
    int fd = pattern_file(SIZE);
    CHECK(lseek(fd, 0, SEEK_END), ==, SIZE);
    sock_t pair[2];
    unix_pair(pair);
    call read = { .run = call_read_exact, .socket = pair[1], .buffer = got, .size = sizeof got };
    call_start(&read);
    fail_always("sendfile sendfile64", EINVAL);
    CHECK(sock_send_file(pair[0], fd, OFFSET, -1), ==, SIZE - OFFSET);
    CHECK(disarm(), ==, 1);
    CHECK(call_join(&read), ==, SIZE - OFFSET);
    CHECK(pattern_mismatch(got, sizeof got, OFFSET), ==, sizeof got);
    CHECK(lseek(fd, 0, SEEK_CUR), ==, SIZE); /* the file's own position stays */
    close_pair(pair);
    raw_close(fd);
}

/* Between the question whether anything is there and the answer a signal may come, even though nobody waits. */
static void an_interrupted_look_is_repeated(void)
{
    int ends[2], packets[2];
    char byte;
    sock_t pair[2];
    sock_datagram batch[4] = { 0 };
    unix_pair(pair);
    CHECK(pipe2(ends, O_CLOEXEC), ==, 0);
    CHECK(write(ends[1], "x", 1), ==, 1);
    fail_once("poll ppoll", EINTR);
    CHECK(sock_send_file(pair[0], ends[0], -1, 1), ==, 1);
    disarm();
    CHECK(sock_read(pair[1], &byte, 1), ==, 1);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, packets), ==, 0);
    sock_t receiver = sock_from_fd(packets[0]);
    CHECK(receiver, >, 0);
    raw_close(packets[1]);
    fail_once("poll ppoll", EINTR);
    CHECK(sock_recv_batch(receiver, batch, 4), ==, 0); /* the end, and not empty packets */
    disarm();
    CHECK(sock_close(receiver), ==, 0);
    close_pair(pair);
    raw_close(ends[0]);
    raw_close(ends[1]);
}

static int64_t call_relay(call *c) { return sock_relay(c->socket, (sock_t)c->number); }

/* What is in the relay's pipe already when the kernel refuses to send from it is not lost, and what comes after it goes the long way. */
static void a_relay_goes_on_without_the_kernel(void)
{
    enum { SIZE = 50000 };
    static char data[SIZE], got[SIZE];
    sock_t one[2], other[2];
    unix_pair(one);
    unix_pair(other);
    pattern(data, SIZE, 0);
    CHECK(sock_write(one[0], data, SIZE), ==, SIZE); /* both ways, so that the first splice finds something and the second fails */
    CHECK(sock_write(other[1], data, SIZE), ==, SIZE);
    fault_arm(&(fault_plan){ .action = FAULT_ERRNO, .value = EINVAL, .when = FAULT_FROM, .first = 2, .functions = "splice" });
    call relay = { .run = call_relay, .socket = one[1], .number = other[0] };
    call_start(&relay);
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < 2; i++) {
            CHECK(sock_read_exact(i ? one[0] : other[1], got, SIZE), ==, SIZE);
            CHECK(pattern_mismatch(got, SIZE, 0), ==, SIZE);
            if (turn < 2) CHECK(sock_write(i ? other[1] : one[0], data, SIZE), ==, SIZE);
        }
    }
    CHECK(sock_shutdown(one[0], SOCK_WRITE), ==, 0);
    CHECK(sock_shutdown(other[1], SOCK_WRITE), ==, 0);
    CHECK(call_join(&relay), ==, 6 * SIZE);
    disarm();
    close_pair(one);
    close_pair(other);
}

/* Counts the messages about accepting. */
static void count_accepting(int level, const char *message, void *count)
{
    (void)level;
    if (strncmp(message, "accept: ", 8) == 0) atomic_fetch_add((atomic_int *)count, 1);
}

static void accept_passes_over_connections_that_died(void)
{
    static const int errors[] = { ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
                                  ENETUNREACH, ETIMEDOUT, EPERM, EINTR, EAGAIN };
    sock_t listener = listen_local();
    atomic_int logged;
    CHECK(sock_set_logger(count_accepting, &logged), ==, 0);
    for (size_t i = 0; i < 2 * (sizeof errors / sizeof *errors); i++) {
        int error = errors[i / 2], client = raw_connect(port_of(listener));
        bool waits = i % 2 || error == EAGAIN; /* which is nothing to pass over */
        atomic_store(&logged, 0);
        fail_once("accept4", error);
        sock_t s = waits ? sock_accept(listener) : sock_try_accept(listener);
        CHECK(disarm(), >=, 2);
        context("errno %d, %s", error, waits ? "accept" : "try_accept");
        CHECK(s, >, 0);
        CHECK(atomic_load(&logged), ==, error != EAGAIN && error != EINTR);
        context(NULL);
        CHECK(sock_close(s), ==, 0);
        raw_close(client);
    }
    CHECK(sock_set_logger(NULL, NULL), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void accept_without_descriptors_waits_and_does_not_spin(void)
{
    atomic_int logged = 0;
    static const struct { int error; sock_error code; } out_of[] = {
        { EMFILE, SOCK_ELIMIT }, { ENFILE, SOCK_ELIMIT }, { ENOMEM, SOCK_ENOMEM }, { ENOBUFS, SOCK_ENOMEM },
    };
    sock_t listener = sock_listen("127.0.0.1", "0", SOCK_OPTIONS(.io_timeout_ms = 300));
    CHECK(listener, >, 0);
    int client = raw_connect(port_of(listener));
    for (int i = 0; i < 4; i++) {
        fail_always("accept4", out_of[i].error);
        int64_t begin = now_ms();
        CHECK(sock_set_logger(count_accepting, &logged), ==, 0);
        CHECK(sock_accept(listener), ==, out_of[i].code);
        CHECK(sock_set_logger(NULL, NULL), ==, 0);
        CHECK(atomic_load(&logged), ==, i + 1); /* once a call, however often it looks */
        CHECK(now_ms() - begin, >=, 300);
        CHECK(disarm(), <, 100);
        fail_always("accept4", out_of[i].error);
        CHECK(sock_try_accept(listener), ==, out_of[i].code);
        CHECK(disarm(), <, 3);
    }
    sock_t s = sock_accept(listener);
    CHECK(s, >, 0);
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_close(listener), ==, 0);
    raw_close(client);
}

static void a_listen_that_fails_leaves_nothing(void)
{
    fail_once("listen", EADDRINUSE);
    int64_t code = sock_listen("127.0.0.1", "0", NULL);
    disarm();
    CHECK(code, ==, SOCK_EADDRINUSE);
}

/* ---- servers ---- */

static const sock_server_options models[] = {
    { .size = sizeof(sock_server_options), .model = SOCK_THREADS },
    { .size = sizeof(sock_server_options), .model = SOCK_FIBERS, .workers = 1 },
};

static void clients_are_served(uint16_t port)
{
    int clients[20]; /* so many that workers hand some over */
    for (int i = 0; i < 20; i++) {
        clients[i] = raw_connect(port);
        raw_echoes(clients[i], "x");
    }
    for (int i = 0; i < 20; i++) raw_close(clients[i]);
}

static void a_server_does_with_the_workers_it_gets(void)
{
    enum { WORKERS = 3 };
    sock_t listener = listen_local();
    uint16_t port = port_of(listener);
    for (int i = 0; i < WORKERS; i++) {
        int before = running_threads();
        context("%d workers", i);
        fault_arm(&(fault_plan){
            .action = FAULT_ERRNO, .value = EAGAIN, .when = FAULT_FROM, .first = i + 1, .functions = "pthread_create" });
        sock_t server = sock_serve(listener, echo_handler, NULL, SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS, .workers = WORKERS));
        disarm();
        CHECK(running_threads(), ==, before + i);
        if (i == 0) {
            CHECK(server, ==, SOCK_ELIMIT);
            continue; /* the listener is as it was */
        }
        CHECK(server, >, 0);
        clients_are_served(port);
        CHECK(sock_server_stop(server, SOCK_FOREVER), ==, 0);
        CHECK(sock_close(listener), ==, SOCK_EHANDLE);
        CHECK(sock_close(server), ==, 0);
        listener = listen_local();
        port = port_of(listener);
    }
    context(NULL);
    CHECK(sock_close(listener), ==, 0);
}

static void connections_wait_for_threads_that_cannot_be_had(void)
{
    served s = serve_with(echo_handler, NULL, &models[0]);
    for (int i = 0; i < 2; i++) {
        bool stops = i == 1;
        uint64_t before = server_info(s.server).accept_errors;
        fail_always("pthread_create", EAGAIN);
        int64_t began = now_ms();
        int client = raw_connect(s.port);
        raw_send(client, "x", 1);
        WAIT_UNTIL(fault_hits() >= 6);
        CHECK(raw_readable(client, 0), ==, false);
        CHECK(server_info(s.server).accept_errors, ==, before + 1); /* once, however often it tries */
        if (stops) {
            CHECK(sock_server_stop(s.server, SOCK_FOREVER), ==, 0);
            CHECK(raw_drain(client), <=, 0);
        }
        CHECK(disarm(), <, 20 + (now_ms() - began) / 10);
        char byte;
        if (!stops) raw_receive(client, &byte, 1);
        raw_close(client);
        WAIT_UNTIL(server_info(s.server).active == 0);
    }
    CHECK(server_info(s.server).finished, ==, 1);
    CHECK(sock_close(s.server), ==, 0);
}

static void servers_pass_over_connections_that_died(void)
{
    for (int i = 0; i < 2; i++) {
        served s = serve_with(echo_handler, NULL, &models[i]);
        context("%s", i ? "fibers" : "threads");
        fault_arm(&(fault_plan){ .action = FAULT_ERRNO, .value = ECONNABORTED, .when = FAULT_ONCE, .first = 1, .functions = "accept4" });
        int client = raw_connect(s.port);
        raw_echoes(client, "x");
        disarm();
        CHECK(server_info(s.server).accept_errors, ==, 1);
        raw_close(client);

        /* If they never end, it checks again only now and then. */
        fail_always("accept4", ECONNABORTED);
        int64_t began = now_ms();
        client = raw_connect(s.port);
        WAIT_UNTIL(fault_hits() > 1000 && now_ms() - began > 200);
        CHECK(disarm(), <, 2000);
        raw_echoes(client, "x");
        CHECK(server_info(s.server).accepted, ==, 2);
        CHECK(server_info(s.server).accept_errors, ==, 1 + 1000 + 1); /* each dead one, and once that it has come to this */
        raw_close(client);
        CHECK(sock_server_stop(s.server, SOCK_FOREVER), ==, 0);
        CHECK(sock_close(s.server), ==, 0);
    }
    context(NULL);
}

/* Handles live in places that are made some at a time. */
static void servers_wait_for_a_place_for_the_handle(void)
{
    static const fault_plan without_memory = { .action = FAULT_MEMORY, .when = FAULT_FROM, .first = 1 };
    enum { MOST = 1000 };
    static sock_t pairs[MOST][2];
    for (int i = 0; i < 2; i++) {
        served s = serve_with(echo_handler, NULL, &models[i]);
        int count = 0, client = raw_connect(s.port);
        context("%s", i ? "fibers" : "threads");
        raw_echoes(client, "x");
        raw_close(client);
        WAIT_UNTIL(sock_live_handles() == 2);
        fault_arm(&without_memory);
        while (count < MOST && sock_pair(pairs[count]) == 0) count++;
        client = raw_connect(s.port);
        WAIT_UNTIL(server_info(s.server).accept_errors > 0);
        disarm();
        raw_close(client);
        client = raw_connect(s.port);
        raw_echoes(client, "x");
        raw_close(client);
        CHECK(server_info(s.server).accept_errors, ==, 1);
        CHECK(sock_close(s.server), ==, 0);
        for (int p = 0; p < count; p++) close_pair(pairs[p]);
    }
    context(NULL);
}

/* Each allocation from the start of a server to its first answer fails in turn. It may cost the client that came, but not the next. */
static void a_moment_without_memory_ends_no_server(void)
{
    for (int i = 0; i < 2; i++) {
        long hits = 1;
        for (int number = 1; hits > 0; number++) {
            context("%s, allocation %d", i ? "fibers" : "threads", number);
            sock_t listener = listen_local();
            uint16_t port = port_of(listener);
            fault_arm(&(fault_plan){ .action = FAULT_MEMORY, .when = FAULT_ONCE, .first = number });
            sock_t server = sock_serve(listener, echo_handler, NULL, &models[i]);
            if (server > 0) {
                int client = raw_connect(port);
                raw_send(client, "x", 1);
                CHECK(raw_readable(client, 10000), ==, true);
                raw_close(client);
            }
            fault_disarm();
            hits = fault_hits();
            if (server > 0) {
                int client = raw_connect(port);
                raw_echoes(client, "x");
                raw_close(client);
            }
            CHECK(server > 0 || server == SOCK_ENOMEM || server == SOCK_ELIMIT, ==, true);
            CHECK(sock_close(server > 0 ? server : listener), ==, 0);
        }
    }
    context(NULL);
}

static void a_server_ends_where_accepting_has_failed_for_good(void)
{
    for (int i = 0; i < 2; i++) {
        served s = serve_with(echo_handler, NULL, &models[i]);
        context("%s", i ? "fibers" : "threads");
        int client = raw_connect(s.port);
        raw_echoes(client, "x");
        fail_always("accept4", ENOTSOCK);
        int other = raw_connect(s.port);
        sock_address address;
        WAIT_UNTIL(sock_local_address(s.listener, &address) == SOCK_EHANDLE);
        disarm();
        CHECK(server_info(s.server).accept_errors, ==, 1);
        raw_echoes(client, "those who are here stay");
        raw_close(client);
        raw_close(other);
        CHECK(sock_server_wait(s.server), ==, 0);
        CHECK(sock_close(s.server), ==, 0);
    }
    context(NULL);
}

/* ---- moving bytes ---- */

enum { SIZE = 20000 };

static int64_t call_writev_of_three(call *c)
{
    unsigned char *sent = c->buffer;
    struct iovec parts[3] = { { sent, 5 }, { sent, 0 }, { sent + 5, 100 } };
    return sock_writev(c->socket, parts, 3);
}

static void exchange(sock_t a, sock_t b)
{
    static unsigned char sent[SIZE], received[SIZE];
    char line[16];
    pattern(sent, SIZE, 7);
    call write = { .run = call_write, .socket = a, .buffer = sent, .size = SIZE };
    call_start(&write);
    CHECK(sock_read_exact(b, received, SIZE), ==, SIZE);
    CHECK(call_join(&write), ==, SIZE);
    CHECK(pattern_mismatch(received, SIZE, 7), ==, SIZE);
    CHECK(sock_write(b, "one\r\ntwo\n", 9), ==, 9);
    CHECK(sock_read_line(a, line, sizeof line), ==, 3);
    CHECK(strcmp(line, "one"), ==, 0);
    CHECK(sock_read_line(a, line, sizeof line), ==, 3);
    CHECK(strcmp(line, "two"), ==, 0);
    /* A write that was cut waits for room, and one-byte pieces that nobody reads leave little: somebody has to read meanwhile. */
    call writev = { .run = call_writev_of_three, .socket = a, .buffer = sent };
    call_start(&writev);
    CHECK(sock_read_exact(b, received, 105), ==, 105);
    CHECK(call_join(&writev), ==, 105);
    CHECK(pattern_mismatch(received, 105, 7), ==, 105);
}

#define READS_AND_WRITES "recv send read write recvfrom sendto recvmsg sendmsg readv writev"

static void exchange_under(const fault_plan *plan)
{
    static const make_pair pairs[] = { tcp_pair, unix_pair };
    for (int i = 0; i < 2; i++) {
        sock_t pair[2];
        pairs[i](pair);
        fault_arm(plan);
        exchange(pair[0], pair[1]);
        disarm();
        CHECK(sock_close(pair[0]), ==, 0);
        CHECK(sock_close(pair[1]), ==, 0);
    }
}

static void one_byte_at_a_time_is_enough(void)
{
    exchange_under(&(fault_plan){ .action = FAULT_SHORT, .value = 1, .when = FAULT_FROM, .first = 1, .functions = READS_AND_WRITES });
}

static void half_the_calls_interrupted_or_refused_change_nothing(void)
{
    static const int errors[] = { EAGAIN, EINTR };
    for (int i = 0; i < 2; i++)
        exchange_under(&(fault_plan){ .action = FAULT_ERRNO, .value = errors[i], .when = FAULT_RANDOM, .per_mille = 500,
                                      .seed = 42, .functions = READS_AND_WRITES });
}

static void waits_that_end_without_reason_go_on(void)
{
    sock_t pair[2];
    char byte;
    CHECK(sock_pair(pair), ==, 0);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 100), ==, 0);
    fault_arm(&(fault_plan){ .action = FAULT_GHOST, .when = FAULT_RANDOM, .per_mille = 500, .seed = 3, .functions = "poll ppoll" });
    int64_t begin = now_ms(), code = SOCK_ETIMEDOUT;
    for (int i = 0; i < 5 && code == SOCK_ETIMEDOUT; i++) code = sock_read(pair[0], &byte, 1);
    disarm();
    CHECK(code, ==, SOCK_ETIMEDOUT);
    CHECK(now_ms() - begin, >=, 500);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
}

static void a_batch_that_stops_in_the_middle_counts_what_went(void)
{
    char bytes[3][8] = { "one", "two", "three" }, received[8];
    sock_datagram batch[3];
    sock_t bound = sock_udp_bind("127.0.0.1", "0", SOCK_OPTIONS(.io_timeout_ms = 5000));
    CHECK(bound, >, 0);
    sock_t s = sock_udp_open("127.0.0.1", port_text(port_of(bound)), NULL);
    CHECK(s, >, 0);
    for (int i = 0; i < 3; i++) batch[i] = (sock_datagram){ .data = bytes[i], .size = 5 };
    fault_arm(&(fault_plan){ .action = FAULT_SHORT, .value = 1, .when = FAULT_ONCE, .first = 1, .functions = "sendmmsg" });
    int64_t sent = sock_send_batch(s, batch, 3);
    disarm();
    CHECK(sent, >=, 1);
    for (int64_t i = 0; i < sent; i++) {
        CHECK(sock_recv_from(bound, received, sizeof received, NULL), ==, 5);
        CHECK(memcmp(received, bytes[i], 5), ==, 0);
    }
    fail_once("sendmmsg", EPERM);
    CHECK(sock_send_batch(s, batch, 3), ==, SOCK_EACCES);
    disarm();
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_close(bound), ==, 0);
}

/* ---- limits of the system ---- */

static void the_systems_limits_have_their_codes(void)
{
    static const struct { int error; int64_t code; } cases[] = {
        { EMFILE, SOCK_ELIMIT }, { ENFILE, SOCK_ELIMIT }, { ENOMEM, SOCK_ENOMEM }, { ENOBUFS, SOCK_ENOMEM }, { EACCES, SOCK_EACCES },
        { EAFNOSUPPORT, SOCK_ENOTSUP },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        context("errno %d", cases[i].error);
        fail_always("socket socketpair", cases[i].error);
        sock_t pair[2];
        CHECK(sock_open("127.0.0.1", "9", NULL), ==, cases[i].code);
        CHECK(sock_listen("127.0.0.1", "0", NULL), ==, cases[i].code);
        CHECK(sock_udp_bind("127.0.0.1", "0", NULL), ==, cases[i].code);
        CHECK(sock_udp_open("127.0.0.1", "9", NULL), ==, cases[i].code);
        CHECK(sock_pair(pair), ==, cases[i].code);
        CHECK(disarm(), >=, 5);
        context(NULL);
    }
}

static void without_ipv6_every_address_is_that_of_ipv4(void)
{
    static sock_t (*const makers[])(const char *, const char *, const sock_options *) = { sock_listen, sock_udp_bind };
    sock_info info = { .size = sizeof info };
    for (int i = 0; i < 2; i++) {
        fail_once("socket", EAFNOSUPPORT);
        sock_t s = makers[i](NULL, "0", NULL);
        disarm();
        CHECK(s, >, 0);
        CHECK(sock_get_info(s, &info), ==, 0);
        CHECK(info.family, ==, SOCK_IPV4);
        fail_once("socket", EAFNOSUPPORT);
        CHECK(makers[i](NULL, port_text(port_of(s)), NULL), ==, SOCK_EADDRINUSE); /* what is wrong with that one */
        disarm();
        fail_once("socket", EAFNOSUPPORT);
        CHECK(makers[i](NULL, "0", SOCK_OPTIONS(.v6_only = SOCK_ON)), ==, SOCK_ENOTSUP); /* IPv4 is just what was not wanted */
        disarm();
        CHECK(sock_close(s), ==, 0);
    }
}

static void a_send_without_memory_leaves_a_usable_handle(void)
{
    static const int errors[] = { ENOMEM, ENOBUFS };
    sock_t pair[2];
    char byte;
    tcp_pair(pair);
    for (int i = 0; i < 2; i++) {
        fail_once("send", errors[i]);
        CHECK(sock_write(pair[0], "x", 1), ==, SOCK_ENOMEM);
        disarm();
        CHECK(sock_last_errno(), ==, errors[i]);
        CHECK(sock_write(pair[0], "y", 1), ==, 1);
        CHECK(sock_read(pair[1], &byte, 1), ==, 1);
        CHECK(byte, ==, 'y');
    }
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
}

/* What needs no memory does without it: the system's own words for an errno, which are part of the text, and a look at the environment. */
static void failures_and_counts_are_told_without_memory(void)
{
    static const fault_plan none = { .action = FAULT_MEMORY, .when = FAULT_FROM, .first = 1 };
    char own[16];
    snprintf(own, sizeof own, "%d", (int)getpid());
    CHECK(setenv("LISTEN_PID", own, 1) | setenv("LISTEN_FDS", "1", 1), ==, 0);
    fault_arm(&none);
    CHECK(sock_from_fd(-1), ==, SOCK_EINVAL);
    CHECK(strstr(sock_last_error(), strerror(EBADF)) != NULL, ==, 1);
    CHECK(sock_inherited(NULL, 0), ==, 1);
    fault_disarm();
}

/* A batch that is full of what one system call takes is continued, and what that call says is kept for the next. */
static void a_refusal_after_a_full_batch_is_kept(void)
{
    enum { MANY = 256 };
    static sock_datagram in[MANY];
    static char bytes[MANY];
    sock_t receiver = sock_udp_bind("127.0.0.1", "0", NULL);
    sock_t sender = sock_udp_open("127.0.0.1", port_text(port_of(receiver)), NULL);
    CHECK(sender, >, 0);
    for (int refused = 0; refused < 2; refused++) {
        for (int i = 0; i < MANY; i++) in[i] = (sock_datagram){ .data = &bytes[i], .size = 1 };
        int sent = 0;
        for (; sent < MANY; sent++) CHECK(sock_write(sender, "x", 1), ==, 1);
        fault_plan second = { .action = FAULT_ERRNO, .value = refused ? ECONNREFUSED : EAGAIN, .when = FAULT_ONCE, .first = 2,
                              .functions = "recvmmsg" };
        fault_arm(&second);
        int64_t got = sock_recv_batch(receiver, in, MANY);
        disarm();
        CHECK(got, >, 1);
        CHECK(got, <, MANY);
        if (refused) CHECK(sock_recv_batch(receiver, in, MANY), ==, SOCK_ECONNREFUSED);
        CHECK(sock_recv_batch(receiver, in, MANY), ==, MANY - got);
    }
    CHECK(sock_close(sender), ==, 0);
    CHECK(sock_close(receiver), ==, 0);
}

/* An abort that cannot be a reset says so, and closes. */
/* Read byte by byte, there is more than a peer that ends can have left behind: it is to be taken for one that never
 * ends. */
static void a_finish_whose_time_is_over_does_not_drop_for_ever(void)
{
    enum { SIZE = 20000 };
    static char data[SIZE];
    sock_t s;
    int peer;
    tcp_with_raw_peer(&s, &peer);
    raw_send(peer, data, SIZE);
    CHECK(shutdown(peer, SHUT_WR), ==, 0);
    fault_arm(&(fault_plan){ .action = FAULT_SHORT, .value = 1, .when = FAULT_FROM, .first = 1, .functions = "recv" });
    CHECK(sock_finish(s, 0), ==, SOCK_ETIMEDOUT);
    long calls = disarm();
    CHECK(calls, >=, 4000);
    CHECK(calls, <, SIZE);
    raw_close(peer);
}

static void an_abort_that_fails_closes_all_the_same(void)
{
    sock_t pair[2];
    tcp_pair(pair);
    fail_once("setsockopt", EPERM);
    CHECK(sock_abort(pair[0]), ==, SOCK_EACCES);
    CHECK(disarm(), ==, 1);
    CHECK(sock_close(pair[0]), ==, SOCK_EHANDLE);
    char byte;
    CHECK(sock_read(pair[1], &byte, 1), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
}

static void a_socket_that_cannot_be_looked_at_is_not_adopted(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int call = 1; call <= 3; call++) {
        fault_arm(&(fault_plan){ .action = FAULT_ERRNO, .value = ENOMEM, .when = FAULT_ONCE, .first = call, .functions = "getsockopt" });
        CHECK(sock_from_fd(fd), ==, SOCK_ENOMEM);
        CHECK(disarm(), ==, call);
    }
    sock_t s = sock_from_fd(fd); /* it was left alone */
    CHECK(s, >, 0);
    CHECK(sock_close(s), ==, 0);
}

static void a_passed_socket_that_cannot_be_looked_at_is_looked_at_again(void)
{
    uint16_t port;
    sock_t got = 7;
    int listener = raw_listen(&port);
    pid_t child = fork_child();
    if (child == 0) {
        char pid[16];
        snprintf(pid, sizeof pid, "%d", (int)getpid());
        CHECK(dup2(listener, 3), ==, 3);
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", "1", 1);
        fail_once("getsockopt", ENOBUFS);
        CHECK(sock_inherited(&got, 1), ==, SOCK_ENOMEM);
        disarm();
        CHECK(got, ==, 7);
        CHECK(sock_inherited(&got, 1), ==, 1);
        CHECK(port_of(got), ==, port);
        CHECK(sock_close(got), ==, 0);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
    raw_close(listener);
}

static void a_full_epoll_is_a_limit(void)
{
    sock_t pair[2], poller = sock_poller();
    CHECK(poller, >, 0);
    CHECK(sock_pair(pair), ==, 0);
    fail_once("epoll_ctl", ENOSPC);
    CHECK(sock_poller(), ==, SOCK_ELIMIT);
    disarm();
    fail_once("epoll_ctl", ENOSPC);
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, SOCK_ELIMIT);
    disarm();
    CHECK(sock_poller_add(poller, pair[0], SOCK_READ, NULL), ==, 0);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

/* A fiber's wait for its connection, or for a descriptor without a handle, cannot begin, or its end cannot be looked at. */
typedef struct piped { int ends[2]; bool reads; fault_plan plan; atomic_int entered; atomic_llong result; } piped;

static void wait_with_a_fault(sock_t connection, void *context)
{
    piped *it = context;
    if (atomic_fetch_add(&it->entered, 1) > 0) return;
    fault_arm(&it->plan);
    char byte;
    int64_t result = it->reads ? sock_read(connection, &byte, 1) : sock_send_file(connection, it->ends[0], -1, 1);
    atomic_store(&it->result, result);
}

static void a_fiber_that_cannot_wait_says_so(void)
{
    static const struct { bool reads; const char *functions; int error; long first; int64_t result; } plans[] = {
        { true, "epoll_ctl", ENOSPC, 1, SOCK_ELIMIT },
        { false, "epoll_ctl", ENOSPC, 1, SOCK_ELIMIT },
        { false, "epoll_ctl", ENOSPC, 2, SOCK_ELIMIT },
        { false, "poll ppoll", EINTR, 2, 1 }, /* the first look is before the wait */
    };
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        piped it = { .reads = plans[i].reads, .plan = { .action = FAULT_ERRNO, .value = plans[i].error, .when = FAULT_ONCE, .first = plans[i].first,
                               .functions = plans[i].functions } };
        context("%s fails with %d", plans[i].functions, plans[i].error);
        CHECK(pipe2(it.ends, O_CLOEXEC), ==, 0);
        sock_t listener = listen_local();
        sock_t server = sock_serve(listener, wait_with_a_fault, &it, SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS, .workers = 1));
        CHECK(server, >, 0);
        int client = raw_connect(port_of(listener));
        WAIT_UNTIL(atomic_load(&it.entered) == 1);
        int second = raw_connect(port_of(listener));
        WAIT_UNTIL(atomic_load(&it.entered) == 2); /* so the first one sleeps, or has ended */
        CHECK(write(it.ends[1], "x", 1), ==, 1);
        WAIT_UNTIL(atomic_load(&it.result) != 0);
        disarm();
        CHECK(atomic_load(&it.result), ==, plans[i].result);
        CHECK(sock_close(server), ==, 0);
        raw_close(client);
        raw_close(second);
        close(it.ends[0]);
        close(it.ends[1]);
    }
    context(NULL);
}

/* Who sleeps without a descriptor to be woken by looks up now and then, and sleeps between. */
static void without_an_eventfd_a_wait_does_not_spin(void)
{
    sock_t pair[2];
    char byte;
    unix_pair(pair);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 400), ==, 0);
    fail_always("eventfd", EMFILE);
    int64_t before = processor_us(), began = now_ms();
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
    int64_t used = processor_us() - before;
    disarm();
    CHECK(now_ms() - began, >=, 400);
    CHECK(used, <, 20000);
    close_pair(pair);
}

/* On Linux the descriptor is gone whatever close says, and its number may already be somebody else's. */
static void a_close_that_fails_is_not_repeated(void)
{
    static const int errors[] = { EINTR, EIO };
    for (int i = 0; i < 2; i++) {
        sock_t pair[2];
        CHECK(sock_pair(pair), ==, 0);
        fail_always("close", errors[i]);
        CHECK(sock_close(pair[0]), ==, 0);
        CHECK(disarm(), ==, 1);
        CHECK(sock_close(pair[1]), ==, 0);
    }
}

/* ---- kernels that lack a system call, or forbid it ---- */

static void forbid(int system_call, int error)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)system_call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { sizeof program / sizeof *program, program };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), ==, 0);
}

static void forbidden_system_calls_fail_with_a_code_or_not_at_all(void)
{
    static const struct { const char *name; int number; } calls[] = {
        { "accept4", SYS_accept4 }, { "eventfd2", SYS_eventfd2 }, { "epoll_create1", SYS_epoll_create1 },
        { "epoll_pwait2", SYS_epoll_pwait2 }, { "getrandom", SYS_getrandom }, { "ppoll", SYS_ppoll },
        { "membarrier", SYS_membarrier }, { "setsockopt", SYS_setsockopt }, { "recvmmsg", SYS_recvmmsg },
        { "sendmmsg", SYS_sendmmsg }, { "splice", SYS_splice }, { "io_uring_setup", SYS_io_uring_setup },
    };
    static int64_t (*const scenarios[])(void) = { tcp_echo, three_clients, datagrams, poller, closed_by_another_thread };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        for (int error = 0; error < 2; error++) {
            context("%s", calls[i].name);
            pid_t child = fork_child();
            if (child == 0) {
                alarm(15);
                patience_ms = 5000; /* nothing runs out of time only because the machine is busy */
                forbid(calls[i].number, error ? EPERM : ENOSYS);
                for (size_t s = 0; s < sizeof scenarios / sizeof *scenarios; s++) {
                    int64_t code = scenarios[s]();
                    context("%s, scenario %zu at %s: %s", calls[i].name, s, failed_step, sock_last_error());
                    CHECK(code == 0 || code == SOCK_ENOTSUP || code == SOCK_EACCES || code == SOCK_ESYS, ==, true);
                    CHECK(sock_live_handles(), ==, 0);
                }
                _exit(0);
            }
            CHECK(child_status(child), ==, 0);
            context(NULL);
        }
    }
}

/* Kernels before 4.14 refuse the page that they would wipe in a child, and emulators accept every advice and do nothing. */
static void forks_are_noticed_where_no_page_is_wiped(void)
{
    for (int refused = 0; refused < 2; refused++) {
        context("%s", refused ? "refused" : "ignored");
        pid_t user = fork_child();
        if (user == 0) {
            forbid(SYS_madvise, refused ? EINVAL : 0);
            sock_event event;
            sock_t copy = sock_poller();
            CHECK(sock_poller_wait(copy, &event, 1, 0), ==, 0);
            pid_t child = fork_child();
            if (child == 0) {
                CHECK(sock_poller_wait(copy, &event, 1, 0), ==, SOCK_ENOTSUP);
                CHECK(tcp_echo(), ==, 0);
                _exit(0);
            }
            CHECK(child_status(child), ==, 0);
            CHECK(sock_poller_wait(copy, &event, 1, 0), ==, 0);
            CHECK(sock_close(copy), ==, 0);
            _exit(0);
        }
        CHECK(child_status(user), ==, 0);
    }
    context(NULL);
}

static const test_case cases[] = {
    CASE(a_connect_interrupted_after_its_syn_is_completed),
    CASE(an_interrupted_unix_connect_is_made_once),
    CASE(a_connection_that_is_gone_at_once_was_reset),
    CASE(an_unreadable_result_is_no_success),
    CASE(without_multipath_in_the_kernel_it_is_plain_tcp),
    CASE(the_resolvers_failures_have_their_codes),
    CASE(without_a_thread_for_names_literals_still_work),
    CASE(a_thread_that_needs_a_larger_stack_gets_the_default),
    CASE(a_takeover_that_fails_says_why),
    CASE(permissions_are_set_where_links_cannot_be_kept_from),
    CASE(a_file_is_copied_where_the_kernel_does_not_send_it),
    CASE(an_interrupted_look_is_repeated),
    CASE(a_relay_goes_on_without_the_kernel),
    CASE(accept_passes_over_connections_that_died),
    CASE(accept_without_descriptors_waits_and_does_not_spin),
    CASE(a_listen_that_fails_leaves_nothing),
    CASE(a_server_does_with_the_workers_it_gets),
    CASE(connections_wait_for_threads_that_cannot_be_had),
    CASE(servers_pass_over_connections_that_died),
    CASE(servers_wait_for_a_place_for_the_handle),
    CASE(a_moment_without_memory_ends_no_server),
    CASE(a_server_ends_where_accepting_has_failed_for_good),
    CASE(one_byte_at_a_time_is_enough),
    CASE(half_the_calls_interrupted_or_refused_change_nothing),
    CASE(waits_that_end_without_reason_go_on),
    CASE(a_batch_that_stops_in_the_middle_counts_what_went),
    CASE(the_systems_limits_have_their_codes),
    CASE(without_ipv6_every_address_is_that_of_ipv4),
    CASE(a_send_without_memory_leaves_a_usable_handle),
    CASE(failures_and_counts_are_told_without_memory),
    CASE(a_refusal_after_a_full_batch_is_kept),
    CASE(a_finish_whose_time_is_over_does_not_drop_for_ever),
    CASE(an_abort_that_fails_closes_all_the_same),
    CASE(a_socket_that_cannot_be_looked_at_is_not_adopted),
    CASE(a_passed_socket_that_cannot_be_looked_at_is_looked_at_again),
    CASE(a_full_epoll_is_a_limit),
    CASE(without_an_eventfd_a_wait_does_not_spin),
    CASE(a_fiber_that_cannot_wait_says_so),
    CASE(a_close_that_fails_is_not_repeated),
    CASE(forbidden_system_calls_fail_with_a_code_or_not_at_all),
    CASE(forks_are_noticed_where_no_page_is_wiped),
};
TEST_MAIN(cases)
