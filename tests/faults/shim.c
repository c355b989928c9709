/* See shim.h. Every function of the C library that libsock calls and that can fail is defined here again;
 * tests/faults/coverage.t proves that none is missing. */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static fault_plan plan;
static atomic_bool armed;
static atomic_long counted, hits;
static _Atomic(const char *) first_hit = "";
static uintptr_t library_begin, library_end;

typedef struct fault {
    enum fault_action action;
    int value;
} fault;

static int note_library(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    if (!strstr(info->dlpi_name, "libsock.so")) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X)) continue;
        library_begin = info->dlpi_addr + segment->p_vaddr;
        library_end = library_begin + segment->p_memsz;
    }
    return 1;
}

void fault_arm(const fault_plan *wanted)
{
    if (!library_end) dl_iterate_phdr(note_library, NULL);
    plan = *wanted;
    atomic_store(&counted, 0);
    atomic_store(&hits, 0);
    atomic_store(&first_hit, "");
    atomic_store(&armed, true);
}

long fault_disarm(void)
{
    atomic_store(&armed, false);
    return atomic_load(&counted);
}

long fault_hits(void)
{
    return atomic_load(&hits);
}

const char *fault_first_hit(void)
{
    return atomic_load(&first_hit);
}

static bool listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += length) {
        bool begins = at == list || at[-1] == ' ';
        if (begins && (at[length] == ' ' || at[length] == '\0')) return true;
    }
    return false;
}

/* splitmix64: the same seed hits the same calls. */
static uint64_t hash(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

static bool chosen(long number)
{
    switch (plan.when) {
    case FAULT_ONCE: return number == plan.first;
    case FAULT_FROM: return number >= plan.first;
    case FAULT_RANDOM: return hash(plan.seed + (uint64_t)number) % 1000 < plan.per_mille;
    }
    return false;
}

/* What is to happen to this call. Delays happen here; the wrapper does the rest. */
static fault strike(const char *name, const void *caller, bool allocates)
{
    const fault none = { FAULT_COUNT, 0 };
    if (!atomic_load(&armed)) return none;
    uintptr_t from = (uintptr_t)caller;
    if (from < library_begin || from >= library_end) return none;
    if (allocates != (plan.action == FAULT_MEMORY)) return none;
    if (plan.functions && !listed(plan.functions, name)) return none;
    if (!chosen(atomic_fetch_add(&counted, 1) + 1) || plan.action == FAULT_COUNT) return none;
    if (atomic_fetch_add(&hits, 1) == 0) atomic_store(&first_hit, name);
    if (plan.action == FAULT_DELAY) {
        struct timespec pause = { plan.value / 1000, plan.value % 1000 * 1000000L };
        nanosleep(&pause, NULL);
    }
    return (fault){ plan.action, plan.value };
}

#define STRIKE(name) strike(#name, __builtin_return_address(0), false)
#define NEXT(name) (__extension__(__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int64_t fail(fault f)
{
    errno = f.value;
    return -1;
}

/* A call that reports -1 and errno. */
#define CALL(type, name, parameters, arguments)                        \
    type name parameters                                               \
    {                                                                  \
        fault f = STRIKE(name);                                        \
        if (f.action == FAULT_ERRNO) return (type)fail(f);             \
        type result = NEXT(name) arguments;                            \
        return f.action == FAULT_POST ? (type)fail(f) : result;        \
    }

/* One that makes a descriptor: after FAULT_POST nobody knows its number. */
#define DESCRIPTOR(name, parameters, arguments)                        \
    int name parameters                                                \
    {                                                                  \
        fault f = STRIKE(name);                                        \
        if (f.action == FAULT_ERRNO) return (int)fail(f);              \
        int result = NEXT(name) arguments;                             \
        if (f.action != FAULT_POST) return result;                     \
        if (result >= 0) NEXT(close)(result);                          \
        return (int)fail(f);                                           \
    }

/* One that moves up to `size` bytes to or from `fd`. No kernel moves bytes and then reports EINTR or EAGAIN, and
 * whoever repeats the call then is right: such a FAULT_POST fails before the call. */
#define TRANSFER(name, parameters, arguments)                          \
    ssize_t name parameters                                            \
    {                                                                  \
        fault f = STRIKE(name);                                        \
        if (f.action == FAULT_ERRNO || repeats(f)) return fail(f);     \
        if (is_short(f, fd) && size > (size_t)f.value) size = (size_t)f.value; \
        ssize_t result = NEXT(name) arguments;                         \
        return f.action == FAULT_POST ? fail(f) : result;              \
    }

static bool repeats(fault f)
{
    return f.action == FAULT_POST && (f.value == EINTR || f.value == EAGAIN);
}

/* No kernel cuts a datagram. */
static bool is_short(fault f, int fd)
{
    int type = SOCK_STREAM;
    socklen_t length = sizeof type;
    if (f.action != FAULT_SHORT) return false;
    syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &length); /* what is not a socket stays a stream */
    return type == SOCK_STREAM;
}

