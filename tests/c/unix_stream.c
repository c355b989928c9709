/* Streams over unix sockets: paths, their limits and permissions, taking over what a crash left, abstract names, credentials. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "harness.h"

/* A folder of its own for each case, and a socket's path in it. */
static char folder[FOLDER], path[128], host[160];

static void make_place(void)
{
    make_folder(folder);
    snprintf(path, sizeof path, "%s/socket", folder);
    snprintf(host, sizeof host, "unix:%s", path);
}

static void remove_place(void)
{
    CHECK(rmdir(folder), ==, 0); /* which is to say: it is empty */
}

static bool exists(const char *what)
{
    struct stat status;
    return lstat(what, &status) == 0;
}

static sock_t listen_there(const sock_options *options)
{
    sock_t listener = sock_listen(host, NULL, options);
    CHECK(listener, >, 0);
    return listener;
}

static void expect_echo(sock_t listener)
{
    char buffer[4];
    sock_t client = sock_open(host, NULL, SOCK_OPTIONS(.timeout_ms = 10000)), accepted = sock_accept(listener);
    CHECK(client, >, 0);
    CHECK(accepted, >, 0);
    CHECK(sock_write(client, "ping", 4), ==, 4);
    CHECK(sock_read_exact(accepted, buffer, 4), ==, 4);
    CHECK(sock_write(accepted, "pong", 4), ==, 4);
    CHECK(sock_read_exact(client, buffer, 4), ==, 4);
    CHECK(memcmp(buffer, "pong", 4), ==, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(accepted), ==, 0);
}

static void a_path_is_listened_on_and_removed_by_close(void)
{
    make_place();
    sock_t listener = listen_there(NULL);
    CHECK(exists(path), ==, true);
    expect_echo(listener);
    CHECK(sock_close(listener), ==, 0);
    CHECK(exists(path), ==, false);
    remove_place();
}

static void close_leaves_a_path_that_is_no_longer_its_own(void)
{
    make_place();
    sock_t listener = listen_there(NULL);
    CHECK(unlink(path), ==, 0);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(file, >=, 0);
    close(file);
    CHECK(sock_close(listener), ==, 0);
    CHECK(exists(path), ==, true);
    CHECK(unlink(path), ==, 0);

    sock_t first = listen_there(NULL);
    CHECK(unlink(path), ==, 0);
    sock_t second = listen_there(NULL);
    CHECK(sock_close(first), ==, 0);
    expect_echo(second);
    CHECK(sock_close(second), ==, 0);
    CHECK(exists(path), ==, false);
    remove_place();
}

static void a_relative_path_is_removed_from_wherever_the_process_is(void)
{
    make_place();
    char moved[FOLDER + 8];
    int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(chdir(folder), ==, 0);
    sock_t listener = sock_listen("unix:socket", NULL, NULL);
    CHECK(listener, >, 0);
    CHECK(exists(path), ==, true);
    CHECK(chdir("/"), ==, 0);
    CHECK(sock_close(listener), ==, 0);
    CHECK(exists(path), ==, false);
    /* Nor does it matter that the folder is called otherwise by then, while the process is in it. */
    CHECK(chdir(folder), ==, 0);
    listener = sock_listen("unix:socket", NULL, NULL);
    snprintf(moved, sizeof moved, "%s.moved", folder);
    CHECK(rename(folder, moved), ==, 0);
    CHECK(sock_close(listener), ==, 0);
    CHECK(exists("socket"), ==, false);
    CHECK(rename(moved, folder), ==, 0);
    CHECK(fchdir(before), ==, 0);
    close(before);
    remove_place();
}

static void what_is_no_living_listener_cannot_be_opened(void)
{
    make_place();
    CHECK(sock_open(host, NULL, NULL), ==, SOCK_ENOENT);
    CHECK(strstr(sock_last_error(), path) != NULL, ==, true);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(file);
    CHECK(sock_open(host, NULL, NULL), ==, SOCK_ECONNREFUSED);
    char below[sizeof host + 2];
    snprintf(below, sizeof below, "%s/x", host); /* where no folder is, nothing is */
    CHECK(sock_open(below, NULL, NULL), ==, SOCK_ENOENT);
    CHECK(sock_listen(below, NULL, NULL), ==, SOCK_ENOENT);
    CHECK(unlink(path), ==, 0);
    CHECK(mkdir(path, 0700), ==, 0);
    CHECK(sock_open(host, NULL, NULL), ==, SOCK_ECONNREFUSED);
    CHECK(rmdir(path), ==, 0);
    remove_place();
}

