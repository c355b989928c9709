//! Sockets: making, connecting, accepting, sending and receiving. Nothing here blocks except [`connect`] and [`accept`] on a
//! descriptor that is in blocking mode; nothing raises SIGPIPE.

use super::address::{Address, Raw};
use super::part::{Part, PartMut};
use super::{AsRawFd, Errno, OwnedFd, RawFd, Result, check, check_length, restart};
use std::os::fd::FromRawFd;
use std::sync::atomic::AtomicU8;

/// Address families.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Family {
    Unix = libc::AF_UNIX,
    V4 = libc::AF_INET,
    V6 = libc::AF_INET6,
}

/// Socket types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Type {
    Stream = libc::SOCK_STREAM,
    Datagram = libc::SOCK_DGRAM,
    SequencedPacket = libc::SOCK_SEQPACKET,
    Raw = libc::SOCK_RAW,
}

/// Directions of [`shutdown`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Shutdown {
    Read = libc::SHUT_RD,
    Write = libc::SHUT_WR,
    Both = libc::SHUT_RDWR,
}

/// Flags of [`receive`].
pub const PEEK: i32 = libc::MSG_PEEK;
pub const TRUNCATED_LENGTH: i32 = libc::MSG_TRUNC;

/// IPPROTO_MPTCP; 0 is the family's usual protocol.
pub const MULTIPATH: i32 = 262;

const BIRTH: i32 = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;

pub(super) fn own(descriptor: libc::c_int) -> OwnedFd {
    // SAFETY: a system call has just made this descriptor for us; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// socket(2), non-blocking and close-on-exec.
pub fn socket(family: Family, kind: Type, protocol: i32) -> Result<OwnedFd> {
    // SAFETY: no pointers.
    check(unsafe { libc::socket(family as i32, kind as i32 | BIRTH, protocol) }).map(own)
}

/// socketpair(2) of unix streams, non-blocking and close-on-exec.
pub fn socketpair(kind: Type) -> Result<(OwnedFd, OwnedFd)> {
    let mut pair = [-1; 2];
    // SAFETY: two descriptors are written to `pair`.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind as i32 | BIRTH, 0, pair.as_mut_ptr()) })?;
    Ok((own(pair[0]), own(pair[1])))
}

/// connect(2). On a non-blocking socket EINPROGRESS says that it goes on; after EINTR too.
pub fn connect(descriptor: impl AsRawFd, address: &Address) -> Result<()> {
    let raw = address.to_raw();
    // SAFETY: `raw` holds an address of that length.
    check(unsafe { super::libc_connect(descriptor.as_raw_fd(), raw.as_ptr(), raw.len()) }).map(drop)
}

/// bind(2).
pub fn bind(descriptor: impl AsRawFd, address: &Address) -> Result<()> {
    let raw = address.to_raw();
    // SAFETY: `raw` holds an address of that length.
    check(unsafe { libc::bind(descriptor.as_raw_fd(), raw.as_ptr(), raw.len()) }).map(drop)
}

/// listen(2).
pub fn listen(descriptor: impl AsRawFd, backlog: i32) -> Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(descriptor.as_raw_fd(), backlog) }).map(drop)
}

/// The longest backlog there is: listen(2) clamps it to net.core.somaxconn.
pub const SOMAXCONN: i32 = libc::SOMAXCONN;

/// accept4(2): the connection, non-blocking and close-on-exec, and its peer where the library knows the family.
pub fn accept(listener: RawFd) -> Result<(OwnedFd, Option<Address>)> {
    let mut raw = Raw::empty();
    let mut length = raw.bytes.len() as libc::socklen_t;
    // SAFETY: at most `length` bytes are written to `raw`.
    let descriptor = restart(|| check(unsafe { libc::accept4(listener, raw.as_mut_ptr(), &mut length, BIRTH) }))?;
    raw.length = length as usize;
    Ok((own(descriptor), Address::from_raw(&raw)))
}

/// shutdown(2).
pub fn shutdown(descriptor: RawFd, directions: Shutdown) -> Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::shutdown(descriptor, directions as i32) }).map(drop)
}

/// recv(2) without waiting.
#[inline(always)]
pub fn receive(descriptor: RawFd, buffer: &mut [u8], flags: i32) -> Result<usize> {
    // SAFETY: at most `len` bytes are written to the slice.
    let length = unsafe { libc::recv(descriptor, buffer.as_mut_ptr().cast(), buffer.len(), flags | libc::MSG_DONTWAIT) };
    if length >= 0 { Ok(length as usize) } else { receive_again(descriptor, buffer, flags) }
}

/// The failed call's error, or the call again if a signal cut it short.
#[cold]
#[inline(never)]
fn receive_again(descriptor: RawFd, buffer: &mut [u8], flags: i32) -> Result<usize> {
    match Errno::last() {
        Errno::EINTR => restart(|| {
            // SAFETY: as above.
            check_length(unsafe { libc::recv(descriptor, buffer.as_mut_ptr().cast(), buffer.len(), flags | libc::MSG_DONTWAIT) })
        }),
        errno => Err(errno),
    }
}

