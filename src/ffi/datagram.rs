//! Chapter 6: datagrams.

use super::address::sock_address;
use super::handle::sock_t;
use super::options::{options, sock_options};
use super::{Subject, boundary, check_buffer, input, output, request, text};
use crate::net::error::{Error, Result};
use crate::net::{datagram, udp};
use crate::sys::datagram::{Datagram, Endpoint};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::offset_of;

/// Flags of a received datagram.
#[repr(C)]
#[allow(dead_code)]
pub enum sock_datagram_flag {
    /// The datagram was longer than the buffer; the rest of it is gone.
    SOCK_TRUNCATED = 1,
}

/// One entry of sock_send_batch or sock_recv_batch.
#[repr(C)]
pub struct sock_datagram {
    /// Receive: the buffer; send: the bytes. May be NULL if `size` is 0.
    pub data: *mut c_void,
    /// Receive: the buffer's capacity; send: how many bytes.
    pub size: usize,
    /// Set by the call. Receive: bytes in the buffer; send: bytes sent.
    pub length: usize,
    /// Receive: the sender; send: the receiver, with length 0 on a connected socket.
    pub address: sock_address,
    /// Send: 0, or cut the data into datagrams of this size (the last may be shorter), in the kernel
    /// where it can (GSO).
    ///
    /// Receive: 0, or the size of the datagrams from one sender that lie one after the other in the
    /// buffer (GRO); the last may be shorter.
    pub segment: u32,
    /// Receive: SOCK_TRUNCATED or 0. Ignored when sending.
    pub flags: u32,
}

// The library works on the program's structs, without copying them.
const _: () = {
    assert!(size_of::<sock_datagram>() == size_of::<Datagram>() && align_of::<sock_datagram>() == align_of::<Datagram>());
    assert!(size_of::<sock_address>() == size_of::<Endpoint>() && offset_of!(sock_address, storage) == 8);
    assert!(offset_of!(sock_datagram, address) == 3 * size_of::<usize>());
};

/// # Safety
/// `datagrams` is NULL or has `count` entries, each with `size` bytes of `data`, that nobody else uses for `'a`.
unsafe fn batch<'a>(datagrams: *mut sock_datagram, count: usize) -> Result<&'a mut [Datagram]> {
    // SAFETY: the caller vouches for it.
    let entries = unsafe { output(datagrams, count)? };
    entries.iter().try_for_each(|entry| check_buffer(entry.data.cast::<u8>(), entry.size))?;
    // SAFETY: the two structs have the same layout, and the caller vouches for the data.
    Ok(unsafe { output(datagrams.cast::<Datagram>(), count)? })
}

/// Opens a UDP or unix datagram socket that is connected: it sends to one peer and receives only
/// from that one.
///
/// No datagram is sent: success means that the kernel has a route to the address, not that anybody
/// is there. Of a name's addresses, the first that connects is used.
///
/// @param host as for sock_open; NULL = the loopback, 127.0.0.1 unless the options ask for
///        SOCK_IPV6. "unix:PATH" connects to a unix datagram socket, whose owner can answer only if
///        `local_host` names a "unix:" address for this socket
/// @param port 1…65535 or a service name; NULL for "unix:" hosts, and if `host` is the whole
///        address as text
/// @param options or NULL; `timeout_ms` limits resolving, `reuse_address` is off by default
/// @return a handle to be closed with sock_close; SOCK_EUNREACH, SOCK_EADDRNOTAVAIL if no local port
///         is left, SOCK_EADDRINUSE for the local address, SOCK_ENOHOST, SOCK_ENOSERVICE,
///         SOCK_ERESOLVE, SOCK_ETIMEDOUT, SOCK_ENOENT and SOCK_ECONNREFUSED for unix paths,
///         SOCK_EACCES, SOCK_EINVAL (also if the unix socket is a stream), SOCK_ETOOLONG,
///         SOCK_ELIMIT
///
/// Blocks only if `host` is a name to be resolved; any thread. udp(7), connect(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_udp_open(host: *const c_char, port: *const c_char, options: *const sock_options) -> sock_t {
    // SAFETY: C vouches for its strings.
    let request = unsafe { request(host, port) };
    // SAFETY: C vouches for its options.
    boundary("udp_open", Subject::Request(request), || udp::open(request, &unsafe { self::options(options) }?))
}

