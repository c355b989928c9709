/* The rounds: who takes part in one, when it ends, and what must be left of it. */
#include "races.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Two of each lane's four ends act on threads, two on fibers, in every combination. */
enum { THREADS = 6, FIBERS = 6, DISTURBERS = 3, STRANGERS = 1, MOST_ACTORS = THREADS + FIBERS + DISTURBERS + STRANGERS + 2 * LANES };
enum { LIMIT_MS = 20000, ROUND_MS = 300, GROWTH_KIB = 8192 };

typedef struct part {
    void (*play)(actor *a, int number);
    int number;
    bool on_fiber;
    actor who;
    pthread_t thread;
    _Atomic bool left;
} part;

static part parts[MOST_ACTORS];
static int part_count;
static atomic_bool disturbers_stop;
static atomic_int next_on_fiber;
static _Atomic uint64_t disturbances, strangers_met;

/* ---- the parts ---- */

static void play_actor(actor *a, int number)
{
    (void)number;
    while (!atomic_load(&stop)) {
        act_once(a);
        if (draw(a, 8) == 0) CHECK(sock_sleep(0), ==, 0); /* if every call fails at once, others on the worker must have a turn too */
    }
}

/* Canceled handles are of little use: when handles are canceled, about as many are replaced. */
static void disturb_once(actor *a)
{
    uint64_t one_in = disturbance == CLOSING ? 1 : disturbance == TIMING ? 10 : 2;
    if (draw(a, 4) == 0) lane_disturb(a);
    else if (draw(a, one_in) == 0) world_renew(a, ~0);
    else world_disturb(a);
    atomic_fetch_add(&disturbances, 1);
}

static void play_disturber(actor *a, int number)
{
    (void)number;
    while (!atomic_load(&disturbers_stop)) {
        disturb_once(a);
        if (draw(a, 2)) CHECK(sock_sleep((int64_t)draw(a, 3)), ==, 0);
    }
}

/* Somebody else in the process, with descriptors of their own: nothing may be read from them, written to them or closed. */
static void play_stranger(actor *a, int number)
{
    (void)number;
    while (!atomic_load(&stop)) {
        int pair[2];
        uint64_t sent = draw(a, UINT64_MAX), received = 0;
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
        CHECK(send(pair[0], &sent, sizeof sent, MSG_NOSIGNAL), ==, sizeof sent);
        sched_yield();
        CHECK(recv(pair[1], &received, sizeof received, MSG_DONTWAIT), ==, sizeof received);
        CHECK(received == sent, ==, true);
        for (int i = 0; i < 2; i++) CHECK(recv(pair[i], &received, 1, MSG_DONTWAIT), ==, -1); /* and not 0: nobody shut it down */
        for (int i = 0; i < 2; i++) CHECK(close(pair[i]), ==, 0);
        atomic_fetch_add(&strangers_met, 1);
    }
}

static void add_part(void (*play)(actor *a, int number), int number, bool on_fiber, uint64_t seed)
{
    part *p = &parts[part_count];
    memset(p, 0, sizeof *p);
    p->play = play;
    p->number = number;
    p->on_fiber = on_fiber;
    p->who.random = seed * 1000 + (uint64_t)part_count++;
}

static void add_parts(uint64_t seed)
{
    part_count = 0;
    for (int i = 0; i < DISTURBERS; i++) add_part(play_disturber, i, i == 0, seed);
    for (int i = 0; i < THREADS + FIBERS; i++) add_part(play_actor, i, i < FIBERS, seed);
    for (int i = 0; i < STRANGERS; i++) add_part(play_stranger, i, false, seed);
    for (int i = 0; i < LANES; i++) {
        add_part(lane_read, i, i & 1, seed);
        add_part(lane_write, i, i & 2, seed);
    }
}

static void play(part *p)
{
    p->play(&p->who, p->number);
    atomic_store(&p->left, true);
}

static void *play_on_thread(void *argument)
{
    play(argument);
    return NULL;
}

static void play_on_fiber(sock_t connection, void *context)
{
    (void)connection;
    (void)context;
    int turn = atomic_fetch_add(&next_on_fiber, 1);
    for (int i = 0; i < part_count; i++)
        if (parts[i].on_fiber && turn-- == 0) play(&parts[i]);
}

/* ---- a round ---- */

typedef struct stage {
    sock_t server, visitors[MOST_ACTORS];
    int count;
} stage;

static void start_parts(stage *s)
{
    sock_t listener = sock_listen(own_host(), "0", NULL);
    CHECK(listener, >, 0);
    uint16_t port = port_of(listener);
    s->server = sock_serve(listener, play_on_fiber, NULL, SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS, .workers = 2));
    CHECK(s->server, >, 0);
    s->count = 0;
    atomic_store(&next_on_fiber, 0);
    for (int i = 0; i < part_count; i++) {
        if (!parts[i].on_fiber) {
            parts[i].thread = start_thread(play_on_thread, &parts[i]);
            continue;
        }
        sock_t visitor = sock_open(own_host(), port_text(port), NULL);
        CHECK(visitor, >, 0);
        s->visitors[s->count++] = visitor;
    }
}

