/*
 * sock.h - sockets for C programs: libsock
 *
 * One call each connects with a deadline, listens, accepts, reads a line, writes everything. No
 * SIGPIPE, no EINTR, no partial writes, no descriptor reused under a reader, no DNS that blocks for
 * ever, no IPv6 that hangs.
 *
 *     #include <sock.h>
 *
 *     sock_t s = sock_open("example.com", "http", SOCK_OPTIONS(.timeout_ms = 5000));
 *     if (s < 0) { fprintf(stderr, "%s\n", sock_last_error()); return 1; }
 *     sock_printf(s, "GET / HTTP/1.0\r\nHost: example.com\r\n\r\n");
 *     char line[1024];
 *     while (sock_read_line(s, line, sizeof line) >= 0) puts(line);
 *     sock_close(s);
 *
 * RETURN VALUES. Every function that can fail returns a signed integer: >= 0 is success (a handle,
 * a count, or 0), < 0 is a code of enum sock_error. There is no other channel: errno is neither
 * read nor promised. sock_last_error() tells the whole story of the last failure on this thread.
 * Outputs are written only on success unless a function says otherwise. Any function may return
 * SOCK_EINVAL for a NULL pointer that is not allowed, SOCK_EHANDLE and SOCK_ETYPE for a handle,
 * SOCK_ENOMEM, SOCK_ESYS for an operating system error without a code of its own (see
 * sock_last_errno()), and SOCK_EINTERNAL for a bug in the library.
 *
 * HANDLES. A sock_t is a number > 0 whose bits mean nothing to you. It is checked on every call:
 * zero, negative, made-up, closed, closed twice, or from another process or copy of the library, it
 * gives SOCK_EHANDLE, never undefined behaviour and never somebody else's socket. A live handle of
 * the wrong kind gives SOCK_ETYPE. A handle does not fit in an int.
 *
 * THREADS. Every function may be called from any thread at any time on any handle. One thread may
 * read while another writes. Calls in the same direction of one stream take turns: two sock_write
 * calls never interleave their bytes, two sock_read_line calls each get whole lines. Do not
 * pthread_cancel a thread that may be inside a call, which would end the process: sock_cancel or
 * sock_close ends the call.
 *
 * CLOSING. sock_close is final and immediate for everybody: calls blocked on the handle in other
 * threads return SOCK_ECLOSED at once, later calls SOCK_EHANDLE. The descriptor is closed when the
 * last call in flight has left. Closing does not shut the connection down for a forked child, or
 * for a process that the descriptor was passed to.
 *
 * WAITING. A call that cannot complete at once blocks, unless its name begins with sock_try_. It
 * ends when it is done, when the peer is done, at its timeout or deadline, or when the handle is
 * canceled or closed; never because of a signal. Times are milliseconds in int64_t on the monotonic
 * clock; SOCK_FOREVER (-1) is no limit, 0 is "do not wait" (but in sock_options 0 is the default),
 * and what would overflow means forever.
 *
 * YOUR PROCESS is left alone: no SIGPIPE, no signal handlers, no atexit, no output, no change of
 * umask, directory or locale; every descriptor is close-on-exec. Threads exist only while a name is
 * being resolved or a server runs, with all signals blocked in them. Only sock_cancel may be called
 * from a signal handler.
 *
 * FORK. Handles made before fork() work in the child, which holds descriptors of its own: closing
 * one there harms nothing in the parent. A server's threads exist only in the parent, and a poller
 * belongs to the process that made it. If another thread was in the middle of reading a handle at
 * the fork, reading it in the child waits in vain for that call to end; the same holds for writing.
 * Closing it still works.
 *
 * TEXT is NUL-terminated. Host and service names are read strictly: see sock_open.
 *
 * LINKING. cc program.c $(pkg-config --cflags --libs sock). C99 or C++11 and later. For C++ there
 * is also sock.hpp. Define SOCK_NO_STDIO before including this header to leave out sock_printf.
 */

#ifndef SOCK_H
#define SOCK_H


/* Made by cbindgen from src/ffi. Do not edit: change the Rust source. */

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/** The version of this header; sock_version() gives the library's. */
#define SOCK_VERSION_MAJOR 0
#define SOCK_VERSION_MINOR 1
#define SOCK_VERSION_PATCH 0
#define SOCK_VERSION \
    ((SOCK_VERSION_MAJOR << 16) | (SOCK_VERSION_MINOR << 8) | SOCK_VERSION_PATCH)
#define SOCK_VERSION_TEXT "0.1.0"

#ifndef __cplusplus
/** All options at their defaults: `sock_options o = SOCK_OPTIONS_INIT;`. C only. */
#define SOCK_OPTIONS_INIT { .size = sizeof(sock_options) }
/** A pointer to options, for one call: `sock_open(host, port, SOCK_OPTIONS(.timeout_ms = 5000))`.
 * C only. */
#define SOCK_OPTIONS(...) (&(sock_options){ .size = sizeof(sock_options), __VA_ARGS__ })
/** The same for sock_serve: `SOCK_SERVER_OPTIONS(.model = SOCK_FIBERS)`. C only. */
#define SOCK_SERVER_OPTIONS(...) \
    (&(sock_server_options){ .size = sizeof(sock_server_options), __VA_ARGS__ })
#endif


/**
 * What can go wrong. The numbers are frozen; gaps are for later codes.
 */
typedef enum sock_error {
    /**
     * Success.
     */
    SOCK_OK = 0,
    /**
     * An argument is invalid; nothing was done.
     */
    SOCK_EINVAL = -1,
    /**
     * Not a live handle.
     */
    SOCK_EHANDLE = -2,
    /**
     * A live handle, but of the wrong kind for this call.
     */
    SOCK_ETYPE = -3,
    /**
     * A name, line, path or text is longer than its limit.
     */
    SOCK_ETOOLONG = -4,
    /**
     * It conflicts with another use in progress.
     */
    SOCK_EBUSY = -5,
    /**
     * Not supported by this build, kernel or address family.
     */
    SOCK_ENOTSUP = -6,
    /**
     * The timeout or deadline passed, or the kernel gave up on the peer.
     */
    SOCK_ETIMEDOUT = -20,
    /**
     * sock_try_*: it would block.
     */
    SOCK_EAGAIN = -21,
    /**
     * The handle was closed while this call was in flight.
     */
    SOCK_ECLOSED = -22,
    /**
     * sock_cancel, or the server that ran this call was stopped.
     */
    SOCK_ECANCELED = -23,
    /**
     * The stream ended before the request was met.
     */
    SOCK_EEOF = -24,
    /**
     * No such host, or it has no address of the wanted family.
     */
    SOCK_ENOHOST = -40,
    /**
     * No such service name.
     */
    SOCK_ENOSERVICE = -41,
    /**
     * The resolver failed; trying later may help.
     */
    SOCK_ERESOLVE = -42,
    /**
     * The peer refused the connection, or an ICMP message said that nobody listens.
     */
    SOCK_ECONNREFUSED = -60,
    /**
     * The peer reset the connection. Once reported it stays: it never becomes a clean end of file.
     */
    SOCK_ECONNRESET = -61,
    /**
     * The peer, or sock_shutdown, closed the connection for writing.
     */
    SOCK_EPIPE = -62,
    /**
     * No route to the network or the host.
     */
    SOCK_EUNREACH = -63,
    /**
     * The socket is not connected.
     */
    SOCK_ENOTCONN = -64,
    /**
     * The address is in use already.
     */
    SOCK_EADDRINUSE = -65,
    /**
     * The address is not this machine's, or no port is left.
     */
    SOCK_EADDRNOTAVAIL = -66,
    /**
     * The system does not permit it.
     */
    SOCK_EACCES = -67,
    /**
     * A datagram is too large to send.
     */
    SOCK_EMSGSIZE = -68,
    /**
     * A datagram or passed descriptors did not fit and were cut.
     */
    SOCK_ETRUNC = -69,
    /**
     * No such unix socket path.
     */
    SOCK_ENOENT = -70,
    /**
     * The unix socket path exists and is in use, or is not a socket.
     */
    SOCK_EEXIST = -71,
    /**
     * Out of descriptors, handles or threads.
     */
    SOCK_ELIMIT = -90,
    /**
     * Out of memory.
     */
    SOCK_ENOMEM = -91,
    /**
     * Another operating system error: see sock_last_errno().
     */
    SOCK_ESYS = -100,
    /**
     * A bug in the library.
     */
    SOCK_EINTERNAL = -101,
} sock_error;

/**
 * Times.
 */
typedef enum sock_time {
    /**
     * No limit, wherever a call takes milliseconds.
     */
    SOCK_FOREVER = -1,
} sock_time;

/**
 * Directions, and what a poller watches for. Combine with |.
 */
typedef enum sock_direction {
    SOCK_READ = 1,
    SOCK_WRITE = 2,
} sock_direction;

/**
 * Three-valued switches in options.
 */
typedef enum sock_switch {
    /**
     * As the field's comment says.
     */
    SOCK_DEFAULT = 0,
    SOCK_ON = 1,
    SOCK_OFF = -1,
} sock_switch;

/**
 * Address families.
 */
typedef enum sock_family {
    SOCK_ANY = 0,
    SOCK_UNIX = 1,
    SOCK_IPV4 = 4,
    SOCK_IPV6 = 6,
} sock_family;

