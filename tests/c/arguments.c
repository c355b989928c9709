/* Bad arguments: each gets its code, a text that names the culprit, and leaves nothing behind. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "harness.h"

/* ---- pointers and sizes ---- */

static void a_missing_pointer_is_refused(void)
{
    sock_t pair[2], listener = listen_local();
    sock_address address;
    char text[64];
    unix_pair(pair);
    CHECK(sock_address_parse("127.0.0.1", "1", &address), ==, 0);
    int64_t results[] = {
        sock_pair(NULL),
        sock_read(pair[0], NULL, 1),
        sock_read_exact(pair[0], NULL, 1),
        sock_read_line(pair[0], NULL, 1),
        sock_peek(pair[0], NULL, 1),
        sock_try_read(pair[0], NULL, 1),
        sock_write(pair[0], NULL, 1),
        sock_try_write(pair[0], NULL, 1),
        sock_readv(pair[0], NULL, 1),
        sock_writev(pair[0], NULL, 1),
        sock_local_address(pair[0], NULL),
        sock_peer_address(pair[0], NULL),
        sock_get_info(pair[0], NULL),
        sock_address_parse("127.0.0.1", "1", NULL),
        sock_address_format(NULL, text, sizeof text),
        sock_address_format(&address, NULL, sizeof text),
        sock_address_port(NULL),
        sock_resolve("127.0.0.1", "1", NULL, NULL, 1),
        sock_peer_credentials(pair[0], NULL),
        sock_send_fds(pair[0], NULL, 1, NULL, 0),
        sock_send_fds(pair[0], "x", 1, NULL, 1),
        sock_recv_fds(pair[0], NULL, 1, NULL, 0, &(size_t){ 0 }),
        sock_serve(listener, NULL, NULL, NULL),
        sock_inherited(NULL, 1),
    };
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        context("call %d of the list", (int)i);
        CHECK(results[i], ==, SOCK_EINVAL);
    }
    context(NULL);
    CHECK(sock_try_read(pair[1], text, 1), ==, SOCK_EAGAIN);
    close_pair(pair);
    CHECK(sock_close(listener), ==, 0);
}

static void a_missing_pointer_names_itself(void)
{
    sock_t pair[2];
    unix_pair(pair);
    CHECK(sock_read(pair[0], NULL, 1), ==, SOCK_EINVAL);
    CHECK(strstr(sock_last_error(), "read") != NULL, ==, true);
    CHECK(sock_last_errno(), ==, 0);
    CHECK(sock_last_count(), ==, 0);
    close_pair(pair);
}

/* A size that cannot be one is usually a negative number on its way through size_t. */
static void impossible_sizes_are_refused(void)
{
    sock_t pair[2];
    char buffer[8];
    size_t sizes[] = { SIZE_MAX, (size_t)PTRDIFF_MAX + 1, (size_t)-1000 };
    unix_pair(pair);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CHECK(sock_read(pair[0], buffer, sizes[i]), ==, SOCK_EINVAL);
        CHECK(sock_read_exact(pair[0], buffer, sizes[i]), ==, SOCK_EINVAL);
        CHECK(sock_read_line(pair[0], buffer, sizes[i]), ==, SOCK_EINVAL);
        CHECK(sock_peek(pair[0], buffer, sizes[i]), ==, SOCK_EINVAL);
        CHECK(sock_try_read(pair[0], buffer, sizes[i]), ==, SOCK_EINVAL);
        CHECK(sock_write(pair[0], buffer, sizes[i]), ==, SOCK_EINVAL);
        CHECK(sock_try_write(pair[0], buffer, sizes[i]), ==, SOCK_EINVAL);
    }
    CHECK(sock_try_read(pair[1], buffer, 1), ==, SOCK_EAGAIN);
    close_pair(pair);
}

/* ---- hosts and ports ---- */

