/* What only fibers have: many on one worker, stacks, fairness, results of their own, sockets that several workers know. */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static served serve_on(int workers, sock_handler handler, void *context, size_t stack)
{
    return serve_with(handler, context, SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS, .workers = workers, .stack_size = stack));
}

/* ---- results of their own ---- */

/* A logger may wait: what fails in the other fibers meanwhile is still logged, and what fails in the logger is not. */
static atomic_int logged;

static void wait_for_another_message(int level, const char *message, void *context)
{
    (void)level, (void)message, (void)context;
    atomic_fetch_add(&logged, 1);
    for (int i = 0; i < 5000 && atomic_load(&logged) < 2; i++) CHECK(sock_sleep(1), ==, 0);
    CHECK(sock_poller_wake(3), ==, SOCK_EHANDLE);
}

static void fail_once(sock_t connection, void *context)
{
    (void)context;
    CHECK(sock_close(3), ==, SOCK_EHANDLE);
    CHECK(strncmp(sock_last_error(), "close", 5), ==, 0);
    CHECK(sock_write(connection, "k", 1), ==, 1);
}

static void a_logger_that_waits_holds_up_no_other_fiber(void)
{
    served s = serve_on(1, fail_once, NULL, 0);
    int clients[2];
    char answer;
    CHECK(sock_set_logger(wait_for_another_message, NULL), ==, 0);
    for (int i = 0; i < 2; i++) clients[i] = raw_connect(s.port);
    for (int i = 0; i < 2; i++) raw_receive(clients[i], &answer, 1);
    CHECK(sock_set_logger(NULL, NULL), ==, 0);
    CHECK(atomic_load(&logged), ==, 2);
    for (int i = 0; i < 2; i++) raw_close(clients[i]);
    CHECK(sock_close(s.server), ==, 0);
}

static void fail_and_remember(sock_t connection, void *context)
{
    char which, text[512], seen[512];
    (void)context;
    CHECK(strcmp(sock_last_error(), ""), ==, 0);
    CHECK(sock_last_errno(), ==, 0);
    CHECK(sock_read_exact(connection, &which, 1), ==, 1);
    if (which == 'r') {
        CHECK(sock_set_deadline(connection, SOCK_READ, 20), ==, 0);
        CHECK(sock_read_exact(connection, text, sizeof text), ==, SOCK_ETIMEDOUT);
        CHECK(sock_last_count(), ==, 3);
        CHECK(sock_close(1), ==, SOCK_EHANDLE); /* no transfer */
    } else {
        CHECK(sock_open("127.0.0.1", "1", NULL), ==, SOCK_ECONNREFUSED);
        CHECK(sock_last_errno(), ==, ECONNREFUSED);
        CHECK(sock_last_count(), ==, 0);
    }
    snprintf(seen, sizeof seen, "%s", sock_last_error());
    CHECK(strlen(seen), >, 0);
    /* Others fail meanwhile, on the same thread. */
    CHECK(sock_sleep(100), ==, 0);
    CHECK(strcmp(sock_last_error(), seen), ==, 0);
    CHECK(sock_last_count(), ==, which == 'r' ? 3 : 0);
    CHECK(sock_last_errno(), ==, which == 'r' ? 0 : ECONNREFUSED);
    CHECK(sock_write(connection, "k", 1), ==, 1);
}

static void the_last_error_belongs_to_the_fiber(void)
{
    served s = serve_on(1, fail_and_remember, NULL, 0);
    int clients[6];
    char answer;
    for (int i = 0; i < 6; i++) {
        clients[i] = raw_connect(s.port);
        raw_send(clients[i], i % 2 ? "rabc" : "o", i % 2 ? 4 : 1);
    }
    for (int i = 0; i < 6; i++) {
        raw_receive(clients[i], &answer, 1);
        raw_close(clients[i]);
    }
    CHECK(sock_close(s.server), ==, 0);
}

/* ---- stacks ---- */

static int dive(int depth)
{
    volatile char room[1024];
    room[0] = (char)depth;
    room[1023] = (char)depth;
    return depth == 0 ? room[0] : dive(depth - 1) + room[1023];
}

static volatile int depths = 1 << 30;

static void overflow(sock_t connection, void *context)
{
    (void)context;
    char text[16];
    snprintf(text, sizeof text, "%d", dive(depths));
    sock_write(connection, text, 1);
}

static void running_over_the_stack_hits_the_guard_page(void)
{
    if (under_memcheck()) skip("valgrind and the sanitizers report the overflow themselves");
    pid_t child = fork_child();
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        served s = serve_on(1, overflow, NULL, 64 << 10);
        int neighbours[4];
        for (int i = 0; i < 4; i++) neighbours[i] = raw_connect(s.port);
        sock_server_wait(s.server);
        _exit(neighbours[0] >= 0);
    }
    CHECK(child_status(child), ==, 1000 + SIGSEGV);
}

static void use_the_stack(sock_t connection, void *context)
{
    char byte;
    CHECK(sock_read(connection, &byte, 1), ==, 1);
    dive(*(int *)context);
    CHECK(sock_write(connection, &byte, 1), ==, 1);
    sock_read(connection, &byte, 1);
}

static void stacks_are_as_large_as_was_asked_for(void)
{
    static const size_t sizes[] = { 1, 16 << 10, 100001, 4 << 20 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t given = sizes[i] < (16 << 10) ? 16 << 10 : sizes[i];
        int depth = (int)((given - (8 << 10)) / 1200);
        served s = serve_on(2, use_the_stack, &depth, sizes[i]);
        int clients[40];
        for (int c = 0; c < 40; c++) clients[c] = raw_connect(s.port);
        for (int c = 0; c < 40; c++) raw_echoes(clients[c], "x");
        for (int c = 0; c < 40; c++) raw_close(clients[c]);
        CHECK(sock_close(s.server), ==, 0);
    }
}

/* Stacks are mapped sixteen at a time, unless only one fits. */
static void a_stack_is_found_where_there_is_no_room_for_many(void)
{
    if (under_memcheck()) skip("the checker maps what it likes");
    int depth = 1;
    struct rlimit room;
    CHECK(getrlimit(RLIMIT_AS, &room), ==, 0);
    room.rlim_cur = (rlim_t)4 << 30;
    CHECK(setrlimit(RLIMIT_AS, &room), ==, 0);
    served s = serve_on(1, use_the_stack, &depth, 1 << 30);
    int clients[2];
    for (int c = 0; c < 2; c++) clients[c] = raw_connect(s.port);
    for (int c = 0; c < 2; c++) raw_echoes(clients[c], "x");
    for (int c = 0; c < 2; c++) raw_close(clients[c]);
    CHECK(sock_close(s.server), ==, 0);
}

static void memory_goes_back_when_load_falls(void)
{
    enum { CLIENTS = 400 };
    int depth = 150; /* about 170 KiB of stack for each */
    if (under_memcheck()) skip("the checker's own memory would be measured");
    served s = serve_on(1, use_the_stack, &depth, 0);
    int clients[CLIENTS];
    int64_t before = resident_kib();
    for (int i = 0; i < CLIENTS; i++) clients[i] = raw_connect(s.port);
    for (int i = 0; i < CLIENTS; i++) raw_echoes(clients[i], "x");
    int64_t busy = resident_kib() - before;
    CHECK(busy, >, CLIENTS * 150);
    for (int i = 0; i < CLIENTS; i++) raw_close(clients[i]);
    WAIT_UNTIL(server_info(s.server).active == 0);
    WAIT_UNTIL(resident_kib() - before < busy / 3);
    CHECK(sock_close(s.server), ==, 0);
}

/* ---- fairness ---- */

static void swallow(sock_t connection, void *context)
{
    char buffer[512];
    (void)context;
    while (sock_read(connection, buffer, sizeof buffer) > 0) {}
}

