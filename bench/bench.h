/* What the bench programs share. A program gives cases; a case has sides that do the same work; the sides run in turn
   (A B C, C B A, ...) in short slices, pinned to chosen CPUs, and each slice is one line of output. run.py makes ratios of it. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stddef.h>
#include <sock.h>

typedef struct bench_side {
  const char *name;
  void (*run)(void *context, long count); /* does `count` operations */
  void *context;
} bench_side;

/* Reads --quick, --list, and --only CASE SIDE COUNT (one untimed run, for strace and callgrind). Pins the process to one CPU. */
void bench_start(int argc, char **argv);

/* Runs the sides, the first of which is the baseline. A line of output: case, side, round, operations, wall ns, CPU ns. */
void bench_case(const char *name, const bench_side *sides, size_t count);
/* The same with the number of operations in a slice and of rounds given: for work that takes long or has a beginning and an end. */
void bench_case_of(const char *name, const bench_side *sides, size_t count, long operations, int rounds);
#define BENCH_CASE(name, sides) bench_case(name, sides, sizeof(sides) / sizeof((sides)[0]))

/* Whether this run will want the case: lets a program leave out its preparations. */
int bench_wanted(const char *name);
int bench_quick(void);
int bench_only(void);

/* A side whose work is only partly to be measured, or whose CPU time is another thread's, adds it up here itself. */
typedef struct bench_time { uint64_t wall_ns, cpu_ns; } bench_time;
extern bench_time bench_slice;
bench_time bench_now(void);          /* CPU time of the process */
bench_time bench_now_thread(void);   /* CPU time of the calling thread */
void bench_add(bench_time from, bench_time to);

void bench_pin(int cpu); /* the calling thread; the CPUs are numbered within those allowed at the start, modulo their number */
int bench_cpus(void);

/* Ends the program with the text unless the result is >= 0 (raw calls: with errno's; libsock's: sock_last_error). */
int64_t bench_raw(int64_t result, const char *what);
int64_t bench_sock(int64_t result, const char *what);
_Noreturn void bench_fail(const char *what);

/* Connected pairs. TCP is over 127.0.0.1 with TCP_NODELAY, which libsock has by default. */
void bench_tcp_pair(int fds[2]);
void bench_unix_pair(int fds[2]);
void bench_sock_tcp_pair(sock_t handles[2]);
void bench_sock_unix_pair(sock_t handles[2]);
void bench_mixed_tcp_pair(int *fd, sock_t *handle); /* a raw, blocking end and an end of libsock */

/* Blocking raw calls that move everything, as a careful C program writes them; 0 at the end of the stream. */
int64_t bench_recv_all(int fd, void *buffer, size_t size);
int64_t bench_send_all(int fd, const void *buffer, size_t size);

#endif
