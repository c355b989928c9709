//! Handles: their tags, and what keeps a descriptor open while a call uses it.
//!
//! A handle is its slot's index (24 bits) under a tag (39 bits). A slot's first tag is random, drawn once a process, and every
//! reuse takes the next: a handle that is stale, forged, or from another process or copy of the library has the wrong tag.
//! Every call enters the gate of its direction and leaves it when done; closing shuts both gates, and whoever leaves the
//! last of them closes the descriptor.

use super::error::{Code, Error, Result};
use super::gate::{Entry, Left, TAG};
use super::owners;
use super::slots::{self, Side, Slot, slot};
use super::socket::{Kind, Socket, WITH_PEER};
use super::wait::Call;
use super::waker::{self, Waker};
use super::worker::Reactor;
use crate::sys::shared::Shared;
use crate::sys::{self, OwnedFd, RawFd, memory, process};
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicI64, Ordering};

pub type Handle = i64;

/// Which of a handle's two gates a call goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Read = 0,
    Write = 1,
}

/// Which directions a call concerns.
#[derive(Clone, Copy)]
pub struct Directions {
    pub read: bool,
    pub write: bool,
}

impl Directions {
    pub fn of(self, pinned: &Pinned) -> impl Iterator<Item = &'static Side> {
        let [read, write] = pinned.sides();
        [self.read.then_some(read), self.write.then_some(write)].into_iter().flatten()
    }
}

const INDEX: u64 = (1 << 24) - 1;

static LIVE: AtomicI64 = AtomicI64::new(0);

/// Makes a handle of a descriptor. `prepare` fills in the rest of the socket before anybody can see it.
pub fn insert(descriptor: impl Into<Option<OwnedFd>>, kind: Kind, timeout: i64, prepare: impl FnOnce(&Socket)) -> Result<Handle> {
    let descriptor = descriptor.into();
    let slot = slots::take()?;
    let number = descriptor.map_or(-1, OwnedFd::into_raw_fd); // it is the handle's now
    slot.socket.open(number, kind);
    owners::note(number).write(slot.index);
    Ok(open(slot, timeout, prepare))
}

/// The same for a descriptor that comes from elsewhere, unless a handle has it. It is left alone on failure.
pub fn adopt(descriptor: RawFd, kind: Kind, timeout: i64, prepare: impl FnOnce(&Socket)) -> Result<Handle> {
    const TAKEN: Error = Error::with(Code::Busy, "the descriptor already belongs to a handle");
    let note = owners::note(descriptor);
    let (owner, noted) = note.read();
    if owner.and_then(slot).is_some_and(|owner| owner.socket.descriptor() == descriptor) {
        return Err(TAKEN);
    }
    let slot = slots::take()?;
    slot.socket.open(descriptor, kind);
    if !note.change(noted, slot.index) {
        slot.socket.close();
        slots::give_back(slot);
        return Err(TAKEN); // by another that adopted it at the same time
    }
    Ok(open(slot, timeout, prepare))
}

/// Makes a handle of a slot whose socket has its descriptor.
fn open(slot: &'static Slot, timeout: i64, prepare: impl FnOnce(&Socket)) -> Handle {
    let mut tag = slot.tag.load(Ordering::Relaxed).wrapping_add(1 << 24) & TAG & (i64::MAX as u64);
    if tag == 0 {
        tag = 1 << 24;
    }
    slot.tag.store(tag, Ordering::Relaxed);
    slot.drained.store(0, Ordering::Relaxed);
    slot.released.store(false, Ordering::Relaxed);
    slot.generation.store(process::generation(), Ordering::Relaxed);
    prepare(&slot.socket);
    for side in &slot.sides {
        side.reset(timeout);
    }
    LIVE.fetch_add(1, Ordering::Relaxed);
    slot.sides.iter().for_each(|side| side.gate.open(tag));
    (tag | u64::from(slot.index)) as Handle
}

/// How many handles are live in this process.
pub fn live() -> i64 {
    LIVE.load(Ordering::SeqCst)
}

/// The slot and the tag that a handle names; whether it is live the gate says.
#[inline]
fn named(handle: Handle) -> Option<(&'static Slot, u64)> {
    let bits = handle as u64;
    if handle > 0 { slot((bits & INDEX) as u32).map(|slot| (slot, bits & TAG)) } else { None }
}

#[inline]
fn find(handle: Handle) -> Result<(&'static Slot, u64)> {
    named(handle).ok_or(Error::new(Code::BadHandle))
}

/// A look at a live handle without entering it: only what is atomic means anything, and the handle may be gone the next moment.
pub fn look(handle: Handle) -> Option<(&'static Socket, &'static [Side; 2])> {
    let (slot, tag) = find(handle).ok()?;
    slot.sides[0].gate.is_open(tag).then_some((&slot.socket, &slot.sides))
}