/**
 * Kinds of handles, as sock_get_info reports them.
 */
typedef enum sock_kind {
    SOCK_KIND_STREAM = 1,
    SOCK_KIND_LISTENER = 2,
    SOCK_KIND_DATAGRAM = 3,
    SOCK_KIND_POLLER = 4,
    SOCK_KIND_SERVER = 5,
} sock_kind;

/**
 * Options of a live handle, for sock_set_option and sock_get_option.
 */
typedef enum sock_option {
    /**
     * TCP_NODELAY: 1 or 0. TCP.
     */
    SOCK_OPT_NODELAY = 1,
    /**
     * As `keepalive_ms` of sock_options; 0 = off. TCP.
     */
    SOCK_OPT_KEEPALIVE_MS = 2,
    /**
     * TCP_USER_TIMEOUT in milliseconds; 0 = the kernel's. TCP.
     */
    SOCK_OPT_USER_TIMEOUT_MS = 3,
    /**
     * SO_LINGER: -1 = off (close in the background), 0 = reset on close, else sock_close waits up
     * to this many milliseconds, rounded up to seconds, for unsent data. Streams.
     */
    SOCK_OPT_LINGER_MS = 4,
    /**
     * SO_SNDBUF in bytes. The kernel doubles the value that is set, and sock_get_option returns the
     * doubled value.
     */
    SOCK_OPT_SEND_BUFFER = 5,
    /**
     * SO_RCVBUF in bytes, doubled likewise.
     */
    SOCK_OPT_RECEIVE_BUFFER = 6,
    /**
     * SO_BROADCAST: 1 or 0. UDP.
     */
    SOCK_OPT_BROADCAST = 7,
    /**
     * IP_TTL or IPV6_UNICAST_HOPS: 1…255; -1 = the system's.
     */
    SOCK_OPT_TTL = 8,
    /**
     * IP_MULTICAST_TTL or IPV6_MULTICAST_HOPS: 0…255; -1 = the system's. UDP.
     */
    SOCK_OPT_MULTICAST_TTL = 9,
    /**
     * Whether multicasts come back to this machine: 1 or 0. UDP.
     */
    SOCK_OPT_MULTICAST_LOOP = 10,
    /**
     * IP_TOS or IPV6_TCLASS: 0…255.
     */
    SOCK_OPT_TOS = 11,
    /**
     * SO_MARK, for routing and filters; needs CAP_NET_ADMIN.
     */
    SOCK_OPT_MARK = 12,
    /**
     * As `spin_us` of sock_options.
     */
    SOCK_OPT_SPIN_US = 13,
    /**
     * TCP_QUICKACK: 1 or 0; the kernel goes back to its own choice after a while. TCP.
     */
    SOCK_OPT_QUICKACK = 14,
    /**
     * TCP_CORK: 1 holds small segments back until 0, or for 200 ms. TCP.
     */
    SOCK_OPT_CORK = 15,
} sock_option;

/**
 * How long an address can be as text.
 */
typedef enum sock_address_limit {
    /**
     * A buffer of this many bytes is always enough for sock_address_format.
     */
    SOCK_ADDRESS_TEXT = 160,
} sock_address_limit;

/**
 * Flags of a received datagram.
 */
typedef enum sock_datagram_flag {
    /**
     * The datagram was longer than the buffer; the rest of it is gone.
     */
    SOCK_TRUNCATED = 1,
} sock_datagram_flag;

/**
 * What a poller reports besides SOCK_READ and SOCK_WRITE.
 */
typedef enum sock_readiness {
    /**
     * The peer has ended its direction, or the connection is over. Reported without being asked
     * for: once by itself, so that an idle loop does not spin, and again along with other events.
     */
    SOCK_HANGUP = 4,
    /**
     * An error is pending: the next call returns it. Reported without being asked for.
     */
    SOCK_ERROR = 8,
    /**
     * sock_poller_wake was called: the event's `socket` is the poller, its `user` NULL.
     */
    SOCK_WOKEN = 16,
} sock_readiness;

/**
 * What the handlers of a server run on.
 */
typedef enum sock_model {
    /**
     * A thread for each connection.
     */
    SOCK_THREADS = 0,
    /**
     * Stackful fibers on event-driven workers: in a fiber every blocking sock_ function parks the
     * fiber and lets the worker run others, so that ten thousand idle connections are ten thousand
     * parked fibers.
     */
    SOCK_FIBERS = 1,
} sock_model;

/**
 * Levels of log messages.
 */
typedef enum sock_log_level {
    /**
     * A call failed: the text of sock_last_error.
     */
    SOCK_LOG_ERROR = 1,
    /**
     * The library carried on, but somebody should know, for example that descriptors have run out.
     */
    SOCK_LOG_WARNING = 2,
    /**
     * What the library is doing.
     */
    SOCK_LOG_INFORMATION = 3,
} sock_log_level;

/**
 * A handle: > 0 when live. See HANDLES above.
 */
typedef int64_t sock_t;

/**
 * An address: the first `length` bytes of `storage` are a `struct sockaddr`, aligned for it, so
 * that it can be handed to POSIX calls and filled from them. They take the length as a socklen_t,
 * not as this type: go through a variable of your own.
 */
typedef struct sock_address {
    /**
     * Bytes of the address; 0 = no address.
     */
    uint64_t length;
    uint8_t storage[128];
} sock_address;

/**
 * Options of opening, listening, binding and resolving.
 *
 * Set `size` (the macros SOCK_OPTIONS and SOCK_OPTIONS_INIT do), and leave at zero what you do not
 * need. Switches, the fields that are on or off, take SOCK_ON and SOCK_OFF: 0 is the default, not
 * off. The struct grows at its end: programs compiled against an older header keep working. A NULL
 * pointer in place of options means all defaults. Strings are read only during the call.
 *
 * A field that does not apply to the call must be zero, else SOCK_EINVAL. Each comment ends with
 * the calls that the field applies to; if it names none, all but sock_resolve. With a "unix:" host,
 * fields that only tune TCP or IP are ignored, so that one set of options serves any host; those
 * that such a socket cannot obey are marked as not for "unix:", and must be zero.
 */
typedef struct sock_options {
    /**
     * sizeof(sock_options); 0 is SOCK_EINVAL.
     */
    size_t size;
    /**
     * SOCK_ANY, SOCK_IPV4 or SOCK_IPV6: use only addresses of this family. An IPv4-mapped address
     * counts as IPv4. All calls.
     */
    int family;
    /**
     * TCP_NODELAY: small writes are sent at once. Default on. Open; listen, for what it accepts.
     */
    int nodelay;
    /**
     * Milliseconds for the whole of open: resolving and all addresses. 0 or SOCK_FOREVER = no
     * limit. Open, UDP open, resolve.
     */
    int64_t timeout_ms;
    /**
     * Milliseconds: the initial value of sock_set_timeout in both directions. Connections inherit
     * it from their listener, and it limits sock_accept too; sock_serve waits for clients without a
     * limit. 0 or SOCK_FOREVER = no limit.
     */
    int64_t io_timeout_ms;
    /**
     * Milliseconds before the next address is tried while the last one has not answered (RFC 8305).
     * 0 = 250; values outside 10…2000 are brought into that range. Open.
     */
    int64_t attempt_delay_ms;
    /**
     * Milliseconds of silence before the connection is probed; then a probe every third of that,
     * and three without an answer end it. 0 = off. The kernel counts in seconds: rounded up. Open;
     * listen, for what it accepts.
     */
    int64_t keepalive_ms;
    /**
     * Milliseconds that sent data may go unacknowledged before the connection is given up
     * (TCP_USER_TIMEOUT). 0 = the kernel's. Open; listen, for what it accepts.
     */
    int64_t user_timeout_ms;
    /**
     * Microseconds that a blocking call polls in a loop before it sleeps: lower latency, paid for
     * with processor time. 0 = off.
     */
    int64_t spin_us;
    /**
     * SO_SNDBUF in bytes; 0 = the kernel's.
     */
    int send_buffer;
    /**
     * SO_RCVBUF in bytes; 0 = the kernel's.
     */
    int receive_buffer;
    /**
     * How many connections may wait to be accepted; 0 or less = SOMAXCONN. The kernel has a limit
     * of its own (net.core.somaxconn). Listen.
     */
    int backlog;
    /**
     * SO_REUSEADDR. Listen: default on, so that a restarted server gets its port back. UDP: default
     * off.
     */
    int reuse_address;
    /**
     * SO_REUSEPORT: several sockets share the port and its load. Default off. Not for "unix:".
     */
    int reuse_port;
    /**
     * A wildcard socket takes IPv6 only. Default off: one socket for both families. Listen, UDP
     * bind.
     */
    int v6_only;
    /**
     * Multipath TCP where the kernel has it, silently TCP otherwise. Default off. Open, listen.
     */
    int multipath;
    /**
     * TCP Fast Open (RFC 7413), where the system has it: the first write travels with the SYN. Open
     * may then succeed before anything was sent, and a peer that does not answer is noticed only
     * later; do not use it if the peer speaks first. Default off. Open, listen.
     */
    int fast_open;
    /**
     * Take over a stale unix path, at which nobody answers. Its directory is locked (flock(2))
     * meanwhile: of many that try at once one succeeds. Default on. Listen and bind on "unix:".
     */
    int unix_replace;
    /**
     * Permission bits of the unix path, such as 0600: at no moment does it have others. 0 = what
     * the umask leaves. Listen and bind on "unix:".
     */
    int unix_mode;
    /**
     * Bind to this literal address first, and use only addresses of its family; NULL = any. It may
     * include the port, as in "[::1]:4000". Not for "unix:" streams. Open, UDP open.
     */
    const char *local_host;
    /**
     * Bind to this port first; NULL = any. Not for "unix:". Open, UDP open.
     */
    const char *local_port;
    /**
     * SO_BINDTODEVICE: use only the network interface of this name, such as "eth0"; NULL = any. Not
     * for "unix:".
     */
    const char *device;
} sock_options;

