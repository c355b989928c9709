//! An event: a descriptor that anybody can make readable, from another thread or from a signal handler.

use super::{RawFd, Result, check};
use std::sync::atomic::{AtomicI32, Ordering};

/// eventfd(2), or nothing any more once it is closed.
pub struct Event {
    descriptor: AtomicI32,
}

impl Event {
    pub fn new() -> Result<Event> {
        // SAFETY: no pointers.
        let descriptor = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        Ok(Event { descriptor: AtomicI32::new(descriptor) })
    }

    pub fn descriptor(&self) -> RawFd {
        self.descriptor.load(Ordering::Relaxed)
    }

    /// Closes it before its owners are gone. None of them may use it any more.
    pub fn close(&self) {
        let descriptor = self.descriptor.swap(-1, Ordering::Relaxed);
        if descriptor >= 0 {
            super::close(descriptor);
        }
    }

    /// Makes it readable. Async-signal-safe: one write(2). It can fail only if the counter is full, and then it is readable.
    pub fn set(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes are read from `one`.
        unsafe { super::libc_write(self.descriptor(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes it unreadable again.
    pub fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight bytes are written to `count`.
        unsafe { super::libc_read(self.descriptor(), count.as_mut_ptr().cast(), count.len()) };
    }
}

/// Puts an event in a descriptor's place: dup3(2). What it was is closed.
pub fn replace(descriptor: RawFd) -> Result<()> {
    let event = Event::new()?;
    // SAFETY: no pointers.
    check(unsafe { libc::dup3(event.descriptor(), descriptor, libc::O_CLOEXEC) }).map(drop)
}

impl Drop for Event {
    fn drop(&mut self) {
        self.close();
    }
}
