/* Names: what the resolver says, what it is never asked, and how long anybody waits for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <sys/mount.h>
#include <unistd.h>

#include "harness.h"
#include "network.h"

enum { SLACK_MS = 3000 }; /* for a machine that is busy; every wait that must not happen is longer */

static bool resolves_to(const char *host, const char *expected)
{
    sock_address address;
    char text[SOCK_ADDRESS_TEXT];
    context("%s", host);
    CHECK(sock_resolve(host, "80", NULL, &address, 1), >=, 1);
    CHECK(sock_address_format(&address, text, sizeof text), >, 0);
    context("%s, which is %s", host, text);
    bool same = strcmp(text, expected) == 0;
    context(NULL);
    return same;
}

/* Calls that take a host. */

static int64_t by_open(const char *host, const char *port) { return sock_open(host, port, NULL); }
static int64_t by_listen(const char *host, const char *port) { return sock_listen(host, port, NULL); }
static int64_t by_udp_open(const char *host, const char *port) { return sock_udp_open(host, port, NULL); }
static int64_t by_udp_bind(const char *host, const char *port) { return sock_udp_bind(host, port, NULL); }
static int64_t by_resolve(const char *host, const char *port)
{
    sock_address address;
    return sock_resolve(host, port, NULL, &address, 1);
}

static const struct {
    const char *name;
    int64_t (*run)(const char *host, const char *port);
} calls[] = {
    { "open", by_open }, { "listen", by_listen }, { "udp_open", by_udp_open }, { "udp_bind", by_udp_bind },
    { "resolve", by_resolve },
};
enum { CALLS = sizeof calls / sizeof *calls };

static void check_refused(const char *host, const char *port, int64_t code)
{
    for (int i = 0; i < CALLS; i++) {
        context("%s(\"%.80s\", \"%s\")", calls[i].name, host ? host : "NULL", port ? port : "NULL");
        int64_t begin = now_ms();
        CHECK(calls[i].run(host, port), ==, code);
        CHECK(now_ms() - begin, <, SLACK_MS);
        CHECK(strlen(sock_last_error()), >, 0);
        context(NULL);
    }
}

static void bad_names_are_refused_before_any_query(void)
{
    static const char *const hosts[] = {
        "", " ", "*", "127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "1.2.3.4.5", "256.1.1.1", "127.0.0.1.",
        "127.0.0.1 foo", " 127.0.0.1", "127.0.0.1\n", "127.0.0.1\t", "good.test ", " good.test", "good.test\r", "good\ttest",
        "good.test\x7f", "good.test\x01", "good.test/", "http://good.test", "good.test:80", "user@good.test", "good..test",
        ".good.test", ".", "good.test%lo", "b\xc3\xbch.test", "\xff\xfe.test", "good\xe3\x80\x82test", "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1",
        "[::1", "::1]", "[127.0.0.1]", "[good.test]", "[]", ":::", "1::2::3", "12345::", "::1%", "::ffff:1.2.3", "good.test\\",
    };
    static const char *const ports[] = { "", " ", "-1", "65536", "4294967376", "http ", " 80", "80 ", "+80", "8 0", "80\n" };
    network_begin();
    dns_begin("good.test A answer 192.0.2.7\n");
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) check_refused(hosts[i], "80", SOCK_EINVAL);
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) check_refused("good.test", ports[i], SOCK_EINVAL);
    CHECK(sock_open("good.test", "0", NULL), ==, SOCK_EINVAL);
    CHECK(sock_open("good.test:0", NULL, NULL), ==, SOCK_EINVAL);
    CHECK(dns_queries(""), ==, 0);
    CHECK(resolves_to("good.test", "192.0.2.7:80"), ==, true);
    CHECK(dns_queries(""), >, 0);
}

/* A name of `length` bytes: labels of 49 bytes, the last of them shorter, or longer by one. */
static char *long_name(size_t length)
{
    char *name = malloc(length + 1);
    CHECK(name != NULL, ==, true);
    for (size_t i = 0; i < length; i++) name[i] = i % 50 == 49 && i + 1 < length ? '.' : 'a';
    name[length] = '\0';
    return name;
}

