//! Unix sockets: paths.

use super::address::Address;
use super::error::{Code, Error, Result};
use super::listen;
use super::options::Options;
use super::registry::{self, Handle, Pinned};
use super::socket::Kind;
use crate::sys::address::UnixName;
use crate::sys::file;
use crate::sys::socket::{self as system, Family, Type};
use crate::sys::{AsRawFd, Errno};
use std::sync::atomic::Ordering;

/// The path of a listener, and which file it was when it was bound.
pub struct BoundPath {
    name: UnixName,
    file: file::Identity,
}

pub fn listen(name: UnixName, options: &Options) -> Result<Handle> {
    let socket = system::socket(Family::Unix, Type::Stream, 0)?;
    options.configure(socket.as_raw_fd())?;
    system::bind(socket.as_raw_fd(), &Address::Unix(name)).map_err(|errno| match errno {
        Errno::EADDRINUSE if name.is_path() => Error::new(Code::Exists).errno(errno),
        errno => errno.into(),
    })?;
    let bound = if name.is_path() { file::identity(name.as_bytes()).ok() } else { None };
    let bound = bound.map(|file| Box::new(BoundPath { name, file }));
    listen::start(socket.as_raw_fd(), options)?;
    registry::insert(socket, Kind::Listener, options.io_timeout(), |socket| {
        socket.set_family(Family::Unix);
        socket.spin_us.store(options.spin_us, Ordering::Relaxed);
        let mut details = socket.details();
        details.inherited = options.inherited();
        details.bound = bound;
    })
}

/// What a closing handle still has to see to: a listener unlinks its path if that is still the file it made.
pub fn farewell(pinned: &Pinned) {
    super::poller::leave_all(pinned);
    let bound = pinned.socket().details().bound.take();
    if let Some(bound) = bound
        && file::identity(bound.name.as_bytes()) == Ok(bound.file)
    {
        let _ = file::unlink(bound.name.as_bytes());
    }
}
