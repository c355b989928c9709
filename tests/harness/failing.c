/* Cases that the harness must report as failed, each for its own reason, and a few that it must not. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "harness.h"

static void passes(void) { CHECK(1 + 1, ==, 2); }
static void fails_a_check(void) { CHECK(SOCK_EINVAL, ==, 5); }
static void leaves_a_descriptor_open(void) { CHECK(dup(0), >=, 0); }
static void closes_a_descriptor(void) { close(0); }
static void writes_to_stderr(void) { fputs("surprise\n", stderr); }
static void writes_to_stdout(void) { puts("surprise"); }
static void crashes(void) { raise(SIGSEGV); }
static void exits_by_itself(void) { exit(7); }
static void is_skipped(void) { skip("it is only a test"); }

static void *sleep_long(void *argument)
{
    (void)argument;
    sleep_ms(60000);
    return NULL;
}
static void leaves_a_thread_running(void) { start_thread(sleep_long, NULL); }

static void leaves_a_handle_open(void)
{
    sock_t pair[2];
    unix_pair(pair);
    CHECK(sock_close(pair[0]), ==, 0);
    close(sock_fd(pair[1])); /* so that only the handle is left */
}

static void never_ends(void) { sleep_ms(3600000); }

static void *fail_in_thread(void *argument)
{
    CHECK(argument != NULL, ==, true);
    return NULL;
}
static void fails_in_a_thread(void) { join_thread(start_thread(fail_in_thread, NULL)); }

/* Two cases that can only end if they run at the same time: each sends to the other, and hears from it. */
static void meet(int own)
{
    struct sockaddr_un names[2];
    char byte;
    for (int i = 0; i < 2; i++) {
        names[i] = (struct sockaddr_un){ .sun_family = AF_UNIX };
        snprintf(names[i].sun_path + 1, sizeof names[i].sun_path - 1, "sock-harness-%d-%d", (int)getppid(), i);
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(bind(fd, (struct sockaddr *)&names[own], sizeof names[own]), ==, 0);
    WAIT_UNTIL(sendto(fd, "x", 1, 0, (struct sockaddr *)&names[1 - own], sizeof names[own]) == 1);
    CHECK(recv(fd, &byte, 1, 0), ==, 1);
    close(fd);
}
static void meets_the_second(void) { meet(0); }
static void meets_the_first(void) { meet(1); }
static void fails_beside_the_others(void) { CHECK(SOCK_ETYPE, ==, 6); }

static const test_case cases[] = {
    SLOW_CASE(meets_the_second),
    SLOW_CASE(fails_beside_the_others),
    CASE(passes),
    CASE(fails_a_check),
    CASE(leaves_a_descriptor_open),
    CASE(closes_a_descriptor),
    CASE(writes_to_stderr),
    CASE(writes_to_stdout),
    CASE(crashes),
    CASE(exits_by_itself),
    CASE(is_skipped),
    CASE(leaves_a_thread_running),
    CASE(leaves_a_handle_open),
    LONG_CASE(never_ends, 1),
    CASE(fails_in_a_thread),
    SLOW_CASE(meets_the_first),
};
TEST_MAIN(cases)
