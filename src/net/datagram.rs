//! Datagrams: UDP and unix, one by one and in batches.
//!
//! Several threads may send and receive at once: calls take no turns, but for those that share a [`Joined`] datagram.
//!
//! Datagrams that the kernel joins (UDP_GRO) must not reach a caller who cannot tell them apart. So the first receiving call
//! on a handle decides for good: a batch whose every buffer holds the longest datagram turns joining on, any other call leaves it
//! off. Where it is on, calls that take one datagram get it from a buffer inside the library that the joined one went to.

use super::address::{self, Address, Text};
use super::connect;
use super::error::{Code, Error, Result};
use super::listen::{self, family_of};
use super::local;
use super::name::{Host, Protocol, Request, Target, interface_number};
use super::options::{Options, Use};
use super::race;
use super::registry::{self, Direction, Handle, Pinned};
use super::socket::{Kind, Socket, breathe_between};
use super::wait::Call;
use crate::sys::datagram::{self as system, Datagram, Endpoint, LONGEST, LONGEST_V4};
use crate::sys::memory::boxed;
use crate::sys::part::{Part, PartMut};
use crate::sys::socket::{self, Family, Type};
use crate::sys::{self, AsRawFd, Errno, OwnedFd, RawFd, clock, option, poll};
use std::cell::Cell;
use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

/// A socket connected to the first of the peer's addresses that the kernel has a way to.
pub fn open(request: Request, options: &Options) -> Result<Handle> {
    options.check(Use::UdpOpen)?;
    let target = request.parse(Protocol::Udp)?;
    if target.port == 0 && !matches!(target.host, Host::Unix(_)) {
        return Err(Error::invalid("nobody can be reached at port 0"));
    }
    let started = clock::now();
    let local = match target.host {
        Host::Unix(_) => None, // its own address is one too
        _ => options.local(Protocol::Udp)?,
    };
    let family = race::wanted_family(&target, options, local.as_ref())?;
    let mut addresses = race::candidates(&target, family, started, options.end(started))?;
    if target.host == Host::Default {
        // Nothing tells whether anybody is there: the address that also reaches who listens on every one comes first.
        addresses.sort_unstable_by_key(|address| family_of(address) != Family::V4);
    }
    let resolved = clock::now();
    let ((socket, bound), peer) = listen::bind_first(&addresses, |address| connect(address, local.as_ref(), options))?;
    let attempts = addresses.iter().take_while(|address| **address != peer).count() as u32 + 1;
    let reached = connect::peer(&socket, &peer);
    insert(socket, family_of(&peer), options, |socket| {
        let mut details = socket.details();
        details.bound = bound;
        details.peer = Some(reached);
        details.resolve_us = (resolved - started) / 1000;
        details.connect_us = (clock::now() - resolved) / 1000;
        details.attempts = attempts;
    })
}

type Bound = (OwnedFd, Option<Box<local::BoundPath>>);

fn connect(address: &Address, local: Option<&Target>, options: &Options) -> Result<Bound> {
    let family = family_of(address);
    let socket = make(family, options)?;
    let mut bound = None;
    if let Some(own) = own_address(address, local, options)? {
        bound = bind_to(&socket, &own, options)?;
    }
    socket::connect(socket.as_raw_fd(), address).map_err(|errno| match errno {
        // The kernel's words for having no free port left.
        Errno::EAGAIN if family != Family::Unix => listen::no_port().errno(errno),
        errno => errno.into(),
    })?;
    Ok((socket, bound))
}

fn make(family: Family, options: &Options) -> Result<OwnedFd> {
    if family == Family::Unix && options.device.is_some() {
        return Err(Error::invalid("option device means nothing to a unix: host"));
    }
    let socket = socket::socket(family, Type::Datagram, 0)?;
    if options.reuse_address > 0 {
        option::set(socket.as_raw_fd(), option::REUSE_ADDRESS, 1)?;
    }
    options.configure(socket.as_raw_fd())?;
    Ok(socket)
}

