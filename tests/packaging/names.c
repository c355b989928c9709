/* A program that uses names of the C library for things of its own. ISO C permits it; libsock must not mind. */
#include <sock.h>

static int calls;

int read(void);
int write(void);
int connect(const char *a, const char *b, int c);
double log(double x);
void send(void);
int close(void);
int poll(int x);
int bind(void);

int read(void) { return ++calls; }
int write(void) { return ++calls; }
int connect(const char *a, const char *b, int c) { return a == b ? c : ++calls; }
double log(double x) { return calls++ + x; }
void send(void) { calls++; }
int close(void) { return ++calls; }
int poll(int x) { return calls += x; }
int bind(void) { return ++calls; }

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
    return calls == 0 ? 0 : 4;
}