/// Opens a UDP or unix datagram socket that receives at an address of this machine from everybody,
/// and sends to anybody.
///
/// @param host an address of this machine, or a multicast group to receive only what is sent to it;
///        NULL = every address, in one dual-stack socket: IPv4 senders are reported as IPv4
///        addresses, and IPv4 receivers are given as such. "unix:PATH" makes a unix datagram socket,
///        unlinked on close if the path is still its own
/// @param port 0…65535 or a service name; "0" = any free port, reported by sock_local_address;
///        NULL as for sock_udp_open
/// @param options or NULL; `reuse_address` is off by default, because whoever binds last would get
///        all datagrams
/// @return a handle to be closed with sock_close; SOCK_EADDRINUSE, SOCK_EADDRNOTAVAIL, SOCK_EACCES,
///         SOCK_EEXIST for a unix path that is in use or is not a socket, SOCK_EBUSY if another
///         program keeps the directory of a stale one locked, SOCK_EINVAL, SOCK_ETOOLONG,
///         SOCK_ENOHOST, SOCK_ENOSERVICE, SOCK_ELIMIT
///
/// Blocks only if `host` is a name to be resolved, or, for at most five seconds, if another program
/// keeps that directory locked; any thread. udp(7), bind(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_udp_bind(host: *const c_char, port: *const c_char, options: *const sock_options) -> sock_t {
    // SAFETY: C vouches for its strings.
    let request = unsafe { request(host, port) };
    // SAFETY: C vouches for its options.
    boundary("udp_bind", Subject::Request(request), || udp::bind(request, &unsafe { self::options(options) }?))
}

/// Sends one datagram, whole or not at all. Waits for room in the socket's buffer, or in a unix
/// receiver's queue.
///
/// @param s a datagram socket
/// @param data the bytes; may be NULL if `size` is 0
/// @param size how many; 0 sends an empty datagram
/// @param to the receiver; NULL, or length 0, for the peer of a connected socket
/// @return `size`; SOCK_EMSGSIZE if it is too large (over 65507 bytes of UDP on IPv4), SOCK_ENOTCONN
///         without a receiver, SOCK_ECONNREFUSED on a connected socket if the peer's machine refused
///         an earlier datagram (this one was then not sent, and the socket stays usable), or if a
///         unix receiver is gone (after that a connected socket has none: SOCK_ENOTCONN),
///         SOCK_EACCES for a broadcast without SOCK_OPT_BROADCAST or if a firewall forbids it,
///         SOCK_EUNREACH, SOCK_EADDRNOTAVAIL if no local port is left, SOCK_EINVAL for an address of
///         another family (an IPv4-mapped one counts as IPv4), with port 0 or of a unix stream,
///         SOCK_ENOENT, SOCK_ETIMEDOUT, SOCK_ECANCELED, SOCK_ECLOSED
///
/// Blocks until its timeout or deadline; any thread, several at once. sendto(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_send_to(s: sock_t, data: *const c_void, size: usize, to: *const sock_address) -> i64 {
    boundary("send_to", Subject::Transfer(s), || {
        // SAFETY: C vouches for its bytes.
        let data = unsafe { input(data.cast::<u8>(), size)? };
        // SAFETY: C vouches for its address.
        let to = unsafe { input(to.cast::<Endpoint>(), usize::from(!to.is_null()))? };
        datagram::send_to(s, data, to.first().unwrap_or(&Endpoint::NONE))
    })
}

/// Receives one datagram, waiting until there is one.
///
/// @param s a datagram socket
/// @param buffer at least `size` bytes; may be NULL if `size` is 0
/// @param size the longest datagram to take whole. With 0 an empty datagram gives 0 and any other
///        SOCK_ETRUNC
/// @param from receives the sender, also with SOCK_ETRUNC; may be NULL. An unnamed unix sender is
///        reported as "unix:", to which nothing can be sent
/// @return its length; 0 for an empty datagram, and, from nobody, after sock_shutdown(s, SOCK_READ)
///         and at the end of sequenced packets; SOCK_ETRUNC if it was longer than `size`: the buffer
///         is filled, sock_last_count tells how many bytes are in it, and the rest of the datagram
///         is gone; SOCK_ECONNREFUSED on a connected socket, once for all datagrams that the peer's
///         machine refused since the last call; SOCK_ETIMEDOUT, SOCK_ECANCELED, SOCK_ECLOSED
///
/// Blocks until its timeout or deadline; any thread, several at once: each datagram goes to one of
/// them. recvfrom(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_recv_from(s: sock_t, buffer: *mut c_void, size: usize, from: *mut sock_address) -> i64 {
    boundary("recv_from", Subject::Transfer(s), || {
        // SAFETY: C vouches for its buffer.
        let buffer = unsafe { output(buffer.cast::<u8>(), size)? };
        // SAFETY: C vouches for its address.
        let from = unsafe { output(from.cast::<Endpoint>(), usize::from(!from.is_null()))? };
        datagram::receive_from(s, buffer, from.first_mut())
    })
}

