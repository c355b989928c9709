//! The places where handles live: slots that are never moved or freed. One is found by its index without a lock; the free ones are a
//! stack.

use super::error::{Code, Error, Result};
use super::gate::{Gate, TAG};
use super::patience::Patience;
use super::socket::Socket;
use super::wait::NEVER;
use super::waiters::Waiters;
use super::waker::Waker;
use crate::sys::memory::boxed_array;
use crate::sys::once::OnceLock;
use crate::sys::process;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

pub struct Slot {
    pub sides: [Side; 2],
    pub socket: Socket,
    pub index: u32,
    /// The tag of the handle that lives here, or of the last one that did.
    pub tag: AtomicU64,
    /// How many of the two gates are closed and empty.
    pub drained: AtomicU8,
    /// sock_release_fd: the last one out leaves the descriptor open.
    pub released: AtomicBool,
    /// The process that made the handle, as `process::generation` counts them.
    pub generation: AtomicU32,
    /// The next free slot's index + 1 while this one is free.
    next_free: AtomicU32,
}

/// What one direction of a handle has of its own, on cache lines of its own.
#[repr(align(64))]
pub struct Side {
    pub gate: Gate,
    /// Milliseconds a call may take; negative: no limit.
    pub timeout: AtomicI64,
    /// The point in time when all calls end; [`NEVER`]: none.
    pub deadline: AtomicI64,
    /// Bytes moved in this direction.
    pub bytes: AtomicU64,
    pub patience: Patience,
    /// A call in this direction has reported its end: end of stream, or the error that ended the connection.
    pub ended: AtomicBool,
    /// sock_shutdown has ended this direction.
    pub shut: AtomicBool,
    /// Counts in twos the edges that a worker has received for the descriptor; odd once it has received an end.
    pub edges: AtomicU64,
    /// `edges` when the kernel was last known to have nothing; 0: it may have something.
    pub empty_at: AtomicU64,
    pub waiters: Waiters<Waker>,
}

const FIRST_EDGE: u64 = 2;

impl Side {
    fn new() -> Side {
        Side {
            gate: Gate::shut(),
            timeout: AtomicI64::new(-1),
            deadline: AtomicI64::new(NEVER),
            bytes: AtomicU64::new(0),
            patience: Patience::new(),
            ended: AtomicBool::new(false),
            shut: AtomicBool::new(false),
            edges: AtomicU64::new(FIRST_EDGE),
            empty_at: AtomicU64::new(0),
            waiters: Waiters::new(),
        }
    }

    /// As `Socket::open`; the gate and the list of waiters have ways of their own.
    pub fn reset(&self, its_timeout: i64) {
        let Side { gate: _, timeout, deadline, bytes, patience, ended, shut, edges, empty_at, waiters: _ } = self;
        timeout.store(its_timeout, Ordering::Relaxed);
        deadline.store(NEVER, Ordering::Relaxed);
        bytes.store(0, Ordering::Relaxed);
        patience.forget();
        ended.store(false, Ordering::Relaxed);
        shut.store(false, Ordering::Relaxed);
        edges.store(FIRST_EDGE, Ordering::Relaxed);
        empty_at.store(0, Ordering::Relaxed);
    }

    /// Fails if the handle is closed or canceled: nobody may wait here any more.
    pub fn check(&self) -> Result<()> {
        if !self.gate.is_over() {
            return Ok(());
        }
        Err(Error::new(if self.gate.is_closed() { Code::Closed } else { Code::Canceled }))
    }

    /// The descriptor has become ready, maybe for ever: `hear` gets who waits for that.
    #[inline]
    pub fn count_edge(&self, lasting: bool, hear: impl Fn(&Waker)) {
        self.edges.fetch_add(2, Ordering::SeqCst);
        if lasting {
            self.edges.fetch_or(1, Ordering::SeqCst);
        }
        self.waiters.tell(hear);
    }
}

/// Slots come in chunks, chunks in directories, so that finding one is two look-ups and little lies idle.
const CHUNK: usize = 64;
const DIRECTORY: usize = 512;
const DIRECTORIES: usize = 512;
type Chunk = Box<[Slot; CHUNK]>;
type Directory = Box<[OnceLock<Chunk>; DIRECTORY]>;

static SLOTS: [OnceLock<Directory>; DIRECTORIES] = [const { OnceLock::new() }; DIRECTORIES];
/// The free slots, as a stack: the top's index + 1 below, a count of changes above, so that a top that came back is noticed.
static FREE: AtomicU64 = AtomicU64::new(0);
static NEXT_CHUNK: AtomicU32 = AtomicU32::new(0);