/// What `local_host` and `local_port` say, for a peer at `address`.
fn own_address(address: &Address, local: Option<&Target>, options: &Options) -> Result<Option<Address>> {
    let family = family_of(address);
    if family == Family::Unix {
        let Some(host) = options.local_host else {
            let port = options.local_port.is_some();
            return if port { Err(Error::invalid("option local_port means nothing to a unix: host")) } else { Ok(None) };
        };
        let own = Request { host: Some(host), port: options.local_port }.parse_literal()?;
        let unix = matches!(own, Address::Unix(_));
        return if unix { Ok(Some(own)) } else { Err(Error::invalid("option local_host is not a unix: address")) };
    }
    Ok(local.map(|local| local.literal().unwrap_or(address::any(family, local.port))))
}

fn bind_to(socket: &OwnedFd, address: &Address, options: &Options) -> Result<Option<Box<local::BoundPath>>> {
    if let Address::Unix(name) = address {
        return local::bind(socket, *name, options);
    }
    listen::bind_ip(socket.as_raw_fd(), address)?;
    Ok(None)
}

/// A socket that receives at an address of this machine, from everybody.
pub fn bind(request: Request, options: &Options) -> Result<Handle> {
    options.check(Use::UdpBind)?;
    let target = request.parse(Protocol::Udp)?;
    let ((socket, bound), address) = listen::bind_local(&target, options, |address| {
        let socket = make(family_of(address), options)?;
        listen::choose_families(&socket, address, options)?;
        let bound = bind_to(&socket, address, options)?;
        Ok((socket, bound))
    })?;
    insert(socket, family_of(&address), options, |socket| socket.details().bound = bound)
}

fn insert(socket: OwnedFd, family: Family, options: &Options, prepare: impl FnOnce(&Socket)) -> Result<Handle> {
    registry::insert(socket, Kind::Datagram, options.io_timeout(), |socket| {
        socket.set_family(family);
        socket.spin_us.store(options.spin_us, Ordering::Relaxed);
        prepare(socket);
    })
}

/// A datagram to `to`, or to the connected peer where that is none.
pub fn send_to(handle: Handle, bytes: &[u8], to: &Endpoint) -> Result<usize> {
    let pinned = registry::pin(handle, Direction::Write)?.expect(&[Kind::Datagram])?;
    let family = pinned.socket().family();
    let sent = send(&pinned, &mut Call::new(), |descriptor| system::send_to(descriptor, bytes, to, family));
    sent.map_err(|error| name_receiver(of_family(&pinned, to, error), to))
}

/// Of an IPv4 receiver the kernel tells an IPv6 socket that is not for both families only that there is no route.
#[cold]
fn of_family(pinned: &Pinned, to: &Endpoint, error: Error) -> Error {
    let to_v4 = || to.address().is_some_and(|address| family_of(&address) == Family::V4);
    if error.code == Code::Unreachable && to_v4() && is_only_v6(pinned) {
        return send_error(pinned, Errno::EAFNOSUPPORT);
    }
    error
}

/// Whether it is an IPv6 socket that has no way to IPv4: by its option, or by its own address.
fn is_only_v6(pinned: &Pinned) -> bool {
    if pinned.socket().family() != Some(Family::V6) {
        return false;
    }
    let own = socket::local_address(pinned.descriptor());
    option::get(pinned.descriptor(), option::V6_ONLY).is_ok_and(|on| on != 0)
        || own.is_ok_and(|own| matches!(own.unmapped(), Address::Ip(SocketAddr::V6(own)) if !own.ip().is_unspecified()))
}

/// With the address that a datagram was for: the handle's own is no news to anybody.
#[cold]
fn name_receiver(error: Error, to: &Endpoint) -> Error {
    match to.address() {
        Some(address) => {
            let text = format_args!("to {}: {}", Text(&address), error.words());
            Error::text(error.code, text).errno(Errno(error.errno)).after(error.count)
        }
        None => error,
    }
}

