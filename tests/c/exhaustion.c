/* Running out of descriptors, memory and ports: the right code, nothing lost, and it works again afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "harness.h"

static void limit_descriptors(int count)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    limit.rlim_cur = (rlim_t)count;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
}

/* Leaves room for so many descriptors. */
static int hoard[64], hoarded;

static void leave_room_for(int room)
{
    limit_descriptors(40);
    int fd;
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) hoard[hoarded++] = fd;
    CHECK(errno, ==, EMFILE);
    for (int i = 0; i < room; i++) close(hoard[--hoarded]);
}

static void give_room(void)
{
    while (hoarded > 0) close(hoard[--hoarded]);
}

static int64_t make_pair_now(void)
{
    sock_t pair[2];
    int result = sock_pair(pair);
    if (result == 0) close_pair(pair);
    return result;
}
static uint16_t some_port;
static int64_t close_if_open(sock_t s) { return s > 0 ? sock_close(s) : s; }
static int64_t open_now(void) { return close_if_open(sock_open("127.0.0.1", port_text(some_port), NULL)); }
static int64_t listen_now(void) { return close_if_open(sock_listen("127.0.0.1", "0", NULL)); }
static int64_t udp_open_now(void) { return close_if_open(sock_udp_open("127.0.0.1", "9", NULL)); }
static int64_t udp_bind_now(void) { return close_if_open(sock_udp_bind("127.0.0.1", "0", NULL)); }
static int64_t poller_now(void) { return close_if_open(sock_poller()); }

/* The number of a device is asked through a descriptor. */
static void a_device_that_cannot_be_looked_up_is_not_unknown(void)
{
    sock_address address;
    sock_t s = sock_udp_bind("0.0.0.0", "0", NULL);
    CHECK(s, >, 0);
    leave_room_for(0);
    CHECK(sock_join(s, "239.1.2.3", "lo"), ==, SOCK_ELIMIT);
    CHECK(sock_leave(s, "239.1.2.3", "lo"), ==, SOCK_ELIMIT);
    CHECK(sock_address_parse("fe80::1%lo", "80", &address), ==, SOCK_ELIMIT);
    CHECK(sock_last_errno(), ==, EMFILE);
    give_room();
    CHECK(sock_join(s, "239.1.2.3", "nosuch0"), ==, SOCK_EINVAL);
    CHECK(sock_address_parse("fe80::1%nosuch0", "80", &address), ==, SOCK_EINVAL);
    CHECK(sock_address_parse("fe80::1%lo", "80", &address), ==, 0);
    CHECK(sock_close(s), ==, 0);
}

static void whatever_makes_a_descriptor_reports_the_limit(void)
{
    struct {
        const char *name;
        int64_t (*run)(void);
    } makers[] = { { "pair", make_pair_now }, { "open", open_now },         { "listen", listen_now },
                   { "udp_open", udp_open_now }, { "udp_bind", udp_bind_now }, { "poller", poller_now } };
    int listener = raw_listen(&some_port);
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        context("%s", makers[i].name);
        CHECK(makers[i].run(), ==, 0);
        leave_room_for(0);
        for (int again = 0; again < 3; again++) {
            CHECK(makers[i].run(), ==, SOCK_ELIMIT);
            CHECK(strlen(sock_last_error()), >, 0);
        }
        CHECK(sock_live_handles(), ==, 0);
        give_room();
        CHECK(makers[i].run(), ==, 0);
    }
    raw_close(listener);
}

static int64_t resolve_now(void) { return sock_resolve("localhost", "80", NULL, NULL, 0); }
static int64_t open_name_now(void) { return close_if_open(sock_open("localhost", port_text(some_port), SOCK_OPTIONS(.family = SOCK_IPV4))); }
static int64_t listen_name_now(void) { return close_if_open(sock_listen("localhost", "0", NULL)); }
static int64_t service_now(void) { return close_if_open(sock_udp_open("127.0.0.1", "domain", NULL)); }

