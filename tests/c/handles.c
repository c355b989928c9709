/* Handles: whatever is not a live handle of the right kind is refused by every function, and harms nothing. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "harness.h"

/* ---- every function that takes a handle, with arguments that are otherwise good ---- */

static char buffer[64] = "text";
static sock_t good_poller;   /* where a function wants two handles and the other one is on trial */
static sock_t good_stream;
static int good_file;
static sock_address address;

static void ignore_connection(sock_t s, void *argument) { (void)s, (void)argument; }

#define FUNCTION(name, expression) \
    static int64_t try_##name(sock_t s) { return expression; }

FUNCTION(local_address, sock_local_address(s, &address))
FUNCTION(peer_address, sock_peer_address(s, &address))
FUNCTION(accept, sock_accept(s))
FUNCTION(try_accept, sock_try_accept(s))
FUNCTION(close, sock_close(s))
FUNCTION(shutdown, sock_shutdown(s, SOCK_WRITE))
FUNCTION(finish, sock_finish(s, 0))
FUNCTION(abort, sock_abort(s))
FUNCTION(read, sock_read(s, buffer, sizeof buffer))
FUNCTION(read_exact, sock_read_exact(s, buffer, sizeof buffer))
FUNCTION(read_line, sock_read_line(s, buffer, sizeof buffer))
FUNCTION(peek, sock_peek(s, buffer, sizeof buffer))
FUNCTION(write, sock_write(s, buffer, 4))
FUNCTION(readv, sock_readv(s, &(struct iovec){ buffer, sizeof buffer }, 1))
FUNCTION(writev, sock_writev(s, &(struct iovec){ buffer, 4 }, 1))
FUNCTION(try_read, sock_try_read(s, buffer, sizeof buffer))
FUNCTION(try_write, sock_try_write(s, buffer, 4))
FUNCTION(read_nothing, sock_read(s, NULL, 0))
FUNCTION(write_nothing, sock_write(s, NULL, 0))
FUNCTION(send_file, sock_send_file(s, good_file, 0, 1))
FUNCTION(relay_from, sock_relay(s, good_stream))
FUNCTION(relay_to, sock_relay(good_stream, s))
FUNCTION(printf, sock_printf(s, "%d", 1))
FUNCTION(set_timeout, sock_set_timeout(s, SOCK_READ, 1000))
FUNCTION(set_deadline, sock_set_deadline(s, SOCK_READ, 1000))
FUNCTION(cancel, sock_cancel(s))
FUNCTION(set_option, sock_set_option(s, SOCK_OPT_SEND_BUFFER, 65536))
FUNCTION(get_option, sock_get_option(s, SOCK_OPT_SEND_BUFFER))
FUNCTION(send_to, sock_send_to(s, buffer, 4, &address))
FUNCTION(recv_from, sock_recv_from(s, buffer, sizeof buffer, &address))
FUNCTION(send_batch, sock_send_batch(s, &(sock_datagram){ .data = buffer, .size = 4 }, 1))
FUNCTION(recv_batch, sock_recv_batch(s, &(sock_datagram){ .data = buffer, .size = sizeof buffer }, 1))
FUNCTION(join, sock_join(s, "239.1.2.3", NULL))
FUNCTION(leave, sock_leave(s, "239.1.2.3", NULL))
FUNCTION(peer_credentials, sock_peer_credentials(s, &(sock_credentials){ 0 }))
FUNCTION(send_fds, sock_send_fds(s, buffer, 4, &good_file, 1))
FUNCTION(recv_fds, sock_recv_fds(s, buffer, sizeof buffer, (int[1]){ 0 }, 1, &(size_t){ 0 }))
FUNCTION(fd, sock_fd(s))
FUNCTION(release_fd, sock_release_fd(s))
FUNCTION(poller_add, sock_poller_add(s, good_stream, SOCK_READ, NULL))
FUNCTION(poller_add_to, sock_poller_add(good_poller, s, SOCK_READ, NULL))
FUNCTION(poller_set, sock_poller_set(s, good_stream, SOCK_READ, NULL))
FUNCTION(poller_set_in, sock_poller_set(good_poller, s, SOCK_READ, NULL))
FUNCTION(poller_remove, sock_poller_remove(s, good_stream))
FUNCTION(poller_remove_from, sock_poller_remove(good_poller, s))
FUNCTION(poller_wait, sock_poller_wait(s, &(sock_event){ 0 }, 1, 0))
FUNCTION(poller_wake, sock_poller_wake(s))
FUNCTION(serve, sock_serve(s, ignore_connection, NULL, NULL))
FUNCTION(server_stop, sock_server_stop(s, 0))
FUNCTION(server_wait, sock_server_wait(s))
FUNCTION(get_server_info, sock_get_server_info(s, &(sock_server_info){ .size = sizeof(sock_server_info) }))
FUNCTION(get_info, sock_get_info(s, &(sock_info){ .size = sizeof(sock_info) }))