static void a_socket_of_another_type_is_told(void)
{
    make_place();
    char other[sizeof host + 2];
    snprintf(other, sizeof other, "%s2", host);
    sock_t listener = listen_there(NULL), datagrams = sock_udp_bind(other, NULL, NULL), sender = sock_from_fd(socket(AF_UNIX, SOCK_DGRAM, 0));
    sock_address stream;
    CHECK(sock_local_address(listener, &stream), ==, 0);
    int64_t results[] = { sock_open(other, NULL, NULL), sock_udp_open(host, NULL, NULL), sock_send_to(sender, "x", 1, &stream) };
    for (int i = 0; i < 3; i++) {
        context("result %d", i);
        CHECK(results[i], ==, SOCK_EINVAL);
    }
    CHECK(sock_last_errno(), ==, EPROTOTYPE);
    CHECK(strstr(sock_last_error(), "of another type") != NULL, ==, true);
    CHECK(strstr(sock_last_error(), path) != NULL, ==, true);
    CHECK(sock_close(sender), ==, 0);
    CHECK(sock_close(datagrams), ==, 0);
    CHECK(sock_close(listener), ==, 0);
    remove_place();
}

static void a_path_without_permission_is_told(void)
{
    if (geteuid() != 0) skip("only root can become somebody else");
    make_place();
    CHECK(chmod(folder, 0755), ==, 0);
    sock_t listener = listen_there(SOCK_OPTIONS(.unix_mode = 0600));
    pid_t child = fork_child();
    if (child == 0) {
        if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) _exit(2);
        CHECK(sock_open(host, NULL, NULL), ==, SOCK_EACCES);
        char other[200];
        snprintf(other, sizeof other, "%s2", host);
        CHECK(sock_listen(other, NULL, NULL), ==, SOCK_EACCES);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
    CHECK(sock_close(listener), ==, 0);
    remove_place();
}

static void what_is_not_a_stale_socket_is_not_taken_over(void)
{
    make_place();
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0640);
    CHECK(write(file, "content", 7), ==, 7);
    close(file);
    CHECK(sock_listen(host, NULL, NULL), ==, SOCK_EEXIST);
    struct stat status;
    CHECK(stat(path, &status), ==, 0);
    CHECK(status.st_size, ==, 7);
    CHECK(unlink(path), ==, 0);

    CHECK(mkdir(path, 0700), ==, 0);
    CHECK(sock_listen(host, NULL, NULL), ==, SOCK_EEXIST);
    CHECK(rmdir(path), ==, 0);

    CHECK(symlink("nowhere", path), ==, 0);
    CHECK(sock_listen(host, NULL, NULL), ==, SOCK_EEXIST);
    CHECK(exists(path), ==, true);
    CHECK(unlink(path), ==, 0);

    sock_t listener = listen_there(NULL); /* somebody answers there */
    CHECK(sock_listen(host, NULL, NULL), ==, SOCK_EEXIST);
    expect_echo(listener);
    CHECK(sock_close(listener), ==, 0);
    remove_place();
}

static void leave_a_stale_socket(void)
{
    pid_t child = fork_child();
    if (child == 0) {
        listen_there(NULL);
        kill(getpid(), SIGKILL); /* a crash: nothing is tidied up */
    }
    CHECK(child_status(child), ==, 1000 + SIGKILL);
    CHECK(exists(path), ==, true);
}

