//! Chapter 8: many sockets in one thread.

use super::handle::sock_t;
use super::{Subject, boundary, room};
use crate::net::error::{Error, Result};
use crate::net::poller;
use std::ffi::{c_int, c_void};

/// What a poller reports besides SOCK_READ and SOCK_WRITE.
#[repr(C)]
#[allow(dead_code)]
pub enum sock_readiness {
    /// The peer has ended its direction, or the connection is over. Reported without being asked
    /// for: once by itself, so that an idle loop does not spin, and again along with other events.
    SOCK_HANGUP = 4,
    /// An error is pending: the next call returns it. Reported without being asked for.
    SOCK_ERROR = 8,
    /// sock_poller_wake was called: the event's `socket` is the poller, its `user` NULL.
    SOCK_WOKEN = 16,
}

/// One handle that is ready.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sock_event {
    /// The handle.
    pub socket: sock_t,
    /// As given to sock_poller_add or sock_poller_set.
    pub user: *mut c_void,
    /// SOCK_READ, SOCK_WRITE, SOCK_HANGUP, SOCK_ERROR, SOCK_WOKEN, combined.
    pub ready: u32,
    /// 0.
    pub reserved: u32,
}

/// Makes a poller, which reports on which of many handles a call would not have to wait.
///
/// It is level-triggered: what is not read is reported again. Bytes read ahead count as readable.
/// The end of a stream is readable until it has been read; a connection that is over is reported
/// once, so that an idle loop never spins. A handle may be in several pollers; closing it removes it
/// from all, and no event names a handle that was closed before sock_poller_wait returned. It is
/// closed with sock_close, and the handles in it stay.
///
/// A poller belongs to the process that made it: in a forked child its functions give SOCK_ENOTSUP.
///
/// @return a handle; SOCK_ELIMIT
///
/// Never blocks; any thread. epoll(7). Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_poller() -> sock_t {
    boundary("poller", Subject::Nothing, poller::create)
}

fn interest(bits: c_int) -> Result<u32> {
    u32::try_from(bits).map_err(|_| Error::invalid("the interest has bits other than SOCK_READ and SOCK_WRITE"))
}

/// Watches a handle from now on.
///
/// @param poller from sock_poller
/// @param s a stream, listener (ready to accept is readable) or datagram socket
/// @param interest SOCK_READ, SOCK_WRITE, both, or 0 for only SOCK_HANGUP and SOCK_ERROR
/// @param user comes back in the events
/// @return 0; SOCK_EBUSY if the poller already watches it; SOCK_EINVAL for another interest;
///         SOCK_ELIMIT
///
/// Never blocks; any thread, also while others wait. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_poller_add(poller: sock_t, s: sock_t, interest: c_int, user: *mut c_void) -> c_int {
    boundary("poller_add", Subject::Handle(s), || poller::add(poller, s, self::interest(interest)?, user as usize)) as c_int
}

/// Changes what a handle is watched for.
///
/// @param poller from sock_poller
/// @param s a handle that it watches
/// @param interest as for sock_poller_add
/// @param user comes back in the events
/// @return 0; SOCK_EINVAL if the poller does not watch it
///
/// Never blocks; any thread, also while others wait. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_poller_set(poller: sock_t, s: sock_t, interest: c_int, user: *mut c_void) -> c_int {
    boundary("poller_set", Subject::Handle(s), || poller::set(poller, s, self::interest(interest)?, user as usize)) as c_int
}

/// Stops watching a handle.
///
/// @param poller from sock_poller
/// @param s a handle that it watches
/// @return 0; SOCK_EINVAL if the poller does not watch it
///
/// Never blocks; any thread, also while others wait. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_poller_remove(poller: sock_t, s: sock_t) -> c_int {
    boundary("poller_remove", Subject::Handle(s), || poller::remove(poller, s)) as c_int
}

/// Waits until handles are ready.
///
/// @param poller from sock_poller
/// @param events receives at most `capacity` events; not NULL. A handle seldom has more than one.
/// @param capacity of `events`; 0 is SOCK_EINVAL. Events that do not fit are reported the next time,
///        in turn.
/// @param timeout_ms milliseconds; 0 = do not wait; SOCK_FOREVER = no limit
/// @return how many events; 0 if the time is over, which is not a failure here; SOCK_ECANCELED,
///         SOCK_ECLOSED
///
/// Blocks at most `timeout_ms`; any thread, also several at once: each event goes to one or more of
/// them. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_poller_wait(poller: sock_t, events: *mut sock_event, capacity: usize, timeout_ms: i64) -> i64 {
    boundary("poller_wait", Subject::Nothing, || {
        // SAFETY: C vouches for its array.
        let events = unsafe { room(events, capacity) }?;
        super::stream::check_time(timeout_ms)?;
        poller::wait(poller, events.len(), timeout_ms, |index, event| {
            if let Some(place) = events.get_mut(index) {
                *place = sock_event { socket: event.handle, user: event.user as *mut c_void, ready: event.ready, reserved: 0 };
            }
        })
    })
}

/// Wakes a poller: one sock_poller_wait, the one that is waiting or the next, gets the event
/// {poller, NULL, SOCK_WOKEN}. Waking it again before that changes nothing.
///
/// @param poller from sock_poller
/// @return 0
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_poller_wake(poller: sock_t) -> c_int {
    boundary("poller_wake", Subject::Nothing, || poller::wake(poller)) as c_int
}
