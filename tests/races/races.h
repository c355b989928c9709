/* The hunt for races. Actors, on threads and on fibers, make every call of the header on shared handles of every kind, while
 * disturbers close and reopen them, cancel them, or change their timeouts and deadlines. Whatever is sent carries a mark of
 * where it was meant to go, so that a byte which reaches a stranger is noticed. */
#ifndef RACES_H
#define RACES_H

#include <pthread.h>
#include "harness.h"

/* ---- who acts ---- */

enum { CLOSING = 1, CANCELING = 2, TIMING = 4 }; /* what the disturbers of a round do */
extern int disturbance;
extern atomic_bool stop;

typedef struct actor {
    uint64_t random;
    bool passing;                 /* the handler of a server that may be stopped under it */
    _Atomic(const char *) inside; /* the operation it is in */
} actor;

uint64_t draw(actor *a, uint64_t below); /* a number under `below`, which is over 0 */

/* Fails unless a failed call has a code that the header gives it. Any call on a shared handle may have SOCK_EHANDLE; one that waits also
 * what the disturbers bring about. The list ends with 0. */
enum { AT_ONCE, WAITS };
void allow_codes(const actor *a, const char *operation, int64_t result, int waits, const int *codes);
#define ALLOW(a, result, waits, ...) allow_codes(a, __func__, result, waits, (const int[]){ __VA_ARGS__ })

/* ---- the world: what is shared ---- */

enum {
    TCP_STREAMS = 1,    /* handles: two connections, 0 with 1 and 2 with 3, whose bytes are all `mark` */
    UNIX_STREAMS = 2,
    TCP_LISTENER = 4,   /* handles: the listener; `mark` is what connections to it carry */
    UNIX_LISTENER = 8,
    UDP = 16,           /* handles: one bound, one connected to it; what is sent to them is `words` */
    UNIX_DATAGRAMS = 32,
    POLLER = 64,        /* handles: the poller */
    SERVER = 128,       /* handles: the server, its listener; `mark` as with listeners */
    STREAMS = TCP_STREAMS | UNIX_STREAMS,
    LISTENERS = TCP_LISTENER | UNIX_LISTENER,
    DATAGRAMS = UDP | UNIX_DATAGRAMS,
    SOCKETS = STREAMS | LISTENERS | DATAGRAMS,
};
enum { MOST_HANDLES = 4, NO_MARK = 0 };

typedef struct group {
    int kind;
    int count;
    sock_t handles[MOST_HANDLES];
    unsigned char mark;
    uint32_t words[2];
    sock_address addresses[2];
} group;

void world_begin(actor *a);
group world_pick(actor *a, int kinds);   /* a copy: its handles may be dead by the time they are used */
sock_t one_of(actor *a, const group *g);
void world_renew(actor *a, int kinds);   /* closes one group, at random, and opens another in its place */
void world_disturb(actor *a);            /* cancels one handle, or changes its times */
void world_end_waiting(actor *a);        /* ends every wait, in the way of the round's disturbers */
void world_close(void);
extern _Atomic uint64_t groups_made;
void close_somehow(actor *a, sock_t s);  /* a stream */

/* A connection through a listener of this process's own. */
void connect_pair(actor *a, bool over_unix, sock_t pair[2]);
const char *own_host(void);

/* ---- the calls ---- */

void act_once(actor *a);                 /* one operation, taken at random */
uint64_t operations_done(void);
void report_operations(bool all_must_succeed);
void visit(sock_t connection, void *mark); /* what the servers of the world do with a connection */
void open_files(void);                   /* what the operations need: a file of marks */
void close_files(void);

/* ---- lanes: connections with one reader and one writer, which account for every byte ---- */

enum { LANES = 4 };
void lanes_begin(void);
void lane_read(actor *a, int lane);
void lane_write(actor *a, int lane);
void lane_disturb(actor *a);
extern _Atomic uint64_t lane_bytes, lanes_finished, lanes_whole;

#endif