static void refuse_address(const char *host, const char *port, int64_t code)
{
    int descriptors = open_descriptors();
    sock_address out;
    context("host \"%.40s\", port \"%s\"", host ? host : "(NULL)", port ? port : "(NULL)");
    int64_t began = now_us();
    CHECK(sock_open(host, port, NULL), ==, code);
    if (!under_memcheck()) CHECK(now_us() - began, <, 4000000); /* no resolver was asked */
    CHECK(strstr(sock_last_error(), "open") != NULL, ==, true);
    CHECK(sock_listen(host, port, NULL), ==, code);
    CHECK(sock_udp_open(host, port, NULL), ==, code);
    CHECK(sock_udp_bind(host, port, NULL), ==, code);
    CHECK(sock_resolve(host, port, NULL, &out, 1), ==, code);
    CHECK(open_descriptors(), ==, descriptors);
    CHECK(sock_live_handles(), ==, 0);
    CHECK(running_threads(), ==, 1);
    context(NULL);
}

static void what_only_looks_like_an_address_is_refused(void)
{
    const char *hosts[] = {
        "",           " ",          "*",           "127.1",        "0x7f.1",      "2130706433", "0177.0.0.1", "1.2.3.4.5",
        "256.1.1.1",  "127.0.0.1.", "0x7f000001",  "127.0.0.0x1",  "1.2.3",       "127.0.0.01", " 127.0.0.1", "127.0.0.1 ",
        "127.0.0.1\n", "127.0.0.1 foo", "local host", "a/b",       "a\tb",        "a\rb",       "a\nb",       "\x01",
        "127.0.0.1:80", "localhost:80", "b\xc3\xbc" "cher.test", "\xff\xfe", "\xef\xbc\x91.2.3.4", "example\xe3\x80\x82" "com",
        "[127.0.0.1]", "[::1",      "::1]",        "[]",           "[localhost]", ":::",        "1::2::3",    "::1%",
        "12345::",    "::g",        "a..b",        ".a",           "user@host",   "a%b",        "a\\b",       "a?b",
        "http://a",   "-a.test",    "a-.test",     "fe80::1%a-device-whose-name-is-longer-than-any-the-kernel-would-ever-take-64",
    };
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) refuse_address(hosts[i], "80", SOCK_EINVAL);
}

static void expect_words(int64_t result, const char *words)
{
    CHECK(result, ==, SOCK_EINVAL);
    context("%s", sock_last_error());
    CHECK(strstr(sock_last_error(), words) != NULL, ==, true);
    context(NULL);
}

static void a_port_given_twice_is_told(void)
{
    const char *hosts[] = { "localhost:80", "127.0.0.1:8080", "example.com:1", "[::1]:80", ":80" };
    const char *told = "already has a port";
    sock_address out;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        expect_words(sock_open(hosts[i], "80", NULL), told);
        expect_words(sock_listen(hosts[i], "80", NULL), told);
        expect_words(sock_udp_open(hosts[i], "80", NULL), told);
        expect_words(sock_udp_bind(hosts[i], "http", NULL), told);
        expect_words(sock_resolve(hosts[i], "80", NULL, &out, 1), told);
        expect_words(sock_address_parse(hosts[i], "80", &out), told);
    }
    const char *others[] = { "::1::80", "1:2:3:80", "a:b", "12345::", "[::1]:" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        expect_words(sock_open(others[i], "80", NULL), "is not an IPv6 address");
}

static void a_url_or_a_path_for_a_host_is_told(void)
{
    const char *hosts[] = { "http://localhost", "http://127.0.0.1/index.html", "localhost/", "/run/my.sock" };
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        expect_words(sock_open(hosts[i], "80", NULL), "has a slash");
        expect_words(sock_open(hosts[i], NULL, NULL), "unix:PATH");
    }
}

static void names_and_labels_have_limits(void)
{
    size_t lengths[] = { 254, 255, 256, 1024, 1 << 20 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char *name = malloc(lengths[i] + 1);
        for (size_t at = 0; at < lengths[i]; at++) name[at] = at % 10 == 9 ? '.' : 'a';
        name[lengths[i] - 1] = 'a';
        name[lengths[i]] = '\0';
        refuse_address(name, "80", SOCK_ETOOLONG);
        free(name);
    }
    char label[80];
    memset(label, 'a', sizeof label);
    strcpy(label + 64, ".test");
    refuse_address(label, "80", SOCK_ETOOLONG);
}

