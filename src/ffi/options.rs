//! Chapter 3: options.

use super::handle::sock_t;
use super::{Subject, boundary, sized, text};
use crate::net::error::Result;
use crate::net::options::Options;
use std::ffi::{c_char, c_int};
use std::mem::offset_of;

/// Times.
#[repr(C)]
#[allow(dead_code)]
pub enum sock_time {
    /// No limit, wherever a call takes milliseconds.
    SOCK_FOREVER = -1,
}

/// Directions, and what a poller watches for. Combine with |.
#[repr(C)]
#[allow(dead_code)]
pub enum sock_direction {
    SOCK_READ = 1,
    SOCK_WRITE = 2,
}

/// Three-valued switches in options.
#[repr(C)]
#[allow(dead_code)]
pub enum sock_switch {
    /// As the field's comment says.
    SOCK_DEFAULT = 0,
    SOCK_ON = 1,
    SOCK_OFF = -1,
}

/// Address families.
#[repr(C)]
#[allow(dead_code)]
pub enum sock_family {
    SOCK_ANY = 0,
    SOCK_UNIX = 1,
    SOCK_IPV4 = 4,
    SOCK_IPV6 = 6,
}

/// Kinds of handles, as sock_get_info reports them.
#[repr(C)]
#[allow(dead_code)]
pub enum sock_kind {
    SOCK_KIND_STREAM = 1,
    SOCK_KIND_LISTENER = 2,
    SOCK_KIND_DATAGRAM = 3,
    SOCK_KIND_POLLER = 4,
    SOCK_KIND_SERVER = 5,
}

/// Options of opening, listening, binding and resolving.
///
/// Set `size` (the macros SOCK_OPTIONS and SOCK_OPTIONS_INIT do), and leave at zero what you do not
/// need. Switches, the fields that are on or off, take SOCK_ON and SOCK_OFF: 0 is the default, not
/// off. The struct grows at its end: programs compiled against an older header keep working. A NULL
/// pointer in place of options means all defaults. Strings are read only during the call.
///
/// A field that does not apply to the call must be zero, else SOCK_EINVAL. Each comment ends with
/// the calls that the field applies to; if it names none, all but sock_resolve. With a "unix:" host,
/// fields that only tune TCP or IP are ignored, so that one set of options serves any host; those
/// that such a socket cannot obey are marked as not for "unix:", and must be zero.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sock_options {
    /// sizeof(sock_options); 0 is SOCK_EINVAL.
    pub size: usize,
    /// SOCK_ANY, SOCK_IPV4 or SOCK_IPV6: use only addresses of this family. An IPv4-mapped address
    /// counts as IPv4. All calls.
    pub family: c_int,
    /// TCP_NODELAY: small writes are sent at once. Default on. Open; listen, for what it accepts.
    pub nodelay: c_int,
    /// Milliseconds for the whole of open: resolving and all addresses. 0 or SOCK_FOREVER = no
    /// limit. Open, UDP open, resolve.
    pub timeout_ms: i64,
    /// Milliseconds: the initial value of sock_set_timeout in both directions. Connections inherit
    /// it from their listener, and it limits sock_accept too; sock_serve waits for clients without a
    /// limit. 0 or SOCK_FOREVER = no limit.
    pub io_timeout_ms: i64,
    /// Milliseconds before the next address is tried while the last one has not answered (RFC 8305).
    /// 0 = 250; values outside 10…2000 are brought into that range. Open.
    pub attempt_delay_ms: i64,
    /// Milliseconds of silence before the connection is probed; then a probe every third of that,
    /// and three without an answer end it. 0 = off. The kernel counts in seconds: rounded up. Open;
    /// listen, for what it accepts.
    pub keepalive_ms: i64,
    /// Milliseconds that sent data may go unacknowledged before the connection is given up
    /// (TCP_USER_TIMEOUT). 0 = the kernel's. Open; listen, for what it accepts.
    pub user_timeout_ms: i64,
    /// Microseconds that a blocking call polls in a loop before it sleeps: lower latency, paid for
    /// with processor time. 0 = off.
    pub spin_us: i64,
    /// SO_SNDBUF in bytes; 0 = the kernel's.
    pub send_buffer: c_int,
    /// SO_RCVBUF in bytes; 0 = the kernel's.
    pub receive_buffer: c_int,
    /// How many connections may wait to be accepted; 0 or less = SOMAXCONN. The kernel has a limit
    /// of its own (net.core.somaxconn). Listen.
    pub backlog: c_int,
    /// SO_REUSEADDR. Listen: default on, so that a restarted server gets its port back. UDP: default
    /// off.
    pub reuse_address: c_int,
    /// SO_REUSEPORT: several sockets share the port and its load. Default off. Not for "unix:".
    pub reuse_port: c_int,
    /// A wildcard socket takes IPv6 only. Default off: one socket for both families. Listen, UDP
    /// bind.
    pub v6_only: c_int,
    /// Multipath TCP where the kernel has it, silently TCP otherwise. Default off. Open, listen.
    pub multipath: c_int,
    /// TCP Fast Open (RFC 7413), where the system has it: the first write travels with the SYN. Open
    /// may then succeed before anything was sent, and a peer that does not answer is noticed only
    /// later; do not use it if the peer speaks first. Default off. Open, listen.
    pub fast_open: c_int,
    /// Take over a stale unix path, at which nobody answers. Its directory is locked (flock(2))
    /// meanwhile: of many that try at once one succeeds. Default on. Listen and bind on "unix:".
    pub unix_replace: c_int,
    /// Permission bits of the unix path, such as 0600: at no moment does it have others. 0 = what
    /// the umask leaves. Listen and bind on "unix:".
    pub unix_mode: c_int,
    /// Bind to this literal address first, and use only addresses of its family; NULL = any. It may
    /// include the port, as in "[::1]:4000". Not for "unix:" streams. Open, UDP open.
    pub local_host: *const c_char,
    /// Bind to this port first; NULL = any. Not for "unix:". Open, UDP open.
    pub local_port: *const c_char,
    /// SO_BINDTODEVICE: use only the network interface of this name, such as "eth0"; NULL = any. Not
    /// for "unix:".
    pub device: *const c_char,
}

