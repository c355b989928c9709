//! Descriptors that come from elsewhere or go there: passed over unix sockets (unix(7), cmsg(3)), adopted, handed over.

use super::{RawFd, Result, check, check_length, restart};
use std::mem::size_of;

/// How many descriptors one message carries: SCM_MAX_FD.
pub const MOST: usize = 253;

/// Room for all of them, and for what else the socket's options may put before them: credentials, a pidfd, a security label.
const CONTROL: usize = 2048;

#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Who is at the other end, at the time it connected or listened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credentials {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

/// SO_PEERCRED. The ids are `u32::MAX` where the socket has no peer.
pub fn peer_credentials(descriptor: RawFd) -> Result<Credentials> {
    let mut value = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let into = (&mut value as *mut libc::ucred).cast();
    // SAFETY: at most `length` bytes are written to `value`.
    check(unsafe { libc::getsockopt(descriptor, libc::SOL_SOCKET, libc::SO_PEERCRED, into, &mut length) })?;
    Ok(Credentials { pid: value.pid, uid: value.uid, gid: value.gid })
}

/// sendmsg(2) of bytes with descriptors, at most [`MOST`], without waiting and without SIGPIPE. EBADF if one is not open.
pub fn send(descriptor: RawFd, bytes: &[u8], passed: &[RawFd]) -> Result<usize> {
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zeros is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    if !passed.is_empty() {
        let size = size_of_val(&passed[..passed.len().min(MOST)]);
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE is arithmetic; `size` is at most 1012.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(size as u32) } as _;
        // SAFETY: the control buffer is aligned, zeroed, and larger than CMSG_SPACE of MOST descriptors, so that there is a first
        // header with room for `size` bytes after it.
        unsafe {
            let header = &mut *libc::CMSG_FIRSTHDR(&message);
            header.cmsg_level = libc::SOL_SOCKET;
            header.cmsg_type = libc::SCM_RIGHTS;
            header.cmsg_len = libc::CMSG_LEN(size as u32) as _;
            std::ptr::copy_nonoverlapping(passed.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), size);
        }
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the part and the control are readable and as long as the message says.
    restart(|| check_length(unsafe { libc::sendmsg(descriptor, &message, flags) }))
}

/// What one message brought.
pub struct Received {
    pub length: usize,
    /// How many descriptors are in the slice. They are the caller's.
    pub count: usize,
    /// The message was longer than the buffer, or brought more descriptors than fit the slice or the process may have.
    pub cut: bool,
}

/// SCM_PIDFD: a descriptor of the sender's process, at a socket with SO_PASSPIDFD (Linux 6.5). Not in the libc crate.
const PROCESS: libc::c_int = 4;

/// recvmsg(2) without waiting: bytes, and the descriptors that come along, close-on-exec. Those that do not fit are closed, and so
/// is that of the sender's process, which nobody here has asked for.
pub fn receive(descriptor: RawFd, buffer: &mut [u8], passed: &mut [RawFd]) -> Result<Received> {
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeros is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    let length = restart(|| {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL as _;
        // SAFETY: the part and the control are writable and as long as the message says.
        check_length(unsafe { libc::recvmsg(descriptor, &mut message, flags) })
    })?;
    let mut count = 0;
    let mut cut = message.msg_flags & (libc::MSG_CTRUNC | libc::MSG_TRUNC) != 0;
    each_descriptor(&message, |kind, descriptor| match passed.get_mut(count) {
        _ if kind == PROCESS => super::close(descriptor),
        Some(place) => {
            *place = descriptor;
            count += 1;
        }
        None => {
            cut = true;
            super::close(descriptor);
        }
    });
    Ok(Received { length, count, cut })
}

/// Goes through the descriptors that a message has brought, each with the type of its control message.
fn each_descriptor(message: &libc::msghdr, mut work: impl FnMut(libc::c_int, RawFd)) {
    // SAFETY: the kernel has filled in the message; the CMSG macros stay within its control buffer, which is aligned for headers.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so a whole header within the control buffer.
        let (level, kind, length) = unsafe { ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len as usize) };
        if level == libc::SOL_SOCKET && matches!(kind, libc::SCM_RIGHTS | PROCESS) {
            // SAFETY: CMSG_LEN is arithmetic.
            let size = length.saturating_sub(unsafe { libc::CMSG_LEN(0) } as usize);
            for index in 0..size / size_of::<RawFd>() {
                // SAFETY: the header's data has `size` bytes of descriptors, aligned or not.
                work(kind, unsafe { libc::CMSG_DATA(header).cast::<RawFd>().add(index).read_unaligned() });
            }
        }
        // SAFETY: as for the first.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
}

/// Whether a descriptor is closed on exec: fcntl(2).
pub fn is_close_on_exec(descriptor: RawFd) -> Result<bool> {
    // SAFETY: no pointers.
    Ok(check(unsafe { libc::fcntl(descriptor, libc::F_GETFD) })? & libc::FD_CLOEXEC != 0)
}

/// fcntl(2). The flag is the descriptor's own, not shared with its duplicates.
pub fn set_close_on_exec(descriptor: RawFd, on: bool) -> Result<()> {
    let flag = if on { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(descriptor, libc::F_SETFD, flag) }).map(drop)
}