/* The kinds that a function is surely not for. */
enum { S = 1 << SOCK_KIND_STREAM, L = 1 << SOCK_KIND_LISTENER, D = 1 << SOCK_KIND_DATAGRAM, P = 1 << SOCK_KIND_POLLER, V = 1 << SOCK_KIND_SERVER };

typedef struct function {
    const char *name;
    int64_t (*run)(sock_t s);
    int wrong_kinds;
} function;

#define ROW(name, wrong_kinds) { #name, try_##name, wrong_kinds }

static const function functions[] = {
    ROW(local_address, P),
    ROW(peer_address, P | V),
    ROW(accept, S | D | P | V),
    ROW(try_accept, S | D | P | V),
    ROW(close, 0),
    ROW(shutdown, L | P | V),
    ROW(finish, L | D | P | V),
    ROW(abort, 0),
    ROW(read, L | P | V),
    ROW(read_exact, L | P | V),
    ROW(read_line, L | P | V),
    ROW(peek, L | P | V),
    ROW(write, L | P | V),
    ROW(readv, L | P | V),
    ROW(writev, L | P | V),
    ROW(try_read, L | P | V),
    ROW(try_write, L | P | V),
    ROW(read_nothing, L | P | V),
    ROW(write_nothing, L | P | V),
    ROW(send_file, L | P | V),
    ROW(relay_from, L | P | V),
    ROW(relay_to, L | P | V),
    ROW(printf, L | P | V),
    ROW(set_timeout, 0),
    ROW(set_deadline, 0),
    ROW(cancel, 0),
    ROW(set_option, 0),
    ROW(get_option, 0),
    ROW(send_to, S | L | P | V),
    ROW(recv_from, S | L | P | V),
    ROW(send_batch, S | L | P | V),
    ROW(recv_batch, S | L | P | V),
    ROW(join, S | L | P | V),
    ROW(leave, S | L | P | V),
    ROW(peer_credentials, L | P | V),
    ROW(send_fds, L | P | V),
    ROW(recv_fds, L | P | V),
    ROW(fd, 0),
    ROW(release_fd, 0),
    ROW(poller_add, S | L | D | V),
    ROW(poller_add_to, 0),
    ROW(poller_set, S | L | D | V),
    ROW(poller_set_in, 0),
    ROW(poller_remove, S | L | D | V),
    ROW(poller_remove_from, 0),
    ROW(poller_wait, S | L | D | V),
    ROW(poller_wake, S | L | D | V),
    ROW(serve, S | D | P | V),
    ROW(server_stop, S | L | D | P),
    ROW(server_wait, S | L | D | P),
    ROW(get_server_info, S | L | D | P),
    ROW(get_info, 0),
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static void refuse_everywhere(sock_t not_a_handle)
{
    for (size_t i = 0; i < FUNCTIONS; i++) {
        context("sock_%s(%lld)", functions[i].name, (long long)not_a_handle);
        CHECK(functions[i].run(not_a_handle), ==, SOCK_EHANDLE);
    }
    CHECK(sock_buffered(not_a_handle), ==, 0);
    context(NULL);
}

typedef struct fixture {
    sock_t pair[2], poller;
    int file, descriptors;
} fixture;

static void set_up(fixture *f)
{
    unix_pair(f->pair);
    f->poller = sock_poller();
    CHECK(f->poller, >, 0);
    f->file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    CHECK(f->file, >, 0);
    good_stream = f->pair[0];
    good_poller = f->poller;
    good_file = f->file;
    CHECK(sock_address_parse("127.0.0.1", "9", &address), ==, 0);
    /* A thread that has waited keeps what it waited with, as long as there are handles. */
    CHECK(sock_set_timeout(f->pair[0], SOCK_READ, 1), ==, 0);
    CHECK(sock_read(f->pair[0], buffer, 1), ==, SOCK_ETIMEDOUT);
    CHECK(sock_set_timeout(f->pair[0], SOCK_READ, SOCK_FOREVER), ==, 0);
    f->descriptors = open_descriptors();
}

/* The handles that were not on trial are as they were. */
static void tear_down(fixture *f)
{
    char byte;
    CHECK(open_descriptors(), ==, f->descriptors);
    CHECK(sock_write(f->pair[0], "x", 1), ==, 1);
    CHECK(sock_read(f->pair[1], &byte, 1), ==, 1);
    CHECK(byte, ==, 'x');
    CHECK(sock_poller_wake(f->poller), ==, 0);
    close_pair(f->pair);
    CHECK(sock_close(f->poller), ==, 0);
    CHECK(close(f->file), ==, 0);
}

static void numbers_are_no_handles(void)
{
    fixture f;
    set_up(&f);
    int64_t numbers[] = { 0, 1, 2, 3, 4, 5, 6, 7, 100, 1023, 1024, 4095, 65535, 65536, -1, -2, -100, INT32_MAX, INT32_MIN,
                          (int64_t)UINT32_MAX, (int64_t)UINT32_MAX + 1, 0xdeadbeef, INT64_MAX, INT64_MIN, INT64_MAX - 1,
                          (int64_t)(intptr_t)&f, (int64_t)(intptr_t)malloc, f.file, getpid() };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) refuse_everywhere(numbers[i]);
    for (int fd = 0; fd < f.descriptors + 3; fd++) refuse_everywhere(fd);
    tear_down(&f);
}

