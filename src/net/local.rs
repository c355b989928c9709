//! Unix sockets: paths, credentials, and descriptors that travel with the bytes.

use super::address::Address;
use super::datagram;
use super::error::{Code, Error, Result};
use super::listen;
use super::options::Options;
use super::registry::{self, Direction, Handle, Pinned};
use super::socket::{Kind, Socket, WITH_PEER};
use super::wait::{self, Call};
use crate::sys::address::UnixName;
use crate::sys::descriptor::{self, Credentials};
use crate::sys::memory::boxed;
use crate::sys::socket::{self as system, Family, Type};
use crate::sys::{AsRawFd, Errno, OwnedFd, RawFd, clock, file, process};

/// The path that a socket was bound to, unlinked when this is dropped while the socket is open, if it is still the same file
/// and this is still the process that made it: a forked child may close its copy without harm.
pub struct BoundPath {
    name: UnixName,
    /// The same as an absolute path, for when the process changes its directory; empty if the name is absolute.
    absolute: Vec<u8>,
    file: file::Identity,
    process: u32,
}

impl BoundPath {
    /// Leaves the path to somebody else.
    pub fn leave(&mut self) {
        self.process = 0;
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        if self.process != process::id() {
            return;
        }
        // While the socket is open its inode is not reused, and nobody takes the path over: it answers.
        let is_own = |path: &&[u8]| file::status(path).is_ok_and(|status| status.identity == self.file);
        let paths = [self.name.as_bytes(), &self.absolute];
        if let Some(path) = paths.iter().find(|path| is_own(path)) {
            let _ = file::unlink(path);
        }
    }
}

/// Two connected unix streams.
pub fn pair() -> Result<(Handle, Handle)> {
    let (one, other) = system::socketpair(Type::Stream)?;
    let prepare = |socket: &Socket| socket.set_family(Family::Unix);
    let one = registry::insert(one, Kind::Stream, -1, prepare)?;
    match registry::insert(other, Kind::Stream, -1, prepare) {
        Ok(other) => Ok((one, other)),
        Err(error) => {
            registry::close(one, |_| {})?;
            Err(error)
        }
    }
}

pub fn listen(name: UnixName, options: &Options) -> Result<Handle> {
    options.check_unix()?;
    listen::check_family(&Address::Unix(name), options)?;
    let socket = system::socket(Family::Unix, Type::Stream, 0)?;
    options.configure(socket.as_raw_fd())?;
    let bound = bind(&socket, name, options)?;
    listen::start(socket.as_raw_fd(), options)?;
    listen::insert(socket, Family::Unix, options, bound)
}

