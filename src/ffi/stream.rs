//! Chapter 5: streams.

use super::handle::sock_t;
use super::options::{options, sock_options};
use super::{Subject, boundary, check_buffer, input, output, place, request};
use crate::net::error::{Error, Result};
use crate::net::registry::{self, Directions};
use crate::net::{close, information, listen, live_options, local, race, relay, stream};
use crate::sys::part::{Part, PartMut};
use libc::iovec;
use std::ffi::{c_char, c_int, c_void};

/// Connects a stream.
///
/// Resolves the name, then tries its addresses as RFC 8305 says: in the resolver's order with the
/// families interleaved, the next one when one fails or after `attempt_delay_ms`, all within one
/// `timeout_ms`. The first that connects wins; the others are closed without a byte sent. A
/// connection of a TCP socket to itself is never returned. If the backlog of a unix socket is full,
/// the call waits for room.
///
/// @param host a DNS name, an IPv4 literal, an IPv6 literal with or without [] and %scope,
///        "unix:PATH", or "unix:@NAME" for a Linux abstract socket; NULL = the loopback. Only strict
///        literals are literals; what merely looks numeric, is malformed, or is too long is refused
///        before the resolver is asked, and nothing is ever truncated.
/// @param port 1…65535 or a service name such as "http"; NULL for "unix:" hosts, and if `host` is
///        the whole address as text (`example.com:443`, `[::1]:80`, `:8080`)
/// @param options or NULL for all defaults
/// @return a handle to be closed with sock_close; else a code. For the arguments: SOCK_EINVAL,
///         SOCK_ETOOLONG, SOCK_ENOSERVICE. For the name: SOCK_ENOHOST, SOCK_ERESOLVE. SOCK_ETIMEDOUT
///         if `timeout_ms` ended it. If every address failed before that, the code of the most
///         informative attempt, the first among equals: an answer of the peer (SOCK_ECONNREFUSED,
///         SOCK_ECONNRESET), else that the kernel got no answer (SOCK_ETIMEDOUT), else what this
///         machine forbids or lacks (SOCK_EACCES, SOCK_ELIMIT, SOCK_ENOMEM, SOCK_EADDRNOTAVAIL,
///         SOCK_EADDRINUSE, SOCK_ESYS), else SOCK_EUNREACH, SOCK_ENOTSUP, SOCK_EINVAL. For unix
///         sockets also SOCK_ENOENT, and SOCK_EINVAL if the socket is not a stream. sock_last_error
///         lists every attempt.
///
/// Blocks at most `timeout_ms`; there is no handle yet that could be canceled. Any thread.
/// connect(2), RFC 8305, RFC 6724. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_open(host: *const c_char, port: *const c_char, options: *const sock_options) -> sock_t {
    // SAFETY: C vouches for its strings.
    let request = unsafe { request(host, port) };
    // SAFETY: C vouches for its options.
    boundary("open", Subject::Request(request), || race::open(request, &unsafe { self::options(options) }?))
}

/// Listens for connections.
///
/// @param host an address of this machine, as for sock_open; a name with several addresses uses the
///        first that binds; NULL = every address, in one dual-stack socket; "unix:PATH" makes a unix
///        socket, unlinked on close if the path is still its own
/// @param port 0…65535 or a service name; "0" = any free port, reported by sock_local_address;
///        NULL as for sock_open
/// @param options or NULL for all defaults
/// @return a handle for sock_accept, sock_serve or a poller; SOCK_EADDRINUSE, SOCK_EADDRNOTAVAIL,
///         SOCK_EACCES, SOCK_EEXIST for a unix path that is in use or is not a socket, SOCK_EBUSY if
///         another program keeps the directory of a stale one locked, SOCK_EINVAL, SOCK_ETOOLONG,
///         SOCK_ENOHOST, SOCK_ENOSERVICE, SOCK_ELIMIT
///
/// Blocks only if `host` is a name to be resolved, or, for at most five seconds, if another program
/// keeps that directory locked; any thread. bind(2), listen(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_listen(host: *const c_char, port: *const c_char, options: *const sock_options) -> sock_t {
    // SAFETY: C vouches for its strings.
    let request = unsafe { request(host, port) };
    // SAFETY: C vouches for its options.
    boundary("listen", Subject::Request(request), || listen::listen(request, &unsafe { self::options(options) }?))
}