static void random_numbers_are_no_handles(void)
{
    fixture f;
    set_up(&f);
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < rounds(deep() ? 1000000 : 20000); i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        refuse_everywhere((int64_t)state);
        refuse_everywhere((int64_t)(state >> 40)); /* small ones, which an index would look like */
    }
    tear_down(&f);
}

/* A single wrong bit, in the index, the generation or the salt, makes it nobody's handle. */
static void forged_handles_are_refused(void)
{
    fixture f;
    set_up(&f);
    sock_t extra[2];
    unix_pair(extra);
    CHECK(sock_close(extra[1]), ==, 0);
    for (int bit = 0; bit < 64; bit++) {
        int64_t forged = (int64_t)((uint64_t)extra[0] ^ UINT64_C(1) << bit);
        if (forged != f.pair[0] && forged != f.pair[1] && forged != f.poller) refuse_everywhere(forged);
    }
    refuse_everywhere((int)extra[0]); /* what is left after a detour through an int */
    refuse_everywhere((unsigned)extra[0]);
    refuse_everywhere(-extra[0]);
    CHECK(sock_close(extra[0]), ==, 0);
    tear_down(&f);
}

static void a_handle_survives_any_64_bit_detour(void)
{
    sock_t pair[2], back;
    char text[32], byte;
    unix_pair(pair);
    CHECK(pair[0], >, 0);
    CHECK(pair[1], >, 0);
    void *pointer = (void *)(intptr_t)pair[0];
    CHECK(sock_write((sock_t)(intptr_t)pointer, "p", 1), ==, 1);
    snprintf(text, sizeof text, "%lld", (long long)pair[1]);
    back = strtoll(text, NULL, 10);
    CHECK(sock_read(back, &byte, 1), ==, 1);
    close_pair(pair);
}

static void closed_handles_are_refused(void)
{
    fixture f;
    set_up(&f);
    sock_t closed[2], listener = listen_local();
    unix_pair(closed);
    close_pair(closed);
    CHECK(sock_close(listener), ==, 0);
    refuse_everywhere(closed[0]);
    refuse_everywhere(closed[1]);
    refuse_everywhere(listener);
    tear_down(&f);
}

