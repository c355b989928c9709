/* The test harness, see harness.h: the parent only forks, waits and reports; it never calls the library,
 * so that every case begins with a library nobody has used. */
#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_SKIPPED = 2, HIGHEST_DESCRIPTOR = 4096, SETTLE_MS = 5000, MOST_BESIDE = 32 };

static int report = -1; /* a memory file that the case writes and the parent reads */
static char context_text[256];

/* ---- what a case says ---- */

static void say(const char *format, va_list arguments)
{
    char text[1024];
    vsnprintf(text, sizeof text - 1, format, arguments);
    for (char *c = text; *c; c++)
        if (*c == '\n') *c = ' ';
    size_t length = strlen(text);
    text[length] = '\n';
    if (write(report, text, length + 1) < 0) abort();
}

void note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    _exit(EXIT_SKIPPED);
}

void context(const char *format, ...)
{
    if (!format) {
        context_text[0] = '\0';
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context_text, sizeof context_text, format, arguments);
    va_end(arguments);
}

void fail_check(const char *file, int line, const char *text, int64_t actual, int64_t expected)
{
    char name[2][64] = { "", "" };
    int64_t values[2] = { actual, expected };
    for (int i = 0; i < 2; i++)
        if (values[i] < 0 && strcmp(sock_error_name(values[i]), "SOCK_UNKNOWN") != 0)
            snprintf(name[i], sizeof name[i], " (%s)", sock_error_name(values[i]));
    note("%s:%d: %s", file, line, text);
    note("  %lld%s against %lld%s", (long long)actual, name[0], (long long)expected, name[1]);
    if (context_text[0]) note("  with %s", context_text);
    if (sock_last_error()[0]) note("  last failure of this thread: %s", sock_last_error());
    _exit(EXIT_FAILED);
}

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value && strcmp(value, "0") != 0;
}

bool deep(void) { return is_set("SOCK_TEST_DEEP"); }
bool under_valgrind(void) { return is_set("SOCK_TEST_MEMCHECK"); }
bool under_memcheck(void) { return under_valgrind() || is_set("SOCK_TEST_SANITIZED"); }
int rounds(int usual) { return under_valgrind() ? usual / 20 + 1 : usual; }

int64_t hunting_ms(int64_t usual)
{
    const char *seconds = getenv("SOCK_TEST_SECONDS");
    return seconds && *seconds ? atoll(seconds) * 1000 : deep() ? 600000 : usual;
}

/* ---- what a case must leave as it found it ---- */

static int count_entries(const char *folder)
{
    DIR *entries = opendir(folder);
    int count = 0;
    while (entries && readdir(entries)) count++;
    if (entries) closedir(entries);
    return count - 2;
}

static int sanitizers_threads;

int running_threads(void) { return count_entries("/proc/self/task") - sanitizers_threads; }
int open_descriptors(void) { return count_entries("/proc/self/fd") - 1; }

int64_t resident_kib(void)
{
    long pages = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (!statm || fscanf(statm, "%ld %ld", &pages, &resident) != 2) abort();
    fclose(statm);
    return (int64_t)resident * (sysconf(_SC_PAGESIZE) / 1024);
}

typedef struct baseline {
    bool open[HIGHEST_DESCRIPTOR];
    int threads;
} baseline;

static void take_baseline(baseline *b)
{
    for (int fd = 0; fd < HIGHEST_DESCRIPTOR; fd++) b->open[fd] = fcntl(fd, F_GETFD) >= 0;
    b->threads = running_threads();
}

static void check_descriptors(const baseline *before, const baseline *after)
{
    bool same = true;
    for (int fd = 0; fd < HIGHEST_DESCRIPTOR; fd++) {
        if (before->open[fd] == after->open[fd]) continue;
        char link[64], target[256] = "?";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, target, sizeof target - 1);
        if (length > 0) target[length] = '\0';
        note(after->open[fd] ? "descriptor %d was left open: %s" : "descriptor %d was closed", fd, target);
        same = false;
    }
    if (!same) _exit(EXIT_FAILED);
}

static void check_baseline(const baseline *before)
{
    int64_t give_up = now_ms() + SETTLE_MS;
    while (running_threads() != before->threads && now_ms() < give_up) sleep_ms(1);
    baseline after;
    take_baseline(&after);
    check_descriptors(before, &after);
    if (after.threads != before->threads) {
        note("%d threads before, %d after", before->threads, after.threads);
        _exit(EXIT_FAILED);
    }
    if (sock_live_handles() != 0) {
        note("%lld handles are still alive", (long long)sock_live_handles());
        _exit(EXIT_FAILED);
    }
}