/// Waits for the next connection.
///
/// A connection that died before it was accepted is skipped. When descriptors run out the call waits
/// and tries again, without spinning. The connection inherits the listener's `io_timeout_ms`,
/// nodelay, keepalive, user timeout and spin, and nothing else. Several threads may accept on one
/// listener: each connection goes to one of them.
///
/// @param listener from sock_listen; its timeout and deadline for reading apply
/// @return a handle to be closed with sock_close; SOCK_ETIMEDOUT, SOCK_ECANCELED, SOCK_ECLOSED,
///         SOCK_ELIMIT if no descriptor was left until the timeout, SOCK_EBUSY if a server has the
///         listener
///
/// Blocks; any thread. accept(2). Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_accept(listener: sock_t) -> sock_t {
    boundary("accept", Subject::Handle(listener), || listen::accept(listener))
}

/// Closes a handle of any kind, for everybody: see CLOSING above. What was written still reaches the
/// peer, in the background; but if received data was left unread, TCP resets the connection:
/// sock_finish avoids that. A listener unlinks its unix path if the path is still its own.
///
/// @param s a handle; gone when this returns
/// @return 0; SOCK_EHANDLE if it is not live (closed before, or never a handle)
///
/// Never blocks, unless SOCK_OPT_LINGER_MS was set, or it is a server: that is stopped, as by
/// sock_server_stop(s, 0), which waits for its handlers; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_close(s: sock_t) -> c_int {
    boundary("close", Subject::Handle(s), || close::close(s)) as c_int
}

/// Ends one direction, or both, of a connection for everybody who shares it (threads, forked
/// children).
///
/// SOCK_WRITE sends what was written and then the end of the stream: the peer reads 0, and can still
/// answer. After SOCK_READ, reads give what has already arrived, then 0; the peer of a unix stream
/// then gets SOCK_EPIPE when it writes. Doing it twice is not an error.
///
/// @param s a stream or a connected datagram socket
/// @param directions SOCK_READ, SOCK_WRITE or both
/// @return 0; SOCK_EINVAL for other directions; SOCK_ENOTCONN if the peer has already torn the
///         connection down
///
/// Never blocks; any thread. shutdown(2). Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_shutdown(s: sock_t, directions: c_int) -> c_int {
    boundary("shutdown", Subject::Handle(s), || close::shutdown(s, self::directions(directions)?)) as c_int
}

/// Closes a stream politely: ends the writing direction, reads and drops what the peer still sends
/// until its end, and closes. The peer gets everything that was written, even if it sent data that
/// nobody read.
///
/// @param s a stream; gone when this returns, whatever it returns, unless that is SOCK_EHANDLE,
///        SOCK_ETYPE or SOCK_EINVAL
/// @param timeout_ms how long the peer may take; SOCK_FOREVER = no limit. The handle's own timeouts
///        do not apply.
/// @return 0 if the peer ended its direction too; SOCK_ETIMEDOUT, SOCK_ECONNRESET, SOCK_ECANCELED,
///         SOCK_ECLOSED
///
/// Blocks at most `timeout_ms`; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_finish(s: sock_t, timeout_ms: i64) -> c_int {
    boundary("finish", Subject::Handle(s), || {
        check_time(timeout_ms)?;
        close::finish(s, timeout_ms)
    }) as c_int
}

/// Closes a stream with a reset: what was not yet sent is dropped, the peer's next read fails with
/// SOCK_ECONNRESET, and no TIME_WAIT stays behind. A unix stream is merely closed.
///
/// @param s a stream; gone when this returns
/// @return 0
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_abort(s: sock_t) -> c_int {
    boundary("abort", Subject::Handle(s), || close::abort(s)) as c_int
}

/// Makes two connected unix streams: what is written to one is read from the other.
///
/// @param out receives two handles; not NULL
/// @return 0; SOCK_ELIMIT
///
/// Never blocks; any thread. socketpair(2). Since 0.1.
/// cbindgen:ptrs-as-arrays=[[out; 2]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_pair(out: *mut sock_t) -> c_int {
    boundary("pair", Subject::Nothing, || {
        let out = place(out.cast::<[registry::Handle; 2]>())?;
        let (one, other) = local::pair()?;
        out.put([one, other]);
        Ok(())
    }) as c_int
}

/// Reads what is there, waiting until there is something.
///
/// @param s a stream, or a datagram socket: one datagram a call, as sock_recv_from, which tells who
///        sent it
/// @param buffer at least `size` bytes; may be NULL if `size` is 0
/// @param size how much at most; 0 returns 0 at once; over PTRDIFF_MAX is SOCK_EINVAL
/// @return how many bytes; 0 at the end of the stream (or an empty datagram); SOCK_ECONNRESET,
///         SOCK_ETIMEDOUT, SOCK_ECANCELED, SOCK_ECLOSED, SOCK_ECONNREFUSED on datagrams, SOCK_ETRUNC
///         for a datagram longer than the buffer, which is filled
///
/// Blocks until its timeout or deadline; any thread. recv(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_read(s: sock_t, buffer: *mut c_void, size: usize) -> i64 {
    // SAFETY: C vouches for its buffer.
    boundary("read", Subject::Transfer(s), || stream::read(s, unsafe { output(buffer.cast(), size) }?))
}