/* The descriptor number and the table's slot may be used again, the handle never is. */
static void a_stale_handle_does_not_reach_the_next_owner(void)
{
    fixture f;
    set_up(&f);
    sock_t stale[64][2];
    for (int i = 0; i < 64; i++) {
        unix_pair(stale[i]);
        close_pair(stale[i]);
    }
    sock_t now[2];
    char byte;
    unix_pair(now);
    for (int i = 0; i < 64; i++) {
        refuse_everywhere(stale[i][0]);
        refuse_everywhere(stale[i][1]);
    }
    CHECK(sock_try_read(now[0], &byte, 1), ==, SOCK_EAGAIN);
    CHECK(sock_write(now[0], "n", 1), ==, 1);
    CHECK(sock_read(now[1], &byte, 1), ==, 1);
    close_pair(now);
    tear_down(&f);
}

static void handles_are_not_used_again_soon(void)
{
    enum { HANDLES = 20000 };
    static sock_t seen[HANDLES];
    int count = rounds(HANDLES);
    for (int i = 0; i < count; i += 2) {
        unix_pair(&seen[i]);
        close_pair(&seen[i]);
    }
    sock_t live[2];
    unix_pair(live);
    for (int i = 0; i < count - 1; i++) {
        CHECK(seen[i] != live[0] && seen[i] != live[1], ==, true);
        CHECK(sock_close(seen[i]), ==, SOCK_EHANDLE);
    }
    close_pair(live);
}