/**
 * One entry of sock_send_batch or sock_recv_batch.
 */
typedef struct sock_datagram {
    /**
     * Receive: the buffer; send: the bytes. May be NULL if `size` is 0.
     */
    void *data;
    /**
     * Receive: the buffer's capacity; send: how many bytes.
     */
    size_t size;
    /**
     * Set by the call. Receive: bytes in the buffer; send: bytes sent.
     */
    size_t length;
    /**
     * Receive: the sender; send: the receiver, with length 0 on a connected socket.
     */
    struct sock_address address;
    /**
     * Send: 0, or cut the data into datagrams of this size (the last may be shorter), in the kernel
     * where it can (GSO).
     *
     * Receive: 0, or the size of the datagrams from one sender that lie one after the other in the
     * buffer (GRO); the last may be shorter.
     */
    uint32_t segment;
    /**
     * Receive: SOCK_TRUNCATED or 0. Ignored when sending.
     */
    uint32_t flags;
} sock_datagram;

/**
 * Who is at the other end of a unix socket.
 */
typedef struct sock_credentials {
    /**
     * The process; 0 if it is not in this process's pid namespace.
     */
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
} sock_credentials;

/**
 * One handle that is ready.
 */
typedef struct sock_event {
    /**
     * The handle.
     */
    sock_t socket;
    /**
     * As given to sock_poller_add or sock_poller_set.
     */
    void *user;
    /**
     * SOCK_READ, SOCK_WRITE, SOCK_HANGUP, SOCK_ERROR, SOCK_WOKEN, combined.
     */
    uint32_t ready;
    /**
     * 0.
     */
    uint32_t reserved;
} sock_event;

/**
 * Serves one connection: straight-line code of blocking calls, the same under both models.
 *
 * When it returns, the connection is closed, unless the handler has done so itself. What was
 * written still reaches the peer, even if data was left unread: what the peer still sends is read
 * and dropped in the background until it ends its direction, is silent for a second, or ten seconds
 * have passed. With SOCK_OPT_LINGER_MS at 0 it is reset instead. To leave the connection to a
 * forked child, or to a process that its descriptor was passed to, sock_close it in the handler:
 * then the server does not end it for them.
 *
 * It must return: no longjmp out of it, no C++ exception, no pthread_exit. exit() works as in any
 * thread. In a child that a handler forks, the handler's code goes on, and its blocking calls block
 * the child; the child must end by _exit or exec. When the server stops, calls that wait in the
 * handler, on any handle and in sock_sleep, end with SOCK_ECANCELED.
 *
 * On fibers, other blocking functions (sleep, read, pthread_mutex_lock, getaddrinfo) block the
 * worker with all its fibers, and code that computes for long should call sock_sleep(0) now and
 * then. A fiber stays on one worker; thread-local variables are shared with the other fibers there,
 * except sock_last_error, sock_last_errno and sock_last_count, which belong to the fiber.
 *
 * @param connection the accepted connection
 * @param context as given to sock_serve
 */
typedef void (*sock_handler)(sock_t connection, void *context);

/**
 * Options of sock_serve.
 */
typedef struct sock_server_options {
    /**
     * sizeof(sock_server_options).
     */
    size_t size;
    /**
     * SOCK_THREADS or SOCK_FIBERS.
     */
    int model;
    /**
     * Fibers: worker threads; 0 = one for each CPU that the process may use. At most 1024. Threads:
     * no meaning.
     */
    int workers;
    /**
     * How many handlers run at once, at most; at the limit new connections wait in the backlog. 0 =
     * no limit.
     */
    int64_t max_connections;
    /**
     * Bytes of stack for each handler; 0 = 256 KiB (fibers), the system's (threads). At least 16
     * KiB are given, at most 1 GiB. Only what is used takes memory. Below a fiber's stack lies a
     * guard page: running over it is a segmentation fault.
     */
    size_t stack_size;
} sock_server_options;

/**
 * What a server reports about itself. The struct grows at its end.
 */
typedef struct sock_server_info {
    /**
     * sizeof(sock_server_info): the caller sets it.
     */
    size_t size;
    /**
     * Connections accepted so far.
     */
    uint64_t accepted;
    /**
     * Handlers that run now.
     */
    uint64_t active;
    /**
     * The most that ran at once.
     */
    uint64_t peak;
    /**
     * Handlers that have returned.
     */
    uint64_t finished;
    /**
     * Handlers that sock_server_stop or sock_close canceled.
     */
    uint64_t cut;
    /**
     * How often accepting failed: descriptors, memory or threads had run out, or a connection died
     * before it was accepted.
     */
    uint64_t accept_errors;
} sock_server_info;

/**
 * What sock_get_info reports about a handle. Fields that do not apply to it are 0. The struct grows
 * at its end.
 */
typedef struct sock_info {
    /**
     * sizeof(sock_info), set by the caller.
     */
    size_t size;
    /**
     * One of enum sock_kind.
     */
    int kind;
    /**
     * SOCK_UNIX, SOCK_IPV4 or SOCK_IPV6; SOCK_ANY if there is none. The connection of an IPv4
     * peer is SOCK_IPV4 even if a dual-stack listener accepted it.
     */
    int family;
    /**
     * Bytes taken from the kernel, including those read ahead.
     */
    uint64_t bytes_read;
    /**
     * Bytes given to the kernel.
     */
    uint64_t bytes_written;
    /**
     * Microseconds that open spent on resolving the name.
     */
    int64_t resolve_us;
    /**
     * Microseconds that open spent on connecting, after the name was known.
     */
    int64_t connect_us;
    /**
     * How many addresses open tried, including the one that won.
     */
    uint32_t attempts;
    /**
     * TCP's estimate of the round-trip time, in microseconds.
     */
    uint32_t rtt_us;
    /**
     * Segments that TCP retransmitted.
     */
    uint32_t retransmits;
} sock_info;

/**
 * Receives log messages.
 *
 * @param level one of enum sock_log_level
 * @param message one line without a line end; valid during the call
 * @param context as given to sock_set_logger
 */
typedef void (*sock_logger)(int level, const char *message, void *context);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * One English phrase for a code.
 *
 * @param code any number: a result of any function
 * @return a static string, never NULL; "success" for every number >= 0
 *
 * Never blocks; any thread. Since 0.1.
 */
const char *sock_strerror(int64_t code);

/**
 * The name of a code, for logs and tests.
 *
 * @param code any number
 * @return a static string such as "SOCK_ECONNREFUSED", never NULL; "SOCK_UNKNOWN" for numbers that
 *         are not codes
 *
 * Never blocks; any thread. Since 0.1.
 */
const char *sock_error_name(int64_t code);

/**
 * Whether trying the same thing again later can succeed without a change to the request: timeouts,
 * refusals, resets, exhausted resources.
 *
 * @param code any number
 * @return 1 or 0
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_error_is_temporary(int64_t code);

/**
 * The last failure on this thread, in full: the operation, the addresses, every attempt with its
 * own cause and time, and the verdict, in one line. For example `open example.com:443: timed out
 * after 5000 ms ([2001:db8::1]:443: timed out after 4750 ms; 192.0.2.1:443: connection refused
 * after 3 ms)`.
 *
 * Success leaves it alone, and so does the end of the stream that sock_read reports as 0; only the
 * next failure on the same thread replaces it. In a fiber of a server it is the fiber's own.
 *
 * @return a string in a buffer of the thread's own, which the next failure there overwrites; never
 *         NULL; "" before any failure. A text that is too long is cut at its end.
 *
 * Never blocks; any thread. Since 0.1.
 */
const char *sock_last_error(void);

/**
 * The errno of the last failure on this thread, or fiber.
 *
 * @return an errno value, or 0 if no system call failed
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_last_errno(void);

/**
 * How many bytes the last failed transfer on this thread had moved: what sock_write had written,
 * sock_read_exact had read, sock_relay had passed on. Only the next failed transfer changes it: a
 * failure of sock_close, for example, does not. In a fiber of a server it is the fiber's own.
 *
 * @return bytes; 0 if the transfer moved none, or none has failed
 *
 * Never blocks; any thread. Since 0.1.
 */
size_t sock_last_count(void);

/**
 * Sets an option of a live socket.
 *
 * @param s a stream, listener or datagram socket
 * @param option one of enum sock_option
 * @param value see the option
 * @return 0; SOCK_EINVAL for an unknown option or a value out of its range, SOCK_ENOTSUP for one
 *         that the socket's kind or family lacks, SOCK_EACCES
 *
 * Never blocks; any thread. setsockopt(2), tcp(7), ip(7), ipv6(7). Since 0.1.
 */
int sock_set_option(sock_t s, int option, int64_t value);