static void names_over_the_limits_are_refused_and_never_cut(void)
{
    static const size_t lengths[] = { 254, 255, 256, 1024, 1 << 20 };
    char label63[64 + 5], label64[65 + 5], zone[1024], *longest = long_name(253), *beyond;
    network_begin();
    snprintf(label63, sizeof label63, "%.63s.test", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    snprintf(label64, sizeof label64, "%.64s.test", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    snprintf(zone, sizeof zone, "%s A answer 192.0.2.53\n%s A answer 192.0.2.63\n", longest, label63);
    dns_begin(zone);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        beyond = long_name(lengths[i]);
        check_refused(beyond, "80", SOCK_ETOOLONG);
        free(beyond);
    }
    check_refused(label64, "80", SOCK_ETOOLONG);
    CHECK(dns_queries(""), ==, 0);
    CHECK(resolves_to(longest, "192.0.2.53:80"), ==, true);
    CHECK(resolves_to(label63, "192.0.2.63:80"), ==, true);
    free(longest);
}

static void literals_need_no_resolver(void)
{
    static const struct { const char *host, *text; } literals[] = {
        { "127.0.0.1", "127.0.0.1:80" }, { "::1", "[::1]:80" }, { "[::1]", "[::1]:80" }, { "0.0.0.0", "0.0.0.0:80" },
        { "2001:DB8:0:0::0:9", "[2001:db8::9]:80" }, { "fe80::1%lo", "[fe80::1%lo]:80" }, { "fe80::1%1", "[fe80::1%lo]:80" },
    };
    network_begin();
    dns_begin("");
    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++)
        CHECK(resolves_to(literals[i].host, literals[i].text), ==, true);
    CHECK(running_threads(), ==, 1);
    CHECK(dns_queries(""), ==, 0);
}

/* What each kind of answer means. They are asked all at once, because some take the resolver seconds. */
static void answers_that_are_none_have_their_codes(void)
{
    static const struct { const char *host; int64_t code, other; } cases[] = {
        { "nxdomain.test", SOCK_ENOHOST, SOCK_ENOHOST },  { "nodata.test", SOCK_ENOHOST, SOCK_ENOHOST },
        { "servfail.test", SOCK_ERESOLVE, SOCK_ERESOLVE }, { "refused.test", SOCK_ERESOLVE, SOCK_ERESOLVE },
        { "silent.test", SOCK_ERESOLVE, SOCK_ERESOLVE },  { "garbage.test", SOCK_ERESOLVE, SOCK_ERESOLVE },
        { "short.test", SOCK_ERESOLVE, SOCK_ERESOLVE },   { "wrongid.test", SOCK_ERESOLVE, SOCK_ERESOLVE },
        { "loop.test", SOCK_ENOHOST, SOCK_ERESOLVE },     { "badlength.test", SOCK_ENOHOST, SOCK_ERESOLVE },
        { "unknown.test", SOCK_ENOHOST, SOCK_ENOHOST },
    };
    enum { CASES = sizeof cases / sizeof *cases };
    const sock_options *limit = SOCK_OPTIONS(.timeout_ms = 9000);
    call opens[CASES];
    network_begin();
    dns_begin("nxdomain.test * nxdomain\nnodata.test * nodata\nservfail.test * servfail\nrefused.test * refused\n"
              "silent.test * silent\ngarbage.test * garbage\nshort.test * short\nwrongid.test * forge silent\n"
              "loop.test * cname loop.test\nbadlength.test * badlength 192.0.2.1\n");
    for (int i = 0; i < CASES; i++) {
        opens[i] = (call){ .run = call_open, .host = cases[i].host, .port = "80", .options = limit };
        call_start(&opens[i]);
    }
    for (int i = 0; i < CASES; i++) {
        int64_t code = call_join(&opens[i]);
        context("%s: %s", cases[i].host, opens[i].last_error);
        CHECK(code == cases[i].other ? cases[i].code : code, ==, cases[i].code);
        CHECK(strstr(opens[i].last_error, cases[i].host) != NULL, ==, true);
        context(NULL);
    }
}

