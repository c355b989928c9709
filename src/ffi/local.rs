//! Chapter 7: unix sockets, descriptors, activation.

use super::handle::sock_t;
use super::{Subject, boundary, input, output, place, room};
use crate::net::{adopt, local};
use std::ffi::{c_int, c_void};

/// Who is at the other end of a unix socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sock_credentials {
    /// The process; 0 if it is not in this process's pid namespace.
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

/// Who is at the other end of a unix socket: the process, user and group that connected, or, on a
/// connection that was opened here, that listened. The kernel vouches for them. They stay as they
/// were then, whatever becomes of that process, and whoever it passes the socket to.
///
/// @param s a unix stream, or an end of a connected pair
/// @param out not NULL
/// @return 0; SOCK_ENOTSUP if `s` is not a unix socket, SOCK_ENOTCONN if it has no peer, as on
///         datagram sockets
///
/// Never blocks; any thread. SO_PEERCRED in unix(7). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_peer_credentials(s: sock_t, out: *mut sock_credentials) -> c_int {
    boundary("peer_credentials", Subject::Handle(s), || {
        let out = place(out)?;
        let found = local::peer_credentials(s)?;
        out.put(sock_credentials { pid: found.pid, uid: found.uid, gid: found.gid });
        Ok(())
    }) as c_int
}

/// Writes bytes to a unix socket with descriptors traveling along: the receiver gets duplicates,
/// which share the open files.
///
/// @param s a unix stream, or a connected unix datagram socket
/// @param data the bytes; a stream needs at least one to carry descriptors, and a protocol by which
///        the receiver knows where to expect them
/// @param size how many; all of them are written
/// @param fds the descriptors, which stay the caller's: they may be closed when this returns.
///        sock_fd gives that of a handle
/// @param count how many, at most 253; 0 is a plain write
/// @return `size`; SOCK_EINVAL if one is not open or there are too many, SOCK_ELIMIT if the user has
///         too many in transit, SOCK_ENOTSUP if `s` is not a unix socket; else as sock_write
///
/// Blocks until its timeout or deadline; any thread. SCM_RIGHTS in unix(7). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_send_fds(s: sock_t, data: *const c_void, size: usize, fds: *const c_int, count: usize) -> i64 {
    boundary("send_fds", Subject::Transfer(s), || {
        // SAFETY: C vouches for its bytes and its descriptors.
        let (data, fds) = unsafe { (input(data.cast::<u8>(), size)?, input(fds, count)?) };
        local::send_descriptors(s, data, fds)
    })
}

/// Reads what is there, with the descriptors that travel along. They are close-on-exec and the
/// caller's to close, or to adopt with sock_from_fd. One call never returns the descriptors of two
/// messages.
///
/// Descriptors that travel with bytes which any other call reads, or sock_read_line reads ahead, are
/// closed: on a connection that passes descriptors the bytes around them are to be read with this
/// call, or in exact sizes.
///
/// @param s a unix stream, or a unix datagram socket
/// @param buffer at least `size` bytes
/// @param size how many at most; 0 returns 0 at once on a stream
/// @param fds receives at most `capacity` descriptors; may be NULL if that is 0
/// @param capacity how many fit; up to 253 may come
/// @param count receives how many came; not NULL. Set also with SOCK_ETRUNC; 0 with any other
///        failure
/// @return how many bytes; 0 at the end of the stream; SOCK_ETRUNC if more descriptors came than fit
///         `fds` or than the process may have, or a datagram was longer than `size`: what fits is
///         delivered, the rest closed, and sock_last_count tells how many bytes came; SOCK_ENOTSUP
///         if `s` is not a unix socket; else as sock_read
///
/// Blocks until its timeout or deadline; any thread. SCM_RIGHTS in unix(7). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_recv_fds(
    s: sock_t,
    buffer: *mut c_void,
    size: usize,
    fds: *mut c_int,
    capacity: usize,
    count: *mut usize,
) -> i64 {
    boundary("recv_fds", Subject::Transfer(s), || {
        let place = place(count)?;
        let mut came = 0;
        // SAFETY: C vouches for its buffers.
        let buffers = unsafe { output(buffer.cast::<u8>(), size).and_then(|buffer| Ok((buffer, room(fds, capacity)?))) };
        let result = buffers.and_then(|(buffer, fds)| local::receive_descriptors(s, buffer, fds, &mut came));
        place.put(came);
        result
    })
}