static void swallow_or_echo(sock_t connection, void *context)
{
    char kind;
    if (sock_read_exact(connection, &kind, 1) != 1) return;
    if (kind == 'e') echo_handler(connection, context);
    else if (kind == 's') swallow(connection, context);
    else {
        char byte;
        while (sock_try_read(connection, &byte, 1) == SOCK_EAGAIN) {} /* asks again and again */
    }
}

static atomic_bool flooding;

static void *flood(void *argument)
{
    static char block[1 << 16];
    int fd = raw_connect(*(uint16_t *)argument);
    raw_send(fd, "s", 1);
    while (atomic_load(&flooding)) raw_send(fd, block, sizeof block);
    raw_close(fd);
    return NULL;
}

static void a_busy_fiber_starves_nobody(void)
{
    served s = serve_on(1, swallow_or_echo, NULL, 0);
    pthread_t threads[2];
    atomic_store(&flooding, true);
    for (int i = 0; i < 2; i++) threads[i] = start_thread(flood, &s.port);
    int impatient = raw_connect(s.port);
    raw_send(impatient, "t", 1);
    int steady = raw_connect(s.port);
    raw_send(steady, "e", 1);
    int64_t times[40];
    for (int i = 0; i < 40; i++) {
        int64_t began = now_us();
        if (i % 2) raw_echoes(steady, "still here");
        else {
            int late = raw_connect(s.port);
            raw_send(late, "e", 1);
            raw_echoes(late, "just came");
            raw_close(late);
        }
        times[i] = now_us() - began;
    }
    if (!under_memcheck()) CHECK(median(times, 40), <, 500000); /* a starved fiber would wait until the flood ends */
    atomic_store(&flooding, false);
    for (int i = 0; i < 2; i++) join_thread(threads[i]);
    raw_close(impatient);
    raw_close(steady);
    CHECK(sock_close(s.server), ==, 0);
}

static void write_for_ever(sock_t connection, void *context)
{
    static char block[1 << 16];
    (void)context;
    while (sock_write(connection, block, sizeof block) > 0) {}
}

static void a_client_that_never_reads_holds_up_only_itself(void)
{
    served writers = serve_on(1, write_for_ever, NULL, 0);
    int deaf[10], reading = raw_connect(writers.port);
    char byte;
    for (int i = 0; i < 10; i++) deaf[i] = raw_connect(writers.port);
    WAIT_UNTIL(server_info(writers.server).active == 11);
    for (int i = 0; i < 1000; i++) raw_receive(reading, &byte, 1);
    CHECK(sock_server_stop(writers.server, 0), ==, 11);
    CHECK(sock_close(writers.server), ==, 0);
    for (int i = 0; i < 10; i++) raw_close(deaf[i]);
    raw_close(reading);
}

/* ---- what epoll says once ---- */

typedef struct stuck { sock_t to; atomic_int full; _Atomic int64_t result; } stuck;

static void fill_and_write(sock_t connection, void *context)
{
    stuck *s = context;
    (void)connection;
    fill(s->to);
    s->full = 1;
    s->result = sock_write(s->to, "no room", 7);
}

/* That a full unix socket is shut down the kernel reports to nobody. */
static void a_half_close_ends_the_write_of_a_fiber(void)
{
    stuck writer = { 0 };
    served s = serve_on(1, fill_and_write, &writer, 0);
    sock_t pair[2];
    unix_pair(pair);
    writer.to = pair[0];
    int client = raw_connect(s.port);
    WAIT_UNTIL(writer.full);
    sleep_ms(20); /* it waits by now, or has yet to try: the result is the same */
    CHECK(sock_shutdown(pair[0], SOCK_WRITE), ==, 0);
    WAIT_UNTIL(writer.result != 0);
    CHECK(writer.result, ==, SOCK_EPIPE);
    raw_close(client);
    close_pair(pair);
    CHECK(sock_close(s.server), ==, 0);
}

static void count_bytes(sock_t connection, void *context)
{
    char buffer[64];
    int64_t length, sum = 0;
    (void)context;
    CHECK(sock_set_deadline(connection, SOCK_READ, 10000), ==, 0);
    while ((length = sock_read(connection, buffer, sizeof buffer)) > 0) sum += length;
    CHECK(length, ==, 0);
    CHECK(sock_write(connection, &sum, sizeof sum), ==, sizeof sum);
}

static void an_end_right_behind_the_data_is_noticed(void)
{
    served s = serve_on(2, count_bytes, NULL, 0);
    for (int i = 0; i < rounds(200); i++) {
        int client = raw_connect(s.port);
        int64_t sum, sent = 1 + i % 130;
        char data[130] = { 0 };
        if (i % 3 == 0) raw_send(client, data, 5), sent += 5;
        raw_send(client, data, (size_t)(1 + i % 130));
        shutdown(client, SHUT_WR);
        raw_receive(client, &sum, sizeof sum);
        CHECK(sum, ==, sent);
        raw_close(client);
    }
    CHECK(sock_close(s.server), ==, 0);
}

