/* Servers: every case runs under both models, and once more on fibers of a single worker, from one table. */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/net_tstamp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int model = SOCK_THREADS, workers;

static sock_server_options options_of_model(void)
{
    sock_server_options options = { .size = sizeof options, .model = model, .workers = workers };
    return options;
}

static served serve(sock_handler handler, void *context)
{
    sock_server_options options = options_of_model();
    return serve_with(handler, context, &options);
}

/* ---- handlers ---- */

typedef struct ending { atomic_int entered, left; atomic_llong code; } ending;

/* Waits for data that never comes, and notes how that ended. */
static void wait_in_read(sock_t connection, void *context)
{
    ending *end = context;
    char byte;
    atomic_fetch_add(&end->entered, 1);
    atomic_store(&end->code, sock_read(connection, &byte, 1));
    atomic_fetch_add(&end->left, 1);
}

static void wait_in_sleep(sock_t connection, void *context)
{
    ending *end = context;
    (void)connection;
    atomic_fetch_add(&end->entered, 1);
    atomic_store(&end->code, sock_sleep(SOCK_FOREVER));
    atomic_fetch_add(&end->left, 1);
}

static void wait_in_accept(sock_t connection, void *context)
{
    ending *end = context;
    (void)connection;
    sock_t other = sock_listen("127.0.0.1", "0", NULL);
    CHECK(other, >, 0);
    atomic_fetch_add(&end->entered, 1);
    atomic_store(&end->code, sock_accept(other));
    sock_close(other);
    atomic_fetch_add(&end->left, 1);
}

static void wait_in_poller(sock_t connection, void *context)
{
    ending *end = context;
    sock_t poller = sock_poller();
    sock_event event;
    CHECK(sock_poller_add(poller, connection, SOCK_READ, NULL), ==, 0);
    atomic_fetch_add(&end->entered, 1);
    atomic_store(&end->code, sock_poller_wait(poller, &event, 1, SOCK_FOREVER));
    sock_close(poller);
    atomic_fetch_add(&end->left, 1);
}

static void wait_for_write(sock_t connection, void *context)
{
    ending *end = context;
    char block[65536];
    int64_t result;
    memset(block, 'x', sizeof block);
    atomic_fetch_add(&end->entered, 1);
    while ((result = sock_write(connection, block, sizeof block)) > 0) {}
    atomic_store(&end->code, result);
    atomic_fetch_add(&end->left, 1);
}

enum { ANSWER = 32 << 10 };

/* ---- cases ---- */

static void clients_are_served_side_by_side(void)
{
    served s = serve(echo_handler, NULL);
    int clients[40];
    char text[32];
    for (int i = 0; i < 40; i++) clients[i] = raw_connect(s.port);
    for (int round = 0; round < 3; round++)
        for (int i = 39; i >= 0; i--) {
            snprintf(text, sizeof text, "round %d client %d", round, i);
            raw_echoes(clients[i], text);
        }
    sock_server_info info = server_info(s.server);
    CHECK(info.accepted, ==, 40);
    CHECK(info.active, ==, 40);
    CHECK(info.peak, ==, 40);
    for (int i = 0; i < 40; i++) raw_close(clients[i]);
    WAIT_UNTIL(server_info(s.server).finished == 40);
    CHECK(server_info(s.server).active, ==, 0);
    CHECK(sock_server_stop(s.server, 0), ==, 0);
    CHECK(sock_close(s.server), ==, 0);
}

static void the_listener_belongs_to_the_server(void)
{
    sock_t listener = listen_local();
    sock_server_options options = options_of_model();
    call waiting = { .run = call_accept, .socket = listener };
    call_start(&waiting);
    call_wait_asleep(&waiting);
    sock_t server = sock_serve(listener, echo_handler, NULL, &options);
    CHECK(server, >, 0);
    CHECK(call_join(&waiting), ==, SOCK_EBUSY);
    sock_address address;
    CHECK(sock_local_address(listener, &address), ==, 0);
    CHECK(sock_accept(listener), ==, SOCK_EBUSY);
    CHECK(sock_try_accept(listener), ==, SOCK_EBUSY);
    CHECK(sock_serve(listener, echo_handler, NULL, &options), ==, SOCK_EBUSY);
    int client = raw_connect((uint16_t)sock_address_port(&address));
    raw_echoes(client, "still here");
    CHECK(sock_close(server), ==, 0);
    CHECK(sock_local_address(listener, &address), ==, SOCK_EHANDLE);
    CHECK(sock_close(listener), ==, SOCK_EHANDLE);
    raw_close(client);
}

static void arguments_are_checked(void)
{
    sock_t listener = listen_local(), pair[2];
    unix_pair(pair);
    sock_server_options good = options_of_model(), bad = good;
    CHECK(sock_serve(listener, NULL, NULL, &good), ==, SOCK_EINVAL);
    CHECK(sock_serve(pair[0], echo_handler, NULL, &good), ==, SOCK_ETYPE);
    CHECK(sock_serve(0, echo_handler, NULL, &good), ==, SOCK_EHANDLE);
    bad.size = 0;
    CHECK(sock_serve(listener, echo_handler, NULL, &bad), ==, SOCK_EINVAL);
    bad = good; bad.model = 2;
    CHECK(sock_serve(listener, echo_handler, NULL, &bad), ==, SOCK_EINVAL);
    bad = good; bad.workers = -1;
    CHECK(sock_serve(listener, echo_handler, NULL, &bad), ==, SOCK_EINVAL);
    bad = good; bad.max_connections = -1;
    CHECK(sock_serve(listener, echo_handler, NULL, &bad), ==, SOCK_EINVAL);
    bad = good; bad.stack_size = SIZE_MAX;
    CHECK(sock_serve(listener, echo_handler, NULL, &bad), ==, SOCK_EINVAL);
    CHECK(sock_server_stop(listener, 0), ==, SOCK_ETYPE);
    CHECK(sock_server_wait(listener), ==, SOCK_ETYPE);
    CHECK(sock_sleep(-2), ==, SOCK_EINVAL);

    sock_t server = sock_serve(listener, echo_handler, NULL, &good);
    sock_server_info info = { .size = 0 };
    CHECK(server, >, 0);
    CHECK(sock_get_server_info(server, NULL), ==, SOCK_EINVAL);
    CHECK(sock_get_server_info(server, &info), ==, SOCK_EINVAL);
    info.size = sizeof info;
    CHECK(sock_get_server_info(listener, &info), ==, SOCK_ETYPE);
    CHECK(sock_server_stop(server, -2), ==, SOCK_EINVAL);
    char byte;
    CHECK(sock_read(server, &byte, 1), ==, SOCK_ETYPE);
    CHECK(sock_accept(server), ==, SOCK_ETYPE);
    CHECK(sock_close(server), ==, 0);
    CHECK(sock_server_stop(server, 0), ==, SOCK_EHANDLE);
    CHECK(sock_server_wait(server), ==, SOCK_EHANDLE);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
}

static pthread_key_t late;
static atomic_int began_threads, ended_threads;

static void end_late(void *unused)
{
    (void)unused;
    sleep_ms(30); /* a thread that takes its time to end */
    atomic_fetch_add(&ended_threads, 1);
}

static void count_this_thread(sock_t connection, void *context)
{
    char byte;
    (void)context;
    CHECK(sock_read(connection, &byte, 1), ==, 1);
    if (pthread_getspecific(late)) return;
    CHECK(pthread_setspecific(late, &late), ==, 0);
    atomic_fetch_add(&began_threads, 1);
}