static void forged_answers_are_ignored(void)
{
    network_begin();
    dns_begin("forged.test A forge answer 192.0.2.7\n");
    CHECK(resolves_to("forged.test", "192.0.2.7:80"), ==, true);
}

static void a_truncated_answer_is_asked_for_again_over_tcp(void)
{
    char zone[4096] = "many.test A truncate answer";
    sock_address addresses[11];
    network_begin();
    for (int i = 1; i <= 200; i++) snprintf(zone + strlen(zone), sizeof zone - strlen(zone), " 192.0.2.%d", i);
    dns_begin(zone);
    memset(addresses, 0xAA, sizeof addresses);
    CHECK(sock_resolve("many.test", "80", NULL, addresses, 10), ==, 200);
    CHECK(sock_address_port(&addresses[9]), ==, 80);
    CHECK(addresses[10].storage[0], ==, 0xAA);
    CHECK(sock_resolve("many.test", "80", NULL, NULL, 0), ==, 200);
    CHECK(dns_queries("tcp A many.test"), >, 0);
}

static void aliases_lead_to_addresses(void)
{
    network_begin();
    dns_begin("alias.test * cname other.test\nother.test * cname good.test\ngood.test A answer 192.0.2.7\n");
    CHECK(resolves_to("alias.test", "192.0.2.7:80"), ==, true);
    CHECK(resolves_to("good.test.", "192.0.2.7:80"), ==, true);
}

static void a_family_is_the_only_one_asked_for(void)
{
    static const char zone[] = "dual.test A answer 192.0.2.7\ndual.test AAAA answer 2001:db8::7\nfour.test A answer 192.0.2.4\n";
    sock_address address[2];
    network_begin();
    dns_begin(zone);
    CHECK(sock_resolve("dual.test", "80", NULL, address, 2), ==, 2);
    CHECK(sock_resolve("dual.test", "80", SOCK_OPTIONS(.family = SOCK_IPV4), address, 2), ==, 1);
    CHECK(address[0].length, ==, 16);
    int before = dns_queries("A dual.test") - dns_queries("AAAA dual.test");
    CHECK(sock_resolve("dual.test", "80", SOCK_OPTIONS(.family = SOCK_IPV6), address, 2), ==, 1);
    CHECK(address[0].length, ==, 28);
    CHECK(dns_queries("A dual.test") - dns_queries("AAAA dual.test"), ==, before);
    CHECK(sock_resolve("four.test", "80", SOCK_OPTIONS(.family = SOCK_IPV6), address, 2), ==, SOCK_ENOHOST);
    CHECK(sock_resolve("192.0.2.4", "80", SOCK_OPTIONS(.family = SOCK_IPV6), address, 2), ==, SOCK_ENOHOST);
}

static void the_hosts_file_counts(void)
{
    sock_address address[2];
    network_begin();
    dns_begin("");
    etc_file("/etc/hosts", "192.0.2.9 both.test alias\n2001:db8::9 both.test\n192.0.2.10 four.test\n");
    CHECK(sock_resolve("both.test", "80", NULL, address, 2), ==, 2);
    CHECK(resolves_to("both.test", "[2001:db8::9]:80"), ==, true);
    CHECK(resolves_to("four.test", "192.0.2.10:80"), ==, true);
    CHECK(resolves_to("alias", "192.0.2.9:80"), ==, true);
    CHECK(dns_queries("both.test"), ==, 0);
}