static void a_double_close_closes_nothing_else(void)
{
    sock_t pair[2];
    unix_pair(pair);
    CHECK(sock_close(pair[0]), ==, 0);
    int unrelated = open("/dev/null", O_WRONLY | O_CLOEXEC); /* takes the descriptor that became free */
    CHECK(sock_close(pair[0]), ==, SOCK_EHANDLE);
    CHECK(sock_abort(pair[0]), ==, SOCK_EHANDLE);
    CHECK(sock_finish(pair[0], 0), ==, SOCK_EHANDLE);
    CHECK(sock_release_fd(pair[0]), ==, SOCK_EHANDLE);
    CHECK(write(unrelated, "x", 1), ==, 1);
    CHECK(close(unrelated), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
}

static void every_function_refuses_the_wrong_kind(void)
{
    fixture f;
    set_up(&f);
    sock_t served = listen_local();
    sock_t kinds[] = { [SOCK_KIND_STREAM] = f.pair[1],
                       [SOCK_KIND_LISTENER] = listen_local(),
                       [SOCK_KIND_DATAGRAM] = sock_udp_bind("127.0.0.1", "0", NULL),
                       [SOCK_KIND_POLLER] = f.poller,
                       [SOCK_KIND_SERVER] = sock_serve(served, ignore_connection, NULL, NULL) };
    for (int kind = SOCK_KIND_STREAM; kind <= SOCK_KIND_SERVER; kind++) {
        CHECK(kinds[kind], >, 0);
        for (size_t i = 0; i < FUNCTIONS; i++) {
            if (!(functions[i].wrong_kinds & 1 << kind)) continue;
            context("sock_%s of kind %d", functions[i].name, kind);
            CHECK(functions[i].run(kinds[kind]), ==, SOCK_ETYPE);
        }
    }
    context(NULL);
    CHECK(sock_buffered(kinds[SOCK_KIND_POLLER]), ==, 0);
    CHECK(sock_close(kinds[SOCK_KIND_SERVER]), ==, 0);
    CHECK(sock_close(kinds[SOCK_KIND_LISTENER]), ==, 0);
    CHECK(sock_close(kinds[SOCK_KIND_DATAGRAM]), ==, 0);
    tear_down(&f);
}

static void outputs_are_left_alone_on_failure(void)
{
    sock_address out, before;
    sock_info info = { .size = sizeof info, .kind = 77 };
    char bytes[8] = "before!";
    memset(&out, 0x77, sizeof out);
    before = out;
    CHECK(sock_local_address(12345, &out), ==, SOCK_EHANDLE);
    CHECK(sock_peer_address(12345, &out), ==, SOCK_EHANDLE);
    CHECK(memcmp(&out, &before, sizeof out), ==, 0);
    CHECK(sock_get_info(12345, &info), ==, SOCK_EHANDLE);
    CHECK(info.kind, ==, 77);
    CHECK(sock_read(12345, bytes, sizeof bytes), ==, SOCK_EHANDLE);
    CHECK(sock_read_line(12345, bytes, sizeof bytes), ==, SOCK_EHANDLE);
    CHECK(strcmp(bytes, "before!"), ==, 0);
}

static void live_handles_are_counted(void)
{
    enum { MOST = 200 };
    sock_t handles[MOST];
    int count = 0;
    uint64_t state = 12345;
    CHECK(sock_live_handles(), ==, 0);
    for (int i = 0; i < rounds(3000); i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        unsigned random = (unsigned)(state >> 33);
        if (count < MOST - 1 && (count == 0 || random % 5 < 3)) {
            if (random % 2) {
                unix_pair(&handles[count]);
                count += 2;
            } else {
                handles[count++] = listen_local();
            }
        } else {
            unsigned which = random / 8 % (unsigned)count;
            CHECK(sock_close(handles[which]), ==, 0);
            handles[which] = handles[--count];
        }
        CHECK(sock_live_handles(), ==, count);
    }
    while (count > 0) CHECK(sock_close(handles[--count]), ==, 0);
    CHECK(sock_live_handles(), ==, 0);
}

static void opening_and_closing_grows_nothing(void)
{
    int cycles = deep() ? 1000000 : rounds(20000);
    sock_t pair[2];
    for (int i = 0; i < 1000; i++) {
        unix_pair(pair);
        close_pair(pair);
    }
    int descriptors = open_descriptors();
    int64_t before = resident_kib();
    for (int i = 0; i < cycles; i++) {
        if (i % 16 == 0) {
            CHECK(sock_close(listen_local()), ==, 0);
        } else {
            unix_pair(pair);
            close_pair(pair);
        }
    }
    CHECK(open_descriptors(), ==, descriptors);
    CHECK(sock_live_handles(), ==, 0);
    if (!under_memcheck()) CHECK(resident_kib() - before, <, 1024);
}

/* Memory that many handles at once took is used again by the next many. */
static void a_crowd_of_handles_comes_and_goes_in_the_same_memory(void)
{
    enum { CROWD = 400 };
    static sock_t crowd[CROWD][2];
    int64_t before = 0;
    for (int round = 0; round < rounds(50); round++) {
        for (int i = 0; i < CROWD; i++) unix_pair(crowd[i]);
        CHECK(sock_live_handles(), ==, 2 * CROWD);
        for (int i = 0; i < CROWD; i++) close_pair(crowd[i]);
        if (round == 2) before = resident_kib();
    }
    if (!under_memcheck()) CHECK(resident_kib() - before, <, 1024);
}

/* Another process, other handles: they carry a salt of their process. */
static void handles_of_one_process_mean_nothing_in_another(void)
{
    int report[2];
    CHECK(pipe(report), ==, 0);
    for (int i = 0; i < 2; i++) {
        pid_t child = fork_child();
        if (child == 0) {
            sock_t pair[2];
            unix_pair(pair);
            CHECK(write(report[1], pair, sizeof pair), ==, sizeof pair);
            _exit(0);
        }
        CHECK(child_status(child), ==, 0);
    }
    sock_t theirs[4], ours[2];
    CHECK(read(report[0], theirs, sizeof theirs), ==, sizeof theirs);
    unix_pair(ours);
    for (int i = 0; i < 4; i++) CHECK(sock_try_read(theirs[i], buffer, 1), ==, SOCK_EHANDLE);
    close_pair(ours);
    close(report[0]);
    close(report[1]);
}

static const test_case cases[] = {
    CASE(numbers_are_no_handles),
    LONG_CASE(random_numbers_are_no_handles, 60),
    CASE(forged_handles_are_refused),
    CASE(a_handle_survives_any_64_bit_detour),
    CASE(closed_handles_are_refused),
    CASE(a_stale_handle_does_not_reach_the_next_owner),
    CASE(handles_are_not_used_again_soon),
    CASE(a_double_close_closes_nothing_else),
    CASE(every_function_refuses_the_wrong_kind),
    CASE(outputs_are_left_alone_on_failure),
    CASE(live_handles_are_counted),
    LONG_CASE(opening_and_closing_grows_nothing, 60),
    CASE(a_crowd_of_handles_comes_and_goes_in_the_same_memory),
    CASE(handles_of_one_process_mean_nothing_in_another),
};
TEST_MAIN(cases)
