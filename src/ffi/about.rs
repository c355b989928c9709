//! Chapter 10: about a handle, about the library.

use super::handle::sock_t;
use super::options::sock_family;
use super::{Subject, boundary, output_size, put_sized};
use crate::net::log::{self, Level};
use crate::net::{information, registry};
use crate::sys::socket::Family;
use std::ffi::{CStr, c_char, c_int, c_void};

/// What sock_get_info reports about a handle. Fields that do not apply to it are 0. The struct grows
/// at its end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sock_info {
    /// sizeof(sock_info), set by the caller.
    pub size: usize,
    /// One of enum sock_kind.
    pub kind: c_int,
    /// SOCK_UNIX, SOCK_IPV4 or SOCK_IPV6; SOCK_ANY if there is none. The connection of an IPv4
    /// peer is SOCK_IPV4 even if a dual-stack listener accepted it.
    pub family: c_int,
    /// Bytes taken from the kernel, including those read ahead.
    pub bytes_read: u64,
    /// Bytes given to the kernel.
    pub bytes_written: u64,
    /// Microseconds that open spent on resolving the name.
    pub resolve_us: i64,
    /// Microseconds that open spent on connecting, after the name was known.
    pub connect_us: i64,
    /// How many addresses open tried, including the one that won.
    pub attempts: u32,
    /// TCP's estimate of the round-trip time, in microseconds.
    pub rtt_us: u32,
    /// Segments that TCP retransmitted.
    pub retransmits: u32,
}

/// What the library knows about a handle.
///
/// @param s any handle
/// @param out its `size` set to sizeof(sock_info); not NULL. At most `size` bytes of it are written.
/// @return 0; SOCK_EINVAL if `size` is not set
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_get_info(s: sock_t, out: *mut sock_info) -> c_int {
    boundary("get_info", Subject::Handle(s), || {
        // SAFETY: C vouches for the struct.
        let size = unsafe { output_size(out)? };
        let about = information::information(s)?;
        let info = sock_info {
            size,
            kind: about.kind as c_int,
            family: match about.family {
                Some(Family::Unix) => sock_family::SOCK_UNIX,
                Some(Family::V4) => sock_family::SOCK_IPV4,
                Some(Family::V6) => sock_family::SOCK_IPV6,
                None => sock_family::SOCK_ANY,
            } as c_int,
            bytes_read: about.bytes_read,
            bytes_written: about.bytes_written,
            resolve_us: about.resolve_us,
            connect_us: about.connect_us,
            attempts: about.attempts,
            rtt_us: about.rtt_us,
            retransmits: about.retransmits,
        };
        // SAFETY: C vouches for `size` bytes.
        unsafe { put_sized(out, size, &info) };
        Ok(())
    }) as c_int
}

/// Levels of log messages.
#[repr(C)]
#[allow(dead_code)]
pub enum sock_log_level {
    /// A call failed: the text of sock_last_error.
    SOCK_LOG_ERROR = 1,
    /// The library carried on, but somebody should know, for example that descriptors have run out.
    SOCK_LOG_WARNING = 2,
    /// What the library is doing.
    SOCK_LOG_INFORMATION = 3,
}

/// Receives log messages.
///
/// @param level one of enum sock_log_level
/// @param message one line without a line end; valid during the call
/// @param context as given to sock_set_logger
pub type sock_logger = Option<unsafe extern "C" fn(level: c_int, message: *const c_char, context: *mut c_void)>;

/// Sets who receives log messages. The default is nobody: then no message is even formatted.
///
/// The logger is called on the thread where something happens, from any thread, also from several at
/// once. It may use the library; what fails inside it is not logged. A message already on its way
/// when the logger is changed may still reach the old one: keep the old context until no other call
/// is in progress. A message that there is no memory for is lost.
///
/// @param logger or NULL for nobody
/// @param context handed to the logger
/// @return 0; SOCK_ENOMEM, and the logger is the one it was
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_set_logger(logger: sock_logger, context: *mut c_void) -> c_int {
    boundary("set_logger", Subject::Nothing, || {
        let context = context as usize;
        log::set(logger.map(|logger| {
            move |level: Level, message: &CStr| {
                // SAFETY: C vouches for its function and context, until it sets another.
                unsafe { logger(level as c_int, message.as_ptr(), context as *mut c_void) }
            }
        }))
    }) as c_int
}

/// How many handles are live in this process: 0 when everything has been closed.
///
/// @return the count
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_live_handles() -> i64 {
    registry::live()
}

/// The version of the library that is running; SOCK_VERSION is the header's.
///
/// @return major << 16 | minor << 8 | patch
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_version() -> u32 {
    const fn number(text: &str) -> u32 {
        let bytes = text.as_bytes();
        let (mut value, mut index) = (0, 0);
        while index < bytes.len() {
            value = value * 10 + (bytes[index] - b'0') as u32;
            index += 1;
        }
        value
    }
    const VERSION: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
        | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
        | number(env!("CARGO_PKG_VERSION_PATCH"));
    VERSION
}

/// The version of the library as text, such as "0.1.0".
///
/// @return a static string
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_version_text() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
