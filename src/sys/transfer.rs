//! Bytes that move without passing through this process: splice(2) and sendfile(2); and read(2) for what they cannot take.

use super::socket::own;
use super::{AsRawFd, OwnedFd, RawFd, Result, check, check_length, restart};
use std::mem::MaybeUninit;

/// A pipe as a buffer inside the kernel: pipe2(2), close-on-exec and non-blocking.
pub struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pipe {
    /// A pipe that holds `size` bytes, or what the system allows.
    pub fn new(size: i32) -> Result<Pipe> {
        let mut pair = [-1; 2];
        // SAFETY: two descriptors are written to `pair`.
        check(unsafe { libc::pipe2(pair.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
        let pipe = Pipe { out: own(pair[0]), into: own(pair[1]) };
        // SAFETY: no pointers. Where it is refused the pipe stays as large as it is.
        unsafe { libc::fcntl(pipe.into.as_raw_fd(), libc::F_SETPIPE_SZ, size) };
        Ok(pipe)
    }

    /// Fills the pipe from a socket, with at most `size` bytes. The socket's open file must be non-blocking.
    pub fn fill(&self, socket: RawFd, size: usize) -> Result<usize> {
        splice(socket, self.into.as_raw_fd(), size)
    }

    /// Empties `size` bytes of the pipe into a socket. The socket's open file must be non-blocking. Beware of [`NoPipeSignal`].
    pub fn drain(&self, socket: RawFd, size: usize) -> Result<usize> {
        splice(self.out.as_raw_fd(), socket, size)
    }

    /// Takes bytes out: read(2).
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        read(self.out.as_raw_fd(), None, buffer)
    }
}

fn splice(from: RawFd, to: RawFd, size: usize) -> Result<usize> {
    let none = std::ptr::null_mut();
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: null offsets are those of pipes and sockets.
    restart(|| check_length(unsafe { libc::splice(from, none, to, none, size, flags) }))
}

/// sendfile(2), from `offset`, which is moved on, or from the file's own position. The socket's open file must be non-blocking.
/// Beware of [`NoPipeSignal`].
pub fn send_file(socket: RawFd, file: RawFd, offset: Option<&mut i64>, size: usize) -> Result<usize> {
    let offset = offset.map_or(std::ptr::null_mut(), |offset| offset as *mut i64);
    // SAFETY: `offset` is null or points to an offset that may be written.
    restart(|| check_length(unsafe { libc::sendfile64(socket, file, offset, size) }))
}

/// read(2), or pread(2) at an offset.
pub fn read(file: RawFd, offset: Option<i64>, buffer: &mut [u8]) -> Result<usize> {
    let (into, size) = (buffer.as_mut_ptr().cast(), buffer.len());
    restart(|| {
        check_length(match offset {
            // SAFETY: at most `size` bytes are written to the buffer.
            None => unsafe { super::libc_read(file, into, size) },
            // SAFETY: as above.
            Some(offset) => unsafe { libc::pread64(file, into, size, offset) },
        })
    })
}

/// Keeps SIGPIPE away from the calling thread while it uses calls that cannot be told not to raise it.
pub struct NoPipeSignal {
    before: libc::sigset_t,
    /// It was pending already: somebody else's.
    pending: bool,
}

fn pipe_signal() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}

impl NoPipeSignal {
    pub fn new() -> NoPipeSignal {
        let (mut before, mut pending) = (pipe_signal(), pipe_signal());
        // SAFETY: valid sets; the mask is the calling thread's own.
        let pending = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &pipe_signal(), &mut before);
            libc::sigpending(&mut pending);
            libc::sigismember(&pending, libc::SIGPIPE) == 1
        };
        NoPipeSignal { before, pending }
    }

    /// A call has said EPIPE: the signal that came with it is taken away.
    pub fn take(&self) {
        if self.pending {
            return;
        }
        let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a valid set and time; a null info is not written.
        let _ = restart(|| check(unsafe { libc::sigtimedwait(&pipe_signal(), std::ptr::null_mut(), &none) }));
    }
}

impl Drop for NoPipeSignal {
    fn drop(&mut self) {
        // SAFETY: the mask that this thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}