/// The same for a `pinned` handle that is connected.
pub fn write(pinned: &Pinned, call: &mut Call, bytes: &[u8]) -> Result<usize> {
    send(pinned, call, |descriptor| socket::send(descriptor, bytes))
}

pub fn write_parts(pinned: &Pinned, call: &mut Call, parts: &[Part]) -> Result<usize> {
    if parts.len() > socket::PARTS {
        return Err(Error::invalid("a datagram has at most 1024 parts"));
    }
    send(pinned, call, |descriptor| socket::send_parts(descriptor, parts))
}

pub fn try_write(pinned: &Pinned, bytes: &[u8]) -> Result<usize> {
    pinned.socket().check_unreported()?;
    let length = socket::send(pinned.descriptor(), bytes).map_err(|errno| send_error(pinned, errno))?;
    count(pinned, length);
    Ok(length)
}

/// Sends by `attempt`, waiting for room as long as `call` may. How many bytes went.
fn send(pinned: &Pinned, call: &mut Call, attempt: impl Fn(RawFd) -> sys::Result<usize>) -> Result<usize> {
    pinned.socket().check_unreported()?;
    let mut pause = 1;
    loop {
        match attempt(pinned.descriptor()) {
            Ok(length) => {
                count(pinned, length);
                return Ok(length);
            }
            Err(errno) => wait_for_room(pinned, call, &mut pause, send_error(pinned, errno))?,
        }
    }
}

fn send_error(pinned: &Pinned, errno: Errno) -> Error {
    match errno {
        Errno::EAFNOSUPPORT => Error::invalid("the address is of another family than the socket").errno(errno),
        // An unbound socket takes a port when it first sends: EAGAIN is also the kernel's word for having none left.
        Errno::EAGAIN if has_no_port(pinned) => listen::no_port().errno(errno),
        errno => pinned.transfer_error(errno),
    }
}

fn has_no_port(pinned: &Pinned) -> bool {
    socket::local_address(pinned.descriptor()).is_ok_and(|own| own.port() == Some(0))
}

/// After a send that failed: waits, if it failed for want of room.
#[cold]
fn wait_for_room(pinned: &Pinned, call: &mut Call, pause: &mut i64, error: Error) -> Result<()> {
    const LONGEST_PAUSE: i64 = 10;
    if !error.would_block() {
        return Err(error);
    }
    let socket = pinned.socket();
    if socket.family() == Some(Family::Unix) && socket::peer_address(pinned.descriptor()).is_err() {
        // The queue of one of many receivers is full, which poll does not tell: it says that others have room.
        call.pause(pinned, *pause)?;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        return Ok(());
    }
    call.ready(pinned)
}

thread_local! {
    /// Bytes that this thread has moved, however empty the datagrams: their number, too, is to let other fibers run.
    static MOVED: Cell<u64> = const { Cell::new(0) };
}
/// As how many bytes a datagram counts at least.
const LEAST: usize = 128;

/// Counts what was moved: other calls of the direction may be inside.
fn count(pinned: &Pinned, bytes: usize) {
    pinned.side().bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    let before = MOVED.get();
    MOVED.set(before.wrapping_add(bytes.max(LEAST) as u64));
    breathe_between(before, MOVED.get());
}

/// Sends them in order. How many went: fewer than all only before one that failed, whose error comes if it is the first.
pub fn send_batch(handle: Handle, datagrams: &mut [Datagram]) -> Result<usize> {
    let pinned = registry::pin(handle, Direction::Write)?.expect(&[Kind::Datagram])?;
    let mut call = Call::new();
    pinned.socket().check_unreported()?;
    let mut sent = 0;
    while sent < datagrams.len() {
        match send_some(&pinned, &mut call, &mut datagrams[sent..]) {
            Ok(count) => sent += count,
            Err(error) if sent == 0 => return Err(of_family(&pinned, datagrams[0].receiver(), error)),
            Err(error) => {
                keep_refusal(&pinned, &error);
                break;
            }
        }
    }
    Ok(sent)
}

