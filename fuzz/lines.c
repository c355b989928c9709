/* The line reader against a model: the peer writes bytes in pieces, the reader asks for lines, bytes and peeks in any order. */
#include "fuzz.h"

enum { LONGEST = 4096 };

typedef struct model {
    const uint8_t *bytes;
    size_t written, read; /* of `bytes` */
    int ended;
} model;

/* What sock_read_line must return, and how many bytes it takes. SOCK_ETIMEDOUT: no whole line yet. */
static int64_t expected_line(const model *m, size_t size, size_t *taken)
{
    const uint8_t *head = m->bytes + m->read, *end;
    size_t there = m->written - m->read, limit = size - 1, text;
    *taken = 0;
    end = there > 0 ? memchr(head, '\n', there) : NULL;
    if (end != NULL) {
        text = (size_t)(end - head);
        size_t all = text + 1;
        if (text > 0 && head[text - 1] == '\r') text--;
        if (text > limit) return SOCK_ETOOLONG;
        *taken = all;
        return (int64_t)text;
    }
    if (m->ended) {
        if (there == 0) return SOCK_EEOF;
        if (there > limit) return SOCK_ETOOLONG;
        *taken = there;
        return (int64_t)there;
    }
    if (there > limit && !(there == limit + 1 && head[limit] == '\r')) return SOCK_ETOOLONG;
    return SOCK_ETIMEDOUT;
}

static void read_line(sock_t s, model *m, size_t size)
{
    char line[LONGEST];
    size_t taken;
    int64_t want = expected_line(m, size, &taken);
    int64_t got = sock_read_line(s, line, size);
    MUST(got == want);
    if (got >= 0) {
        MUST(memcmp(line, m->bytes + m->read, (size_t)got) == 0);
        MUST(line[got] == 0);
        m->read += taken;
    }
}

static void read_bytes(sock_t s, model *m, size_t size, int peek)
{
    uint8_t bytes[LONGEST];
    size_t there = m->written - m->read;
    int64_t got = peek ? sock_peek(s, bytes, size) : sock_read(s, bytes, size);
    if (size == 0) {
        MUST(got == 0);
    } else if (there == 0) {
        MUST(got == (m->ended ? 0 : SOCK_ETIMEDOUT));
    } else {
        MUST(got > 0 && (size_t)got <= size && (size_t)got <= there);
        MUST(memcmp(bytes, m->bytes + m->read, (size_t)got) == 0);
        if (!peek) m->read += (size_t)got;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = { data, size };
    sock_t pair[2];
    size_t steps = take_byte(&in);
    const uint8_t *orders = in.data;
    if (in.size < 2 * steps) return 0;
    model m = { in.data + 2 * steps, 0, 0, 0 };
    size_t all = in.size - 2 * steps;
    MUST(sock_pair(pair) == 0);
    MUST(sock_set_timeout(pair[1], SOCK_READ, 0) == 0);
    for (size_t i = 0; i < steps; i++) {
        size_t amount = orders[2 * i + 1] * (size_t)(orders[2 * i] & 0x80 ? 16 : 1);
        switch (orders[2 * i] % 6) {
        case 0:
        case 1:
            if (amount > all - m.written) amount = all - m.written;
            if (!m.ended) {
                MUST(sock_write(pair[0], m.bytes + m.written, amount) == (int64_t)amount);
                m.written += amount;
            }
            break;
        case 2:
        case 3: read_line(pair[1], &m, amount == 0 ? 1 : amount); break;
        case 4: read_bytes(pair[1], &m, amount, orders[2 * i] & 0x40); break;
        default:
            if (orders[2 * i + 1] == 0 && !m.ended) {
                MUST(sock_shutdown(pair[0], SOCK_WRITE) == 0);
                m.ended = 1;
            }
        }
        MUST(sock_buffered(pair[1]) <= m.written - m.read);
    }
    MUST(sock_close(pair[0]) == 0);
    MUST(sock_close(pair[1]) == 0);
    MUST(sock_live_handles() == 0);
    return 0;
}