#[inline]
pub fn slot(index: u32) -> Option<&'static Slot> {
    let index = index as usize;
    let directory = SLOTS.get(index / CHUNK / DIRECTORY)?.get()?;
    let chunk = directory[index / CHUNK % DIRECTORY].get()?;
    Some(&chunk[index % CHUNK])
}

/// Every slot that there is, free or not.
pub fn all() -> impl Iterator<Item = &'static Slot> {
    let made = NEXT_CHUNK.load(Ordering::Acquire) * CHUNK as u32;
    (0..made).filter_map(slot)
}

/// A free slot, which is the caller's until it gives it back.
pub fn take() -> Result<&'static Slot> {
    let mut top = FREE.load(Ordering::Acquire);
    loop {
        let Some(slot) = (top as u32).checked_sub(1).and_then(slot) else {
            grow()?;
            top = FREE.load(Ordering::Acquire);
            continue;
        };
        let new = ((top >> 32) + 1) << 32 | u64::from(slot.next_free.load(Ordering::Relaxed));
        match FREE.compare_exchange_weak(top, new, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => return Ok(slot),
            Err(now) => top = now,
        }
    }
}

/// Nobody uses the slot any more.
pub fn give_back(slot: &'static Slot) {
    let mut top = FREE.load(Ordering::Relaxed);
    loop {
        slot.next_free.store(top as u32, Ordering::Relaxed);
        let new = ((top >> 32) + 1) << 32 | u64::from(slot.index + 1);
        match FREE.compare_exchange_weak(top, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => top = now,
        }
    }
}

/// Adds a chunk of free slots, unless somebody else is about to.
fn grow() -> Result<()> {
    let number = NEXT_CHUNK.load(Ordering::Acquire);
    if number == 0 {
        silence_panics();
    }
    let directory = SLOTS.get(number as usize / DIRECTORY).ok_or(Error::with(Code::Limit, "out of handles"))?;
    if directory.get().is_none() {
        // Whoever comes second throws away its own.
        let _ = directory.set(boxed_array(|_| OnceLock::new())?);
    }
    let Some(directory) = directory.get() else {
        return Err(Error::new(Code::Internal));
    };
    let first = number * CHUNK as u32;
    let seed = process::random();
    let slots = boxed_array(|place| Slot::new(first + place as u32, seed))?;
    let is_ours = directory[number as usize % DIRECTORY].set(slots).is_ok();
    // Also by whoever came second: it makes the next chunk, instead of waiting for slots that, in a forked child, nobody adds.
    let _ = NEXT_CHUNK.compare_exchange(number, number + 1, Ordering::AcqRel, Ordering::Relaxed);
    if is_ours {
        (first..first + CHUNK as u32).rev().filter_map(slot).for_each(give_back);
    }
    Ok(())
}

/// A caught panic is a bug that has a code; the host's stderr is not ours to write to. The hook is that of this library's own copy of
/// Rust's standard library: a host in Rust keeps its own.
fn silence_panics() {
    #[cfg(not(test))]
    std::panic::set_hook(Box::new(|_| {}));
}

impl Slot {
    fn new(index: u32, seed: u64) -> Slot {
        let tag = seed.wrapping_add(u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Slot {
            sides: [Side::new(), Side::new()],
            socket: Socket::new(),
            index,
            tag: AtomicU64::new(tag & TAG & (i64::MAX as u64)),
            drained: AtomicU8::new(0),
            released: AtomicBool::new(false),
            generation: AtomicU32::new(0),
            next_free: AtomicU32::new(0),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Other tests make handles meanwhile, but not so many.
    #[test]
    fn slots_are_used_again() {
        let take_some = || (0..20_000).map(|_| take().unwrap()).collect::<Vec<_>>();
        take_some().into_iter().for_each(give_back);
        let before = all().count();
        take_some().into_iter().for_each(give_back);
        assert!(all().count() < before + 10_000);
    }

    /// A pop between whose look and exchange the top went and came back must fail. Other tests change less meanwhile.
    #[test]
    fn every_change_of_the_free_slots_is_counted() {
        const TIMES: u64 = 100_000;
        let count = || FREE.load(Ordering::Relaxed) >> 32;
        let before = count();
        for _ in 0..TIMES {
            give_back(take().unwrap());
        }
        assert!(count() >= before + 2 * TIMES);
    }
}