static void services_have_names(void)
{
    sock_address address;
    network_begin();
    dns_begin("");
    etc_file("/etc/services", "web 8080/tcp\nboth 7000/tcp\nboth 7001/udp\n");
    CHECK(sock_resolve("192.0.2.1", "web", NULL, &address, 1), ==, 1);
    CHECK(sock_address_port(&address), ==, 8080);
    sock_t udp = sock_udp_open("192.0.2.1", "both", NULL);
    CHECK(udp, >, 0);
    CHECK(sock_peer_address(udp, &address), ==, 0);
    CHECK(sock_address_port(&address), ==, 7001);
    CHECK(sock_close(udp), ==, 0);
    CHECK(sock_open("192.0.2.1", "nosuch", NULL), ==, SOCK_ENOSERVICE);
    CHECK(sock_listen("192.0.2.1", "nosuch", NULL), ==, SOCK_ENOSERVICE);
    CHECK(strstr(sock_last_error(), "nosuch") != NULL, ==, true);
}

static void a_slow_family_delays_but_the_deadline_holds(void)
{
    network_begin();
    dns_begin("slow.test A answer 192.0.2.7\nslow.test AAAA delay 1800 answer 2001:db8::7\n");
    int64_t begin = now_ms();
    CHECK(sock_open("slow.test", "80", SOCK_OPTIONS(.timeout_ms = 200)), ==, SOCK_ETIMEDOUT);
    CHECK(now_ms() - begin, >=, 200);
    CHECK(now_ms() - begin, <, 1800);
    int listener = listen_at("192.0.2.7", 80);
    sock_t s = sock_open("slow.test", "80", SOCK_OPTIONS(.timeout_ms = 9000));
    CHECK(s, >, 0);
    CHECK(sock_close(s), ==, 0);
    raw_close(listener);
}

static void a_silent_server_does_not_outlast_the_deadline(void)
{
    const sock_options *limit = SOCK_OPTIONS(.timeout_ms = 300);
    sock_address address;
    network_begin();
    dns_begin("silent.test * silent\n");
    for (int i = 0; i < 3; i++) {
        int64_t begin = now_ms();
        context("call %d", i);
        CHECK(i == 0   ? sock_open("silent.test", "80", limit)
              : i == 1 ? sock_udp_open("silent.test", "80", limit)
                       : sock_resolve("silent.test", "80", limit, &address, 1), ==, SOCK_ETIMEDOUT);
        const char *words = strstr(sock_last_error(), "timed out after ");
        context("%s", sock_last_error());
        CHECK(words != NULL && strstr(words, "(resolving the name)") != NULL, ==, true);
        int64_t told = atoi(words + strlen("timed out after "));
        CHECK(told, >=, 300);
        CHECK(told, <=, now_ms() - begin);
        context(NULL);
        CHECK(now_ms() - begin, >=, 300);
        CHECK(now_ms() - begin, <, 300 + SLACK_MS);
        context(NULL);
    }
}

/* Opens of names that are never answered, and one more name that is. */
typedef struct stuck_opens {
    int count;
    call opens[300];
    char names[300][32];
} stuck_opens;

static void start_stuck_opens(stuck_opens *stuck, int count)
{
    static char zone[300 * 40];
    static const sock_options limit = { .size = sizeof limit, .timeout_ms = 200 };
    network_begin();
    for (int i = 0; i < count; i++) {
        snprintf(stuck->names[i], sizeof stuck->names[i], "stuck%d.test", i);
        snprintf(zone + strlen(zone), sizeof zone - strlen(zone), "%s * silent\n", stuck->names[i]);
    }
    snprintf(zone + strlen(zone), sizeof zone - strlen(zone), "good.test A answer 192.0.2.7\n");
    dns_begin(zone);
    stuck->count = count;
    for (int i = 0; i < count; i++) {
        stuck->opens[i] = (call){ .run = call_open, .host = stuck->names[i], .port = "80", .options = &limit };
        call_start(&stuck->opens[i]);
    }
}

static void join_stuck_opens(stuck_opens *stuck)
{
    for (int i = 0; i < stuck->count; i++) {
        CHECK(call_join(&stuck->opens[i]), ==, SOCK_ETIMEDOUT);
        CHECK(stuck->opens[i].ended_us - stuck->opens[i].began_us, <, 200000 + SLACK_MS * 1000);
    }
}

