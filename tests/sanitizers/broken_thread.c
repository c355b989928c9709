/* A race that the thread sanitizer must see, on the library's side: two threads hand it the same buffer to read into. */
#include <pthread.h>
#include <sock.h>
#include <stdio.h>

static char buffer[64];

static void *read_into_it(void *pair)
{
    sock_read(((sock_t *)pair)[1], buffer, sizeof buffer);
    return NULL;
}

int main(void)
{
    sock_t one[2], other[2];
    pthread_t thread;
    if (sock_pair(one) < 0 || sock_pair(other) < 0) return 1;
    /* Lines are copied out of the read-ahead by the library, not by the kernel. */
    sock_write(one[0], "a line\nand more\n", 16);
    sock_write(other[0], "a line\nand more\n", 16);
    sock_read_line(one[1], buffer, 32);
    sock_read_line(other[1], buffer + 32, 32);
    pthread_create(&thread, NULL, read_into_it, one);
    sock_read(other[1], buffer, sizeof buffer);
    pthread_join(thread, NULL);
    puts("not seen");
    return 0;
}