/**
 * The value of an option of a live socket.
 *
 * @param s a stream, listener or datagram socket
 * @param option one of enum sock_option
 * @return the value; SOCK_EINVAL for an unknown option, SOCK_ENOTSUP for one that the socket's kind
 *         or family lacks. Note that -1 is SOCK_EINVAL, but also a value of SOCK_OPT_LINGER_MS:
 *         off.
 *
 * Never blocks; any thread. Since 0.1.
 */
int64_t sock_get_option(sock_t s, int option);

/**
 * Parses a literal address: the resolver is not asked, and the port is a decimal number.
 *
 * @param host an IPv4 or IPv6 literal, with or without [] and %scope; "unix:PATH"; "unix:@NAME";
 *        or, with `port` NULL, the whole address as sock_address_format writes it
 * @param port decimal 0…65535, or NULL
 * @param out receives the address; not NULL
 * @return 0; SOCK_EINVAL or SOCK_ETOOLONG if it is not a literal; SOCK_ELIMIT if no descriptor is
 *         left to look up a named scope
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_address_parse(const char *host, const char *port, struct sock_address *out);

/**
 * Writes an address as text: `127.0.0.1:80`, `[::1]:80`, `[fe80::1%eth0]:80`, `unix:/run/x`,
 * "unix:@x" (abstract), `unix:` (unnamed).
 *
 * The bytes of a unix path or name are written as they are, so that the text can be parsed back
 * into the address; only zero bytes in an abstract name are written as `@`. A peer chooses its own
 * name: beware of control characters before you show it.
 *
 * sock_open, sock_listen, sock_udp_open and sock_udp_bind take the text as `host`, with `port`
 * NULL.
 *
 * @param address not NULL
 * @param text receives the text and a NUL; at most `size` bytes are written
 * @param size of `text`; SOCK_ADDRESS_TEXT is always enough
 * @return the length without the NUL; SOCK_ETOOLONG if it does not fit (then nothing is written);
 *         SOCK_EINVAL for a family that the library does not know
 *
 * Never blocks; any thread. Since 0.1.
 */
int64_t sock_address_format(const struct sock_address *address, char *text, size_t size);

/**
 * The port of an address.
 *
 * @param address not NULL
 * @return 0…65535; SOCK_ETYPE for a unix address
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_address_port(const struct sock_address *address);

/**
 * Whether two addresses are the same: family, address, port, scope or path.
 *
 * @param a an address, or NULL
 * @param b an address, or NULL
 * @return 1 or 0; 0 if either is NULL or of an unknown family
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_address_equal(const struct sock_address *a, const struct sock_address *b);

/**
 * Resolves a name to addresses, as sock_open does before it connects.
 *
 * @param host as for sock_open; NULL is the loopback
 * @param port 0…65535 or a service name, "0" if only the hosts matter; NULL as for sock_open
 * @param options `family` and `timeout_ms`, or NULL
 * @param out receives at most `capacity` addresses, each once, in the order in which sock_open
 *        would try them
 * @param capacity of `out`; 0 only counts
 * @return how many addresses there are, which may be more than `capacity`; SOCK_ENOHOST,
 *         SOCK_ENOSERVICE, SOCK_ERESOLVE, SOCK_ETIMEDOUT, SOCK_ELIMIT if no thread can be started
 *         for the lookup, SOCK_EINVAL, SOCK_ETOOLONG
 *
 * Blocks until the resolver answers or `timeout_ms` passes; any thread. getaddrinfo(3), RFC 6724.
 * Since 0.1.
 */
int64_t sock_resolve(const char *host,
                     const char *port,
                     const struct sock_options *options,
                     struct sock_address *out,
                     size_t capacity);

/**
 * The address that a socket is bound to. An IPv4-mapped address is reported as the IPv4 address.
 *
 * @param s a stream, listener or datagram socket
 * @param out not NULL
 * @return 0
 *
 * Never blocks; any thread. getsockname(2). Since 0.1.
 */
int sock_local_address(sock_t s, struct sock_address *out);

/**
 * The address of the peer, remembered from open or accept: it is known even after the peer is gone.
 * IPv4 peers of a dual-stack listener are reported as IPv4 addresses. Connecting to 0.0.0.0 or ::
 * reaches this machine; the address that was really reached is reported.
 *
 * @param s a stream or a connected datagram socket
 * @param out not NULL
 * @return 0; SOCK_ENOTCONN
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_peer_address(sock_t s, struct sock_address *out);

/**
 * Connects a stream.
 *
 * Resolves the name, then tries its addresses as RFC 8305 says: in the resolver's order with the
 * families interleaved, the next one when one fails or after `attempt_delay_ms`, all within one
 * `timeout_ms`. The first that connects wins; the others are closed without a byte sent. A
 * connection of a TCP socket to itself is never returned. If the backlog of a unix socket is full,
 * the call waits for room.
 *
 * @param host a DNS name, an IPv4 literal, an IPv6 literal with or without [] and %scope,
 *        "unix:PATH", or "unix:@NAME" for a Linux abstract socket; NULL = the loopback. Only strict
 *        literals are literals; what merely looks numeric, is malformed, or is too long is refused
 *        before the resolver is asked, and nothing is ever truncated.
 * @param port 1…65535 or a service name such as "http"; NULL for "unix:" hosts, and if `host` is
 *        the whole address as text (`example.com:443`, `[::1]:80`, `:8080`)
 * @param options or NULL for all defaults
 * @return a handle to be closed with sock_close; else a code. For the arguments: SOCK_EINVAL,
 *         SOCK_ETOOLONG, SOCK_ENOSERVICE. For the name: SOCK_ENOHOST, SOCK_ERESOLVE. SOCK_ETIMEDOUT
 *         if `timeout_ms` ended it. If every address failed before that, the code of the most
 *         informative attempt, the first among equals: an answer of the peer (SOCK_ECONNREFUSED,
 *         SOCK_ECONNRESET), else that the kernel got no answer (SOCK_ETIMEDOUT), else what this
 *         machine forbids or lacks (SOCK_EACCES, SOCK_ELIMIT, SOCK_ENOMEM, SOCK_EADDRNOTAVAIL,
 *         SOCK_EADDRINUSE, SOCK_ESYS), else SOCK_EUNREACH, SOCK_ENOTSUP, SOCK_EINVAL. For unix
 *         sockets also SOCK_ENOENT, and SOCK_EINVAL if the socket is not a stream. sock_last_error
 *         lists every attempt.
 *
 * Blocks at most `timeout_ms`; there is no handle yet that could be canceled. Any thread.
 * connect(2), RFC 8305, RFC 6724. Since 0.1.
 */
sock_t sock_open(const char *host, const char *port, const struct sock_options *options);

/**
 * Listens for connections.
 *
 * @param host an address of this machine, as for sock_open; a name with several addresses uses the
 *        first that binds; NULL = every address, in one dual-stack socket; "unix:PATH" makes a unix
 *        socket, unlinked on close if the path is still its own
 * @param port 0…65535 or a service name; "0" = any free port, reported by sock_local_address;
 *        NULL as for sock_open
 * @param options or NULL for all defaults
 * @return a handle for sock_accept, sock_serve or a poller; SOCK_EADDRINUSE, SOCK_EADDRNOTAVAIL,
 *         SOCK_EACCES, SOCK_EEXIST for a unix path that is in use or is not a socket, SOCK_EBUSY if
 *         another program keeps the directory of a stale one locked, SOCK_EINVAL, SOCK_ETOOLONG,
 *         SOCK_ENOHOST, SOCK_ENOSERVICE, SOCK_ELIMIT
 *
 * Blocks only if `host` is a name to be resolved, or, for at most five seconds, if another program
 * keeps that directory locked; any thread. bind(2), listen(2). Since 0.1.
 */
sock_t sock_listen(const char *host, const char *port, const struct sock_options *options);

/**
 * Waits for the next connection.
 *
 * A connection that died before it was accepted is skipped. When descriptors run out the call waits
 * and tries again, without spinning. The connection inherits the listener's `io_timeout_ms`,
 * nodelay, keepalive, user timeout and spin, and nothing else. Several threads may accept on one
 * listener: each connection goes to one of them.
 *
 * @param listener from sock_listen; its timeout and deadline for reading apply
 * @return a handle to be closed with sock_close; SOCK_ETIMEDOUT, SOCK_ECANCELED, SOCK_ECLOSED,
 *         SOCK_ELIMIT if no descriptor was left until the timeout, SOCK_EBUSY if a server has the
 *         listener
 *
 * Blocks; any thread. accept(2). Since 0.1.
 */
sock_t sock_accept(sock_t listener);

/**
 * Closes a handle of any kind, for everybody: see CLOSING above. What was written still reaches the
 * peer, in the background; but if received data was left unread, TCP resets the connection:
 * sock_finish avoids that. A listener unlinks its unix path if the path is still its own.
 *
 * @param s a handle; gone when this returns
 * @return 0; SOCK_EHANDLE if it is not live (closed before, or never a handle)
 *
 * Never blocks, unless SOCK_OPT_LINGER_MS was set, or it is a server: that is stopped, as by
 * sock_server_stop(s, 0), which waits for its handlers; any thread. Since 0.1.
 */
int sock_close(sock_t s);