static void stuck_lookups_do_not_delay_the_next_name(void)
{
    static stuck_opens stuck;
    start_stuck_opens(&stuck, 50);
    int64_t begin = now_ms();
    CHECK(resolves_to("good.test", "192.0.2.7:80"), ==, true);
    CHECK(now_ms() - begin, <, SLACK_MS); /* a stuck lookup takes 4000 */
    join_stuck_opens(&stuck);
    CHECK(resolves_to("good.test", "192.0.2.7:80"), ==, true);
    WAIT_UNTIL(running_threads() == 1);
}

/* More than run at once: those that wait for their turn end at their deadline too, and leave nothing behind. */
static void stuck_lookups_are_bounded(void)
{
    enum { MOST = 128 };
    static stuck_opens stuck;
    start_stuck_opens(&stuck, 300);
    join_stuck_opens(&stuck);
    CHECK(running_threads(), <=, 1 + MOST);
    CHECK(resolves_to("good.test", "192.0.2.7:80"), ==, true);
    WAIT_UNTIL(running_threads() == 1);
}

/* All but KILL, STOP and the two that the C library keeps for itself. */
static bool blocks_all_signals(const char *thread)
{
    const unsigned long long exempt = 1ull << 8 | 1ull << 18 | 1ull << 31 | 1ull << 32;
    char path[300], line[128];
    unsigned long long blocked = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
    FILE *status = fopen(path, "re");
    while (status && fgets(line, sizeof line, status)) sscanf(line, "SigBlk: %llx", &blocked);
    if (status) fclose(status);
    return (blocked | exempt) == ~0ull;
}

static void the_lookup_thread_takes_no_signals(void)
{
    int lookups = 0;
    network_begin();
    dns_begin("silent.test * silent\n");
    call open = { .run = call_open, .host = "silent.test", .port = "80", .options = SOCK_OPTIONS(.timeout_ms = 1000) };
    call_start(&open);
    WAIT_UNTIL(dns_queries("silent.test") > 0);
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; (task = readdir(tasks));) {
        int id = atoi(task->d_name);
        if (id == 0 || id == getpid() || id == atomic_load(&open.id)) continue;
        CHECK(blocks_all_signals(task->d_name), ==, true);
        lookups++;
    }
    closedir(tasks);
    CHECK(lookups, >=, 1);
    CHECK(call_join(&open), ==, SOCK_ETIMEDOUT);
}

static int64_t call_resolve(call *c)
{
    return sock_resolve(c->host, c->port, c->options, c->buffer, 1);
}

static void many_lookups_at_once_are_not_mixed_up(void)
{
    enum { NAMES = 64 };
    static call lookups[NAMES];
    static sock_address found[NAMES];
    static char names[NAMES][16], zone[NAMES * 48];
    char text[SOCK_ADDRESS_TEXT], expected[SOCK_ADDRESS_TEXT];
    network_begin();
    for (int i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof names[i], "n%d.test", i);
        snprintf(zone + strlen(zone), sizeof zone - strlen(zone), "%s A delay %d answer 192.0.2.%d\n", names[i], i % 7 * 10, i);
    }
    dns_begin(zone);
    for (int i = 0; i < NAMES; i++) {
        lookups[i] = (call){ .run = call_resolve, .host = names[i], .port = "80", .buffer = &found[i] };
        call_start(&lookups[i]);
    }
    for (int i = 0; i < NAMES; i++) {
        context("%s", names[i]);
        CHECK(call_join(&lookups[i]), ==, 1);
        CHECK(sock_address_format(&found[i], text, sizeof text), >, 0);
        snprintf(expected, sizeof expected, "192.0.2.%d:80", i);
        CHECK(strcmp(text, expected), ==, 0);
        context(NULL);
    }
}