static int64_t call_wait_and_count(call *c)
{
    int64_t code = sock_server_wait(c->socket);
    return code < 0 ? code : atomic_load(&ended_threads);
}

static void with_a_server_that_has_stopped_its_threads_have_ended(void)
{
    static const char *const ways[] = { "close", "stop", "wait", "stop beside a wait" };
    CHECK(pthread_key_create(&late, end_late), ==, 0);
    for (int way = 0; way < 4; way++) {
        served s = serve(count_this_thread, NULL);
        call waiter = { .run = call_wait_and_count, .socket = s.server };
        atomic_store(&began_threads, 0);
        atomic_store(&ended_threads, 0);
        int clients[6];
        for (int i = 0; i < 6; i++) clients[i] = raw_connect(s.port);
        WAIT_UNTIL(server_info(s.server).active == 6);
        context("%s", ways[way]);
        if (way == 3) call_start(&waiter);
        if (way == 3) call_wait_asleep(&waiter);
        for (int i = 5; i >= 0; i--) {
            raw_send(clients[i], "x", 1);
            CHECK(raw_drain(clients[i]), ==, 0);
            raw_close(clients[i]);
        }
        if (way == 1 || way == 3) CHECK(sock_server_stop(s.server, SOCK_FOREVER), ==, 0);
        if (way == 2) {
            CHECK(sock_cancel(s.listener), ==, 0);
            CHECK(sock_server_wait(s.server), ==, 0);
        }
        if (way == 0) CHECK(sock_close(s.server), ==, 0);
        CHECK(atomic_load(&began_threads), >, 0);
        CHECK(atomic_load(&ended_threads), ==, atomic_load(&began_threads));
        if (way == 3) CHECK(call_join(&waiter), ==, atomic_load(&began_threads));
        if (way != 0) CHECK(sock_close(s.server), ==, 0);
    }
    context(NULL);
    CHECK(pthread_key_delete(late), ==, 0);
}

static void stopping_cancels_handlers_wherever_they_wait(void)
{
    static const struct { const char *name; sock_handler handler; } places[] = {
        { "read", wait_in_read }, { "sleep", wait_in_sleep }, { "accept", wait_in_accept },
        { "poller", wait_in_poller }, { "write", wait_for_write },
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        ending end = { 0 };
        context("%s", places[i].name);
        served s = serve(places[i].handler, &end);
        int clients[3];
        for (int c = 0; c < 3; c++) clients[c] = raw_connect(s.port);
        WAIT_UNTIL(atomic_load(&end.entered) == 3);
        int64_t began = now_ms();
        CHECK(sock_server_stop(s.server, 30), ==, 3);
        CHECK(now_ms() - began, >=, 30);
        CHECK(atomic_load(&end.left), ==, 3);
        CHECK(atomic_load(&end.code), ==, SOCK_ECANCELED);
        CHECK(server_info(s.server).cut, ==, 3);
        CHECK(server_info(s.server).active, ==, 0);
        CHECK(sock_server_stop(s.server, 0), ==, 0);
        CHECK(sock_server_wait(s.server), ==, 0);
        CHECK(sock_close(s.server), ==, 0);
        for (int c = 0; c < 3; c++) raw_close(clients[c]);
    }
    context(NULL);
}

/* Goes on whatever its calls return, as long as it has a connection. */
static void heed_nothing(sock_t connection, void *context)
{
    ending *end = context;
    char byte;
    int64_t code;
    atomic_fetch_add(&end->entered, 1);
    do {
        code = sock_try_read(connection, &byte, 1);
        sleep_ms(1); /* not the library's, so that nothing ends it */
    } while (code != SOCK_EHANDLE);
    atomic_store(&end->code, code);
    atomic_fetch_add(&end->left, 1);
}

static void a_handler_that_heeds_no_cancel_loses_its_connection(void)
{
    ending end = { 0 };
    served s = serve(heed_nothing, &end);
    int client = raw_connect(s.port);
    WAIT_UNTIL(atomic_load(&end.entered) == 1);
    CHECK(sock_server_stop(s.server, 0), ==, 1);
    CHECK(atomic_load(&end.left), ==, 1);
    CHECK(atomic_load(&end.code), ==, SOCK_EHANDLE);
    CHECK(sock_close(s.server), ==, 0);
    raw_close(client);
}

static void heed_nothing_and_linger(sock_t connection, void *context)
{
    CHECK(fill(connection), >, 0);
    CHECK(sock_set_option(connection, SOCK_OPT_LINGER_MS, 15000), ==, 0);
    heed_nothing(connection, context);
}

/* It is the handler's wish to linger, and the handler's time is over. */
static void a_stop_does_not_linger_for_handlers_that_heed_nothing(void)
{
    ending end = { 0 };
    served s = serve(heed_nothing_and_linger, &end);
    int client = raw_connect(s.port);
    WAIT_UNTIL(atomic_load(&end.entered) == 1);
    int64_t began = now_ms();
    CHECK(sock_server_stop(s.server, 0), ==, 1);
    CHECK(now_ms() - began, <, 10000);
    CHECK(sock_close(s.server), ==, 0);
    raw_close(client);
}

static void grace_lets_handlers_end_by_themselves(void)
{
    served s = serve(echo_handler, NULL);
    int client = raw_connect(s.port);
    raw_echoes(client, "before");
    pid_t child = fork_child();
    if (child == 0) _exit(0); /* the fork alone must not disturb anything */
    CHECK(child_status(child), ==, 0);
    raw_echoes(client, "after");
    shutdown(client, SHUT_WR);
    CHECK(raw_drain(client), ==, 0);
    raw_close(client);
    int64_t began = now_ms();
    CHECK(sock_server_stop(s.server, 10000), ==, 0);
    CHECK(now_ms() - began, <, 5000);
    CHECK(sock_close(s.server), ==, 0);
}

static int64_t call_stop(call *c) { return sock_server_stop(c->socket, SOCK_FOREVER); }

static atomic_bool may_end;

static void answer_at_the_end(sock_t connection, void *context)
{
    (void)context;
    CHECK(sock_write(connection, "a", 1), ==, 1);
    while (!atomic_load(&may_end)) CHECK(sock_sleep(1), ==, 0);
    CHECK(sock_write(connection, "b", 1), ==, 1);
}

/* A client that does not close is waited for until it has everything, and no longer. */
static void a_stop_ends_soon_after_the_handlers(void)
{
    enum { TRIES = 5 };
    int64_t took[TRIES];
    for (int try = 0; try < TRIES; try++) {
        atomic_store(&may_end, false);
        served s = serve(answer_at_the_end, NULL);
        int client = raw_connect(s.port);
        char answers[2];
        raw_receive(client, answers, 1);
        call stop = { .run = call_stop, .socket = s.server };
        call_start(&stop);
        call_wait_asleep(&stop);
        int64_t began = now_us();
        atomic_store(&may_end, true);
        CHECK(call_join(&stop), ==, 0);
        took[try] = now_us() - began;
        raw_receive(client, answers, 1);
        CHECK(raw_drain(client), ==, 0);
        raw_close(client);
        CHECK(sock_close(s.server), ==, 0);
    }
    if (!under_memcheck()) CHECK(median(took, TRIES), <, 500000);
}

