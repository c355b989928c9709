/* Addresses: text to storage and back, strictly, and into the hands of POSIX calls. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "harness.h"

static void expect_text(const char *host, const char *port, const char *expected)
{
    sock_address address;
    char text[SOCK_ADDRESS_TEXT];
    context("host \"%s\", port \"%s\"", host, port ? port : "(NULL)");
    CHECK(sock_address_parse(host, port, &address), ==, 0);
    CHECK(sock_address_format(&address, text, sizeof text), ==, strlen(expected));
    if (strcmp(text, expected) != 0) note("formatted as %s", text);
    CHECK(strcmp(text, expected), ==, 0);
    context(NULL);
}

static void literals_are_parsed_and_formatted(void)
{
    expect_text("127.0.0.1", "80", "127.0.0.1:80");
    expect_text("0.0.0.0", "0", "0.0.0.0:0");
    expect_text("255.255.255.255", "65535", "255.255.255.255:65535");
    expect_text("::1", "80", "[::1]:80");
    expect_text("[::1]", "80", "[::1]:80");
    expect_text("::", "1", "[::]:1");
    expect_text("2001:DB8:0:0:0:0:0:1", "443", "[2001:db8::1]:443");
    expect_text("fe80::1%1", "22", "[fe80::1%lo]:22");
    expect_text("unix:/run/x", NULL, "unix:/run/x");
    expect_text("unix:relative", NULL, "unix:relative");
    expect_text("unix:@name", NULL, "unix:@name");
    /* The whole as one text. */
    expect_text("127.0.0.1:80", NULL, "127.0.0.1:80");
    expect_text("[::1]:80", NULL, "[::1]:80");
    expect_text("[fe80::1%lo]:80", NULL, "[fe80::1%lo]:80");
}

/* What is formatted is parsed again to the same. */
static void formatting_and_parsing_are_inverse(void)
{
    uint64_t state = 1;
    for (int i = 0; i < rounds(20000); i++) {
        sock_address address, again;
        char text[SOCK_ADDRESS_TEXT];
        memset(&address, 0, sizeof address);
        unsigned char bytes[18];
        for (size_t at = 0; at < sizeof bytes; at++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[at] = state >> 62 ? (unsigned char)(state >> 33) : 0; /* many zeros, for "::" */
        }
        if (i % 2) {
            struct sockaddr_in v4 = { .sin_family = AF_INET };
            memcpy(&v4.sin_addr, bytes, 4);
            memcpy(&v4.sin_port, bytes + 16, 2);
            memcpy(address.storage, &v4, address.length = sizeof v4);
        } else {
            struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
            memcpy(&v6.sin6_addr, bytes, 16);
            memcpy(&v6.sin6_port, bytes + 16, 2);
            memcpy(address.storage, &v6, address.length = sizeof v6);
        }
        int64_t length = sock_address_format(&address, text, sizeof text);
        CHECK(length, ==, strlen(text));
        context("%s", text);
        if (strstr(text, "::ffff:") && strchr(text, '.')) continue; /* which is reported as plain IPv4 */
        CHECK(sock_address_parse(text, NULL, &again), ==, 0);
        CHECK(sock_address_equal(&address, &again), ==, 1);
        CHECK(again.length, ==, address.length);
    }
}

static void names_are_no_literals(void)
{
    const char *hosts[] = { "localhost", "example.com", "a", "127.1", "", " ", "1.2.3.4.5", "::1::", "[::1", "12345::1", "127.0.0.1 " };
    sock_address address, before;
    memset(&address, 0x55, sizeof address);
    before = address;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        context("\"%s\"", hosts[i]);
        CHECK(sock_address_parse(hosts[i], "80", &address), ==, SOCK_EINVAL);
    }
    const char *ports[] = { "http", "", "-1", "65536", "80 ", "+1", "0x10" };
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        context("port \"%s\"", ports[i]);
        CHECK(sock_address_parse("127.0.0.1", ports[i], &address), ==, SOCK_EINVAL);
    }
    CHECK(memcmp(&address, &before, sizeof address), ==, 0);
}