static void the_path_of_a_crashed_listener_is_taken_over(void)
{
    make_place();
    leave_a_stale_socket();
    CHECK(sock_open(host, NULL, NULL), ==, SOCK_ECONNREFUSED);
    CHECK(sock_listen(host, NULL, SOCK_OPTIONS(.unix_replace = SOCK_OFF)), ==, SOCK_EEXIST);
    sock_t listener = listen_there(NULL);
    expect_echo(listener);
    CHECK(sock_close(listener), ==, 0);
    CHECK(exists(path), ==, false);
    remove_place();
}

/* Twenty processes want the stale path at the same moment: one gets it, and it is the one that answers. */
static void only_one_of_many_takes_over(void)
{
    enum { RIVALS = 20 };
    make_place();
    for (int round = 0; round < (under_memcheck() ? 1 : 5); round++) {
        leave_a_stale_socket();
        int start[2], won[2], finish[2];
        CHECK(pipe2(start, O_CLOEXEC) | pipe2(won, O_CLOEXEC) | pipe2(finish, O_CLOEXEC), ==, 0);
        pid_t rivals[RIVALS];
        for (int i = 0; i < RIVALS; i++) {
            rivals[i] = fork_child();
            if (rivals[i] != 0) continue;
            close(start[1]);
            close(finish[1]);
            char byte;
            if (read(start[0], &byte, 1) != 0) _exit(2); /* the end: everybody at once */
            sock_t listener = sock_listen(host, NULL, NULL);
            if (listener < 0) CHECK(listener, ==, SOCK_EEXIST);
            char verdict = listener > 0 ? 'w' : 'l';
            if (write(won[1], &verdict, 1) != 1) _exit(3);
            if (listener > 0) {
                sock_t accepted = sock_accept(listener);
                CHECK(accepted, >, 0);
                CHECK(sock_write(accepted, "hi", 2), ==, 2);
                CHECK(sock_close(accepted), ==, 0);
            }
            if (read(finish[0], &byte, 1) != 0) _exit(4);
            if (listener > 0) CHECK(sock_close(listener), ==, 0);
            _exit(0);
        }
        close(start[1]);
        int winners = 0;
        for (int i = 0; i < RIVALS; i++) {
            char verdict = 0;
            CHECK(read(won[0], &verdict, 1), ==, 1);
            winners += verdict == 'w';
        }
        CHECK(winners, ==, 1);
        char buffer[2];
        sock_t client = sock_open(host, NULL, SOCK_OPTIONS(.timeout_ms = 10000, .io_timeout_ms = 10000));
        CHECK(client, >, 0);
        CHECK(sock_read_exact(client, buffer, 2), ==, 2);
        CHECK(sock_close(client), ==, 0);
        close(finish[1]);
        for (int i = 0; i < RIVALS; i++) CHECK(child_status(rivals[i]), ==, 0);
        int ends[] = { start[0], won[0], won[1], finish[0] };
        for (int i = 0; i < 4; i++) close(ends[i]);
        CHECK(exists(path), ==, false);
    }
    remove_place();
}

static int64_t call_listen(call *c) { return sock_listen(c->host, NULL, NULL); }

/* Who takes over holds the directory's lock, which anybody may hold for a while; bound paths need no lock. */
static void a_takeover_waits_for_the_directory(void)
{
    make_place();
    leave_a_stale_socket();
    int directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(flock(directory, LOCK_EX), ==, 0);
    call c = { .run = call_listen, .host = host };
    call_start(&c);
    sleep_ms(50); /* it looks at the lock every now and then */
    CHECK(atomic_load(&c.done), ==, 0);
    char other[160];
    snprintf(other, sizeof other, "unix:%s/other", folder);
    sock_t free_path = sock_listen(other, NULL, NULL);
    CHECK(free_path, >, 0);
    CHECK(flock(directory, LOCK_UN), ==, 0);
    sock_t listener = call_join(&c);
    CHECK(listener, >, 0);
    expect_echo(listener);
    CHECK(sock_close(listener), ==, 0);
    CHECK(sock_close(free_path), ==, 0);
    close(directory);
    remove_place();
}

static void a_takeover_does_not_wait_for_ever(void)
{
    make_place();
    leave_a_stale_socket();
    int directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(flock(directory, LOCK_EX), ==, 0);
    CHECK(sock_listen(host, NULL, NULL), ==, SOCK_EBUSY);
    CHECK(exists(path), ==, true);
    close(directory);
    CHECK(unlink(path), ==, 0);
    remove_place();
}