static void a_stopping_server_serves_those_it_has_and_nobody_new(void)
{
    served s = serve(echo_handler, NULL);
    int client = raw_connect(s.port);
    raw_echoes(client, "one");
    call stop = { .run = call_stop, .socket = s.server };
    call_start(&stop);
    call_wait_asleep(&stop);
    sock_address address;
    WAIT_UNTIL(sock_local_address(s.listener, &address) == SOCK_EHANDLE);
    CHECK(sock_open("127.0.0.1", port_text(s.port), NULL), ==, SOCK_ECONNREFUSED);
    raw_echoes(client, "two");
    /* Another server can have the address while the last handlers of this one run. */
    sock_t successor = sock_listen("127.0.0.1", port_text(s.port), NULL);
    CHECK(successor, >, 0);
    CHECK(sock_close(successor), ==, 0);
    raw_echoes(client, "three");
    raw_close(client);
    CHECK(call_join(&stop), ==, 0);
    CHECK(server_info(s.server).cut, ==, 0);
    CHECK(server_info(s.server).accepted, ==, 1);
    CHECK(sock_close(s.server), ==, 0);
}

static void handler_that_stops(sock_t connection, void *context)
{
    sock_t server = *(sock_t *)context;
    char byte;
    CHECK(sock_read(connection, &byte, 1), ==, 1);
    if (byte == 's') CHECK(sock_server_stop(server, SOCK_FOREVER), ==, 0);
    if (byte == 'c') CHECK(sock_close(server), ==, 0);
    CHECK(sock_write(connection, "done", 4), ==, 4);
}

static void stopping_from_a_handler_does_not_wait_for_it(void)
{
    static sock_t server;
    served s = serve(handler_that_stops, &server);
    server = s.server;
    int one = raw_connect(s.port), two = raw_connect(s.port);
    WAIT_UNTIL(server_info(server).active == 2);
    raw_send(one, "s", 1);
    raw_send(two, "s", 1);
    char answer[4];
    raw_receive(one, answer, 4);
    raw_receive(two, answer, 4);
    CHECK(sock_server_wait(server), ==, 0);
    CHECK(server_info(server).finished, ==, 2);
    CHECK(sock_close(server), ==, 0);
    raw_close(one);
    raw_close(two);
}

typedef struct stop_and_stay { sock_t server; atomic_bool left; } stop_and_stay;

static void stop_or_stay(sock_t connection, void *context)
{
    stop_and_stay *it = context;
    char byte;
    CHECK(sock_read(connection, &byte, 1), ==, 1);
    if (byte == 's') {
        CHECK(sock_server_stop(it->server, SOCK_FOREVER), ==, 0);
        CHECK(atomic_load(&it->left), ==, true);
    } else atomic_store(&it->left, true);
}

static void stopping_from_a_handler_waits_for_the_others(void)
{
    stop_and_stay it = { .left = false };
    served s = serve(stop_or_stay, &it);
    it.server = s.server;
    int stops = raw_connect(s.port), stays = raw_connect(s.port);
    sock_address address;
    WAIT_UNTIL(server_info(s.server).active == 2);
    raw_send(stops, "s", 1);
    WAIT_UNTIL(sock_local_address(s.listener, &address) == SOCK_EHANDLE);
    CHECK(raw_readable(stops, 20), ==, false);
    raw_send(stays, "x", 1);
    CHECK(raw_drain(stops), ==, 0);
    CHECK(sock_server_wait(s.server), ==, 0);
    CHECK(sock_close(s.server), ==, 0);
    raw_close(stops);
    raw_close(stays);
}

static void closing_from_a_handler_cuts_the_others(void)
{
    static sock_t server;
    served s = serve(handler_that_stops, &server);
    server = s.server;
    int idle = raw_connect(s.port);
    WAIT_UNTIL(server_info(server).active == 1);
    /* The other handler's read ends with SOCK_ECANCELED, which its CHECK would not like: it must have answered before. */
    raw_send(idle, "x", 1);
    char answer[4];
    raw_receive(idle, answer, 4);
    raw_close(idle);
    int one = raw_connect(s.port);
    raw_send(one, "c", 1);
    raw_receive(one, answer, 4);
    CHECK(raw_drain(one), ==, 0);
    raw_close(one);
    WAIT_UNTIL(sock_live_handles() == 0);
    CHECK(sock_server_wait(server), ==, SOCK_EHANDLE);
}

static void at_the_limit_connections_wait_in_the_backlog(void)
{
    sock_server_options options = options_of_model();
    options.max_connections = 2;
    served s = serve_with(echo_handler, NULL, &options);
    int clients[6];
    for (int i = 0; i < 6; i++) {
        clients[i] = raw_connect(s.port);
        raw_send(clients[i], "x", 1);
    }
    char byte;
    for (int i = 0; i < 2; i++) raw_receive(clients[i], &byte, 1);
    for (int i = 0; i < 6; i++) {
        CHECK(server_info(s.server).active, <=, 2);
        if (i < 4) CHECK(raw_readable(clients[i + 2], 20), ==, false);
        raw_close(clients[i]);
        if (i < 4) raw_receive(clients[i + 2], &byte, 1); /* one goes, one comes */
    }
    WAIT_UNTIL(server_info(s.server).finished == 6);
    CHECK(server_info(s.server).peak, ==, 2);
    CHECK(sock_close(s.server), ==, 0);
}

static char answer[ANSWER];

static void answer_unread(sock_t connection, void *context)
{
    (void)context;
    CHECK(sock_write(connection, answer, sizeof answer), ==, sizeof answer);
}

static void the_peer_gets_what_was_written_though_its_data_was_left_unread(void)
{
    enum { SENT = 3 << 20 };
    static char buffer[SENT];
    pattern(answer, sizeof answer, 0);
    served s = serve(answer_unread, NULL);
    for (int round = 0; round < 5; round++) {
        int client = raw_connect(s.port);
        /* More than the socket buffers hold: the server must read on for this send to end. */
        raw_send(client, buffer, SENT);
        raw_receive(client, buffer, ANSWER);
        CHECK(pattern_mismatch(buffer, ANSWER, 0), ==, ANSWER);
        CHECK(raw_drain(client), ==, 0);
        raw_close(client);
    }
    CHECK(sock_close(s.server), ==, 0);
}

static void the_connection_closes_when_the_handler_returns(void)
{
    served s = serve(answer_unread, NULL);
    int client = raw_connect(s.port);
    CHECK(raw_drain(client), ==, ANSWER);
    /* Our end stays open: the server must not wait for it for ever. */
    WAIT_UNTIL(server_info(s.server).active == 0);
    int64_t began = now_ms();
    WAIT_UNTIL(sock_live_handles() == 2);
    CHECK(now_ms() - began, <, 8000);
    CHECK(sock_close(s.server), ==, 0);
    raw_close(client);
}

static void answer_with_a_time_stamp(sock_t connection, void *context)
{
    int stamps = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    CHECK(setsockopt(sock_fd(connection), SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof stamps), ==, 0);
    answer_unread(connection, context);
}

/* If poll(2) reports an error but no end, a silent peer keeps nobody busier than any other. */
static void what_lies_in_the_error_queue_holds_no_connection(void)
{
    served s = serve(answer_with_a_time_stamp, NULL);
    int client = raw_connect(s.port);
    CHECK(raw_drain(client), ==, ANSWER);
    WAIT_UNTIL(server_info(s.server).active == 0);
    int64_t began = now_ms(), used = processor_us();
    WAIT_UNTIL(sock_live_handles() == 2);
    CHECK(now_ms() - began, <, 8000);
    if (!under_memcheck()) CHECK(processor_us() - used, <, 50000);
    CHECK(sock_close(s.server), ==, 0);
    raw_close(client);
}

