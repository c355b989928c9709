/* Random sequences of calls with random handles: live ones of every kind, closed ones, made-up ones. Every result is a documented
 * code, and in the end nothing is left. */
#include "fuzz.h"
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST = 12 };

typedef struct state {
    input in;
    sock_t handles[MOST]; /* live, closed or 0 */
    char bytes[512];
} state;

static sock_t *place(state *s)
{
    return &s->handles[take_byte(&s->in) % MOST];
}

static sock_t any_handle(state *s)
{
    uint8_t choice = take_byte(&s->in);
    sock_t handle = s->handles[choice % MOST];
    if (choice < 0xe0) return handle;
    if (choice < 0xf0) return handle ^ (sock_t)1 << (choice % 63);
    return (sock_t)take_number(&s->in, 8);
}

/* Puts a new handle where an old one may stand, which is closed first. */
static void keep(sock_t *at, sock_t handle)
{
    MUST(is_code(handle));
    if (handle <= 0) return;
    if (*at > 0) (void)sock_close(*at);
    *at = handle;
    /* Nothing here may block for ever. */
    MUST(sock_set_timeout(handle, SOCK_READ | SOCK_WRITE, 1) == 0);
}

static void make(state *s)
{
    sock_t pair[2];
    switch (take_byte(&s->in) % 6) {
    case 0:
        if (sock_pair(pair) == 0) {
            keep(place(s), pair[0]);
            keep(place(s), pair[1]);
        }
        break;
    case 1: keep(place(s), sock_listen("127.0.0.1", "0", NULL)); break;
    case 2: keep(place(s), sock_udp_bind("127.0.0.1", "0", NULL)); break;
    case 3: {
        sock_t poller = sock_poller();
        sock_t *at = place(s);
        MUST(poller > 0);
        if (*at > 0) (void)sock_close(*at);
        *at = poller;
        break;
    }
    case 4: {
        sock_address address;
        char text[SOCK_ADDRESS_TEXT];
        if (sock_local_address(any_handle(s), &address) == 0 && sock_address_port(&address) > 0) {
            MUST(sock_address_format(&address, text, sizeof text) > 0);
            keep(place(s), sock_udp_open(text, NULL, NULL));
        }
        break;
    }
    default: {
        int pair_of_fds[2];
        if (socketpair(AF_UNIX, take_byte(&s->in) & 1 ? SOCK_STREAM : SOCK_DGRAM, 0, pair_of_fds) == 0) {
            sock_t handle = sock_from_fd(pair_of_fds[0]);
            if (handle < 0) close(pair_of_fds[0]);
            keep(place(s), handle);
            close(pair_of_fds[1]);
        }
    }
    }
}

static void transfer(state *s)
{
    sock_t h = any_handle(s);
    size_t size = take_number(&s->in, 1) * 2;
    struct iovec parts[3] = { { s->bytes, size / 2 }, { NULL, 0 }, { s->bytes + 256, size / 4 } };
    int64_t result;
    switch (take_byte(&s->in) % 14) {
    case 0: result = sock_read(h, s->bytes, size); break;
    case 1: result = sock_read_exact(h, s->bytes, size); break;
    case 2: result = sock_read_line(h, s->bytes, size); break;
    case 3: result = sock_peek(h, s->bytes, size); break;
    case 4: result = sock_readv(h, parts, 3); break;
    case 5: result = sock_try_read(h, s->bytes, size); break;
    case 6: result = sock_writev(h, parts, 3); break;
    case 7: result = sock_try_write(h, s->bytes, size); break;
    case 8: result = sock_printf(h, "%s\n", "text"); break;
    case 9: {
        sock_address from;
        result = sock_recv_from(h, s->bytes, size, take_byte(&s->in) & 1 ? &from : NULL);
        break;
    }
    case 10: {
        sock_address to;
        result = sock_local_address(any_handle(s), &to);
        result = sock_send_to(h, s->bytes, size, result == 0 ? &to : NULL);
        break;
    }
    case 11: {
        int fds[2];
        size_t count;
        result = sock_recv_fds(h, s->bytes, size, fds, 2, &count);
        if (result >= 0)
            for (size_t i = 0; i < count; i++) close(fds[i]);
        break;
    }
    case 12: {
        int fd = 0;
        result = sock_send_fds(h, s->bytes, size, &fd, 1);
        break;
    }
    default: result = sock_write(h, s->bytes, size); break;
    }
    MUST(is_code(result));
    MUST(result <= (int64_t)sizeof s->bytes);
}

static void ask(state *s)
{
    sock_t h = any_handle(s);
    sock_address address;
    sock_info info = { .size = sizeof info };
    sock_credentials credentials;
    int option = take_byte(&s->in) % 20;
    MUST(is_code(sock_local_address(h, &address)));
    MUST(is_code(sock_peer_address(h, &address)));
    MUST(is_code(sock_get_info(h, &info)));
    MUST(is_code(sock_fd(h)));
    MUST(is_code(sock_peer_credentials(h, &credentials)));
    MUST(is_code(sock_get_option(h, option)));
    /* Linger would let close wait, and what goes into a buffer's size is the kernel's business. */
    if (option != SOCK_OPT_LINGER_MS) MUST(is_code(sock_set_option(h, option, (int8_t)take_byte(&s->in))));
    (void)sock_buffered(h);
}

static void poll(state *s)
{
    sock_t poller = any_handle(s), h = any_handle(s);
    sock_event events[4];
    uint8_t choice = take_byte(&s->in);
    int64_t result = choice % 5 == 0   ? sock_poller_add(poller, h, choice >> 3, s)
                     : choice % 5 == 1 ? sock_poller_set(poller, h, choice >> 3, s)
                     : choice % 5 == 2 ? sock_poller_remove(poller, h)
                     : choice % 5 == 3 ? sock_poller_wake(poller)
                                       : sock_poller_wait(poller, events, 1 + choice % 4, 0);
    MUST(is_code(result));
    if (choice % 5 == 4)
        for (int64_t i = 0; i < result; i++) MUST(events[i].socket == poller || events[i].user == s);
}

static void end(state *s)
{
    sock_t h = any_handle(s);
    int result;
    switch (take_byte(&s->in) % 6) {
    case 0: result = sock_shutdown(h, take_byte(&s->in) % 4); break;
    case 1: result = sock_cancel(h); break;
    case 2: result = sock_finish(h, 1); break;
    case 3: result = sock_abort(h); break;
    case 4:
        result = sock_release_fd(h);
        if (result >= 0) {
            MUST(close(result) == 0);
            result = 0;
        }
        break;
    default: result = sock_close(h);
    }
    MUST(is_code(result));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    state s = { .in = { data, size } };
    for (int step = 0; step < 60 && s.in.size > 0; step++) {
        switch (take_byte(&s.in) % 8) {
        case 0:
        case 1: make(&s); break;
        case 2:
        case 3:
        case 4: transfer(&s); break;
        case 5: ask(&s); break;
        case 6: poll(&s); break;
        default: end(&s);
        }
    }
    for (int i = 0; i < MOST; i++)
        if (s.handles[i] != 0) (void)sock_close(s.handles[i]);
    MUST(sock_live_handles() == 0);
    return 0;
}
