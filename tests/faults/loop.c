/* The fault loop: every call that libsock makes into the C library in a scenario fails in turn, once and from
 * then on, in several ways, each in a process of its own. After every one: no signal, no hang, no
 * descriptor, thread or handle left, a code that the header promises for this kind of failure, and the same
 * scenario runs cleanly in the same process.
 *
 * Usually a sample is run, the same for the same SOCK_TEST_SEED; with SOCK_TEST_DEEP=1 everything. One plan
 * alone: SOCK_FAULT_PLAN="errno 4 from 7" build/tests/faults/loop tcp_echo */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "network.h"
#include "scenarios.h"
#include "shim.h"

enum { WORKERS = 4, HANG_SECONDS = 10, REPORTED = 10, SETTLE_MS = 5000 };

#define TRANSFERS "read write recv send recvfrom sendto recvmsg sendmsg readv writev recvmmsg sendmmsg pread64 sendfile sendfile64 splice"

/* What is done to the calls.. */
static const struct fault_kind {
    const char *name;
    enum fault_action action;
    int value;
    const char *functions;
} kinds[] = {
    { "EINTR", FAULT_ERRNO, EINTR, NULL },
    { "EAGAIN", FAULT_ERRNO, EAGAIN, NULL },
    { "ENOMEM", FAULT_ERRNO, ENOMEM, NULL },
    { "EMFILE", FAULT_ERRNO, EMFILE, NULL },
    { "ECONNRESET", FAULT_ERRNO, ECONNRESET, NULL },
    { "EIO", FAULT_ERRNO, EIO, NULL },
    { "ENOSYS", FAULT_ERRNO, ENOSYS, NULL },
    { "EPERM", FAULT_ERRNO, EPERM, NULL },
    { "EINTR after the call", FAULT_POST, EINTR, NULL },
    { "EIO after the call", FAULT_POST, EIO, NULL },
    { "one byte only", FAULT_SHORT, 1, TRANSFERS },
    { "delay", FAULT_DELAY, 5, NULL },
    { "ready without being so", FAULT_GHOST, 0, "poll ppoll" },
    { "no memory", FAULT_MEMORY, ENOMEM, NULL },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- one plan, in its own process ---- */

typedef struct state {
    int descriptors, threads;
    int64_t handles;
} state;

/* What the processes of a loop tell each other. */
typedef struct board {
    long calls;            /* of the process that counted them */
    state clean;           /* after the second of two clean runs */
    _Atomic long runs, hits, failures;
} board;

static board *shared;

static state look(void)
{
    return (state){ open_descriptors(), running_threads(), sock_live_handles() };
}

/* Threads that were told to end need a moment, and so do the handles that they use. */
static state settled(int threads)
{
    int64_t give_up = now_ms() + SETTLE_MS;
    while ((running_threads() > threads || sock_live_handles() > 0) && now_ms() < give_up) sleep_ms(1);
    return look();
}

/* Whether a failure of the system can be the cause of the code. The others say that the caller made a mistake, that
 * the library has a bug, or that something happened which did not: scenarios that expect such a code do not
 * report it. */
static bool is_explained(int64_t code)
{
    switch (code) {
    case SOCK_EINVAL: case SOCK_EHANDLE: case SOCK_ETYPE: case SOCK_ETOOLONG: case SOCK_EBUSY:
    case SOCK_ECLOSED: case SOCK_ECANCELED: case SOCK_ENOSERVICE: case SOCK_EMSGSIZE: case SOCK_ETRUNC:
    case SOCK_EEXIST: case SOCK_EINTERNAL:
        return false;
    case SOCK_EAGAIN:
        return strstr(failed_step, "sock_try_") != NULL;
    default:
        return strcmp(sock_error_name(code), "SOCK_UNKNOWN") != 0;
    }
}

static int64_t patient(int64_t (*scenario)(void))
{
    patience_ms = 10000;
    return scenario();
}

static void check_run(int64_t (*scenario)(void))
{
    char story[400];
    int64_t code = scenario();
    fault_disarm();
    atomic_fetch_add(&shared->hits, fault_hits() > 0);
    snprintf(story, sizeof story, "%s first; the scenario ended with %s at %s: %.100s", fault_first_hit(),
             code ? sock_error_name(code) : "success", failed_step, code ? sock_last_error() : "");
    context("%s", story);
    CHECK(code == 0 || is_explained(code), ==, true);
    CHECK(settled(shared->clean.threads).handles, ==, 0);
    int64_t second = patient(scenario);
    snprintf(story + strlen(story), sizeof story - strlen(story), "; the second run at %s", failed_step);
    context("%s", story);
    CHECK(second, ==, 0);
    state after = settled(shared->clean.threads);
    CHECK(after.descriptors, <=, shared->clean.descriptors);
    CHECK(after.threads, <=, shared->clean.threads);
    CHECK(after.handles, ==, 0);
}

/* Runs `body` in a child and gives its status. A hang ends by SIGALRM. */
static int in_child(void (*body)(int64_t (*)(void), const fault_plan *), int64_t (*scenario)(void), const fault_plan *plan)
{
    pid_t child = fork_child();
    if (child == 0) {
        alarm(HANG_SECONDS);
        body(scenario, plan);
        _exit(0);
    }
    return child_status(child);
}

static void run_plan(int64_t (*scenario)(void), const fault_plan *plan)
{
    fault_arm(plan);
    check_run(scenario);
}

/* How many calls there are, and what two clean runs leave: what the first makes once and keeps is not a leak. */
static void run_clean(int64_t (*scenario)(void), const fault_plan *plan)
{
    fault_arm(plan);
    int64_t first = patient(scenario);
    context("a run without faults, at %s: %s", failed_step, sock_last_error());
    CHECK(first, ==, 0);
    shared->calls = fault_disarm();
    CHECK(patient(scenario), ==, 0);
    shared->clean = settled(1);
    CHECK(shared->clean.handles, ==, 0);
}

/* ---- all plans of a scenario ---- */

static uint64_t seed(void)
{
    const char *text = getenv("SOCK_TEST_SEED");
    return text ? strtoull(text, NULL, 10) : 1;
}

static bool sampled(uint64_t number, unsigned per_mille)
{
    uint64_t x = (number + seed() * 1000003) * 0x9e3779b97f4a7c15;
    return (x ^ x >> 32) % 1000 < per_mille;
}

static void report(const struct fault_kind *kind, const fault_plan *plan, int status)
{
    if (atomic_fetch_add(&shared->failures, 1) >= REPORTED) return;
    char plan_text[128];
    static const char *const actions[] = { "count", "errno", "post", "short", "delay", "ghost", "memory" };
    snprintf(plan_text, sizeof plan_text, "%s %d %s %ld%s%s", actions[plan->action], plan->value,
             plan->when == FAULT_FROM ? "from" : "once", plan->first, plan->functions ? " " : "",
             plan->functions ? plan->functions : "");
    if (status == 1000 + SIGALRM) note("hang: %s, SOCK_FAULT_PLAN=\"%s\"", kind->name, plan_text);
    else if (status > 1000) note("signal %d: %s, SOCK_FAULT_PLAN=\"%s\"", status - 1000, kind->name, plan_text);
    else note("%s, SOCK_FAULT_PLAN=\"%s\"", kind->name, plan_text);
}

static void run_numbered(int64_t (*scenario)(void), const struct fault_kind *kind, enum fault_when when, long first)
{
    fault_plan plan = { .action = kind->action, .value = kind->value, .when = when, .first = first,
                        .functions = kind->functions };
    atomic_fetch_add(&shared->runs, 1);
    int status = in_child(run_plan, scenario, &plan);
    if (status != 0) report(kind, &plan, status);
}

/* Worker `mine` of WORKERS takes every WORKERSth plan. */
static void work(int64_t (*scenario)(void), unsigned per_mille, const long calls[KINDS], int mine)
{
    uint64_t number = 0;
    for (int kind = 0; kind < KINDS; kind++)
        for (int when = FAULT_ONCE; when <= FAULT_FROM; when++)
            for (long first = 1; first <= calls[kind]; first++)
                if (++number % WORKERS == (unsigned)mine && sampled(number, per_mille))
                    run_numbered(scenario, &kinds[kind], (enum fault_when)when, first);
}

static void run_only(int64_t (*scenario)(void), const char *text)
{
    fault_plan plan;
    CHECK(fault_parse(text, &plan), ==, true);
    int status = in_child(run_plan, scenario, &plan);
    note("status %d", status);
    CHECK(status, ==, 0);
}

static void loop(int64_t (*scenario)(void), unsigned per_mille)
{
    long calls[KINDS];
    pid_t workers[WORKERS];
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED, ==, true);
    for (int kind = 0; kind < KINDS; kind++) {
        fault_plan count = { .action = kinds[kind].action == FAULT_MEMORY ? FAULT_MEMORY : FAULT_COUNT, .when = FAULT_ONCE,
                             .first = 0, .functions = kinds[kind].functions };
        CHECK(in_child(run_clean, scenario, &count), ==, 0);
        calls[kind] = shared->calls;
    }
    CHECK(calls[0], >, 0); /* the shim sees the library */
    if (getenv("SOCK_FAULT_PLAN")) {
        run_only(scenario, getenv("SOCK_FAULT_PLAN"));
        return;
    }
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = fork_child();
        if (workers[i] == 0) {
            work(scenario, per_mille, calls, i);
            _exit(0);
        }
    }
    for (int i = 0; i < WORKERS; i++) CHECK(child_status(workers[i]), ==, 0);
    note("%ld calls, %ld runs, %ld of them hit", calls[0], atomic_load(&shared->runs), atomic_load(&shared->hits));
    CHECK(atomic_load(&shared->failures), ==, 0);
    CHECK(atomic_load(&shared->hits), >, 0);
}