static void the_buffer_of_a_text_is_never_overrun(void)
{
    sock_address address;
    unsigned char text[64];
    CHECK(sock_address_parse("127.0.0.1", "80", &address), ==, 0); /* 12 characters */
    for (size_t size = 0; size <= 20; size++) {
        memset(text, 0xEE, sizeof text);
        context("size %d", (int)size);
        int64_t result = sock_address_format(&address, (char *)text, size);
        CHECK(result, ==, size >= 13 ? 12 : SOCK_ETOOLONG);
        for (size_t at = size; at < sizeof text; at++) CHECK(text[at], ==, 0xEE);
        if (size >= 13) CHECK(strcmp((char *)text, "127.0.0.1:80"), ==, 0);
    }
}

static void the_longest_address_fits_the_promised_size(void)
{
    char host[200] = "unix:", text[SOCK_ADDRESS_TEXT];
    sock_address address;
    memset(host + 5, 'p', 107);
    host[5 + 107] = '\0';
    CHECK(sock_address_parse(host, NULL, &address), ==, 0);
    CHECK(sock_address_format(&address, text, sizeof text), ==, 112);
    CHECK(strcmp(text, host), ==, 0);
    memset(host + 5, 'p', 109);
    CHECK(sock_address_parse(host, NULL, &address), ==, SOCK_ETOOLONG);
    expect_text("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

/* Whatever bytes a name has, the promised size is enough, and the text is read back as the same address. Zero bytes, which only an
 * abstract name has, are shown as "@". */
static void odd_unix_names_fit_and_survive_a_round_trip(void)
{
    const unsigned char fills[] = { 'p', ' ', ':', '@', '\n', 0x1b, 0x7f, 0x80, 0xc3, 0xff, 0 };
    for (size_t i = 0; i < sizeof fills; i++) {
        for (int abstract = 0; abstract < 2; abstract++) {
            context("byte %d, abstract %d", fills[i], abstract);
            if (fills[i] == 0 && !abstract) continue;
            struct sockaddr_un name = { .sun_family = AF_UNIX };
            size_t start = abstract ? 1 : 0;
            memset(name.sun_path + start, fills[i], sizeof name.sun_path - 1 - start);
            sock_address address, again;
            char text[SOCK_ADDRESS_TEXT], expected[SOCK_ADDRESS_TEXT];
            memset(&address, 0, sizeof address);
            memcpy(address.storage, &name, sizeof name);
            address.length = sizeof name - (abstract ? 1 : 0);
            snprintf(expected, sizeof expected, "unix:%s", abstract ? "@" : fills[i] == '@' ? "./" : "");
            size_t length = strlen(expected);
            memset(expected + length, fills[i] == 0 ? '@' : fills[i], sizeof name.sun_path - 1 - start);
            length += sizeof name.sun_path - 1 - start;
            expected[length] = '\0';
            CHECK(sock_address_format(&address, text, sizeof text), ==, length);
            CHECK(strcmp(text, expected), ==, 0);
            if (fills[i] == 0 || strstr(text, "./") != NULL) continue;
            CHECK(sock_address_parse(text, NULL, &again), ==, 0);
            CHECK(sock_address_equal(&address, &again), ==, 1);
        }
    }
}

static void ports_are_read_back(void)
{
    sock_address address;
    CHECK(sock_address_parse("127.0.0.1", "0", &address), ==, 0);
    CHECK(sock_address_port(&address), ==, 0);
    CHECK(sock_address_parse("::1", "65535", &address), ==, 0);
    CHECK(sock_address_port(&address), ==, 65535);
    CHECK(sock_address_parse("unix:/x", NULL, &address), ==, 0);
    CHECK(sock_address_port(&address), ==, SOCK_ETYPE);
}

static void equality_is_that_of_the_address_not_of_the_bytes(void)
{
    sock_address a, b;
    CHECK(sock_address_parse("127.0.0.1", "80", &a), ==, 0);
    b = a;
    CHECK(sock_address_equal(&a, &b), ==, 1);
    memset(b.storage + b.length, 0x33, sizeof b.storage - b.length); /* what lies beyond does not count */
    CHECK(sock_address_equal(&a, &b), ==, 1);
    CHECK(sock_address_parse("127.0.0.1", "81", &b), ==, 0);
    CHECK(sock_address_equal(&a, &b), ==, 0);
    CHECK(sock_address_parse("127.0.0.2", "80", &b), ==, 0);
    CHECK(sock_address_equal(&a, &b), ==, 0);
    CHECK(sock_address_parse("::1", "80", &b), ==, 0);
    CHECK(sock_address_equal(&a, &b), ==, 0);
    CHECK(sock_address_parse("fe80::1%1", "80", &a), ==, 0);
    CHECK(sock_address_parse("fe80::1%2", "80", &b), ==, 0);
    CHECK(sock_address_equal(&a, &b), ==, 0);
    CHECK(sock_address_parse("unix:/a", NULL, &a), ==, 0);
    CHECK(sock_address_parse("unix:/a", NULL, &b), ==, 0);
    CHECK(sock_address_equal(&a, &b), ==, 1);
    CHECK(sock_address_parse("unix:/b", NULL, &b), ==, 0);
    CHECK(sock_address_equal(&a, &b), ==, 0);
    CHECK(sock_address_equal(&a, NULL), ==, 0);
    CHECK(sock_address_equal(NULL, &a), ==, 0);
}

static void the_storage_is_a_sockaddr(void)
{
    sock_address address;
    CHECK(sock_address_parse("127.0.0.1", "8080", &address), ==, 0);
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address.storage;
    CHECK(address.length, ==, sizeof *v4);
    CHECK(v4->sin_family, ==, AF_INET);
    CHECK(ntohs(v4->sin_port), ==, 8080);
    CHECK(ntohl(v4->sin_addr.s_addr), ==, INADDR_LOOPBACK);
    CHECK((uintptr_t)address.storage % 8, ==, 0);

    uint16_t port;
    int listener = raw_listen(&port), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(sock_address_parse("127.0.0.1", port_text(port), &address), ==, 0);
    CHECK(connect(fd, (const struct sockaddr *)(const void *)address.storage, (socklen_t)address.length), ==, 0);
    /* And filled from POSIX. */
    sock_address own;
    char text[SOCK_ADDRESS_TEXT];
    socklen_t length = sizeof own.storage;
    CHECK(getpeername(fd, (struct sockaddr *)(void *)own.storage, &length), ==, 0);
    own.length = length;
    CHECK(sock_address_equal(&own, &address), ==, 1);
    CHECK(sock_address_format(&own, text, sizeof text), >, 0);
    raw_close(fd);
    raw_close(listener);
}

/* Bytes that are not an address: refused, not read past. */
static void damaged_addresses_are_refused(void)
{
    sock_address address;
    char text[SOCK_ADDRESS_TEXT];
    uint64_t lengths[] = { 0, 1, 15, 17, 27, 129, 1000, UINT64_MAX };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        context("length %llu", (unsigned long long)lengths[i]);
        CHECK(sock_address_parse("127.0.0.1", "80", &address), ==, 0);
        address.length = lengths[i];
        if (lengths[i] == 17 || lengths[i] == 27) continue; /* longer than an IPv4 address: whatever it says, without harm */
        CHECK(sock_address_format(&address, text, sizeof text), ==, SOCK_EINVAL);
        CHECK(sock_address_port(&address), ==, SOCK_EINVAL);
    }
    memset(&address, 0xFF, sizeof address);
    address.length = 128;
    CHECK(sock_address_format(&address, text, sizeof text), ==, SOCK_EINVAL);
    CHECK(sock_address_port(&address), ==, SOCK_EINVAL);
}

static void unix_addresses_have_three_forms(void)
{
    char folder[FOLDER], host[UNIX_HOST], text[SOCK_ADDRESS_TEXT];
    sock_address address;
    make_unix_host(folder, host);
    sock_t listener = sock_listen(host, NULL, NULL), client = sock_open(host, NULL, NULL), accepted = sock_accept(listener);
    CHECK(accepted, >, 0);
    CHECK(sock_local_address(listener, &address), ==, 0);
    CHECK(sock_address_format(&address, text, sizeof text), ==, strlen(host));
    CHECK(strcmp(text, host), ==, 0);
    CHECK(sock_peer_address(client, &address), ==, 0);
    CHECK(sock_address_format(&address, text, sizeof text), >, 0);
    CHECK(strcmp(text, host), ==, 0);
    CHECK(sock_local_address(client, &address), ==, 0); /* a client has no name */
    CHECK(sock_address_format(&address, text, sizeof text), ==, 5);
    CHECK(strcmp(text, "unix:"), ==, 0);
    CHECK(sock_peer_address(accepted, &address), ==, 0);
    CHECK(sock_address_format(&address, text, sizeof text), ==, 5);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);
    CHECK(rmdir(folder), ==, 0);

    snprintf(host, sizeof host, "unix:@sock-test-%d", (int)getpid());
    listener = sock_listen(host, NULL, NULL);
    CHECK(listener, >, 0);
    CHECK(sock_local_address(listener, &address), ==, 0);
    CHECK(sock_address_format(&address, text, sizeof text), ==, strlen(host));
    CHECK(strcmp(text, host), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

/* A path may begin as an abstract name does, and a scope may be of no device: what is shown is read back as the same. */
static void odd_addresses_are_shown_as_what_they_are(void)
{
    sock_address address, again;
    char text[SOCK_ADDRESS_TEXT];
    struct sockaddr_un odd = { .sun_family = AF_UNIX, .sun_path = "@not-abstract" };
    memset(&address, 0, sizeof address);
    memcpy(address.storage, &odd, sizeof odd);
    address.length = offsetof(struct sockaddr_un, sun_path) + strlen(odd.sun_path) + 1;
    CHECK(sock_address_format(&address, text, sizeof text), >, 0);
    CHECK(strcmp(text, "unix:./@not-abstract"), ==, 0);

    CHECK(sock_address_parse("fe80::1%4000000000", "80", &address), ==, 0);
    CHECK(sock_address_format(&address, text, sizeof text), >, 0);
    CHECK(strcmp(text, "[fe80::1%4000000000]:80"), ==, 0);
    CHECK(sock_address_parse(text, NULL, &again), ==, 0);
    CHECK(sock_address_equal(&address, &again), ==, 1);
    CHECK(sock_address_parse(NULL, "80", &address), ==, SOCK_EINVAL);
    CHECK(sock_address_parse(":80", NULL, &address), ==, SOCK_EINVAL);
}

static void literals_resolve_to_themselves(void)
{
    sock_address found[4], parsed;
    CHECK(sock_resolve("127.0.0.1", "80", NULL, found, 4), ==, 1);
    CHECK(sock_address_parse("127.0.0.1", "80", &parsed), ==, 0);
    CHECK(sock_address_equal(&found[0], &parsed), ==, 1);
    CHECK(sock_resolve("[::1]:443", NULL, NULL, found, 4), ==, 1);
    CHECK(sock_address_port(&found[0]), ==, 443);
    CHECK(sock_resolve("127.0.0.1", "http", NULL, found, 4), ==, 1);
    CHECK(sock_address_port(&found[0]), ==, 80);
    CHECK(running_threads(), ==, 1);
}

static void resolve_says_how_many_there_are_and_writes_what_fits(void)
{
    sock_address found[2];
    memset(found, 0x44, sizeof found);
    CHECK(sock_resolve("127.0.0.1", "80", NULL, NULL, 0), ==, 1);
    CHECK(sock_resolve("127.0.0.1", "80", NULL, found, 0), ==, 1);
    CHECK(found[0].storage[0], ==, 0x44);
    CHECK(sock_resolve("127.0.0.1", "80", NULL, found, 2), ==, 1);
    CHECK(found[1].storage[0], ==, 0x44);
    int64_t many = sock_resolve("localhost", "80", SOCK_OPTIONS(.timeout_ms = 10000), found, 2);
    CHECK(many, >=, 1);
}

static const test_case cases[] = {
    CASE(literals_are_parsed_and_formatted),
    CASE(formatting_and_parsing_are_inverse),
    CASE(names_are_no_literals),
    CASE(the_buffer_of_a_text_is_never_overrun),
    CASE(the_longest_address_fits_the_promised_size),
    CASE(odd_unix_names_fit_and_survive_a_round_trip),
    CASE(ports_are_read_back),
    CASE(equality_is_that_of_the_address_not_of_the_bytes),
    CASE(the_storage_is_a_sockaddr),
    CASE(damaged_addresses_are_refused),
    CASE(unix_addresses_have_three_forms),
    CASE(odd_addresses_are_shown_as_what_they_are),
    CASE(literals_resolve_to_themselves),
    CASE(resolve_says_how_many_there_are_and_writes_what_fits),
};
TEST_MAIN(cases)