/// The sides of the handle that a worker registered, if it still lives. If it dies meanwhile, another handle is woken in its place:
/// it looks and finds nothing.
pub fn sides_of(handle: Handle) -> Option<&'static [Side; 2]> {
    let (slot, tag) = named(handle)?;
    slot.sides[0].gate.is_of(tag).then_some(&slot.sides)
}

/// A worker is about to wake a handle's waiters, which will then look at it.
#[inline]
pub fn fetch_ahead(handle: Handle) {
    if let Some((slot, _)) = named(handle) {
        memory::fetch_ahead(std::ptr::from_ref(slot).cast(), size_of::<Slot>());
    }
}

/// A worker ends: its fibers, which are gone, leave the lists that they have stayed on, and the sockets that are registered with it
/// get another worker, if fibers wait for them.
pub fn unregister_all(reactor: &Shared<Reactor>) {
    for slot in slots::all() {
        let registered = slot.socket.unregister(reactor);
        for side in &slot.sides {
            side.waiters.evict(|waker| matches!(waker, Waker::Fiber(ticket) if ticket.is_of(reactor)));
            if registered {
                side.waiters.alarm();
            }
        }
    }
}

/// A handle in use: its descriptor stays open, and belongs to it, until this is dropped.
pub struct Pinned {
    slot: &'static Slot,
    direction: Direction,
    turn: bool,
}

/// Enters a handle of any kind to work beside other calls.
pub fn pin(handle: Handle, direction: Direction) -> Result<Pinned> {
    let (slot, tag) = find(handle)?;
    let gate = &slot.sides[direction as usize].gate;
    if gate.enter_alone(tag, false) {
        return Ok(Pinned { slot, direction, turn: false });
    }
    admit(slot, direction, gate.enter(tag))
}

/// Enters a handle and takes the turn of a direction if nobody else is inside. None says nothing about the handle.
#[inline]
pub fn pin_alone(handle: Handle, direction: Direction) -> Option<Pinned> {
    let (slot, tag) = named(handle)?;
    slot.sides[direction as usize].gate.enter_alone(tag, true).then(|| Pinned { slot, direction, turn: true })
}

/// Enters a handle of one of `kinds` and takes the turn of a direction: one call at a time. Waits for it as long as `call` may.
pub fn pin_for_turn(handle: Handle, direction: Direction, kinds: &[Kind], call: &mut Call) -> Result<Pinned> {
    let (slot, tag) = find(handle)?;
    let mut pinned = admit(slot, direction, slot.sides[direction as usize].gate.enter_for_turn(tag))?.expect(kinds)?;
    if !pinned.turn {
        call.turn(&mut pinned)?;
    }
    Ok(pinned)
}

/// The same for calls that never wait.
#[inline]
pub fn try_pin_for_turn(handle: Handle, direction: Direction) -> Result<Pinned> {
    let (slot, tag) = find(handle)?;
    if slot.sides[direction as usize].gate.enter_alone(tag, true) {
        return Ok(Pinned { slot, direction, turn: true });
    }
    let pinned = admit(slot, direction, slot.sides[direction as usize].gate.enter_for_turn(tag))?.expect(WITH_PEER)?;
    if pinned.turn { Ok(pinned) } else { Err(Error::new(Code::WouldBlock)) }
}

#[inline]
fn admit(slot: &'static Slot, direction: Direction, entry: Entry) -> Result<Pinned> {
    let turn = match entry {
        Entry::Turn => true,
        Entry::Pin => false,
        Entry::Stale => return Err(Error::new(Code::BadHandle)),
        Entry::Full => return Err(Error::with(Code::Busy, "half a million calls are already using the handle")),
    };
    let pinned = Pinned { slot, direction, turn };
    if pinned.side().gate.may_stay(&slot.sides[0].gate) { Ok(pinned) } else { Err(Error::new(Code::BadHandle)) }
}

impl Pinned {
    #[inline]
    pub fn socket(&self) -> &'static Socket {
        &self.slot.socket
    }

    #[inline]
    pub fn side(&self) -> &'static Side {
        &self.slot.sides[self.direction as usize]
    }

    pub fn sides(&self) -> &'static [Side; 2] {
        &self.slot.sides
    }

    pub fn direction(&self) -> Direction {
        self.direction
    }

    #[inline]
    pub fn descriptor(&self) -> RawFd {
        self.slot.socket.descriptor()
    }

    pub fn handle(&self) -> Handle {
        (self.slot.tag.load(Ordering::Relaxed) | u64::from(self.slot.index)) as Handle
    }

    /// Whether the handle was made by a process of which this one is a fork: the threads that used it then are not here, and what they
    /// had locked stays locked.
    pub fn is_inherited(&self) -> bool {
        self.slot.generation.load(Ordering::Relaxed) != process::generation()
    }

    /// `Call::turn` has waited for it.
    pub fn got_turn(&mut self) {
        self.turn = true;
    }

    /// Fails unless the handle's kind is one of `kinds`.
    #[inline]
    pub fn expect(self, kinds: &[Kind]) -> Result<Pinned> {
        let kind = self.slot.socket.kind();
        if kinds.contains(&kind) { Ok(self) } else { Err(kind.refused()) }
    }

    /// Wakes whoever waits in either direction, to look at flags and deadlines again.
    pub fn alarm(&self) {
        self.slot.sides.iter().for_each(|side| side.waiters.alarm());
    }
}

