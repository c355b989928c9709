/* Two copies of the library in one process, as two plugins with their own would load: copies LIBRARY COPY. A handle of one means
 * nothing to the other. */
#include <dlfcn.h>
#include <stdio.h>

#include <sock.h>

typedef struct copy {
    int (*pair)(sock_t *);
    int64_t (*write)(sock_t, const void *, size_t);
    int64_t (*try_read)(sock_t, void *, size_t);
    int (*close)(sock_t);
    int64_t (*live)(void);
} copy;

static int load(const char *path, copy *c)
{
    void *loaded = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!loaded)
        return 0;
    *(void **)&c->pair = dlsym(loaded, "sock_pair");
    *(void **)&c->write = dlsym(loaded, "sock_write");
    *(void **)&c->try_read = dlsym(loaded, "sock_try_read");
    *(void **)&c->close = dlsym(loaded, "sock_close");
    *(void **)&c->live = dlsym(loaded, "sock_live_handles");
    return c->pair && c->write && c->try_read && c->close && c->live;
}

/* The handles of `from`, given to `to`, which has as many of its own in the same places. */
static const char *mix_up(copy *from, copy *to)
{
    sock_t theirs[2], own[2];
    char byte;
    if (from->pair(theirs) < 0 || to->pair(own) < 0)
        return "no pair could be made";
    for (int i = 0; i < 2; i++)
        if (to->write(theirs[i], "x", 1) != SOCK_EHANDLE || to->close(theirs[i]) != SOCK_EHANDLE)
            return "a handle of the other copy was taken";
    for (int i = 0; i < 2; i++)
        if (to->try_read(own[i], &byte, 1) != SOCK_EAGAIN || from->try_read(theirs[i], &byte, 1) != SOCK_EAGAIN)
            return "a pair was disturbed";
    for (int i = 0; i < 2; i++)
        if (from->close(theirs[i]) < 0 || to->close(own[i]) < 0)
            return "a handle does not close";
    return from->live() == 0 && to->live() == 0 ? NULL : "handles are left";
}

int main(int argc, char **argv)
{
    copy one, other;
    if (argc != 3)
        return 2;
    const char *fault = load(argv[1], &one) && load(argv[2], &other) ? NULL : "a copy does not load";
    if (!fault && one.pair == other.pair)
        fault = "it is one copy, loaded twice";
    for (int round = 0; round < 100 && !fault; round++)
        fault = round % 2 ? mix_up(&one, &other) : mix_up(&other, &one);
    if (fault)
        fprintf(stderr, "%s\n", fault);
    return fault != NULL;
}