/// Makes a handle from a socket that was made elsewhere: any stream, listener, datagram,
/// sequenced-packet or raw socket, connected or not. Sequenced packets (and raw sockets) are
/// datagrams to this library: one a call, with their boundaries kept.
///
/// The descriptor then belongs to the handle: it is closed with it, is close-on-exec, and must not
/// be used, closed or adopted again. A blocking descriptor stays in blocking mode for whoever shares
/// the open file; calls here keep to their deadlines all the same. Only accepting, sock_send_file
/// and sock_relay need the open file in non-blocking mode: its mode is restored by sock_close and
/// sock_release_fd. A unix path that the socket is bound to stays when the handle is closed.
///
/// @param fd the descriptor
/// @return a handle to be closed with sock_close; on failure the descriptor is untouched:
///         SOCK_EINVAL if it is not open or not a socket, SOCK_EBUSY if a live handle of this
///         process has it already, SOCK_ENOTSUP for other types of sockets, SOCK_ELIMIT
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_from_fd(fd: c_int) -> sock_t {
    boundary("from_fd", Subject::Nothing, || adopt::adopt(fd))
}

/// The descriptor behind a handle, to be looked at: for an event loop of your own, or an option that
/// the library does not have.
///
/// It stays the handle's: it must not be closed, and is gone when the handle is closed. An event
/// loop must look at sock_buffered too. Whatever reads from it, or changes its modes, does so behind
/// the library's back. It is non-blocking, unless it was adopted otherwise: make it blocking before
/// another program gets it as its standard input.
///
/// @param s a stream, listener or datagram socket
/// @return the descriptor, >= 0
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_fd(s: sock_t) -> c_int {
    boundary("fd", Subject::Handle(s), || adopt::descriptor_of(s)) as c_int
}

/// Ends a handle and hands its descriptor over: the socket itself is untouched, and a unix path it
/// is bound to stays.
///
/// A descriptor that was adopted is as it was before that: blocking or not, close-on-exec or not.
/// One that the library made is non-blocking and close-on-exec.
///
/// @param s a stream, listener or datagram socket; gone when this succeeds
/// @return the descriptor, >= 0, to be closed by the caller; SOCK_EBUSY, with nothing done, while
///         another call or a server is using the handle, or while the library holds bytes that have
///         been read ahead (sock_buffered)
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_release_fd(s: sock_t) -> c_int {
    boundary("release_fd", Subject::Handle(s), || adopt::release(s)) as c_int
}

/// The sockets that a service manager such as systemd passed to this process: LISTEN_PID,
/// LISTEN_FDS, and descriptors from 3 on.
///
/// Each is adopted as by sock_from_fd and made close-on-exec the first time it is asked for; asking
/// again gives the same handles, including those closed meanwhile. The variables are left as they
/// are; LISTEN_FDNAMES names the descriptors in the same order.
///
/// @param out receives at most `capacity` handles, in the order of the descriptors; in place of a
///        descriptor that is not a socket, SOCK_EINVAL or SOCK_ENOTSUP, and of one that was adopted
///        in another way, SOCK_EBUSY: these are left alone
/// @param capacity of `out`; 0 only counts
/// @return how many there are, which may be more than `capacity`; 0 if there are none or they are
///         for another process; SOCK_EINVAL if LISTEN_FDS is not a number
///
/// Never blocks; any thread. sd_listen_fds(3). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_inherited(out: *mut sock_t, capacity: usize) -> i64 {
    // SAFETY: C vouches for its buffer.
    boundary("inherited", Subject::Nothing, || adopt::inherited(unsafe { room(out, capacity)? }))
}
