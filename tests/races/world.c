/* The shared handles: groups of them in slots, each of which is replaced again and again. */
#include "races.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int kinds_of_slots[] = {
    TCP_STREAMS, TCP_STREAMS, TCP_STREAMS, UNIX_STREAMS, UNIX_STREAMS, UNIX_STREAMS, TCP_LISTENER, UNIX_LISTENER,
    UDP, UDP, UNIX_DATAGRAMS, UNIX_DATAGRAMS, POLLER, POLLER, SERVER, SERVER,
};
enum { SLOTS = sizeof kinds_of_slots / sizeof *kinds_of_slots };

typedef struct slot {
    pthread_mutex_t lock; /* held for copying only */
    atomic_flag renewing;
    group now;
} slot;

static slot slots[SLOTS];
static _Atomic uint32_t numbers;
_Atomic uint64_t groups_made;

/* Tests of other programs connect and send to ports of 127.0.0.1 that nobody has. */
const char *own_host(void)
{
    static char host[32];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (!host[0]) snprintf(host, sizeof host, "127.%d.%d.%d", 64 + getpid() / 62500 % 100, 1 + getpid() / 250 % 250, 1 + getpid() % 250);
    pthread_mutex_unlock(&lock);
    return host;
}

static unsigned char mark_of(uint32_t number) { return (unsigned char)(14 + number % 240); } /* no line end, no NUL */

static void unix_name(char *text, size_t size, uint32_t number)
{
    snprintf(text, size, "unix:@races-%d-%u", (int)getpid(), (unsigned)number);
}

static sock_address address_of(sock_t s)
{
    sock_address address;
    CHECK(sock_local_address(s, &address), ==, 0);
    return address;
}

/* ---- making ---- */

/* A port may come back, and with it those who want to connect to its last owner: those are sent away. */
static sock_t accept_from(sock_t listener, sock_t client)
{
    sock_address wanted = address_of(client), came;
    for (;;) {
        sock_t s = sock_accept(listener);
        CHECK(s, >, 0);
        CHECK(sock_peer_address(s, &came), ==, 0);
        if (sock_address_equal(&came, &wanted)) return s;
        CHECK(sock_close(s), ==, 0);
    }
}