/**
 * Ends one direction, or both, of a connection for everybody who shares it (threads, forked
 * children).
 *
 * SOCK_WRITE sends what was written and then the end of the stream: the peer reads 0, and can still
 * answer. After SOCK_READ, reads give what has already arrived, then 0; the peer of a unix stream
 * then gets SOCK_EPIPE when it writes. Doing it twice is not an error.
 *
 * @param s a stream or a connected datagram socket
 * @param directions SOCK_READ, SOCK_WRITE or both
 * @return 0; SOCK_EINVAL for other directions; SOCK_ENOTCONN if the peer has already torn the
 *         connection down
 *
 * Never blocks; any thread. shutdown(2). Since 0.1.
 */
int sock_shutdown(sock_t s, int directions);

/**
 * Closes a stream politely: ends the writing direction, reads and drops what the peer still sends
 * until its end, and closes. The peer gets everything that was written, even if it sent data that
 * nobody read.
 *
 * @param s a stream; gone when this returns, whatever it returns, unless that is SOCK_EHANDLE,
 *        SOCK_ETYPE or SOCK_EINVAL
 * @param timeout_ms how long the peer may take; SOCK_FOREVER = no limit. The handle's own timeouts
 *        do not apply.
 * @return 0 if the peer ended its direction too; SOCK_ETIMEDOUT, SOCK_ECONNRESET, SOCK_ECANCELED,
 *         SOCK_ECLOSED
 *
 * Blocks at most `timeout_ms`; any thread. Since 0.1.
 */
int sock_finish(sock_t s, int64_t timeout_ms);

/**
 * Closes a stream with a reset: what was not yet sent is dropped, the peer's next read fails with
 * SOCK_ECONNRESET, and no TIME_WAIT stays behind. A unix stream is merely closed.
 *
 * @param s a stream; gone when this returns
 * @return 0
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_abort(sock_t s);

/**
 * Makes two connected unix streams: what is written to one is read from the other.
 *
 * @param out receives two handles; not NULL
 * @return 0; SOCK_ELIMIT
 *
 * Never blocks; any thread. socketpair(2). Since 0.1.
 */
int sock_pair(sock_t out[2]);

/**
 * Reads what is there, waiting until there is something.
 *
 * @param s a stream, or a datagram socket: one datagram a call, as sock_recv_from, which tells who
 *        sent it
 * @param buffer at least `size` bytes; may be NULL if `size` is 0
 * @param size how much at most; 0 returns 0 at once; over PTRDIFF_MAX is SOCK_EINVAL
 * @return how many bytes; 0 at the end of the stream (or an empty datagram); SOCK_ECONNRESET,
 *         SOCK_ETIMEDOUT, SOCK_ECANCELED, SOCK_ECLOSED, SOCK_ECONNREFUSED on datagrams, SOCK_ETRUNC
 *         for a datagram longer than the buffer, which is filled
 *
 * Blocks until its timeout or deadline; any thread. recv(2). Since 0.1.
 */
int64_t sock_read(sock_t s, void *buffer, size_t size);

/**
 * Reads exactly `size` bytes.
 *
 * @param s a stream
 * @param buffer at least `size` bytes; what arrived before a failure is in it
 * @param size how many; 0 returns 0 at once
 * @return `size`; SOCK_EEOF if the stream ended before; else as sock_read. sock_last_count tells
 *         how many bytes did arrive.
 *
 * Blocks until its timeout or deadline, which hold over the whole call; any thread. Since 0.1.
 */
int64_t sock_read_exact(sock_t s, void *buffer, size_t size);

/**
 * Reads a line ended by "\n" or "\r\n", strips the end, and terminates it with a NUL.
 *
 * A last line without an end is returned as a line; after it comes SOCK_EEOF. NUL bytes in a line
 * are data: trust the length. Lines are read ahead: bytes after the line stay with the handle,
 * where every reading call finds them first. A line cut short by a timeout is kept, and the next
 * call goes on with it.
 *
 * @param s a stream
 * @param line at least `size` bytes
 * @param size of `line`, the NUL included; 0 returns 0 at once, and takes nothing
 * @return the length without the line end; SOCK_EEOF; SOCK_ETOOLONG if the line does not fit in
 *         `size` - 1 bytes: it stays readable, by sock_read or with a larger buffer. sock_read of
 *         `size` - 1 bytes takes its head and nothing of the next line. Else as sock_read
 *
 * Blocks until its timeout or deadline, which hold over the whole call; any thread. Since 0.1.
 */
int64_t sock_read_line(sock_t s, char *line, size_t size);

/**
 * Reads like sock_read, and leaves the bytes there for the next call.
 *
 * @param s a stream or a datagram socket
 * @param buffer at least `size` bytes
 * @param size how much at most
 * @return as sock_read
 *
 * Blocks until its timeout or deadline; any thread. recv(2) with MSG_PEEK. Since 0.1.
 */
int64_t sock_peek(sock_t s, void *buffer, size_t size);

/**
 * Writes all of it, always: success means that the kernel has every byte.
 *
 * @param s a stream, or a connected datagram socket: one datagram a call, an empty one too
 * @param buffer `size` bytes; may be NULL if `size` is 0
 * @param size how many; over PTRDIFF_MAX is SOCK_EINVAL
 * @return `size`; SOCK_EPIPE or SOCK_ECONNRESET if the peer is gone (never a signal);
 *         SOCK_ETIMEDOUT, SOCK_ECANCELED, SOCK_ECLOSED: sock_last_count tells how many bytes the
 *         kernel had taken; SOCK_EMSGSIZE for a datagram
 *
 * Blocks until its timeout or deadline; any thread. send(2). Since 0.1.
 */
int64_t sock_write(sock_t s, const void *buffer, size_t size);

/**
 * Reads like sock_read, into several buffers, filled one after the other.
 *
 * @param s a stream or a datagram socket
 * @param parts `count` buffers; any number, also over IOV_MAX on streams
 * @param count not negative
 * @return how many bytes in all; else as sock_read
 *
 * Blocks until its timeout or deadline; any thread. recvmsg(2). Since 0.1.
 */
int64_t sock_readv(sock_t s, const struct iovec *parts, int count);

/**
 * Writes all of several buffers, in order, as sock_write writes one.
 *
 * @param s a stream, or a connected datagram socket: one datagram of them all
 * @param parts `count` buffers; any number, also over IOV_MAX on streams
 * @param count not negative
 * @return how many bytes in all; SOCK_EINVAL if that is over PTRDIFF_MAX; else as sock_write
 *
 * Blocks until its timeout or deadline; any thread. sendmsg(2). Since 0.1.
 */
int64_t sock_writev(sock_t s, const struct iovec *parts, int count);

/**
 * Reads what is there now.
 *
 * @param s a stream or a datagram socket
 * @param buffer at least `size` bytes
 * @param size how much at most; 0 returns 0
 * @return how many bytes; 0 at the end of the stream (or an empty datagram); SOCK_EAGAIN if nothing
 *         is there, or another thread is reading; else as sock_read
 *
 * Never blocks; any thread. Since 0.1.
 */
int64_t sock_try_read(sock_t s, void *buffer, size_t size);

/**
 * Writes what fits now.
 *
 * @param s a stream or a connected datagram socket
 * @param buffer `size` bytes
 * @param size how many at most
 * @return how many bytes the kernel took, at least 1 unless `size` is 0; SOCK_EAGAIN if nothing
 *         fits, or another thread is writing; else as sock_write
 *
 * Never blocks; any thread. Since 0.1.
 */
int64_t sock_try_write(sock_t s, const void *buffer, size_t size);

/**
 * Takes the next connection if one waits.
 *
 * @param listener from sock_listen
 * @return a handle to be closed with sock_close; SOCK_EAGAIN if none waits; SOCK_ELIMIT if no
 *         descriptor is left; SOCK_EBUSY if a server has the listener
 *
 * Never blocks; any thread. Since 0.1.
 */
sock_t sock_try_accept(sock_t listener);

/**
 * How many bytes have been read ahead and wait inside the library. An event loop of your own must
 * look at this besides the descriptor of sock_fd; a poller of this library does so by itself.
 *
 * @param s any handle
 * @return bytes; 0 also for what is not a handle
 *
 * Never blocks; any thread. Since 0.1.
 */
size_t sock_buffered(sock_t s);

/**
 * Sends a file, or a part of it, without copying it through this process if the system can do that.
 *
 * @param s a stream
 * @param fd the file: regular, or anything that can be read: a pipe, a terminal, a socket. It stays
 *        the caller's.
 * @param offset in bytes: where in the file to begin, its own position staying as it is; -1 = at
 *        its own position, which moves on. A file without positions, such as a pipe, takes 0 and -1
 *        alike; if others read from it too, it should be non-blocking.
 * @param size in bytes; -1 = to the end of the file
 * @return how many bytes were sent; SOCK_EEOF if the file ended before `size`, SOCK_EINVAL if `fd`
 *         is not open for reading or cannot be read at an offset, SOCK_ESYS if reading it failed,
 *         SOCK_ENOMEM, and what sock_write returns. After a failure sock_last_count tells how many
 *         were sent.
 *
 * Blocks; the timeout and deadline for writing apply, also to waiting for a pipe to have something,
 * and the end of the connection ends that too; any thread. sendfile(2). Since 0.1.
 */
int64_t sock_send_file(sock_t s, int fd, int64_t offset, int64_t size);