impl Pinned {
    /// Leaves the handle: what dropping does, spelled out for the usual end of a call.
    #[inline(always)]
    pub fn leave(self) {
        std::mem::ManuallyDrop::new(self).go();
    }

    #[inline(always)]
    fn go(&self) {
        let side = self.side();
        let left = side.gate.leave(self.turn);
        if left.wanted || left.drained {
            see_to(self.slot, side, left);
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.go();
    }
}

#[cold]
fn see_to(slot: &'static Slot, side: &Side, left: Left) {
    if left.wanted {
        side.waiters.pass_turn();
    }
    if left.drained {
        drain(slot);
    }
}

/// One gate of the slot is empty for good. The second time, nobody can reach the descriptor any more: it is closed.
#[cold]
fn drain(slot: &'static Slot) {
    if slot.drained.fetch_add(1, Ordering::AcqRel) == 0 {
        return;
    }
    slot.socket.restore_mode();
    let descriptor = slot.socket.close();
    if descriptor >= 0 && !slot.released.load(Ordering::Relaxed) {
        sys::close(descriptor);
    }
    slot.sides.iter().for_each(|side| side.waiters.reset());
    slots::give_back(slot);
    if LIVE.fetch_sub(1, Ordering::SeqCst) == 1 {
        waker::retire_idle();
    }
}

/// Closes a handle for everybody. `last_words` runs while the descriptor is still open and nobody new can come in.
pub fn close(handle: Handle, last_words: impl FnOnce(&Pinned)) -> Result<()> {
    let (slot, tag) = find(handle)?;
    let [read, write] = &slot.sides;
    // The closer stays inside the first gate: the slot is its own until it leaves.
    read.gate.close(tag, true).ok_or(Error::new(Code::BadHandle))?;
    let closer = Pinned { slot, direction: Direction::Read, turn: false };
    if write.gate.close(tag, false) == Some(true) {
        drain(slot);
    }
    last_words(&closer);
    closer.alarm();
    abandon(closer);
    Ok(())
}

/// Ends a handle that no call is in, if `may` agrees, and leaves its descriptor open. `last_words` runs as for [`close`]. The
/// caller has not entered the handle: of two at once, one succeeds.
pub fn release(handle: Handle, may: impl FnOnce(&Socket) -> Result<()>, last_words: impl FnOnce(&Pinned)) -> Result<RawFd> {
    let (slot, tag) = find(handle)?;
    let reading = claim(slot, tag, Direction::Read)?;
    let writing = claim(slot, tag, Direction::Write)?;
    may(&slot.socket)?;
    let gate = &reading.pinned.side().gate;
    if !gate.close_claimed() {
        return Err(if gate.is_closed() { Error::new(Code::BadHandle) } else { IN_USE });
    }
    writing.pinned.side().gate.close_after_first();
    slot.released.store(true, Ordering::Relaxed);
    last_words(&reading.pinned);
    Ok(reading.pinned.descriptor())
}

/// A gate that a release has entered alone. Dropping it takes the claim back, unless the gate is closed by then.
struct Claim {
    pinned: Pinned,
}

const IN_USE: Error = Error::with(Code::Busy, "another call is using the handle");

fn claim(slot: &'static Slot, tag: u64, direction: Direction) -> Result<Claim> {
    match slot.sides[direction as usize].gate.claim(tag) {
        Some(true) => Ok(Claim { pinned: Pinned { slot, direction, turn: false } }),
        Some(false) => Err(IN_USE),
        None => Err(Error::new(Code::BadHandle)),
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.pinned.side().gate.give_up_claim();
    }
}

/// In a forked child, calls that other threads had in flight at the fork never leave, and the descriptor would stay open. An
/// empty event takes its place: the number stays taken, so that no call ever meets a stranger behind it.
fn abandon(closer: Pinned) {
    let slot = closer.slot;
    if closer.is_inherited() && slot.sides.iter().map(|side| side.gate.inside()).sum::<u64>() > 1 {
        let _ = sys::event::replace(slot.socket.descriptor());
    }
}

/// Marks waiting as over in both directions, and wakes who waits. Async-signal-safe: atomics and write(2).
pub fn cancel(handle: Handle) -> Result<()> {
    let (slot, tag) = find(handle)?;
    let mut live = false;
    for side in &slot.sides {
        live |= side.gate.cancel(tag);
        side.waiters.alarm();
    }
    if live { Ok(()) } else { Err(Error::new(Code::BadHandle)) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    fn make(kind: Kind) -> Handle {
        insert(descriptor(), kind, -1, |_| {}).unwrap()
    }

    #[test]
    fn handles_of_many_chunks_are_found() {
        let handles: Vec<_> = (0..9000).map(|_| make(Kind::Stream)).collect();
        assert!(handles.iter().all(|handle| pin(*handle, Direction::Read).is_ok()));
        handles.iter().for_each(|handle| close(*handle, |_| {}).unwrap());
        assert!(handles.iter().all(|handle| pin(*handle, Direction::Write).is_err()));
    }

    #[test]
    fn a_descriptor_outlives_its_handle_until_the_last_call_has_left() {
        let handle = make(Kind::Stream);
        let reading = pin(handle, Direction::Read).unwrap();
        let writing = pin(handle, Direction::Write).unwrap();
        close(handle, |_| {}).unwrap();
        assert!(pin(handle, Direction::Read).is_err());
        assert!(reading.descriptor() >= 0);
        drop(reading);
        assert!(writing.descriptor() >= 0);
        assert!(std::fs::metadata(format!("/proc/self/fd/{}", writing.descriptor())).is_ok());
        drop(writing);
        assert!(look(handle).is_none());
    }

    #[test]
    fn the_tag_after_the_last_is_the_first_and_not_zero() {
        let (last, first) = (TAG & i64::MAX as u64, 1 << 24);
        // Another test may be quicker to use the slot.
        let came_round = (0..100).any(|_| {
            let handle = make(Kind::Stream);
            let index = handle as u64 & INDEX;
            slot(index as u32).unwrap().tag.store(last, Ordering::Relaxed);
            close(handle, |_| {}).unwrap();
            let next = make(Kind::Stream);
            close(next, |_| {}).unwrap();
            next as u64 == first | index
        });
        assert!(came_round);
    }

    /// What a program may do with handles, good ones and bad ones.
    #[derive(Clone, Debug)]
    enum Step {
        Make(Kind),
        Close(usize),
        CloseAgain(usize),
        Pin(usize),
        Forge(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let kind = prop_oneof![Just(Kind::Stream), Just(Kind::Listener), Just(Kind::Datagram)];
        let step = prop_oneof![
            3 => kind.prop_map(Step::Make),
            2 => any::<usize>().prop_map(Step::Close),
            1 => any::<usize>().prop_map(Step::CloseAgain),
            3 => any::<usize>().prop_map(Step::Pin),
            1 => any::<u64>().prop_map(Step::Forge),
        ];
        prop::collection::vec(step, 1..120)
    }

    proptest! {
        /// The table is a map from live handles to what they are, whatever is done to it.
        #[test]
        fn the_table_is_a_map(steps in steps()) {
            let mut live: HashMap<Handle, Kind> = HashMap::new();
            let mut order: Vec<Handle> = Vec::new();
            let mut dead: Vec<Handle> = Vec::new();
            for step in steps {
                match step {
                    Step::Make(kind) => {
                        let handle = make(kind);
                        prop_assert!(handle > INDEX as Handle);
                        prop_assert!(live.insert(handle, kind).is_none());
                        prop_assert!(!dead.contains(&handle));
                        order.push(handle);
                    }
                    Step::Close(which) if !order.is_empty() => {
                        let handle = order.swap_remove(which % order.len());
                        live.remove(&handle);
                        let closed = close(handle, |_| {});
                        prop_assert!(closed.is_ok());
                        dead.push(handle);
                    }
                    Step::CloseAgain(which) if !dead.is_empty() => {
                        let handle = dead[which % dead.len()];
                        prop_assert_eq!(close(handle, |_| {}).unwrap_err().code, Code::BadHandle);
                        prop_assert_eq!(cancel(handle).unwrap_err().code, Code::BadHandle);
                    }
                    Step::Pin(which) if !order.is_empty() => {
                        let handle = order[which % order.len()];
                        prop_assert_eq!(pin(handle, Direction::Write).unwrap().socket().kind(), live[&handle]);
                    }
                    Step::Forge(bits) => {
                        let forged = order.first().copied().unwrap_or(0) ^ bits as Handle;
                        prop_assert_eq!(pin(forged, Direction::Read).is_ok(), live.contains_key(&forged));
                    }
                    _ => {}
                }
            }
            order.iter().for_each(|handle| close(*handle, |_| {}).unwrap());
        }
    }
}