/* Making and naming sockets. */

DESCRIPTOR(socket, (int domain, int type, int protocol), (domain, type, protocol))
DESCRIPTOR(accept, (int fd, __SOCKADDR_ARG address, socklen_t *length), (fd, address, length))
DESCRIPTOR(accept4, (int fd, __SOCKADDR_ARG address, socklen_t *length, int flags), (fd, address, length, flags))
DESCRIPTOR(epoll_create1, (int flags), (flags))
DESCRIPTOR(dup, (int fd), (fd))
DESCRIPTOR(dup3, (int fd, int number, int flags), (fd, number, flags))

int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = va_arg(list, mode_t);
    va_end(list);
    fault f = STRIKE(open);
    if (f.action == FAULT_ERRNO) return (int)fail(f);
    int result = NEXT(open)(path, flags, mode);
    if (f.action != FAULT_POST) return result;
    if (result >= 0) NEXT(close)(result);
    return (int)fail(f);
}

static int pair_result(fault f, int result, int fds[2])
{
    if (f.action != FAULT_POST) return result;
    if (result == 0) NEXT(close)(fds[0]), NEXT(close)(fds[1]);
    return (int)fail(f);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    fault f = STRIKE(socketpair);
    if (f.action == FAULT_ERRNO) return (int)fail(f);
    return pair_result(f, NEXT(socketpair)(domain, type, protocol, fds), fds);
}

int pipe2(int fds[2], int flags)
{
    fault f = STRIKE(pipe2);
    if (f.action == FAULT_ERRNO) return (int)fail(f);
    return pair_result(f, NEXT(pipe2)(fds, flags), fds);
}

CALL(int, bind, (int fd, __CONST_SOCKADDR_ARG address, socklen_t length), (fd, address, length))
CALL(int, listen, (int fd, int backlog), (fd, backlog))
CALL(int, shutdown, (int fd, int how), (fd, how))
CALL(int, getsockname, (int fd, __SOCKADDR_ARG address, socklen_t *length), (fd, address, length))
CALL(int, getpeername, (int fd, __SOCKADDR_ARG address, socklen_t *length), (fd, address, length))
CALL(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *length), (fd, level, name, value, length))
CALL(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t length), (fd, level, name, value, length))

/* An interrupted connect goes on all the same, so it must really have begun. */
int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    fault f = STRIKE(connect);
    if (f.action == FAULT_ERRNO && f.value != EINTR) return (int)fail(f);
    int result = NEXT(connect)(fd, address, length);
    return f.action == FAULT_ERRNO || f.action == FAULT_POST ? (int)fail(f) : result;
}

int __connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length) __attribute__((alias("connect")));

/* Moving bytes. The library calls some functions by the names that the C library has for itself. */

TRANSFER(read, (int fd, void *buffer, size_t size), (fd, buffer, size))

ssize_t __read(int fd, void *buffer, size_t size) __attribute__((alias("read")));

/* Writing to an eventfd can only fail with EAGAIN, when it is full and readable anyway; who waits for it may
 * rely on that. */
enum { HIGHEST_DESCRIPTOR = 1024 };
static atomic_bool is_event[HIGHEST_DESCRIPTOR];

static void note_event(int fd, bool on)
{
    if (fd >= 0 && fd < HIGHEST_DESCRIPTOR) atomic_store(&is_event[fd], on);
}

