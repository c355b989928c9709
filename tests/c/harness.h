/* The test harness: a test program is a table of cases; each case runs in a process of its own with a
 * time limit, and the program reports in TAP. After a case its descriptors, threads and live handles
 * must be back to where they were before it, and nothing may have been written to stdout or stderr.
 *
 *     static void echo(void) { CHECK(sock_close(0), ==, SOCK_EHANDLE); }
 *     static const test_case cases[] = { CASE(echo) };
 *     TEST_MAIN(cases)
 *
 * SLOW_CASE is for one that waits a second or more: it begins before the others, and its report comes after theirs.
 * Run a program with names of cases as arguments to run only those, with --list to see them. */
#ifndef HARNESS_H
#define HARNESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sock.h>

typedef struct test_case {
    const char *name;
    void (*run)(void);
    int seconds; /* time limit; 0 = 20 */
    bool beside; /* runs beside the other cases */
} test_case;

#define CASE(function) { #function, function, 0, false }
#define LONG_CASE(function, seconds) { #function, function, seconds, false }
#define SLOW_CASE(function) { #function, function, 0, true } /* waits for a time of the library's to pass, which needs no processor */
#define TEST_MAIN(cases) \
    int main(int argc, char **argv) { return run_cases(argc, argv, cases, sizeof cases / sizeof cases[0]); }

int run_cases(int argc, char **argv, const test_case *cases, size_t count);

/* The one assertion, for integers, from any thread and from children: ends the process of the case when
 * it does not hold, and shows both values. Text is compared with strcmp or memcmp. */