/* A child gets only the thread that forked: what others held, it must not wait for. */
static void a_fork_in_the_middle_of_a_lookup_harms_nobody(void)
{
    network_begin();
    dns_begin("silent.test * silent\ngood.test A answer 192.0.2.7\n");
    int listener = listen_at("192.0.2.7", 7000);
    call open = { .run = call_open, .host = "silent.test", .port = "80", .options = SOCK_OPTIONS(.timeout_ms = 1000) };
    call_start(&open);
    WAIT_UNTIL(dns_queries("silent.test") > 0);
    pid_t child = fork_child();
    if (child == 0) {
        alarm(15);
        CHECK(sock_open("192.0.2.7", "7000", NULL), >, 0);
        CHECK(sock_open("good.test", "7000", NULL), >, 0); /* with a resolver's socket of its own: the parent reads from the other */
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
    CHECK(call_join(&open), ==, SOCK_ETIMEDOUT);
    raw_close(listener);
}

static void a_new_resolv_conf_is_seen(void)
{
    network_begin();
    dns_begin("good.test A answer 192.0.2.7\n");
    etc_file("/etc/resolv.conf", "nameserver 192.0.2.99\noptions timeout:1 attempts:1\n");
    CHECK(sock_resolve("good.test", "80", NULL, NULL, 0), ==, SOCK_ERESOLVE);
    etc_file("/etc/resolv.conf", "nameserver 127.0.0.1\n");
    CHECK(resolves_to("good.test", "192.0.2.7:80"), ==, true);
}

static void without_any_configuration_literals_still_work(void)
{
    network_begin();
    CHECK(mount("none", "/etc", "tmpfs", 0, NULL), ==, 0);
    CHECK(resolves_to("127.0.0.1", "127.0.0.1:80"), ==, true);
    int64_t code = sock_resolve("good.test", "80", NULL, NULL, 0);
    CHECK(code == SOCK_ENOHOST ? SOCK_ERESOLVE : code, ==, SOCK_ERESOLVE);
    CHECK(sock_resolve("127.0.0.1", "http", NULL, NULL, 0), ==, SOCK_ENOSERVICE);
}

static void a_listener_takes_the_first_address_that_binds(void)
{
    sock_address address;
    char text[SOCK_ADDRESS_TEXT];
    network_begin();
    dns_begin("here.test A answer 198.51.100.1 192.0.2.200\n");
    sock_t listener = sock_listen("here.test", "7000", NULL);
    CHECK(listener, >, 0);
    CHECK(sock_local_address(listener, &address), ==, 0);
    CHECK(sock_address_format(&address, text, sizeof text), >, 0);
    CHECK(strcmp(text, "192.0.2.200:7000"), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static const test_case cases[] = {
    CASE(bad_names_are_refused_before_any_query),
    CASE(names_over_the_limits_are_refused_and_never_cut),
    CASE(literals_need_no_resolver),
    SLOW_CASE(answers_that_are_none_have_their_codes),
    CASE(forged_answers_are_ignored),
    CASE(a_truncated_answer_is_asked_for_again_over_tcp),
    CASE(aliases_lead_to_addresses),
    CASE(a_family_is_the_only_one_asked_for),
    CASE(the_hosts_file_counts),
    CASE(services_have_names),
    SLOW_CASE(a_slow_family_delays_but_the_deadline_holds),
    SLOW_CASE(a_silent_server_does_not_outlast_the_deadline),
    SLOW_CASE(stuck_lookups_do_not_delay_the_next_name),
    LONG_CASE(stuck_lookups_are_bounded, 60),
    SLOW_CASE(the_lookup_thread_takes_no_signals),
    CASE(many_lookups_at_once_are_not_mixed_up),
    SLOW_CASE(a_fork_in_the_middle_of_a_lookup_harms_nobody),
    CASE(a_new_resolv_conf_is_seen),
    CASE(without_any_configuration_literals_still_work),
    CASE(a_listener_takes_the_first_address_that_binds),
};
TEST_MAIN(cases)