/// recv(2) of some bytes of a TCP stream without waiting, which the kernel drops (MSG_TRUNC in tcp(7)).
pub fn discard(descriptor: RawFd) -> Result<usize> {
    // The kernel does without a buffer; memory checkers do not. This one is never touched, and so takes no memory.
    static NOWHERE: [AtomicU8; 256 << 10] = [const { AtomicU8::new(0) }; 256 << 10];
    let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT;
    let into = NOWHERE.as_ptr().cast_mut().cast();
    // SAFETY: nothing is written with MSG_TRUNC, and it would fit, and may be written from several threads.
    restart(|| check_length(unsafe { receive_nothing(descriptor, into, NOWHERE.len(), flags) }))
}

#[cfg(not(tsan))]
use libc::recv as receive_nothing;

/// recv(2) behind the back of the thread sanitizer, which would take the buffer for written.
#[cfg(tsan)]
unsafe fn receive_nothing(descriptor: RawFd, into: *mut libc::c_void, length: usize, flags: i32) -> isize {
    let (address, its_length) = (std::ptr::null_mut::<libc::sockaddr>(), std::ptr::null_mut::<libc::socklen_t>());
    // SAFETY: recvfrom(2), with what the caller vouches for.
    unsafe { libc::syscall(libc::SYS_recvfrom, descriptor, into, length, flags, address, its_length) as isize }
}

/// How many bytes the peer's kernel has not yet confirmed: SIOCOUTQ in tcp(7).
pub fn unsent(descriptor: RawFd) -> Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: an int is written to `count`.
    check(unsafe { libc::ioctl(descriptor, libc::TIOCOUTQ, &mut count) })?;
    Ok(count as usize)
}

/// send(2) without waiting and without SIGPIPE.
#[inline(always)]
pub fn send(descriptor: RawFd, bytes: &[u8]) -> Result<usize> {
    // SAFETY: `len` bytes are read from the slice.
    let length = unsafe { libc::send(descriptor, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) };
    if length >= 0 { Ok(length as usize) } else { send_again(descriptor, bytes) }
}

#[cold]
#[inline(never)]
fn send_again(descriptor: RawFd, bytes: &[u8]) -> Result<usize> {
    match Errno::last() {
        Errno::EINTR => restart(|| {
            let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
            // SAFETY: as above.
            check_length(unsafe { libc::send(descriptor, bytes.as_ptr().cast(), bytes.len(), flags) })
        }),
        errno => Err(errno),
    }
}

fn message(parts: *mut libc::iovec, count: usize) -> libc::msghdr {
    // SAFETY: all zeros is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts;
    message.msg_iovlen = count as _;
    message
}

/// How many parts one call takes: IOV_MAX.
pub const PARTS: usize = 1024;

/// recvmsg(2) into several buffers without waiting. Descriptors that come along are closed by the kernel.
pub fn receive_parts(descriptor: RawFd, parts: &mut [PartMut]) -> Result<usize> {
    let count = parts.len().min(PARTS);
    // PartMut is an iovec.
    let mut message = message(parts.as_mut_ptr().cast(), count);
    // SAFETY: `message` names `count` writable buffers.
    restart(|| check_length(unsafe { libc::recvmsg(descriptor, &mut message, libc::MSG_DONTWAIT) }))
}

/// sendmsg(2) from several buffers without waiting and without SIGPIPE.
pub fn send_parts(descriptor: RawFd, parts: &[Part]) -> Result<usize> {
    let count = parts.len().min(PARTS);
    // Part is an iovec; sendmsg does not write to it.
    let message = message(parts.as_ptr().cast_mut().cast(), count);
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: `message` names `count` readable buffers.
    restart(|| check_length(unsafe { libc::sendmsg(descriptor, &message, flags) }))
}

type NameCall = unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

fn name(descriptor: impl AsRawFd, call: NameCall) -> Result<Address> {
    let mut raw = Raw::empty();
    let mut length = raw.bytes.len() as libc::socklen_t;
    // SAFETY: `call` is getsockname or getpeername and writes at most `length` bytes to `raw`.
    check(unsafe { call(descriptor.as_raw_fd(), raw.as_mut_ptr(), &mut length) })?;
    raw.length = (length as usize).min(raw.bytes.len());
    Address::from_raw(&raw).ok_or(Errno::EAFNOSUPPORT)
}

/// getsockname(2).
pub fn local_address(descriptor: impl AsRawFd) -> Result<Address> {
    name(descriptor, libc::getsockname)
}

/// getpeername(2).
pub fn peer_address(descriptor: impl AsRawFd) -> Result<Address> {
    name(descriptor, libc::getpeername)
}

/// Whether the open file is in non-blocking mode: fcntl(2).
pub fn is_nonblocking(descriptor: RawFd) -> Result<bool> {
    // SAFETY: no pointers.
    Ok(check(unsafe { libc::fcntl(descriptor, libc::F_GETFL) })? & libc::O_NONBLOCK != 0)
}

/// Changes the mode of the open file, which everybody who holds it shares.
pub fn set_nonblocking(descriptor: RawFd, on: bool) -> Result<()> {
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::fcntl(descriptor, libc::F_GETFL) })?;
    let flags = if on { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags) }).map(drop)
}
