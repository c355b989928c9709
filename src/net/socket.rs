//! One socket: its descriptor and kind, and what is remembered about it. Everything here is shared by all threads.

use super::error::{Code, Error, Result};
use super::lock::lock;
use super::read_ahead::ReadAhead;
use super::registry::{Direction, Pinned};
use super::worker::Reactor;
use crate::sys::address::Address;
use crate::sys::shared::Shared;
use crate::sys::socket::{self as system, Family};
use crate::sys::{Errno, RawFd, option};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    Stream = 1,
    Listener = 2,
    Datagram = 3,
    Poller = 4,
    Server = 5,
}

/// The kinds that are sockets.
pub const SOCKETS: &[Kind] = &[Kind::Stream, Kind::Listener, Kind::Datagram];
/// Those of them that have a peer, or may have.
pub const WITH_PEER: &[Kind] = &[Kind::Stream, Kind::Datagram];

/// Each time so many bytes have moved in one direction, as a power of two, a fiber lets others run.
const BREATH: u32 = 12;

impl Kind {
    fn from_number(number: u8) -> Kind {
        match number {
            1 => Kind::Stream,
            2 => Kind::Listener,
            3 => Kind::Datagram,
            4 => Kind::Poller,
            _ => Kind::Server,
        }
    }

    /// What a call says that this kind of handle has no use for.
    #[cold]
    pub fn refused(self) -> Error {
        let told = match self {
            Kind::Stream => "the wrong kind of handle for this call: a stream",
            Kind::Listener => "the wrong kind of handle for this call: a listener",
            Kind::Datagram => "the wrong kind of handle for this call: a datagram socket",
            Kind::Poller => "the wrong kind of handle for this call: a poller",
            Kind::Server => "the wrong kind of handle for this call: a server",
        };
        Error::with(Code::WrongKind, told)
    }
}

pub struct Socket {
    descriptor: AtomicI32,
    kind: AtomicU8,
    /// `Family` as a number; 0 where there is none.
    family: AtomicU8,
    /// The open file was in blocking mode when it was adopted, and may be shared with others who rely on that.
    pub adopted_blocking: AtomicBool,
    /// It was put into non-blocking mode all the same, to be put back.
    mode_changed: AtomicBool,
    /// The descriptor was not close-on-exec when it was adopted.
    pub adopted_inheritable: AtomicBool,
    /// A stream that no error has ended: `kind` and `fatal` at one look.
    flows: AtomicBool,
    /// SO_LINGER may be set.
    pub lingers: AtomicBool,
    /// The error that ended the connection, once a call has reported it; 0: none.
    fatal: AtomicI32,
    /// An error that a batch of datagrams met after some of them: the next call reports it. 0: none.
    unreported: AtomicI32,
    /// Whether datagrams arrive joined (`joined.rs`).
    pub arrival: AtomicU8,
    /// How long a call polls in a loop before it sleeps.
    pub spin_us: AtomicI64,
    /// Bytes in the read-ahead, for those who only want to know.
    buffered: AtomicUsize,
    /// The process whose pollers watch it, or have, as `process::generation` counts them; 0: none.
    pub watched: AtomicU32,
    /// A server accepts on it; nobody else may.
    pub serving: AtomicBool,
    /// A worker watches it: `Details::reactor`.
    registered: AtomicBool,
    details: Mutex<Details>,
}

/// What no fast path needs.
#[derive(Default)]
pub struct Details {
    pub read_ahead: ReadAhead,
    /// Remembered from open or accept.
    pub peer: Option<Address>,
    /// A listener's path, to be unlinked if it is still its own.
    pub bound: Option<Box<super::local::BoundPath>>,
    /// Datagrams that arrived joined and are handed out one by one.
    pub joined: Option<Box<super::joined::Joined>>,
    pub resolve_us: i64,
    pub connect_us: i64,
    pub attempts: u32,
    pub poller: Option<Shared<super::poller::Poller>>,
    /// The pollers that watch this handle.
    pub registrations: Vec<super::poller::Registration>,
    /// The worker that watches it for the fibers.
    pub reactor: Option<Shared<Reactor>>,
    pub server: Option<Shared<super::server::Server>>,
    /// What a listener hands to the connections it accepts.
    pub inherited: super::options::Inherited,
}