int eventfd(unsigned int initial, int flags)
{
    fault f = STRIKE(eventfd);
    if (f.action == FAULT_ERRNO) return (int)fail(f);
    int result = NEXT(eventfd)(initial, flags);
    if (f.action == FAULT_POST) {
        if (result >= 0) NEXT(close)(result);
        return (int)fail(f);
    }
    note_event(result, true);
    return result;
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    if (fd >= 0 && fd < HIGHEST_DESCRIPTOR && atomic_load(&is_event[fd])) return NEXT(write)(fd, buffer, size);
    fault f = STRIKE(write);
    if (f.action == FAULT_ERRNO || repeats(f)) return fail(f);
    if (is_short(f, fd) && size > (size_t)f.value) size = (size_t)f.value;
    ssize_t result = NEXT(write)(fd, buffer, size);
    return f.action == FAULT_POST ? fail(f) : result;
}

ssize_t __write(int fd, const void *buffer, size_t size) __attribute__((alias("write")));

/* The descriptor of a failed close is gone all the same, so it must really go. */
int close(int fd)
{
    fault f = STRIKE(close);
    note_event(fd, false);
    int result = NEXT(close)(fd);
    return f.action == FAULT_ERRNO || f.action == FAULT_POST ? (int)fail(f) : result;
}

TRANSFER(pread64, (int fd, void *buffer, size_t size, off64_t offset), (fd, buffer, size, offset))
TRANSFER(recv, (int fd, void *buffer, size_t size, int flags), (fd, buffer, size, flags))
TRANSFER(send, (int fd, const void *buffer, size_t size, int flags), (fd, buffer, size, flags))
TRANSFER(sendfile, (int fd, int in, off_t *offset, size_t size), (fd, in, offset, size))
TRANSFER(sendfile64, (int fd, int in, off64_t *offset, size_t size), (fd, in, offset, size))
TRANSFER(splice, (int fd, off64_t *in_offset, int out, off64_t *out_offset, size_t size, unsigned int flags),
         (fd, in_offset, out, out_offset, size, flags))
TRANSFER(recvfrom, (int fd, void *restrict buffer, size_t size, int flags, __SOCKADDR_ARG address, socklen_t *restrict length),
         (fd, buffer, size, flags, address, length))

TRANSFER(sendto, (int fd, const void *buffer, size_t size, int flags, __CONST_SOCKADDR_ARG address, socklen_t length),
         (fd, buffer, size, flags, address, length))

/* The first parts of a vector, `limit` bytes of them. The caller's own vector stays as it is. */
enum { PARTS = 64 };
static int cut(const struct iovec *parts, int count, size_t limit, struct iovec out[PARTS])
{
    int used = 0;
    for (; used < count && used < PARTS && limit > 0; used++) {
        out[used] = parts[used];
        if (out[used].iov_len > limit) out[used].iov_len = limit;
        limit -= out[used].iov_len;
    }
    return used;
}

#define VECTOR(name)                                                   \
    ssize_t name(int fd, const struct iovec *parts, int count)         \
    {                                                                  \
        struct iovec fewer[PARTS];                                     \
        fault f = STRIKE(name);                                        \
        if (f.action == FAULT_ERRNO || repeats(f)) return fail(f);     \
        if (is_short(f, fd)) {                                         \
            count = cut(parts, count, (size_t)f.value, fewer);         \
            parts = fewer;                                             \
        }                                                              \
        ssize_t result = NEXT(name)(fd, parts, count);                 \
        return f.action == FAULT_POST ? fail(f) : result;              \
    }

VECTOR(readv)
VECTOR(writev)

