//! Reading and writing streams.
//!
//! A call takes the turn of its direction, tries, and waits only where the kernel has nothing; `patience.rs` says when to wait
//! first.

use super::datagram;
use super::error::{Code, Error, Result};
use super::read_ahead::{Line, ReadAhead};
use super::registry::{self, Direction, Handle, Pinned};
use super::socket::{Kind, WITH_PEER};
use super::wait::{self, Call};
use super::worker;
use crate::sys::Errno;
use crate::sys::datagram::Endpoint;
use crate::sys::part::{Part, PartMut};
use crate::sys::socket as system;
use std::cell::Cell;
use std::sync::atomic::Ordering;

/// What is there, at most `buffer`; 0 at the end of the stream.
///
/// The path of most reads is spelled out: nobody else reads, nothing is read ahead, and there is data. All others take turns.
#[inline]
pub fn read(handle: Handle, buffer: &mut [u8]) -> Result<usize> {
    if buffer.is_empty() {
        return nothing(handle, Direction::Read);
    }
    let Some(pinned) = registry::pin_alone(handle, Direction::Read) else {
        return read_in_turn(handle, buffer);
    };
    let socket = pinned.socket();
    if !socket.flows() || socket.buffered() > 0 || !pinned.side().patience.is_new() {
        return read_pinned(pinned, Call::new(), buffer);
    }
    match system::receive(socket.descriptor(), buffer, 0) {
        Ok(length) => {
            let length = pinned.received(length)?;
            pinned.leave();
            Ok(length)
        }
        Err(errno) => read_after(pinned, buffer, errno),
    }
}

#[cold]
fn read_in_turn(handle: Handle, buffer: &mut [u8]) -> Result<usize> {
    if is_datagram(handle) {
        return datagram::receive_from(handle, buffer, None);
    }
    let mut call = Call::new();
    let pinned = registry::pin_for_turn(handle, Direction::Read, WITH_PEER, &mut call)?;
    read_pinned(pinned, call, buffer)
}

/// Datagrams need no turns: several calls at once each take or send one.
fn is_datagram(handle: Handle) -> bool {
    registry::look(handle).is_some_and(|(socket, _)| socket.kind() == Kind::Datagram)
}

#[inline(never)]
fn read_pinned(pinned: Pinned, mut call: Call, buffer: &mut [u8]) -> Result<usize> {
    match pinned.socket().kind() {
        Kind::Stream => read_some(&pinned, &mut call, buffer),
        Kind::Datagram => datagram::read(&pinned, &mut call, buffer),
        kind => Err(kind.refused()),
    }
}

/// Goes on after the first try has failed with `errno`.
#[inline(never)]
fn read_after(pinned: Pinned, buffer: &mut [u8], errno: Errno) -> Result<usize> {
    if errno != Errno::EAGAIN {
        return Err(pinned.transfer_error(errno));
    }
    pinned.side().patience.miss();
    let size = buffer.len();
    receive_when_ready(&pinned, &mut Call::new(), &|| size, &mut |descriptor| system::receive(descriptor, buffer, 0))
}

/// The answer to an empty buffer: 0, if the handle is good. It waits for nobody's turn.
fn nothing(handle: Handle, direction: Direction) -> Result<usize> {
    registry::pin(handle, direction)?.expect(WITH_PEER).map(|_| 0)
}

#[inline]
pub fn read_some(pinned: &Pinned, call: &mut Call, buffer: &mut [u8]) -> Result<usize> {
    let socket = pinned.socket();
    if socket.buffered() > 0 {
        return Ok(socket.with_read_ahead(|ahead| ahead.take(buffer)));
    }
    let size = buffer.len();
    receive(pinned, call, || size, |descriptor| system::receive(descriptor, buffer, 0))
}

type Receive<'a> = dyn FnMut(i32) -> crate::sys::Result<usize> + 'a;