#define CHECK(actual, relation, expected)                                                                    \
    do {                                                                                                     \
        int64_t actual_value = (int64_t)(actual), expected_value = (int64_t)(expected);                      \
        if (!(actual_value relation expected_value))                                                         \
            fail_check(__FILE__, __LINE__, #actual " " #relation " " #expected, actual_value, expected_value); \
    } while (0)
_Noreturn void fail_check(const char *file, int line, const char *text, int64_t actual, int64_t expected);

/* The values that come and go in a table-driven test, named in a failure's report; NULL to clear. */
void context(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the case as skipped. */
_Noreturn void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A remark in the output of the test. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

bool deep(void);           /* long forms are wanted (SOCK_TEST_DEEP=1) */
bool under_valgrind(void); /* valgrind slows us down (SOCK_TEST_MEMCHECK=1): no upper time limits, fewer rounds */
bool under_memcheck(void); /* valgrind or a sanitizer does (SOCK_TEST_SANITIZED=1): no upper time limits */
int rounds(int usual);     /* usual, or a share of it under valgrind */
int64_t hunting_ms(int64_t usual); /* how long a hunt goes on: SOCK_TEST_SECONDS, or ten minutes in the long form, or as usual */

/* Time and conditions. Nothing in a test sleeps and hopes: it waits for a condition. */
int64_t now_us(void);
int64_t now_ms(void);
void sleep_ms(int64_t ms);
#define WAIT_UNTIL(condition)                                                                  \
    do {                                                                                       \
        int64_t give_up = now_ms() + 10000;                                                    \
        while (!(condition)) {                                                                 \
            if (now_ms() > give_up) fail_check(__FILE__, __LINE__, "wait: " #condition, 0, 1); \
            sleep_ms(1);                                                                       \
        }                                                                                      \
    } while (0)

/* The processor time of this process, which other processes do not lengthen as they do any wait. */
int64_t processor_us(void);

/* Measures what a wait of the calling thread takes, for an upper limit: the time in which the thread was ready to run and a busy
 * machine gave it no processor does not count. Lower limits want now_us(). */
typedef struct stopwatch {
    int64_t began_us, held_back_us;
} stopwatch;
stopwatch start_watch(void);
int64_t watch_us(const stopwatch *watch);

/* What a case must leave as it found it, for those that watch it on the way. */
int open_descriptors(void);
int running_threads(void);
int64_t resident_kib(void);

/* Threads. */
pthread_t start_thread(void *(*run)(void *), void *argument);
void *join_thread(pthread_t thread);
void *echo_until_end(void *handle);      /* a thread: sends back what it reads from *(sock_t *)handle */

/* A library call in another thread: started, seen to be asleep, and collected. */
typedef struct call {
    int64_t (*run)(struct call *);
    sock_t socket;
    const char *host, *port;
    const sock_options *options;
    void *buffer;
    size_t size;
    int64_t number;
    int64_t result;      /* what the call returned */
    size_t last_count;   /* sock_last_count() after it */
    int last_errno;
    char last_error[256];
    int64_t began_us, ended_us;
    int64_t held_back_before_us, held_back_us; /* as in a stopwatch, when it was seen asleep and at its end */
    pthread_t thread;
    atomic_int id, done;
} call;

void call_start(call *c);
void call_wait_asleep(call *c); /* until the thread sleeps inside the library */
void start_reader(call *c, sock_t s, char *byte); /* a sock_read of one byte that is asleep */
void call_hold(call *c); /* keeps the thread where it is, in a signal handler, and one thread at a time */
void call_let_go(void);
int64_t call_join(call *c);
int64_t call_ended_after_us(const call *c, int64_t since_us); /* of one that was seen asleep; without what a busy machine added */
int64_t call_read(call *c);
int64_t call_read_exact(call *c);
int64_t call_read_line(call *c);
int64_t call_peek(call *c);
int64_t call_readv(call *c);
int64_t call_write(call *c);
int64_t call_writev(call *c);
int64_t call_accept(call *c);
int64_t call_open(call *c);
int64_t call_finish(call *c);

/* The median of several measurements, which one stall of a busy machine does not spoil. */
int64_t median(int64_t *values, size_t count);

/* Children of a case. They die with it. */
pid_t fork_child(void);     /* like fork; the child must end with _exit */
int child_status(pid_t child); /* waits; exit status, or 1000 + signal */
_Noreturn void leave_child(void); /* _exit(0), for the child of a process with threads, whose memory is not its own to free */

/* Plain sockets on the other side. */
bool have_ipv6(void);                    /* whether ::1 is an address of this machine */
int raw_reserve(uint16_t *port);         /* a port of 127.0.0.1 where nobody listens, or will until this is closed */
int raw_listen(uint16_t *port);          /* 127.0.0.1, a free port */
int raw_listen_backlog(uint16_t *port, int backlog);
int raw_connect(uint16_t port);
int raw_accept(int listener);
void raw_send(int fd, const void *data, size_t size);   /* all of it */
void raw_receive(int fd, void *data, size_t size);      /* all of it */
int64_t raw_drain(int fd);               /* reads until the end; how many bytes, or -errno */
void raw_close(int fd);
void raw_reset(int fd);                  /* closes with RST */
int64_t raw_fill(int fd);                /* writes until it would block; how many bytes */
bool raw_readable(int fd, int timeout_ms);

/* Library sockets, connected. */
const char *own_loopback(void);          /* an address 127.x.y.z that no other process's test uses: a port given back stays free */
const char *port_text(uint16_t port);    /* one of a few buffers of this thread */
uint16_t port_of(sock_t s);              /* of the local address */
sock_t listen_local(void);               /* 127.0.0.1, a free port */
sock_t open_local(sock_t listener);
void tcp_with_raw_peer(sock_t *s, int *peer); /* of this and of a pair, 1 MiB is more than both sides' buffers take */
void tcp_pair(sock_t pair[2]);           /* pair[0] opened, pair[1] accepted */
int64_t fill(sock_t s);                  /* try_write until it would block; how many bytes */

/* Both kinds of connection, for what must hold over either. */
typedef void (*make_pair)(sock_t pair[2]);
void unix_pair(sock_t pair[2]);
#define OVER_BOTH(test)                                    \
    static void test##_over_tcp(void) { test(tcp_pair); }  \
    static void test##_over_unix(void) { test(unix_pair); }
#define BOTH_CASES(test) CASE(test##_over_tcp), CASE(test##_over_unix)
#define BOTH_SLOW_CASES(test) SLOW_CASE(test##_over_tcp), SLOW_CASE(test##_over_unix)
void close_pair(sock_t pair[2]);

/* The calls that wait for the other side, each with a size that it cannot finish at once; those that write need so many bytes. */
typedef struct blocking_call {
    const char *name;
    int64_t (*run)(call *);
    size_t size;
    bool writes;
} blocking_call;
enum { BLOCKING_CALLS = 7, BLOCKING_SIZE = 8 << 20 };
extern const blocking_call blocking_calls[BLOCKING_CALLS];

/* Readers and writers of one connection, all asleep: one of each in the kernel, the others for their turn. */
enum { CROWD = 6 };
void crowd_start(call crowd[CROWD], sock_t s);
void crowd_join(call crowd[CROWD], int64_t expected);

/* A server on a listener of its own, at 127.0.0.1. */
typedef struct served {
    sock_t listener, server;
    uint16_t port;
} served;
served serve_with(sock_handler handler, void *context, const sock_server_options *options);
sock_server_info server_info(sock_t server);
void echo_handler(sock_t connection, void *unused);
void raw_echoes(int fd, const char *text);    /* a client of it */

/* A new, empty folder: its path. */
enum { FOLDER = 32 };
void make_folder(char path[FOLDER]);
/* The same, and the host of a unix socket in it, which has no file yet. */
enum { UNIX_HOST = FOLDER + 8 };
void make_unix_host(char folder[FOLDER], char host[UNIX_HOST]);

/* Bytes that show where in a stream they were. */
void pattern(void *buffer, size_t size, uint64_t offset);
size_t pattern_mismatch(const void *buffer, size_t size, uint64_t offset); /* index of the first wrong byte, or size */
int pattern_file(size_t size); /* a file with so many of them, at its beginning, and no name */

#endif
