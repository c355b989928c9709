/* What C does not define and its sanitizer must see, and end the program for. */
#include <limits.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    (void)argv;
    int largest = INT_MAX - 1 + argc;
    printf("%d: ", largest + argc);
    puts("not seen");
    return 0;
}
