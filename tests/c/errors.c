/* Errors: every code has a name and a phrase, and the text of a failure says what failed, with whom and why. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "harness.h"

static const struct {
    int64_t code;
    const char *name;
} codes[] = {
#define CODE(name) { name, #name }
    CODE(SOCK_OK), CODE(SOCK_EINVAL), CODE(SOCK_EHANDLE), CODE(SOCK_ETYPE), CODE(SOCK_ETOOLONG), CODE(SOCK_EBUSY), CODE(SOCK_ENOTSUP),
    CODE(SOCK_ETIMEDOUT), CODE(SOCK_EAGAIN), CODE(SOCK_ECLOSED), CODE(SOCK_ECANCELED), CODE(SOCK_EEOF), CODE(SOCK_ENOHOST),
    CODE(SOCK_ENOSERVICE), CODE(SOCK_ERESOLVE), CODE(SOCK_ECONNREFUSED), CODE(SOCK_ECONNRESET), CODE(SOCK_EPIPE),
    CODE(SOCK_EUNREACH), CODE(SOCK_ENOTCONN), CODE(SOCK_EADDRINUSE), CODE(SOCK_EADDRNOTAVAIL), CODE(SOCK_EACCES),
    CODE(SOCK_EMSGSIZE), CODE(SOCK_ETRUNC), CODE(SOCK_ENOENT), CODE(SOCK_EEXIST), CODE(SOCK_ELIMIT), CODE(SOCK_ENOMEM),
    CODE(SOCK_ESYS), CODE(SOCK_EINTERNAL),
};
enum { CODES = sizeof codes / sizeof *codes };

static void every_code_has_its_name_and_a_phrase_of_its_own(void)
{
    for (size_t i = 0; i < CODES; i++) {
        context("%s", codes[i].name);
        CHECK(strcmp(sock_error_name(codes[i].code), codes[i].name), ==, 0);
        CHECK(strlen(sock_strerror(codes[i].code)), >, 3);
        for (size_t other = 0; other < i; other++)
            CHECK(strcmp(sock_strerror(codes[i].code), sock_strerror(codes[other].code)) != 0, ==, true);
    }
}

static bool is_code(int64_t number)
{
    for (size_t i = 0; i < CODES; i++)
        if (codes[i].code == number) return true;
    return false;
}

static void any_number_has_a_text(void)
{
    for (int64_t number = -70000; number <= 70000; number++) {
        const char *text = sock_strerror(number), *name = sock_error_name(number);
        CHECK(text != NULL && strlen(text) > 0, ==, true);
        CHECK(name != NULL, ==, true);
        if (!is_code(number)) CHECK(strcmp(name, "SOCK_UNKNOWN"), ==, 0);
        CHECK(sock_strerror(number) == text, ==, true); /* static */
    }
    int64_t extremes[] = { INT64_MIN, INT64_MAX, INT64_MIN + 1, INT32_MIN, INT32_MAX, (int64_t)1 << 32, -((int64_t)1 << 32) - 2 };
    for (size_t i = 0; i < sizeof extremes / sizeof *extremes; i++) {
        CHECK(strlen(sock_strerror(extremes[i])), >, 0);
        CHECK(strcmp(sock_error_name(extremes[i]), "SOCK_UNKNOWN"), ==, 0);
        CHECK(sock_error_is_temporary(extremes[i]), ==, 0);
    }
}

static void temporary_is_what_may_pass(void)
{
    int64_t temporary[] = { SOCK_ETIMEDOUT, SOCK_EAGAIN, SOCK_ERESOLVE, SOCK_ELIMIT, SOCK_ENOMEM };
    int64_t lasting[] = { SOCK_OK, SOCK_EINVAL, SOCK_EHANDLE, SOCK_ETYPE, SOCK_ETOOLONG, SOCK_ENOTSUP, SOCK_ECLOSED, SOCK_ECANCELED,
                          SOCK_EEOF, SOCK_EINTERNAL };
    for (size_t i = 0; i < sizeof temporary / sizeof *temporary; i++) {
        context("%s", sock_error_name(temporary[i]));
        CHECK(sock_error_is_temporary(temporary[i]), ==, 1);
    }
    for (size_t i = 0; i < sizeof lasting / sizeof *lasting; i++) {
        context("%s", sock_error_name(lasting[i]));
        CHECK(sock_error_is_temporary(lasting[i]), ==, 0);
    }
}