/// That a datagram was refused is told once, by whichever call comes next. If that call also moved datagrams, the one after
/// it tells.
fn keep_refusal(pinned: &Pinned, error: &Error) {
    if error.errno == Errno::ECONNREFUSED.0 && pinned.socket().family() != Some(Family::Unix) {
        pinned.socket().report_later(Errno::ECONNREFUSED);
    }
}

fn send_some(pinned: &Pinned, call: &mut Call, datagrams: &mut [Datagram]) -> Result<usize> {
    let family = pinned.socket().family();
    if !datagrams[0].is_one_message(family) {
        return send_cut(pinned, call, &mut datagrams[0], false);
    }
    let mut pause = 1;
    loop {
        match system::send_batch(pinned.descriptor(), datagrams, family) {
            Ok(sent) => {
                count(pinned, datagrams[..sent].iter().map(|datagram| datagram.size()).sum());
                return Ok(sent);
            }
            Err(errno) if datagrams[0].cut().is_some() && cannot_cut(errno) => {
                return send_cut(pinned, call, &mut datagrams[0], true);
            }
            Err(errno) => wait_for_room(pinned, call, &mut pause, send_error(pinned, errno))?,
        }
    }
}

/// What sendmsg says of UDP_SEGMENT where the kernel (before 4.18), the device, or the path's MTU does not allow it.
fn cannot_cut(errno: Errno) -> bool {
    matches!(errno, Errno::EINVAL | Errno::EIO | Errno::EMSGSIZE | Errno::EOPNOTSUPP | Errno::ENOPROTOOPT)
}

/// Sends one entry in several messages.
fn send_cut(pinned: &Pinned, call: &mut Call, datagram: &mut Datagram, by_hand: bool) -> Result<usize> {
    let family = pinned.socket().family();
    let (mut by_hand, mut pause) = (by_hand, 1);
    datagram.set_length(0);
    while datagram.length() < datagram.size() {
        let done = datagram.length();
        match system::send_cut(pinned.descriptor(), datagram, done, by_hand, family) {
            Ok(length) => {
                count(pinned, length);
                datagram.set_length(done + length);
            }
            Err(errno) if !by_hand && cannot_cut(errno) => by_hand = true,
            Err(errno) => {
                wait_for_room(pinned, call, &mut pause, send_error(pinned, errno)).map_err(|error| error.after(done))?;
            }
        }
    }
    Ok(1)
}

/// Receives by `attempt`, waiting as long as `call` may. None where receiving has been shut down and nothing is left.
fn receive<T>(pinned: &Pinned, call: &mut Call, mut attempt: impl FnMut(RawFd) -> sys::Result<T>) -> Result<Option<T>> {
    pinned.socket().check_unreported()?;
    let patience = &pinned.side().patience;
    let mut refused = None;
    if patience.waits_first() {
        patience.waited();
        // A datagram that is already there is delivered even after the deadline or a cancel.
        match call.ready(pinned) {
            Err(error) if matches!(error.code, Code::TimedOut | Code::Canceled) => refused = Some(error),
            other => other?,
        }
    } else {
        match attempt(pinned.descriptor()) {
            Err(Errno::EAGAIN) if was_shut(pinned) => return Ok(None),
            Err(Errno::EAGAIN) => patience.miss(),
            result => {
                patience.hit();
                return result.map(Some).map_err(|errno| pinned.transfer_error(errno));
            }
        }
        call.ready(pinned)?;
    }
    loop {
        match attempt(pinned.descriptor()) {
            Err(Errno::EAGAIN) if is_shut(pinned) => return Ok(None),
            Err(Errno::EAGAIN) => match refused {
                Some(error) => return Err(error),
                None => call.ready(pinned)?,
            },
            result => return result.map(Some).map_err(|errno| pinned.transfer_error(errno)),
        }
    }
}