static void data_behind_urgent_data_is_read_on(void)
{
    served s = serve_on(1, count_bytes, NULL, 0);
    int client = raw_connect(s.port);
    int64_t sum;
    raw_send(client, "0123456789", 10);
    sleep_ms(20);
    for (int i = 0; i < 5; i++) {
        raw_send(client, "abc", 3);
        CHECK(send(client, "!", 1, MSG_OOB), ==, 1);
        raw_send(client, "def", 3);
    }
    shutdown(client, SHUT_WR);
    raw_receive(client, &sum, sizeof sum);
    /* All but the one urgent byte that is urgent last. */
    CHECK(sum, >=, 10 + 5 * 6);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

static void read_in_every_way(sock_t connection, void *context)
{
    char a[64], b[64], line[64];
    (void)context;
    CHECK(sock_set_deadline(connection, SOCK_READ, 10000), ==, 0);
    for (int i = 0; i < 50; i++) {
        int64_t seen = sock_peek(connection, a, sizeof a);
        CHECK(seen, >=, 1);
        CHECK(sock_read_exact(connection, b, (size_t)seen), ==, seen);
        CHECK(memcmp(a, b, (size_t)seen), ==, 0);
        CHECK(sock_write(connection, "1", 1), ==, 1);
        CHECK(sock_read_line(connection, line, sizeof line), ==, 5);
        CHECK(memcmp(line, "hello", 6), ==, 0);
        struct iovec parts[2] = { { a, 1 }, { b, sizeof b } };
        CHECK(sock_write(connection, "2", 1), ==, 1);
        CHECK(sock_readv(connection, parts, 2), ==, 4);
        CHECK(sock_write(connection, "3", 1), ==, 1);
    }
}

static void every_way_of_reading_hears_of_new_data(void)
{
    served s = serve_on(1, read_in_every_way, NULL, 0);
    int client = raw_connect(s.port), at_once = 1;
    CHECK(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once), ==, 0);
    for (int i = 0; i < 50; i++) {
        char answer;
        raw_send(client, "peeked", 1 + (size_t)i % 6);
        raw_receive(client, &answer, 1);
        raw_send(client, "hel", 3);
        if (i % 2) sleep_ms(1);
        raw_send(client, "lo\n", 3);
        raw_receive(client, &answer, 1);
        raw_send(client, "four", 4);
        raw_receive(client, &answer, 1);
    }
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

static void count_lines(sock_t connection, void *context)
{
    char line[200];
    int64_t length, lines = 0, bytes = 0;
    (void)context;
    CHECK(sock_set_deadline(connection, SOCK_READ, 20000), ==, 0);
    while ((length = sock_read_line(connection, line, sizeof line)) >= 0) lines++, bytes += length;
    CHECK(length, ==, SOCK_EEOF);
    CHECK(sock_write(connection, &lines, sizeof lines), ==, sizeof lines);
    CHECK(sock_write(connection, &bytes, sizeof bytes), ==, sizeof bytes);
}

static void lines_come_through_whatever_the_size_of_the_bursts(void)
{
    enum { LINES = 20000 };
    served s = serve_on(1, count_lines, NULL, 0);
    int client = raw_connect(s.port);
    char burst[8192];
    size_t held = 0, sum = 0, burst_size = 1;
    for (int i = 0; i < LINES; i++) {
        size_t length = (size_t)(i * 7 % 150);
        if (held + length + 1 > burst_size) {
            raw_send(client, burst, held);
            held = 0;
            burst_size = 1 + (size_t)rand() % 7000;
            if (i % 512 == 0) sleep_ms(1);
        }
        memset(burst + held, 'l', length);
        burst[held + length] = '\n';
        held += length + 1;
        sum += length;
    }
    raw_send(client, burst, held);
    shutdown(client, SHUT_WR);
    int64_t counts[2];
    raw_receive(client, counts, sizeof counts);
    CHECK(counts[0], ==, LINES);
    CHECK(counts[1], ==, sum);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

/* A worker keeps the connections it accepts until it has four more than another, and an eighth of its own. */
typedef struct share { atomic_int worker, connections; } share;
enum { WORKERS = 3 };

static void count_for_the_worker(sock_t connection, void *context)
{
    share *shares = context;
    int worker = (int)syscall(SYS_gettid), i = 0;
    for (int free = 0; !atomic_compare_exchange_strong(&shares[i].worker, &free, worker) && free != worker; free = 0) i++;
    atomic_fetch_add(&shares[i].connections, 1);
    echo_handler(connection, NULL);
}

static void connections_are_shared_among_the_workers(void)
{
    enum { CLIENTS = 96 };
    share shares[WORKERS + 1] = { { 0, 0 } };
    served s = serve_on(WORKERS, count_for_the_worker, shares, 0);
    int clients[CLIENTS], least = CLIENTS, most = 0;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = raw_connect(s.port);
        raw_echoes(clients[i], "x");
    }
    for (int i = 0; i < WORKERS; i++) {
        int count = atomic_load(&shares[i].connections);
        if (count < least) least = count;
        if (count > most) most = count;
    }
    CHECK(most, <=, least + 4 + most / 8 + 1);
    for (int i = 0; i < CLIENTS; i++) raw_close(clients[i]);
    CHECK(sock_close(s.server), ==, 0);
}

/* ---- sockets that several workers know ---- */

typedef struct shared { sock_t pair[2]; atomic_int entered; atomic_llong result; } shared;

static void read_shared(sock_t connection, void *context)
{
    shared *it = context;
    char buffer[16];
    (void)connection;
    atomic_fetch_add(&it->entered, 1);
    atomic_store(&it->result, sock_read(it->pair[0], buffer, sizeof buffer));
}

static void write_shared(sock_t connection, void *context)
{
    static char block[4 << 20];
    shared *it = context;
    (void)connection;
    atomic_fetch_add(&it->entered, 1);
    atomic_store(&it->result, sock_write(it->pair[0], block, sizeof block));
}

static void a_socket_outlives_the_worker_that_watched_it(void)
{
    sock_t others[100][2]; /* so many that the library has to look for the socket among them */
    for (int i = 0; i < 100; i++) unix_pair(others[i]);
    for (int round = 0; round < 4; round++) {
        shared first = { .entered = 0 }, second = { .entered = 0 };
        tcp_pair(first.pair);
        memcpy(second.pair, first.pair, sizeof first.pair);
        served a = serve_on(1, read_shared, &first, 0), b = serve_on(1, write_shared, &second, 0);
        int to_a = raw_connect(a.port);
        WAIT_UNTIL(atomic_load(&first.entered) == 1);
        /* The first server's worker watches the socket; a fiber of the second waits for room in it. */
        int to_b = raw_connect(b.port);
        WAIT_UNTIL(atomic_load(&second.entered) == 1);
        if (round % 2) sleep_ms(20);
        CHECK(sock_server_stop(a.server, 0), ==, 1);
        CHECK(atomic_load(&first.result), ==, SOCK_ECANCELED);
        CHECK(sock_close(a.server), ==, 0);
        static char sink[4 << 20];
        CHECK(sock_read_exact(first.pair[1], sink, sizeof sink), ==, sizeof sink);
        CHECK(sock_server_stop(b.server, SOCK_FOREVER), ==, 0);
        CHECK(atomic_load(&second.result), ==, sizeof sink);
        CHECK(sock_close(b.server), ==, 0);
        raw_close(to_a);
        raw_close(to_b);
        CHECK(sock_close(first.pair[0]), ==, 0);
        CHECK(sock_close(first.pair[1]), ==, 0);
    }
    for (int i = 0; i < 100; i++) close_pair(others[i]);
}

/* Whether some epoll set of this process watches a descriptor, as /proc shows. */
static bool is_watched(int descriptor)
{
    bool found = false;
    for (int fd = 0; fd < 200 && !found; fd++) {
        char path[40], line[200];
        int target;
        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
        FILE *information = fopen(path, "re");
        if (!information) continue;
        while (fgets(line, sizeof line, information)) found |= sscanf(line, "tfd: %d", &target) == 1 && target == descriptor;
        fclose(information);
    }
    return found;
}

/* A server whose worker watches the first of the pair, because the handler waits there. */
static served serve_watched(shared *it, sock_handler handler, int *client)
{
    served s = serve_on(1, handler, it, 0);
    *client = raw_connect(s.port);
    WAIT_UNTIL(atomic_load(&it->entered) == 1 && is_watched(sock_fd(it->pair[0])));
    return s;
}

static void a_socket_that_is_handed_over_is_watched_no_more(void)
{
    shared it = { .entered = 0 };
    tcp_pair(it.pair);
    int client;
    served s = serve_watched(&it, read_shared, &client);
    CHECK(sock_write(it.pair[1], "x", 1), ==, 1);
    WAIT_UNTIL(atomic_load(&it.result) == 1);
    int descriptor = sock_release_fd(it.pair[0]);
    CHECK(descriptor, >=, 0);
    CHECK(is_watched(descriptor), ==, false);
    raw_close(descriptor);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
    CHECK(sock_close(it.pair[1]), ==, 0);
}

static void read_shared_twice(sock_t connection, void *context)
{
    shared *it = context;
    char buffer[16];
    read_shared(connection, it);
    CHECK(sock_read(connection, buffer, 1), ==, 1);
    atomic_store(&it->result, sock_read(it->pair[0], buffer, sizeof buffer));
}

static void a_child_that_closes_its_copies_takes_nothing_from_the_parents_fibers(void)
{
    shared it = { .entered = 0 };
    tcp_pair(it.pair);
    int client;
    served s = serve_watched(&it, read_shared_twice, &client);
    CHECK(sock_write(it.pair[1], "x", 1), ==, 1);
    WAIT_UNTIL(atomic_load(&it.result) == 1); /* so that in the child no call is inside */
    pid_t child = fork_child();
    if (child == 0) {
        CHECK(sock_close(it.pair[0]), ==, 0);
        leave_child();
    }
    CHECK(child_status(child), ==, 0);
    CHECK(is_watched(sock_fd(it.pair[0])), ==, true);
    raw_send(client, "g", 1);
    CHECK(sock_write(it.pair[1], "yz", 2), ==, 2);
    WAIT_UNTIL(atomic_load(&it.result) == 2);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
    close_pair(it.pair);
}

static void a_child_may_have_fibers_of_its_own(void)
{
    served s = serve_on(1, echo_handler, NULL, 0);
    int client = raw_connect(s.port);
    raw_echoes(client, "parent");
    pid_t child = fork_child();
    if (child == 0) {
        served own = serve_on(1, echo_handler, NULL, 0);
        int clients[2] = { raw_connect(own.port), raw_connect(own.port) };
        for (int i = 0; i < 6; i++) raw_echoes(clients[i % 2], "child");
        CHECK(sock_server_stop(own.server, 0), ==, 2);
        leave_child();
    }
    CHECK(child_status(child), ==, 0);
    raw_echoes(client, "parent");
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

/* A fiber that has waited for a socket which another server's worker watches keeps nothing of its own worker alive. */
static void a_worker_goes_though_a_socket_was_waited_for_on_another(void)
{
    static char sink[4 << 20];
    shared first = { .entered = 0 }, second = { .entered = 0 };
    tcp_pair(first.pair);
    memcpy(second.pair, first.pair, sizeof first.pair);
    served a = serve_on(1, read_shared, &first, 0);
    int to_a = raw_connect(a.port);
    WAIT_UNTIL(atomic_load(&first.entered) == 1);
    /* What this thread waits with is there from its first wait on. */
    CHECK(sock_set_timeout(first.pair[1], SOCK_READ, 1), ==, 0);
    CHECK(sock_read(first.pair[1], sink, 1), ==, SOCK_ETIMEDOUT);
    CHECK(sock_set_timeout(first.pair[1], SOCK_READ, SOCK_FOREVER), ==, 0);
    int before = open_descriptors();
    served b = serve_on(1, write_shared, &second, 0);
    int to_b = raw_connect(b.port);
    WAIT_UNTIL(atomic_load(&second.entered) == 1);
    CHECK(sock_read_exact(first.pair[1], sink, sizeof sink), ==, sizeof sink);
    CHECK(sock_server_stop(b.server, SOCK_FOREVER), ==, 0);
    CHECK(atomic_load(&second.result), ==, sizeof sink);
    CHECK(sock_close(b.server), ==, 0);
    raw_close(to_b);
    WAIT_UNTIL(open_descriptors() == before);
    CHECK(sock_write(first.pair[1], "x", 1), ==, 1);
    CHECK(sock_server_stop(a.server, SOCK_FOREVER), ==, 0);
    CHECK(atomic_load(&first.result), ==, 1);
    CHECK(sock_close(a.server), ==, 0);
    raw_close(to_a);
    close_pair(first.pair);
}

static void datagrams_both_ways(sock_t connection, void *context)
{
    sock_t *bound = context;
    char buffer[100];
    sock_address from;
    (void)connection;
    for (int i = 0; i < 20; i++) {
        int64_t length = sock_recv_from(*bound, buffer, sizeof buffer, &from);
        CHECK(length, ==, 4);
        CHECK(sock_send_to(*bound, buffer, (size_t)length, &from), ==, length);
    }
}

static void fibers_wait_for_datagrams(void)
{
    sock_t bound = sock_udp_bind("127.0.0.1", "0", NULL);
    CHECK(bound, >, 0);
    sock_address address;
    CHECK(sock_local_address(bound, &address), ==, 0);
    served s = serve_on(2, datagrams_both_ways, &bound, 0);
    int clients[3];
    for (int i = 0; i < 3; i++) clients[i] = raw_connect(s.port);
    sock_t peer = sock_udp_open("127.0.0.1", port_text((uint16_t)sock_address_port(&address)), NULL);
    CHECK(sock_set_timeout(peer, SOCK_READ, 10000), ==, 0);
    for (int i = 0; i < 60; i++) {
        char answer[10];
        if (i % 5 == 0) sleep_ms(2);
        CHECK(sock_write(peer, "ping", 4), ==, 4);
        CHECK(sock_read(peer, answer, sizeof answer), ==, 4);
    }
    CHECK(sock_server_stop(s.server, SOCK_FOREVER), ==, 0);
    CHECK(sock_close(s.server), ==, 0);
    CHECK(sock_close(peer), ==, 0);
    CHECK(sock_close(bound), ==, 0);
    for (int i = 0; i < 3; i++) raw_close(clients[i]);
}

/* For a refused datagram epoll reports an error, and no data. */
static void a_refusal_reaches_a_fiber_that_waits_for_datagrams(void)
{
    shared it = { .entered = 0 };
    sock_t bound = sock_udp_bind(own_loopback(), "0", NULL);
    CHECK(bound, >, 0);
    it.pair[0] = sock_udp_open(own_loopback(), port_text(port_of(bound)), NULL);
    CHECK(it.pair[0], >, 0);
    CHECK(sock_close(bound), ==, 0);
    int client;
    served s = serve_watched(&it, read_shared, &client);
    CHECK(sock_write(it.pair[0], "x", 1), ==, 1);
    WAIT_UNTIL(atomic_load(&it.result) != 0);
    CHECK(atomic_load(&it.result), ==, SOCK_ECONNREFUSED);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
    CHECK(sock_close(it.pair[0]), ==, 0);
}

/* A byte that goes round and round between the two ends of a connection: the relay has something to do at any time. */
typedef struct circle {
    sock_t pair[2];
    atomic_int fibers;
    _Atomic int64_t result, rounds_meanwhile; /* while the other fiber had its turns */
} circle;

enum { TURNS = 100 };

static void relay_in_a_circle(sock_t connection, void *context)
{
    circle *c = context;
    sock_info before = { .size = sizeof before }, after = { .size = sizeof after };
    (void)connection;
    if (atomic_fetch_add(&c->fibers, 1) == 0) {
        atomic_store(&c->result, sock_relay(c->pair[0], c->pair[1]));
        return;
    }
    CHECK(sock_get_info(c->pair[1], &before), ==, 0);
    for (int i = 0; i < TURNS; i++) CHECK(sock_sleep(0), ==, 0);
    CHECK(sock_get_info(c->pair[1], &after), ==, 0);
    atomic_store(&c->rounds_meanwhile, (int64_t)(after.bytes_read - before.bytes_read));
}

static void a_relay_that_never_has_to_wait_lets_others_go_on_and_can_be_ended(make_pair make)
{
    static const int ends[] = { SOCK_ECLOSED, SOCK_ECANCELED, SOCK_ETIMEDOUT };
    for (int i = 0; i < 3; i++) {
        circle c = { .result = 1, .rounds_meanwhile = -1 };
        make(c.pair);
        CHECK(sock_write(c.pair[0], "x", 1), ==, 1);
        served s = serve_on(1, relay_in_a_circle, &c, 0);
        int client = raw_connect(s.port);
        sock_info info = { .size = sizeof info };
        WAIT_UNTIL(sock_get_info(c.pair[1], &info) == 0 && info.bytes_read > 10);
        int other = raw_connect(s.port);
        WAIT_UNTIL(atomic_load(&c.rounds_meanwhile) >= 0);
        CHECK(atomic_load(&c.rounds_meanwhile), <, 10 * TURNS);
        raw_close(other);
        context("%s", sock_error_name(ends[i]));
        if (i == 0) CHECK(sock_close(c.pair[1]), ==, 0);
        if (i == 1) CHECK(sock_cancel(c.pair[1]), ==, 0);
        if (i == 2) CHECK(sock_set_deadline(c.pair[1], SOCK_READ, 0), ==, 0);
        WAIT_UNTIL(atomic_load(&c.result) != 1);
        CHECK(atomic_load(&c.result), ==, ends[i]);
        raw_close(client);
        CHECK(sock_close(s.server), ==, 0);
        CHECK(sock_close(c.pair[0]), ==, 0);
        if (i != 0) CHECK(sock_close(c.pair[1]), ==, 0);
    }
    context(NULL);
}
OVER_BOTH(a_relay_that_never_has_to_wait_lets_others_go_on_and_can_be_ended)

/* Calls that never have to wait, one after the other: the other fiber of the worker still has its turn. */
typedef struct busy_fiber {
    void (*once)(sock_t handles[2]);
    sock_t handles[2];
    atomic_int fibers;
    atomic_bool done;
} busy_fiber;

static void nothing_to_make(sock_t handles[2])
{
    (void)handles;
}

static void sleep_for_no_time(sock_t handles[2])
{
    (void)handles;
    CHECK(sock_sleep(0), ==, 0);
}

static void make_datagram_sockets(sock_t handles[2])
{
    handles[1] = sock_udp_bind("127.0.0.1", "0", NULL);
    handles[0] = sock_udp_open("127.0.0.1", port_text(port_of(handles[1])), NULL);
}

static void send_a_datagram_to_myself(sock_t handles[2])
{
    char datagram[1000] = "";
    CHECK(sock_write(handles[0], datagram, sizeof datagram), ==, sizeof datagram);
    CHECK(sock_recv_from(handles[1], datagram, sizeof datagram, NULL), ==, sizeof datagram);
}

static void send_nothing_to_myself(sock_t handles[2])
{
    char datagram[1];
    CHECK(sock_write(handles[0], NULL, 0), ==, 0);
    CHECK(sock_recv_from(handles[1], datagram, sizeof datagram, NULL), ==, 0);
}

static void make_listener(sock_t handles[2])
{
    handles[1] = listen_local();
}

static void connect_to_myself(sock_t handles[2])
{
    sock_t one = open_local(handles[1]), other = sock_accept(handles[1]);
    CHECK(sock_abort(one), ==, 0);
    CHECK(sock_abort(other), ==, 0);
}

static void connect_in_vain(sock_t handles[2])
{
    (void)handles;
    CHECK(sock_open("unix:@nobody listens here", NULL, NULL), ==, SOCK_ECONNREFUSED);
}

static void make_idle_poller(sock_t handles[2])
{
    handles[1] = sock_poller();
}

static void ask_a_poller(sock_t handles[2])
{
    sock_event event;
    CHECK(sock_poller_wait(handles[1], &event, 1, 0), ==, 0);
}

static void make_ready_poller(sock_t handles[2])
{
    handles[0] = sock_udp_bind("127.0.0.1", "0", NULL);
    handles[1] = sock_poller();
    CHECK(sock_poller_add(handles[1], handles[0], SOCK_WRITE, NULL), ==, 0);
}

static void wait_for_what_is_ready(sock_t handles[2])
{
    sock_event event;
    CHECK(sock_poller_wait(handles[1], &event, 1, SOCK_FOREVER), ==, 1);
}

static void make_pair_with_a_byte(sock_t handles[2])
{
    CHECK(sock_pair(handles), ==, 0);
    CHECK(sock_write(handles[1], "x", 1), ==, 1);
}

static void look_at_what_is_there(sock_t handles[2])
{
    char bytes[2];
    CHECK(sock_peek(handles[0], bytes, sizeof bytes), ==, 1);
}

static void read_without_waiting(sock_t handles[2])
{
    char byte;
    CHECK(sock_set_timeout(handles[1], SOCK_READ, 0), ==, 0);
    CHECK(sock_read(handles[1], &byte, 1), ==, SOCK_ETIMEDOUT);
}

static void be_busy(sock_t connection, void *context)
{
    busy_fiber *b = context;
    (void)connection;
    if (atomic_fetch_add(&b->fibers, 1) == 1) atomic_store(&b->done, true);
    while (!atomic_load(&b->done)) b->once(b->handles);
}

static void calls_that_never_wait_let_others_run(void)
{
    static const struct { const char *name; void (*make)(sock_t handles[2]); void (*once)(sock_t handles[2]); } calls[] = {
        { "sock_sleep", nothing_to_make, sleep_for_no_time },
        { "sock_recv_from", make_datagram_sockets, send_a_datagram_to_myself },
        { "sock_recv_from, empty datagrams", make_datagram_sockets, send_nothing_to_myself },
        { "sock_accept", make_listener, connect_to_myself },
        { "sock_open", nothing_to_make, connect_in_vain },
        { "sock_poller_wait, nothing ready", make_idle_poller, ask_a_poller },
        { "sock_poller_wait, ready at once", make_ready_poller, wait_for_what_is_ready },
        { "sock_peek", make_pair_with_a_byte, look_at_what_is_there },
        { "sock_read, no time to wait", make_pair_with_a_byte, read_without_waiting },
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        busy_fiber b = { .once = calls[i].once };
        context("%s", calls[i].name);
        calls[i].make(b.handles);
        served s = serve_on(1, be_busy, &b, 0);
        int busy = raw_connect(s.port);
        WAIT_UNTIL(atomic_load(&b.fibers) == 1);
        int other = raw_connect(s.port);
        WAIT_UNTIL(atomic_load(&b.done));
        raw_close(busy);
        raw_close(other);
        CHECK(sock_close(s.server), ==, 0);
        for (int j = 0; j < 2; j++)
            if (b.handles[j] > 0) CHECK(sock_close(b.handles[j]), ==, 0);
    }
    context(NULL);
}

/* SO_LINGER makes close(2) wait, which in a fiber would hold up its worker. */
static atomic_int lingering, lingered;

static void linger_or_echo(sock_t connection, void *context)
{
    char which;
    CHECK(sock_read_exact(connection, &which, 1), ==, 1);
    if (which == 'e') {
        echo_handler(connection, context);
        return;
    }
    CHECK(fill(connection), >, 0);
    CHECK(sock_set_option(connection, SOCK_OPT_LINGER_MS, 2000), ==, 0);
    atomic_store(&lingering, 1);
    int64_t began = now_ms();
    CHECK(sock_close(connection), ==, 0);
    CHECK(now_ms() - began, >=, 1999); /* two clocks */
    atomic_store(&lingered, 1);
}

static void a_lingering_close_lets_others_run(void)
{
    served s = serve_on(1, linger_or_echo, NULL, 0);
    int echo = raw_connect(s.port), other = raw_connect(s.port);
    raw_send(echo, "e", 1);
    raw_echoes(echo, "before");
    raw_send(other, "l", 1);
    WAIT_UNTIL(atomic_load(&lingering));
    raw_echoes(echo, "meanwhile");
    CHECK(atomic_load(&lingered), ==, 0);
    WAIT_UNTIL(atomic_load(&lingered));
    raw_close(echo);
    raw_close(other);
    CHECK(sock_close(s.server), ==, 0);
}

/* The kernel reports a reset once: the second to ask gets EPIPE or an end from it, and must get the same from the library as the
 * first. */
typedef struct sharers {
    sock_t s;
    int reader;
    atomic_int entered;
    atomic_llong read, written;
} sharers;

static void share_a_handle(sock_t connection, void *context)
{
    static char data[24 << 20];
    char byte;
    sharers *them = context;
    int number = atomic_fetch_add(&them->entered, 1);
    (void)connection;
    if (number == them->reader) atomic_store(&them->read, sock_read(them->s, &byte, 1));
    if (number == !them->reader) atomic_store(&them->written, sock_write(them->s, data, sizeof data));
}

static void a_reset_is_told_to_two_fibers_of_a_worker(void)
{
    static char read[12 << 20]; /* more than is on the way: the writer has waited, written, and waits once more */
    for (int reader = 0; reader < 2; reader++) {
        sharers them = { .reader = reader };
        int peer, clients[3];
        tcp_with_raw_peer(&them.s, &peer);
        served s = serve_on(1, share_a_handle, &them, 0);
        for (int i = 0; i < 3; i++) {
            if (i == 2) raw_receive(peer, read, sizeof read);
            clients[i] = raw_connect(s.port);
            WAIT_UNTIL(atomic_load(&them.entered) == i + 1);
        }
        raw_reset(peer);
        WAIT_UNTIL(atomic_load(&them.read) != 0 && atomic_load(&them.written) != 0);
        CHECK(atomic_load(&them.read), ==, SOCK_ECONNRESET);
        CHECK(atomic_load(&them.written), ==, SOCK_ECONNRESET);
        for (int i = 0; i < 3; i++) raw_close(clients[i]);
        CHECK(sock_close(s.server), ==, 0);
        CHECK(sock_close(them.s), ==, 0);
    }
}

/* Who is still in a call on a closed listener keeps its descriptor open, and not its path. */
typedef struct held {
    sock_t listener;
    atomic_int entered, go;
    atomic_llong accepted;
} held;

static void accept_or_hold_the_worker(sock_t connection, void *context)
{
    held *it = context;
    (void)connection;
    if (atomic_fetch_add(&it->entered, 1) == 0) atomic_store(&it->accepted, sock_accept(it->listener));
    else WAIT_UNTIL(atomic_load(&it->go));
}

static void a_path_is_gone_though_a_fiber_has_not_left_its_listener(void)
{
    char folder[FOLDER], host[UNIX_HOST];
    int clients[2];
    make_unix_host(folder, host);
    held it = { .listener = sock_listen(host, NULL, NULL) };
    CHECK(it.listener, >, 0);
    served s = serve_on(1, accept_or_hold_the_worker, &it, 0);
    for (int i = 0; i < 2; i++) {
        clients[i] = raw_connect(s.port);
        WAIT_UNTIL(atomic_load(&it.entered) == i + 1);
    }
    CHECK(sock_close(it.listener), ==, 0);
    CHECK(rmdir(folder), ==, 0);
    CHECK(atomic_load(&it.accepted), ==, 0); /* the worker had no time for it */
    atomic_store(&it.go, 1);
    WAIT_UNTIL(atomic_load(&it.accepted) == SOCK_ECLOSED);
    for (int i = 0; i < 2; i++) raw_close(clients[i]);
    CHECK(sock_close(s.server), ==, 0);
}

/* A read that filled its buffer may have left something there, which no event will report. */
static void echo_byte_by_byte(sock_t connection, void *context)
{
    char byte;
    (void)context;
    while (sock_read(connection, &byte, 1) == 1) CHECK(sock_write(connection, &byte, 1), ==, 1);
}

static void a_burst_is_read_byte_by_byte(void)
{
    served s = serve_on(1, echo_byte_by_byte, NULL, 0);
    int client = raw_connect(s.port);
    for (int i = 0; i < 20; i++) {
        raw_echoes(client, "burst");
        if (i % 4 == 0) sleep_ms(2); /* so that the next one finds it asleep */
    }
    raw_close(client);
    CHECK(sock_server_stop(s.server, SOCK_FOREVER), ==, 0);
    CHECK(sock_close(s.server), ==, 0);
}

/* A read that emptied the socket makes the next one wait first: if its deadline is over, it looks all the same. */
static void read_after_the_deadline(sock_t connection, void *context)
{
    atomic_int *read = context;
    char buffer[8];
    CHECK(sock_read(connection, buffer, sizeof buffer), ==, 1);
    CHECK(sock_set_deadline(connection, SOCK_READ, 0), ==, 0);
    CHECK(sock_read(connection, buffer, sizeof buffer), ==, SOCK_ETIMEDOUT);
    atomic_store(read, 1);
    CHECK(raw_readable(sock_fd(connection), 10000), ==, true); /* the worker hears of nothing meanwhile */
    CHECK(sock_read(connection, buffer, sizeof buffer), ==, 1);
    CHECK(sock_read(connection, buffer, sizeof buffer), ==, SOCK_ETIMEDOUT);
    atomic_store(read, 2);
}

static void what_is_there_is_delivered_after_the_deadline(void)
{
    atomic_int read = 0;
    served s = serve_on(1, read_after_the_deadline, &read, 0);
    int client = raw_connect(s.port);
    raw_send(client, "a", 1);
    WAIT_UNTIL(atomic_load(&read) == 1);
    raw_send(client, "b", 1);
    WAIT_UNTIL(atomic_load(&read) == 2);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

/* Without the pages of files, which come as code is first run. */
static int64_t anonymous_kib(void)
{
    char line[200];
    long long kib = -1;
    FILE *status = fopen("/proc/self/status", "re");
    CHECK(status != NULL, ==, true);
    while (fgets(line, sizeof line, status) && sscanf(line, "RssAnon: %lld", &kib) != 1) {}
    fclose(status);
    CHECK(kib, >, 0);
    return kib;
}

static void a_fiber_that_waits_again_and_again_needs_no_more_memory(void)
{
    enum { WAITS = 12000 };
    if (under_memcheck()) skip("the checker's own memory would be measured");
    served s = serve_on(1, echo_byte_by_byte, NULL, 0);
    int client = raw_connect(s.port);
    int64_t before = 0;
    for (int i = 0; i < WAITS; i++) {
        if (i == WAITS / 10) before = anonymous_kib();
        raw_echoes(client, "x");
    }
    note("grown by %d KiB", (int)(anonymous_kib() - before));
    CHECK(anonymous_kib() - before, <, 64);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

/* A long wait that ended early must not stand in the way of a short one. */
static void wait_long_then_short(sock_t connection, void *context)
{
    char byte;
    (void)context;
    CHECK(sock_set_timeout(connection, SOCK_READ, 15000), ==, 0);
    CHECK(sock_write(connection, "r", 1), ==, 1);
    CHECK(sock_read(connection, &byte, 1), ==, 1);
    CHECK(sock_set_timeout(connection, SOCK_READ, 30), ==, 0);
    int64_t began = now_ms();
    CHECK(sock_read(connection, &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(now_ms() - began, <, 10000);
    CHECK(sock_write(connection, "t", 1), ==, 1);
}

static void a_short_wait_after_a_long_one_ends_in_time(void)
{
    served s = serve_on(1, wait_long_then_short, NULL, 0);
    int client = raw_connect(s.port);
    char answer;
    raw_receive(client, &answer, 1);
    sleep_ms(20); /* it waits by now, or the test proves nothing */
    raw_send(client, "x", 1);
    raw_receive(client, &answer, 1);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

/* More fibers than workers wait for one socket, and a thread beside them: whoever's worker watches it, each gets a datagram. */
typedef struct crowd { sock_t bound; atomic_int entered, received; } crowd;

static void receive_one(sock_t connection, void *context)
{
    crowd *it = context;
    char byte;
    (void)connection;
    atomic_fetch_add(&it->entered, 1);
    CHECK(sock_read(it->bound, &byte, 1), ==, 1);
    atomic_fetch_add(&it->received, 1);
}

static int64_t call_recv_from(call *c) { return sock_recv_from(c->socket, c->buffer, c->size, NULL); }

static void fibers_of_several_workers_and_a_thread_share_a_socket(void)
{
    enum { FIBERS = 12 };
    crowd it = { .bound = sock_udp_bind("127.0.0.1", "0", NULL) };
    served a = serve_on(1, receive_one, &it, 0), b = serve_on(2, receive_one, &it, 0);
    int clients[FIBERS];
    char byte;
    for (int i = 0; i < FIBERS; i++) clients[i] = raw_connect(i % 2 ? a.port : b.port);
    WAIT_UNTIL(atomic_load(&it.entered) == FIBERS);
    call thread = { .run = call_recv_from, .socket = it.bound, .buffer = &byte, .size = 1 };
    call_start(&thread);
    call_wait_asleep(&thread);
    sock_t sender = sock_udp_open("127.0.0.1", port_text(port_of(it.bound)), NULL);
    CHECK(sender, >, 0);
    for (int i = 0; i < FIBERS + 1; i++) CHECK(sock_write(sender, "x", 1), ==, 1);
    CHECK(call_join(&thread), ==, 1);
    WAIT_UNTIL(atomic_load(&it.received) == FIBERS);
    CHECK(sock_close(a.server), ==, 0);
    CHECK(sock_close(b.server), ==, 0);
    CHECK(sock_close(sender), ==, 0);
    CHECK(sock_close(it.bound), ==, 0);
    for (int i = 0; i < FIBERS; i++) raw_close(clients[i]);
}

static void echo_by_poller(sock_t connection, void *context)
{
    sock_t poller = sock_poller();
    sock_event event;
    char byte;
    (void)context;
    CHECK(sock_poller_wait(poller, &event, 1, 10), ==, 0);
    CHECK(sock_poller_add(poller, connection, SOCK_READ, NULL), ==, 0);
    for (;;) {
        CHECK(sock_poller_wait(poller, &event, 1, SOCK_FOREVER), ==, 1);
        CHECK(event.socket, ==, connection);
        if (sock_read(connection, &byte, 1) != 1) break;
        CHECK(sock_write(connection, &byte, 1), ==, 1);
    }
    CHECK(sock_close(poller), ==, 0);
}

static void a_fiber_may_wait_at_a_poller(void)
{
    served s = serve_on(1, echo_by_poller, NULL, 0);
    int clients[2] = { raw_connect(s.port), raw_connect(s.port) };
    for (int i = 0; i < 20; i++) {
        raw_echoes(clients[i % 2], i % 3 ? "one" : "1"); /* some find it asleep, some leave bytes for its next wait */
        if (i % 5 == 0) sleep_ms(2);
    }
    for (int i = 0; i < 2; i++) raw_close(clients[i]);
    CHECK(sock_server_stop(s.server, SOCK_FOREVER), ==, 0);
    CHECK(sock_close(s.server), ==, 0);
}

/* Fibers of one worker wait for the same pipe, which no handle stands for. */
typedef struct piped { int pipe; atomic_int entered; } piped;

static void send_a_byte_of_the_pipe(sock_t connection, void *context)
{
    piped *it = context;
    atomic_fetch_add(&it->entered, 1);
    CHECK(sock_send_file(connection, it->pipe, -1, 1), ==, 1);
}

static void several_fibers_may_wait_for_stdin(void)
{
    enum { FIBERS = 3 };
    int ends[2], clients[FIBERS], stdin_before = dup(0);
    CHECK(pipe(ends), ==, 0);
    CHECK(dup2(ends[0], 0), ==, 0);
    piped it = { .pipe = 0 };
    served s = serve_on(1, send_a_byte_of_the_pipe, &it, 0);
    for (int i = 0; i < FIBERS; i++) clients[i] = raw_connect(s.port);
    WAIT_UNTIL(atomic_load(&it.entered) == FIBERS);
    for (int left = FIBERS; left > 0; left--) {
        int lucky = 0;
        char sent = (char)('0' + left), byte;
        sleep_ms(10); /* the others are asleep again by now, or will find the next byte without that */
        CHECK(write(ends[1], &sent, 1), ==, 1);
        WAIT_UNTIL(raw_readable(clients[lucky = (lucky + 1) % left], 0));
        raw_receive(clients[lucky], &byte, 1);
        CHECK(byte, ==, sent);
        raw_close(clients[lucky]);
        clients[lucky] = clients[left - 1];
    }
    CHECK(is_watched(0), ==, false);
    CHECK(sock_server_stop(s.server, SOCK_FOREVER), ==, 0);
    CHECK(sock_close(s.server), ==, 0);
    CHECK(dup2(stdin_before, 0), ==, 0);
    close(stdin_before);
    close(ends[0]);
    close(ends[1]);
}

/* A cancel ends the writer and the one behind it, even though the first is gone, and its turn free, before the second hears of
 * it. */
typedef struct queued { sock_t pair[2]; int pipe[2]; atomic_int entered; int64_t results[2]; } queued;

static void queue_up_or_cancel(sock_t connection, void *context)
{
    queued *it = context;
    char byte;
    (void)connection;
    switch (atomic_fetch_add(&it->entered, 1)) {
    case 0:
        it->results[0] = sock_send_file(it->pair[0], it->pipe[0], -1, -1);
        return;
    case 1:
        it->results[1] = sock_write(it->pair[0], "x", 1);
        return;
    default: /* on the same worker: both wait */
        CHECK(write(it->pipe[1], "q", 1), ==, 1);
        CHECK(sock_read(it->pair[1], &byte, 1), ==, 1); /* the first waits again, and is woken after the second */
        CHECK(sock_cancel(it->pair[0]), ==, 0);
    }
}

static void a_cancel_reaches_the_fiber_whose_turn_comes(void)
{
    enum { FIBERS = 3 };
    int clients[FIBERS];
    queued it = { .entered = 0 };
    unix_pair(it.pair);
    CHECK(pipe(it.pipe), ==, 0);
    served s = serve_on(1, queue_up_or_cancel, &it, 0);
    for (int i = 0; i < FIBERS; i++) {
        clients[i] = raw_connect(s.port);
        WAIT_UNTIL(atomic_load(&it.entered) == i + 1);
    }
    CHECK(sock_server_stop(s.server, SOCK_FOREVER), ==, 0);
    CHECK(it.results[0], ==, SOCK_ECANCELED);
    CHECK(it.results[1], ==, SOCK_ECANCELED);
    CHECK(sock_close(s.server), ==, 0);
    for (int i = 0; i < FIBERS; i++) raw_close(clients[i]);
    close_pair(it.pair);
    close(it.pipe[0]);
    close(it.pipe[1]);
}

/* ---- scale ---- */

/* Connects from one of several loopback addresses: the ports of one would not be enough. */
static int connect_from(uint16_t port, uint32_t which)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK + 1 + which) } };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd, >=, 0);
    CHECK(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one), ==, 0);
    CHECK(bind(fd, (struct sockaddr *)&from, sizeof from), ==, 0);
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof to), ==, 0);
    return fd;
}