/// Reads exactly `size` bytes.
///
/// @param s a stream
/// @param buffer at least `size` bytes; what arrived before a failure is in it
/// @param size how many; 0 returns 0 at once
/// @return `size`; SOCK_EEOF if the stream ended before; else as sock_read. sock_last_count tells
///         how many bytes did arrive.
///
/// Blocks until its timeout or deadline, which hold over the whole call; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_read_exact(s: sock_t, buffer: *mut c_void, size: usize) -> i64 {
    // SAFETY: C vouches for its buffer.
    boundary("read_exact", Subject::Transfer(s), || stream::read_exact(s, unsafe { output(buffer.cast(), size) }?))
}

/// Reads a line ended by "\n" or "\r\n", strips the end, and terminates it with a NUL.
///
/// A last line without an end is returned as a line; after it comes SOCK_EEOF. NUL bytes in a line
/// are data: trust the length. Lines are read ahead: bytes after the line stay with the handle,
/// where every reading call finds them first. A line cut short by a timeout is kept, and the next
/// call goes on with it.
///
/// @param s a stream
/// @param line at least `size` bytes
/// @param size of `line`, the NUL included; 0 returns 0 at once, and takes nothing
/// @return the length without the line end; SOCK_EEOF; SOCK_ETOOLONG if the line does not fit in
///         `size` - 1 bytes: it stays readable, by sock_read or with a larger buffer. sock_read of
///         `size` - 1 bytes takes its head and nothing of the next line. Else as sock_read
///
/// Blocks until its timeout or deadline, which hold over the whole call; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_read_line(s: sock_t, line: *mut c_char, size: usize) -> i64 {
    // SAFETY: C vouches for its buffer.
    boundary("read_line", Subject::Transfer(s), || stream::read_line(s, unsafe { output(line.cast(), size) }?))
}

/// Reads like sock_read, and leaves the bytes there for the next call.
///
/// @param s a stream or a datagram socket
/// @param buffer at least `size` bytes
/// @param size how much at most
/// @return as sock_read
///
/// Blocks until its timeout or deadline; any thread. recv(2) with MSG_PEEK. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_peek(s: sock_t, buffer: *mut c_void, size: usize) -> i64 {
    // SAFETY: C vouches for its buffer.
    boundary("peek", Subject::Transfer(s), || stream::peek(s, unsafe { output(buffer.cast(), size) }?))
}

/// Writes all of it, always: success means that the kernel has every byte.
///
/// @param s a stream, or a connected datagram socket: one datagram a call, an empty one too
/// @param buffer `size` bytes; may be NULL if `size` is 0
/// @param size how many; over PTRDIFF_MAX is SOCK_EINVAL
/// @return `size`; SOCK_EPIPE or SOCK_ECONNRESET if the peer is gone (never a signal);
///         SOCK_ETIMEDOUT, SOCK_ECANCELED, SOCK_ECLOSED: sock_last_count tells how many bytes the
///         kernel had taken; SOCK_EMSGSIZE for a datagram
///
/// Blocks until its timeout or deadline; any thread. send(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_write(s: sock_t, buffer: *const c_void, size: usize) -> i64 {
    // SAFETY: C vouches for its buffer.
    boundary("write", Subject::Transfer(s), || stream::write(s, unsafe { input(buffer.cast(), size) }?))
}

/// Reads like sock_read, into several buffers, filled one after the other.
///
/// @param s a stream or a datagram socket
/// @param parts `count` buffers; any number, also over IOV_MAX on streams
/// @param count not negative
/// @return how many bytes in all; else as sock_read
///
/// Blocks until its timeout or deadline; any thread. recvmsg(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_readv(s: sock_t, parts: *const iovec, count: c_int) -> i64 {
    boundary("readv", Subject::Transfer(s), || {
        let count = part_count(count)?;
        // SAFETY: C vouches for its array.
        check_parts(unsafe { input(parts, count) }?)?;
        // SAFETY: PartMut is an iovec, and C vouches for the buffers. They are written, the array is not.
        stream::read_parts(s, unsafe { output(parts.cast_mut().cast::<PartMut>(), count) }?)
    })
}

