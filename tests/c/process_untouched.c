/* The process that uses the library is left alone: signals, umask, folder, locale, timers, output, descriptors over exec. */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include "harness.h"

/* A bit of everything, failures included. */
static void use_the_library(void)
{
    sock_t pair[2];
    char line[16], byte;
    tcp_pair(pair);
    CHECK(sock_printf(pair[0], "%s\n", "line"), ==, 5);
    CHECK(sock_read_line(pair[1], line, sizeof line), ==, 4);
    CHECK(sock_set_timeout(pair[1], SOCK_READ, 5), ==, 0);
    CHECK(sock_read(pair[1], &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(sock_cancel(pair[1]), ==, 0);
    close_pair(pair);
    unix_pair(pair);
    CHECK(sock_close(pair[1]), ==, 0);
    CHECK(sock_write(pair[0], "x", 1), ==, SOCK_EPIPE);
    CHECK(sock_close(pair[0]), ==, 0);
    CHECK(sock_open("127.0.0.1", "1", SOCK_OPTIONS(.timeout_ms = 1000)), <, 0);
    sock_t s = sock_open("localhost", "1", SOCK_OPTIONS(.timeout_ms = 5000)); /* with a thread of the resolver */
    CHECK(s, <, 0);
    CHECK(sock_open("not a host", "1", NULL), ==, SOCK_EINVAL);
    CHECK(sock_close(7), ==, SOCK_EHANDLE);
}

static void signals_are_as_they_were(void)
{
    struct sigaction before[65], after;
    sigset_t mask_before, mask_after;
    for (int number = 1; number <= 64; number++) sigaction(number, NULL, &before[number]);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask_before), ==, 0);
    use_the_library();
    for (int number = 1; number <= 64; number++) {
        if (sigaction(number, NULL, &after) != 0) continue;
        context("signal %d", number);
        CHECK(after.sa_handler == before[number].sa_handler, ==, true);
        CHECK(after.sa_flags, ==, before[number].sa_flags);
    }
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask_after), ==, 0);
    for (int number = 1; number <= 64; number++) CHECK(sigismember(&mask_after, number), ==, sigismember(&mask_before, number));
    sigset_t pending;
    CHECK(sigpending(&pending), ==, 0);
    CHECK(sigismember(&pending, SIGPIPE), ==, 0);
}

static void timers_are_as_they_were(void)
{
    struct itimerval timer;
    use_the_library();
    int kinds[] = { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };
    for (int i = 0; i < 3; i++) {
        CHECK(getitimer(kinds[i], &timer), ==, 0);
        CHECK(timer.it_value.tv_sec + timer.it_value.tv_usec, ==, 0);
    }
}

static void umask_folder_and_locale_are_as_they_were(void)
{
    char before[4096], after[4096];
    mode_t mask = umask(0123);
    CHECK(getcwd(before, sizeof before) != NULL, ==, true);
    char *locale = strdup(setlocale(LC_ALL, NULL));
    use_the_library();
    CHECK(umask(mask), ==, 0123);
    CHECK(getcwd(after, sizeof after) != NULL, ==, true);
    CHECK(strcmp(before, after), ==, 0);
    CHECK(strcmp(locale, setlocale(LC_ALL, NULL)), ==, 0);
    free(locale);
}

/* In Turkish "I" is not the capital of "i", in German the decimal point is a comma; addresses are the same. */
static void the_locale_changes_no_parsing(void)
{
    const char *locales[] = { "tr_TR.UTF-8", "de_DE.UTF-8", "C.UTF-8", "C" };
    for (int i = 0; i < 4; i++) {
        setlocale(LC_ALL, locales[i]); /* stays as it is if there is none */
        sock_address address;
        char text[SOCK_ADDRESS_TEXT];
        CHECK(sock_address_parse("127.0.0.1", "80", &address), ==, 0);
        CHECK(sock_address_format(&address, text, sizeof text), ==, 12);
        CHECK(strcmp(text, "127.0.0.1:80"), ==, 0);
        CHECK(sock_address_parse("1,2.3.4", "80", &address), ==, SOCK_EINVAL);
    }
}

static void every_descriptor_is_closed_on_exec(void)
{
    sock_t pair[2], listener = listen_local(), datagrams = sock_udp_bind("127.0.0.1", "0", NULL), poller = sock_poller();
    char folder[FOLDER], host[UNIX_HOST], byte;
    make_unix_host(folder, host);
    sock_t local = sock_listen(host, NULL, NULL), client = sock_open(host, NULL, NULL), accepted = sock_accept(local);
    CHECK(accepted, >, 0);
    tcp_pair(pair);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 1), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT); /* what waiting needs is closed too */
    int looked_at = 0;
    for (int fd = 3; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0) continue;
        looked_at++;
        context("descriptor %d", fd);
        CHECK(flags & FD_CLOEXEC, ==, FD_CLOEXEC);
    }
    CHECK(looked_at, >=, 8);
    context(NULL);
    sock_t all[] = { listener, datagrams, poller, local, client, accepted };
    for (int i = 0; i < 6; i++) CHECK(sock_close(all[i]), ==, 0);
    close_pair(pair);
    CHECK(rmdir(folder), ==, 0);
}

/* The library's sockets may land on 0, 1 and 2: nothing is written there as if they were the standard ones. */
static void standard_descriptors_may_be_closed(void)
{
    pid_t child = fork_child();
    if (child == 0) {
        for (int fd = 0; fd < 3; fd++) close(fd);
        sock_t pair[2], more[2];
        char buffer[8];
        unix_pair(pair);
        unix_pair(more);
        CHECK(sock_fd(pair[0]), <, 3);
        use_the_library();
        CHECK(sock_try_read(pair[0], buffer, sizeof buffer), ==, SOCK_EAGAIN);
        CHECK(sock_try_read(pair[1], buffer, sizeof buffer), ==, SOCK_EAGAIN);
        CHECK(sock_try_read(more[0], buffer, sizeof buffer), ==, SOCK_EAGAIN);
        CHECK(sock_try_read(more[1], buffer, sizeof buffer), ==, SOCK_EAGAIN);
        CHECK(sock_write(pair[0], "x", 1), ==, 1);
        CHECK(sock_read(pair[1], buffer, sizeof buffer), ==, 1);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
}

static void there_are_no_threads_when_nothing_needs_them(void)
{
    sock_t pair[2];
    char byte;
    tcp_pair(pair);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 1), ==, 0);
    CHECK(sock_read(pair[0], &byte, 1), ==, SOCK_ETIMEDOUT);
    sock_t poller = sock_poller();
    CHECK(running_threads(), ==, 1);
    CHECK(sock_close(poller), ==, 0);
    close_pair(pair);
    CHECK(running_threads(), ==, 1);
}

static const test_case cases[] = {
    CASE(signals_are_as_they_were),
    CASE(timers_are_as_they_were),
    CASE(umask_folder_and_locale_are_as_they_were),
    CASE(the_locale_changes_no_parsing),
    CASE(every_descriptor_is_closed_on_exec),
    CASE(standard_descriptors_may_be_closed),
    CASE(there_are_no_threads_when_nothing_needs_them),
};
TEST_MAIN(cases)
