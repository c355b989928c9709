//! Chapter 2: errors.

use crate::net::{error, failure};
use std::ffi::{c_char, c_int};

/// What can go wrong. The numbers are frozen; gaps are for later codes.
#[repr(C)]
#[allow(dead_code)]
pub enum sock_error {
    /// Success.
    SOCK_OK = 0,
    /// An argument is invalid; nothing was done.
    SOCK_EINVAL = -1,
    /// Not a live handle.
    SOCK_EHANDLE = -2,
    /// A live handle, but of the wrong kind for this call.
    SOCK_ETYPE = -3,
    /// A name, line, path or text is longer than its limit.
    SOCK_ETOOLONG = -4,
    /// It conflicts with another use in progress.
    SOCK_EBUSY = -5,
    /// Not supported by this build, kernel or address family.
    SOCK_ENOTSUP = -6,
    /// The timeout or deadline passed, or the kernel gave up on the peer.
    SOCK_ETIMEDOUT = -20,
    /// sock_try_*: it would block.
    SOCK_EAGAIN = -21,
    /// The handle was closed while this call was in flight.
    SOCK_ECLOSED = -22,
    /// sock_cancel, or the server that ran this call was stopped.
    SOCK_ECANCELED = -23,
    /// The stream ended before the request was met.
    SOCK_EEOF = -24,
    /// No such host, or it has no address of the wanted family.
    SOCK_ENOHOST = -40,
    /// No such service name.
    SOCK_ENOSERVICE = -41,
    /// The resolver failed; trying later may help.
    SOCK_ERESOLVE = -42,
    /// The peer refused the connection, or an ICMP message said that nobody listens.
    SOCK_ECONNREFUSED = -60,
    /// The peer reset the connection. Once reported it stays: it never becomes a clean end of file.
    SOCK_ECONNRESET = -61,
    /// The peer, or sock_shutdown, closed the connection for writing.
    SOCK_EPIPE = -62,
    /// No route to the network or the host.
    SOCK_EUNREACH = -63,
    /// The socket is not connected.
    SOCK_ENOTCONN = -64,
    /// The address is in use already.
    SOCK_EADDRINUSE = -65,
    /// The address is not this machine's, or no port is left.
    SOCK_EADDRNOTAVAIL = -66,
    /// The system does not permit it.
    SOCK_EACCES = -67,
    /// A datagram is too large to send.
    SOCK_EMSGSIZE = -68,
    /// A datagram or passed descriptors did not fit and were cut.
    SOCK_ETRUNC = -69,
    /// No such unix socket path.
    SOCK_ENOENT = -70,
    /// The unix socket path exists and is in use, or is not a socket.
    SOCK_EEXIST = -71,
    /// Out of descriptors, handles or threads.
    SOCK_ELIMIT = -90,
    /// Out of memory.
    SOCK_ENOMEM = -91,
    /// Another operating system error: see sock_last_errno().
    SOCK_ESYS = -100,
    /// A bug in the library.
    SOCK_EINTERNAL = -101,
}

/// One English phrase for a code.
///
/// @param code any number: a result of any function
/// @return a static string, never NULL; "success" for every number >= 0
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_strerror(code: i64) -> *const c_char {
    error::phrase(code).as_ptr()
}

/// The name of a code, for logs and tests.
///
/// @param code any number
/// @return a static string such as "SOCK_ECONNREFUSED", never NULL; "SOCK_UNKNOWN" for numbers that
///         are not codes
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_error_name(code: i64) -> *const c_char {
    error::name(code).as_ptr()
}

/// Whether trying the same thing again later can succeed without a change to the request: timeouts,
/// refusals, resets, exhausted resources.
///
/// @param code any number
/// @return 1 or 0
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_error_is_temporary(code: i64) -> c_int {
    error::is_temporary(code).into()
}

/// The last failure on this thread, in full: the operation, the addresses, every attempt with its
/// own cause and time, and the verdict, in one line. For example `open example.com:443: timed out
/// after 5000 ms ([2001:db8::1]:443: timed out after 4750 ms; 192.0.2.1:443: connection refused
/// after 3 ms)`.
///
/// Success leaves it alone, and so does the end of the stream that sock_read reports as 0; only the
/// next failure on the same thread replaces it. In a fiber of a server it is the fiber's own.
///
/// @return a string in a buffer of the thread's own, which the next failure there overwrites; never
///         NULL; "" before any failure. A text that is too long is cut at its end.
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_last_error() -> *const c_char {
    failure::text()
}

/// The errno of the last failure on this thread, or fiber.
///
/// @return an errno value, or 0 if no system call failed
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_last_errno() -> c_int {
    failure::errno()
}

/// How many bytes the last failed transfer on this thread had moved: what sock_write had written,
/// sock_read_exact had read, sock_relay had passed on. Only the next failed transfer changes it: a
/// failure of sock_close, for example, does not. In a fiber of a server it is the fiber's own.
///
/// @return bytes; 0 if the transfer moved none, or none has failed
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_last_count() -> usize {
    failure::count()
}

#[cfg(test)]
mod tests {
    use crate::net::error::Code;

    #[test]
    fn the_codes_of_the_header_are_those_of_the_library() {
        let header = include_str!("error.rs");
        for code in Code::ALL {
            let name = crate::net::error::name(*code as i64).to_str().unwrap();
            let line = format!("{name} = {},", *code as i64);
            assert!(header.contains(&line), "{line}");
        }
    }
}