/// Receives by `receive`, which then has asked for `size` bytes, waiting as long as `call` may. What comes is counted.
#[inline]
fn receive(
    pinned: &Pinned,
    call: &mut Call,
    size: impl Fn() -> usize,
    mut receive: impl FnMut(i32) -> crate::sys::Result<usize>,
) -> Result<usize> {
    let socket = pinned.socket();
    socket.check_fatal()?;
    let patience = &pinned.side().patience;
    if !patience.is_new() && worker::in_fiber() {
        return receive_in_fiber(pinned, call, &size, &mut receive);
    }
    if patience.waits_first() {
        patience.waited();
    } else {
        match receive(socket.descriptor()) {
            Ok(length) => {
                let length = pinned.received(length)?;
                patience.hit();
                return Ok(length);
            }
            Err(Errno::EAGAIN) => patience.miss(),
            Err(errno) => return Err(pinned.transfer_error(errno)),
        }
    }
    receive_when_ready(pinned, call, &size, &mut receive)
}

/// The slow path is there once, whatever receives.
#[inline(never)]
fn receive_when_ready(pinned: &Pinned, call: &mut Call, size: &dyn Fn() -> usize, receive: &mut Receive) -> Result<usize> {
    if worker::in_fiber() {
        return receive_in_fiber(pinned, call, size, receive);
    }
    let socket = pinned.socket();
    loop {
        let refused = wait::refusal(call.ready(pinned))?;
        match (receive(socket.descriptor()), refused) {
            (Ok(length), _) => return pinned.received(length),
            (Err(Errno::EAGAIN), Some(error)) => return Err(error),
            (Err(Errno::EAGAIN), None) => {}
            (Err(errno), _) => return Err(pinned.transfer_error(errno)),
        }
    }
}