/// Writes all of several buffers, in order, as sock_write writes one.
///
/// @param s a stream, or a connected datagram socket: one datagram of them all
/// @param parts `count` buffers; any number, also over IOV_MAX on streams
/// @param count not negative
/// @return how many bytes in all; SOCK_EINVAL if that is over PTRDIFF_MAX; else as sock_write
///
/// Blocks until its timeout or deadline; any thread. sendmsg(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_writev(s: sock_t, parts: *const iovec, count: c_int) -> i64 {
    boundary("writev", Subject::Transfer(s), || {
        let count = part_count(count)?;
        // SAFETY: C vouches for its array.
        check_parts(unsafe { input(parts, count) }?)?;
        // SAFETY: Part is an iovec, and C vouches for the buffers.
        stream::write_parts(s, unsafe { input(parts.cast::<Part>(), count) }?)
    })
}

fn part_count(count: c_int) -> Result<usize> {
    usize::try_from(count).map_err(|_| Error::invalid("the count of parts is negative"))
}

fn check_parts(parts: &[iovec]) -> Result<()> {
    let mut total = 0usize;
    for part in parts {
        check_buffer(part.iov_base.cast::<u8>(), part.iov_len)?;
        total = total.saturating_add(part.iov_len);
    }
    if total > isize::MAX as usize { Err(Error::invalid("the parts are larger than PTRDIFF_MAX")) } else { Ok(()) }
}

/// Reads what is there now.
///
/// @param s a stream or a datagram socket
/// @param buffer at least `size` bytes
/// @param size how much at most; 0 returns 0
/// @return how many bytes; 0 at the end of the stream (or an empty datagram); SOCK_EAGAIN if nothing
///         is there, or another thread is reading; else as sock_read
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_try_read(s: sock_t, buffer: *mut c_void, size: usize) -> i64 {
    // SAFETY: C vouches for its buffer.
    boundary("try_read", Subject::Transfer(s), || stream::try_read(s, unsafe { output(buffer.cast(), size) }?))
}

/// Writes what fits now.
///
/// @param s a stream or a connected datagram socket
/// @param buffer `size` bytes
/// @param size how many at most
/// @return how many bytes the kernel took, at least 1 unless `size` is 0; SOCK_EAGAIN if nothing
///         fits, or another thread is writing; else as sock_write
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_try_write(s: sock_t, buffer: *const c_void, size: usize) -> i64 {
    // SAFETY: C vouches for its buffer.
    boundary("try_write", Subject::Transfer(s), || stream::try_write(s, unsafe { input(buffer.cast(), size) }?))
}

/// Takes the next connection if one waits.
///
/// @param listener from sock_listen
/// @return a handle to be closed with sock_close; SOCK_EAGAIN if none waits; SOCK_ELIMIT if no
///         descriptor is left; SOCK_EBUSY if a server has the listener
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_try_accept(listener: sock_t) -> sock_t {
    boundary("try_accept", Subject::Handle(listener), || listen::try_accept(listener))
}

/// How many bytes have been read ahead and wait inside the library. An event loop of your own must
/// look at this besides the descriptor of sock_fd; a poller of this library does so by itself.
///
/// @param s any handle
/// @return bytes; 0 also for what is not a handle
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_buffered(s: sock_t) -> usize {
    boundary("buffered", Subject::Nothing, || Ok(information::buffered(s))) as usize
}

/// Sends a file, or a part of it, without copying it through this process if the system can do that.
///
/// @param s a stream
/// @param fd the file: regular, or anything that can be read: a pipe, a terminal, a socket. It stays
///        the caller's.
/// @param offset in bytes: where in the file to begin, its own position staying as it is; -1 = at
///        its own position, which moves on. A file without positions, such as a pipe, takes 0 and -1
///        alike; if others read from it too, it should be non-blocking.
/// @param size in bytes; -1 = to the end of the file
/// @return how many bytes were sent; SOCK_EEOF if the file ended before `size`, SOCK_EINVAL if `fd`
///         is not open for reading or cannot be read at an offset, SOCK_ESYS if reading it failed,
///         SOCK_ENOMEM, and what sock_write returns. After a failure sock_last_count tells how many
///         were sent.
///
/// Blocks; the timeout and deadline for writing apply, also to waiting for a pipe to have something,
/// and the end of the connection ends that too; any thread. sendfile(2). Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_send_file(s: sock_t, fd: c_int, offset: i64, size: i64) -> i64 {
    boundary("send_file", Subject::Transfer(s), || {
        if offset < -1 || size < -1 || offset.checked_add(size).is_none() {
            return Err(Error::invalid("the offset or the size is negative, and not -1, or their sum is too large"));
        }
        let sent = relay::send_file(s, fd, (offset >= 0).then_some(offset), (size >= 0).then_some(size as u64))?;
        Ok(sent as i64)
    })
}

