/* A program that uses names of the C library for things of its own, and keeps them to itself: libsock must not mind.
 * OWN is `static`, or nothing where the functions are hidden in another way, or of those whose names libsock leaves alone;
 * OWN_ALL is the same for the others. */
#include <sock.h>

#ifndef OWN
#define OWN
#endif
#ifndef OWN_ALL
#define OWN_ALL OWN
#endif

static int calls;

OWN int read(void);
OWN int write(void);
OWN int connect(const char *a, const char *b, int c);
double log(double x);
OWN_ALL void send(void);
OWN_ALL int close(void);
OWN_ALL int poll(int x);
OWN_ALL int bind(void);

OWN int read(void) { return ++calls; }
OWN int write(void) { return ++calls; }
OWN int connect(const char *a, const char *b, int c) { return a == b ? c : ++calls; }
double log(double x) { return calls++ + x; }
OWN_ALL void send(void) { calls++; }
OWN_ALL int close(void) { return ++calls; }
OWN_ALL int poll(int x) { return calls += x; }
OWN_ALL int bind(void) { return ++calls; }

int main(void)
{
    char text[SOCK_ADDRESS_TEXT], line[16];
    sock_address address;
    sock_t listener = sock_listen("127.0.0.1", "0", NULL);
    if (sock_local_address(listener, &address) < 0 || sock_address_format(&address, text, sizeof text) < 0)
        return 1;
    sock_t client = sock_open(text, NULL, NULL);
    sock_t server = sock_accept(listener);
    if (sock_write(client, "mine\n", 5) != 5 || sock_read_line(server, line, sizeof line) != 4)
        return 2;
    if (sock_close(client) < 0 || sock_close(server) < 0 || sock_close(listener) < 0)
        return 3;
    if (calls != 0)
        return 4;
    volatile double one = 1;
    read(), write(), connect("a", "b", 0), log(one), send(), close(), poll(1), bind();
    return calls == 8 ? 0 : 5;
}