/* A path may be relative: the lock is then that of the working folder. */
static void a_stale_path_in_the_working_folder_is_taken_over(void)
{
    make_place();
    leave_a_stale_socket();
    CHECK(chdir(folder), ==, 0);
    sock_t listener = sock_listen("unix:socket", NULL, NULL);
    CHECK(listener, >, 0);
    expect_echo(listener);
    CHECK(sock_close(listener), ==, 0);
    CHECK(exists(path), ==, false);
    remove_place();
}

static void a_childs_close_leaves_the_path(void)
{
    make_place();
    sock_t listener = listen_there(NULL);
    pid_t child = fork_child();
    if (child == 0) {
        CHECK(sock_close(listener), ==, 0);
        _exit(0);
    }
    CHECK(child_status(child), ==, 0);
    CHECK(exists(path), ==, true);
    expect_echo(listener);
    CHECK(sock_close(listener), ==, 0);
    CHECK(exists(path), ==, false);
    remove_place();
}

static void permissions_are_as_asked_whatever_the_umask(void)
{
    int modes[] = { 0600, 0660, 0666, 0777, 0700 };
    make_place();
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct stat status;
        mode_t before = umask(i % 2 ? 0 : 077);
        sock_t listener = listen_there(SOCK_OPTIONS(.unix_mode = modes[i]));
        CHECK(stat(path, &status), ==, 0);
        context("mode %o", (unsigned)modes[i]);
        CHECK(status.st_mode & 07777, ==, modes[i]);
        CHECK(sock_close(listener), ==, 0);
        umask(before);
    }
    umask(027);
    struct stat status;
    sock_t listener = listen_there(NULL);
    CHECK(stat(path, &status), ==, 0);
    CHECK(status.st_mode & 07777, ==, 0750);
    CHECK(sock_close(listener), ==, 0);
    CHECK(sock_listen(host, NULL, SOCK_OPTIONS(.family = SOCK_IPV4)), ==, SOCK_ENOHOST);
    CHECK(sock_listen(host, NULL, SOCK_OPTIONS(.unix_mode = 010000)), ==, SOCK_EINVAL);
    CHECK(sock_listen(host, NULL, SOCK_OPTIONS(.unix_mode = -1)), ==, SOCK_EINVAL);
    remove_place();
}

/* Others that create files meanwhile see the umask they set: the library does not touch it, not even for a moment. */
static atomic_bool stop;

static void *create_files(void *argument)
{
    (void)argument;
    char name[160];
    snprintf(name, sizeof name, "%s/file", folder);
    while (!atomic_load(&stop)) {
        struct stat status;
        int file = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
        CHECK(file, >=, 0);
        CHECK(fstat(file, &status), ==, 0);
        CHECK(status.st_mode & 07777, ==, 0644);
        close(file);
        unlink(name);
    }
    return NULL;
}

static void the_umask_is_never_changed(void)
{
    make_place();
    umask(022);
    pthread_t creator = start_thread(create_files, NULL);
    for (int i = 0; i < rounds(1000); i++) CHECK(sock_close(listen_there(SOCK_OPTIONS(.unix_mode = i % 2 ? 0600 : 0666))), ==, 0);
    atomic_store(&stop, true);
    join_thread(creator);
    remove_place();
}

/* There is room for 107 bytes and the NUL. */
static void the_length_of_a_path_is_limited(void)
{
    make_place();
    char long_host[200], *end = long_host + sprintf(long_host, "unix:%s/", folder);
    size_t used = (size_t)(end - long_host) - 5;
    memset(end, 'p', sizeof long_host - (size_t)(end - long_host));
    end[107 - used] = '\0';
    sock_t listener = sock_listen(long_host, NULL, NULL);
    CHECK(listener, >, 0);
    sock_t client = sock_open(long_host, NULL, NULL);
    CHECK(client, >, 0);
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(listener), ==, 0);
    end[107 - used] = 'p';
    end[109 - used] = '\0';
    CHECK(sock_listen(long_host, NULL, NULL), ==, SOCK_ETOOLONG);
    CHECK(sock_open(long_host, NULL, NULL), ==, SOCK_ETOOLONG);
    remove_place();
}