/* A fifth of all plans is a sample. */
static void try(int64_t (*scenario)(void))
{
    loop(scenario, deep() ? 1000 : 200);
}

#define SCENARIO(name) static void loop_##name(void) { try(name); }
SCENARIO(tcp_echo)
SCENARIO(three_clients)
SCENARIO(bulk_both_ways)
SCENARIO(lines)
SCENARIO(half_close_and_reset)
SCENARIO(closed_by_another_thread)
SCENARIO(deadlines)
SCENARIO(poller)
SCENARIO(datagrams)
SCENARIO(unix_descriptors)
SCENARIO(server_with_threads)
SCENARIO(server_with_fibers)
SCENARIO(relayed)
SCENARIO(file_sent)
SCENARIO(logged)

/* Two addresses, of which the preferred one refuses. */
static void loop_open_by_name(void)
{
    network_begin();
    etc_file("/etc/nsswitch.conf", "hosts: files\nservices: files\n");
    etc_file("/etc/hosts", "192.0.2.130 dual.test\n2001:db8::ff01 dual.test\n");
    try(open_by_name);
}

#define LOOP(name) { #name, loop_##name, 600, false }
static const test_case cases[] = {
    LOOP(tcp_echo), LOOP(open_by_name), LOOP(three_clients), LOOP(bulk_both_ways), LOOP(lines),
    LOOP(half_close_and_reset), LOOP(closed_by_another_thread), LOOP(deadlines), LOOP(poller), LOOP(datagrams),
    LOOP(unix_descriptors), LOOP(server_with_threads), LOOP(server_with_fibers), LOOP(relayed), LOOP(file_sent),
    LOOP(logged),
};
TEST_MAIN(cases)