/* The end comes at once, and after all that was written, though the peer sends on and on. */
static void a_peer_that_goes_on_sending_gets_the_answer_and_its_end(void)
{
    static char buffer[ANSWER];
    pattern(answer, sizeof answer, 0);
    served s = serve(answer_unread, NULL);
    int client = raw_connect(s.port);
    for (int i = 0; i < 50; i++) {
        raw_send(client, "x", 1);
        sleep_ms(1);
    }
    raw_receive(client, buffer, ANSWER);
    CHECK(pattern_mismatch(buffer, ANSWER, 0), ==, ANSWER);
    int64_t began = now_ms();
    do raw_send(client, "x", 1);
    while (!raw_readable(client, 1));
    CHECK(now_ms() - began, <, 5000); /* it is listened to for ten seconds at most */
    CHECK(raw_drain(client), ==, 0);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

static void leave_with_a_reset(sock_t connection, void *context)
{
    char byte;
    (void)context;
    CHECK(sock_read(connection, &byte, 1), ==, 1);
    CHECK(sock_set_option(connection, SOCK_OPT_LINGER_MS, 0), ==, 0);
}

static void a_handler_may_leave_its_connection_to_be_reset(void)
{
    served s = serve(leave_with_a_reset, NULL);
    int client = raw_connect(s.port);
    raw_send(client, "x", 1); /* and nothing is left unread, which would reset it too */
    CHECK(raw_drain(client), ==, -ECONNRESET);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

static void who_only_waits_for_its_peer_is_not_cut(void)
{
    served s = serve(answer_unread, NULL);
    int client = raw_connect(s.port);
    CHECK(raw_drain(client), ==, ANSWER);
    CHECK(sock_server_stop(s.server, 0), ==, 0); /* the handler has returned: its end was seen */
    CHECK(server_info(s.server).cut, ==, 0);
    CHECK(sock_close(s.server), ==, 0);
    raw_close(client);
}

static void answer_when_told(sock_t connection, void *context)
{
    char byte;
    (void)context;
    CHECK(sock_read_exact(connection, &byte, 1), ==, 1);
    CHECK(sock_write(connection, "bye", 3), ==, 3);
}

/* Sends until the other side is gone, or nobody is interested any more; how long that took. */
static int64_t ms_of_sending(int fd, const atomic_int *enough)
{
    int64_t began = now_ms();
    while (!(enough && atomic_load(enough)) && send(fd, "x", 1, MSG_NOSIGNAL) == 1 && now_ms() - began < 15000) sleep_ms(1);
    return now_ms() - began;
}

/* Over a unix socket nothing that was written is lost when it closes: nobody has to be listened to. */
static void a_unix_connection_closes_at_once(void)
{
    char folder[FOLDER], host[UNIX_HOST], bytes[4];
    make_unix_host(folder, host);
    sock_server_options options = options_of_model();
    sock_t listener = sock_listen(host, NULL, NULL);
    sock_t server = sock_serve(listener, answer_when_told, NULL, &options);
    CHECK(server, >, 0);
    sock_t client = sock_open(host, NULL, NULL);
    CHECK(sock_write(client, "x", 1), ==, 1);
    CHECK(sock_read_exact(client, bytes, 3), ==, 3);
    CHECK(ms_of_sending(sock_fd(client), NULL), <, 5000);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(server), ==, 0);
    CHECK(rmdir(folder), ==, 0);
}

enum { LONG_ANSWER = 150000 };

static void answer_at_length(sock_t connection, void *context)
{
    static char text[LONG_ANSWER];
    char byte;
    (void)context;
    pattern(text, sizeof text, 0);
    CHECK(sock_set_option(connection, SOCK_OPT_SEND_BUFFER, 4 * LONG_ANSWER), ==, 0); /* all of it at once */
    CHECK(sock_read_exact(connection, &byte, 1), ==, 1);
    CHECK(sock_write(connection, text, sizeof text), ==, sizeof text);
}

/* A client that has room for little of the answer. */
static int slow_client(const served *s)
{
    int client = raw_connect(s->port), little = 4096;
    CHECK(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &little, sizeof little), ==, 0);
    return client;
}

/* Goes on sending for a while, then takes the answer, all of it. */
static void send_on_and_take_the_answer(int client, int64_t pause_ms)
{
    static char buffer[LONG_ANSWER];
    for (int i = 0; i < 50; i++) {
        raw_send(client, "x", 1);
        sleep_ms(pause_ms);
    }
    raw_receive(client, buffer, sizeof buffer);
    CHECK(pattern_mismatch(buffer, sizeof buffer, 0), ==, sizeof buffer);
}

/* When it would hold up the end of the server, a peer is listened to until it has got all that was written, and no longer. */
static void a_peer_that_goes_on_sending_holds_up_no_end_once_it_has_the_answer(void)
{
    served s = serve(answer_at_length, NULL);
    int client = slow_client(&s);
    WAIT_UNTIL(server_info(s.server).active == 1);
    call stop = { .run = call_stop, .socket = s.server };
    call_start(&stop);
    call_wait_asleep(&stop);
    raw_send(client, "x", 1);
    WAIT_UNTIL(server_info(s.server).finished == 1);
    /* For longer than it would be listened to in silence; the server looks every 10 ms whether all has arrived. */
    send_on_and_take_the_answer(client, 30);
    CHECK(ms_of_sending(client, &stop.done), <, 5000);
    CHECK(call_join(&stop), ==, 0);
    CHECK(sock_close(s.server), ==, 0);
    raw_close(client);
}

static void answer_and_linger(sock_t connection, void *context)
{
    CHECK(sock_set_option(connection, SOCK_OPT_LINGER_MS, 5000), ==, 0);
    answer_at_length(connection, context);
}