/* The clients live in a process of their own: so many connections, each from one of several loopback addresses, each greeted once.
 * Then for every byte that comes through the pipe one of them, taken at random, is tried: the answer is how long that took. */
static void be_clients(uint16_t port, int count, int orders, int answers)
{
    int *clients = calloc((size_t)count, sizeof *clients);
    for (int i = 0; i < count; i++) {
        clients[i] = connect_from(port, (uint32_t)i / 20000);
        raw_echoes(clients[i], "hello");
    }
    int64_t took = 0;
    unsigned seed = 1;
    CHECK(write(answers, &took, sizeof took), ==, sizeof took);
    for (char order; read(orders, &order, 1) == 1;) {
        int which = (int)((unsigned)rand_r(&seed) % (unsigned)count);
        took = now_us();
        raw_echoes(clients[which], "anybody there?");
        took = now_us() - took;
        CHECK(write(answers, &took, sizeof took), ==, sizeof took);
    }
    leave_child();
}

static int descriptors_possible(int wanted)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    struct rlimit more = { (rlim_t)wanted + 200, (rlim_t)wanted + 200 };
    if (limit.rlim_cur >= more.rlim_cur || setrlimit(RLIMIT_NOFILE, &more) == 0) return wanted;
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    return (int)limit.rlim_max - 200 < wanted ? (int)limit.rlim_max - 200 : wanted;
}