/// Binds to a name, with the permissions that the options ask for and never any more, taking a stale path over.
pub fn bind(socket: &OwnedFd, name: UnixName, options: &Options) -> Result<Option<Box<BoundPath>>> {
    if !name.is_path() {
        if options.unix_mode != 0 || options.unix_replace != 0 {
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
    let is_relative = !path.starts_with(b"/");
    // If the directory has no name, the relative path has to do.
    let absolute = if is_relative { file::absolute(path).unwrap_or_default() } else { Vec::new() };
    let bound = boxed(BoundPath { name, absolute, file: status.identity, process: process::id() })?;
    if wanted != 0 && status.mode != wanted {
        file::set_path_mode(path, wanted)?;
    }
    Ok(Some(bound))
}

/// How long others may hold the lock of the directory that the path is in.
const PATIENCE: i64 = 5000;
/// How often a process that does not lock may come in between.
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
    Err(Error::with(Code::Busy, "other processes keep taking the path"))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Occupant {
    None,
    /// A socket that no process holds any more.
    Stale,
    InUse,
}

/// Who is at a path. A datagram socket asks, because that disturbs nobody, whatever is there: a live stream is the wrong type for
/// it (EPROTOTYPE), even before it listens, and only a socket that no process holds refuses.
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

/// A handle is closing: its path is unlinked.
pub fn leave_path(pinned: &Pinned) {
    // A forked child must not unlink the path, and a thread of the parent may have had the lock at the fork.
    if pinned.socket().family() == Some(Family::Unix) && !pinned.is_inherited() {
        let bound = pinned.socket().details().bound.take();
        drop(bound);
    }
}

fn expect_unix(pinned: &Pinned) -> Result<()> {
    match pinned.socket().family() {
        Some(Family::Unix) => Ok(()),
        _ => Err(Error::with(Code::NotSupported, "only unix sockets can do this")),
    }
}

/// Who is at the other end.
pub fn peer_credentials(handle: Handle) -> Result<Credentials> {
    let pinned = registry::pin(handle, Direction::Read)?.expect(WITH_PEER)?;
    expect_unix(&pinned)?;
    let credentials = descriptor::peer_credentials(pinned.descriptor())?;
    if credentials.uid == u32::MAX && credentials.pid == 0 {
        return Err(Error::with(Code::NotConnected, "the socket was not connected by a call that leaves credentials"));
    }
    Ok(credentials)
}

/// Whether it is a unix stream, and not a unix datagram socket. Fails for what is neither.
fn is_unix_stream(handle: Handle) -> Result<bool> {
    let pinned = registry::pin(handle, Direction::Read)?.expect(WITH_PEER)?;
    expect_unix(&pinned)?;
    Ok(pinned.socket().kind() == Kind::Stream)
}

/// All of `bytes`, with `passed` traveling with the first of them.
pub fn send_descriptors(handle: Handle, bytes: &[u8], passed: &[RawFd]) -> Result<usize> {
    if passed.len() > descriptor::MOST {
        return Err(Error::invalid("a message carries at most 253 descriptors"));
    }
    if bytes.is_empty() && is_unix_stream(handle)? {
        let nothing = passed.is_empty();
        return if nothing { Ok(0) } else { Err(Error::invalid("on a stream, descriptors must be sent with at least one byte")) };
    }
    let mut call = Call::new();
    let pinned = registry::pin_for_turn(handle, Direction::Write, WITH_PEER, &mut call)?;
    expect_unix(&pinned)?;
    pinned.socket().check_fatal()?;
    let mut done = 0;
    loop {
        let sent = match done {
            0 => descriptor::send(pinned.descriptor(), bytes, passed),
            _ => system::send(pinned.descriptor(), &bytes[done..]),
        };
        match sent {
            Ok(length) => {
                pinned.count(length);
                done += length;
                if done >= bytes.len() {
                    return Ok(done);
                }
            }
            Err(Errno::EAGAIN) => call.ready(&pinned).map_err(|error| error.after(done))?,
            Err(Errno::EBADF) => return Err(Error::invalid("one of the descriptors is not open").errno(Errno::EBADF)),
            Err(errno) => return Err(pinned.transfer_error(errno).after(done)),
        }
    }
}

/// What is there, and the descriptors that came with it; `count` says how many of those, even if something was cut.
pub fn receive_descriptors(handle: Handle, buffer: &mut [u8], passed: &mut [RawFd], count: &mut usize) -> Result<usize> {
    if buffer.is_empty() && is_unix_stream(handle)? {
        return Ok(0);
    }
    let mut call = Call::new();
    let pinned = registry::pin_for_turn(handle, Direction::Read, WITH_PEER, &mut call)?;
    expect_unix(&pinned)?;
    let socket = pinned.socket();
    let stream = socket.kind() == Kind::Stream;
    if stream && socket.buffered() > 0 {
        return Ok(socket.with_read_ahead(|ahead| ahead.take(buffer)));
    }
    socket.check_fatal()?;
    let received = loop {
        match descriptor::receive(pinned.descriptor(), buffer, passed) {
            Ok(received) => break received,
            Err(Errno::EAGAIN) if !stream && datagram::is_shut(&pinned) => return Ok(0),
            Err(Errno::EAGAIN) => call.ready(&pinned)?,
            Err(errno) => return Err(pinned.transfer_error(errno)),
        }
    };
    if stream {
        pinned.received(received.length)?;
    } else {
        datagram::note_end(&pinned, received.length);
        pinned.count(received.length);
    }
    *count = received.count;
    match received.cut {
        true => Err(Error::new(Code::Truncated).after(received.length)),
        false => Ok(received.length),
    }
}
