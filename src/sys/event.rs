//! An event: a descriptor that anybody can make readable, from another thread or from a signal handler.

use super::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd, Result, check};
use std::os::fd::FromRawFd;

/// eventfd(2).
pub struct Event {
    descriptor: OwnedFd,
}

impl Event {
    pub fn new() -> Result<Event> {
        // SAFETY: no pointers.
        let descriptor = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: eventfd has just returned this descriptor; nobody else owns it.
        Ok(Event { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) } })
    }

    /// Makes it readable. Async-signal-safe: one write(2). It cannot fail but when the counter is full, and then it is readable.
    pub fn set(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes are read from `one`.
        unsafe { libc::write(self.descriptor.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes it unreadable again.
    pub fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight bytes are written to `count`.
        unsafe { libc::read(self.descriptor.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

/// Puts an event in a descriptor's place: dup3(2). What it was is closed.
pub fn replace(descriptor: RawFd) -> Result<()> {
    let event = Event::new()?;
    // SAFETY: no pointers.
    check(unsafe { libc::dup3(event.descriptor.as_raw_fd(), descriptor, libc::O_CLOEXEC) }).map(drop)
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