void connect_pair(actor *a, bool over_unix, sock_t pair[2])
{
    if (over_unix && draw(a, 2)) {
        CHECK(sock_pair(pair), ==, 0);
        return;
    }
    char name[64];
    unix_name(name, sizeof name, atomic_fetch_add(&numbers, 1));
    sock_t listener = sock_listen(over_unix ? name : own_host(), over_unix ? NULL : "0", NULL);
    CHECK(listener, >, 0);
    sock_address address = address_of(listener);
    pair[0] = over_unix ? sock_open(name, NULL, NULL)
                        : sock_open(own_host(), port_text((uint16_t)sock_address_port(&address)), NULL);
    CHECK(pair[0], >, 0);
    pair[1] = over_unix ? sock_accept(listener) : accept_from(listener, pair[0]);
    CHECK(pair[1], >, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void make_streams(actor *a, group *g)
{
    for (int i = 0; i < MOST_HANDLES; i += 2) connect_pair(a, g->kind == UNIX_STREAMS, &g->handles[i]);
    g->count = MOST_HANDLES;
    g->mark = mark_of(atomic_fetch_add(&numbers, 1));
}

/* Here the connections of a port's last owner are let in: the mark is the port's. */
static sock_t make_listener(group *g, bool over_unix)
{
    char name[64];
    uint32_t number = atomic_fetch_add(&numbers, 1);
    unix_name(name, sizeof name, number);
    sock_t listener = sock_listen(over_unix ? name : own_host(), over_unix ? NULL : "0", SOCK_OPTIONS(.io_timeout_ms = 0, .backlog = 8));
    CHECK(listener, >, 0);
    g->addresses[0] = address_of(listener);
    g->mark = mark_of(over_unix ? number : (uint32_t)sock_address_port(&g->addresses[0]));
    return listener;
}

static void make_udp(group *g)
{
    g->handles[0] = sock_udp_bind(own_host(), "0", NULL);
    CHECK(g->handles[0], >, 0);
    g->addresses[0] = address_of(g->handles[0]);
    int port = sock_address_port(&g->addresses[0]);
    g->handles[1] = sock_udp_open(own_host(), port_text((uint16_t)port), NULL);
    CHECK(g->handles[1], >, 0);
    g->addresses[1] = address_of(g->handles[1]);
    g->words[0] = (uint32_t)port;
    g->words[1] = (uint32_t)sock_address_port(&g->addresses[1]);
}

static void make_unix_datagrams(group *g)
{
    char names[2][64];
    for (int i = 0; i < 2; i++) {
        g->words[i] = atomic_fetch_add(&numbers, 1);
        unix_name(names[i], sizeof names[i], g->words[i]);
    }
    g->handles[0] = sock_udp_bind(names[0], NULL, NULL);
    CHECK(g->handles[0], >, 0);
    g->handles[1] = sock_udp_open(names[0], NULL, SOCK_OPTIONS(.local_host = names[1]));
    CHECK(g->handles[1], >, 0);
    for (int i = 0; i < 2; i++) g->addresses[i] = address_of(g->handles[i]);
}

static void make_server(actor *a, group *g)
{
    g->handles[1] = make_listener(g, draw(a, 2));
    g->handles[0] = sock_serve(g->handles[1], visit, (void *)(uintptr_t)g->mark,
                               SOCK_SERVER_OPTIONS(.model = draw(a, 2) ? SOCK_FIBERS : SOCK_THREADS, .workers = 1, .max_connections = 4));
    CHECK(g->handles[0], >, 0);
    g->count = 2;
}

static const char *name_of(int kind)
{
    switch (kind) {
    case TCP_STREAMS: return "TCP streams";
    case UNIX_STREAMS: return "unix streams";
    case TCP_LISTENER: return "a TCP listener";
    case UNIX_LISTENER: return "a unix listener";
    case UDP: return "UDP sockets";
    case UNIX_DATAGRAMS: return "unix datagram sockets";
    case POLLER: return "a poller";
    default: return "a server";
    }
}

static group make_group(actor *a, int kind)
{
    group g = { .kind = kind, .count = 1 };
    if (kind & STREAMS) make_streams(a, &g);
    else if (kind & LISTENERS) g.handles[0] = make_listener(&g, kind == UNIX_LISTENER);
    else if (kind == UDP) make_udp(&g), g.count = 2;
    else if (kind == UNIX_DATAGRAMS) make_unix_datagrams(&g), g.count = 2;
    else if (kind == SERVER) make_server(a, &g);
    else g.handles[0] = sock_poller();
    CHECK(g.handles[0], >, 0);
    atomic_fetch_add(&groups_made, 1);
    return g;
}

/* ---- closing ---- */

/* The operations end handles too, so that this may come second. */
static void closed_or_gone(int64_t result)
{
    CHECK(result == 0 || result == SOCK_EHANDLE, ==, true);
}

void close_somehow(actor *a, sock_t s)
{
    switch (draw(a, 6)) {
    case 0: closed_or_gone(sock_abort(s)); break;
    case 1: ALLOW(a, sock_finish(s, (int64_t)draw(a, 3)), WAITS, SOCK_ETIMEDOUT, SOCK_ECONNRESET, 0); break;
    default: closed_or_gone(sock_close(s));
    }
}

static void close_group(actor *a, const group *g)
{
    uint64_t first = draw(a, (uint64_t)g->count);
    for (int i = 0; i < g->count; i++) {
        sock_t s = g->handles[(first + (uint64_t)i) % (uint64_t)g->count];
        if (g->kind & STREAMS) close_somehow(a, s);
        else closed_or_gone(sock_close(s));
    }
}

void world_begin(actor *a)
{
    for (int i = 0; i < SLOTS; i++) {
        pthread_mutex_init(&slots[i].lock, NULL);
        atomic_flag_clear(&slots[i].renewing);
        memset(&slots[i].now, 0, sizeof slots[i].now);
    }
    for (int i = 0; i < SLOTS; i++) {
        group g = make_group(a, kinds_of_slots[i]); /* a server's handlers look around at once */
        pthread_mutex_lock(&slots[i].lock);
        slots[i].now = g;
        pthread_mutex_unlock(&slots[i].lock);
    }
}

void world_close(void)
{
    for (int i = 0; i < SLOTS; i++)
        for (int h = 0; h < slots[i].now.count; h++) closed_or_gone(sock_close(slots[i].now.handles[h]));
}

/* ---- sharing ---- */

static group copy_of(slot *s)
{
    pthread_mutex_lock(&s->lock);
    group g = s->now;
    pthread_mutex_unlock(&s->lock);
    return g;
}

static slot *pick_slot(actor *a, int kinds)
{
    for (;;) {
        uint64_t i = draw(a, SLOTS);
        if (kinds_of_slots[i] & kinds) return &slots[i];
    }
}

group world_pick(actor *a, int kinds) { return copy_of(pick_slot(a, kinds)); }
sock_t one_of(actor *a, const group *g) { return g->count ? g->handles[draw(a, (uint64_t)g->count)] : 0; }

void world_renew(actor *a, int kinds)
{
    slot *s = pick_slot(a, kinds);
    if (atomic_flag_test_and_set(&s->renewing)) return;
    group old = copy_of(s);
    bool close_first = draw(a, 2); /* then the numbers of the descriptors are the new group's at once */
    atomic_store(&a->inside, name_of(old.kind));
    if (close_first) close_group(a, &old);
    group new = make_group(a, old.kind);
    pthread_mutex_lock(&s->lock);
    s->now = new;
    pthread_mutex_unlock(&s->lock);
    if (!close_first) close_group(a, &old);
    atomic_store(&a->inside, NULL);
    atomic_flag_clear(&s->renewing);
}

/* ---- disturbing ---- */

static void disturb_times(actor *a, sock_t s)
{
    static const int64_t times[] = { 0, 1, 2, 5, 20, 1000, SOCK_FOREVER, INT64_MAX };
    int64_t ms = times[draw(a, sizeof times / sizeof *times)];
    int directions = 1 + (int)draw(a, 3);
    if (draw(a, 2)) ALLOW(a, sock_set_timeout(s, directions, ms), AT_ONCE, 0);
    else ALLOW(a, sock_set_deadline(s, directions, ms), AT_ONCE, 0);
}

void world_disturb(actor *a)
{
    bool cancels = (disturbance & CANCELING) && (!(disturbance & TIMING) || draw(a, 4) == 0);
    group g = world_pick(a, cancels ? ~0 : SOCKETS);
    sock_t s = one_of(a, &g);
    if (cancels) ALLOW(a, sock_cancel(s), AT_ONCE, 0);
    else disturb_times(a, s);
}

static void end_times(const group *g)
{
    for (int i = 0; i < g->count; i++) {
        if (g->kind & SOCKETS) closed_or_gone(sock_set_deadline(g->handles[i], SOCK_READ | SOCK_WRITE, 0));
        else closed_or_gone(sock_close(g->handles[i]));
    }
}

void world_end_waiting(actor *a)
{
    int way = disturbance;
    while (way != CLOSING && way != CANCELING && way != TIMING) way = disturbance & (1 << draw(a, 3));
    for (int i = 0; i < SLOTS; i++) {
        const group *g = &slots[i].now;
        if (way == TIMING) end_times(g);
        else if (way == CLOSING) close_group(a, g);
        else
            for (int h = 0; h < g->count; h++) closed_or_gone(sock_cancel(g->handles[h]));
    }
}