impl Socket {
    pub fn new() -> Socket {
        Socket {
            descriptor: AtomicI32::new(-1),
            kind: AtomicU8::new(0),
            family: AtomicU8::new(0),
            adopted_blocking: AtomicBool::new(false),
            mode_changed: AtomicBool::new(false),
            adopted_inheritable: AtomicBool::new(false),
            flows: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            fatal: AtomicI32::new(0),
            unreported: AtomicI32::new(0),
            arrival: AtomicU8::new(0),
            spin_us: AtomicI64::new(0),
            buffered: AtomicUsize::new(0),
            watched: AtomicU32::new(0),
            serving: AtomicBool::new(false),
            registered: AtomicBool::new(false),
            details: Mutex::new(Details::default()),
        }
    }

    /// Begins anew, for another handle. Every field is named, so that the compiler reports one that would keep what the last handle
    /// left.
    pub fn open(&self, opened: RawFd, of_kind: Kind) {
        let Socket {
            descriptor,
            kind,
            family,
            adopted_blocking,
            mode_changed,
            adopted_inheritable,
            flows,
            lingers,
            fatal,
            unreported,
            arrival,
            spin_us,
            buffered,
            watched,
            serving,
            registered,
            details: _, // emptied by `close`
        } = self;
        descriptor.store(opened, Ordering::Relaxed);
        kind.store(of_kind as u8, Ordering::Relaxed);
        flows.store(of_kind == Kind::Stream, Ordering::Relaxed);
        family.store(0, Ordering::Relaxed);
        adopted_blocking.store(false, Ordering::Relaxed);
        mode_changed.store(false, Ordering::Relaxed);
        adopted_inheritable.store(false, Ordering::Relaxed);
        lingers.store(false, Ordering::Relaxed);
        serving.store(false, Ordering::Relaxed);
        registered.store(false, Ordering::Relaxed);
        arrival.store(0, Ordering::Relaxed);
        fatal.store(0, Ordering::Relaxed);
        unreported.store(0, Ordering::Relaxed);
        spin_us.store(0, Ordering::Relaxed);
        buffered.store(0, Ordering::Relaxed);
        watched.store(0, Ordering::Relaxed);
    }

    /// Before a system call that cannot be told not to wait: makes sure that it does not. Others may have the open file too, and
    /// change its mode back.
    #[inline]
    pub fn keep_from_blocking(&self) -> Result<()> {
        if self.adopted_blocking.load(Ordering::Relaxed) && !system::is_nonblocking(self.descriptor())? {
            self.mode_changed.store(true, Ordering::Relaxed);
            system::set_nonblocking(self.descriptor(), true)?;
        }
        Ok(())
    }

    /// Puts the open file back into the mode in which it was adopted. No call is inside.
    pub fn restore_mode(&self) {
        if self.mode_changed.load(Ordering::Relaxed) {
            let _ = system::set_nonblocking(self.descriptor(), false);
        }
    }

    /// Forgets everything and returns the descriptor that was here.
    pub fn close(&self) -> RawFd {
        let details = std::mem::take(&mut *self.details());
        let descriptor = self.descriptor.swap(-1, Ordering::Relaxed);
        if let Some(reactor) = details.reactor {
            // Closing alone would not be enough if the open file lives on in another descriptor.
            reactor.forget(descriptor);
        }
        descriptor
    }

    /// Whether a worker watches it.
    #[inline]
    pub fn is_registered(&self) -> bool {
        self.registered.load(Ordering::Acquire)
    }

