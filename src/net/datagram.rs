//! Sending and receiving datagrams, of UDP and of unix, one by one and in batches.
//!
//! Several threads may send and receive at once: calls take no turns, but for those that share a [`Joined`] datagram.

use super::address::Text;
use super::error::{Code, Error, Result};
use super::joined::{self, Joined};
use super::listen::{self, family_of};
use super::registry::{self, Direction, Handle, Pinned};
use super::socket::{Kind, breathe_between};
use super::udp;
use super::wait::{self, Call};
use crate::sys::datagram::{self as system, Datagram, Endpoint, LONGEST, LONGEST_V4};
use crate::sys::part::{Part, PartMut};
use crate::sys::socket::{self, Family};
use crate::sys::{self, Errno, RawFd, option, poll};
use std::cell::Cell;
use std::sync::atomic::Ordering;

/// A datagram to `to`, or to the connected peer if that is None.
pub fn send_to(handle: Handle, bytes: &[u8], to: &Endpoint) -> Result<usize> {
    let pinned = registry::pin(handle, Direction::Write)?.expect(&[Kind::Datagram])?;
    let family = pinned.socket().family();
    let sent = send(&pinned, &mut Call::new(), |descriptor| system::send_to(descriptor, bytes, to, family));
    sent.map_err(|error| name_receiver(of_family(&pinned, to, error), to))
}

/// To an IPv6 socket that is not for both families the kernel says of an IPv4 receiver only that there is no route.
#[cold]
fn of_family(pinned: &Pinned, to: &Endpoint, error: Error) -> Error {
    let to_v4 = || to.address().is_some_and(|address| family_of(&address.unmapped()) == Family::V4);
    if error.code == Code::Unreachable && to_v4() && udp::is_only_v6(pinned) {
        return send_error(pinned, Errno::EAFNOSUPPORT);
    }
    error
}

/// Names the address that a datagram was for: the handle's own would say nothing new.
#[cold]
fn name_receiver(error: Error, to: &Endpoint) -> Error {
    match to.address() {
        Some(address) => Error::text(error.code, format_args!("to {}: {}", Text(&address), error.words()))
            .errno(Errno(error.errno))
            .after(error.count),
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
        Errno::EAFNOSUPPORT => Error::invalid("the address is of a different family than the socket").errno(errno),
        // An unbound socket takes a port when it first sends: EAGAIN also means that the kernel has none left.
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
        // The queue of one of many receivers is full, which poll does not report: it says that others have room.
        call.pause(pinned, *pause)?;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        return Ok(());
    }
    call.ready(pinned)
}

thread_local! {
    /// Bytes that this thread has moved, with a minimum for each datagram: many empty ones must let other fibers run, too.
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

/// Sends them in order. Returns how many went: fewer than all only if one failed, whose error is returned if it is the first.
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

/// That a datagram was refused is reported once, by whichever call comes next. If that call also moved datagrams, the one after it
/// reports it.
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
    if patience.waits_first() {
        patience.waited();
    } else {
        match attempt(pinned.descriptor()) {
            Err(Errno::EAGAIN) => patience.miss(),
            result => {
                patience.hit();
                return result.map(Some).map_err(|errno| pinned.transfer_error(errno));
            }
        }
    }
    loop {
        let refused = wait::refusal(call.ready(pinned))?;
        match (attempt(pinned.descriptor()), refused) {
            (Err(Errno::EAGAIN), _) if is_shut(pinned) => return Ok(None),
            (Err(Errno::EAGAIN), Some(error)) => return Err(error),
            (Err(Errno::EAGAIN), None) => {}
            (result, _) => return result.map(Some).map_err(|errno| pinned.transfer_error(errno)),
        }
    }
}

/// Whether sock_shutdown has ended receiving. The kernel then says EAGAIN as before, but poll(2) reports that there is something:
/// the end. This tells the pollers that the end has been reported.
fn was_shut(pinned: &Pinned) -> bool {
    let shut = pinned.side().shut.load(Ordering::Relaxed);
    if shut {
        pinned.side().ended.store(true, Ordering::Relaxed);
    }
    shut
}

/// The same after a wait, during which another process that shares the socket may have done it.
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