/* ---- running a case ---- */

static int memory_file(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0 || fcntl(fd, F_SETFL, O_APPEND) < 0) abort();
    return fd;
}

static void *end_at_once(void *own_folder)
{
    snprintf(own_folder, 64, "/proc/self/task/%d", (int)syscall(SYS_gettid));
    return NULL;
}

/* A sanitizer starts a thread of its own with the program's first, which is not one that a case could have left. */
static void count_sanitizers_threads(void)
{
    char folder[64];
    join_thread(start_thread(end_at_once, folder));
    WAIT_UNTIL(access(folder, F_OK) != 0);
    sanitizers_threads = running_threads() - 1;
}

static _Noreturn void run_in_child(const test_case *c, int output, const sigset_t *signals)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, signals, NULL);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(nothing, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    close(nothing);
    static baseline before;
    if (is_set("SOCK_TEST_SANITIZED")) count_sanitizers_threads();
    take_baseline(&before);
    c->run();
    check_baseline(&before);
    exit(0);
}

/* Waits for the child until a point in time; SIGCHLD is blocked in the parent. */
static bool wait_for(pid_t child, int64_t end, int *status)
{
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    while (waitpid(child, status, WNOHANG) == 0) {
        int64_t left = end - now_ms();
        if (left <= 0) return false;
        struct timespec timeout = { left / 1000, left % 1000 * 1000000 };
        sigtimedwait(&chld, NULL, &timeout);
    }
    return true;
}

static void print_file(const char *title, const char *path)
{
    char line[256];
    FILE *file = fopen(path, "re");
    if (file && fgets(line, sizeof line, file)) printf("#   %s %.*s\n", title, (int)strcspn(line, "\n"), line);
    if (file) fclose(file);
}

/* Where the threads of a case that ran out of time are. */
static void print_threads(pid_t child)
{
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/task", (int)child);
    DIR *tasks = opendir(path);
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/syscall", (int)child, task->d_name);
        print_file("a thread is in system call", path);
    }
    if (tasks) closedir(tasks);
}

static void print_lines(int fd, const char *before)
{
    FILE *file = fdopen(dup(fd), "r");
    char line[1200];
    if (!file) return;
    rewind(file);
    while (fgets(line, sizeof line, file)) printf("# %s%.*s\n", before, (int)strcspn(line, "\n"), line);
    fclose(file);
}

static void read_first_line(int fd, char *text, size_t size)
{
    ssize_t length = pread(fd, text, size - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

typedef struct running {
    const test_case *c;
    pid_t child;
    int output, report, seconds;
    int64_t end_ms;
} running;

static running start_case(const test_case *c, const sigset_t *signals)
{
    running r = { .c = c, .output = memory_file("output"), .report = memory_file("report") };
    r.seconds = (c->seconds ? c->seconds : 20) * (under_memcheck() ? 5 : 1) * (deep() ? 20 : 1);
    r.end_ms = now_ms() + r.seconds * INT64_C(1000);
    report = r.report;
    fflush(stdout);
    r.child = fork();
    if (r.child < 0) abort();
    if (r.child == 0) run_in_child(c, r.output, signals);
    return r;
}

static bool end_case(const running *r, int number)
{
    int status = 0;
    bool in_time = wait_for(r->child, r->end_ms, &status);
    bool ended = in_time && WIFEXITED(status);
    bool skipped = ended && WEXITSTATUS(status) == EXIT_SKIPPED;
    bool silent = lseek(r->output, 0, SEEK_END) == 0;
    bool passed = ended && (WEXITSTATUS(status) == 0 || skipped) && silent;
    char reason[512] = "";
    if (skipped) read_first_line(r->report, reason, sizeof reason);
    printf("%sok %d - %s%s%s\n", passed ? "" : "not ", number, r->c->name, skipped ? " # SKIP " : "", reason);
    if (!skipped) print_lines(r->report, "");
    if (!in_time) {
        printf("# no end after %d s\n", r->seconds);
        print_threads(r->child);
        kill(r->child, SIGKILL);
        waitpid(r->child, &status, 0);
    } else if (WIFSIGNALED(status)) {
        printf("# killed by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (WEXITSTATUS(status) > EXIT_SKIPPED) {
        printf("# exit status %d\n", WEXITSTATUS(status));
    }
    if (!silent) print_lines(r->output, "was written to stdout or stderr: ");
    close(r->output);
    close(r->report);
    return passed;
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(name, argv[i]) == 0) return true;
    return argc == 1;
}

int run_cases(int argc, char **argv, const test_case *cases, size_t count)
{
    sigset_t chld, before;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, &before);
    for (int fd = 3; fd < HIGHEST_DESCRIPTOR; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC); /* what make and others left open */
    bool listing = argc == 2 && strcmp(argv[1], "--list") == 0;
    for (size_t i = 0; listing && i < count; i++) puts(cases[i].name);
    if (listing) return 0;
    running beside[MOST_BESIDE];
    int number = 0, failed = 0, waiting = 0;
    for (size_t i = 0; i < count; i++)
        if (cases[i].beside && is_wanted(cases[i].name, argc, argv)) {
            if (waiting == MOST_BESIDE) abort();
            beside[waiting++] = start_case(&cases[i], &before);
        }
    for (size_t i = 0; i < count; i++)
        if (!cases[i].beside && is_wanted(cases[i].name, argc, argv)) {
            running r = start_case(&cases[i], &before);
            failed += !end_case(&r, ++number);
        }
    for (int i = 0; i < waiting; i++) failed += !end_case(&beside[i], ++number);
    printf("1..%d\n", number);
    return failed > 0 || number == 0;
}

/* ---- time ---- */

int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t now_ms(void) { return now_us() / 1000; }

void sleep_ms(int64_t ms)
{
    struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) { }
}