/**
 * Passes on everything that two streams receive, each to the other, until both have ended.
 *
 * Bytes that have been read ahead go first. The end of one stream is passed on as the end of
 * writing to the other (as sock_shutdown does), while the other direction goes on. The bytes stay
 * inside the kernel if it can do that (splice(2)).
 *
 * When one side cannot be written to any more, what still comes from it is passed on until its end.
 * When receiving fails, what came before is passed on, and the relay ends without telling the other
 * side that the stream was whole. Both handles stay, to be closed; after a failure they are good
 * for nothing else, because bytes may have been in transit.
 *
 * @param a a stream
 * @param b another stream
 * @return how many bytes were passed on in all; SOCK_EINVAL if `a` is `b`, SOCK_ETIMEDOUT,
 *         SOCK_ECONNRESET, SOCK_EPIPE, SOCK_ECANCELED, SOCK_ECLOSED, SOCK_ENOMEM. After a failure
 *         sock_last_count tells how many were passed on.
 *
 * Blocks; until it returns, no other call reads or writes the two streams. Deadlines of either
 * stream end it. Timeouts count from the last byte that moved in any direction: those for reading
 * end a relay that is silent, those for writing one whose other side takes nothing. Any thread.
 * Since 0.1.
 */
int64_t sock_relay(sock_t a, sock_t b);

/**
 * Sets how long each call may take from now on; calls already blocked in that direction obey it
 * too.
 *
 * The time runs from when a call first has to wait, also for one that is waiting when the timeout
 * is set. A deadline may be set as well: whichever comes first ends the call with SOCK_ETIMEDOUT,
 * never early. A transfer that ends this way leaves the handle usable, and sock_last_count is
 * exact.
 *
 * @param s a stream, listener (accepting is reading) or datagram socket
 * @param directions SOCK_READ, SOCK_WRITE or both
 * @param ms milliseconds; 0 = do not wait; SOCK_FOREVER = no limit
 * @return 0; SOCK_EINVAL
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_set_timeout(sock_t s, int directions, int64_t ms);

/**
 * Sets a point in time when all calls end, those already blocked too, however many there are until
 * then.
 *
 * After it, data that is already there is still delivered; whatever would have to wait ends with
 * SOCK_ETIMEDOUT.
 *
 * @param s a stream, listener or datagram socket
 * @param directions SOCK_READ, SOCK_WRITE or both
 * @param ms_from_now milliseconds; 0 makes every wait end at once; SOCK_FOREVER removes the
 *        deadline
 * @return 0; SOCK_EINVAL
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_set_deadline(sock_t s, int directions, int64_t ms_from_now);

/**
 * Ends waiting on a handle for good: every call blocked in it, and every later one that would have
 * to wait, returns SOCK_ECANCELED. Data that is already there is still delivered. The handle still
 * has to be closed.
 *
 * Async-signal-safe, as the only function here: a SIGINT handler may call it to end a loop of
 * sock_accept.
 *
 * @param s any handle
 * @return 0; SOCK_EHANDLE (without a text for sock_last_error: a signal handler must leave that
 *         alone)
 *
 * Never blocks; any thread or signal handler. Since 0.1.
 */
int sock_cancel(sock_t s);

/**
 * Opens a UDP or unix datagram socket that is connected: it sends to one peer and receives only
 * from that one.
 *
 * No datagram is sent: success means that the kernel has a route to the address, not that anybody
 * is there. Of a name's addresses, the first that connects is used.
 *
 * @param host as for sock_open; NULL = the loopback, 127.0.0.1 unless the options ask for
 *        SOCK_IPV6. "unix:PATH" connects to a unix datagram socket, whose owner can answer only if
 *        `local_host` names a "unix:" address for this socket
 * @param port 1…65535 or a service name; NULL for "unix:" hosts, and if `host` is the whole
 *        address as text
 * @param options or NULL; `timeout_ms` limits resolving, `reuse_address` is off by default
 * @return a handle to be closed with sock_close; SOCK_EUNREACH, SOCK_EADDRNOTAVAIL if no local port
 *         is left, SOCK_EADDRINUSE for the local address, SOCK_ENOHOST, SOCK_ENOSERVICE,
 *         SOCK_ERESOLVE, SOCK_ETIMEDOUT, SOCK_ENOENT and SOCK_ECONNREFUSED for unix paths,
 *         SOCK_EACCES, SOCK_EINVAL (also if the unix socket is a stream), SOCK_ETOOLONG,
 *         SOCK_ELIMIT
 *
 * Blocks only if `host` is a name to be resolved; any thread. udp(7), connect(2). Since 0.1.
 */
sock_t sock_udp_open(const char *host, const char *port, const struct sock_options *options);

/**
 * Opens a UDP or unix datagram socket that receives at an address of this machine from everybody,
 * and sends to anybody.
 *
 * @param host an address of this machine, or a multicast group to receive only what is sent to it;
 *        NULL = every address, in one dual-stack socket: IPv4 senders are reported as IPv4
 *        addresses, and IPv4 receivers are given as such. "unix:PATH" makes a unix datagram socket,
 *        unlinked on close if the path is still its own
 * @param port 0…65535 or a service name; "0" = any free port, reported by sock_local_address;
 *        NULL as for sock_udp_open
 * @param options or NULL; `reuse_address` is off by default, because whoever binds last would get
 *        all datagrams
 * @return a handle to be closed with sock_close; SOCK_EADDRINUSE, SOCK_EADDRNOTAVAIL, SOCK_EACCES,
 *         SOCK_EEXIST for a unix path that is in use or is not a socket, SOCK_EBUSY if another
 *         program keeps the directory of a stale one locked, SOCK_EINVAL, SOCK_ETOOLONG,
 *         SOCK_ENOHOST, SOCK_ENOSERVICE, SOCK_ELIMIT
 *
 * Blocks only if `host` is a name to be resolved, or, for at most five seconds, if another program
 * keeps that directory locked; any thread. udp(7), bind(2). Since 0.1.
 */
sock_t sock_udp_bind(const char *host, const char *port, const struct sock_options *options);

/**
 * Sends one datagram, whole or not at all. Waits for room in the socket's buffer, or in a unix
 * receiver's queue.
 *
 * @param s a datagram socket
 * @param data the bytes; may be NULL if `size` is 0
 * @param size how many; 0 sends an empty datagram
 * @param to the receiver; NULL, or length 0, for the peer of a connected socket
 * @return `size`; SOCK_EMSGSIZE if it is too large (over 65507 bytes of UDP on IPv4), SOCK_ENOTCONN
 *         without a receiver, SOCK_ECONNREFUSED on a connected socket if the peer's machine refused
 *         an earlier datagram (this one was then not sent, and the socket stays usable), or if a
 *         unix receiver is gone (after that a connected socket has none: SOCK_ENOTCONN),
 *         SOCK_EACCES for a broadcast without SOCK_OPT_BROADCAST or if a firewall forbids it,
 *         SOCK_EUNREACH, SOCK_EADDRNOTAVAIL if no local port is left, SOCK_EINVAL for an address of
 *         another family (an IPv4-mapped one counts as IPv4), with port 0 or of a unix stream,
 *         SOCK_ENOENT, SOCK_ETIMEDOUT, SOCK_ECANCELED, SOCK_ECLOSED
 *
 * Blocks until its timeout or deadline; any thread, several at once. sendto(2). Since 0.1.
 */
int64_t sock_send_to(sock_t s, const void *data, size_t size, const struct sock_address *to);

/**
 * Receives one datagram, waiting until there is one.
 *
 * @param s a datagram socket
 * @param buffer at least `size` bytes; may be NULL if `size` is 0
 * @param size the longest datagram to take whole. With 0 an empty datagram gives 0 and any other
 *        SOCK_ETRUNC
 * @param from receives the sender, also with SOCK_ETRUNC; may be NULL. An unnamed unix sender is
 *        reported as "unix:", to which nothing can be sent
 * @return its length; 0 for an empty datagram, and, from nobody, after sock_shutdown(s, SOCK_READ)
 *         and at the end of sequenced packets; SOCK_ETRUNC if it was longer than `size`: the buffer
 *         is filled, sock_last_count tells how many bytes are in it, and the rest of the datagram
 *         is gone; SOCK_ECONNREFUSED on a connected socket, once for all datagrams that the peer's
 *         machine refused since the last call; SOCK_ETIMEDOUT, SOCK_ECANCELED, SOCK_ECLOSED
 *
 * Blocks until its timeout or deadline; any thread, several at once: each datagram goes to one of
 * them. recvfrom(2). Since 0.1.
 */
int64_t sock_recv_from(sock_t s, void *buffer, size_t size, struct sock_address *from);

/**
 * Sends many datagrams with few system calls, in order.
 *
 * With `segment` one entry is many datagrams of one size to one receiver, and costs little more
 * than one of them: the kernel cuts the data (GSO). If it cannot, the library does. The data of an
 * entry may be of any size.
 *
 * @param s a datagram socket
 * @param datagrams `data`, `size`, `address` and `segment` of each are read, `length` of each one
 *        sent is set
 * @param count of `datagrams`; 0 returns 0 at once
 * @return how many were sent: fewer than `count` if a later one failed, whose error is returned
 *         when it is sent again as the first; if the first failed, its code, as of sock_send_to. If
 *         an entry was sent in part, its `length` tells how much.
 *
 * Blocks until all are sent, one failed, or its timeout or deadline; any thread, several at once.
 * sendmmsg(2), udp(7). Since 0.1.
 */