/// # Safety
/// `options` is NULL or as its size says; its strings are NULL or NUL-terminated.
pub unsafe fn options<'a>(options: *const sock_options) -> Result<Options<'a>> {
    if options.is_null() {
        return Ok(Options::default());
    }
    // SAFETY: the caller vouches for the struct; zeros are valid in all its fields.
    let (o, size) = unsafe { sized(options) }?;
    // A pointer that the size cuts in two is not a pointer.
    let string = |pointer: *const c_char, offset: usize| {
        let whole = size >= offset + size_of_val(&pointer);
        // SAFETY: the caller vouches for the strings.
        if whole { unsafe { text(pointer) } } else { None }
    };
    let local_host = string(o.local_host, offset_of!(sock_options, local_host));
    let local_port = string(o.local_port, offset_of!(sock_options, local_port));
    let device = string(o.device, offset_of!(sock_options, device));
    Ok(Options {
        family: o.family,
        nodelay: o.nodelay,
        timeout_ms: o.timeout_ms,
        io_timeout_ms: o.io_timeout_ms,
        attempt_delay_ms: o.attempt_delay_ms,
        keepalive_ms: o.keepalive_ms,
        user_timeout_ms: o.user_timeout_ms,
        spin_us: o.spin_us,
        send_buffer: o.send_buffer,
        receive_buffer: o.receive_buffer,
        backlog: o.backlog,
        reuse_address: o.reuse_address,
        reuse_port: o.reuse_port,
        v6_only: o.v6_only,
        multipath: o.multipath,
        fast_open: o.fast_open,
        unix_replace: o.unix_replace,
        unix_mode: o.unix_mode,
        local_host,
        local_port,
        device,
    })
}

/// Options of a live handle, for sock_set_option and sock_get_option.
#[repr(C)]
#[allow(dead_code)]
pub enum sock_option {
    /// TCP_NODELAY: 1 or 0. TCP.
    SOCK_OPT_NODELAY = 1,
    /// As `keepalive_ms` of sock_options; 0 = off. TCP.
    SOCK_OPT_KEEPALIVE_MS = 2,
    /// TCP_USER_TIMEOUT in milliseconds; 0 = the kernel's. TCP.
    SOCK_OPT_USER_TIMEOUT_MS = 3,
    /// SO_LINGER: -1 = off (close in the background), 0 = reset on close, else sock_close waits up
    /// to this many milliseconds, rounded up to seconds, for unsent data. Streams.
    SOCK_OPT_LINGER_MS = 4,
    /// SO_SNDBUF in bytes. The kernel doubles the value that is set, and sock_get_option returns the
    /// doubled value.
    SOCK_OPT_SEND_BUFFER = 5,
    /// SO_RCVBUF in bytes, doubled likewise.
    SOCK_OPT_RECEIVE_BUFFER = 6,
    /// SO_BROADCAST: 1 or 0. UDP.
    SOCK_OPT_BROADCAST = 7,
    /// IP_TTL or IPV6_UNICAST_HOPS: 1…255; -1 = the system's.
    SOCK_OPT_TTL = 8,
    /// IP_MULTICAST_TTL or IPV6_MULTICAST_HOPS: 0…255; -1 = the system's. UDP.
    SOCK_OPT_MULTICAST_TTL = 9,
    /// Whether multicasts come back to this machine: 1 or 0. UDP.
    SOCK_OPT_MULTICAST_LOOP = 10,
    /// IP_TOS or IPV6_TCLASS: 0…255.
    SOCK_OPT_TOS = 11,
    /// SO_MARK, for routing and filters; needs CAP_NET_ADMIN.
    SOCK_OPT_MARK = 12,
    /// As `spin_us` of sock_options.
    SOCK_OPT_SPIN_US = 13,
    /// TCP_QUICKACK: 1 or 0; the kernel goes back to its own choice after a while. TCP.
    SOCK_OPT_QUICKACK = 14,
    /// TCP_CORK: 1 holds small segments back until 0, or for 200 ms. TCP.
    SOCK_OPT_CORK = 15,
}

/// Sets an option of a live socket.
///
/// @param s a stream, listener or datagram socket
/// @param option one of enum sock_option
/// @param value see the option
/// @return 0; SOCK_EINVAL for an unknown option or a value out of its range, SOCK_ENOTSUP for one
///         that the socket's kind or family lacks, SOCK_EACCES
///
/// Never blocks; any thread. setsockopt(2), tcp(7), ip(7), ipv6(7). Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_set_option(s: sock_t, option: c_int, value: i64) -> c_int {
    boundary("set_option", Subject::Handle(s), || crate::net::live_options::set(s, option, value)) as c_int
}

/// The value of an option of a live socket.
///
/// @param s a stream, listener or datagram socket
/// @param option one of enum sock_option
/// @return the value; SOCK_EINVAL for an unknown option, SOCK_ENOTSUP for one that the socket's kind
///         or family lacks. Note that -1 is SOCK_EINVAL, but also a value of SOCK_OPT_LINGER_MS:
///         off.
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_get_option(s: sock_t, option: c_int) -> i64 {
    boundary("get_option", Subject::Handle(s), || crate::net::live_options::get(s, option))
}
