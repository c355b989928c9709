/* A leak that the leak sanitizer must see: memory that nothing refers to when the program ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    static void *volatile kept;
    for (int i = 0; i < 100; i++) kept = malloc(1000);
    memset(kept, 0, 1000);
    puts("not seen");
    return 0;
}
