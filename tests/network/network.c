/* See network.h. */
#include "network.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

static pid_t dns_server;

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    CHECK(fd, >=, 0);
    CHECK(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
    close(fd);
}

void sysctl(const char *path, const char *value)
{
    char whole[256];
    snprintf(whole, sizeof whole, "/proc/sys/%s", path);
    write_file(whole, value);
}

static void need(const char *program)
{
    char command[256];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
    if (system(command) != 0) skip("%s is not installed", program);
}

void run(const char *format, ...)
{
    char command[2048], program[64];
    va_list list;
    va_start(list, format);
    vsnprintf(command, sizeof command, format, list);
    va_end(list);
    if (sscanf(command, "%63s", program) == 1) need(program);
    context("%s", command);
    CHECK(system(command), ==, 0);
    context(NULL);
}

/* A user namespace gives an ordinary user the other two; root may be forbidden it and not need it. */
static bool enter_namespaces(void)
{
    char map[64];
    unsigned user = getuid(), group = getgid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0) return unshare(CLONE_NEWNET | CLONE_NEWNS) == 0;
    write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %u 1", user);
    write_file("/proc/self/uid_map", map);
    snprintf(map, sizeof map, "0 %u 1", group);
    write_file("/proc/self/gid_map", map);
    return true;
}

void network_begin(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s:/usr/sbin:/sbin", getenv("PATH"));
    setenv("PATH", path, 1);
    need("ip");
    if (access("/proc/net/if_inet6", F_OK) != 0) skip("no IPv6 in this kernel");
    if (!enter_namespaces()) skip("namespaces are not allowed here: %s", strerror(errno));
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 && errno == EINVAL) skip("the root folder is not a mount point: a chroot");
    run("ip link set lo up");
    run("ip address add 192.0.2.1/24 dev lo");
    run("ip address add 2001:db8::1/64 dev lo nodad");
    run("ip route add local 2001:db8::/64 dev lo");
    sysctl("net/ipv6/ip_nonlocal_bind", "1"); /* IPv6 lets nobody bind to an address that is only routed here */
}

void firewall(const char *hook, const char *rule)
{
    run("nft 'add table inet test; add chain inet test %s { type filter hook %s priority 0; }; add rule inet test %s %s'",
        hook, hook, hook, rule);
}

void firewall_clear(void)
{
    run("nft flush ruleset");
}

/* The mount keeps the file alive after its name is gone, so nothing is left behind. */
void etc_file(const char *path, const char *text)
{
    char folder[FOLDER], temporary[FOLDER + 5];
    if (access(path, F_OK) != 0) skip("there is no %s to put a file over", path);
    make_folder(folder);
    snprintf(temporary, sizeof temporary, "%s/file", folder);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(fd, >=, 0);
    CHECK(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
    CHECK(fchmod(fd, 0644), ==, 0);
    close(fd);
    umount2(path, MNT_DETACH); /* an earlier text, if there is one: nothing mounts over a file without a name */
    CHECK(mount(temporary, path, NULL, MS_BIND, NULL), ==, 0);
    CHECK(unlink(temporary), ==, 0);
    CHECK(rmdir(folder), ==, 0);
}

/* The server's standard input is the zone and its standard output the log: two files without a name. */
static _Noreturn void become_dns_server(const char *zone)
{
    FILE *input = tmpfile(), *log = tmpfile();
    if (!input || !log || fputs(zone, input) < 0 || fflush(input) != 0) _exit(126);
    rewind(input);
    dup2(fileno(input), STDIN_FILENO);
    dup2(fileno(log), STDOUT_FILENO);
    execlp("python3", "python3", "tests/network/dns_server.py", (char *)NULL);
    _exit(127);
}

static int log_lines(const char *kind, const char *text)
{
    char path[64], line[512];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd/1", (int)dns_server);
    FILE *log = fopen(path, "re");
    CHECK(log != NULL, ==, true);
    while (fgets(line, sizeof line, log))
        if (strstr(line, kind) == line && strstr(line, text)) count++;
    fclose(log);
    return count;
}

static bool dns_answers(void)
{
    CHECK(waitpid(dns_server, NULL, WNOHANG), ==, 0);
    return log_lines("ready", "") == 1;
}

void dns_begin(const char *zone)
{
    need("python3");
    etc_file("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n");
    etc_file("/etc/nsswitch.conf", "hosts: files dns\nservices: files\n");
    etc_file("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
    dns_server = fork_child();
    if (dns_server == 0) become_dns_server(zone);
    WAIT_UNTIL(dns_answers());
}

int dns_queries(const char *text)
{
    return log_lines("query", text);
}

int listen_at(const char *address, uint16_t port)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_PASSIVE, .ai_socktype = SOCK_STREAM }, *found;
    char service[8];
    int on = 1;
    snprintf(service, sizeof service, "%u", port);
    CHECK(getaddrinfo(address, service, &hints, &found), ==, 0);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    CHECK(bind(fd, found->ai_addr, found->ai_addrlen), ==, 0);
    CHECK(listen(fd, 64), ==, 0);
    freeaddrinfo(found);
    return fd;
}
