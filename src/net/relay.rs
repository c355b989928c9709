//! Bytes from one descriptor to another: files into streams, and two streams into each other. They stay inside the kernel where it
//! can do that, and are copied where it cannot.

use super::address::Text;
use super::error::{Code, Error, Result};
use super::information;
use super::registry::{self, Direction, Handle, Pinned};
use super::socket::Kind;
use super::wait::{self, Call};
use super::waker::poll_until;
use crate::sys::poll::{self, Watch};
use crate::sys::socket::{self as system, Shutdown};
use crate::sys::transfer::{self, NoPipeSignal, Pipe};
use crate::sys::{self, Errno, RawFd};
use std::sync::atomic::Ordering;

/// The size of the buffer between two sockets. More gains nothing; the pipe's usual 64 KiB cost a tenth.
const PIPE: usize = 256 * 1024;
/// The size of a buffer for copying.
const COPY: usize = 64 * 1024;
/// How often one direction goes on before the other has its turn.
const ROUNDS: usize = 16;
/// The most that one sendfile is asked for: it takes less than 2 GiB.
const PORTION: u64 = 1 << 30;

/// Whether an error means that the kernel cannot do it this way: not for these descriptors, not in this kernel, not permitted, not
/// so far beyond the end of a file.
fn cannot(errno: Errno) -> bool {
    matches!(errno, Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EPERM | Errno::ESPIPE | Errno::EOVERFLOW)
}

fn buffer() -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(COPY)?;
    buffer.resize(COPY, 0);
    Ok(buffer)
}

/// Sends a part of a file: from `offset`, or from the file's own position; `size` bytes, or all there are.
pub fn send_file(handle: Handle, file: RawFd, offset: Option<i64>, size: Option<u64>) -> Result<u64> {
    let mut call = Call::new();
    if size == Some(0) {
        return registry::pin(handle, Direction::Write)?.expect(&[Kind::Stream]).map(|_| 0);
    }
    let pinned = registry::pin_for_turn(handle, Direction::Write, &[Kind::Stream], &mut call)?;
    pinned.socket().check_fatal()?;
    // No file goes beyond the largest offset, and the kernel refuses a size that would.
    let most = offset.map_or(u64::MAX, |offset| i64::MAX as u64 - offset as u64);
    let connection = pinned.descriptor();
    let mut sending = Sending { pinned: &pinned, call, file, connection, offset, left: size.unwrap_or(most), done: 0 };
    let result = sending.run();
    let done = sending.done;
    match result {
        Err(error) => Err(error.after(done as usize)),
        Ok(()) if size.is_some_and(|size| done < size) => {
            Err(Error::with(Code::EndOfStream, "the file ended too early").after(done as usize))
        }
        Ok(()) => Ok(done),
    }
}

struct Sending<'a> {
    pinned: &'a Pinned,
    call: Call,
    file: RawFd,
    /// The socket as it is watched for its end while the file has nothing.
    connection: RawFd,
    offset: Option<i64>,
    left: u64,
    done: u64,
}