/* What came with a message without its receiver being told. */
static void close_received(struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        for (size_t at = 0; at + sizeof(int) <= part->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int received;
            memcpy(&received, CMSG_DATA(part) + at, sizeof received);
            NEXT(close)(received);
        }
    }
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    struct iovec fewer[PARTS];
    fault f = STRIKE(recvmsg);
    if (f.action == FAULT_ERRNO || repeats(f)) return fail(f);
    struct msghdr copy = *message;
    if (is_short(f, fd)) {
        copy.msg_iovlen = (size_t)cut(message->msg_iov, (int)message->msg_iovlen, (size_t)f.value, fewer);
        copy.msg_iov = fewer;
    }
    ssize_t result = NEXT(recvmsg)(fd, &copy, flags);
    copy.msg_iov = message->msg_iov;
    copy.msg_iovlen = message->msg_iovlen;
    if (f.action == FAULT_POST) {
        if (result >= 0) close_received(&copy);
        return fail(f);
    }
    *message = copy;
    return result;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct iovec fewer[PARTS];
    fault f = STRIKE(sendmsg);
    if (f.action == FAULT_ERRNO || repeats(f)) return fail(f);
    struct msghdr copy = *message;
    if (is_short(f, fd)) {
        copy.msg_iovlen = (size_t)cut(message->msg_iov, (int)message->msg_iovlen, (size_t)f.value, fewer);
        copy.msg_iov = fewer;
    }
    ssize_t result = NEXT(sendmsg)(fd, &copy, flags);
    return f.action == FAULT_POST ? fail(f) : result;
}

/* Batches are cut in messages, not in bytes. */
int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout)
{
    fault f = STRIKE(recvmmsg);
    if (f.action == FAULT_ERRNO || repeats(f)) return (int)fail(f);
    if (f.action == FAULT_SHORT && count > (unsigned)f.value) count = (unsigned)f.value;
    int result = NEXT(recvmmsg)(fd, messages, count, flags, timeout);
    return f.action == FAULT_POST ? (int)fail(f) : result;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
    fault f = STRIKE(sendmmsg);
    if (f.action == FAULT_ERRNO || repeats(f)) return (int)fail(f);
    if (f.action == FAULT_SHORT && count > (unsigned)f.value) count = (unsigned)f.value;
    int result = NEXT(sendmmsg)(fd, messages, count, flags);
    return f.action == FAULT_POST ? (int)fail(f) : result;
}

/* Waiting. */

static int all_ready(struct pollfd *fds, nfds_t count)
{
    for (nfds_t i = 0; i < count; i++) fds[i].revents = fds[i].events;
    return (int)count;
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    fault f = STRIKE(poll);
    if (f.action == FAULT_ERRNO) return (int)fail(f);
    if (f.action == FAULT_GHOST) return all_ready(fds, count);
    int result = NEXT(poll)(fds, count, timeout);
    return f.action == FAULT_POST ? (int)fail(f) : result;
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    fault f = STRIKE(ppoll);
    if (f.action == FAULT_ERRNO) return (int)fail(f);
    if (f.action == FAULT_GHOST) return all_ready(fds, count);
    int result = NEXT(ppoll)(fds, count, timeout, mask);
    return f.action == FAULT_POST ? (int)fail(f) : result;
}

CALL(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event), (epoll, operation, fd, event))
CALL(int, epoll_wait, (int epoll, struct epoll_event *events, int capacity, int timeout), (epoll, events, capacity, timeout))
CALL(int, epoll_pwait, (int epoll, struct epoll_event *events, int capacity, int timeout, const sigset_t *mask),
     (epoll, events, capacity, timeout, mask))
CALL(int, epoll_pwait2, (int epoll, struct epoll_event *events, int capacity, const struct timespec *timeout, const sigset_t *mask),
     (epoll, events, capacity, timeout, mask))

/* Descriptors and files. */

int fcntl(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    fault f = STRIKE(fcntl);
    if (f.action == FAULT_ERRNO) return (int)fail(f);
    int result = NEXT(fcntl)(fd, command, argument);
    return f.action == FAULT_POST ? (int)fail(f) : result;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    fault f = STRIKE(ioctl);
    if (f.action == FAULT_ERRNO) return (int)fail(f);
    int result = NEXT(ioctl)(fd, request, argument);
    return f.action == FAULT_POST ? (int)fail(f) : result;
}

CALL(int, flock, (int fd, int operation), (fd, operation))
CALL(int, unlink, (const char *path), (path))
CALL(int, chmod, (const char *path, mode_t mode), (path, mode))
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode))
CALL(int, fchmodat, (int folder, const char *path, mode_t mode, int flags), (folder, path, mode, flags))
CALL(int, stat, (const char *restrict path, struct stat *restrict out), (path, out))
CALL(int, lstat, (const char *restrict path, struct stat *restrict out), (path, out))
CALL(int, fstat, (int fd, struct stat *out), (fd, out))
CALL(off_t, lseek, (int fd, off_t offset, int whence), (fd, offset, whence))
CALL(int, stat64, (const char *restrict path, struct stat64 *restrict out), (path, out))
CALL(int, fstat64, (int fd, struct stat64 *out), (fd, out))
CALL(off64_t, lseek64, (int fd, off64_t offset, int whence), (fd, offset, whence))
CALL(ssize_t, getrandom, (void *buffer, size_t size, unsigned int flags), (buffer, size, flags))

