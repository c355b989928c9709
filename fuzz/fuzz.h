/* A fuzz target is one function: it takes bytes, drives the library with them, and aborts where something does not hold
 * that MUST. libFuzzer runs it for as long as one likes; replay.c runs it over the committed corpus. */
#ifndef FUZZ_H
#define FUZZ_H

#include <sock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                      \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);       \
            abort();                                                                         \
        }                                                                                    \
    } while (0)

/* The input, taken from its front. */
typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

static inline uint8_t take_byte(input *in)
{
    if (in->size == 0) return 0;
    in->size--;
    return *in->data++;
}

static inline uint64_t take_number(input *in, int bytes)
{
    uint64_t number = 0;
    while (bytes-- > 0) number = number << 8 | take_byte(in);
    return number;
}

/* A string of the bytes up to `end` or the input's end, allocated; NULL if it begins with 0xff. */
static inline char *take_text(input *in, uint8_t end)
{
    size_t length = 0;
    if (in->size > 0 && in->data[0] == 0xff) {
        take_byte(in);
        return NULL;
    }
    while (length < in->size && in->data[length] != end) length++;
    char *text = malloc(length + 1);
    MUST(text != NULL);
    memcpy(text, in->data, length);
    text[length] = 0;
    in->data += length;
    in->size -= length;
    take_byte(in);
    return text;
}

static inline int is_code(int64_t result)
{
    return result >= 0 || strcmp(sock_error_name(result), "SOCK_UNKNOWN") != 0;
}

#endif
