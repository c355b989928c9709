/* An error that the address sanitizer must see, on the library's side: a buffer that is smaller than its size says. */
#include <sock.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    sock_t pair[2];
    char line[8];
    if (sock_pair(pair) < 0) return 1;
    sock_write(pair[0], "x\na longer text than fits\n", 26);
    sock_read_line(pair[1], line, sizeof line);
    /* The rest is copied out of the read-ahead by the library, not by the kernel. */
    char *small = malloc(4);
    sock_read(pair[1], small, 20);
    puts("not seen");
    return small[0] == 0;
}