static void abstract_names_leave_no_file(void)
{
    snprintf(host, sizeof host, "unix:@sock test %d", (int)getpid());
    sock_t listener = listen_there(NULL);
    expect_echo(listener);
    int64_t second = sock_listen(host, NULL, NULL);
    CHECK(second == SOCK_EEXIST || second == SOCK_EADDRINUSE, ==, true);
    CHECK(access(host + 5, F_OK), ==, -1);
    CHECK(sock_close(listener), ==, 0);
    CHECK(sock_open(host, NULL, NULL), ==, SOCK_ECONNREFUSED);
}

static void the_length_of_an_abstract_name_is_limited(void)
{
    char longest[5 + 1 + 107 + 2];
    int used = snprintf(longest, sizeof longest, "unix:@sock test %d ", (int)getpid());
    memset(longest + used, 'n', sizeof longest - (size_t)used);
    longest[5 + 1 + 107] = '\0';
    sock_t listener = sock_listen(longest, NULL, NULL), client = sock_open(longest, NULL, NULL);
    CHECK(listener, >, 0);
    CHECK(client, >, 0);
    longest[5 + 1 + 106] = '\0'; /* a prefix is another name */
    CHECK(sock_open(longest, NULL, NULL), ==, SOCK_ECONNREFUSED);
    longest[5 + 1 + 106] = longest[5 + 1 + 107] = 'n';
    longest[5 + 1 + 108] = '\0';
    CHECK(sock_listen(longest, NULL, NULL), ==, SOCK_ETOOLONG);
    CHECK(sock_open(longest, NULL, NULL), ==, SOCK_ETOOLONG);
    CHECK(sock_listen("unix:@", NULL, NULL), ==, SOCK_EINVAL); /* the kernel would choose a name */
    CHECK(sock_close(client), ==, 0);
    CHECK(sock_close(listener), ==, 0);
}

/* Only "unix:@" is abstract: a file may be called anything else. */
static void a_path_with_an_at_sign_inside_is_a_path(void)
{
    make_place();
    snprintf(path, sizeof path, "%s/@name", folder);
    snprintf(host, sizeof host, "unix:%s", path);
    sock_t listener = listen_there(NULL);
    CHECK(exists(path), ==, true);
    CHECK(sock_close(listener), ==, 0);
    remove_place();
}

static void the_peers_credentials_are_those_of_its_process(void)
{
    sock_credentials credentials = { -1, 12345, 12345 };
    make_place();
    sock_t listener = listen_there(NULL);
    pid_t child = fork_child();
    if (child == 0) {
        char byte;
        sock_t client = sock_open(host, NULL, NULL);
        CHECK(client, >, 0);
        CHECK(sock_read(client, &byte, 1), ==, 0);
        CHECK(sock_close(client), ==, 0);
        CHECK(sock_close(listener), ==, 0);
        _exit(0);
    }
    sock_t accepted = sock_accept(listener);
    CHECK(accepted, >, 0);
    CHECK(sock_peer_credentials(accepted, &credentials), ==, 0);
    CHECK(credentials.pid, ==, child);
    CHECK(credentials.uid, ==, geteuid());
    CHECK(credentials.gid, ==, getegid());
    CHECK(sock_close(accepted), ==, 0);
    CHECK(child_status(child), ==, 0);
    CHECK(sock_close(listener), ==, 0);
    remove_place();

    sock_t pair[2];
    tcp_pair(pair);
    int64_t result = sock_peer_credentials(pair[0], &credentials);
    CHECK(result == SOCK_ENOTSUP || result == SOCK_ETYPE, ==, true);
    close_pair(pair);
}

