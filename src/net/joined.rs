//! Datagrams that the kernel joins (UDP_GRO): whether a socket gets them, and where they wait to be handed out one by one.
//!
//! They must not reach a caller who cannot tell them apart. So the first receiving call on a handle decides for good: a batch
//! whose every buffer holds the longest datagram turns joining on, any other call leaves it off. Where it is on, calls that take
//! one datagram get it from a buffer inside the library that the joined one went to.

use super::error::Result;
use super::registry::Pinned;
use super::socket::Socket;
use crate::sys::datagram::{self as system, Endpoint, LONGEST};
use crate::sys::memory::boxed;
use crate::sys::socket::Family;
use crate::sys::{self, RawFd, option};
use std::sync::atomic::Ordering;

// Values of `Socket::arrival`.
const UNDECIDED: u8 = 0;
const SINGLY: u8 = 1;
const JOINED: u8 = 2;
/// Its owner had turned joining on before it was adopted.
const ADOPTED_JOINED: u8 = 3;

/// Whether datagrams may arrive joined. A call that takes one settles that they do not, if nothing is settled yet.
#[inline]
pub fn may_arrive(pinned: &Pinned) -> bool {
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
pub fn ask(pinned: &Pinned, large: bool) -> bool {
    let arrival = &pinned.socket().arrival;
    if large
        && arrival.load(Ordering::Relaxed) == UNDECIDED
        // First the decision: whoever finds it made is prepared for joined datagrams, and for single ones.
        && arrival.compare_exchange(UNDECIDED, JOINED, Ordering::AcqRel, Ordering::Acquire).is_ok()
        && option::set(pinned.descriptor(), option::DATAGRAMS_JOINED, 1).is_err()
    {
        arrival.store(SINGLY, Ordering::Release); // unix sockets, and kernels before 5.0
    }
    may_arrive(pinned)
}

/// An adopted socket arrives with its owner's choice.
pub fn adopt(socket: &Socket, descriptor: RawFd) {
    if option::get(descriptor, option::DATAGRAMS_JOINED).is_ok_and(|on| on != 0) {
        socket.arrival.store(ADOPTED_JOINED, Ordering::Relaxed);
    }
}

/// Before the descriptor is handed over: its new owner does not expect joined datagrams, unless it had them before.
pub fn stop(pinned: &Pinned) {
    if pinned.socket().arrival.load(Ordering::Relaxed) == JOINED {
        // It was possible to turn on; at worst it stays on.
        let _ = option::set(pinned.descriptor(), option::DATAGRAMS_JOINED, 0);
    }
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
    pub fn new() -> Result<Box<Joined>> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(LONGEST)?;
        memory.resize(LONGEST, 0);
        Ok(boxed(Joined { memory, start: 0, end: 0, segment: 0, any: false, from: Endpoint::NONE })?)
    }

    /// Receives what comes next, unless there is something left.
    pub fn fill(&mut self, descriptor: RawFd, family: Option<Family>) -> sys::Result<()> {
        if !self.any {
            let (length, segment) = system::receive_joined(descriptor, &mut self.memory, &mut self.from, family)?;
            let segment = segment.map_or(length, |segment| segment as usize).max(1);
            (self.start, self.end, self.segment, self.any) = (0, length, segment, true);
        }
        Ok(())
    }

    /// The first datagram and its sender.
    pub fn first(&self) -> (&[u8], &Endpoint) {
        (&self.memory[self.start..self.end.min(self.start + self.segment)], &self.from)
    }

    pub fn drop_first(&mut self) {
        self.start += self.first().0.len();
        self.any = self.start < self.end;
    }

    /// How many bytes are left. A datagram without any counts as one.
    pub fn left(&self) -> usize {
        if self.any { (self.end - self.start).max(1) } else { 0 }
    }
}
