//! The operating system: every libc call, each a small safe function named after its system call.
//!
//! What a platform must provide:
//! - `address`    socket addresses to and from the kernel's form; interface names
//! - `socket`     making, connecting, accepting, sending and receiving without ever blocking or raising SIGPIPE
//! - `datagram`   datagrams, one or many at a call, with the offloads of UDP
//! - `descriptor` passing descriptors over unix sockets; their flags
//! - `option`     socket options by name
//! - `poll`       waiting for descriptors with nanosecond timeouts
//! - `epoll`      readiness of many descriptors
//! - `event`      a descriptor that another thread or a signal handler can make readable
//! - `fiber`      functions with stacks of their own, switched between on one thread
//! - `file`       paths of unix sockets
//! - `clock`      monotonic nanoseconds
//! - `names`      the resolver and the services database
//! - `thread`     threads that take no signals
//! - `transfer`   bytes that move inside the kernel
//! - `process`    whether the process has forked; random bits; the environment
//! - `sanitizer`  telling the sanitizers which stack runs
//! - `once`       values that are set once
//! - `part`       buffers of scattered reading and gathered writing
//! - `memory`     searching bytes; boxes whose allocation may fail
//! - `shared`     shared ownership whose allocation may fail
//!
//! All descriptors are close-on-exec from birth. A failed call is an [`Errno`].

pub mod address;
pub mod clock;
pub mod datagram;
pub mod descriptor;
pub mod epoll;
pub mod event;
pub mod fiber;
pub mod file;
pub mod memory;
pub mod names;
pub mod once;
pub mod option;
pub mod part;
pub mod poll;
pub mod process;
pub mod sanitizer;
pub mod shared;
pub mod socket;
pub mod thread;
pub mod transfer;

use std::ffi::CStr;
pub use std::os::fd::{AsRawFd, OwnedFd, RawFd};

// The names that glibc reserves for itself: a program may have functions of its own by the plain names, which would be called in
// place of glibc's. Other C libraries have no such names.
unsafe extern "C" {
    #[cfg_attr(target_env = "gnu", link_name = "__read")]
    #[cfg_attr(not(target_env = "gnu"), link_name = "read")]
    fn libc_read(descriptor: RawFd, buffer: *mut libc::c_void, size: usize) -> isize;
    #[cfg_attr(target_env = "gnu", link_name = "__write")]
    #[cfg_attr(not(target_env = "gnu"), link_name = "write")]
    fn libc_write(descriptor: RawFd, bytes: *const libc::c_void, size: usize) -> isize;
    #[cfg_attr(target_env = "gnu", link_name = "__connect")]
    #[cfg_attr(not(target_env = "gnu"), link_name = "connect")]
    fn libc_connect(descriptor: RawFd, address: *const libc::sockaddr, length: libc::socklen_t) -> libc::c_int;
}

/// The error number of a failed system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident)*) => { $(pub const $name: Errno = Errno(libc::$name);)* };
}

impl Errno {
    errnos! {
        EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EBADF ECONNABORTED ECONNREFUSED ECONNRESET EDESTADDRREQ
        EEXIST EHOSTDOWN EHOSTUNREACH EINPROGRESS EINTR EINVAL EIO EMFILE EMSGSIZE ENETDOWN ENETRESET ENETUNREACH ENFILE
        ENOBUFS ENODEV ENOENT ENOMEM ENONET ENOPROTOOPT ENOSPC ENOSYS ENOTCONN ENOTDIR ENOTSOCK EOPNOTSUPP EOVERFLOW
        EPERM EPIPE EPROTO EPROTONOSUPPORT EPROTOTYPE ESHUTDOWN ESPIPE ETIMEDOUT ETOOMANYREFS
    }

    /// The error of the system call that has just failed on this thread.
    pub fn last() -> Errno {
        Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    /// Forgets it, before a call that sets errno without saying so.
    fn forget() {
        // SAFETY: the address of this thread's errno, which is always valid.
        unsafe { *libc::__errno_location() = 0 };
    }

    /// Whether descriptors have run out: the process's or the system's.
    fn is_lack_of_descriptors(self) -> bool {
        matches!(self, Errno::EMFILE | Errno::ENFILE)
    }
}

/// The system's own words: strerror_r(3). Unlike std's, they take no memory.
impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let mut text = [0u8; 128];
        // SAFETY: at most so many bytes are written, of which the last is a NUL.
        unsafe { libc::strerror_r(self.0, text.as_mut_ptr().cast(), text.len()) };
        let words = CStr::from_bytes_until_nul(&text).unwrap_or(c"");
        words.to_bytes().utf8_chunks().try_for_each(|chunk| f.write_str(chunk.valid()))
    }
}

pub type Result<T> = std::result::Result<T, Errno>;

/// A system call's result: -1 is an error.
fn check(result: libc::c_int) -> Result<libc::c_int> {
    if result == -1 { Err(Errno::last()) } else { Ok(result) }
}

/// The same for calls that return a length.
fn check_length(result: libc::ssize_t) -> Result<usize> {
    usize::try_from(result).map_err(|_| Errno::last())
}

/// How often a call that says EINTR is repeated. Calls that cannot block do not say it; one that never stops saying it is broken.
const INTERRUPTIONS: usize = 1000;

/// Repeats a call that a signal interrupted.
fn restart<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..INTERRUPTIONS {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
    Err(Errno::EINTR)
}

/// close(2). The descriptor is gone whatever the call says: repeating it could close a stranger's.
pub fn close(descriptor: RawFd) {
    // SAFETY: no pointers; the caller owns the descriptor.
    unsafe { libc::close(descriptor) };
}