/// Whether sock_shutdown has ended receiving. The kernel then says EAGAIN as before, but to poll(2) that there is something:
/// the end, which this tells the pollers has been reported.
fn was_shut(pinned: &Pinned) -> bool {
    let shut = pinned.side().shut.load(Ordering::Relaxed);
    if shut {
        pinned.side().ended.store(true, Ordering::Relaxed);
    }
    shut
}

/// The same for whoever has waited, where another process that shares the socket may have done it.
#[cold]
pub fn is_shut(pinned: &Pinned) -> bool {
    if poll::peer_has_ended(pinned.descriptor()) {
        pinned.side().shut.store(true, Ordering::Relaxed);
    }
    was_shut(pinned)
}

/// The outcome of receiving a datagram of `whole` bytes into a buffer of `size`.
fn received(pinned: &Pinned, whole: usize, size: usize) -> Result<usize> {
    note_end(pinned, whole);
    count(pinned, whole.min(size));
    if whole <= size {
        return Ok(whole);
    }
    Err(Error::text(Code::Truncated, format_args!("a datagram of {whole} bytes was cut to {size}")).after(size))
}

/// After a datagram of `length` bytes: where it was empty, and nothing else will come, the end of sequenced packets has been read,
/// which this tells the pollers.
pub fn note_end(pinned: &Pinned, length: usize) {
    let ended = length == 0
        && pinned.socket().family() == Some(Family::Unix)
        && poll::peer_has_ended(pinned.descriptor())
        && socket::receive(pinned.descriptor(), &mut [], socket::PEEK | socket::TRUNCATED_LENGTH) == Ok(0);
    if ended {
        pinned.side().ended.store(true, Ordering::Relaxed);
    }
}

/// A datagram and its sender.
pub fn receive_from(handle: Handle, buffer: &mut [u8], from: Option<&mut Endpoint>) -> Result<usize> {
    let mut call = Call::new();
    let pinned = registry::pin(handle, Direction::Read)?.expect(&[Kind::Datagram])?;
    if arrive_joined(&pinned) {
        drop(pinned);
        let pinned = registry::pin_for_turn(handle, Direction::Read, &mut call)?;
        return receive_one(&pinned, &mut call, buffer, from);
    }
    let family = pinned.socket().family();
    let size = buffer.len();
    let mut from = from;
    let attempt = |descriptor| system::receive_from(descriptor, buffer, from.as_deref_mut(), family);
    let whole = receive(&pinned, &mut call, attempt)?;
    if let (None, Some(from)) = (whole, from) {
        *from = Endpoint::NONE;
    }
    received(&pinned, whole.unwrap_or(0), size)
}

/// The same where the caller has the turn to read.
pub fn read(pinned: &Pinned, call: &mut Call, buffer: &mut [u8]) -> Result<usize> {
    if arrive_joined(pinned) {
        return receive_one(pinned, call, buffer, None);
    }
    let size = buffer.len();
    let whole = receive(pinned, call, |descriptor| socket::receive(descriptor, buffer, socket::TRUNCATED_LENGTH))?;
    received(pinned, whole.unwrap_or(0), size)
}

pub fn read_parts(pinned: &Pinned, call: &mut Call, parts: &mut [PartMut]) -> Result<usize> {
    if parts.len() > socket::PARTS {
        return Err(Error::invalid("a datagram has at most 1024 parts"));
    }
    let size = parts.iter().map(|part| part.len()).sum();
    if arrive_joined(pinned) {
        let whole = with_next(pinned, Some(call), true, |bytes, _| scatter(bytes, parts))?;
        return received(pinned, whole.unwrap_or(0), size);
    }
    let whole = receive(pinned, call, |descriptor| system::receive_parts(descriptor, parts))?;
    received(pinned, whole.unwrap_or(0), size)
}

