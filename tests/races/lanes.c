/* Connections with one reader and one writer, which account for every byte: nothing is lost, doubled or out of order, whatever calls
 * move it and however they are cut short; and what sock_last_count says is exact. */
#include "races.h"

#include <string.h>

enum { MOST = 4096 };

typedef struct lane {
    pthread_mutex_t lock;
    sock_t ends[2];           /* of the reader, of the writer */
    uint64_t identity;        /* where in the pattern this connection's bytes begin */
    _Atomic uint64_t opened, closed; /* how many connections the reader has begun, and the writer has left */
    _Atomic uint64_t sent;
    atomic_bool over;
} lane;

static lane lanes[LANES];
_Atomic uint64_t lane_bytes, lanes_finished, lanes_whole;

void lanes_begin(void)
{
    memset(lanes, 0, sizeof lanes);
    for (int i = 0; i < LANES; i++) pthread_mutex_init(&lanes[i].lock, NULL);
}

static bool is_the_end(int64_t result)
{
    return result == SOCK_EEOF || result == SOCK_ECONNRESET || result == SOCK_EPIPE || result == SOCK_ECLOSED || result == SOCK_ECANCELED ||
           result == SOCK_EHANDLE;
}

/* ---- writing ---- */

static int64_t write_some(actor *a, sock_t s, const char *bytes, size_t size)
{
    struct iovec parts[2] = { { (void *)(uintptr_t)bytes, size / 3 }, { (void *)(uintptr_t)(bytes + size / 3), size - size / 3 } };
    switch (draw(a, 3)) {
    case 0: return sock_try_write(s, bytes, size);
    case 1: return sock_writev(s, parts, 2);
    default: return sock_write(s, bytes, size);
    }
}

static void write_until_over(actor *a, sock_t s, uint64_t identity, uint64_t *sent)
{
    while (!atomic_load(&stop)) {
        char bytes[MOST];
        size_t size = 1 + draw(a, draw(a, 4) ? 200 : MOST);
        pattern(bytes, size, identity + *sent);
        int64_t result = write_some(a, s, bytes, size);
        *sent += result >= 0 ? (uint64_t)result : sock_last_count();
        if (result == SOCK_EAGAIN || result == SOCK_ETIMEDOUT) sock_sleep(1);
        else if (result < 0) {
            ALLOW(a, result, WAITS, SOCK_EPIPE, SOCK_ECONNRESET, 0);
            break;
        }
    }
    ALLOW(a, sock_shutdown(s, SOCK_WRITE), AT_ONCE, SOCK_ENOTCONN, 0);
}

void lane_write(actor *a, int number)
{
    lane *l = &lanes[number];
    for (uint64_t seen = 0; !atomic_load(&l->over);) {
        if (atomic_load(&l->opened) == seen) {
            sock_sleep(1);
            continue;
        }
        seen = atomic_load(&l->opened);
        uint64_t sent = 0;
        atomic_store(&a->inside, "writing to a lane");
        write_until_over(a, l->ends[1], l->identity, &sent);
        atomic_store(&a->inside, NULL);
        atomic_store(&l->sent, sent);
        atomic_store(&l->closed, seen);
    }
}

/* ---- reading ---- */

/* What a call took from the stream. */
typedef struct taken {
    uint64_t bytes;
    uint64_t line_end; /* of these, the end of a line: unless the stream ended just before it */
} taken;

static taken check_line(const char *line, int64_t length, uint64_t offset)
{
    unsigned char end[2];
    CHECK(pattern_mismatch(line, (size_t)length, offset), ==, length);
    pattern(end, 2, offset + (uint64_t)length);
    uint64_t line_end = end[0] == '\n' ? 1 : end[0] == '\r' && end[1] == '\n' ? 2 : 0;
    return (taken){ (uint64_t)length + line_end, line_end };
}

static int64_t read_some(actor *a, sock_t s, uint64_t offset, taken *t)
{
    char bytes[MOST];
    size_t size = 1 + draw(a, draw(a, 4) ? 200 : MOST);
    struct iovec parts[2] = { { bytes, size / 3 }, { bytes + size / 3, size - size / 3 } };
    int64_t result = 0;
    switch (draw(a, 6)) {
    case 0: result = sock_read(s, bytes, size); break;
    case 1: result = sock_readv(s, parts, 2); break;
    case 2: result = sock_try_read(s, bytes, size); break;
    case 3:
        result = sock_peek(s, bytes, size);
        CHECK(pattern_mismatch(bytes, result > 0 ? (size_t)result : 0, offset), ==, result > 0 ? result : 0);
        return result;
    case 4:
        result = sock_read_exact(s, bytes, size);
        if (result < 0) {
            t->bytes = sock_last_count();
            CHECK(pattern_mismatch(bytes, sock_last_count(), offset), ==, sock_last_count());
            return result;
        }
        break;
    default:
        result = sock_read_line(s, bytes, size);
        if (result >= 0) *t = check_line(bytes, result, offset);
        return result == 0 ? 1 : result; /* an empty line is not the end */
    }
    if (result > 0) {
        t->bytes = (uint64_t)result;
        CHECK(pattern_mismatch(bytes, (size_t)result, offset), ==, result);
    }
    return result;
}