    /// Has a worker watch it by `watch`, unless one does already. The caller has pinned it.
    pub fn register(&self, reactor: &Shared<Reactor>, watch: impl FnOnce(&Reactor, RawFd) -> Result<()>) -> Result<()> {
        let mut details = self.details();
        if details.reactor.is_none() {
            watch(reactor, self.descriptor())?;
            details.reactor = Some(reactor.clone());
            self.registered.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// That worker watches it no more. False if it did not.
    pub fn unregister(&self, reactor: &Shared<Reactor>) -> bool {
        if !self.is_registered() {
            return false;
        }
        let mut details = self.details();
        if details.reactor.as_ref() != Some(reactor) {
            return false;
        }
        self.registered.store(false, Ordering::Release);
        details.reactor = None;
        reactor.forget(self.descriptor());
        true
    }

    #[inline]
    pub fn descriptor(&self) -> RawFd {
        self.descriptor.load(Ordering::Relaxed)
    }

    #[inline]
    pub fn kind(&self) -> Kind {
        Kind::from_number(self.kind.load(Ordering::Relaxed))
    }

    pub fn set_family(&self, family: Family) {
        self.family.store(family as i32 as u8, Ordering::Relaxed);
    }

    pub fn family(&self) -> Option<Family> {
        let number = i32::from(self.family.load(Ordering::Relaxed));
        [Family::Unix, Family::V4, Family::V6].into_iter().find(|family| *family as i32 == number)
    }

    pub fn details(&self) -> MutexGuard<'_, Details> {
        lock(&self.details)
    }

    /// How many bytes have been read ahead.
    #[inline]
    pub fn buffered(&self) -> usize {
        self.buffered.load(Ordering::Relaxed)
    }

    /// Works on the read-ahead and keeps the count of its bytes. The caller has the turn to read. No lock is held meanwhile: a child
    /// that is forked amid the work, which may be a system call, would find it locked for ever.
    pub fn with_read_ahead<T>(&self, work: impl FnOnce(&mut ReadAhead) -> T) -> T {
        let mut ahead = std::mem::take(&mut self.details().read_ahead);
        let result = work(&mut ahead);
        let length = ahead.len();
        let mut details = self.details();
        details.read_ahead = ahead;
        self.set_buffered(&details, length);
        result
    }

    /// Notes how many bytes are inside the library, for the pollers too.
    pub fn set_buffered(&self, details: &Details, length: usize) {
        self.buffered.store(length, Ordering::Relaxed);
        if length > 0 && self.watched.load(Ordering::Relaxed) != 0 {
            super::poller::read_ahead(&details.registrations);
        }
    }

    /// Fails if a server has the listener: nobody else may accept on it then, nor take it away.
    pub fn check_unserved(&self) -> Result<()> {
        match self.serving.load(Ordering::Relaxed) {
            true => Err(Error::with(Code::Busy, "a server is using the listener")),
            false => Ok(()),
        }
    }

    /// Fails with the error that ended the connection, if one has been reported.
    #[inline]
    pub fn check_fatal(&self) -> Result<()> {
        match self.fatal.load(Ordering::Relaxed) {
            0 => Ok(()),
            errno => Err(Errno(errno).into()),
        }
    }

    #[inline]
    pub fn is_tcp(&self) -> bool {
        let family = self.family.load(Ordering::Relaxed);
        self.kind() == Kind::Stream && (family == Family::V4 as u8 || family == Family::V6 as u8)
    }

    pub fn is_unix_stream(&self) -> bool {
        self.kind() == Kind::Stream && self.family() == Some(Family::Unix)
    }

    /// Whether it is a stream that no error has ended.
    #[inline]
    pub fn flows(&self) -> bool {
        self.flows.load(Ordering::Relaxed)
    }

    /// Fails, once, with what [`Socket::report_later`] was told.
    #[inline]
    pub fn check_unreported(&self) -> Result<()> {
        if self.unreported.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        match self.unreported.swap(0, Ordering::Relaxed) {
            0 => Ok(()),
            errno => Err(Errno(errno).into()),
        }
    }

    /// Keeps an error for the next call, if this one has moved something.
    pub fn report_later(&self, errno: Errno) {
        self.unreported.store(errno.0, Ordering::Relaxed);
    }
}

impl Pinned {
    /// The error of a transfer, remembered if the connection cannot outlive it: a reset stays a reset.
    #[cold]
    pub fn transfer_error(&self, errno: Errno) -> Error {
        if errno == Errno::EAGAIN {
            return Error::new(Code::WouldBlock);
        }
        let socket = self.socket();
        let errno = match (errno, socket.fatal.load(Ordering::Relaxed)) {
            // The kernel has reported the reason to another call.
            (Errno::EPIPE, fatal) if fatal != 0 => Errno(fatal),
            // What send(2) says of a TCP socket that was never connected, and recv(2) of such a unix stream.
            (Errno::EPIPE, _) if socket.is_tcp() && self.was_never_connected() => Errno::ENOTCONN,
            (Errno::EINVAL, _) if socket.is_unix_stream() && self.direction() == Direction::Read => Errno::ENOTCONN,
            _ => errno,
        };
        let fatal = matches!(
            errno,
            Errno::ECONNRESET
                | Errno::ECONNREFUSED
                | Errno::ECONNABORTED
                | Errno::ETIMEDOUT
                | Errno::ENETRESET
                | Errno::EHOSTUNREACH
                | Errno::ENETUNREACH
        );
        if fatal && socket.kind() == Kind::Stream {
            socket.fatal.store(errno.0, Ordering::Relaxed);
            socket.flows.store(false, Ordering::Relaxed);
            self.sides().iter().for_each(|side| side.ended.store(true, Ordering::Relaxed));
        } else if errno == Errno::EPIPE {
            self.side().ended.store(true, Ordering::Relaxed);
        }
        errno.into()
    }