impl Sending<'_> {
    fn run(&mut self) -> Result<()> {
        let quiet = NoPipeSignal::new();
        while self.left > 0 {
            self.pinned.socket().keep_from_blocking()?;
            let portion = self.left.min(PORTION) as usize;
            match transfer::send_file(self.pinned.descriptor(), self.file, self.offset.as_mut(), portion) {
                Ok(0) => return Ok(()),
                Ok(length) => self.moved(length),
                Err(Errno::EAGAIN) => self.call.ready(self.pinned)?,
                Err(errno) if cannot(errno) => return self.copy(),
                Err(Errno::EBADF) => return Err(not_open()),
                Err(errno) => {
                    if errno == Errno::EPIPE {
                        quiet.take();
                    }
                    return Err(self.pinned.transfer_error(errno));
                }
            }
        }
        Ok(())
    }

    fn moved(&mut self, length: usize) {
        self.pinned.count(length);
        self.done += length as u64;
        self.left -= length as u64;
    }

    /// Fails if nothing more can be sent. If the socket `woke` the call with something else, it would go on doing so.
    fn check_connection(&mut self, woke: bool) -> Result<()> {
        system::send(self.pinned.descriptor(), &[]).map_err(|errno| self.pinned.transfer_error(errno))?;
        if woke {
            self.connection = -1;
        }
        Ok(())
    }

    /// What sendfile cannot take: pipes, sockets, terminals.
    fn copy(&mut self) -> Result<()> {
        // Checked before waiting for something to come.
        if let (Some(offset), Err(Errno::ESPIPE)) = (self.offset, transfer::read(self.file, self.offset, &mut [])) {
            if offset > 0 {
                return Err(Error::invalid("the file cannot be read at an offset").errno(Errno::ESPIPE));
            }
            // What has no positions is always at its beginning.
            self.offset = None;
        }
        let mut buffer = buffer()?;
        while self.left > 0 {
            let size = self.left.min(buffer.len() as u64) as usize;
            let length = self.read(&mut buffer[..size])?;
            if length == 0 {
                return Ok(());
            }
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                match system::send(self.pinned.descriptor(), rest) {
                    Ok(sent) => {
                        self.moved(sent);
                        rest = &rest[sent..];
                    }
                    Err(Errno::EAGAIN) => self.call.ready(self.pinned)?,
                    Err(errno) => return Err(self.pinned.transfer_error(errno)),
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            let mut watches = [Watch::new(self.file, poll::IN), Watch::new(self.connection, 0)];
            poll_until(&mut watches[..1], 0)?;
            if !watches[0].ready() {
                self.call.other(self.pinned, &mut watches)?;
                if !watches[0].ready() {
                    self.check_connection(watches[1].ready())?;
                    continue;
                }
            }
            match transfer::read(self.file, self.offset, buffer) {
                Ok(length) => {
                    self.offset = self.offset.map(|offset| offset + length as i64);
                    return Ok(length);
                }
                Err(Errno::EAGAIN) => {}
                Err(Errno::EBADF) => return Err(not_open()),
                // Not the socket's error, whatever its number means there.
                Err(errno) => return Err(Error::with(Code::System, "the file could not be read").errno(errno)),
            }
        }
    }
}

fn not_open() -> Error {
    Error::invalid("the file is not open for reading").errno(Errno::EBADF)
}

/// Passes on everything that two streams receive, each to the other, until both have ended. Returns how many bytes.
pub fn relay(one: Handle, other: Handle) -> Result<u64> {
    if one == other {
        registry::pin(one, Direction::Read)?.expect(&[Kind::Stream])?;
        return Err(Error::invalid("a stream cannot be relayed to itself"));
    }
    let mut call = Call::new();
    // In one order, whichever way round they are named: two relays of the same streams do not wait for each other for ever.
    let mut enter = |handle, direction| registry::pin_for_turn(handle, direction, &[Kind::Stream], &mut call);
    let (low, high) = (one.min(other), one.max(other));
    let low = [enter(low, Direction::Read)?, enter(low, Direction::Write)?];
    let high = [enter(high, Direction::Read)?, enter(high, Direction::Write)?];
    low[0].socket().check_fatal()?;
    high[0].socket().check_fatal()?;
    let mut flows = [Flow::new(&low[0], &high[1]), Flow::new(&high[0], &low[1])];
    let result = run(&mut flows, &mut call);
    let moved = flows[0].moved + flows[1].moved;
    result.map(|()| moved).map_err(|error| error.after(moved as usize))
}