/// The next datagram, left where it is.
pub fn peek(pinned: &Pinned, call: &mut Call, buffer: &mut [u8]) -> Result<usize> {
    let size = buffer.len();
    let whole = match arrive_joined(pinned) {
        true => with_next(pinned, Some(call), false, |bytes, _| scatter(bytes, &mut [PartMut::new(buffer)]))?,
        false => {
            let flags = socket::PEEK | socket::TRUNCATED_LENGTH;
            receive(pinned, call, |descriptor| socket::receive(descriptor, buffer, flags))?
        }
    };
    let whole = whole.unwrap_or(0);
    let length = whole.min(size);
    if whole > size { Err(Error::new(Code::Truncated).after(length)) } else { Ok(length) }
}

pub fn try_read(pinned: &Pinned, buffer: &mut [u8]) -> Result<usize> {
    let size = buffer.len();
    let whole = match arrive_joined(pinned) {
        true => with_next(pinned, None, true, |bytes, _| scatter(bytes, &mut [PartMut::new(buffer)]))?.unwrap_or(0),
        false => {
            pinned.socket().check_unreported()?;
            match socket::receive(pinned.descriptor(), buffer, socket::TRUNCATED_LENGTH) {
                Err(Errno::EAGAIN) if was_shut(pinned) => 0,
                received => received.map_err(|errno| pinned.transfer_error(errno))?,
            }
        }
    };
    received(pinned, whole, size)
}

/// Fills the buffers in order with as much as fits. The length of all.
fn scatter(bytes: &[u8], parts: &mut [PartMut]) -> usize {
    let mut rest = bytes;
    for part in parts {
        let (head, tail) = rest.split_at(rest.len().min(part.len()));
        part[..head.len()].copy_from_slice(head);
        rest = tail;
    }
    bytes.len()
}

// Values of `Socket::arrival`.
const UNDECIDED: u8 = 0;
const SINGLY: u8 = 1;
const JOINED: u8 = 2;
/// Its owner had turned joining on before it was adopted.
const ADOPTED_JOINED: u8 = 3;

/// Whether datagrams may arrive joined. A call that takes one settles that they do not, if nothing is settled yet.
#[inline]
fn arrive_joined(pinned: &Pinned) -> bool {
    let arrival = &pinned.socket().arrival;
    match arrival.load(Ordering::Relaxed) {
        SINGLY => false,
        UNDECIDED => {
            arrival.compare_exchange(UNDECIDED, SINGLY, Ordering::AcqRel, Ordering::Acquire).unwrap_or_else(|now| now) == JOINED
        }
        _ => true,
    }
}

/// The same for a batch, which asks for joined datagrams if each of its buffers is large enough.
fn ask_for_joined(pinned: &Pinned, large: bool) -> bool {
    let socket = pinned.socket();
    if !large || socket.arrival.load(Ordering::Relaxed) != UNDECIDED {
        return arrive_joined(pinned);
    }
    // First the decision: whoever finds it made is prepared for joined datagrams, and for single ones.
    if socket.arrival.compare_exchange(UNDECIDED, JOINED, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return arrive_joined(pinned);
    }
    if option::set(pinned.descriptor(), option::DATAGRAMS_JOINED, 1).is_err() {
        socket.arrival.store(SINGLY, Ordering::Release); // unix sockets, and kernels before 5.0
    }
    arrive_joined(pinned)
}

/// An adopted socket arrives with its owner's choice.
pub fn adopt_arrival(socket: &Socket, descriptor: RawFd) {
    if option::get(descriptor, option::DATAGRAMS_JOINED).is_ok_and(|on| on != 0) {
        socket.arrival.store(ADOPTED_JOINED, Ordering::Relaxed);
    }
}

/// Before the descriptor is handed over: its new owner does not expect joined datagrams, unless it had them before.
pub fn stop_joining(pinned: &Pinned) {
    if pinned.socket().arrival.load(Ordering::Relaxed) == JOINED {
        // It was possible to turn on; at worst it stays on.
        let _ = option::set(pinned.descriptor(), option::DATAGRAMS_JOINED, 0);
    }
}