/// Passes on everything that two streams receive, each to the other, until both have ended.
///
/// Bytes that have been read ahead go first. The end of one stream is passed on as the end of
/// writing to the other (as sock_shutdown does), while the other direction goes on. The bytes stay
/// inside the kernel if it can do that (splice(2)).
///
/// When one side cannot be written to any more, what still comes from it is passed on until its end.
/// When receiving fails, what came before is passed on, and the relay ends without telling the other
/// side that the stream was whole. Both handles stay, to be closed; after a failure they are good
/// for nothing else, because bytes may have been in transit.
///
/// @param a a stream
/// @param b another stream
/// @return how many bytes were passed on in all; SOCK_EINVAL if `a` is `b`, SOCK_ETIMEDOUT,
///         SOCK_ECONNRESET, SOCK_EPIPE, SOCK_ECANCELED, SOCK_ECLOSED, SOCK_ENOMEM. After a failure
///         sock_last_count tells how many were passed on.
///
/// Blocks; until it returns, no other call reads or writes the two streams. Deadlines of either
/// stream end it. Timeouts count from the last byte that moved in any direction: those for reading
/// end a relay that is silent, those for writing one whose other side takes nothing. Any thread.
/// Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_relay(a: sock_t, b: sock_t) -> i64 {
    boundary("relay", Subject::Transfer(a), || Ok(relay::relay(a, b)? as i64))
}

/// Sets how long each call may take from now on; calls already blocked in that direction obey it
/// too.
///
/// The time runs from when a call first has to wait, also for one that is waiting when the timeout
/// is set. A deadline may be set as well: whichever comes first ends the call with SOCK_ETIMEDOUT,
/// never early. A transfer that ends this way leaves the handle usable, and sock_last_count is
/// exact.
///
/// @param s a stream, listener (accepting is reading) or datagram socket
/// @param directions SOCK_READ, SOCK_WRITE or both
/// @param ms milliseconds; 0 = do not wait; SOCK_FOREVER = no limit
/// @return 0; SOCK_EINVAL
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_set_timeout(s: sock_t, directions: c_int, ms: i64) -> c_int {
    boundary("set_timeout", Subject::Handle(s), || {
        check_time(ms)?;
        live_options::set_timeout(s, self::directions(directions)?, ms)
    }) as c_int
}

/// Sets a point in time when all calls end, those already blocked too, however many there are until
/// then.
///
/// After it, data that is already there is still delivered; whatever would have to wait ends with
/// SOCK_ETIMEDOUT.
///
/// @param s a stream, listener or datagram socket
/// @param directions SOCK_READ, SOCK_WRITE or both
/// @param ms_from_now milliseconds; 0 makes every wait end at once; SOCK_FOREVER removes the
///        deadline
/// @return 0; SOCK_EINVAL
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_set_deadline(s: sock_t, directions: c_int, ms_from_now: i64) -> c_int {
    boundary("set_deadline", Subject::Handle(s), || {
        check_time(ms_from_now)?;
        live_options::set_deadline(s, self::directions(directions)?, ms_from_now)
    }) as c_int
}

/// Ends waiting on a handle for good: every call blocked in it, and every later one that would have
/// to wait, returns SOCK_ECANCELED. Data that is already there is still delivered. The handle still
/// has to be closed.
///
/// Async-signal-safe, as the only function here: a SIGINT handler may call it to end a loop of
/// sock_accept.
///
/// @param s any handle
/// @return 0; SOCK_EHANDLE (without a text for sock_last_error: a signal handler must leave that
///         alone)
///
/// Never blocks; any thread or signal handler. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_cancel(s: sock_t) -> c_int {
    // Not through `boundary`, which may write the thread's failure text under a signal handler's feet. Nothing here unwinds.
    registry::cancel(s).map_or_else(|error| error.code as c_int, |()| 0)
}

fn directions(bits: c_int) -> Result<Directions> {
    match bits {
        1..=3 => Ok(Directions { read: bits & 1 != 0, write: bits & 2 != 0 }),
        _ => Err(Error::invalid("the directions are not SOCK_READ, SOCK_WRITE, or both")),
    }
}

pub fn check_time(milliseconds: i64) -> Result<()> {
    if milliseconds < -1 { Err(Error::invalid("the time is negative, and not SOCK_FOREVER")) } else { Ok(()) }
}