fn run(flows: &mut [Flow; 2], call: &mut Call) -> Result<()> {
    let quiet = NoPipeSignal::new();
    // What ends the call may happen to either stream in any direction, also in one that is done with.
    let all = [flows[0].from, flows[0].to, flows[1].from, flows[1].to];
    let mut refused = None;
    loop {
        let before = flows[0].moved + flows[1].moved;
        for flow in &mut *flows {
            flow.advance(&quiet, refused.is_some())?;
        }
        if flows[0].moved + flows[1].moved > before {
            // The timeouts are for silence in both directions.
            call.restart();
        }
        let busy = flows.iter().any(|flow| flow.needs == Needs::Time);
        let wait = |call: &mut Call, sides: &[&Pinned]| if busy { call.breathe(&all) } else { call.any(sides, &all) };
        let sides = [flows[0].side(), flows[1].side()];
        let waited = match (refused, sides) {
            (_, [None, None]) => break,
            (Some(error), _) => return Err(error),
            (None, [Some(one), Some(other)]) => wait(call, &[one, other]),
            (None, [Some(one), None] | [None, Some(one)]) => wait(call, &[one]),
        };
        refused = wait::refusal(waited)?;
    }
    match flows.iter_mut().find_map(|flow| flow.failed.take()) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// What a direction waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Input,
    Output,
    /// Only that the other direction had its turn.
    Time,
    /// Nothing any more.
    Nothing,
}

/// One direction of a relay.
struct Flow<'a> {
    from: &'a Pinned,
    to: &'a Pinned,
    /// Made when there is something to put into it.
    buffer: Option<Buffer>,
    needs: Needs,
    /// The last read left nothing behind: the next one waits first, which saves a try that would fail.
    drained: bool,
    /// What came after the last byte: the end of the stream, or an error.
    end: Option<Result<()>>,
    /// Why nothing can be written any more. The other direction goes on: what the peer has sent before it stopped reading counts.
    failed: Option<Error>,
    moved: u64,
}

enum Buffer {
    Kernel { pipe: Pipe, held: usize },
    Memory { bytes: Vec<u8>, start: usize, end: usize },
}

impl Buffer {
    fn new() -> Result<Buffer> {
        match Pipe::new(PIPE as i32) {
            Ok(pipe) => Ok(Buffer::Kernel { pipe, held: 0 }),
            // Out of descriptors, say.
            Err(_) => Buffer::in_memory(),
        }
    }

    fn in_memory() -> Result<Buffer> {
        Ok(Buffer::Memory { bytes: buffer()?, start: 0, end: 0 })
    }

    fn held(&self) -> usize {
        match self {
            Buffer::Kernel { held, .. } => *held,
            Buffer::Memory { start, end, .. } => end - start,
        }
    }
}