static void ports_are_numbers_from_0_to_65535_or_known_names(void)
{
    const char *bad[] = { "-1", "65536", "99999", "2147483647", "-2147483648", "4294967376", "18446744073709551696",
                          "http ", " http", "", " ", "80 ", " 80", "+80", "80\n", "8 0", "h\x01", "080", "00", "-http", "_http", "8-0", "1.2" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refuse_address("127.0.0.1", bad[i], SOCK_EINVAL);
    refuse_address("127.0.0.1", "a-service-whose-name-has-33-bytes", SOCK_ETOOLONG);
    CHECK(sock_open("127.0.0.1", "a-service-whose-name-has-32-byte", NULL), ==, SOCK_ENOSERVICE);
    CHECK(sock_open("127.0.0.1", "0x50", NULL), ==, SOCK_ENOSERVICE); /* a name, but nobody's */
    CHECK(sock_open("127.0.0.1", "no-such-service", NULL), ==, SOCK_ENOSERVICE);
    CHECK(strstr(sock_last_error(), "no-such-service") != NULL, ==, true);
    CHECK(sock_listen("127.0.0.1", "no-such-service", NULL), ==, SOCK_ENOSERVICE);
}

static void port_0_is_for_listening_only(void)
{
    sock_address address;
    CHECK(sock_open("127.0.0.1", "0", NULL), ==, SOCK_EINVAL);
    CHECK(sock_udp_open("127.0.0.1", "0", NULL), ==, SOCK_EINVAL);
    sock_t listener = sock_listen("127.0.0.1", "0", NULL);
    CHECK(listener, >, 0);
    CHECK(sock_local_address(listener, &address), ==, 0);
    CHECK(sock_address_port(&address), >, 0);
    CHECK(sock_close(sock_open("127.0.0.1", port_text((uint16_t)sock_address_port(&address)), NULL)), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void unix_hosts_take_no_port_and_have_limits(void)
{
    char path[200] = "unix:/tmp/";
    refuse_address("unix:", NULL, SOCK_EINVAL);
    refuse_address("unix:/tmp/x", "80", SOCK_EINVAL);
    memset(path + 10, 'p', 150);
    path[5 + 109] = '\0';
    refuse_address(path, NULL, SOCK_ETOOLONG);
    path[5 + 150] = '\0';
    refuse_address(path, NULL, SOCK_ETOOLONG);
}

static void a_missing_host_or_port_is_told(void)
{
    refuse_address(NULL, NULL, SOCK_EINVAL);
    CHECK(strstr(sock_last_error(), "neither host nor port") != NULL, ==, true);
    CHECK(sock_open(NULL, "no-such-service", NULL), ==, SOCK_ENOSERVICE);
    CHECK(strstr(sock_last_error(), " :no-such-service") != NULL, ==, true);
}

static void a_long_host_is_shown_cut(void)
{
    char host[400];
    for (size_t length = 300; length <= 301; length++) {
        memset(host, 'a', sizeof host);
        host[length] = '\0';
        CHECK(sock_open(host, "80", NULL), ==, SOCK_ETOOLONG);
        CHECK(strstr(sock_last_error(), "aaa\u2026:80") != NULL, ==, length > 300);
        CHECK(strstr(sock_last_error(), "aaa:80") != NULL, ==, length <= 300);
    }
}

static void an_address_in_one_text_must_be_whole(void)
{
    const char *bad[] = { "localhost", "127.0.0.1", "::1", "[::1]", "[::1]:", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
                          "127.1:80", ":", "[::1]:80:80", "::1:80x", "a b:80" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refuse_address(bad[i], NULL, SOCK_EINVAL);
}

/* ---- options ---- */

static void refuse_options(const sock_options *options)
{
    int descriptors = open_descriptors();
    sock_t s = sock_open("127.0.0.1", "9", options);
    CHECK(s, ==, SOCK_EINVAL);
    s = sock_listen("127.0.0.1", "0", options);
    CHECK(s, ==, SOCK_EINVAL);
    CHECK(open_descriptors(), ==, descriptors);
}

static void option_sizes_are_checked(void)
{
    struct {
        sock_options options;
        char tail[64];
    } longer = { .options = { .size = sizeof longer } };
    sock_options options = { .size = 0 };
    refuse_options(&options);
    options.size = SIZE_MAX;
    refuse_options(&options);

    sock_t listener = sock_listen("127.0.0.1", "0", &longer.options); /* newer, but asks for nothing new */
    CHECK(listener, >, 0);
    for (size_t i = 0; i < sizeof longer.tail; i++) {
        longer.tail[i] = 1;
        refuse_options(&longer.options);
        longer.tail[i] = 0;
    }

    /* An older program's struct ends earlier; what lies after it is not read. */
    options = (sock_options){ .size = offsetof(sock_options, io_timeout_ms), .family = SOCK_IPV4, .timeout_ms = 5000 };
    options.nodelay = SOCK_OFF;
    options.backlog = -12345;
    options.local_host = "not a host";
    sock_t s = sock_open("127.0.0.1", port_text(port_of(listener)), &options);
    CHECK(s, >, 0);
    CHECK(sock_get_option(s, SOCK_OPT_NODELAY), ==, 0);
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

/* Of any size from that of its first field on: nothing says where an older struct ended. The struct may end exactly where the
 * memory ends. */
static void a_short_struct_is_not_read_past_its_size(void)
{
    for (size_t size = 0; size <= sizeof(sock_options) + 3; size++) {
        context("size %d", (int)size);
        size_t room = size < sizeof size ? sizeof size : size;
        sock_options *options = malloc(room); /* valgrind and the sanitizers watch its end */
        memset(options, 0, room);
        memcpy(options, &size, sizeof size);
        sock_t listener = sock_listen("127.0.0.1", "0", options);
        if (size < sizeof size) {
            CHECK(listener, ==, SOCK_EINVAL);
        } else {
            CHECK(listener, >, 0);
            CHECK(sock_close(listener), ==, 0);
        }
        free(options);
    }
}

static void what_lies_behind_a_short_struct_does_not_count(void)
{
    sock_options options;
    memset(&options, 0x77, sizeof options);
    options.size = offsetof(sock_options, nodelay);
    options.family = SOCK_IPV4;
    sock_t listener = sock_listen(NULL, "0", &options);
    CHECK(listener, >, 0);
    CHECK(sock_get_option(listener, SOCK_OPT_NODELAY), ==, 1);
    CHECK(sock_close(listener), ==, 0);

    /* Nor does half a pointer. */
    options = (sock_options){ .device = "no such device" };
    for (options.size = offsetof(sock_options, device); options.size < sizeof options; options.size++) {
        context("size %d", (int)options.size);
        listener = sock_listen("127.0.0.1", "0", &options);
        CHECK(listener, >, 0);
        CHECK(sock_close(listener), ==, 0);
    }
    CHECK(sock_listen("127.0.0.1", "0", &options), ==, SOCK_EINVAL);
}

static void fields_out_of_range_are_refused(void)
{
    const sock_options *bad[] = {
        SOCK_OPTIONS(.family = 2),           SOCK_OPTIONS(.family = -1),           SOCK_OPTIONS(.family = 1000),
        SOCK_OPTIONS(.nodelay = 2),          SOCK_OPTIONS(.nodelay = -2),          SOCK_OPTIONS(.io_timeout_ms = -2),
        SOCK_OPTIONS(.keepalive_ms = -1),    SOCK_OPTIONS(.user_timeout_ms = -1),  SOCK_OPTIONS(.spin_us = -1),
        SOCK_OPTIONS(.send_buffer = -1),     SOCK_OPTIONS(.receive_buffer = -1),   SOCK_OPTIONS(.reuse_port = 7),
        SOCK_OPTIONS(.multipath = 2),        SOCK_OPTIONS(.fast_open = -7),         SOCK_OPTIONS(.family = SOCK_UNIX),
        SOCK_OPTIONS(.device = ""),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        context("options %d of the list", (int)i);
        refuse_options(bad[i]);
    }
}

/* A field that does not apply to the call is a misunderstanding, and is reported. */
static void fields_of_other_calls_are_refused(void)
{
    const sock_options *not_for_open[] = {
        SOCK_OPTIONS(.backlog = 5),
        SOCK_OPTIONS(.v6_only = SOCK_ON),
        SOCK_OPTIONS(.unix_replace = SOCK_OFF),
        SOCK_OPTIONS(.unix_mode = 0600),
    };
    const sock_options *not_for_listen[] = {
        SOCK_OPTIONS(.attempt_delay_ms = 100),
        SOCK_OPTIONS(.local_host = "127.0.0.1"),
        SOCK_OPTIONS(.local_port = "1234"),
    };
    for (size_t i = 0; i < sizeof not_for_open / sizeof *not_for_open; i++) {
        context("open, options %d of the list", (int)i);
        CHECK(sock_open("127.0.0.1", "9", not_for_open[i]), ==, SOCK_EINVAL);
        CHECK(strlen(sock_last_error()), >, 0);
    }
    for (size_t i = 0; i < sizeof not_for_listen / sizeof *not_for_listen; i++) {
        context("listen, options %d of the list", (int)i);
        CHECK(sock_listen("127.0.0.1", "0", not_for_listen[i]), ==, SOCK_EINVAL);
    }
}

/* An option that does not apply to the host, or contradicts it or another option, is a misunderstanding too. */
static void fields_that_contradict_the_host_are_refused(void)
{
    struct {
        sock_t (*call)(const char *, const char *, const sock_options *);
        const char *host, *port;
        const sock_options *options;
        const char *said;
    } calls[] = {
        { sock_listen, "127.0.0.1", "0", SOCK_OPTIONS(.unix_mode = 0600), "unix_mode" },
        { sock_listen, "127.0.0.1", "0", SOCK_OPTIONS(.unix_replace = SOCK_OFF), "unix_replace" },
        { sock_listen, "127.0.0.1", "0", SOCK_OPTIONS(.family = SOCK_UNIX), "SOCK_UNIX" },
        { sock_listen, "unix:@libsock-none", NULL, SOCK_OPTIONS(.device = "lo"), "device" },
        { sock_listen, "unix:@libsock-none", NULL, SOCK_OPTIONS(.reuse_port = SOCK_ON), "reuse_port" },
        { sock_listen, "unix:@libsock-none", NULL, SOCK_OPTIONS(.unix_mode = 0600), "unix_mode" },
        { sock_listen, "unix:@libsock-none", NULL, SOCK_OPTIONS(.unix_replace = SOCK_OFF), "unix_replace" },
        { sock_open, "unix:@libsock-none", NULL, SOCK_OPTIONS(.local_host = "127.0.0.1"), "local_host" },
        { sock_open, "unix:@libsock-none", NULL, SOCK_OPTIONS(.local_port = "1"), "local_port" },
        { sock_open, "unix:@libsock-none", NULL, SOCK_OPTIONS(.device = "lo"), "device" },
        { sock_open, "unix:@libsock-none", NULL, SOCK_OPTIONS(.reuse_port = SOCK_ON), "reuse_port" },
        { sock_open, "127.0.0.1", "9", SOCK_OPTIONS(.family = SOCK_IPV4, .local_host = "::1"), "local_host" },
        { sock_open, "127.0.0.1", "9", SOCK_OPTIONS(.local_host = "::1"), "local_host" },
        { sock_open, "127.0.0.1", "9", SOCK_OPTIONS(.local_host = "localhost"), "local_host" },
        { sock_open, "127.0.0.1", "9", SOCK_OPTIONS(.local_host = "unix:@libsock-none"), "local" },
        { sock_open, "127.0.0.1", "9", SOCK_OPTIONS(.family = SOCK_UNIX), "SOCK_UNIX" },
        { sock_open, "localhost", "9", SOCK_OPTIONS(.family = SOCK_UNIX), "SOCK_UNIX" },
        { sock_open, NULL, "9", SOCK_OPTIONS(.family = SOCK_UNIX), "SOCK_UNIX" },
        { sock_udp_open, "127.0.0.1", "9", SOCK_OPTIONS(.family = SOCK_UNIX), "SOCK_UNIX" },
        { sock_udp_open, "127.0.0.1", "9", SOCK_OPTIONS(.local_host = "::1"), "local_host" },
        { sock_udp_open, "unix:@libsock-none", NULL, SOCK_OPTIONS(.device = "lo"), "device" },
        { sock_udp_open, "unix:@libsock-none", NULL, SOCK_OPTIONS(.reuse_port = SOCK_ON), "reuse_port" },
        { sock_udp_open, "unix:@libsock-none", NULL, SOCK_OPTIONS(.local_host = "127.0.0.1"), "local_host" },
        { sock_udp_open, "unix:@libsock-none", NULL, SOCK_OPTIONS(.local_host = "unix:@libsock-own", .local_port = "1"), "local_port" },
        { sock_udp_bind, "unix:@libsock-none", NULL, SOCK_OPTIONS(.reuse_port = SOCK_ON), "reuse_port" },
        { sock_udp_bind, "unix:@libsock-none", NULL, SOCK_OPTIONS(.device = "lo"), "device" },
        { sock_udp_bind, "127.0.0.1", "0", SOCK_OPTIONS(.unix_mode = 0600), "unix_mode" },
        { sock_udp_bind, "127.0.0.1", "0", SOCK_OPTIONS(.unix_replace = SOCK_OFF), "unix_replace" },
        { sock_udp_bind, "127.0.0.1", "0", SOCK_OPTIONS(.family = SOCK_UNIX), "SOCK_UNIX" },
    };
    int descriptors = open_descriptors();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        context("call %d of the list", (int)i);
        CHECK(calls[i].call(calls[i].host, calls[i].port, calls[i].options), ==, SOCK_EINVAL);
        CHECK(strstr(sock_last_error(), calls[i].said) != NULL, ==, true);
    }
    CHECK(open_descriptors(), ==, descriptors);
}

/* What only tunes TCP and IP is not a misunderstanding: a program need not know what kind of host it was configured with. */
static void tuning_that_a_unix_host_does_not_need_is_ignored(void)
{
    char folder[FOLDER], stream[UNIX_HOST], datagrams[UNIX_HOST + 1];
    make_unix_host(folder, stream);
    snprintf(datagrams, sizeof datagrams, "%sd", stream);
    sock_t listener = sock_listen(stream, NULL, SOCK_OPTIONS(.nodelay = SOCK_ON, .keepalive_ms = 9000, .user_timeout_ms = 9000,
        .reuse_address = SOCK_ON, .reuse_port = SOCK_OFF, .v6_only = SOCK_ON, .multipath = SOCK_ON, .fast_open = SOCK_ON));
    CHECK(listener, >, 0);
    sock_t client = sock_open(stream, NULL, SOCK_OPTIONS(.nodelay = SOCK_OFF, .keepalive_ms = 9000, .user_timeout_ms = 9000,
        .attempt_delay_ms = 100, .reuse_port = SOCK_OFF, .multipath = SOCK_ON, .fast_open = SOCK_ON));
    CHECK(client, >, 0);
    sock_t accepted = sock_accept(listener);
    CHECK(sock_write(client, "x", 1), ==, 1);
    char byte;
    CHECK(sock_read(accepted, &byte, 1), ==, 1);
    sock_t receiver = sock_udp_bind(datagrams, NULL, SOCK_OPTIONS(.reuse_address = SOCK_ON, .v6_only = SOCK_ON));
    CHECK(receiver, >, 0);
    sock_t sender = sock_udp_open(datagrams, NULL, SOCK_OPTIONS(.reuse_address = SOCK_ON));
    CHECK(sock_write(sender, "x", 1), ==, 1);
    CHECK(sock_read(receiver, &byte, 1), ==, 1);
    sock_t all[] = { listener, client, accepted, receiver, sender };
    for (int i = 0; i < 5; i++) CHECK(sock_close(all[i]), ==, 0);
    rmdir(folder);
}

/* Every call that takes a host says the same of one that is not of the wanted family. */
static void a_host_of_another_family_is_no_host(void)
{
    sock_t (*calls[])(const char *, const char *, const sock_options *) = { sock_open, sock_listen, sock_udp_open, sock_udp_bind };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        context("call %d of the list", (int)i);
        CHECK(calls[i]("127.0.0.1", "9", SOCK_OPTIONS(.family = SOCK_IPV6)), ==, SOCK_ENOHOST);
        CHECK(calls[i]("::1", "9", SOCK_OPTIONS(.family = SOCK_IPV4)), ==, SOCK_ENOHOST);
        CHECK(calls[i]("unix:@libsock-none", NULL, SOCK_OPTIONS(.family = SOCK_IPV4)), ==, SOCK_ENOHOST);
        CHECK(strstr(sock_last_error(), "family") != NULL, ==, true);
    }
    sock_address address;
    CHECK(sock_resolve("127.0.0.1", "9", SOCK_OPTIONS(.family = SOCK_IPV6), &address, 1), ==, SOCK_ENOHOST);
}

static void a_refused_option_is_named(void)
{
    CHECK(sock_open("127.0.0.1", "9", SOCK_OPTIONS(.backlog = 5)), ==, SOCK_EINVAL);
    CHECK(strstr(sock_last_error(), "backlog") != NULL, ==, true);
    CHECK(sock_listen("127.0.0.1", "0", SOCK_OPTIONS(.family = 99)), ==, SOCK_EINVAL);
    CHECK(strstr(sock_last_error(), "family") != NULL, ==, true);
    CHECK(sock_open("127.0.0.1", "http ", NULL), ==, SOCK_EINVAL);
    CHECK(strstr(sock_last_error(), "http ") != NULL, ==, true);
    CHECK(sock_open("bad host", "80", NULL), ==, SOCK_EINVAL);
    CHECK(strstr(sock_last_error(), "bad host") != NULL, ==, true);
    CHECK(sock_open("", "80", NULL), ==, SOCK_EINVAL);
    CHECK(strstr(sock_last_error(), "the host is empty") != NULL, ==, true);
}

static void any_backlog_gives_a_listener_that_works(void)
{
    int backlogs[] = { INT_MIN, -1, 0, 1, 128, 4096, INT_MAX };
    for (size_t i = 0; i < sizeof backlogs / sizeof *backlogs; i++) {
        context("backlog %d", backlogs[i]);
        sock_t listener = sock_listen("127.0.0.1", "0", SOCK_OPTIONS(.backlog = backlogs[i]));
        CHECK(listener, >, 0);
        sock_t client = open_local(listener), accepted = sock_accept(listener);
        CHECK(accepted, >, 0);
        CHECK(sock_close(client), ==, 0);
        CHECK(sock_close(accepted), ==, 0);
        CHECK(sock_close(listener), ==, 0);
    }
}

static void any_attempt_delay_is_brought_into_its_range(void)
{
    int64_t delays[] = { INT64_MIN, SOCK_FOREVER, 1, 10000, INT64_MAX };
    sock_t listener = listen_local();
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        context("delay %lld", (long long)delays[i]);
        sock_t s = sock_open("127.0.0.1", port_text(port_of(listener)), SOCK_OPTIONS(.attempt_delay_ms = delays[i]));
        CHECK(s, >, 0);
        CHECK(sock_close(s), ==, 0);
    }
    CHECK(sock_close(listener), ==, 0);
}

/* Strings are copied: the caller may change them while the call runs. */
static void strings_are_the_callers_again_after_the_call(void)
{
    sock_t listener = listen_local();
    char host[32] = "127.0.0.1", port[8];
    strcpy(port, port_text(port_of(listener)));
    sock_t s = sock_open(host, port, NULL);
    memset(host, 'x', sizeof host);
    memset(port, 'x', sizeof port);
    sock_address address;
    char text[SOCK_ADDRESS_TEXT];
    CHECK(sock_peer_address(s, &address), ==, 0);
    CHECK(sock_address_format(&address, text, sizeof text), >, 0);
    CHECK(strncmp(text, "127.0.0.1:", 10), ==, 0);
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static const test_case cases[] = {
    CASE(a_missing_pointer_is_refused),
    CASE(a_missing_pointer_names_itself),
    CASE(impossible_sizes_are_refused),
    CASE(what_only_looks_like_an_address_is_refused),
    CASE(a_port_given_twice_is_told),
    CASE(a_url_or_a_path_for_a_host_is_told),
    CASE(names_and_labels_have_limits),
    CASE(ports_are_numbers_from_0_to_65535_or_known_names),
    CASE(port_0_is_for_listening_only),
    CASE(unix_hosts_take_no_port_and_have_limits),
    CASE(a_missing_host_or_port_is_told),
    CASE(a_long_host_is_shown_cut),
    CASE(an_address_in_one_text_must_be_whole),
    CASE(option_sizes_are_checked),
    CASE(a_short_struct_is_not_read_past_its_size),
    CASE(what_lies_behind_a_short_struct_does_not_count),
    CASE(fields_out_of_range_are_refused),
    CASE(fields_of_other_calls_are_refused),
    CASE(fields_that_contradict_the_host_are_refused),
    CASE(tuning_that_a_unix_host_does_not_need_is_ignored),
    CASE(a_host_of_another_family_is_no_host),
    CASE(a_refused_option_is_named),
    CASE(any_backlog_gives_a_listener_that_works),
    CASE(any_attempt_delay_is_brought_into_its_range),
    CASE(strings_are_the_callers_again_after_the_call),
};
TEST_MAIN(cases)