int64_t sock_send_batch(sock_t s, struct sock_datagram *datagrams, size_t count);

/**
 * Receives many datagrams with few system calls: waits for one, and takes what else is there.
 *
 * If the first receiving call on a handle is this one, with every buffer of 65527 bytes (the
 * longest datagram; on an IPv4 socket 65507) or more, the kernel may join datagrams of one size
 * from one sender from then on (GRO), which is much faster: see `segment`. All other calls, and
 * batches with smaller buffers, always get single datagrams.
 *
 * @param s a datagram socket
 * @param datagrams `data` and `size` of each are read, everything else is set in those received
 * @param count of `datagrams`; 0 returns 0 at once
 * @return how many were received, at least one, but 0 after sock_shutdown(s, SOCK_READ) and at the
 *         end of sequenced packets; a datagram longer than its buffer has SOCK_TRUNCATED in
 *         `flags`, and is not a failure; SOCK_ECONNREFUSED, SOCK_ETIMEDOUT, SOCK_ECANCELED,
 *         SOCK_ECLOSED
 *
 * Blocks until there is one, its timeout or deadline; any thread, several at once. recvmmsg(2),
 * udp(7). Since 0.1.
 */
int64_t sock_recv_batch(sock_t s, struct sock_datagram *datagrams, size_t count);

/**
 * Joins a multicast group: what is sent to it arrives, if the socket is bound to the port. The
 * socket then gets only the groups that it has joined itself, whatever others on this machine have
 * joined.
 *
 * @param s a UDP socket; a dual-stack one joins groups of both families
 * @param group an IPv4 or IPv6 multicast literal, if IPv6 and link-local with or without %scope
 * @param device the name of a network interface; NULL = that of the group's %scope, or of the
 *        system's routes
 * @return 0; SOCK_EADDRINUSE if the socket is a member already, SOCK_ENOMEM at the system's limit
 *         (net.ipv4.igmp_max_memberships), SOCK_EUNREACH if no device is named and no route leads
 *         to the group, SOCK_EINVAL if `group` is not a multicast address or of another family, or
 *         `device` is unknown, SOCK_ELIMIT if no descriptor is left to look up the device,
 *         SOCK_ENOTSUP on a unix socket
 *
 * Never blocks; any thread. ip(7), ipv6(7). Since 0.1.
 */
int sock_join(sock_t s, const char *group, const char *device);

/**
 * Leaves a multicast group.
 *
 * @param s a UDP socket
 * @param group as it was joined
 * @param device as it was joined
 * @return 0; SOCK_EADDRNOTAVAIL if the socket is not a member; else as sock_join
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_leave(sock_t s, const char *group, const char *device);

/**
 * Who is at the other end of a unix socket: the process, user and group that connected, or, on a
 * connection that was opened here, that listened. The kernel vouches for them. They stay as they
 * were then, whatever becomes of that process, and whoever it passes the socket to.
 *
 * @param s a unix stream, or an end of a connected pair
 * @param out not NULL
 * @return 0; SOCK_ENOTSUP if `s` is not a unix socket, SOCK_ENOTCONN if it has no peer, as on
 *         datagram sockets
 *
 * Never blocks; any thread. SO_PEERCRED in unix(7). Since 0.1.
 */
int sock_peer_credentials(sock_t s, struct sock_credentials *out);

/**
 * Writes bytes to a unix socket with descriptors traveling along: the receiver gets duplicates,
 * which share the open files.
 *
 * @param s a unix stream, or a connected unix datagram socket
 * @param data the bytes; a stream needs at least one to carry descriptors, and a protocol by which
 *        the receiver knows where to expect them
 * @param size how many; all of them are written
 * @param fds the descriptors, which stay the caller's: they may be closed when this returns.
 *        sock_fd gives that of a handle
 * @param count how many, at most 253; 0 is a plain write
 * @return `size`; SOCK_EINVAL if one is not open or there are too many, SOCK_ELIMIT if the user has
 *         too many in transit, SOCK_ENOTSUP if `s` is not a unix socket; else as sock_write
 *
 * Blocks until its timeout or deadline; any thread. SCM_RIGHTS in unix(7). Since 0.1.
 */
int64_t sock_send_fds(sock_t s, const void *data, size_t size, const int *fds, size_t count);

/**
 * Reads what is there, with the descriptors that travel along. They are close-on-exec and the
 * caller's to close, or to adopt with sock_from_fd. One call never returns the descriptors of two
 * messages.
 *
 * Descriptors that travel with bytes which any other call reads, or sock_read_line reads ahead, are
 * closed: on a connection that passes descriptors the bytes around them are to be read with this
 * call, or in exact sizes.
 *
 * @param s a unix stream, or a unix datagram socket
 * @param buffer at least `size` bytes
 * @param size how many at most; 0 returns 0 at once on a stream
 * @param fds receives at most `capacity` descriptors; may be NULL if that is 0
 * @param capacity how many fit; up to 253 may come
 * @param count receives how many came; not NULL. Set also with SOCK_ETRUNC; 0 with any other
 *        failure
 * @return how many bytes; 0 at the end of the stream; SOCK_ETRUNC if more descriptors came than fit
 *         `fds` or than the process may have, or a datagram was longer than `size`: what fits is
 *         delivered, the rest closed, and sock_last_count tells how many bytes came; SOCK_ENOTSUP
 *         if `s` is not a unix socket; else as sock_read
 *
 * Blocks until its timeout or deadline; any thread. SCM_RIGHTS in unix(7). Since 0.1.
 */
int64_t sock_recv_fds(sock_t s,
                      void *buffer,
                      size_t size,
                      int *fds,
                      size_t capacity,
                      size_t *count);

/**
 * Makes a handle from a socket that was made elsewhere: any stream, listener, datagram,
 * sequenced-packet or raw socket, connected or not. Sequenced packets (and raw sockets) are
 * datagrams to this library: one a call, with their boundaries kept.
 *
 * The descriptor then belongs to the handle: it is closed with it, is close-on-exec, and must not
 * be used, closed or adopted again. A blocking descriptor stays in blocking mode for whoever shares
 * the open file; calls here keep to their deadlines all the same. Only accepting, sock_send_file
 * and sock_relay need the open file in non-blocking mode: its mode is restored by sock_close and
 * sock_release_fd. A unix path that the socket is bound to stays when the handle is closed.
 *
 * @param fd the descriptor
 * @return a handle to be closed with sock_close; on failure the descriptor is untouched:
 *         SOCK_EINVAL if it is not open or not a socket, SOCK_EBUSY if a live handle of this
 *         process has it already, SOCK_ENOTSUP for other types of sockets, SOCK_ELIMIT
 *
 * Never blocks; any thread. Since 0.1.
 */
sock_t sock_from_fd(int fd);

/**
 * The descriptor behind a handle, to be looked at: for an event loop of your own, or an option that
 * the library does not have.
 *
 * It stays the handle's: it must not be closed, and is gone when the handle is closed. An event
 * loop must look at sock_buffered too. Whatever reads from it, or changes its modes, does so behind
 * the library's back. It is non-blocking, unless it was adopted otherwise: make it blocking before
 * another program gets it as its standard input.
 *
 * @param s a stream, listener or datagram socket
 * @return the descriptor, >= 0
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_fd(sock_t s);

/**
 * Ends a handle and hands its descriptor over: the socket itself is untouched, and a unix path it
 * is bound to stays.
 *
 * A descriptor that was adopted is as it was before that: blocking or not, close-on-exec or not.
 * One that the library made is non-blocking and close-on-exec.
 *
 * @param s a stream, listener or datagram socket; gone when this succeeds
 * @return the descriptor, >= 0, to be closed by the caller; SOCK_EBUSY, with nothing done, while
 *         another call or a server is using the handle, or while the library holds bytes that have
 *         been read ahead (sock_buffered)
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_release_fd(sock_t s);

/**
 * The sockets that a service manager such as systemd passed to this process: LISTEN_PID,
 * LISTEN_FDS, and descriptors from 3 on.
 *
 * Each is adopted as by sock_from_fd and made close-on-exec the first time it is asked for; asking
 * again gives the same handles, including those closed meanwhile. The variables are left as they
 * are; LISTEN_FDNAMES names the descriptors in the same order.
 *
 * @param out receives at most `capacity` handles, in the order of the descriptors; in place of a
 *        descriptor that is not a socket, SOCK_EINVAL or SOCK_ENOTSUP, and of one that was adopted
 *        in another way, SOCK_EBUSY: these are left alone
 * @param capacity of `out`; 0 only counts
 * @return how many there are, which may be more than `capacity`; 0 if there are none or they are
 *         for another process; SOCK_EINVAL if LISTEN_FDS is not a number
 *
 * Never blocks; any thread. sd_listen_fds(3). Since 0.1.
 */
int64_t sock_inherited(sock_t *out, size_t capacity);