int64_t processor_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000) + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* The kernel counts how long a thread was ready to run and had no processor. 0 if it does not say. */
static int64_t held_back_us(int thread)
{
    char path[64];
    long long ran, waited = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", thread);
    FILE *statistics = fopen(path, "re");
    if (statistics && fscanf(statistics, "%lld %lld", &ran, &waited) != 2) waited = 0;
    if (statistics) fclose(statistics);
    return waited / 1000;
}

static int own_id(void) { return (int)syscall(SYS_gettid); }

stopwatch start_watch(void)
{
    int64_t held_back = held_back_us(own_id());
    return (stopwatch){ .began_us = now_us(), .held_back_us = held_back };
}

int64_t watch_us(const stopwatch *watch)
{
    int64_t took = now_us() - watch->began_us, held_back = held_back_us(own_id()) - watch->held_back_us;
    return held_back > 0 ? took - held_back : took;
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t median(int64_t *values, size_t count)
{
    qsort(values, count, sizeof *values, compare_numbers);
    return values[count / 2];
}

/* ---- threads and calls in them ---- */

pthread_t start_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, argument), ==, 0);
    return thread;
}

/* A joined thread may still be listed for a moment; the baseline waits for that. */
void *join_thread(pthread_t thread)
{
    void *result = NULL;
    CHECK(pthread_join(thread, &result), ==, 0);
    return result;
}

static void *run_call(void *argument)
{
    call *c = argument;
    c->began_us = now_us();
    atomic_store(&c->id, own_id());
    c->result = c->run(c);
    c->ended_us = now_us();
    c->held_back_us = held_back_us(own_id());
    c->last_count = sock_last_count();
    c->last_errno = sock_last_errno();
    snprintf(c->last_error, sizeof c->last_error, "%s", sock_last_error());
    atomic_store(&c->done, 1);
    return NULL;
}

void call_start(call *c)
{
    atomic_store(&c->id, 0);
    atomic_store(&c->done, 0);
    c->thread = start_thread(run_call, c);
}

/* Whether a thread waits for a lock, whose holder may have no processor: it will go on. No call of the library waits that way. */
static bool waits_for_lock(int id)
{
    char path[64];
    long number = -1;
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", id);
    FILE *call = fopen(path, "re");
    if (call && fscanf(call, "%ld", &number) != 1) number = -1;
    if (call) fclose(call);
    return number == SYS_futex;
}

/* Switches of a thread that sleeps, or -1 while it runs. */
static long sleeping_since(int id)
{
    char path[64], line[128], state = '?';
    long switches = -1;
    if (waits_for_lock(id)) return -1;
    snprintf(path, sizeof path, "/proc/self/task/%d/status", id);
    FILE *status = fopen(path, "re");
    while (status && fgets(line, sizeof line, status)) {
        sscanf(line, "State: %c", &state);
        sscanf(line, "voluntary_ctxt_switches: %ld", &switches);
    }
    if (status) fclose(status);
    return state == 'S' ? switches : -1;
}