/* Only a linger of no time asks for a reset, which the peer would get here as long as it sends. */
static void a_handler_that_lingers_loses_none_of_its_answer(void)
{
    served s = serve(answer_and_linger, NULL);
    int client = slow_client(&s);
    raw_send(client, "x", 1);
    WAIT_UNTIL(server_info(s.server).finished == 1);
    send_on_and_take_the_answer(client, 1);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

static void a_stop_right_behind_the_answer_loses_none_of_it(void)
{
    served s = serve(answer_at_length, NULL);
    int client = slow_client(&s);
    raw_send(client, "x", 1);
    WAIT_UNTIL(server_info(s.server).finished == 1);
    call stop = { .run = call_stop, .socket = s.server };
    call_start(&stop);
    sock_address address;
    WAIT_UNTIL(sock_local_address(s.listener, &address) == SOCK_EHANDLE);
    send_on_and_take_the_answer(client, 1);
    CHECK(call_join(&stop), ==, 0);
    CHECK(sock_close(s.server), ==, 0);
    raw_close(client);
}

static void close_it_oneself(sock_t connection, void *context)
{
    (void)context;
    CHECK(sock_write(connection, "bye", 3), ==, 3);
    CHECK(sock_close(connection), ==, 0);
    sock_t others[2]; /* takes the slot over: the server must not close a stranger */
    CHECK(sock_pair(others), ==, 0);
    CHECK(sock_write(others[0], "x", 1), ==, 1);
    CHECK(sock_close(others[0]), ==, 0);
    CHECK(sock_close(others[1]), ==, 0);
}

static void a_handler_may_close_its_connection(void)
{
    served s = serve(close_it_oneself, NULL);
    for (int i = 0; i < 20; i++) {
        int client = raw_connect(s.port);
        CHECK(raw_drain(client), ==, 3);
        raw_close(client);
    }
    WAIT_UNTIL(server_info(s.server).finished == 20);
    CHECK(sock_close(s.server), ==, 0);
}

static void accepting_survives_running_out_of_descriptors(void)
{
    served s = serve(echo_handler, NULL);
    int client = raw_connect(s.port);
    raw_echoes(client, "first");
    int waiting[3];
    for (int i = 0; i < 3; i++) waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit limit, tight;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    tight = limit;
    int lowest = dup(0);
    close(lowest);
    tight.rlim_cur = (rlim_t)lowest;
    CHECK(setrlimit(RLIMIT_NOFILE, &tight), ==, 0);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(s.port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    for (int i = 0; i < 3; i++) CHECK(connect(waiting[i], (struct sockaddr *)&to, sizeof to), ==, 0);
    WAIT_UNTIL(server_info(s.server).accept_errors > 0);
    int64_t before = processor_us();
    for (int i = 0; i < 50; i++) {
        raw_echoes(client, "the others are served");
        sleep_ms(10);
    }
    if (!under_memcheck()) CHECK(processor_us() - before, <, 50000);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    for (int i = 0; i < 3; i++) {
        raw_echoes(waiting[i], "at last");
        raw_close(waiting[i]);
    }
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

static void canceling_the_listener_ends_the_server(void)
{
    served s = serve(echo_handler, NULL);
    int client = raw_connect(s.port);
    raw_echoes(client, "hello");
    CHECK(sock_cancel(s.listener), ==, 0);
    raw_echoes(client, "those who are here stay");
    raw_close(client);
    CHECK(sock_server_wait(s.server), ==, 0);
    CHECK(sock_close(s.server), ==, 0);

    s = serve(echo_handler, NULL);
    CHECK(sock_close(s.listener), ==, 0);
    CHECK(sock_server_wait(s.server), ==, 0);
    CHECK(sock_close(s.server), ==, 0);
}

static sock_t canceled_by_signal;
static void on_alarm(int number) { (void)number; sock_cancel(canceled_by_signal); }

static void a_signal_ends_the_wait(void)
{
    served s = serve(echo_handler, NULL);
    canceled_by_signal = s.server;
    struct sigaction action = { .sa_handler = on_alarm };
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = { .it_value = { 0, 30000 } };
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK(sock_server_wait(s.server), ==, SOCK_ECANCELED);
    int client = raw_connect(s.port);
    raw_echoes(client, "not stopped yet");
    CHECK(sock_server_stop(s.server, 0), ==, 1);
    CHECK(sock_close(s.server), ==, 0);
    raw_close(client);
}

static void *wait_for_server(void *argument) { return (void *)(intptr_t)sock_server_wait(*(sock_t *)argument); }

static void closing_ends_everybody_who_waits(void)
{
    ending end = { 0 };
    served s = serve(wait_in_read, &end);
    int client = raw_connect(s.port);
    WAIT_UNTIL(atomic_load(&end.entered) == 1);
    pthread_t waiter = start_thread(wait_for_server, &s.server);
    sleep_ms(20); /* most often it waits by now; if not, the handle is gone when it comes */
    CHECK(sock_close(s.server), ==, 0);
    CHECK(atomic_load(&end.left), ==, 1);
    int64_t result = (intptr_t)join_thread(waiter);
    context("%d", (int)result);
    CHECK(result == SOCK_ECLOSED || result == SOCK_EHANDLE, ==, 1);
    context(NULL);
    raw_close(client);
}

/* Who is closed while it is held up finds a server that has been closed, and has stopped. */
static int64_t call_wait(call *c) { return sock_server_wait(c->socket); }

static void a_wait_that_wakes_late_hears_of_the_close(void)
{
    served s = serve(echo_handler, NULL);
    call waiter = { .run = call_wait, .socket = s.server };
    call_start(&waiter);
    call_wait_asleep(&waiter);
    call_hold(&waiter);
    CHECK(sock_close(s.server), ==, 0);
    call_let_go();
    CHECK(call_join(&waiter), ==, SOCK_ECLOSED);
}

static void in_a_forked_child_nothing_hangs(void)
{
    ending end = { 0 };
    served s = serve(wait_in_read, &end);
    int client = raw_connect(s.port);
    WAIT_UNTIL(atomic_load(&end.entered) == 1);
    pid_t child = fork_child();
    if (child == 0) {
        sock_server_info info = { .size = sizeof info };
        CHECK(sock_get_server_info(s.server, &info), ==, 0);
        CHECK(sock_server_wait(s.server), ==, 0);
        CHECK(sock_server_stop(s.server, SOCK_FOREVER), ==, 0);
        CHECK(sock_close(s.server), ==, 0);
        sock_close(s.listener);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
    CHECK(atomic_load(&end.left), ==, 0);
    int other = raw_connect(s.port);
    WAIT_UNTIL(atomic_load(&end.entered) == 2);
    CHECK(sock_server_stop(s.server, 0), ==, 2);
    CHECK(sock_close(s.server), ==, 0);
    raw_close(client);
    raw_close(other);
}

static void fork_inside(sock_t connection, void *context)
{
    char byte;
    (void)context;
    if (sock_read(connection, &byte, 1) != 1) return;
    pid_t child = fork();
    if (child == 0) {
        /* The child's blocking calls block the child. */
        int64_t length = sock_read(connection, &byte, 1);
        if (length == 1) sock_write(connection, &byte, 1);
        sock_sleep(5);
        _exit(length == 1 ? 0 : 1);
    }
    CHECK(child, >, 0);
    CHECK(child_status(child), ==, 0);
    sock_write(connection, "parent", 6);
}

static void a_handler_may_fork(void)
{
    served s = serve(fork_inside, NULL);
    int client = raw_connect(s.port);
    raw_send(client, "f", 1);
    sleep_ms(30);
    raw_send(client, "c", 1);
    char answer[7];
    raw_receive(client, answer, 7);
    CHECK(memcmp(answer, "cparent", 7), ==, 0);
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

static void leave_it_to_a_child(sock_t connection, void *context)
{
    atomic_int *child = context;
    char byte;
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 3; i++)
            if (sock_read(connection, &byte, 1) != 1 || sock_write(connection, &byte, 1) != 1) _exit(1);
        _exit(0);
    }
    CHECK(sock_close(connection), ==, 0);
    atomic_store(child, pid);
}

static void a_handler_may_leave_its_connection_to_a_child(void)
{
    atomic_int child = 0;
    served s = serve(leave_it_to_a_child, &child);
    int client = raw_connect(s.port);
    WAIT_UNTIL(server_info(s.server).finished == 1);
    CHECK(atomic_load(&child), >, 0);
    raw_echoes(client, "a");
    CHECK(sock_close(s.server), ==, 0);
    raw_echoes(client, "b");
    raw_echoes(client, "c");
    CHECK(child_status(atomic_load(&child)), ==, 0);
    CHECK(raw_drain(client), ==, 0);
    raw_close(client);
}

static void sleep_and_tell(sock_t connection, void *context)
{
    (void)context;
    for (int i = 0; i < 5; i++) {
        stopwatch watch = start_watch();
        CHECK(sock_sleep(20), ==, 0);
        CHECK(now_us() - watch.began_us, >=, 20000);
        int64_t took = watch_us(&watch);
        CHECK(sock_write(connection, &took, sizeof took), ==, sizeof took);
    }
}

static void sleeping_takes_its_time(void)
{
    served s = serve(sleep_and_tell, NULL);
    int clients[8];
    int64_t took[40];
    for (int i = 0; i < 8; i++) clients[i] = raw_connect(s.port);
    for (int i = 0; i < 8; i++) raw_receive(clients[i], took + 5 * i, 5 * sizeof *took);
    if (!under_memcheck()) CHECK(median(took, 40), <, 70000);
    for (int i = 0; i < 8; i++) raw_close(clients[i]);
    CHECK(sock_close(s.server), ==, 0);
    CHECK(sock_sleep(0), ==, 0);
    CHECK(sock_sleep(2), ==, 0);
}

static void read_with_deadline(sock_t connection, void *context)
{
    char line[4096];
    (void)context;
    CHECK(sock_set_timeout(connection, SOCK_READ, 30), ==, 0);
    int64_t began = now_us();
    CHECK(sock_read(connection, line, 1), ==, SOCK_ETIMEDOUT);
    CHECK(now_us() - began, >=, 30000);
    CHECK(strstr(sock_last_error(), "timed out") != NULL, ==, 1);
    CHECK(sock_set_timeout(connection, SOCK_READ, SOCK_FOREVER), ==, 0);
    CHECK(sock_write(connection, "drip", 4), ==, 4);
    /* A client that drips: the deadline holds over the whole line. */
    stopwatch watch = start_watch();
    CHECK(sock_set_deadline(connection, SOCK_READ, 100), ==, 0);
    CHECK(sock_read_line(connection, line, sizeof line), ==, SOCK_ETIMEDOUT);
    CHECK(now_us() - watch.began_us, >=, 100000);
    int64_t late = watch_us(&watch) - 100000;
    CHECK(sock_set_deadline(connection, SOCK_READ, SOCK_FOREVER), ==, 0);
    CHECK(sock_write(connection, &late, sizeof late), ==, sizeof late);
}

static void deadlines_hold_against_slow_clients(void)
{
    int64_t late[5];
    served s = serve(read_with_deadline, NULL);
    for (int i = 0; i < 5; i++) {
        int client = raw_connect(s.port);
        char answer[4];
        raw_receive(client, answer, 4);
        while (!raw_readable(client, 7)) raw_send(client, "a", 1);
        raw_receive(client, &late[i], sizeof late[i]);
        raw_close(client);
    }
    if (!under_memcheck()) CHECK(median(late, 5), <, 50000);
    CHECK(sock_close(s.server), ==, 0);
}

/* A chat: what one says, all hear, by writes to others' handles. */
typedef struct room { pthread_mutex_t lock; sock_t members[32]; int count; } room;

static void chat(sock_t connection, void *context)
{
    room *r = context;
    char line[128];
    int64_t length;
    pthread_mutex_lock(&r->lock);
    r->members[r->count++] = connection;
    pthread_mutex_unlock(&r->lock);
    while ((length = sock_read_line(connection, line, sizeof line - 1)) >= 0) {
        line[length++] = '\n';
        sock_t others[32];
        pthread_mutex_lock(&r->lock);
        int count = r->count;
        memcpy(others, r->members, sizeof others);
        pthread_mutex_unlock(&r->lock);
        for (int i = 0; i < count; i++) sock_write(others[i], line, (size_t)length);
    }
}

static void handlers_write_to_each_others_connections(void)
{
    enum { MEMBERS = 12, LINES = 20 };
    room r = { .lock = PTHREAD_MUTEX_INITIALIZER };
    served s = serve(chat, &r);
    int members[MEMBERS];
    char lines[MEMBERS * LINES * 8 + 1] = { 0 };
    size_t size = sizeof lines - 1;
    for (int i = 0; i < MEMBERS; i++) members[i] = raw_connect(s.port);
    WAIT_UNTIL(server_info(s.server).active == MEMBERS);
    for (int done = 0; !done; sleep_ms(1)) {
        pthread_mutex_lock(&r.lock);
        done = r.count == MEMBERS;
        pthread_mutex_unlock(&r.lock);
    }
    for (int line = 0; line < LINES; line++)
        for (int i = 0; i < MEMBERS; i++) {
            char text[16];
            int length = snprintf(text, sizeof text, "%03d %03d\n", i, line);
            raw_send(members[i], text, (size_t)length);
        }
    for (int i = 0; i < MEMBERS; i++) {
        int next[MEMBERS] = { 0 };
        raw_receive(members[i], lines, size);
        for (size_t at = 0; at < size; at += 8) {
            int who, line;
            CHECK(sscanf(lines + at, "%3d %3d", &who, &line), ==, 2);
            CHECK(line, ==, next[who]++);
        }
    }
    for (int i = 0; i < MEMBERS; i++) raw_close(members[i]);
    CHECK(sock_close(s.server), ==, 0);
}

static void relay_by_name(sock_t connection, void *context)
{
    char byte;
    sock_t upstream = sock_open("localhost", context, SOCK_OPTIONS(.timeout_ms = 5000));
    CHECK(upstream, >, 0);
    while (sock_read(connection, &byte, 1) == 1) {
        CHECK(sock_write(upstream, &byte, 1), ==, 1);
        CHECK(sock_read_exact(upstream, &byte, 1), ==, 1);
        CHECK(sock_write(connection, &byte, 1), ==, 1);
    }
    CHECK(sock_finish(upstream, 5000), ==, 0);
}

static void handlers_open_connections_by_name(void)
{
    served back = serve(echo_handler, NULL);
    served front = serve(relay_by_name, (void *)(uintptr_t)port_text(back.port));
    int clients[8];
    for (int i = 0; i < 8; i++) clients[i] = raw_connect(front.port);
    for (int i = 0; i < 8; i++) raw_echoes(clients[i], "a");
    for (int i = 0; i < 8; i++) raw_close(clients[i]);
    WAIT_UNTIL(server_info(front.server).finished == 8);
    CHECK(sock_close(front.server), ==, 0);
    CHECK(sock_close(back.server), ==, 0);
}

typedef struct ended { sock_t connection; int64_t code, began_us, waited_us; atomic_int stage; } ended;

static void ended_from_outside(sock_t connection, void *context)
{
    ended *end = context;
    char byte;
    end->connection = connection;
    stopwatch watch = start_watch();
    atomic_store(&end->stage, 1);
    end->code = sock_read(connection, &byte, 1);
    end->waited_us = watch_us(&watch);
    end->began_us = watch.began_us;
    atomic_store(&end->stage, 2);
}

static void close_cancel_and_deadline_reach_a_waiting_handler(void)
{
    static const int64_t codes[] = { SOCK_ECLOSED, SOCK_ECANCELED, SOCK_ETIMEDOUT };
    enum { TRIES = 5 };
    for (int way = 0; way < 3; way++) {
        int64_t took[TRIES];
        for (int i = 0; i < TRIES; i++) {
            ended end = { .stage = 0 };
            served s = serve(ended_from_outside, &end);
            int client = raw_connect(s.port);
            WAIT_UNTIL(atomic_load(&end.stage) == 1);
            sleep_ms(10); /* most often it waits by now, but either order must do */
            int64_t began = now_us();
            if (way == 0) CHECK(sock_close(end.connection), ==, 0);
            if (way == 1) CHECK(sock_cancel(end.connection), ==, 0);
            if (way == 2) CHECK(sock_set_deadline(end.connection, SOCK_READ, 10), ==, 0);
            WAIT_UNTIL(atomic_load(&end.stage) == 2);
            took[i] = end.began_us + end.waited_us - began;
            CHECK(end.code, ==, way == 0 && end.code == SOCK_EHANDLE ? SOCK_EHANDLE : codes[way]);
            raw_close(client);
            CHECK(sock_close(s.server), ==, 0);
        }
        if (!under_memcheck()) CHECK(median(took, TRIES), <, way == 2 ? 60000 : 50000);
    }
}

static void *open_and_close(void *argument)
{
    uint16_t port = *(uint16_t *)argument;
    unsigned seed = port;
    for (int i = 0; i < rounds(300); i++) {
        int client = raw_connect(port);
        int way = rand_r(&seed) % 4;
        if (way == 0) raw_reset(client);
        else {
            if (way > 1) raw_send(client, "hello", 5);
            if (way > 2) { char answer[5]; raw_receive(client, answer, 5); }
            raw_close(client);
        }
    }
    return NULL;
}

static void clients_that_leave_in_every_state_harm_nobody(void)
{
    served s = serve(echo_handler, NULL);
    int steady = raw_connect(s.port);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) threads[i] = start_thread(open_and_close, &s.port);
    int64_t worst = 0;
    for (int i = 0; i < rounds(100); i++) {
        int64_t began = now_ms();
        raw_echoes(steady, "steady");
        int64_t took = now_ms() - began;
        if (took > worst) worst = took;
        sleep_ms(1);
    }
    for (int i = 0; i < 3; i++) join_thread(threads[i]);
    note("the steady client waited %d ms at most", (int)worst);
    WAIT_UNTIL(server_info(s.server).active == 1);
    sock_server_info info = server_info(s.server);
    CHECK(info.accepted, ==, info.finished + 1);
    raw_echoes(steady, "still");
    raw_close(steady);
    CHECK(sock_close(s.server), ==, 0);
}

static void many_starts_and_stops_leave_nothing(void)
{
    for (int i = 0; i < rounds(50); i++) {
        served s = serve(echo_handler, NULL);
        int client = raw_connect(s.port);
        if (i % 2) raw_echoes(client, "x");
        CHECK(sock_close(s.server), ==, 0);
        raw_close(client);
        CHECK(sock_live_handles(), ==, 0);
    }
}

static void a_unix_path_is_served(void)
{
    char folder[FOLDER], host[80], path[64];
    make_folder(folder);
    snprintf(path, sizeof path, "%s/s", folder);
    snprintf(host, sizeof host, "unix:%s", path);
    sock_server_options options = options_of_model();
    sock_t listener = sock_listen(host, NULL, NULL);
    CHECK(listener, >, 0);
    sock_t server = sock_serve(listener, echo_handler, NULL, &options);
    CHECK(server, >, 0);
    for (int i = 0; i < 30; i++) {
        char answer[8];
        sock_t client = sock_open(host, NULL, NULL);
        CHECK(client, >, 0);
        for (int round = 0; round < 3; round++) {
            CHECK(sock_write(client, "hello", 5), ==, 5);
            CHECK(sock_read_exact(client, answer, 5), ==, 5);
        }
        CHECK(sock_shutdown(client, SOCK_WRITE), ==, 0);
        CHECK(sock_read(client, answer, sizeof answer), ==, 0);
        CHECK(sock_close(client), ==, 0);
    }
    CHECK(sock_close(server), ==, 0);
    CHECK(access(path, F_OK), ==, -1);
    CHECK(rmdir(folder), ==, 0);
}

static int64_t call_stop_soon(call *c) { return sock_server_stop(c->socket, c->number); }

static void several_stops_at_once_cut_each_handler_once(void)
{
    ending end = { 0 };
    served s = serve(wait_in_read, &end);
    int clients[8];
    for (int i = 0; i < 8; i++) clients[i] = raw_connect(s.port);
    WAIT_UNTIL(atomic_load(&end.entered) == 8);
    call stops[4] = { { 0 } };
    for (int i = 0; i < 4; i++) {
        stops[i] = (call){ .run = call_stop_soon, .socket = s.server, .number = 20 * i };
        call_start(&stops[i]);
    }
    int64_t sum = 0;
    for (int i = 0; i < 4; i++) sum += call_join(&stops[i]);
    CHECK(sum, ==, 8);
    CHECK(server_info(s.server).cut, ==, 8);
    CHECK(sock_close(s.server), ==, 0);
    for (int i = 0; i < 8; i++) raw_close(clients[i]);
}

static void run_a_server(sock_t connection, void *context)
{
    (void)context;
    served inner = serve(echo_handler, NULL);
    int64_t port = inner.port;
    CHECK(sock_write(connection, &port, sizeof port), ==, sizeof port);
    CHECK(sock_server_wait(inner.server), ==, SOCK_ECANCELED);
    /* Canceled as it is, it can still end what it began, but has no grace to give. */
    int64_t began = now_ms();
    CHECK(sock_server_stop(inner.server, 10000), ==, 1);
    CHECK(now_ms() - began, <, 5000);
    CHECK(sock_close(inner.server), ==, 0);
}

static void a_handler_may_run_a_server_of_its_own(void)
{
    served s = serve(run_a_server, NULL);
    int client = raw_connect(s.port);
    int64_t port;
    raw_receive(client, &port, sizeof port);
    int inner = raw_connect((uint16_t)port);
    raw_echoes(inner, "inside");
    CHECK(sock_server_stop(s.server, 20), ==, 1);
    CHECK(raw_drain(inner), ==, 0);
    raw_close(inner);
    CHECK(sock_close(s.server), ==, 0);
    raw_close(client);
}

/* The poller's waker stays set for everybody who waits: a handler must not take that for an event that is about to come. */
static void wait_in_a_canceled_poller(sock_t connection, void *context)
{
    sock_t poller = sock_poller();
    sock_event event;
    (void)connection;
    CHECK(sock_poller_wake(poller), ==, 0);
    CHECK(sock_cancel(poller), ==, 0);
    CHECK(sock_poller_wait(poller, &event, 1, SOCK_FOREVER), ==, 1); /* there already: nobody had to wait for it */
    CHECK(event.ready, ==, SOCK_WOKEN);
    for (int i = 0; i < 3; i++) CHECK(sock_poller_wait(poller, &event, 1, SOCK_FOREVER), ==, SOCK_ECANCELED);
    CHECK(sock_close(poller), ==, 0);
    atomic_store((atomic_bool *)context, true);
}

static void a_poller_that_was_woken_can_be_canceled(void)
{
    atomic_bool done = false;
    served s = serve(wait_in_a_canceled_poller, &done);
    int client = raw_connect(s.port);
    WAIT_UNTIL(atomic_load(&done));
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
}

static void listen_at_a_path(sock_t connection, void *context)
{
    (void)connection;
    sock_t listener = sock_listen(context, NULL, SOCK_OPTIONS(.unix_mode = 0600));
    CHECK(listener, >, 0);
    CHECK(sock_close(listener), ==, 0);
}

/* What is promised at least, 16 KiB, is enough for the library and a little more. */
static void the_smallest_stack_is_enough_for_a_path(void)
{
    if (under_memcheck()) skip("the sanitizers need more stack");
    char folder[FOLDER], host[SOCK_ADDRESS_TEXT];
    make_folder(folder);
    snprintf(host, sizeof host, "unix:%s/listener", folder);
    sock_server_options options = options_of_model();
    options.stack_size = 1;
    served s = serve_with(listen_at_a_path, host, &options);
    int client = raw_connect(s.port);
    CHECK(raw_drain(client), ==, 0); /* until the handler has returned */
    raw_close(client);
    CHECK(sock_close(s.server), ==, 0);
    CHECK(rmdir(folder), ==, 0);
}

static int mappings(void)
{
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps != NULL, ==, true);
    for (int c; (c = getc(maps)) != EOF;) count += c == '\n';
    fclose(maps);
    return count;
}

/* The stack of a thread that nobody has joined stays mapped, and so does the page that guards it. */
static void threads_that_have_ended_are_joined_while_the_server_runs(void)
{
    enum { CLIENTS = 150 };
    if (under_memcheck()) skip("the checker maps what it likes");
    model = SOCK_THREADS;
    served s = serve(echo_handler, NULL);
    int before = mappings();
    for (int i = 0; i < CLIENTS; i++) {
        int client = raw_connect(s.port);
        raw_echoes(client, "x");
        raw_close(client);
        WAIT_UNTIL(server_info(s.server).active == 0);
    }
    CHECK(mappings() - before, <, CLIENTS);
    CHECK(sock_close(s.server), ==, 0);
}

/* Not only when the next client comes. */
static void threads_of_a_burst_of_clients_are_joined_after_it(void)
{
    enum { CLIENTS = 64 };
    int clients[CLIENTS];
    if (under_memcheck()) skip("the checker maps what it likes");
    model = SOCK_THREADS;
    served s = serve(echo_handler, NULL);
    int before = mappings();
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = raw_connect(s.port);
        raw_echoes(clients[i], "x");
    }
    CHECK(mappings() - before, >=, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) raw_close(clients[i]);
    WAIT_UNTIL(mappings() - before < CLIENTS);
    CHECK(sock_close(s.server), ==, 0);
}