/// Sends many datagrams with few system calls, in order.
///
/// With `segment` one entry is many datagrams of one size to one receiver, and costs little more
/// than one of them: the kernel cuts the data (GSO). If it cannot, the library does. The data of an
/// entry may be of any size.
///
/// @param s a datagram socket
/// @param datagrams `data`, `size`, `address` and `segment` of each are read, `length` of each one
///        sent is set
/// @param count of `datagrams`; 0 returns 0 at once
/// @return how many were sent: fewer than `count` if a later one failed, whose error is returned
///         when it is sent again as the first; if the first failed, its code, as of sock_send_to. If
///         an entry was sent in part, its `length` tells how much.
///
/// Blocks until all are sent, one failed, or its timeout or deadline; any thread, several at once.
/// sendmmsg(2), udp(7). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_send_batch(s: sock_t, datagrams: *mut sock_datagram, count: usize) -> i64 {
    // SAFETY: C vouches for its structs and their data.
    boundary("send_batch", Subject::Transfer(s), || datagram::send_batch(s, unsafe { batch(datagrams, count)? }))
}

/// Receives many datagrams with few system calls: waits for one, and takes what else is there.
///
/// If the first receiving call on a handle is this one, with every buffer of 65527 bytes (the
/// longest datagram; on an IPv4 socket 65507) or more, the kernel may join datagrams of one size
/// from one sender from then on (GRO), which is much faster: see `segment`. All other calls, and
/// batches with smaller buffers, always get single datagrams.
///
/// @param s a datagram socket
/// @param datagrams `data` and `size` of each are read, everything else is set in those received
/// @param count of `datagrams`; 0 returns 0 at once
/// @return how many were received, at least one, but 0 after sock_shutdown(s, SOCK_READ) and at the
///         end of sequenced packets; a datagram longer than its buffer has SOCK_TRUNCATED in
///         `flags`, and is not a failure; SOCK_ECONNREFUSED, SOCK_ETIMEDOUT, SOCK_ECANCELED,
///         SOCK_ECLOSED
///
/// Blocks until there is one, its timeout or deadline; any thread, several at once. recvmmsg(2),
/// udp(7). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_recv_batch(s: sock_t, datagrams: *mut sock_datagram, count: usize) -> i64 {
    // SAFETY: C vouches for its structs and their buffers.
    boundary("recv_batch", Subject::Transfer(s), || datagram::receive_batch(s, unsafe { batch(datagrams, count)? }))
}

/// Joins a multicast group: what is sent to it arrives, if the socket is bound to the port. The
/// socket then gets only the groups that it has joined itself, whatever others on this machine have
/// joined.
///
/// @param s a UDP socket; a dual-stack one joins groups of both families
/// @param group an IPv4 or IPv6 multicast literal, if IPv6 and link-local with or without %scope
/// @param device the name of a network interface; NULL = that of the group's %scope, or of the
///        system's routes
/// @return 0; SOCK_EADDRINUSE if the socket is a member already, SOCK_ENOMEM at the system's limit
///         (net.ipv4.igmp_max_memberships), SOCK_EUNREACH if no device is named and no route leads
///         to the group, SOCK_EINVAL if `group` is not a multicast address or of another family, or
///         `device` is unknown, SOCK_ELIMIT if no descriptor is left to look up the device,
///         SOCK_ENOTSUP on a unix socket
///
/// Never blocks; any thread. ip(7), ipv6(7). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_join(s: sock_t, group: *const c_char, device: *const c_char) -> c_int {
    // SAFETY: C vouches for its strings.
    let (group, device) = unsafe { (text(group), text(device)) };
    boundary("join", Subject::Handle(s), || udp::set_membership(s, group_text(group)?, device, true)) as c_int
}

/// Leaves a multicast group.
///
/// @param s a UDP socket
/// @param group as it was joined
/// @param device as it was joined
/// @return 0; SOCK_EADDRNOTAVAIL if the socket is not a member; else as sock_join
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_leave(s: sock_t, group: *const c_char, device: *const c_char) -> c_int {
    // SAFETY: C vouches for its strings.
    let (group, device) = unsafe { (text(group), text(device)) };
    boundary("leave", Subject::Handle(s), || udp::set_membership(s, group_text(group)?, device, false)) as c_int
}

fn group_text(group: Option<&CStr>) -> Result<&CStr> {
    group.ok_or(Error::invalid("the group is NULL"))
}
