/* The hunt for foreign bytes: readers go on using a handle while others close it and open new ones at once, so that
 * descriptor numbers and table slots change hands all the time. Nobody may ever see a byte meant for somebody else. */
#include <string.h>
#include "harness.h"

enum { LANES = 6, RECORDS = 4 };

/* One thread makes connections and closes them; another reads from whichever handle was last announced. */
typedef struct lane {
    pthread_mutex_t lock;
    sock_t announced;
    uint64_t identity; /* what every record on the announced connection says */
    uint64_t number;
    int cycles;
    atomic_bool stop;
    _Atomic uint64_t right_records;
    make_pair make;
} lane;

static int cycles; /* of each lane, at least */
static int64_t end_ms; /* and until then */

static void *open_write_close(void *argument)
{
    lane *l = argument;
    int i = 0;
    for (; i < cycles || now_ms() < end_ms; i++) {
        sock_t pair[2];
        l->make(pair);
        uint64_t identity = l->number << 32 | (uint64_t)i, records[RECORDS];
        for (int r = 0; r < RECORDS; r++) records[r] = identity;
        pthread_mutex_lock(&l->lock);
        l->announced = pair[0];
        l->identity = identity;
        pthread_mutex_unlock(&l->lock);
        CHECK(sock_write(pair[1], records, sizeof records), ==, sizeof records);
        if (i % 4) sched_yield();
        /* Sometimes the reader finds the end first, sometimes the close. */
        CHECK(sock_close(pair[i % 2]), ==, 0);
        CHECK(sock_close(pair[1 - i % 2]), ==, 0);
    }
    l->cycles = i;
    atomic_store(&l->stop, true);
    return NULL;
}

static void *read_on(void *argument)
{
    lane *l = argument;
    while (!atomic_load(&l->stop)) {
        pthread_mutex_lock(&l->lock);
        sock_t s = l->announced;
        uint64_t identity = l->identity;
        pthread_mutex_unlock(&l->lock);
        for (int after_the_end = 0; after_the_end < 3;) {
            uint64_t record = 0;
            int64_t result = sock_read_exact(s, &record, sizeof record);
            if (result == sizeof record) {
                CHECK(record, ==, identity);
                atomic_fetch_add(&l->right_records, 1);
            } else {
                CHECK(result == SOCK_ECLOSED || result == SOCK_EHANDLE || result == SOCK_EEOF || result == SOCK_ECONNRESET, ==, true);
                after_the_end++; /* and use the dead handle on purpose */
            }
        }
    }
    return NULL;
}

static void hunt(make_pair make, int many)
{
    static lane lanes[LANES];
    pthread_t threads[2 * LANES];
    cycles = rounds(many);
    end_ms = now_ms() + hunting_ms(0);
    for (int i = 0; i < LANES; i++) {
        pthread_mutex_init(&lanes[i].lock, NULL);
        lanes[i].number = (uint64_t)i + 1;
        lanes[i].make = make;
        threads[2 * i] = start_thread(open_write_close, &lanes[i]);
        threads[2 * i + 1] = start_thread(read_on, &lanes[i]);
    }
    uint64_t right = 0, connections = 0;
    for (int i = 0; i < 2 * LANES; i++) join_thread(threads[i]);
    for (int i = 0; i < LANES; i++) {
        right += atomic_load(&lanes[i].right_records);
        connections += (uint64_t)lanes[i].cycles;
    }
    if (deep()) note("%llu connections, %llu right records", (unsigned long long)connections, (unsigned long long)right);
    CHECK(right, >, connections / LANES / 10); /* the hunt did hunt */
}

static void a_reader_never_sees_a_strangers_byte_over_unix(void) { hunt(unix_pair, 3000); }
static void a_reader_never_sees_a_strangers_byte_over_tcp(void) { hunt(tcp_pair, 600); }

/* Writers on dead handles: what they write reaches nobody. */
static void *write_to_dead_handles(void *argument)
{
    lane *l = argument;
    static const uint64_t poison = UINT64_MAX;
    while (!atomic_load(&l->stop)) {
        pthread_mutex_lock(&l->lock);
        sock_t dead = l->announced;
        pthread_mutex_unlock(&l->lock);
        int64_t result = sock_write(dead, &poison, sizeof poison);
        CHECK(result, ==, SOCK_EHANDLE);
    }
    return NULL;
}

static void a_write_to_a_dead_handle_reaches_nobody(void)
{
    enum { WRITERS = 3 };
    static lane l;
    pthread_t writers[WRITERS];
    sock_t first[2];
    pthread_mutex_init(&l.lock, NULL);
    unix_pair(first);
    close_pair(first);
    l.announced = first[0];
    for (int i = 0; i < WRITERS; i++) writers[i] = start_thread(write_to_dead_handles, &l);
    for (int i = 0; i < rounds(10000); i++) {
        sock_t pair[2];
        uint64_t sent = (uint64_t)i, received;
        unix_pair(pair);
        CHECK(sock_write(pair[0], &sent, sizeof sent), ==, sizeof sent);
        CHECK(sock_read_exact(pair[1], &received, sizeof received), ==, sizeof received);
        CHECK(received, ==, sent);
        CHECK(sock_try_read(pair[0], &received, 1), ==, SOCK_EAGAIN);
        CHECK(sock_try_read(pair[1], &received, 1), ==, SOCK_EAGAIN);
        close_pair(pair);
        pthread_mutex_lock(&l.lock);
        l.announced = pair[i % 2];
        pthread_mutex_unlock(&l.lock);
    }
    atomic_store(&l.stop, true);
    for (int i = 0; i < WRITERS; i++) join_thread(writers[i]);
}

static const test_case cases[] = {
    LONG_CASE(a_reader_never_sees_a_strangers_byte_over_unix, 60),
    LONG_CASE(a_reader_never_sees_a_strangers_byte_over_tcp, 60),
    LONG_CASE(a_write_to_a_dead_handle_reaches_nobody, 60),
};
TEST_MAIN(cases)
