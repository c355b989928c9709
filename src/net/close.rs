//! The ends of a connection: shutting a direction down, closing, closing with a reset, and closing once the peer has ended too.

use super::error::{Code, Error, Result};
use super::registry::{self, Direction, Directions, Handle, Pinned};
use super::socket::{Kind, WITH_PEER};
use super::wait::{self, Call, NEVER};
use super::{local, poller, server, stream};
use crate::sys::socket::{self as system, Shutdown};
use crate::sys::{Errno, clock, option};
use std::sync::atomic::Ordering;

pub fn shutdown(handle: Handle, directions: Directions) -> Result<()> {
    let pinned = registry::pin(handle, Direction::Write)?.expect(WITH_PEER)?;
    if pinned.socket().kind() == Kind::Datagram {
        // shutdown(2) of an unconnected one fails, but still makes its readers return with nothing.
        system::peer_address(pinned.descriptor())?;
    }
    let how = match directions {
        Directions { read: true, write: true } => Shutdown::Both,
        Directions { read: true, .. } => Shutdown::Read,
        Directions { .. } => Shutdown::Write,
    };
    let mut ended = directions.of(&pinned);
    match system::shutdown(pinned.descriptor(), how) {
        Ok(()) => ended.for_each(|side| side.shut.store(true, Ordering::SeqCst)),
        // The peer has ended its direction too, so nothing is left of the connection: doing it twice is still not an error.
        Err(Errno::ENOTCONN) if ended.all(|side| side.shut.load(Ordering::SeqCst)) => {}
        Err(errno) => return Err(errno.into()),
    }
    pinned.alarm();
    Ok(())
}

/// What a closing handle still has to see to, while its descriptor is open: the pollers that watch it, and its path.
pub fn farewell(closer: &Pinned) {
    poller::leave_all(closer);
    local::leave_path(closer);
}

/// Closes a handle of any kind.
pub fn close(handle: Handle) -> Result<()> {
    close_until(handle, NEVER)
}

/// The same; lingers only until a point in time.
pub fn close_until(handle: Handle, end: i64) -> Result<()> {
    let mut stopped = None;
    registry::close(handle, |closer| {
        farewell(closer);
        stopped = server::take(closer);
        linger(closer, end);
    })?;
    match stopped {
        Some(server) => server.stop(0).map(drop),
        None => Ok(()),
    }
}

/// Milliseconds between checks of what the peer has confirmed, which nothing reports.
pub const LOOK: i64 = 10;

/// Waits for unsent data if SOCK_OPT_LINGER_MS asks for it, but not beyond `most`. close(2) would block whoever leaves the handle
/// last: another call, or a worker with all its fibers.
#[inline(never)]
pub fn linger(closer: &Pinned, most: i64) {
    let (socket, descriptor) = (closer.socket(), closer.descriptor());
    if !socket.lingers.load(Ordering::Relaxed) || closer.is_inherited() {
        return;
    }
    let Ok(Some(seconds @ 1..)) = option::linger(descriptor) else { return };
    closer.alarm();
    let end = wait::after(clock::now(), i64::from(seconds) * 1000).min(most);
    let waits = || {
        let lives = option::tcp_info(descriptor).is_ok_and(|info| !info.closed);
        lives && clock::now() < end && system::unsent(descriptor).is_ok_and(|bytes| bytes > 0)
    };
    while waits() && wait::sleep_until(end.min(wait::after(clock::now(), LOOK))).is_ok() {}
    let _ = option::set_linger(descriptor, None);
}

/// Whether SOCK_OPT_LINGER_MS asks for a reset: whoever closes then has nothing to see to.
pub fn resets(closer: &Pinned) -> bool {
    closer.socket().lingers.load(Ordering::Relaxed) && matches!(option::linger(closer.descriptor()), Ok(Some(0)))
}

/// Closes with a reset.
pub fn abort(handle: Handle) -> Result<()> {
    let pinned = registry::pin(handle, Direction::Write)?.expect(&[Kind::Stream])?;
    // Unix sockets have no linger; closing them is all there is.
    let reset = option::set_linger(pinned.descriptor(), Some(0));
    drop(pinned);
    close(handle)?;
    match reset {
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOPROTOOPT | Errno::EINVAL) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Sends FIN, reads and drops data until the peer's FIN, and closes in any case.
pub fn finish(handle: Handle, timeout: i64) -> Result<()> {
    let end = wait::after(clock::now(), timeout);
    let drained = drain(handle, end);
    if drained.as_ref().is_err_and(|error| matches!(error.code, Code::BadHandle | Code::WrongKind)) {
        return drained;
    }
    // Somebody else's close ends this call like any other.
    let closed = close_until(handle, end).map_err(|_| Error::new(Code::Closed));
    drained.and(closed)
}

/// More than any receive buffer holds by default, in reads.
const LAST_READS: usize = 4096;

fn drain(handle: Handle, end: i64) -> Result<()> {
    drop(registry::pin(handle, Direction::Write)?.expect(&[Kind::Stream])?);
    let mut call = Call::until(end);
    shutdown(handle, Directions { read: false, write: true })
        .or_else(|error| if error.code == Code::NotConnected { Ok(()) } else { Err(error) })?;
    let pinned = registry::pin_for_turn(handle, Direction::Read, &[Kind::Stream], &mut call)?;
    let mut dropped = [0; 4096];
    let mut late = 0;
    while stream::read_some(&pinned, &mut call, &mut dropped)? > 0 {
        // What is there by the end is dropped too, but a peer that never lets this call wait must not keep it going.
        late += usize::from(wait::has_come(end));
        if late > LAST_READS {
            return Err(Error::new(Code::TimedOut));
        }
    }
    Ok(())
}