/* Reads to the end. Whether that was the end of the stream, and not of the handle. */
static bool read_until_over(actor *a, lane *l, taken *received)
{
    sock_t s = l->ends[0];
    for (;;) {
        taken t = { 0, 0 };
        int64_t result = read_some(a, s, l->identity + received->bytes, &t);
        received->bytes += t.bytes;
        if (t.bytes > 0) received->line_end = t.line_end;
        atomic_fetch_add(&lane_bytes, t.bytes);
        if (result == 0 || result == SOCK_EEOF) return true;
        if (result == SOCK_ETIMEDOUT && atomic_load(&stop)) {
            /* The disturbers have ended: what is left may take its time. */
            int again = sock_set_timeout(s, SOCK_READ, SOCK_FOREVER);
            CHECK(again == 0 || again == SOCK_EHANDLE, ==, true);
            again = sock_set_deadline(s, SOCK_READ, SOCK_FOREVER);
            CHECK(again == 0 || again == SOCK_EHANDLE, ==, true);
        } else if (result == SOCK_ETIMEDOUT || result == SOCK_EAGAIN) {
            sock_sleep(1);
        } else if (is_the_end(result)) {
            ALLOW(a, result, WAITS, SOCK_ECONNRESET, 0);
            return false;
        } else if (result < 0) {
            CHECK(result, ==, SOCK_ETOOLONG);
        }
    }
}

static void close_end(sock_t s)
{
    int result = sock_close(s);
    CHECK(result == 0 || result == SOCK_EHANDLE, ==, true);
}

void lane_read(actor *a, int number)
{
    lane *l = &lanes[number];
    while (!atomic_load(&stop)) {
        sock_t ends[2];
        taken received = { 0, 0 };
        uint64_t round = atomic_load(&l->opened) + 1;
        connect_pair(a, draw(a, 2), ends);
        pthread_mutex_lock(&l->lock);
        memcpy(l->ends, ends, sizeof l->ends);
        pthread_mutex_unlock(&l->lock);
        l->identity = draw(a, UINT64_MAX);
        atomic_store(&l->opened, round);
        atomic_store(&a->inside, "reading from a lane");
        bool whole = read_until_over(a, l, &received);
        close_end(ends[0]);
        atomic_store(&a->inside, "waiting for the writer of a lane");
        while (atomic_load(&l->closed) != round) sock_sleep(1);
        atomic_store(&a->inside, NULL);
        close_end(ends[1]);
        uint64_t sent = atomic_load(&l->sent);
        if (received.bytes > sent) received.bytes -= received.line_end;
        if (whole) CHECK(received.bytes, ==, sent);
        else CHECK(received.bytes, <=, sent);
        atomic_fetch_add(&lanes_finished, 1);
        atomic_fetch_add(&lanes_whole, whole);
    }
    atomic_store(&l->over, true);
}

/* ---- disturbing ---- */

void lane_disturb(actor *a)
{
    static const int64_t times[] = { 0, 1, 2, 5, 20, SOCK_FOREVER };
    lane *l = &lanes[draw(a, LANES)];
    pthread_mutex_lock(&l->lock);
    sock_t s = l->ends[draw(a, 2)];
    pthread_mutex_unlock(&l->lock);
    int way = 1 << draw(a, 3), result = 0;
    if (!(disturbance & way)) return;
    if (way == CLOSING) result = draw(a, 4) ? sock_close(s) : sock_abort(s);
    else if (way == CANCELING) result = sock_cancel(s);
    else if (draw(a, 2)) result = sock_set_timeout(s, SOCK_READ | SOCK_WRITE, times[draw(a, 6)]);
    else result = sock_set_deadline(s, SOCK_READ | SOCK_WRITE, times[draw(a, 6)]);
    CHECK(result == 0 || result == SOCK_EHANDLE, ==, true);
}