void call_wait_asleep(call *c)
{
    WAIT_UNTIL(atomic_load(&c->id) != 0);
    long before = -2;
    for (int same = 0; same < 3;) {
        CHECK(atomic_load(&c->done), ==, 0);
        sleep_ms(under_memcheck() ? 20 : 1);
        long now = sleeping_since(atomic_load(&c->id));
        same = now >= 0 && now == before ? same + 1 : 0;
        before = now;
    }
    c->held_back_before_us = held_back_us(atomic_load(&c->id));
}

void start_reader(call *c, sock_t s, char *byte)
{
    *c = (call){ .run = call_read, .socket = s, .buffer = byte, .size = 1 };
    call_start(c);
    call_wait_asleep(c);
}

static atomic_int held;

static void stay(int number)
{
    (void)number;
    atomic_store(&held, 1);
    while (atomic_load(&held)) sleep_ms(1);
}

void call_hold(call *c)
{
    CHECK(signal(SIGUSR1, stay) != SIG_ERR, ==, true);
    CHECK(pthread_kill(c->thread, SIGUSR1), ==, 0);
    WAIT_UNTIL(atomic_load(&held));
}

void call_let_go(void)
{
    atomic_store(&held, 0);
}

int64_t call_ended_after_us(const call *c, int64_t since_us)
{
    int64_t took = c->ended_us - since_us, held_back = c->held_back_us - c->held_back_before_us;
    return held_back > 0 ? took - held_back : took;
}

int64_t call_join(call *c)
{
    join_thread(c->thread);
    return c->result;
}

static struct iovec whole(call *c)
{
    return (struct iovec){ .iov_base = c->buffer, .iov_len = c->size };
}

int64_t call_read(call *c) { return sock_read(c->socket, c->buffer, c->size); }
int64_t call_read_exact(call *c) { return sock_read_exact(c->socket, c->buffer, c->size); }
int64_t call_read_line(call *c) { return sock_read_line(c->socket, c->buffer, c->size); }
int64_t call_peek(call *c) { return sock_peek(c->socket, c->buffer, c->size); }
int64_t call_write(call *c) { return sock_write(c->socket, c->buffer, c->size); }
int64_t call_accept(call *c) { return sock_accept(c->socket); }
int64_t call_open(call *c) { return sock_open(c->host, c->port, c->options); }
int64_t call_finish(call *c) { return sock_finish(c->socket, c->number); }

int64_t call_readv(call *c)
{
    struct iovec part = whole(c);
    return sock_readv(c->socket, &part, 1);
}

int64_t call_writev(call *c)
{
    struct iovec part = whole(c);
    return sock_writev(c->socket, &part, 1);
}

/* ---- children of a case ---- */

pid_t fork_child(void)
{
    pid_t child = fork();
    CHECK(child, >=, 0);
    if (child == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child;
}

int child_status(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0), ==, child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* A fork copies what the parent's other threads had allocated, but not the threads; valgrind would call that a leak. */
void leave_child(void)
{
    if (under_memcheck()) execl("/bin/true", "true", (char *)NULL);
    _exit(0);
}

/* ---- plain sockets ---- */

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

int raw_reserve(uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd, >=, 0);
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &length), ==, 0);
    *port = ntohs(address.sin_port);
    return fd;
}

bool have_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 loopback = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    bool have = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof loopback) == 0;
    if (fd >= 0) close(fd);
    return have;
}

int raw_listen_backlog(uint16_t *port, int backlog)
{
    int fd = raw_reserve(port);
    CHECK(listen(fd, backlog), ==, 0);
    return fd;
}

int raw_listen(uint16_t *port) { return raw_listen_backlog(port, 128); }

int raw_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd, >=, 0);
    struct sockaddr_in address = loopback(port);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

int raw_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(fd, >=, 0);
    return fd;
}

/* A socket of the library's may be non-blocking: waits for it if the system call said that it would block. */
static bool may_go_on(int fd, short events)
{
    if (errno == EAGAIN) poll(&(struct pollfd){ .fd = fd, .events = events }, 1, -1);
    return errno == EAGAIN || errno == EINTR;
}