/// The same in a fiber. Its worker hears when data comes: after a read that emptied the socket the next one waits for that first.
fn receive_in_fiber(pinned: &Pinned, call: &mut Call, size: &dyn Fn() -> usize, receive: &mut Receive) -> Result<usize> {
    let (socket, side) = (pinned.socket(), pinned.side());
    let mut refused = None;
    loop {
        let seen = side.edges.load(Ordering::SeqCst);
        if seen != side.empty_at.load(Ordering::Relaxed) || refused.is_some() {
            match receive(socket.descriptor()) {
                Ok(length) => {
                    pinned.received(length)?;
                    // TCP gives what it has: less than was asked for is all. After an end, or with urgent data, that does not hold.
                    let empty = length < size() && seen & 1 == 0 && socket.is_tcp();
                    side.empty_at.store(if empty { seen } else { 0 }, Ordering::Relaxed);
                    if empty {
                        side.patience.expect_nothing()
                    } else {
                        side.patience.forget()
                    }
                    return Ok(length);
                }
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(pinned.transfer_error(errno)),
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        refused = wait::refusal(call.edge(pinned, seen))?;
    }
}

/// All of `buffer`.
pub fn read_exact(handle: Handle, buffer: &mut [u8]) -> Result<usize> {
    let mut call = Call::new();
    if buffer.is_empty() {
        return registry::pin(handle, Direction::Read)?.expect(&[Kind::Stream]).map(|_| 0);
    }
    let pinned = registry::pin_for_turn(handle, Direction::Read, &[Kind::Stream], &mut call)?;
    let mut done = 0;
    while done < buffer.len() {
        match read_some(&pinned, &mut call, &mut buffer[done..]) {
            Ok(0) => return Err(Error::new(Code::EndOfStream).after(done)),
            Ok(length) => done += length,
            Err(error) => return Err(error.after(done)),
        }
    }
    Ok(done)
}

/// A line without its end, followed by a NUL; `line` has room for the NUL.
pub fn read_line(handle: Handle, line: &mut [u8]) -> Result<usize> {
    let Some(limit) = line.len().checked_sub(1) else {
        return registry::pin(handle, Direction::Read)?.expect(&[Kind::Stream]).map(|_| 0);
    };
    let mut call = Call::new();
    let pinned = registry::pin_for_turn(handle, Direction::Read, &[Kind::Stream], &mut call)?;
    let socket = pinned.socket();
    let mut deliver = |ahead: &mut ReadAhead, text: usize, all: usize| {
        ahead.peek(&mut line[..text]);
        ahead.drop_head(all);
        line[text] = 0;
    };
    let mut scanned = 0;
    loop {
        let found = socket.with_read_ahead(|ahead| {
            let found = ahead.line(limit, &mut scanned);
            if let Line::Whole { text, all } = found {
                deliver(ahead, text, all);
            }
            found
        });
        match found {
            Line::Whole { text, .. } => return Ok(text),
            Line::TooLong => return Err(line_too_long(limit)),
            Line::Unfinished => {}
        }
        let asked = Cell::new(0);
        let fill = |descriptor, room: &mut [u8]| {
            asked.set(room.len());
            system::receive(descriptor, room, 0)
        };
        let came = receive(
            &pinned,
            &mut call,
            || asked.get(),
            |descriptor| socket.with_read_ahead(|ahead| ahead.fill(|room| fill(descriptor, room))).unwrap_or(Err(Errno::ENOMEM)),
        )?;
        if came > 0 {
            continue;
        }
        return match socket.buffered() {
            0 => Err(Error::new(Code::EndOfStream)),
            rest if rest > limit => Err(line_too_long(limit)),
            rest => {
                socket.with_read_ahead(|ahead| deliver(ahead, rest, rest));
                Ok(rest)
            }
        };
    }
}

fn line_too_long(limit: usize) -> Error {
    Error::text(Code::TooLong, format_args!("the line is longer than {limit} bytes"))
}

/// Milliseconds between looks at a stream that is readable and has nothing to peek at.
const LONGEST_PAUSE: i64 = 32;

/// Like [`read`], but leaves the bytes there.
pub fn peek(handle: Handle, buffer: &mut [u8]) -> Result<usize> {
    let mut call = Call::new();
    if buffer.is_empty() {
        return nothing(handle, Direction::Read);
    }
    // A fiber that looks again and again must not keep the others from running.
    worker::breathe();
    let pinned = registry::pin_for_turn(handle, Direction::Read, WITH_PEER, &mut call)?;
    let socket = pinned.socket();
    match socket.kind() {
        Kind::Stream if socket.buffered() > 0 => Ok(socket.with_read_ahead(|ahead| ahead.peek(buffer))),
        Kind::Stream => {
            socket.check_fatal()?;
            let mut pause = 0;
            loop {
                match system::receive(socket.descriptor(), buffer, system::PEEK) {
                    // Not counted, and an end that was only looked at has not been read.
                    Ok(0) => return pinned.check_end().map(|()| 0),
                    Ok(length) => return Ok(length),
                    Err(Errno::EAGAIN) => {
                        // A byte out of band makes a unix stream readable, and stays where it is: nothing reports what follows it.
                        if pause > 0 {
                            call.pause(&pinned, pause)?;
                        }
                        pause = (pause * 2).clamp(1, LONGEST_PAUSE);
                        call.ready(&pinned)?;
                    }
                    Err(errno) => return Err(pinned.transfer_error(errno)),
                }
            }
        }
        Kind::Datagram => datagram::peek(&pinned, &mut call, buffer),
        kind => Err(kind.refused()),
    }
}

/// What is there, into several buffers.
pub fn read_parts(handle: Handle, parts: &mut [PartMut]) -> Result<usize> {
    let mut call = Call::new();
    // Asked for nothing, as by a thousand empty parts in front, the kernel would seem to report the end of the stream.
    let Some(first) = parts.iter().position(|part| !part.is_empty()) else {
        return nothing(handle, Direction::Read);
    };
    let parts = &mut parts[first..];
    let pinned = registry::pin_for_turn(handle, Direction::Read, WITH_PEER, &mut call)?;
    let socket = pinned.socket();
    match socket.kind() {
        Kind::Stream if socket.buffered() > 0 => {
            Ok(socket.with_read_ahead(|ahead| parts.iter_mut().map(|part| ahead.take(part)).sum()))
        }
        Kind::Stream => {
            // One call takes so many parts and no more.
            let size = parts.iter().take(system::PARTS).map(|part| part.len()).sum();
            receive(&pinned, &mut call, || size, |descriptor| system::receive_parts(descriptor, parts))
        }
        Kind::Datagram => datagram::read_parts(&pinned, &mut call, parts),
        kind => Err(kind.refused()),
    }
}

/// What is there, without waiting.
#[inline]
pub fn try_read(handle: Handle, buffer: &mut [u8]) -> Result<usize> {
    if buffer.is_empty() {
        return nothing(handle, Direction::Read);
    }
    let Some(pinned) = registry::pin_alone(handle, Direction::Read) else {
        return try_read_pinned(registry::try_pin_for_turn(handle, Direction::Read)?, buffer);
    };
    let socket = pinned.socket();
    if !socket.flows() || socket.buffered() > 0 {
        return try_read_pinned(pinned, buffer);
    }
    match system::receive(socket.descriptor(), buffer, 0) {
        Ok(length) => {
            let length = pinned.received(length)?;
            pinned.leave();
            Ok(length)
        }
        Err(errno) => Err(pinned.transfer_error(errno)),
    }
}

#[cold]
fn try_read_pinned(pinned: Pinned, buffer: &mut [u8]) -> Result<usize> {
    let socket = pinned.socket();
    match socket.kind() {
        Kind::Stream if socket.buffered() > 0 => Ok(socket.with_read_ahead(|ahead| ahead.take(buffer))),
        Kind::Stream => {
            socket.check_fatal()?;
            let length = system::receive(socket.descriptor(), buffer, 0).map_err(|errno| pinned.transfer_error(errno))?;
            pinned.received(length)
        }
        Kind::Datagram => datagram::try_read(&pinned, buffer),
        kind => Err(kind.refused()),
    }
}

/// All of `bytes`.
///
/// The path of most writes is spelled out: nobody else writes, and everything fits. All others take turns.
#[inline]
pub fn write(handle: Handle, bytes: &[u8]) -> Result<usize> {
    let Some(pinned) = registry::pin_alone(handle, Direction::Write) else {
        return write_in_turn(handle, bytes);
    };
    let socket = pinned.socket();
    if !socket.flows() || bytes.is_empty() {
        return write_pinned(pinned, Call::new(), bytes);
    }
    match system::send(socket.descriptor(), bytes) {
        Ok(length) if length == bytes.len() => {
            pinned.count(length);
            pinned.leave();
            Ok(length)
        }
        begun => write_after(pinned, bytes, begun),
    }
}

#[cold]
fn write_in_turn(handle: Handle, bytes: &[u8]) -> Result<usize> {
    if is_datagram(handle) {
        return datagram::send_to(handle, bytes, &Endpoint::NONE);
    }
    if bytes.is_empty() {
        return nothing(handle, Direction::Write);
    }
    let mut call = Call::new();
    let pinned = registry::pin_for_turn(handle, Direction::Write, WITH_PEER, &mut call)?;
    write_pinned(pinned, call, bytes)
}

#[inline(never)]
fn write_pinned(pinned: Pinned, mut call: Call, bytes: &[u8]) -> Result<usize> {
    match pinned.socket().kind() {
        Kind::Stream if bytes.is_empty() => Ok(0),
        Kind::Stream => send_all(&pinned, &mut call, &mut 0, bytes.len(), |descriptor, done| send_from(descriptor, bytes, done)),
        Kind::Datagram => datagram::write(&pinned, &mut call, bytes),
        kind => Err(kind.refused()),
    }
}

/// Goes on after the first try has sent a part or failed.
#[inline(never)]
fn write_after(pinned: Pinned, bytes: &[u8], begun: crate::sys::Result<usize>) -> Result<usize> {
    let mut call = Call::new();
    let mut done = match begun {
        Ok(length) => length,
        Err(Errno::EAGAIN) => 0,
        Err(errno) => return Err(pinned.transfer_error(errno)),
    };
    pinned.count(done);
    call.ready(&pinned).map_err(|error| error.after(done))?;
    send_all(&pinned, &mut call, &mut done, bytes.len(), |descriptor, done| send_from(descriptor, bytes, done))
}

/// What one try has sent.
enum Sent {
    /// All that it was given.
    All(usize),
    /// A part: there is no room for more just now.
    Part(usize),
}

fn send_from(descriptor: i32, bytes: &[u8], done: usize) -> crate::sys::Result<Sent> {
    let rest = &bytes[done..];
    system::send(descriptor, rest).map(|length| if length == rest.len() { Sent::All(length) } else { Sent::Part(length) })
}

/// Sends by `send`, from where `done` stands, until `size` bytes have gone.
#[inline]
fn send_all(
    pinned: &Pinned,
    call: &mut Call,
    done: &mut usize,
    size: usize,
    mut send: impl FnMut(i32, usize) -> crate::sys::Result<Sent>,
) -> Result<usize> {
    let socket = pinned.socket();
    socket.check_fatal()?;
    while *done < size {
        match send(socket.descriptor(), *done) {
            Ok(Sent::All(length)) => {
                pinned.count(length);
                *done += length;
                continue;
            }
            Ok(Sent::Part(length)) => {
                pinned.count(length);
                *done += length;
            }
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(pinned.transfer_error(errno).after(*done)),
        }
        call.ready(pinned).map_err(|error| error.after(*done))?;
    }
    Ok(*done)
}

/// All of `parts`, in order.
pub fn write_parts(handle: Handle, parts: &[Part]) -> Result<usize> {
    let mut call = Call::new();
    let size = parts.iter().map(|part| part.len()).sum();
    if size == 0 && !is_datagram(handle) {
        return nothing(handle, Direction::Write);
    }
    let pinned = registry::pin_for_turn(handle, Direction::Write, WITH_PEER, &mut call)?;
    match pinned.socket().kind() {
        Kind::Stream => {}
        Kind::Datagram => return datagram::write_parts(&pinned, &mut call, parts),
        kind => return Err(kind.refused()),
    }
    let mut done = 0;
    let (mut first, mut before) = (0, 0); // parts[..first] are sent, and are `before` bytes
    send_all(&pinned, &mut call, &mut done, size, |descriptor, done| {
        while before + parts[first].len() <= done {
            before += parts[first].len();
            first += 1;
        }
        if done == before {
            // One call takes a limited number of parts: what it sent is all that it took, as far as we know.
            return system::send_parts(descriptor, &parts[first..]).map(Sent::All);
        }
        // The rest of a part that was cut goes alone.
        send_from(descriptor, &parts[first], done - before)
    })
}

/// What fits now.
#[inline]
pub fn try_write(handle: Handle, bytes: &[u8]) -> Result<usize> {
    let Some(pinned) = registry::pin_alone(handle, Direction::Write) else {
        return try_write_in_turn(handle, bytes);
    };
    let socket = pinned.socket();
    if !socket.flows() || bytes.is_empty() {
        return try_write_pinned(pinned, bytes);
    }
    match system::send(socket.descriptor(), bytes) {
        Ok(length) => {
            pinned.count(length);
            pinned.leave();
            Ok(length)
        }
        Err(errno) => Err(pinned.transfer_error(errno)),
    }
}

#[cold]
fn try_write_in_turn(handle: Handle, bytes: &[u8]) -> Result<usize> {
    if bytes.is_empty() && !is_datagram(handle) {
        return nothing(handle, Direction::Write);
    }
    try_write_pinned(registry::try_pin_for_turn(handle, Direction::Write)?, bytes)
}

#[cold]
fn try_write_pinned(pinned: Pinned, bytes: &[u8]) -> Result<usize> {
    let socket = pinned.socket();
    match socket.kind() {
        Kind::Stream if bytes.is_empty() => return Ok(0),
        Kind::Stream => {}
        Kind::Datagram => return datagram::try_write(&pinned, bytes),
        kind => return Err(kind.refused()),
    }
    socket.check_fatal()?;
    let length = system::send(socket.descriptor(), bytes).map_err(|errno| pinned.transfer_error(errno))?;
    pinned.count(length);
    Ok(length)
}
