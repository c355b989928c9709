/* What compiled programs rely on: numbers, sizes, offsets and signatures, settled at compile time, and the version. */
#include <string.h>
#include "harness.h"

#define NUMBER(name, value) _Static_assert((name) == (value), #name " is " #value)
#define SIZE(type, size) _Static_assert(sizeof(type) == (size), "sizeof " #type " is " #size)
#define OFFSET(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field " is at " #offset)
#define SIGNATURE(function, ...) \
    _Static_assert(_Generic(&(function), __VA_ARGS__: 1, default: 0), #function " is a " #__VA_ARGS__)

NUMBER(SOCK_OK, 0);
NUMBER(SOCK_EINVAL, -1);
NUMBER(SOCK_EHANDLE, -2);
NUMBER(SOCK_ETYPE, -3);
NUMBER(SOCK_ETOOLONG, -4);
NUMBER(SOCK_EBUSY, -5);
NUMBER(SOCK_ENOTSUP, -6);
NUMBER(SOCK_ETIMEDOUT, -20);
NUMBER(SOCK_EAGAIN, -21);
NUMBER(SOCK_ECLOSED, -22);
NUMBER(SOCK_ECANCELED, -23);
NUMBER(SOCK_EEOF, -24);
NUMBER(SOCK_ENOHOST, -40);
NUMBER(SOCK_ENOSERVICE, -41);
NUMBER(SOCK_ERESOLVE, -42);
NUMBER(SOCK_ECONNREFUSED, -60);
NUMBER(SOCK_ECONNRESET, -61);
NUMBER(SOCK_EPIPE, -62);
NUMBER(SOCK_EUNREACH, -63);
NUMBER(SOCK_ENOTCONN, -64);
NUMBER(SOCK_EADDRINUSE, -65);
NUMBER(SOCK_EADDRNOTAVAIL, -66);
NUMBER(SOCK_EACCES, -67);
NUMBER(SOCK_EMSGSIZE, -68);
NUMBER(SOCK_ETRUNC, -69);
NUMBER(SOCK_ENOENT, -70);
NUMBER(SOCK_EEXIST, -71);
NUMBER(SOCK_ELIMIT, -90);
NUMBER(SOCK_ENOMEM, -91);
NUMBER(SOCK_ESYS, -100);
NUMBER(SOCK_EINTERNAL, -101);

NUMBER(SOCK_FOREVER, -1);
NUMBER(SOCK_READ, 1);
NUMBER(SOCK_WRITE, 2);
NUMBER(SOCK_HANGUP, 4);
NUMBER(SOCK_ERROR, 8);
NUMBER(SOCK_WOKEN, 16);
NUMBER(SOCK_DEFAULT, 0);
NUMBER(SOCK_ON, 1);
NUMBER(SOCK_OFF, -1);
NUMBER(SOCK_ANY, 0);
NUMBER(SOCK_UNIX, 1);
NUMBER(SOCK_IPV4, 4);
NUMBER(SOCK_IPV6, 6);
NUMBER(SOCK_KIND_STREAM, 1);
NUMBER(SOCK_KIND_LISTENER, 2);
NUMBER(SOCK_KIND_DATAGRAM, 3);
NUMBER(SOCK_KIND_POLLER, 4);
NUMBER(SOCK_KIND_SERVER, 5);
NUMBER(SOCK_OPT_NODELAY, 1);
NUMBER(SOCK_OPT_KEEPALIVE_MS, 2);
NUMBER(SOCK_OPT_USER_TIMEOUT_MS, 3);
NUMBER(SOCK_OPT_LINGER_MS, 4);
NUMBER(SOCK_OPT_SEND_BUFFER, 5);
NUMBER(SOCK_OPT_RECEIVE_BUFFER, 6);
NUMBER(SOCK_OPT_BROADCAST, 7);
NUMBER(SOCK_OPT_TTL, 8);
NUMBER(SOCK_OPT_MULTICAST_TTL, 9);
NUMBER(SOCK_OPT_MULTICAST_LOOP, 10);
NUMBER(SOCK_OPT_TOS, 11);
NUMBER(SOCK_OPT_MARK, 12);
NUMBER(SOCK_OPT_SPIN_US, 13);
NUMBER(SOCK_OPT_QUICKACK, 14);
NUMBER(SOCK_OPT_CORK, 15);
NUMBER(SOCK_TRUNCATED, 1);
NUMBER(SOCK_ADDRESS_TEXT, 160);
NUMBER(SOCK_THREADS, 0);
NUMBER(SOCK_FIBERS, 1);

SIZE(sock_t, 8);
_Static_assert((sock_t)-1 < 0, "sock_t is signed");
SIZE(sock_options, 128);
OFFSET(sock_options, size, 0);
OFFSET(sock_options, family, 8);
OFFSET(sock_options, nodelay, 12);
OFFSET(sock_options, timeout_ms, 16);
OFFSET(sock_options, io_timeout_ms, 24);
OFFSET(sock_options, attempt_delay_ms, 32);
OFFSET(sock_options, keepalive_ms, 40);
OFFSET(sock_options, user_timeout_ms, 48);
OFFSET(sock_options, spin_us, 56);
OFFSET(sock_options, send_buffer, 64);
OFFSET(sock_options, receive_buffer, 68);
OFFSET(sock_options, backlog, 72);
OFFSET(sock_options, reuse_address, 76);
OFFSET(sock_options, reuse_port, 80);
OFFSET(sock_options, v6_only, 84);
OFFSET(sock_options, multipath, 88);
OFFSET(sock_options, fast_open, 92);
OFFSET(sock_options, unix_replace, 96);
OFFSET(sock_options, unix_mode, 100);
OFFSET(sock_options, local_host, 104);
OFFSET(sock_options, local_port, 112);
OFFSET(sock_options, device, 120);
SIZE(sock_address, 136);
OFFSET(sock_address, length, 0);
OFFSET(sock_address, storage, 8);
_Static_assert(_Alignof(sock_address) == 8, "sock_address is 8-byte aligned");
SIZE(sock_datagram, 168);
OFFSET(sock_datagram, data, 0);
OFFSET(sock_datagram, size, 8);
OFFSET(sock_datagram, length, 16);
OFFSET(sock_datagram, address, 24);
OFFSET(sock_datagram, segment, 160);
OFFSET(sock_datagram, flags, 164);
SIZE(sock_credentials, 12);
OFFSET(sock_credentials, pid, 0);
OFFSET(sock_credentials, uid, 4);
OFFSET(sock_credentials, gid, 8);
SIZE(sock_event, 24);
OFFSET(sock_event, socket, 0);
OFFSET(sock_event, user, 8);
OFFSET(sock_event, ready, 16);
OFFSET(sock_event, reserved, 20);
SIZE(sock_server_options, 32);
OFFSET(sock_server_options, size, 0);
OFFSET(sock_server_options, model, 8);
OFFSET(sock_server_options, workers, 12);
OFFSET(sock_server_options, max_connections, 16);
OFFSET(sock_server_options, stack_size, 24);
SIZE(sock_server_info, 56);
OFFSET(sock_server_info, accepted, 8);
OFFSET(sock_server_info, active, 16);
OFFSET(sock_server_info, peak, 24);
OFFSET(sock_server_info, finished, 32);
OFFSET(sock_server_info, cut, 40);
OFFSET(sock_server_info, accept_errors, 48);
SIZE(sock_info, 64);
OFFSET(sock_info, size, 0);
OFFSET(sock_info, kind, 8);
OFFSET(sock_info, family, 12);
OFFSET(sock_info, bytes_read, 16);
OFFSET(sock_info, bytes_written, 24);
OFFSET(sock_info, resolve_us, 32);
OFFSET(sock_info, connect_us, 40);
OFFSET(sock_info, attempts, 48);
OFFSET(sock_info, rtt_us, 52);
OFFSET(sock_info, retransmits, 56);

SIGNATURE(sock_strerror, const char *(*)(int64_t));
SIGNATURE(sock_error_name, const char *(*)(int64_t));
SIGNATURE(sock_error_is_temporary, int (*)(int64_t));
SIGNATURE(sock_last_error, const char *(*)(void));
SIGNATURE(sock_last_errno, int (*)(void));
SIGNATURE(sock_last_count, size_t (*)(void));
SIGNATURE(sock_set_option, int (*)(sock_t, int, int64_t));
SIGNATURE(sock_get_option, int64_t (*)(sock_t, int));
SIGNATURE(sock_address_parse, int (*)(const char *, const char *, sock_address *));
SIGNATURE(sock_address_format, int64_t (*)(const sock_address *, char *, size_t));
SIGNATURE(sock_address_port, int (*)(const sock_address *));
SIGNATURE(sock_address_equal, int (*)(const sock_address *, const sock_address *));
SIGNATURE(sock_resolve, int64_t (*)(const char *, const char *, const sock_options *, sock_address *, size_t));
SIGNATURE(sock_local_address, int (*)(sock_t, sock_address *));
SIGNATURE(sock_peer_address, int (*)(sock_t, sock_address *));
SIGNATURE(sock_open, sock_t (*)(const char *, const char *, const sock_options *));
SIGNATURE(sock_listen, sock_t (*)(const char *, const char *, const sock_options *));
SIGNATURE(sock_accept, sock_t (*)(sock_t));
SIGNATURE(sock_try_accept, sock_t (*)(sock_t));
SIGNATURE(sock_close, int (*)(sock_t));
SIGNATURE(sock_shutdown, int (*)(sock_t, int));
SIGNATURE(sock_finish, int (*)(sock_t, int64_t));
SIGNATURE(sock_abort, int (*)(sock_t));
SIGNATURE(sock_pair, int (*)(sock_t *));
SIGNATURE(sock_read, int64_t (*)(sock_t, void *, size_t));
SIGNATURE(sock_read_exact, int64_t (*)(sock_t, void *, size_t));
SIGNATURE(sock_read_line, int64_t (*)(sock_t, char *, size_t));
SIGNATURE(sock_peek, int64_t (*)(sock_t, void *, size_t));
SIGNATURE(sock_write, int64_t (*)(sock_t, const void *, size_t));
SIGNATURE(sock_readv, int64_t (*)(sock_t, const struct iovec *, int));
SIGNATURE(sock_writev, int64_t (*)(sock_t, const struct iovec *, int));
SIGNATURE(sock_try_read, int64_t (*)(sock_t, void *, size_t));
SIGNATURE(sock_try_write, int64_t (*)(sock_t, const void *, size_t));
SIGNATURE(sock_buffered, size_t (*)(sock_t));
SIGNATURE(sock_send_file, int64_t (*)(sock_t, int, int64_t, int64_t));
SIGNATURE(sock_relay, int64_t (*)(sock_t, sock_t));
SIGNATURE(sock_printf, int64_t (*)(sock_t, const char *, ...));
SIGNATURE(sock_set_timeout, int (*)(sock_t, int, int64_t));
SIGNATURE(sock_set_deadline, int (*)(sock_t, int, int64_t));
SIGNATURE(sock_cancel, int (*)(sock_t));
SIGNATURE(sock_udp_open, sock_t (*)(const char *, const char *, const sock_options *));
SIGNATURE(sock_udp_bind, sock_t (*)(const char *, const char *, const sock_options *));
SIGNATURE(sock_send_to, int64_t (*)(sock_t, const void *, size_t, const sock_address *));
SIGNATURE(sock_recv_from, int64_t (*)(sock_t, void *, size_t, sock_address *));
SIGNATURE(sock_send_batch, int64_t (*)(sock_t, sock_datagram *, size_t));
SIGNATURE(sock_recv_batch, int64_t (*)(sock_t, sock_datagram *, size_t));
SIGNATURE(sock_join, int (*)(sock_t, const char *, const char *));
SIGNATURE(sock_leave, int (*)(sock_t, const char *, const char *));
SIGNATURE(sock_peer_credentials, int (*)(sock_t, sock_credentials *));
SIGNATURE(sock_send_fds, int64_t (*)(sock_t, const void *, size_t, const int *, size_t));
SIGNATURE(sock_recv_fds, int64_t (*)(sock_t, void *, size_t, int *, size_t, size_t *));
SIGNATURE(sock_from_fd, sock_t (*)(int));
SIGNATURE(sock_fd, int (*)(sock_t));
SIGNATURE(sock_release_fd, int (*)(sock_t));
SIGNATURE(sock_inherited, int64_t (*)(sock_t *, size_t));
SIGNATURE(sock_poller, sock_t (*)(void));
SIGNATURE(sock_poller_add, int (*)(sock_t, sock_t, int, void *));
SIGNATURE(sock_poller_set, int (*)(sock_t, sock_t, int, void *));
SIGNATURE(sock_poller_remove, int (*)(sock_t, sock_t));
SIGNATURE(sock_poller_wait, int64_t (*)(sock_t, sock_event *, size_t, int64_t));
SIGNATURE(sock_poller_wake, int (*)(sock_t));
SIGNATURE(sock_serve, sock_t (*)(sock_t, void (*)(sock_t, void *), void *, const sock_server_options *));
SIGNATURE(sock_server_stop, int64_t (*)(sock_t, int64_t));
SIGNATURE(sock_server_wait, int (*)(sock_t));
SIGNATURE(sock_get_server_info, int (*)(sock_t, sock_server_info *));
SIGNATURE(sock_sleep, int (*)(int64_t));
SIGNATURE(sock_get_info, int (*)(sock_t, sock_info *));
SIGNATURE(sock_set_logger, int (*)(void (*)(int, const char *, void *), void *));
SIGNATURE(sock_live_handles, int64_t (*)(void));
SIGNATURE(sock_version, uint32_t (*)(void));
SIGNATURE(sock_version_text, const char *(*)(void));

static void the_initializers_set_the_size_and_nothing_else(void)
{
    static const sock_options defaults = SOCK_OPTIONS_INIT;
    const sock_options *options = SOCK_OPTIONS(.timeout_ms = 5000, .local_host = "::1");
    const sock_server_options *server = SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS);
    sock_options zero = { .size = sizeof zero };
    CHECK(memcmp(&defaults, &zero, sizeof zero), ==, 0);
    CHECK(options->size, ==, sizeof *options);
    CHECK(options->timeout_ms, ==, 5000);
    CHECK(strcmp(options->local_host, "::1"), ==, 0);
    CHECK(options->backlog, ==, 0);
    CHECK(server->size, ==, sizeof *server);
    CHECK(server->model, ==, SOCK_FIBERS);
}

static void the_library_is_of_the_headers_version(void)
{
    CHECK(sock_version(), ==, SOCK_VERSION);
    CHECK(sock_version(), ==, SOCK_VERSION_MAJOR << 16 | SOCK_VERSION_MINOR << 8 | SOCK_VERSION_PATCH);
    CHECK(strcmp(sock_version_text(), SOCK_VERSION_TEXT), ==, 0);
}

static const test_case cases[] = {
    CASE(the_initializers_set_the_size_and_nothing_else),
    CASE(the_library_is_of_the_headers_version),
};
TEST_MAIN(cases)