typedef struct rival { sock_t other; atomic_int ready; atomic_llong result; } rival;

static void stop_the_other(sock_t connection, void *context)
{
    rival *mine = context;
    (void)connection;
    atomic_store(&mine->ready, 1);
    while (atomic_load(&mine->ready) < 2) sleep_ms(1); /* not the library's: the other may be first to stop */
    atomic_store(&mine->result, sock_server_stop(mine->other, 0));
}

/* Each waits for the other, and neither heeds that it is canceled: one gives up, and then the other has what it waits for. */
static void handlers_that_stop_each_others_servers_come_back(void)
{
    rival rivals[2] = { { .ready = 0 }, { .ready = 0 } };
    model = SOCK_THREADS;
    served s[2] = { serve(stop_the_other, &rivals[0]), serve(stop_the_other, &rivals[1]) };
    int clients[2] = { raw_connect(s[0].port), raw_connect(s[1].port) };
    for (int i = 0; i < 2; i++) rivals[i].other = s[1 - i].server;
    WAIT_UNTIL(atomic_load(&rivals[0].ready) == 1 && atomic_load(&rivals[1].ready) == 1);
    for (int i = 0; i < 2; i++) atomic_store(&rivals[i].ready, 2);
    for (int i = 0; i < 2; i++) CHECK(sock_server_wait(s[i].server), ==, 0);
    int64_t one = atomic_load(&rivals[0].result), other = atomic_load(&rivals[1].result);
    CHECK(one == SOCK_ECANCELED || other == SOCK_ECANCELED, ==, true);
    CHECK(one == SOCK_ECANCELED || one == 1, ==, true);
    CHECK(other == SOCK_ECANCELED || other == 1, ==, true);
    for (int i = 0; i < 2; i++) {
        CHECK(sock_close(s[i].server), ==, 0);
        raw_close(clients[i]);
    }
}