void raw_send(int fd, const void *data, size_t size)
{
    const char *next = data;
    while (size > 0) {
        ssize_t sent = send(fd, next, size, MSG_NOSIGNAL);
        if (sent < 0 && may_go_on(fd, POLLOUT)) continue;
        CHECK(sent, >, 0);
        next += sent;
        size -= (size_t)sent;
    }
}

void raw_receive(int fd, void *data, size_t size)
{
    char *next = data;
    while (size > 0) {
        ssize_t received = recv(fd, next, size, 0);
        if (received < 0 && may_go_on(fd, POLLIN)) continue;
        CHECK(received, >, 0);
        next += received;
        size -= (size_t)received;
    }
}

int64_t raw_drain(int fd)
{
    char buffer[16384];
    int64_t sum = 0;
    for (;;) {
        ssize_t received = recv(fd, buffer, sizeof buffer, 0);
        if (received < 0 && errno == EINTR) continue;
        if (received < 0) return -errno;
        if (received == 0) return sum;
        sum += received;
    }
}

void raw_close(int fd) { CHECK(close(fd), ==, 0); }

void raw_reset(int fd)
{
    struct linger at_once = { 1, 0 };
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), ==, 0);
    raw_close(fd);
}

/* The kernel still moves bytes from our buffer to the peer's for a moment, so "full" means full at that many looks in a row. */
enum { FULL_LOOKS = 10 };

int64_t raw_fill(int fd)
{
    static const char zeros[65536];
    int64_t sum = 0;
    for (int full = 0; full < FULL_LOOKS; full++) {
        ssize_t sent = send(fd, zeros, sizeof zeros, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            sum += sent;
            full = 0;
        } else {
            sleep_ms(2);
        }
    }
    return sum;
}

bool raw_readable(int fd, int timeout_ms)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    int64_t end = now_ms() + timeout_ms;
    for (;;) {
        int64_t left = end - now_ms();
        int count = poll(&ready, 1, left > 0 ? (int)left : 0);
        if (count >= 0 || errno != EINTR) return count > 0;
    }
}

/* ---- library sockets ---- */

const char *own_loopback(void)
{
    static _Thread_local char text[24];
    unsigned id = (unsigned)getpid();
    snprintf(text, sizeof text, "127.%u.%u.%u", 128 + (id >> 16 & 63), id >> 8 & 255, id & 255);
    return text;
}

const char *port_text(uint16_t port)
{
    static _Thread_local char texts[8][8];
    static _Thread_local unsigned next;
    char *text = texts[next++ % 8];
    snprintf(text, sizeof texts[0], "%u", (unsigned)port);
    return text;
}

uint16_t port_of(sock_t s)
{
    sock_address address;
    CHECK(sock_local_address(s, &address), ==, 0);
    int port = sock_address_port(&address);
    CHECK(port, >, 0);
    return (uint16_t)port;
}

sock_t listen_local(void)
{
    sock_t listener = sock_listen("127.0.0.1", "0", NULL);
    CHECK(listener, >, 0);
    return listener;
}

sock_t open_local(sock_t listener)
{
    sock_t s = sock_open("127.0.0.1", port_text(port_of(listener)), NULL);
    CHECK(s, >, 0);
    return s;
}

/* The kernel would let a connection's buffers grow to whatever the machine allows, and a few MiB might fit in. */
static void bound_buffers(int fd)
{
    int size = 128 << 10;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), ==, 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), ==, 0);
}

void tcp_with_raw_peer(sock_t *s, int *peer)
{
    uint16_t port;
    int listener = raw_listen(&port);
    *s = sock_open("127.0.0.1", port_text(port), NULL);
    CHECK(*s, >, 0);
    *peer = raw_accept(listener);
    bound_buffers(sock_fd(*s));
    bound_buffers(*peer);
    raw_close(listener);
}

void tcp_pair(sock_t pair[2])
{
    sock_t listener = listen_local();
    pair[0] = open_local(listener);
    pair[1] = sock_accept(listener);
    CHECK(pair[1], >, 0);
    for (int side = 0; side < 2; side++) bound_buffers(sock_fd(pair[side]));
    CHECK(sock_close(listener), ==, 0);
}

void unix_pair(sock_t pair[2])
{
    CHECK(sock_pair(pair), ==, 0);
}

void close_pair(sock_t pair[2])
{
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_close(pair[1]), ==, 0);
}