static void wait_until_left(int first, int count, const char *what)
{
    int64_t give_up = now_ms() + LIMIT_MS;
    for (int i = first; i < first + count; i++) {
        while (!atomic_load(&parts[i].left) && now_ms() < give_up) sleep_ms(1);
        if (atomic_load(&parts[i].left)) continue;
        for (int other = first; other < first + count; other++) {
            const char *inside = atomic_load(&parts[other].who.inside);
            if (!atomic_load(&parts[other].left))
                note("part %d, on a %s, is still at %s", other, parts[other].on_fiber ? "fiber" : "thread", inside ? inside : "nothing");
        }
        if (getenv("SOCK_TEST_HOLD")) pause();
        context("%s", what);
        CHECK(atomic_load(&parts[i].left), ==, true);
    }
}

static void end_stage(stage *s)
{
    for (int i = 0; i < part_count; i++)
        if (!parts[i].on_fiber) join_thread(parts[i].thread);
    CHECK(sock_server_stop(s->server, SOCK_FOREVER), ==, 0);
    CHECK(sock_close(s->server), ==, 0);
    for (int i = 0; i < s->count; i++) CHECK(sock_close(s->visitors[i]), ==, 0);
}

/* How long the calls that waited took to end. */
static int64_t play_round(uint64_t seed, int64_t length_ms)
{
    stage s;
    actor director = { .random = seed * 1000 + 999 };
    atomic_store(&stop, false);
    atomic_store(&disturbers_stop, false);
    lanes_begin();
    world_begin(&director);
    add_parts(seed);
    start_parts(&s);
    sleep_ms(length_ms);
    atomic_store(&disturbers_stop, true);
    wait_until_left(0, DISTURBERS, "ending the disturbers");
    atomic_store(&stop, true);
    int64_t began = now_ms();
    world_end_waiting(&director);
    wait_until_left(DISTURBERS, part_count - DISTURBERS, "ending the actors");
    int64_t took = now_ms() - began;
    world_close();
    end_stage(&s);
    return took;
}

static uint64_t first_seed(void)
{
    const char *seed = getenv("SOCK_TEST_SEED");
    return seed && *seed ? strtoull(seed, NULL, 10) : 1;
}

static void hunt(int kinds)
{
    int64_t began = now_ms(), length = hunting_ms(2000), slowest = 0, resident = 0;
    uint64_t seed = first_seed(), played = 0;
    bool is_long = length >= 60000;
    disturbance = kinds;
    open_files();
    int descriptors = open_descriptors(), threads = running_threads();
    while (now_ms() - began < length) {
        context("seed %llu", (unsigned long long)(seed + played));
        int64_t took = play_round(seed + played, ROUND_MS);
        if (took > slowest) slowest = took;
        WAIT_UNTIL(sock_live_handles() == 0);
        WAIT_UNTIL(running_threads() == threads);
        CHECK(open_descriptors(), ==, descriptors);
        played++;
        if (resident == 0 && now_ms() - began > length / 4) resident = resident_kib();
    }
    int64_t growth = resident_kib() - resident;
    close_files();
    note("%llu rounds, %llu operations, %llu handles or groups replaced, %llu disturbances; the slowest end took %lld ms",
         (unsigned long long)played, (unsigned long long)operations_done(), (unsigned long long)groups_made,
         (unsigned long long)disturbances, (long long)slowest);
    note("lanes: %llu, of which %llu were read to the end, %llu bytes; %llu strangers; memory grew by %lld KiB",
         (unsigned long long)lanes_finished, (unsigned long long)lanes_whole, (unsigned long long)lane_bytes,
         (unsigned long long)strangers_met, (long long)growth);
    report_operations(is_long);
    CHECK(lane_bytes, >, 0);
    CHECK(strangers_met, >, 0);
    if (is_long) CHECK(growth, <, GROWTH_KIB);
}

static void closing_against_everything(void) { hunt(CLOSING); }
static void canceling_against_everything(void) { hunt(CANCELING); }
static void changing_times_against_everything(void) { hunt(TIMING); }
static void all_at_once(void) { hunt(CLOSING | CANCELING | TIMING); }

static const test_case cases[] = {
    LONG_CASE(closing_against_everything, 60),
    LONG_CASE(canceling_against_everything, 60),
    LONG_CASE(changing_times_against_everything, 60),
    LONG_CASE(all_at_once, 60),
};
TEST_MAIN(cases)