/**
 * Makes a poller, which reports on which of many handles a call would not have to wait.
 *
 * It is level-triggered: what is not read is reported again. Bytes read ahead count as readable.
 * The end of a stream is readable until it has been read; a connection that is over is reported
 * once, so that an idle loop never spins. A handle may be in several pollers; closing it removes it
 * from all, and no event names a handle that was closed before sock_poller_wait returned. It is
 * closed with sock_close, and the handles in it stay.
 *
 * A poller belongs to the process that made it: in a forked child its functions give SOCK_ENOTSUP.
 *
 * @return a handle; SOCK_ELIMIT
 *
 * Never blocks; any thread. epoll(7). Since 0.1.
 */
sock_t sock_poller(void);

/**
 * Watches a handle from now on.
 *
 * @param poller from sock_poller
 * @param s a stream, listener (ready to accept is readable) or datagram socket
 * @param interest SOCK_READ, SOCK_WRITE, both, or 0 for only SOCK_HANGUP and SOCK_ERROR
 * @param user comes back in the events
 * @return 0; SOCK_EBUSY if the poller already watches it; SOCK_EINVAL for another interest;
 *         SOCK_ELIMIT
 *
 * Never blocks; any thread, also while others wait. Since 0.1.
 */
int sock_poller_add(sock_t poller, sock_t s, int interest, void *user);

/**
 * Changes what a handle is watched for.
 *
 * @param poller from sock_poller
 * @param s a handle that it watches
 * @param interest as for sock_poller_add
 * @param user comes back in the events
 * @return 0; SOCK_EINVAL if the poller does not watch it
 *
 * Never blocks; any thread, also while others wait. Since 0.1.
 */
int sock_poller_set(sock_t poller, sock_t s, int interest, void *user);

/**
 * Stops watching a handle.
 *
 * @param poller from sock_poller
 * @param s a handle that it watches
 * @return 0; SOCK_EINVAL if the poller does not watch it
 *
 * Never blocks; any thread, also while others wait. Since 0.1.
 */
int sock_poller_remove(sock_t poller, sock_t s);

/**
 * Waits until handles are ready.
 *
 * @param poller from sock_poller
 * @param events receives at most `capacity` events; not NULL. A handle seldom has more than one.
 * @param capacity of `events`; 0 is SOCK_EINVAL. Events that do not fit are reported the next time,
 *        in turn.
 * @param timeout_ms milliseconds; 0 = do not wait; SOCK_FOREVER = no limit
 * @return how many events; 0 if the time is over, which is not a failure here; SOCK_ECANCELED,
 *         SOCK_ECLOSED
 *
 * Blocks at most `timeout_ms`; any thread, also several at once: each event goes to one or more of
 * them. Since 0.1.
 */
int64_t sock_poller_wait(sock_t poller,
                         struct sock_event *events,
                         size_t capacity,
                         int64_t timeout_ms);

/**
 * Wakes a poller: one sock_poller_wait, the one that is waiting or the next, gets the event
 * {poller, NULL, SOCK_WOKEN}. Waking it again before that changes nothing.
 *
 * @param poller from sock_poller
 * @return 0
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_poller_wake(sock_t poller);

/**
 * Serves a listener: runs `handler` for each connection, and returns at once.
 *
 * The server takes over the listener: its handle still answers questions (sock_local_address), but
 * accepting on it is SOCK_EBUSY, and it is closed as soon as the server stops, before the handlers'
 * grace, so that new clients are refused at once. Closing or canceling the listener stops the
 * server too, and the handlers may go on for as long as they like; since sock_cancel may be called
 * from a signal handler, `sock_cancel(listener)` there and sock_server_wait in main make a server
 * that ends cleanly on SIGTERM. When descriptors or threads run out, accepting resumes as soon as
 * there are some again.
 *
 * @param listener from sock_listen
 * @param handler what to run for each connection, in other threads, several at once; not NULL
 * @param context handed to the handler; must live until the server has stopped
 * @param options or NULL for all defaults: threads, no limit
 * @return a handle to be closed with sock_close, which stops the server with no grace; SOCK_EINVAL,
 *         SOCK_EBUSY if another server has the listener, SOCK_ELIMIT if threads or descriptors have
 *         run out
 *
 * Never blocks; any thread. Since 0.1.
 */
sock_t sock_serve(sock_t listener,
                  sock_handler handler,
                  void *context,
                  const struct sock_server_options *options);

/**
 * Stops a server: accepts no more, waits for the handlers, and cancels those that are left when the
 * grace is over.
 *
 * Every wait of a canceled handler ends with SOCK_ECANCELED, on its connection, on other handles
 * and in sock_sleep; a second later its connection is closed under it. The call returns when all
 * handlers have returned and the server's threads are gone. From inside a handler of the server it
 * does not wait for that handler: the server has stopped when it returns too. sock_cancel(server)
 * does not end this call; sock_close(server) ends the grace.
 *
 * @param server from sock_serve; stays a handle until sock_close
 * @param grace_ms how long handlers may go on; 0 = cancel them now, SOCK_FOREVER = never
 * @return how many handlers this call canceled (two calls at once each count their own); 0 if it
 *         had stopped already, and in a forked child, where no server runs; SOCK_ECANCELED in a
 *         handler that is itself canceled and has waited long for handlers that do not end
 *
 * Blocks; any thread. Since 0.1.
 */
int64_t sock_server_stop(sock_t server, int64_t grace_ms);

/**
 * Waits until a server has stopped: by sock_server_stop, or because its listener was closed or
 * canceled.
 *
 * @param server from sock_serve
 * @return 0; SOCK_ECANCELED after sock_cancel(server), which a signal handler may call;
 *         SOCK_ECLOSED if it is closed meanwhile
 *
 * Blocks; any thread. In a handler of that server it would wait for itself, until canceled.
 * Since 0.1.
 */
int sock_server_wait(sock_t server);

/**
 * Reads the counters of a server.
 *
 * @param server from sock_serve
 * @param out receives the counters; its `size` must be set
 * @return 0; SOCK_EINVAL if `out` is NULL or its size is not set
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_get_server_info(sock_t server, struct sock_server_info *out);

/**
 * Sleeps: in a fiber the others run meanwhile.
 *
 * @param ms milliseconds; 0 only lets other fibers run; SOCK_FOREVER sleeps until the server stops,
 *        or for ever outside of handlers
 * @return 0, after the whole time: signals do not end it; SOCK_ECANCELED in a handler whose server
 *         stops; SOCK_EINVAL
 *
 * Blocks; any thread. Since 0.1.
 */
int sock_sleep(int64_t ms);

/**
 * What the library knows about a handle.
 *
 * @param s any handle
 * @param out its `size` set to sizeof(sock_info); not NULL. At most `size` bytes of it are written.
 * @return 0; SOCK_EINVAL if `size` is not set
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_get_info(sock_t s, struct sock_info *out);

/**
 * Sets who receives log messages. The default is nobody: then no message is even formatted.
 *
 * The logger is called on the thread where something happens, from any thread, also from several at
 * once. It may use the library; what fails inside it is not logged. A message already on its way
 * when the logger is changed may still reach the old one: keep the old context until no other call
 * is in progress. A message that there is no memory for is lost.
 *
 * @param logger or NULL for nobody
 * @param context handed to the logger
 * @return 0; SOCK_ENOMEM, and the logger is the one it was
 *
 * Never blocks; any thread. Since 0.1.
 */
int sock_set_logger(sock_logger logger, void *context);

/**
 * How many handles are live in this process: 0 when everything has been closed.
 *
 * @return the count
 *
 * Never blocks; any thread. Since 0.1.
 */
int64_t sock_live_handles(void);

/**
 * The version of the library that is running; SOCK_VERSION is the header's.
 *
 * @return major << 16 | minor << 8 | patch
 *
 * Never blocks; any thread. Since 0.1.
 */
uint32_t sock_version(void);

/**
 * The version of the library as text, such as "0.1.0".
 *
 * @return a static string
 *
 * Never blocks; any thread. Since 0.1.
 */
const char *sock_version_text(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#ifndef SOCK_NO_STDIO
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wold-style-cast" /* GCC knows that this is C */
#endif
#endif

#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 2, 3), unused))
#endif
/**
 * Formats as printf(3) does and writes all of the text, as sock_write.
 *
 * The text is formatted on the stack; a text of over a kilobyte in allocated memory.
 *
 * @param s a stream
 * @param format a printf format, checked by the compiler
 * @return how many bytes were written; SOCK_EINVAL if the format cannot be followed;
 *         SOCK_ENOMEM, without a text for sock_last_error; and what sock_write returns
 *
 * Blocks as sock_write; any thread. Since 0.1.
 */
static inline int64_t sock_printf(sock_t s, const char *format, ...)
{
    char small[1024];
    char *text = small;
    int length;
    int64_t result;
    va_list arguments;

    if (!format) {
        result = sock_write(s, format, 1); /* SOCK_EINVAL, and recorded */
        return result;
    }
    va_start(arguments, format);
    length = vsnprintf(small, sizeof small, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof small) {
        text = (char *)malloc((size_t)length + 1);
        if (!text)
            return SOCK_ENOMEM;
        va_start(arguments, format);
        length = vsnprintf(text, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    /* A length below 0, of a format that cannot be followed, is too large a size. */
    result = sock_write(s, text, (size_t)length);
    if (text != small)
        free(text);
    return result;
}

#ifdef __cplusplus
#ifdef __clang__
#pragma clang diagnostic pop
#endif
} /* extern "C" */
#endif
#endif /* SOCK_NO_STDIO */

#endif /* SOCK_H */
