/* A program with two Rust static libraries in it, both at work. */
#include <sock.h>

uint64_t neighbour_sum(uint32_t n);

int main(void)
{
    char line[8];
    sock_t pair[2];
    if (sock_pair(pair) < 0 || sock_write(pair[0], "hello\n", 6) != 6 || sock_read_line(pair[1], line, sizeof line) != 5)
        return 1;
    if (neighbour_sum(1000) != 500500)
        return 2;
    return sock_open("no such host", "80", NULL) == SOCK_EINVAL ? 0 : 3;
}
