/* What the fault loop runs again and again: short uses of the library that check what they see. */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include <stdint.h>

/* How long a scenario lets a call wait: short while calls are made to fail, long when all must be well. */
extern int64_t patience_ms;

/* The first library call of the running scenario that failed unexpectedly, as text; "" while none has. */
extern const char *failed_step;

/* Each gives 0, or the code of the first library call that failed. What it opened it has closed. A call
 * that claims success and did not deliver ends the process with a failed CHECK. */
int64_t tcp_echo(void);
int64_t open_by_name(void); /* needs the name dual.test with 192.0.2.130 */
int64_t three_clients(void);
int64_t bulk_both_ways(void);
int64_t lines(void);
int64_t half_close_and_reset(void);
int64_t closed_by_another_thread(void);
int64_t deadlines(void);
int64_t poller(void);
int64_t datagrams(void);
int64_t unix_descriptors(void);
int64_t server_with_threads(void);
int64_t server_with_fibers(void);
int64_t relayed(void);
int64_t file_sent(void);
int64_t logged(void);

#endif