void *echo_until_end(void *handle)
{
    sock_t s = *(sock_t *)handle;
    char buffer[1024];
    for (;;) {
        int64_t length = sock_read(s, buffer, sizeof buffer);
        CHECK(length, >=, 0);
        if (length == 0) return NULL;
        CHECK(sock_write(s, buffer, (size_t)length), ==, length);
    }
}

int64_t fill(sock_t s)
{
    static const char zeros[65536];
    int64_t sum = 0;
    for (int full = 0; full < FULL_LOOKS; full++) {
        int64_t sent = sock_try_write(s, zeros, sizeof zeros);
        if (sent > 0) {
            sum += sent;
            full = 0;
        } else {
            CHECK(sent, ==, SOCK_EAGAIN);
            sleep_ms(2);
        }
    }
    return sum;
}

/* ---- calls that wait ---- */

const blocking_call blocking_calls[BLOCKING_CALLS] = {
    { "read", call_read, 1, false },
    { "read_exact", call_read_exact, 100, false },
    { "read_line", call_read_line, 100, false },
    { "peek", call_peek, 1, false },
    { "readv", call_readv, 1, false },
    { "write", call_write, BLOCKING_SIZE, true },
    { "writev", call_writev, BLOCKING_SIZE, true },
};

void crowd_start(call crowd[CROWD], sock_t s)
{
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = (call){ .run = i % 2 ? call_write : call_read_exact, .socket = s, .size = BLOCKING_SIZE };
        crowd[i].buffer = calloc(1, crowd[i].size);
        call_start(&crowd[i]);
    }
    for (int i = 0; i < CROWD; i++) call_wait_asleep(&crowd[i]);
}

void crowd_join(call crowd[CROWD], int64_t expected)
{
    for (int i = 0; i < CROWD; i++) {
        CHECK(call_join(&crowd[i]), ==, expected);
        free(crowd[i].buffer);
    }
}

/* ---- servers ---- */

served serve_with(sock_handler handler, void *context, const sock_server_options *options)
{
    served s = { .listener = listen_local() };
    s.port = port_of(s.listener);
    s.server = sock_serve(s.listener, handler, context, options);
    CHECK(s.server, >, 0);
    return s;
}

sock_server_info server_info(sock_t server)
{
    sock_server_info info = { .size = sizeof info };
    CHECK(sock_get_server_info(server, &info), ==, 0);
    return info;
}

void echo_handler(sock_t connection, void *unused)
{
    char buffer[256];
    int64_t length;
    (void)unused;
    while ((length = sock_read(connection, buffer, sizeof buffer)) > 0)
        if (sock_write(connection, buffer, (size_t)length) < 0) return;
}

void raw_echoes(int fd, const char *text)
{
    char answer[256];
    raw_send(fd, text, strlen(text));
    raw_receive(fd, answer, strlen(text));
    CHECK(memcmp(answer, text, strlen(text)), ==, 0);
}

/* ---- bytes ---- */

static unsigned char pattern_byte(uint64_t offset)
{
    return (unsigned char)((offset * UINT64_C(0x9E3779B97F4A7C15)) >> 56);
}

void make_folder(char path[FOLDER])
{
    strcpy(path, "/tmp/sock-test-XXXXXX"); /* the form that mkdtemp asks for */
    CHECK(mkdtemp(path) != NULL, ==, true);
}

void make_unix_host(char folder[FOLDER], char host[UNIX_HOST])
{
    make_folder(folder);
    snprintf(host, UNIX_HOST, "unix:%s/s", folder);
}

void pattern(void *buffer, size_t size, uint64_t offset)
{
    unsigned char *bytes = buffer;
    for (size_t i = 0; i < size; i++) bytes[i] = pattern_byte(offset + i);
}

size_t pattern_mismatch(const void *buffer, size_t size, uint64_t offset)
{
    const unsigned char *bytes = buffer;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != pattern_byte(offset + i)) return i;
    return size;
}

int pattern_file(size_t size)
{
    char chunk[8192];
    int fd = memfd_create("pattern", MFD_CLOEXEC);
    CHECK(fd, >=, 0);
    for (size_t done = 0; done < size;) {
        size_t length = size - done < sizeof chunk ? size - done : sizeof chunk;
        pattern(chunk, length, done);
        CHECK(write(fd, chunk, length), ==, length);
        done += length;
    }
    CHECK(lseek(fd, 0, SEEK_SET), ==, 0);
    return fd;
}
