/* Systems that lack something: no /proc, a full disk, a read-only one, no permission. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "network.h"

static void echo(const char *host, const char *port)
{
    char bytes[4];
    sock_t listener = sock_listen(host, port, NULL);
    CHECK(listener, >, 0);
    sock_t s = sock_open(host, port ? port_text(port_of(listener)) : NULL, SOCK_OPTIONS(.timeout_ms = 5000));
    CHECK(s, >, 0);
    sock_t accepted = sock_accept(listener);
    CHECK(accepted, >, 0);
    CHECK(sock_write(s, "echo", 4), ==, 4);
    CHECK(sock_read_exact(accepted, bytes, 4), ==, 4);
    CHECK(memcmp(bytes, "echo", 4), ==, 0);
    CHECK(sock_close(s), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

static void neither_proc_nor_dev_are_needed(void)
{
    network_begin();
    pid_t child = fork_child();
    if (child == 0) {
        alarm(15);
        CHECK(unshare(CLONE_NEWNS), ==, 0);
        CHECK(mount("none", "/dev", "tmpfs", 0, NULL), ==, 0);
        CHECK(mount("none", "/proc", "tmpfs", 0, NULL), ==, 0);
        echo("127.0.0.1", "0");
        echo("unix:/dev/socket", NULL);
        CHECK(sock_resolve("localhost", "80", NULL, NULL, 0), >, 0);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
}

/* A folder on a file system of its own that has room for nothing. */
static char *full_folder(void)
{
    static char folder[FOLDER];
    make_folder(folder);
    CHECK(mount("none", folder, "tmpfs", 0, "nr_inodes=1"), ==, 0);
    return folder;
}

static void remove_folder(const char *folder)
{
    CHECK(umount2(folder, MNT_DETACH), ==, 0);
    CHECK(rmdir(folder), ==, 0);
}

static void a_full_or_read_only_disk_is_named(void)
{
    char host[64];
    network_begin();
    char *folder = full_folder();
    snprintf(host, sizeof host, "unix:%s/socket", folder);
    CHECK(sock_listen(host, NULL, NULL), ==, SOCK_ESYS);
    CHECK(sock_last_errno(), ==, ENOSPC);
    CHECK(mount("none", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, "nr_inodes=100"), ==, 0);
    CHECK(sock_listen(host, NULL, NULL), ==, SOCK_ESYS);
    CHECK(sock_last_errno(), ==, EROFS);
    CHECK(strstr(sock_last_error(), folder) != NULL, ==, true);
    remove_folder(folder);
}

static const test_case cases[] = {
    CASE(neither_proc_nor_dev_are_needed),
    CASE(a_full_or_read_only_disk_is_named),
};
TEST_MAIN(cases)