static int64_t answer_time(int orders, int answers)
{
    int64_t took;
    if (orders >= 0) CHECK(write(orders, "x", 1), ==, 1);
    CHECK(read(answers, &took, sizeof took), ==, sizeof took);
    return took;
}

static void idle_connections_cost_little_and_answer_at_once(void)
{
    if (under_memcheck()) skip("the checker's own memory would be measured");
    int count = descriptors_possible(deep() ? 100000 : 4000), orders[2], answers[2];
    served s = serve_on(1, echo_handler, NULL, 0);
    int first = raw_connect(s.port);
    raw_echoes(first, "first");
    CHECK(pipe(orders), ==, 0);
    CHECK(pipe(answers), ==, 0);
    int64_t before = resident_kib();
    pid_t child = fork_child();
    if (child == 0) {
        close(orders[1]);
        be_clients(s.port, count, orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    answer_time(-1, answers[0]);
    CHECK(server_info(s.server).active, ==, count + 1);
    int64_t each = (resident_kib() - before) * 1024 / count;
    note("%d idle connections: %d bytes of resident memory each", count, (int)each);
    CHECK(each, <=, 9216);
    int64_t times[101];
    for (int i = 0; i < 101; i++) times[i] = answer_time(orders[1], answers[0]);
    int64_t middle = median(times, 101);
    note("an echo on one of them takes %d us", (int)middle);
    CHECK(middle, <, 200000);
    close(orders[1]);
    CHECK(child_status(child), ==, 0);
    raw_close(first);
    WAIT_UNTIL(server_info(s.server).active == 0);
    close(answers[0]);
    CHECK(sock_close(s.server), ==, 0);
}

typedef struct tally { int64_t opened, spoken; } tally;

static void speak(int fd, tally *t)
{
    char text[48];
    snprintf(text, sizeof text, "this is number %lld", (long long)++t->spoken);
    raw_echoes(fd, text);
}

/* So many connections are open all the time. At random one is spoken to, or closed, politely or not, and replaced. */
static void be_fickle(uint16_t port, int count, int64_t duration_ms, int report)
{
    int *clients = calloc((size_t)count, sizeof *clients);
    unsigned seed = 7;
    tally t = { 0, 0 };
    for (int i = 0; i < count; i++) {
        clients[i] = connect_from(port, t.opened++ % 8);
        speak(clients[i], &t);
    }
    for (int64_t end = now_ms() + duration_ms; now_ms() < end;) {
        int which = (int)((unsigned)rand_r(&seed) % (unsigned)count);
        int what = rand_r(&seed) % 4;
        if (what < 2) {
            speak(clients[which], &t);
            continue;
        }
        if (what == 2) raw_close(clients[which]);
        else raw_reset(clients[which]);
        clients[which] = connect_from(port, t.opened++ % 8);
    }
    for (int i = 0; i < count; i++) {
        speak(clients[i], &t);
        raw_close(clients[i]);
    }
    CHECK(write(report, &t, sizeof t), ==, sizeof t);
    _exit(0);
}

static tally many_come_and_go(served s, int count, int64_t duration_ms)
{
    int ends[2];
    tally t;
    CHECK(pipe(ends), ==, 0);
    pid_t child = fork_child();
    if (child == 0) be_fickle(s.port, count, duration_ms, ends[1]);
    CHECK(child_status(child), ==, 0);
    CHECK(read(ends[0], &t, sizeof t), ==, sizeof t);
    raw_close(ends[0]);
    raw_close(ends[1]);
    WAIT_UNTIL(server_info(s.server).active == 0);
    return t;
}

static void connections_that_come_and_go_leave_nothing(void)
{
    if (under_valgrind()) skip("valgrind looks for leaks in the children too");
    int count = descriptors_possible(deep() ? 15000 : 750) / 3 * 2; /* some are being closed while others come */
    served s = serve_on(2, echo_handler, NULL, 0);
    tally first = many_come_and_go(s, count, deep() ? 10000 : 500);
    int64_t resident = resident_kib();
    tally second = many_come_and_go(s, count, deep() ? 60000 : 1500);
    int64_t growth = resident_kib() - resident;
    note("%d at a time: %lld connections and %lld echoes, then %lld and %lld more: %lld KiB, and %lld more", count,
         (long long)first.opened, (long long)first.spoken, (long long)second.opened, (long long)second.spoken,
         (long long)resident, (long long)growth);
    sock_server_info info = server_info(s.server);
    CHECK(info.accepted, ==, first.opened + second.opened);
    CHECK(info.finished, ==, info.accepted);
    CHECK(info.peak, >=, count);
    if (!under_memcheck()) CHECK(growth, <, 8192);
    WAIT_UNTIL(sock_live_handles() == 2);
    CHECK(sock_close(s.server), ==, 0);
}

/* What came for it before it runs again is not read any more. */
static void read_or_close(sock_t connection, void *context)
{
    shared *it = context;
    char byte;
    if (atomic_fetch_add(&it->entered, 1) == 0) {
        atomic_store(&it->result, sock_read(it->pair[0], &byte, 1));
        return;
    }
    CHECK(sock_read(connection, &byte, 1), ==, 1);
    CHECK(sock_write(it->pair[1], "x", 1), ==, 1);
    CHECK(sock_peek(connection, &byte, 1), ==, 1); /* lets the worker hear of it, and goes on before the reader does */
    CHECK(sock_close(it->pair[0]), ==, 0);
}

static void a_fiber_whose_turn_comes_late_hears_of_the_close(void)
{
    shared it = { .entered = 0 };
    tcp_pair(it.pair);
    int client;
    served s = serve_watched(&it, read_or_close, &client);
    int closer = raw_connect(s.port);
    raw_send(closer, "go", 2);
    WAIT_UNTIL(atomic_load(&it.result) != 0);
    CHECK(atomic_load(&it.result), ==, SOCK_ECLOSED);
    raw_close(client);
    raw_close(closer);
    CHECK(sock_close(s.server), ==, 0);
    CHECK(sock_close(it.pair[1]), ==, 0);
}

static const test_case cases[] = {
    CASE(the_last_error_belongs_to_the_fiber),
    CASE(a_logger_that_waits_holds_up_no_other_fiber),
    CASE(running_over_the_stack_hits_the_guard_page),
    CASE(stacks_are_as_large_as_was_asked_for),
    CASE(a_stack_is_found_where_there_is_no_room_for_many),
    CASE(memory_goes_back_when_load_falls),
    CASE(a_busy_fiber_starves_nobody),
    SLOW_CASE(a_client_that_never_reads_holds_up_only_itself),
    CASE(a_half_close_ends_the_write_of_a_fiber),
    CASE(an_end_right_behind_the_data_is_noticed),
    CASE(data_behind_urgent_data_is_read_on),
    CASE(every_way_of_reading_hears_of_new_data),
    CASE(what_is_there_is_delivered_after_the_deadline),
    CASE(a_short_wait_after_a_long_one_ends_in_time),
    CASE(a_fiber_that_waits_again_and_again_needs_no_more_memory),
    CASE(a_burst_is_read_byte_by_byte),
    CASE(lines_come_through_whatever_the_size_of_the_bursts),
    CASE(connections_are_shared_among_the_workers),
    CASE(a_socket_outlives_the_worker_that_watched_it),
    CASE(a_worker_goes_though_a_socket_was_waited_for_on_another),
    CASE(a_socket_that_is_handed_over_is_watched_no_more),
    CASE(a_child_that_closes_its_copies_takes_nothing_from_the_parents_fibers),
    CASE(a_child_may_have_fibers_of_its_own),
    CASE(fibers_wait_for_datagrams),
    CASE(a_refusal_reaches_a_fiber_that_waits_for_datagrams),
    BOTH_CASES(a_relay_that_never_has_to_wait_lets_others_go_on_and_can_be_ended),
    CASE(calls_that_never_wait_let_others_run),
    SLOW_CASE(a_lingering_close_lets_others_run),
    CASE(a_reset_is_told_to_two_fibers_of_a_worker),
    CASE(a_path_is_gone_though_a_fiber_has_not_left_its_listener),
    CASE(fibers_of_several_workers_and_a_thread_share_a_socket),
    CASE(a_fiber_may_wait_at_a_poller),
    CASE(several_fibers_may_wait_for_stdin),
    CASE(a_cancel_reaches_the_fiber_whose_turn_comes),
    CASE(a_fiber_whose_turn_comes_late_hears_of_the_close),
    LONG_CASE(idle_connections_cost_little_and_answer_at_once, 300),
    LONG_CASE(connections_that_come_and_go_leave_nothing, 300),
};
TEST_MAIN(cases)
