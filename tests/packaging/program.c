/* The program that the tests of the installed library build in each way: a line sent to itself over the loopback. */
#include <sock.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    char text[SOCK_ADDRESS_TEXT], line[32];
    sock_address address;
    sock_t listener = sock_listen("127.0.0.1", "0", NULL);
    if (sock_local_address(listener, &address) < 0 || sock_address_format(&address, text, sizeof text) < 0)
        return 1;
    sock_t client = sock_open(text, NULL, NULL);
    sock_t server = sock_accept(listener);
    if (sock_write(client, "there and back\n", 15) != 15 || sock_read_line(server, line, sizeof line) != 14) {
        fprintf(stderr, "%s\n", sock_last_error());
        return 2;
    }
    if (strcmp(line, "there and back") != 0 || sock_version() != SOCK_VERSION)
        return 3;
    if (sock_close(client) < 0 || sock_close(server) < 0 || sock_close(listener) < 0 || sock_live_handles() != 0)
        return 4;
    puts(sock_version_text());
    return 0;
}
