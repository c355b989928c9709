/* Makes chosen calls of libsock.so into the C library go wrong. The shim (shim.c) stands between the two:
 * linked into a test program before libsock it is steered by the functions below, and with LD_PRELOAD by
 * the environment. Calls are the shim's business only when their return address lies in libsock.so, so
 * the test's own calls are never touched. */
#ifndef SHIM_H
#define SHIM_H

#include <stdbool.h>
#include <stdint.h>

enum fault_action {
    FAULT_COUNT,  /* nothing: only count */
    FAULT_ERRNO,  /* fail with errno = value, without making the call (close really closes) */
    FAULT_POST,   /* make the call, then report errno = value; a new descriptor is closed again */
    FAULT_SHORT,  /* transfer value bytes of a stream at most, or value messages of a batch */
    FAULT_DELAY,  /* sleep value milliseconds before the call */
    FAULT_GHOST,  /* poll and ppoll: every descriptor is ready at once, though it is not */
    FAULT_MEMORY  /* an allocation returns NULL; only allocations are counted */
};

enum fault_when { FAULT_ONCE, FAULT_FROM, FAULT_RANDOM };

typedef struct fault_plan {
    enum fault_action action;
    int value;
    enum fault_when when;
    long first;            /* once: the call, counted from 1; from: the first of all that are hit */
    unsigned per_mille;    /* random: how likely each call is hit */
    uint64_t seed;
    const char *functions; /* only calls of these, a list with blanks between; NULL = of all */
} fault_plan;

/* Starts counting and hitting; the plan is copied, its list of functions is not. */
void fault_arm(const fault_plan *plan);

/* Lets every call through again, and gives the number of calls that were counted. */
long fault_disarm(void);

long fault_hits(void);             /* calls that were really changed since fault_arm */
const char *fault_first_hit(void); /* the function that was changed first, or "" */

/* Reads "ACTION VALUE (once N | from N | random PER_MILLE SEED) [FUNCTION...]", say "short 1 from 1 recv send".
 * With LD_PRELOAD such a text in the environment variable SOCK_FAULTS arms the shim when the program starts. */
bool fault_parse(const char *text, fault_plan *out);

#endif