/* Names. */

unsigned int if_nametoindex(const char *name)
{
    fault f = STRIKE(if_nametoindex);
    if (f.action == FAULT_ERRNO) return errno = f.value, 0;
    return NEXT(if_nametoindex)(name);
}

/* value is an errno; a negative one is the resolver's own code. */
int getaddrinfo(const char *restrict host, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict out)
{
    fault f = STRIKE(getaddrinfo);
    if (f.action == FAULT_ERRNO || f.action == FAULT_POST) {
        if (f.value < 0) return f.value;
        return fail(f), f.value == ENOMEM ? EAI_MEMORY : EAI_SYSTEM;
    }
    return NEXT(getaddrinfo)(host, service, hints, out);
}

/* Threads and memory maps. */

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes, void *(*run)(void *),
                   void *restrict argument)
{
    fault f = STRIKE(pthread_create);
    if (f.action == FAULT_ERRNO) return f.value;
    return NEXT(pthread_create)(thread, attributes, run, argument);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    fault f = STRIKE(mmap);
    if (f.action == FAULT_ERRNO) return fail(f), MAP_FAILED;
    return NEXT(mmap)(address, length, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
    fault f = STRIKE(mmap64);
    if (f.action == FAULT_ERRNO) return fail(f), MAP_FAILED;
    return NEXT(mmap64)(address, length, protection, flags, fd, offset);
}

CALL(int, mprotect, (void *address, size_t length, int protection), (address, length, protection))
CALL(int, madvise, (void *address, size_t length, int advice), (address, length, advice))

/* Allocations. glibc's other names for the real ones, because dlsym itself allocates. */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

#define OUT_OF_MEMORY(name) (strike(#name, __builtin_return_address(0), true).action == FAULT_MEMORY)

void *malloc(size_t size)
{
    return OUT_OF_MEMORY(malloc) ? errno = ENOMEM, NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return OUT_OF_MEMORY(calloc) ? errno = ENOMEM, NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return OUT_OF_MEMORY(realloc) ? errno = ENOMEM, NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return OUT_OF_MEMORY(aligned_alloc) ? errno = ENOMEM, NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (OUT_OF_MEMORY(posix_memalign)) return ENOMEM;
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

/* Plans as text, and LD_PRELOAD. */

static int position(const char *word, const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(word, words[i])) return i;
    return -1;
}

bool fault_parse(const char *text, fault_plan *out)
{
    static const char *const actions[] = { "count", "errno", "post", "short", "delay", "ghost", "memory" };
    static const char *const whens[] = { "once", "from", "random" };
    char action_word[16], when_word[16];
    int value, end = 0, more = 0;
    long number;
    if (sscanf(text, "%15s %d %15s %ld%n", action_word, &value, when_word, &number, &end) < 4) return false;
    int action = position(action_word, actions, 7), when = position(when_word, whens, 3);
    if (action < 0 || when < 0) return false;
    *out = (fault_plan){ .action = (enum fault_action)action, .value = value, .when = (enum fault_when)when, .first = number };
    if (when == FAULT_RANDOM) {
        out->per_mille = (unsigned)number;
        if (sscanf(text + end, "%" SCNu64 "%n", &out->seed, &more) < 1) return false;
    }
    text += end + more;
    text += strspn(text, " ");
    if (*text) out->functions = text;
    return true;
}

__attribute__((constructor)) static void arm_from_environment(void)
{
    const char *text = getenv("SOCK_FAULTS");
    fault_plan wanted;
    if (!text) return;
    if (!fault_parse(text, &wanted)) {
        fprintf(stderr, "SOCK_FAULTS: cannot read \"%s\"\n", text);
        _exit(2);
    }
    fault_arm(&wanted);
}