/// Waits for one, and takes what is there. How many.
pub fn receive_batch(handle: Handle, datagrams: &mut [Datagram]) -> Result<usize> {
    let mut call = Call::new();
    let pinned = registry::pin(handle, Direction::Read)?.expect(&[Kind::Datagram])?;
    if datagrams.is_empty() {
        return Ok(0);
    }
    let longest = if pinned.socket().family() == Some(Family::V4) { LONGEST_V4 } else { LONGEST };
    let large = datagrams.iter().all(|datagram| datagram.size() >= longest);
    let joined = ask_for_joined(&pinned, large);
    if joined && (!large || pinned.socket().buffered() > 0) {
        drop(pinned);
        let pinned = registry::pin_for_turn(handle, Direction::Read, &mut call)?;
        return receive_one_by_one(&pinned, &mut call, datagrams);
    }
    let family = pinned.socket().family();
    let attempt = |descriptor| system::receive_batch(descriptor, datagrams, joined, family);
    let Some(mut got) = receive(&pinned, &mut call, attempt)? else {
        return Ok(0);
    };
    while got < datagrams.len() && got % system::BATCH == 0 {
        match system::receive_batch(pinned.descriptor(), &mut datagrams[got..], joined, family) {
            Ok(more) => got += more,
            Err(Errno::EAGAIN) => break,
            Err(errno) => {
                keep_refusal(&pinned, &errno.into());
                break;
            }
        }
    }
    let bytes = datagrams[..got].iter().map(|datagram| datagram.length()).sum();
    note_end(&pinned, bytes);
    count(&pinned, bytes);
    Ok(got)
}

fn receive_one_by_one(pinned: &Pinned, call: &mut Call, datagrams: &mut [Datagram]) -> Result<usize> {
    let mut got = 0;
    for datagram in datagrams {
        let call = if got == 0 { Some(&mut *call) } else { None };
        match with_next(pinned, call, true, |bytes, from| datagram.put(bytes, from)) {
            Ok(Some(())) => got += 1,
            Ok(None) => break,
            Err(error) if got == 0 => return Err(error),
            Err(error) => {
                keep_refusal(pinned, &error);
                break;
            }
        }
        count(pinned, datagram.length());
    }
    Ok(got)
}

/// Datagrams of one size (the last may be shorter) from one sender, in the order in which they arrived.
pub struct Joined {
    memory: Vec<u8>,
    start: usize,
    end: usize,
    segment: usize,
    /// Whether there is any: the first may be empty.
    any: bool,
    from: Endpoint,
}

impl Joined {
    fn new() -> Result<Box<Joined>> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(LONGEST)?;
        memory.resize(LONGEST, 0);
        Ok(boxed(Joined { memory, start: 0, end: 0, segment: 0, any: false, from: Endpoint::NONE })?)
    }

    fn fill(&mut self, descriptor: RawFd, family: Option<Family>) -> sys::Result<()> {
        let (length, segment) = system::receive_joined(descriptor, &mut self.memory, &mut self.from, family)?;
        let segment = segment.map_or(length, |segment| segment as usize).max(1);
        (self.start, self.end, self.segment, self.any) = (0, length, segment, true);
        Ok(())
    }

    fn first(&self) -> &[u8] {
        &self.memory[self.start..self.end.min(self.start + self.segment)]
    }

    fn drop_first(&mut self) {
        self.start += self.first().len();
        self.any = self.start < self.end;
    }
}

/// One datagram of those that arrived joined. The caller has the turn to read.
fn receive_one(pinned: &Pinned, call: &mut Call, buffer: &mut [u8], from: Option<&mut Endpoint>) -> Result<usize> {
    let size = buffer.len();
    let mut sender = Endpoint::NONE;
    let whole = with_next(pinned, Some(call), true, |bytes, of| {
        sender = *of;
        scatter(bytes, &mut [PartMut::new(buffer)])
    })?;
    if let Some(from) = from {
        *from = sender;
    }
    received(pinned, whole.unwrap_or(0), size)
}