static void before_any_failure_there_is_no_text(void)
{
    CHECK(strcmp(sock_last_error(), ""), ==, 0);
    CHECK(sock_last_errno(), ==, 0);
    CHECK(sock_last_count(), ==, 0);
}

static void the_text_names_operation_target_and_cause(void)
{
    uint16_t port;
    char target[32];
    int reserved = raw_reserve(&port);
    snprintf(target, sizeof target, "127.0.0.1:%u", (unsigned)port);
    CHECK(sock_open("127.0.0.1", port_text(port), NULL), ==, SOCK_ECONNREFUSED);
    CHECK(strncmp(sock_last_error(), "open ", 5), ==, 0);
    CHECK(strstr(sock_last_error(), target) != NULL, ==, true);
    CHECK(strstr(sock_last_error(), "connection refused") != NULL, ==, true);
    CHECK(strchr(sock_last_error(), '\n') == NULL, ==, true);
    CHECK(sock_last_errno(), ==, ECONNREFUSED);
    raw_close(reserved);

    sock_t s;
    int peer;
    char byte;
    tcp_with_raw_peer(&s, &peer);
    CHECK(sock_set_timeout(s, SOCK_READ, 10), ==, 0);
    CHECK(sock_read(s, &byte, 1), ==, SOCK_ETIMEDOUT);
    CHECK(strncmp(sock_last_error(), "read", 4), ==, 0);
    CHECK(strstr(sock_last_error(), "127.0.0.1:") != NULL, ==, true);
    CHECK(strstr(sock_last_error(), "timed out") != NULL, ==, true);
    CHECK(sock_last_errno(), ==, 0);
    raw_reset(peer);
    int64_t result;
    WAIT_UNTIL((result = sock_read(s, &byte, 1)) != SOCK_ETIMEDOUT);
    CHECK(result, ==, SOCK_ECONNRESET);
    CHECK(sock_last_errno(), ==, ECONNRESET);
    CHECK(strstr(sock_last_error(), "reset") != NULL, ==, true);
    CHECK(sock_close(s), ==, 0);
}

static void success_leaves_the_last_failure_alone(void)
{
    sock_t pair[2];
    char before[256], byte;
    CHECK(sock_close(-5), ==, SOCK_EHANDLE);
    CHECK(strlen(sock_last_error()), <, sizeof before);
    strcpy(before, sock_last_error());
    unix_pair(pair);
    CHECK(sock_write(pair[0], "x", 1), ==, 1);
    CHECK(sock_read(pair[1], &byte, 1), ==, 1);
    close_pair(pair);
    CHECK(strcmp(sock_last_error(), before), ==, 0);
    CHECK(sock_close(pair[0]), ==, SOCK_EHANDLE); /* and the next failure replaces it */
    CHECK(strncmp(sock_last_error(), "close", 5), ==, 0);
}

static void expect_kind(int64_t result, const char *kind)
{
    const char *text = sock_last_error();
    CHECK(result, ==, SOCK_ETYPE);
    context("%s", text);
    CHECK(strlen(text), >, strlen(kind));
    CHECK(strcmp(text + strlen(text) - strlen(kind), kind), ==, 0);
    context(NULL);
}

static void a_handle_of_the_wrong_kind_is_named(void)
{
    sock_t pair[2], listener = listen_local(), poller = sock_poller();
    sock_t datagrams = sock_udp_bind("127.0.0.1", "0", NULL);
    sock_event event;
    char line[2];
    unix_pair(pair);
    expect_kind(sock_accept(pair[0]), "for this call: a stream");
    expect_kind(sock_write(listener, "x", 1), "for this call: a listener");
    expect_kind(sock_relay(pair[0], listener), "for this call: a listener");
    expect_kind(sock_poller_wait(listener, &event, 1, 0), "for this call: a listener");
    expect_kind(sock_read_line(datagrams, line, sizeof line), "for this call: a datagram socket");
    expect_kind(sock_set_timeout(poller, SOCK_READ, 1), "for this call: a poller");
    expect_kind(sock_release_fd(poller), "for this call: a poller");
    close_pair(pair);
    CHECK(sock_close(listener), ==, 0);
    CHECK(sock_close(datagrams), ==, 0);
    CHECK(sock_close(poller), ==, 0);
}

