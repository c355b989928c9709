//! Readiness of many descriptors: epoll(7).

use super::{AsRawFd, OwnedFd, RawFd, Result, check};
use std::os::fd::FromRawFd;

pub const IN: u32 = libc::EPOLLIN as u32;
pub const OUT: u32 = libc::EPOLLOUT as u32;
pub const PEER_CLOSED: u32 = libc::EPOLLRDHUP as u32;
pub const HANGUP: u32 = libc::EPOLLHUP as u32;
pub const ERROR: u32 = libc::EPOLLERR as u32;
/// Urgent data. A read stops in front of it.
pub const PRIORITY: u32 = libc::EPOLLPRI as u32;
/// Report a change once, not a state again and again.
pub const EDGE: u32 = libc::EPOLLET as u32;
/// Report once, then nothing until the next [`modify`].
pub const ONCE: u32 = libc::EPOLLONESHOT as u32;
/// Of several epoll sets that watch the descriptor, wake one.
pub const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;

/// What came, and for which of the numbers given to [`add`]: one `struct epoll_event`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Event(libc::epoll_event);

impl Event {
    pub const EMPTY: Event = Event(libc::epoll_event { events: 0, u64: 0 });

    pub fn ready(&self) -> u32 {
        self.0.events
    }

    pub fn number(&self) -> u64 {
        self.0.u64
    }
}

/// epoll_create1(2).
pub fn create() -> Result<OwnedFd> {
    // SAFETY: no pointers.
    let descriptor = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: the call has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn control(epoll: impl AsRawFd, operation: i32, descriptor: RawFd, events: u32, number: u64) -> Result<()> {
    let mut event = libc::epoll_event { events, u64: number };
    // SAFETY: `event` is read during the call.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, descriptor, &mut event) }).map(drop)
}

/// Watches a descriptor from now on.
pub fn add(epoll: impl AsRawFd, descriptor: RawFd, events: u32, number: u64) -> Result<()> {
    control(epoll, libc::EPOLL_CTL_ADD, descriptor, events, number)
}

/// Watches it for other events, and looks at it anew.
pub fn modify(epoll: impl AsRawFd, descriptor: RawFd, events: u32, number: u64) -> Result<()> {
    control(epoll, libc::EPOLL_CTL_MOD, descriptor, events, number)
}

/// Watches it no more. Closing would not be enough if the open file lives on in another descriptor.
pub fn delete(epoll: impl AsRawFd, descriptor: RawFd) -> Result<()> {
    control(epoll, libc::EPOLL_CTL_DEL, descriptor, 0, 0)
}

/// Waits for events until `nanoseconds` have passed, rounded up to milliseconds; None waits for ever. EINTR is returned.
pub fn wait(epoll: impl AsRawFd, events: &mut [Event], nanoseconds: Option<i64>) -> Result<usize> {
    let timeout = match nanoseconds {
        None => -1,
        Some(left) => {
            let left = left.max(0);
            let milliseconds = left / 1_000_000 + i64::from(left % 1_000_000 > 0);
            milliseconds.min(i64::from(i32::MAX)) as i32
        }
    };
    let capacity = events.len().min(i32::MAX as usize) as i32;
    // SAFETY: Event is an epoll_event, and there is room for `capacity` of them.
    let count = check(unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr().cast(), capacity, timeout) })?;
    Ok(count as usize)
}