/* The resolver opens files and sockets. Without descriptors it calls every name unknown, which says nothing about the name. */
static void without_descriptors_no_name_is_called_unknown(void)
{
    struct {
        const char *name;
        int64_t (*run)(void);
    } users[] = { { "resolve", resolve_now }, { "open", open_name_now }, { "listen", listen_name_now }, { "service", service_now } };
    int listener = raw_listen(&some_port);
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        context("%s", users[i].name);
        if (users[i].run() < 0) skip("this system has no such %s: %s", users[i].name, sock_last_error());
        leave_room_for(0);
        for (int again = 0; again < 3; again++) {
            CHECK(users[i].run(), ==, SOCK_ELIMIT);
            CHECK(sock_last_errno(), ==, EMFILE);
        }
        give_room();
        CHECK(users[i].run(), >=, 0);
    }
    raw_close(listener);
}

/* The same for the first look-up of a process, which has not yet read which databases there are. */
static void without_descriptors_the_first_name_is_not_called_unknown(void)
{
    leave_room_for(0);
    CHECK(service_now(), ==, SOCK_ELIMIT);
    CHECK(resolve_now(), ==, SOCK_ELIMIT);
    CHECK(sock_last_errno(), ==, EMFILE);
    give_room();
}

/* A pair needs two descriptors; with room for one, it makes none. */
static void half_a_pair_is_not_made(void)
{
    leave_room_for(1);
    CHECK(make_pair_now(), ==, SOCK_ELIMIT);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(fd, >=, 0); /* the one is free again */
    close(fd);
    give_room();
}

/* accept without a free descriptor waits for one, without spinning, as long as its timeout lets it. */
static void accept_waits_for_a_descriptor(void)
{
    sock_t listener = listen_local();
    int client = raw_connect(port_of(listener));
    char byte;
    sock_t pair[2];
    unix_pair(pair);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 1), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT); /* whatever waiting needs is there now */
    leave_room_for(0);
    CHECK(sock_try_accept(listener), ==, SOCK_ELIMIT);
    struct timespec before, after;
    CHECK(sock_set_timeout(listener, SOCK_READ, 200), ==, 0);
    int64_t began = now_us();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    CHECK(sock_accept(listener), ==, SOCK_ELIMIT);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    CHECK(now_us() - began, >=, 200000);
    int64_t used_us = (int64_t)(after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    if (!under_memcheck()) CHECK(used_us, <, 40000);
    give_room();
    CHECK(sock_set_timeout(listener, SOCK_READ, SOCK_FOREVER), ==, 0);
    sock_t accepted = sock_accept(listener);
    CHECK(accepted, >, 0);
    raw_close(client);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);
    close_pair(pair);
}