/// After a datagram of `length` bytes: if it was the end of sequenced packets, the pollers are told that it has been read.
pub fn note_end(pinned: &Pinned, length: usize) {
    if length == 0 && has_ended(pinned) {
        pinned.side().ended.store(true, Ordering::Relaxed);
    }
}

/// Whether nothing but the end of sequenced packets comes, which looks like empty ones.
fn has_ended(pinned: &Pinned) -> bool {
    let descriptor = pinned.descriptor();
    pinned.socket().family() == Some(Family::Unix)
        && poll::peer_has_ended(descriptor)
        && socket::receive(descriptor, &mut [], socket::PEEK | socket::TRUNCATED_LENGTH) == Ok(0)
        && option::get(descriptor, option::KIND) == Ok(socket::Type::SequencedPacket as i32)
}

/// A datagram and its sender.
pub fn receive_from(handle: Handle, buffer: &mut [u8], from: Option<&mut Endpoint>) -> Result<usize> {
    let mut call = Call::new();
    let pinned = registry::pin(handle, Direction::Read)?.expect(&[Kind::Datagram])?;
    if joined::may_arrive(&pinned) {
        drop(pinned);
        let pinned = registry::pin_for_turn(handle, Direction::Read, &[Kind::Datagram], &mut call)?;
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
    if joined::may_arrive(pinned) {
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
    if joined::may_arrive(pinned) {
        let whole = with_next(pinned, Some(call), true, |bytes, _| scatter(bytes, parts))?;
        return received(pinned, whole.unwrap_or(0), size);
    }
    let whole = receive(pinned, call, |descriptor| system::receive_parts(descriptor, parts))?;
    received(pinned, whole.unwrap_or(0), size)
}

/// The next datagram, left where it is.
pub fn peek(pinned: &Pinned, call: &mut Call, buffer: &mut [u8]) -> Result<usize> {
    let size = buffer.len();
    let whole = match joined::may_arrive(pinned) {
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
    let whole = match joined::may_arrive(pinned) {
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

/// Waits for one, and takes what is there. How many.
pub fn receive_batch(handle: Handle, datagrams: &mut [Datagram]) -> Result<usize> {
    let mut call = Call::new();
    let pinned = registry::pin(handle, Direction::Read)?.expect(&[Kind::Datagram])?;
    if datagrams.is_empty() {
        return Ok(0);
    }
    let longest = if pinned.socket().family() == Some(Family::V4) { LONGEST_V4 } else { LONGEST };
    let large = datagrams.iter().all(|datagram| datagram.size() >= longest);
    let joins = joined::ask(&pinned, large);
    if joins && (!large || pinned.socket().buffered() > 0) {
        drop(pinned);
        let pinned = registry::pin_for_turn(handle, Direction::Read, &[Kind::Datagram], &mut call)?;
        return receive_one_by_one(&pinned, &mut call, datagrams);
    }
    let family = pinned.socket().family();
    let attempt = |descriptor| system::receive_batch(descriptor, datagrams, joins, family);
    let Some(mut got) = receive(&pinned, &mut call, attempt)? else {
        return Ok(0);
    };
    let most = if joins { system::BATCH_JOINED } else { system::BATCH };
    while got < datagrams.len() && got % most == 0 {
        match system::receive_batch(pinned.descriptor(), &mut datagrams[got..], joins, family) {
            Ok(more) => got += more,
            Err(Errno::EAGAIN) => break,
            Err(errno) => {
                keep_refusal(&pinned, &errno.into());
                break;
            }
        }
    }
    let bytes = datagrams[..got].iter().map(|datagram| datagram.length()).sum();
    count(&pinned, bytes);
    if datagrams[got - 1].length() == 0 && has_ended(&pinned) {
        // The kernel turns that into an empty datagram in each entry that is left.
        got -= datagrams[..got].iter().rev().take_while(|datagram| datagram.length() == 0).count();
        if got == 0 {
            pinned.side().ended.store(true, Ordering::Relaxed);
        }
    }
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
    let fill = |descriptor| match &mut socket.details().joined {
        Some(joined) => joined.fill(descriptor, socket.family()),
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
    let (bytes, from) = joined.first();
    let result = work(bytes, from);
    if take {
        joined.drop_first();
    }
    let left = joined.left();
    socket.set_buffered(&details, left);
    Ok(Some(result))
}