    /// As far as anybody can tell: it has no peer now, none is remembered, and nothing has gone to one.
    fn was_never_connected(&self) -> bool {
        self.side().bytes.load(Ordering::Relaxed) == 0
            && self.socket().details().peer.is_none()
            && system::peer_address(self.descriptor()).is_err()
    }

    /// Counts received bytes, of which none are the end of the stream, and returns how many. The caller has the turn to read.
    #[inline(always)]
    pub fn received(&self, bytes: usize) -> Result<usize> {
        if bytes == 0 {
            self.check_end()?;
            // After a last line without an end, which comes first, the next call reports the end.
            self.side().ended.store(self.socket().buffered() == 0, Ordering::Relaxed);
        }
        self.count(bytes);
        Ok(bytes)
    }

    /// Makes sure that what the kernel reported as the end of the stream is one. The kernel reports a reset once, to one call: if a
    /// writer has got it, readers see what looks like a clean end.
    #[cold]
    pub fn check_end(&self) -> Result<()> {
        let (socket, [_, writing]) = (self.socket(), self.sides());
        // A writer that has left has noted the reset, because it does so before it gives its turn back: hence this order.
        let has_writer = writing.gate.is_taken();
        socket.check_fatal()?;
        // One that is inside may be about to. TCP knows: while nobody here has ended the writing direction, nothing but a reset
        // brings a connection into the state "closed".
        let reset = has_writer
            && socket.is_tcp()
            && !writing.shut.load(Ordering::SeqCst)
            && option::tcp_info(self.descriptor()).is_ok_and(|info| info.closed);
        if reset { Err(self.transfer_error(Errno::ECONNRESET)) } else { Ok(()) }
    }

    /// Counts bytes that this call has moved. The caller has the turn of its direction.
    #[inline(always)]
    pub fn count(&self, bytes: usize) {
        let counter = &self.side().bytes;
        let before = counter.load(Ordering::Relaxed);
        let after = before.wrapping_add(bytes as u64);
        counter.store(after, Ordering::Relaxed);
        breathe_between(before, after);
    }
}

/// Lets other fibers run now and then while the count of a direction's bytes grows: one whose peer never lets it wait must not keep
/// them waiting.
#[inline(always)]
pub fn breathe_between(before: u64, after: u64) {
    if (before ^ after) >> BREATH != 0 {
        super::worker::breathe();
    }
}