static void accept_goes_on_as_soon_as_there_is_a_descriptor(void)
{
    sock_t listener = listen_local();
    int client = raw_connect(port_of(listener));
    leave_room_for(2); /* for the harness's looks into /proc, and the thread's own needs */
    call c = { .run = call_accept, .socket = listener };
    int last = open("/dev/null", O_RDONLY | O_CLOEXEC), very_last = open("/dev/null", O_RDONLY | O_CLOEXEC);
    call_start(&c);
    WAIT_UNTIL(atomic_load(&c.id) != 0);
    sleep_ms(50);
    CHECK(atomic_load(&c.done), ==, 0);
    close(last);
    close(very_last);
    CHECK(call_join(&c), >, 0);
    give_room();
    raw_close(client);
    CHECK(sock_close(c.result), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void close_and_cancel_reach_an_accept_that_waits_for_a_descriptor(void)
{
    for (int with_cancel = 0; with_cancel < 2; with_cancel++) {
        sock_t listener = listen_local();
        int client = raw_connect(port_of(listener));
        call c = { .run = call_accept, .socket = listener };
        leave_room_for(0);
        call_start(&c);
        WAIT_UNTIL(atomic_load(&c.id) != 0);
        sleep_ms(20);
        CHECK(with_cancel ? sock_cancel(listener) : sock_close(listener), ==, 0);
        CHECK(call_join(&c), ==, with_cancel ? SOCK_ECANCELED : SOCK_ECLOSED);
        give_room();
        if (with_cancel) CHECK(sock_close(listener), ==, 0);
        raw_close(client);
    }
}

/* With a low limit, connections one after another are no problem. */
static void few_descriptors_serve_many_connections(void)
{
    limit_descriptors(24);
    sock_t listener = listen_local();
    for (int i = 0; i < rounds(2000); i++) {
        sock_t client = open_local(listener), accepted = sock_accept(listener);
        CHECK(accepted, >, 0);
        CHECK(sock_close(client), ==, 0);
        CHECK(sock_close(accepted), ==, 0);
    }
    CHECK(sock_close(listener), ==, 0);
}

/* Blocking calls still work, time out and can be closed when there is not one descriptor left for the thread. */
static void waiting_works_without_a_free_descriptor(void)
{
    sock_t pair[2];
    char byte;
    unix_pair(pair);
    leave_room_for(0);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 30), ==, 0);
    int64_t began = now_us();
    int64_t result = sock_read(pair[0], &byte, 1);
    CHECK(result == SOCK_ETIMEDOUT || result == SOCK_ELIMIT, ==, true);
    if (result == SOCK_ETIMEDOUT) CHECK(now_us() - began, >=, 30000);
    CHECK(sock_write(pair[1], "x", 1), ==, 1);
    CHECK(sock_read(pair[0], &byte, 1), ==, 1); /* no need to wait, no need for a descriptor */
    give_room();
    close_pair(pair);
}

static void *write_later(void *handle)
{
    sleep_ms(50);
    CHECK(sock_write(*(sock_t *)handle, "x", 1), ==, 1);
    return NULL;
}

/* As sandboxes do, so that nothing more is opened. */
static void waiting_works_below_the_limit_of_descriptors(void)
{
    sock_t pair[2];
    char byte;
    struct rlimit before;
    unix_pair(pair);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 30), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT); /* there is an event to wait with */
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 400), ==, 0);
    CHECK(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    limit_descriptors(0);
    int64_t began = now_us(), used = processor_us();
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(processor_us() - used, <, 20000);
    CHECK(now_us() - began, >=, 400000);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, SOCK_FOREVER), ==, 0);
    pthread_t writer = start_thread(write_later, &pair[1]);
    CHECK(sock_read(pair[0], &byte, 1), ==, 1);
    join_thread(writer);
    CHECK(sock_sleep(1), ==, 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    close_pair(pair);
}

/* A handle table grows with what is in use, up to what the descriptors allow, and comes back. */
static void as_many_handles_as_descriptors(void)
{
    static sock_t handles[512][2];
    limit_descriptors(512);
    for (int round = 0; round < 3; round++) {
        int count = 0;
        while (sock_pair(handles[count]) == 0) count++;
        CHECK(count, >, 200);
        CHECK(sock_live_handles(), ==, 2 * count);
        while (count > 0) close_pair(handles[--count]);
        CHECK(sock_live_handles(), ==, 0);
    }
}

static const test_case cases[] = {
    CASE(whatever_makes_a_descriptor_reports_the_limit),
    CASE(a_device_that_cannot_be_looked_up_is_not_unknown),
    CASE(without_descriptors_no_name_is_called_unknown),
    CASE(without_descriptors_the_first_name_is_not_called_unknown),
    CASE(half_a_pair_is_not_made),
    CASE(accept_waits_for_a_descriptor),
    CASE(accept_goes_on_as_soon_as_there_is_a_descriptor),
    CASE(close_and_cancel_reach_an_accept_that_waits_for_a_descriptor),
    CASE(few_descriptors_serve_many_connections),
    CASE(waiting_works_without_a_free_descriptor),
    CASE(waiting_works_below_the_limit_of_descriptors),
    CASE(as_many_handles_as_descriptors),
};
TEST_MAIN(cases)
