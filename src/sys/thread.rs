//! Threads of the library: they never take a signal that is meant for the host program.

use super::{Errno, Result};
use std::thread::{Builder, JoinHandle};

/// A signal mask, to be put back.
struct Mask(libc::sigset_t);

impl Mask {
    /// Blocks every signal in the calling thread.
    fn block_all() -> Mask {
        // SAFETY: all zeros is a valid sigset_t, and both sets are filled in by the calls.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            Mask(before)
        }
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        // SAFETY: the set is one that the kernel returned.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

/// Starts a thread with all signals blocked. `stack` is in bytes, 0: the system's default. `work` is dropped where it fails.
pub fn spawn(name: &str, stack: usize, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let stack = if stack == 0 { default_stack() } else { stack };
    let builder = Builder::new().name(name.into()).stack_size(stack);
    // A thread inherits the mask of the one that starts it.
    let _mask = Mask::block_all();
    builder.spawn(work).map_err(|error| Errno(error.raw_os_error().unwrap_or(libc::EAGAIN)))
}

/// What pthread_create(3) gives a thread that asks for nothing: RLIMIT_STACK, most often.
fn default_stack() -> usize {
    const USUAL: usize = 2 << 20;
    let mut size = 0;
    // SAFETY: the attributes are initialized before they are read, and destroyed after.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_attr_init(&mut attributes) != 0 {
            return USUAL;
        }
        if libc::pthread_attr_getstacksize(&attributes, &mut size) != 0 {
            size = USUAL;
        }
        libc::pthread_attr_destroy(&mut attributes);
    }
    if size == 0 { USUAL } else { size }
}

/// How many CPUs this process may use; at least 1.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
