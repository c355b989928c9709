//! Descriptors that come from elsewhere, or go there: adopting, handing over, and those that systemd passes to a service.

use super::error::{Code, Error, Result};
use super::joined;
use super::lock::lock;
use super::options::Inherited;
use super::poller;
use super::registry::{self, Direction, Handle, Pinned};
use super::socket::{Kind, SOCKETS, Socket};
use crate::sys::address::Address;
use crate::sys::socket::{self as system, Family, Type};
use crate::sys::{Errno, RawFd, descriptor, option, process};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// The descriptor of a socket, for a look at it.
pub fn descriptor_of(handle: Handle) -> Result<RawFd> {
    Ok(registry::pin(handle, Direction::Read)?.expect(SOCKETS)?.descriptor())
}

/// Makes a handle of a socket. On failure the descriptor is as it was.
pub fn adopt(socket: RawFd) -> Result<Handle> {
    let kind = option::get(socket, option::KIND).map_err(|errno| match errno {
        Errno::EBADF => Error::invalid("the descriptor is not open").errno(errno),
        Errno::ENOTSOCK => Error::invalid("the descriptor is not a socket").errno(errno),
        errno => errno.into(),
    })?;
    let packets = kind != Type::Stream as i32;
    if !matches!(kind, STREAM | DATAGRAM | PACKETS | RAW) {
        return Err(Error::with(Code::NotSupported, "a socket of a type that is neither stream nor datagram"));
    }
    let accepting = option::get(socket, option::ACCEPTING)? != 0;
    let connections = if packets { Kind::Datagram } else { Kind::Stream };
    let family = option::get(socket, option::DOMAIN)?;
    let family = [Family::Unix, Family::V4, Family::V6].into_iter().find(|known| *known as i32 == family);
    let blocking = !system::is_nonblocking(socket)?;
    let inheritable = !descriptor::is_close_on_exec(socket)?;
    let handle = registry::adopt(socket, if accepting { Kind::Listener } else { connections }, -1, |place| {
        if let Some(family) = family {
            place.set_family(family);
        }
        place.adopted_blocking.store(blocking, Ordering::Relaxed);
        place.adopted_inheritable.store(inheritable, Ordering::Relaxed);
        place.lingers.store(true, Ordering::Relaxed);
        let mut details = place.details();
        details.inherited = Inherited { kind: connections, ..Inherited::default() };
        if packets {
            joined::adopt(place, socket);
        } else {
            details.peer = system::peer_address(socket).ok().map(Address::unmapped);
        }
    })?;
    if inheritable {
        // It worked a moment ago for reading the flag.
        let _ = descriptor::set_close_on_exec(socket, true);
    }
    Ok(handle)
}

const STREAM: i32 = Type::Stream as i32;
const DATAGRAM: i32 = Type::Datagram as i32;
const PACKETS: i32 = Type::SequencedPacket as i32;
const RAW: i32 = Type::Raw as i32;

/// Ends a handle without closing its descriptor, which is as it was when the handle was made.
pub fn release(handle: Handle) -> Result<RawFd> {
    let (socket, _) = registry::look(handle).ok_or(Error::new(Code::BadHandle))?;
    if !SOCKETS.contains(&socket.kind()) {
        return Err(socket.kind().refused());
    }
    // Also before the handle is claimed: a server that accepts would only look like another call.
    may_release(socket)?;
    registry::release(handle, may_release, hand_over)
}

fn may_release(socket: &Socket) -> Result<()> {
    socket.check_unserved()?;
    if socket.buffered() > 0 {
        return Err(Error::with(Code::Busy, "bytes have been read ahead"));
    }
    Ok(())
}

fn hand_over(pinned: &Pinned) {
    poller::leave_all(pinned);
    let socket = pinned.socket();
    if let Some(bound) = &mut socket.details().bound {
        bound.leave();
    }
    joined::stop(pinned);
    if socket.adopted_inheritable.load(Ordering::Relaxed) {
        let _ = descriptor::set_close_on_exec(pinned.descriptor(), false);
    }
}

/// The first descriptor that a service manager passes: SD_LISTEN_FDS_START.
const FIRST: RawFd = 3;

/// What has been made of the passed descriptors, in their order, in the process that asked: handles, and codes for what is not a
/// socket.
static TAKEN: Mutex<(u32, Vec<Handle>)> = Mutex::new((0, Vec::new()));

/// Fills `out` with the sockets passed by systemd's protocol (sd_listen_fds(3)), as many as fit. Returns how many there are.
pub fn inherited(out: &mut [Handle]) -> Result<usize> {
    let count = passed()?;
    if count == 0 {
        return Ok(0);
    }
    let mut taken = lock(&TAKEN);
    if taken.0 != process::id() {
        *taken = (process::id(), Vec::new());
    }
    let list = &mut taken.1;
    for index in list.len()..count.min(out.len()) {
        list.try_reserve(1)?;
        list.push(match adopt(FIRST + index as RawFd) {
            Err(error) if !matches!(error.code, Code::InvalidArgument | Code::NotSupported | Code::Busy) => return Err(error),
            Err(error) => error.code as Handle,
            Ok(handle) => handle,
        });
    }
    for (place, handle) in out.iter_mut().zip(list.iter()) {
        *place = *handle;
    }
    Ok(count)
}

/// How many descriptors were passed to this process.
fn passed() -> Result<usize> {
    let number = |name| process::variable(name, |text| std::str::from_utf8(text).ok()?.parse::<u32>().ok());
    let (Some(owner), Some(count)) = (number(c"LISTEN_PID"), number(c"LISTEN_FDS")) else {
        return Ok(0);
    };
    if owner != Some(process::id()) {
        return Ok(0);
    }
    let most = (RawFd::MAX - FIRST) as u32;
    let count = count.filter(|count| *count <= most);
    count.map(|count| count as usize).ok_or(Error::invalid("LISTEN_FDS is not a number of descriptors"))
}