/* A program that did not check whether it got a handle is told why it did not get one. */
static void a_code_in_place_of_a_handle_is_named(void)
{
    char byte;
    CHECK(sock_accept(sock_listen("192.0.2.1", "0", NULL)), ==, SOCK_EHANDLE);
    CHECK(strcmp(sock_last_error(), "accept: not a live handle, but the error of an earlier call: SOCK_EADDRNOTAVAIL"), ==, 0);
    CHECK(sock_read(SOCK_ECONNREFUSED, &byte, 1), ==, SOCK_EHANDLE);
    CHECK(strstr(sock_last_error(), "SOCK_ECONNREFUSED") != NULL, ==, true);
    const sock_t others[] = { 0, 1, -7, INT64_MIN, INT64_MAX };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        CHECK(sock_read(others[i], &byte, 1), ==, SOCK_EHANDLE);
        CHECK(strcmp(sock_last_error(), "read: not a live handle"), ==, 0);
    }
}

/* Only a failing transfer changes the count. */
static void the_count_is_that_of_the_last_failing_transfer(void)
{
    sock_t pair[2];
    char buffer[8];
    unix_pair(pair);
    CHECK(sock_write(pair[1], "abc", 3), ==, 3);
    CHECK(sock_set_timeout(pair[0], SOCK_READ, 5), ==, 0);
    CHECK(sock_read_exact(pair[0], buffer, 8), ==, SOCK_ETIMEDOUT);
    CHECK(sock_last_count(), ==, 3);
    CHECK(sock_write(pair[0], "z", 1), ==, 1);
    CHECK(sock_last_count(), ==, 3);
    CHECK(sock_close(1), ==, SOCK_EHANDLE);
    CHECK(sock_open("a b", "1", NULL), ==, SOCK_EINVAL);
    CHECK(sock_set_timeout(pair[0], 64, 0), ==, SOCK_EINVAL);
    CHECK(strncmp(sock_last_error(), "set_timeout", 11), ==, 0);
    CHECK(sock_last_count(), ==, 3);
    CHECK(sock_read(pair[0], buffer, 8), ==, SOCK_ETIMEDOUT);
    CHECK(sock_last_count(), ==, 0);
    close_pair(pair);
}

/* The text has a fixed place: nothing that is named in it makes it overflow. */
static void a_long_culprit_is_cut_not_overrun(void)
{
    static char host[100000];
    memset(host, 'h', sizeof host - 1);
    CHECK(sock_open(host, "80", NULL), ==, SOCK_ETOOLONG);
    CHECK(strlen(sock_last_error()), <, 8192);
    CHECK(strncmp(sock_last_error(), "open ", 5), ==, 0);
    host[200] = '\n'; /* text of the caller does not break the line */
    host[201] = '\0';
    CHECK(sock_open(host, "80", NULL), <, 0);
    CHECK(strchr(sock_last_error(), '\n') == NULL, ==, true);
    CHECK(sock_open("a\x1b[31mb", "80", NULL), ==, SOCK_EINVAL);
    CHECK(strchr(sock_last_error(), '\x1b') == NULL, ==, true);
}

static void errno_is_not_part_of_the_interface(void)
{
    sock_t pair[2];
    unix_pair(pair);
    errno = 12345;
    CHECK(sock_read(99, NULL, 0), ==, SOCK_EHANDLE);
    CHECK(sock_strerror(SOCK_EINVAL) != NULL, ==, true);
    CHECK(errno, ==, 12345);
    close_pair(pair);
}

static const test_case cases[] = {
    CASE(every_code_has_its_name_and_a_phrase_of_its_own),
    CASE(any_number_has_a_text),
    CASE(temporary_is_what_may_pass),
    CASE(before_any_failure_there_is_no_text),
    CASE(the_text_names_operation_target_and_cause),
    CASE(success_leaves_the_last_failure_alone),
    CASE(a_handle_of_the_wrong_kind_is_named),
    CASE(a_code_in_place_of_a_handle_is_named),
    CASE(the_count_is_that_of_the_last_failing_transfer),
    CASE(a_long_culprit_is_cut_not_overrun),
    CASE(errno_is_not_part_of_the_interface),
};
TEST_MAIN(cases)