#define EACH(function)                                                                             \
    static void function##_on_threads(void) { model = SOCK_THREADS; function(); }                 \
    static void function##_on_fibers(void) { model = SOCK_FIBERS; workers = 3; function(); }      \
    static void function##_on_one_worker(void) { model = SOCK_FIBERS; workers = 1; function(); }
#define CASES(function) CASE(function##_on_threads), CASE(function##_on_fibers), CASE(function##_on_one_worker)

#define SLOW_CASES(function) \
    SLOW_CASE(function##_on_threads), SLOW_CASE(function##_on_fibers), SLOW_CASE(function##_on_one_worker)

#define BEHAVIOURS(X)                                                     \
    X(clients_are_served_side_by_side)                                    \
    X(the_listener_belongs_to_the_server)                                 \
    X(arguments_are_checked)                                              \
    X(with_a_server_that_has_stopped_its_threads_have_ended)              \
    X(grace_lets_handlers_end_by_themselves)                              \
    X(a_stop_ends_soon_after_the_handlers)                                \
    X(a_stopping_server_serves_those_it_has_and_nobody_new)               \
    X(stopping_from_a_handler_does_not_wait_for_it)                       \
    X(stopping_from_a_handler_waits_for_the_others)                       \
    X(closing_from_a_handler_cuts_the_others)                             \
    X(at_the_limit_connections_wait_in_the_backlog)                       \
    X(the_peer_gets_what_was_written_though_its_data_was_left_unread)     \
    X(who_only_waits_for_its_peer_is_not_cut)                             \
    X(a_handler_may_leave_its_connection_to_be_reset)                     \
    X(a_handler_that_lingers_loses_none_of_its_answer)                    \
    X(a_peer_that_goes_on_sending_gets_the_answer_and_its_end)            \
    X(a_unix_connection_closes_at_once)                                   \
    X(a_handler_may_close_its_connection)                                 \
    X(accepting_survives_running_out_of_descriptors)                      \
    X(canceling_the_listener_ends_the_server)                             \
    X(a_signal_ends_the_wait)                                             \
    X(closing_ends_everybody_who_waits)                                   \
    X(a_wait_that_wakes_late_hears_of_the_close)                          \
    X(in_a_forked_child_nothing_hangs)                                    \
    X(a_handler_may_fork)                                                 \
    X(a_handler_may_leave_its_connection_to_a_child)                      \
    X(sleeping_takes_its_time)                                            \
    X(deadlines_hold_against_slow_clients)                                \
    X(handlers_write_to_each_others_connections)                          \
    X(handlers_open_connections_by_name)                                  \
    X(close_cancel_and_deadline_reach_a_waiting_handler)                  \
    X(clients_that_leave_in_every_state_harm_nobody)                      \
    X(a_unix_path_is_served)                                              \
    X(several_stops_at_once_cut_each_handler_once)                        \
    X(a_handler_may_run_a_server_of_its_own)                              \
    X(a_poller_that_was_woken_can_be_canceled)                            \
    X(the_smallest_stack_is_enough_for_a_path)                              \
    X(many_starts_and_stops_leave_nothing)

#define SLOW_BEHAVIOURS(X)                                                \
    X(stopping_cancels_handlers_wherever_they_wait)                       \
    X(a_handler_that_heeds_no_cancel_loses_its_connection)                \
    X(a_stop_does_not_linger_for_handlers_that_heed_nothing)              \
    X(the_connection_closes_when_the_handler_returns)                     \
    X(what_lies_in_the_error_queue_holds_no_connection)                   \
    X(a_peer_that_goes_on_sending_holds_up_no_end_once_it_has_the_answer) \
    X(a_stop_right_behind_the_answer_loses_none_of_it)

BEHAVIOURS(EACH)
SLOW_BEHAVIOURS(EACH)

#define TABLE(function) CASES(function),
#define SLOW_TABLE(function) SLOW_CASES(function),
static const test_case cases[] = {
    BEHAVIOURS(TABLE)
    SLOW_BEHAVIOURS(SLOW_TABLE)
    CASE(threads_that_have_ended_are_joined_while_the_server_runs),
    CASE(threads_of_a_burst_of_clients_are_joined_after_it),
    SLOW_CASE(handlers_that_stop_each_others_servers_come_back),
};
TEST_MAIN(cases)
