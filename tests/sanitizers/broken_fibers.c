/* A race that the thread sanitizer must see between a fiber and a thread, and must say by which calls the fiber came there, though its
 * worker has run another since. */
#include <stdio.h>
#include "harness.h"

int shared;
static atomic_int waiting, done;

static __attribute__((noinline)) int64_t wait_in_both(sock_t connection)
{
    char byte;
    atomic_fetch_add(&waiting, 1);
    return sock_read(connection, &byte, 1);
}

static __attribute__((noinline)) void the_second_fiber(sock_t connection)
{
    wait_in_both(connection);
    shared = 0; /* keeps this from being a tail call */
}

static __attribute__((noinline)) void the_first_fiber(sock_t connection)
{
    wait_in_both(connection);
    shared = 1;
    atomic_store(&done, 1);
}

static __attribute__((noinline)) void above_the_first_fiber(sock_t connection)
{
    the_first_fiber(connection);
    atomic_fetch_add(&waiting, 1); /* as above */
}

static void handle(sock_t connection, void *context)
{
    (void)context;
    if (atomic_load(&waiting) == 0) above_the_first_fiber(connection);
    else the_second_fiber(connection);
}

int main(void)
{
    sock_t listener = listen_local();
    sock_t server = sock_serve(listener, handle, NULL, SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS, .workers = 1));
    int first = raw_connect(port_of(listener));
    WAIT_UNTIL(atomic_load(&waiting) == 1);
    raw_connect(port_of(listener));
    WAIT_UNTIL(atomic_load(&waiting) == 2);
    shared = 2;
    raw_send(first, "x", 1);
    while (!atomic_load_explicit(&done, memory_order_relaxed)) { }
    puts("not seen");
    return server < 0;
}
