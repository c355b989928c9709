//! Unix sockets: paths.

use super::address::Address;
use super::error::{Code, Error, Result};
use super::listen;
use super::options::Options;
use super::registry::{self, Direction, Handle, Pinned};
use super::socket::Kind;
use super::wait;
use crate::sys::address::UnixName;
use crate::sys::socket::{self as system, Family, Type};
use crate::sys::{AsRawFd, Errno, OwnedFd, clock, file, process};
use std::sync::atomic::Ordering;

/// The path that a socket was bound to, unlinked when this is dropped while the socket is open, if it is still the same file
/// and this is still the process that made it: a forked child may close its copy without harm.
pub struct BoundPath {
    name: UnixName,
    file: file::Identity,
    process: u32,
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        let path = self.name.as_bytes();
        // While the socket is open its inode is not reused, and nobody takes the path over: it answers.
        if self.process == process::id() && file::status(path).is_ok_and(|status| status.identity == self.file) {
            let _ = file::unlink(path);
        }
    }
}

pub fn listen(name: UnixName, options: &Options) -> Result<Handle> {
    let socket = system::socket(Family::Unix, Type::Stream, 0)?;
    options.configure(socket.as_raw_fd())?;
    let bound = bind(&socket, name, options)?;
    listen::start(socket.as_raw_fd(), options)?;
    registry::insert(socket, Kind::Listener, options.io_timeout(), |socket| {
        socket.set_family(Family::Unix);
        socket.spin_us.store(options.spin_us, Ordering::Relaxed);
        let mut details = socket.details();
        details.inherited = options.inherited();
        details.bound = bound;
    })
}

/// Binds to a name, with the permissions that the options ask for and never any more, taking a stale path over.
pub fn bind(socket: &OwnedFd, name: UnixName, options: &Options) -> Result<Option<Box<BoundPath>>> {
    if !name.is_path() {
        if options.unix_mode != 0 || options.unix_replace > 0 {
            return Err(Error::invalid("options unix_mode and unix_replace are for paths"));
        }
        system::bind(socket.as_raw_fd(), &Address::Unix(name))?;
        return Ok(None);
    }
    let wanted = options.unix_mode as u32;
    if wanted != 0 {
        // What the umask takes from this is given back afterwards.
        file::set_mode(socket.as_raw_fd(), wanted)?;
    }
    match system::bind(socket.as_raw_fd(), &Address::Unix(name)) {
        Err(Errno::EADDRINUSE) => take_over(socket, name, options)?,
        bound => bound?,
    }
    let path = name.as_bytes();
    let status = file::status(path)?;
    let bound = Box::new(BoundPath { name, file: status.identity, process: process::id() });
    if wanted != 0 && status.mode != wanted {
        file::set_path_mode(path, status.identity, wanted)?;
    }
    Ok(Some(bound))
}

/// How long others may hold the lock of the directory that the path is in.
const PATIENCE: i64 = 5000;
/// How often somebody who does not lock may come between.
const ATTEMPTS: usize = 100;

/// Binds to a path that exists, if nobody answers there. Unlinking is done under a lock: of any number of processes that find a
/// stale path, one takes it over, and the others then find that one answering.
fn take_over(socket: &OwnedFd, name: UnixName, options: &Options) -> Result<()> {
    let in_use = || Error::new(Code::Exists).errno(Errno::EADDRINUSE);
    if options.unix_replace < 0 || occupant(name)? == Occupant::InUse {
        return Err(in_use());
    }
    let _locked = lock_directory(name.as_bytes())?;
    for _ in 0..ATTEMPTS {
        match occupant(name)? {
            Occupant::InUse => return Err(in_use()),
            Occupant::Stale => match file::unlink(name.as_bytes()) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno.into()),
            },
            Occupant::None => {}
        }
        match system::bind(socket.as_raw_fd(), &Address::Unix(name)) {
            Err(Errno::EADDRINUSE) => {}
            bound => return Ok(bound?),
        }
    }
    Err(Error::with(Code::Busy, "others keep taking the path"))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Occupant {
    None,
    /// A socket that no process holds any more.
    Stale,
    InUse,
}

/// Who is at a path. A datagram socket asks, for whatever its kind the answer disturbs nobody: a live stream is the wrong type
/// for it (EPROTOTYPE), even before it listens, and only what no process holds refuses.
fn occupant(name: UnixName) -> Result<Occupant> {
    match file::status(name.as_bytes()) {
        Ok(status) if status.is_socket => {}
        Ok(_) => return Ok(Occupant::InUse),
        Err(Errno::ENOENT) => return Ok(Occupant::None),
        Err(errno) => return Err(errno.into()),
    }
    let asking = system::socket(Family::Unix, Type::Datagram, 0)?;
    Ok(match system::connect(asking.as_raw_fd(), &Address::Unix(name)) {
        Err(Errno::ECONNREFUSED) => Occupant::Stale,
        Err(Errno::ENOENT) => Occupant::None,
        _ => Occupant::InUse,
    })
}

/// The lock is the directory's own (flock(2)): it leaves no file behind, and ends with its holder.
fn lock_directory(path: &[u8]) -> Result<OwnedFd> {
    let directory = file::open_directory_of(path)?;
    let end = wait::after(clock::now(), PATIENCE);
    while let Err(errno) = file::try_lock(&directory) {
        if errno != Errno::EAGAIN {
            return Err(errno.into());
        }
        if clock::now() >= end {
            return Err(Error::with(Code::Busy, "another process keeps the path's directory locked"));
        }
        wait::sleep_until(wait::after(clock::now(), 1))?;
    }
    Ok(directory)
}

/// What a closing handle still has to see to, while its descriptor is open: its path.
pub fn farewell(pinned: &Pinned) {
    super::poller::leave_all(pinned);
    let bound = pinned.socket().details().bound.take();
    drop(bound);
}

const SOCKETS: &[Kind] = &[Kind::Stream, Kind::Listener, Kind::Datagram];

/// The descriptor of a socket, for a look at it.
pub fn descriptor(handle: Handle) -> Result<i32> {
    Ok(registry::pin(handle, Direction::Read)?.expect(SOCKETS)?.descriptor())
}