/* The kernel refuses a connect to a full backlog at once; ours waits, as TCP does. */
static void opening_waits_while_the_backlog_is_full(void)
{
    enum { MOST = 64 };
    make_place();
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    CHECK(strlen(path), <, sizeof address.sun_path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), queued[MOST], count = 0;
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    CHECK(listen(fd, 1), ==, 0);
    for (;;) {
        CHECK(count, <, MOST);
        queued[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int result = connect(queued[count], (struct sockaddr *)&address, sizeof address);
        int why = errno;
        count++;
        if (result == 0) continue;
        CHECK(why, ==, EAGAIN);
        break;
    }
    int64_t began = now_us();
    CHECK(sock_open(host, NULL, SOCK_OPTIONS(.timeout_ms = 100)), ==, SOCK_ETIMEDOUT);
    CHECK(now_us() - began, >=, 100000);
    call opener = { .run = call_open, .host = host };
    call_start(&opener);
    WAIT_UNTIL(atomic_load(&opener.id) != 0);
    sleep_ms(30);
    CHECK(atomic_load(&opener.done), ==, 0);
    for (int i = 0; i < count - 1; i++) raw_close(raw_accept(fd));
    CHECK(call_join(&opener), >, 0);
    CHECK(sock_close(opener.result), ==, 0);
    while (count > 0) raw_close(queued[--count]);
    raw_close(fd);
    CHECK(unlink(path), ==, 0);
    remove_place();
}

/* The kernel calls such a stream readable for as long as nobody reads; a look finds nothing. */
static void a_byte_out_of_band_keeps_no_look_busy(void)
{
    char bytes[4];
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
    sock_t s = sock_from_fd(ends[0]);
    CHECK(s, >, 0);
    if (send(ends[1], "!", 1, MSG_OOB | MSG_NOSIGNAL) != 1) skip("unix sockets send nothing out of band here");
    CHECK(sock_set_timeout(s, SOCK_READ, 300), ==, 0);
    int64_t began = processor_us();
    CHECK(sock_peek(s, bytes, sizeof bytes), ==, SOCK_ETIMEDOUT);
    if (!under_memcheck()) CHECK(processor_us() - began, <, 10000);
    call looking = { .run = call_peek, .socket = s, .buffer = bytes, .size = sizeof bytes };
    CHECK(sock_set_timeout(s, SOCK_READ, SOCK_FOREVER), ==, 0);
    call_start(&looking);
    WAIT_UNTIL(atomic_load(&looking.id) != 0); /* it sleeps for moments only */
    raw_send(ends[1], "abc", 3);
    CHECK(call_join(&looking), ==, 3);
    CHECK(sock_read(s, bytes, sizeof bytes), ==, 3);
    CHECK(memcmp(bytes, "abc", 3), ==, 0);
    CHECK(sock_close(s), ==, 0);
    raw_close(ends[1]);
}

static const test_case cases[] = {
    CASE(a_path_is_listened_on_and_removed_by_close),
    CASE(close_leaves_a_path_that_is_no_longer_its_own),
    CASE(a_relative_path_is_removed_from_wherever_the_process_is),
    CASE(what_is_no_living_listener_cannot_be_opened),
    CASE(a_socket_of_another_type_is_told),
    CASE(a_path_without_permission_is_told),
    CASE(what_is_not_a_stale_socket_is_not_taken_over),
    CASE(the_path_of_a_crashed_listener_is_taken_over),
    CASE(only_one_of_many_takes_over),
    CASE(a_takeover_waits_for_the_directory),
    SLOW_CASE(a_takeover_does_not_wait_for_ever),
    CASE(a_stale_path_in_the_working_folder_is_taken_over),
    CASE(a_childs_close_leaves_the_path),
    CASE(permissions_are_as_asked_whatever_the_umask),
    CASE(the_umask_is_never_changed),
    CASE(the_length_of_a_path_is_limited),
    CASE(abstract_names_leave_no_file),
    CASE(the_length_of_an_abstract_name_is_limited),
    CASE(a_path_with_an_at_sign_inside_is_a_path),
    CASE(the_peers_credentials_are_those_of_its_process),
    CASE(opening_waits_while_the_backlog_is_full),
    CASE(a_byte_out_of_band_keeps_no_look_busy),
};
TEST_MAIN(cases)