impl<'a> Flow<'a> {
    fn new(from: &'a Pinned, to: &'a Pinned) -> Flow<'a> {
        Flow { from, to, buffer: None, needs: Needs::Input, drained: false, end: None, failed: None, moved: 0 }
    }

    /// Which side is to be waited for.
    fn side(&self) -> Option<&'a Pinned> {
        match self.needs {
            Needs::Input => Some(self.from),
            Needs::Output | Needs::Time => Some(self.to),
            Needs::Nothing => None,
        }
    }

    fn held(&self) -> usize {
        self.from.socket().buffered() + self.buffer.as_ref().map_or(0, Buffer::held)
    }

    /// Moves what can be moved without waiting; for the `last` time, all that is there. Fails if the source did, once all that came
    /// before it has been passed on.
    fn advance(&mut self, quiet: &NoPipeSignal, last: bool) -> Result<()> {
        if self.needs == Needs::Nothing {
            return Ok(());
        }
        for _ in 0..ROUNDS {
            let goes_on = if self.held() > 0 {
                self.send(quiet)?
            } else if let Some(end) = self.end.take() {
                self.needs = Needs::Nothing;
                end?;
                // If the other side is gone already, there is nobody to tell.
                if system::shutdown(self.to.descriptor(), Shutdown::Write).is_ok() {
                    self.to.side().shut.store(true, Ordering::SeqCst);
                }
                false
            } else if self.drained && !last {
                (self.drained, self.needs) = (false, Needs::Input);
                false
            } else {
                self.receive()?
            };
            if !goes_on {
                return Ok(());
            }
        }
        self.needs = Needs::Time;
        Ok(())
    }

    /// Receives into the empty buffer. False where there is nothing now.
    fn receive(&mut self) -> Result<bool> {
        let (socket, descriptor) = (self.from.socket(), self.from.descriptor());
        let (received, size) = match self.buffer.take().map_or_else(Buffer::new, Ok)? {
            Buffer::Kernel { pipe, .. } => {
                socket.keep_from_blocking()?;
                let mut received = pipe.fill(descriptor, PIPE);
                let mut stuck = false;
                if nothing(received) {
                    // In front of urgent data splice(2) finds nothing, or the end, whatever lies behind it. A look finds that.
                    match system::receive(descriptor, &mut [0], system::PEEK) {
                        Ok(0) => {}
                        Ok(_) => {
                            received = pipe.fill(descriptor, PIPE); // it may have come just now
                            stuck = nothing(received);
                        }
                        Err(errno) => received = Err(errno),
                    }
                }
                if stuck || received.is_err_and(cannot) {
                    self.buffer = Some(Buffer::in_memory()?);
                    return Ok(true);
                }
                self.buffer = Some(Buffer::Kernel { pipe, held: received.unwrap_or(0) });
                (received, PIPE)
            }
            Buffer::Memory { mut bytes, .. } => {
                let received = system::receive(descriptor, &mut bytes, 0);
                self.buffer = Some(Buffer::Memory { bytes, start: 0, end: received.unwrap_or(0) });
                (received, COPY)
            }
        };
        match received {
            Ok(length) => {
                self.drained = length < size;
                match self.from.received(length) {
                    Ok(0) => self.end = Some(Ok(())),
                    Ok(_) => {}
                    Err(error) => self.end = Some(Err(at("receiving from", self.from, error))),
                }
            }
            Err(Errno::EAGAIN) => {
                self.needs = Needs::Input;
                return Ok(false);
            }
            Err(errno) => self.end = Some(Err(at("receiving from", self.from, self.from.transfer_error(errno)))),
        }
        Ok(true)
    }

    /// Sends from what was read ahead, then from the buffer. False where nothing more can be sent now, or ever.
    fn send(&mut self, quiet: &NoPipeSignal) -> Result<bool> {
        let descriptor = self.to.descriptor();
        let sent = if self.from.socket().buffered() > 0 {
            self.from.socket().with_read_ahead(|ahead| {
                let sent = system::send(descriptor, ahead.bytes());
                ahead.drop_head(sent.unwrap_or(0));
                sent
            })
        } else {
            match &mut self.buffer {
                None => Ok(0),
                Some(Buffer::Memory { bytes, start, end }) => {
                    let sent = system::send(descriptor, &bytes[*start..*end]);
                    *start += sent.unwrap_or(0);
                    sent
                }
                Some(Buffer::Kernel { pipe, held }) => {
                    self.to.socket().keep_from_blocking()?;
                    let sent = pipe.drain(descriptor, *held);
                    if sent.is_err_and(cannot) {
                        self.buffer = Some(in_memory(pipe, *held)?);
                        return Ok(true);
                    }
                    *held -= sent.unwrap_or(0);
                    sent
                }
            }
        };
        match sent {
            Ok(length) => {
                self.to.count(length);
                self.moved += length as u64;
                return Ok(true);
            }
            Err(Errno::EAGAIN) => self.needs = Needs::Output,
            Err(errno) => {
                if errno == Errno::EPIPE {
                    quiet.take();
                }
                self.failed = Some(at("sending to", self.to, self.to.transfer_error(errno)));
                self.needs = Needs::Nothing;
            }
        }
        Ok(false)
    }
}

fn nothing(received: sys::Result<usize>) -> bool {
    matches!(received, Ok(0) | Err(Errno::EAGAIN))
}

/// The error of one side, which the call's own words cannot name.
fn at(doing: &str, side: &Pinned, error: Error) -> Error {
    match information::describe(side.handle()) {
        Some(address) => {
            Error { errno: error.errno, ..Error::text(error.code, format_args!("{doing} {}: {}", Text(&address), error.words())) }
        }
        None => error,
    }
}

/// What a pipe holds, taken out of it for a socket that splice cannot write to.
fn in_memory(pipe: &Pipe, held: usize) -> Result<Buffer> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(held.max(COPY))?;
    bytes.resize(held.max(COPY), 0);
    let mut end = 0;
    while end < held {
        end += pipe.read(&mut bytes[end..held])?;
    }
    Ok(Buffer::Memory { bytes, start: 0, end })
}
