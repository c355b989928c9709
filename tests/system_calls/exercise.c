/* For tests/system_calls/trace.t: uses the library in one way, so many times, under strace.
 *   exercise ready N    N times a write and a read that need not wait
 *   exercise waiting N  N times a write, and a read that has to wait for a process that is not traced
 *   exercise all 1      a bit of everything that makes descriptors and sends */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <sock.h>

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, sock_last_error());
    return 1;
}

static int ready(int times)
{
    sock_t pair[2];
    char byte = 'x';
    if (sock_pair(pair) != 0) return fail("pair");
    for (int i = 0; i < times; i++)
        if (sock_write(pair[0], &byte, 1) != 1 || sock_read(pair[1], &byte, 1) != 1) return fail("ready");
    return sock_close(pair[0]) | sock_close(pair[1]);
}

static int waiting(int times)
{
    sock_t pair[2];
    char byte = 'x';
    if (sock_pair(pair) != 0) return fail("pair");
    pid_t child = fork();
    if (child == 0) {
        while (sock_read(pair[1], &byte, 1) == 1) {
            usleep(1000); /* by then the parent sleeps */
            sock_write(pair[1], &byte, 1);
        }
        _exit(0);
    }
    for (int i = 0; i < times; i++)
        if (sock_write(pair[0], &byte, 1) != 1 || sock_read(pair[0], &byte, 1) != 1) return fail("waiting");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return sock_close(pair[0]) | sock_close(pair[1]);
}

static int all(int times)
{
    (void)times;
    char port[8], line[16];
    struct iovec parts[] = { { "li", 2 }, { "ne\n", 3 } };
    sock_address address, from;
    sock_t listener = sock_listen("127.0.0.1", "0", NULL);
    if (listener < 0 || sock_local_address(listener, &address) < 0) return fail("listen");
    snprintf(port, sizeof port, "%d", sock_address_port(&address));
    sock_t client = sock_open("localhost", port, SOCK_OPTIONS(.timeout_ms = 10000)), accepted = sock_accept(listener);
    if (client < 0 || accepted < 0) return fail("open");
    if (sock_writev(client, parts, 2) != 5 || sock_read_line(accepted, line, sizeof line) != 4) return fail("line");
    if (sock_try_write(accepted, "x", 1) != 1 || sock_peek(client, line, 1) != 1) return fail("peek");
    sock_set_timeout(accepted, SOCK_READ, 1);
    if (sock_read(accepted, line, 1) != SOCK_ETIMEDOUT) return fail("timeout");
    sock_t datagrams = sock_udp_bind("127.0.0.1", "0", NULL);
    if (datagrams < 0 || sock_local_address(datagrams, &address) < 0) return fail("bind");
    if (sock_send_to(datagrams, "d", 1, &address) != 1 || sock_recv_from(datagrams, line, 1, &from) != 1) return fail("datagram");
    sock_datagram one = { .data = line, .size = 1, .address = address };
    if (sock_send_batch(datagrams, &one, 1) != 1 || sock_recv_batch(datagrams, &one, 1) != 1) return fail("batch");
    sock_t pair[2];
    int sent = 0, got;
    size_t count;
    if (sock_pair(pair) != 0 || sock_send_fds(pair[0], "f", 1, &sent, 1) != 1) return fail("send_fds");
    if (sock_recv_fds(pair[1], line, 1, &got, 1, &count) != 1 || count != 1) return fail("recv_fds");
    close(got);
    sock_t poller = sock_poller();
    sock_event event;
    if (poller < 0 || sock_poller_add(poller, pair[0], SOCK_WRITE, NULL) != 0) return fail("poller");
    if (sock_poller_wait(poller, &event, 1, 0) != 1) return fail("poller_wait");
    if (sock_open("127.0.0.1", "1", NULL) != SOCK_ECONNREFUSED) return fail("refused");
    sock_t every[] = { client, accepted, listener, datagrams, pair[0], pair[1], poller };
    for (size_t i = 0; i < sizeof every / sizeof *every; i++)
        if (sock_close(every[i]) != 0) return fail("close");
    return 0;
}

int main(int argc, char **argv)
{
    int times = argc == 3 ? atoi(argv[2]) : 0;
    if (argc != 3) return 2;
    if (strcmp(argv[1], "ready") == 0) return ready(times);
    if (strcmp(argv[1], "waiting") == 0) return waiting(times);
    return all(times);
}
