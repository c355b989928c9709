/* Loads and unloads the library again and again, using it in between: loaded LIBRARY. */
#include <dlfcn.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <sock.h>

static const char *library;

/* What a plugin does: load, look up, use, unload. Handles may be left open. */
static const char *use(int leave_open)
{
    void *loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!loaded)
        return dlerror();
    int (*pair)(sock_t *);
    int64_t (*write)(sock_t, const void *, size_t);
    int64_t (*read)(sock_t, void *, size_t);
    sock_t (*open)(const char *, const char *, const sock_options *);
    int (*close)(sock_t);
    const char *(*last_error)(void);
    /* POSIX's own way around the conversion that ISO C does not know. */
    *(void **)&pair = dlsym(loaded, "sock_pair");
    *(void **)&write = dlsym(loaded, "sock_write");
    *(void **)&read = dlsym(loaded, "sock_read");
    *(void **)&open = dlsym(loaded, "sock_open");
    *(void **)&close = dlsym(loaded, "sock_close");
    *(void **)&last_error = dlsym(loaded, "sock_last_error");
    if (!pair || !write || !read || !open || !close || !last_error)
        return "a function is missing";
    sock_t ends[2];
    char byte = 0;
    if (pair(ends) < 0 || write(ends[0], "x", 1) != 1 || read(ends[1], &byte, 1) != 1 || byte != 'x')
        return "a pair does not carry a byte";
    if (open("127.0.0.1", "0", NULL) >= 0 || strlen(last_error()) == 0)
        return "port 0 was connected to";
    if (!leave_open && (close(ends[0]) < 0 || close(ends[1]) < 0))
        return "a handle does not close";
    return dlclose(loaded) == 0 ? NULL : dlerror();
}

static void *use_in_thread(void *argument)
{
    (void)argument;
    return (void *)use(0);
}

static int descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    library = argv[1];
    const char *fault = use(0);
    int before = descriptors();
    for (int round = 0; round < 100 && !fault; round++) {
        pthread_t thread;
        void *result;
        if (pthread_create(&thread, NULL, use_in_thread, NULL) || pthread_join(thread, &result))
            return 3;
        fault = result ? result : use(0);
    }
    if (!fault && descriptors() != before)
        fault = "descriptors were left open";
    if (!fault)
        fault = use(1);
    if (fault)
        fprintf(stderr, "%s\n", fault);
    return fault != NULL;
}