/// Shows `work` the next datagram, and drops it unless it is only looked at. Without a `call` it does not wait. None as for
/// [`receive`].
fn with_next<T>(
    pinned: &Pinned,
    call: Option<&mut Call>,
    take: bool,
    work: impl FnOnce(&[u8], &Endpoint) -> T,
) -> Result<Option<T>> {
    let socket = pinned.socket();
    if socket.details().joined.is_none() {
        socket.details().joined = Some(Joined::new()?);
    }
    let family = socket.family();
    let fill = |descriptor| match &mut socket.details().joined {
        Some(joined) if joined.any => Ok(()),
        Some(joined) => joined.fill(descriptor, family),
        None => Err(Errno::ENOMEM),
    };
    let found = match call {
        _ if socket.buffered() > 0 => Some(()),
        Some(call) => receive(pinned, call, fill)?,
        None => {
            socket.check_unreported()?;
            match fill(pinned.descriptor()) {
                Err(Errno::EAGAIN) if was_shut(pinned) => None,
                filled => Some(filled.map_err(|errno| pinned.transfer_error(errno))?),
            }
        }
    };
    if found.is_none() {
        return Ok(None);
    }
    let mut details = socket.details();
    let joined = details.joined.as_mut().ok_or(Error::new(Code::Internal))?;
    let result = work(joined.first(), &joined.from);
    if take {
        joined.drop_first();
    }
    // An empty datagram that was only looked at counts too.
    let left = if joined.any { (joined.end - joined.start).max(1) } else { 0 };
    socket.set_buffered(&details, left);
    Ok(Some(result))
}

/// Becomes a member of a multicast group on a device, or where the kernel's routes say.
pub fn set_membership(handle: Handle, group: &CStr, device: Option<&CStr>, member: bool) -> Result<()> {
    let group = Request { host: Some(group), port: Some(c"0") }.parse_literal()?;
    let Address::Ip(group) = group else {
        return Err(Error::invalid("the group is not an IP address"));
    };
    if !group.ip().is_multicast() {
        return Err(Error::invalid("the group is not a multicast address"));
    }
    let interface = match (device, &group) {
        (Some(device), _) => interface_number(device, || no_device(device))?,
        (None, SocketAddr::V6(group)) => group.scope_id(),
        (None, SocketAddr::V4(_)) => 0,
    };
    let pinned = registry::pin(handle, Direction::Read)?.expect(&[Kind::Datagram])?;
    match (pinned.socket().family(), group.ip()) {
        (Some(Family::V4), IpAddr::V4(_)) | (Some(Family::V6), IpAddr::V6(_)) => {}
        (Some(Family::V6), IpAddr::V4(_)) if !is_only_v6(&pinned) => {}
        (Some(Family::Unix) | None, _) => return Err(Error::with(Code::NotSupported, "the socket has no multicast groups")),
        _ => return Err(Error::invalid("the group is of another family than the socket")),
    }
    let descriptor = pinned.descriptor();
    if member {
        // Without this a socket gets what any socket of the machine has joined. Old kernels know it for IPv4 only.
        let all = if group.is_ipv4() { option::MULTICAST_ALL } else { option::V6_MULTICAST_ALL };
        let _ = option::set(descriptor, all, 0);
    }
    option::set_membership(descriptor, group.ip(), interface, member).map_err(|errno| match errno {
        Errno::ENODEV if interface != 0 => Error::invalid("no such device").errno(errno),
        Errno::ENODEV => Error::with(Code::Unreachable, "no route to the group: name a device").errno(errno),
        errno => errno.into(),
    })
}

fn no_device(device: &CStr) -> Error {
    let name = device.to_bytes();
    Error::text(Code::InvalidArgument, format_args!("no such device: {}", name[..name.len().min(64)].escape_ascii()))
}
