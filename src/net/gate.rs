//! One direction of one handle, as a single word: the handle's tag, calls inside, whether the turn is taken, whether it is closed.
//!
//! A call enters with one read-modify-write and leaves with another; no lock is held while it is inside. Reading and
//! writing have a gate and a cache line each, so that two threads on one handle do not slow each other down.
//!
//! ```text
//! 63 … 24: the handle's tag   23: closed  22: canceled  21: turn wanted  20: turn taken  19: releasing   18 … 0: calls inside
//! ```
//!
//! Releasing a handle, which may only be done while nobody uses it, means shutting two gates in one step. The release enters both
//! while they are empty and marks them; then it shuts the first, if that is still marked and nobody else has come in there. A call
//! that enters a marked gate takes the mark of the first away. So one of them sees the other, and a release that fails has shut
//! nobody out.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

const INSIDE: u64 = (1 << 19) - 1;
const RELEASING: u64 = 1 << 19;
const TAKEN: u64 = 1 << 20;
const WANTED: u64 = 1 << 21;
const CANCELED: u64 = 1 << 22;
const CLOSED: u64 = 1 << 23;
/// The bits of a handle that a gate compares.
pub const TAG: u64 = !((1 << 24) - 1);

pub struct Gate {
    word: AtomicU64,
}

/// How a call got in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Inside, and it is this call's turn.
    Turn,
    /// Inside, without the turn.
    Pin,
    /// The tag is not that of a live handle.
    Stale,
    /// Half a million calls are inside.
    Full,
}

/// What the last one out has to see to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Somebody waits for the turn that this call gave back.
    pub wanted: bool,
    /// The gate is closed and nobody is inside any more. Said exactly once.
    pub drained: bool,
}

impl Gate {
    /// A gate that lets nobody in.
    pub fn shut() -> Gate {
        Gate { word: AtomicU64::new(CLOSED) }
    }

    /// Opens for a new handle.
    pub fn open(&self, tag: u64) {
        self.word.store(tag, Ordering::Release);
    }

    /// Enters to work beside others.
    pub fn enter(&self, tag: u64) -> Entry {
        self.enter_with(tag, |_| (1, Entry::Pin))
    }

    /// Enters if nobody is inside, which is most often so, and takes the `turn` or not: no need to look first.
    #[inline]
    pub fn enter_alone(&self, tag: u64, turn: bool) -> bool {
        let entered = 1 + if turn { TAKEN } else { 0 };
        self.word.compare_exchange(tag, tag + entered, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Enters and takes the turn, or, if that is taken or others wait for it, enters without it.
    pub fn enter_for_turn(&self, tag: u64) -> Entry {
        self.enter_with(tag, |word| if word & (TAKEN | WANTED) == 0 { (TAKEN | 1, Entry::Turn) } else { (1, Entry::Pin) })
    }

    fn enter_with(&self, tag: u64, gain: impl Fn(u64) -> (u64, Entry)) -> Entry {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & TAG != tag || word & CLOSED != 0 {
                return Entry::Stale;
            }
            if word & INSIDE >= INSIDE - 1 {
                return Entry::Full; // the last place is for the closer, who stays inside
            }
            let (added, entry) = gain(word);
            match self.word.compare_exchange_weak(word, word + added, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return entry,
                Err(now) => word = now,
            }
        }
    }

    /// Takes the turn if it is free, for a call that waited for it inside.
    pub fn take_turn(&self) -> bool {
        self.word.fetch_or(TAKEN, Ordering::Acquire) & TAKEN == 0
    }

    /// Says whether calls inside wait for the turn: while they do, newcomers queue behind them.
    pub fn set_wanted(&self, wanted: bool) {
        if wanted {
            self.word.fetch_or(WANTED, Ordering::AcqRel);
        } else {
            self.word.fetch_and(!WANTED, Ordering::AcqRel);
        }
    }

    /// Leaves, giving the turn back if `turn`.
    #[inline]
    pub fn leave(&self, turn: bool) -> Left {
        let gone = 1 + if turn { TAKEN } else { 0 };
        let word = self.word.fetch_sub(gone, Ordering::AcqRel) - gone;
        Left { wanted: turn && word & WANTED != 0, drained: word & CLOSED != 0 && word & INSIDE == 0 }
    }

    /// Lets nobody in any more. None if the tag is stale or the gate already closed; else whether it is drained. `stay` keeps
    /// the closer inside, so that it is not.
    pub fn close(&self, tag: u64, stay: bool) -> Option<bool> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & TAG != tag || word & CLOSED != 0 {
                return None;
            }
            let closed = (word | CLOSED) + u64::from(stay);
            match self.word.compare_exchange_weak(word, closed, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(closed & INSIDE == 0),
                Err(now) => word = now,
            }
        }
    }

    /// Enters for a release, if nobody is inside. None if the tag is stale or the gate closed; false if somebody is.
    pub fn claim(&self, tag: u64) -> Option<bool> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & TAG != tag || word & CLOSED != 0 {
                return None;
            }
            if word & INSIDE != 0 {
                return Some(false);
            }
            match self.word.compare_exchange_weak(word, (word | RELEASING) + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(true),
                Err(now) => word = now,
            }
        }
    }

    /// For the one who has claimed this gate, the first, and then the other: closes it, unless somebody has come in.
    pub fn close_claimed(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & (CLOSED | RELEASING | INSIDE) == RELEASING | 1 {
            match self.word.compare_exchange_weak(word, word | CLOSED, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Closes the other gate, once the first is.
    pub fn close_after_first(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Takes [`Gate::claim`] back; the caller stays inside. A closed gate keeps its mark, for calls that have just entered to see.
    pub fn give_up_claim(&self) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & CLOSED == 0 {
            match self.word.compare_exchange_weak(word, word & !RELEASING, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Whether a call that has entered may go on: no release is under way, or this has prevented it. `first` is the first gate of
    /// the handle.
    #[inline]
    pub fn may_stay(&self, first: &Gate) -> bool {
        self.word.load(Ordering::Relaxed) & RELEASING == 0 || first.prevent_release()
    }

    #[cold]
    fn prevent_release(&self) -> bool {
        let mut word = self.word.load(Ordering::Acquire);
        while word & (CLOSED | RELEASING) == RELEASING {
            match self.word.compare_exchange_weak(word, word & !RELEASING, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        word & CLOSED == 0
    }

    /// Marks that waiting is over for good. False if the tag is stale.
    pub fn cancel(&self, tag: u64) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & TAG != tag || word & CLOSED != 0 {
                return false;
            }
            match self.word.compare_exchange_weak(word, word | CANCELED, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    pub fn is_closed(&self) -> bool {
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Whether a handle with this tag is live.
    pub fn is_open(&self, tag: u64) -> bool {
        self.word.load(Ordering::Acquire) & (TAG | CLOSED) == tag
    }

    /// Whether a handle with this tag is live, or closed and not yet gone.
    #[inline]
    pub fn is_of(&self, tag: u64) -> bool {
        self.word.load(Ordering::Acquire) & TAG == tag
    }

    /// Whether nobody may wait here any more: closed or canceled.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.word.load(Ordering::Acquire) & (CLOSED | CANCELED) != 0
    }

    pub fn is_canceled(&self) -> bool {
        self.word.load(Ordering::Acquire) & CANCELED != 0
    }

    /// How many calls are inside.
    pub fn inside(&self) -> u64 {
        self.word.load(Ordering::Acquire) & INSIDE
    }

    /// Whether a call has the turn.
    pub fn is_taken(&self) -> bool {
        self.word.load(Ordering::Acquire) & TAKEN != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const TAG_A: u64 = 5 << 24;
    const TAG_B: u64 = 6 << 24;

    #[test]
    fn only_the_right_tag_enters() {
        let gate = Gate::shut();
        assert_eq!(gate.enter(0), Entry::Stale);
        gate.open(TAG_A);
        assert_eq!(gate.enter(TAG_B), Entry::Stale);
        assert_eq!(gate.enter_for_turn(TAG_B), Entry::Stale);
        assert_eq!(gate.enter(TAG_A), Entry::Pin);
        assert_eq!(gate.leave(false), Left { wanted: false, drained: false });
    }

    #[test]
    fn the_turn_is_given_once_and_newcomers_queue_behind_those_who_wait() {
        let gate = Gate::shut();
        gate.open(TAG_A);
        assert_eq!(gate.enter_for_turn(TAG_A), Entry::Turn);
        assert_eq!(gate.enter_for_turn(TAG_A), Entry::Pin);
        gate.set_wanted(true);
        assert!(gate.leave(true).wanted);
        assert_eq!(gate.enter_for_turn(TAG_A), Entry::Pin);
        assert!(gate.take_turn());
        assert!(!gate.take_turn());
    }

    #[test]
    fn a_full_gate_lets_nobody_in() {
        let gate = Gate::shut();
        gate.open(TAG_A | (INSIDE - 2));
        assert_eq!(gate.enter(TAG_A), Entry::Pin);
        assert_eq!(gate.inside(), INSIDE - 1);
        assert_eq!(gate.enter(TAG_A), Entry::Full);
        assert_eq!(gate.enter_for_turn(TAG_A), Entry::Full);
        gate.leave(false);
        assert_eq!(gate.enter_for_turn(TAG_A), Entry::Turn);
    }

    #[test]
    fn a_full_gate_can_be_closed() {
        let gate = Gate::shut();
        gate.open(TAG_A | (INSIDE - 2));
        while gate.enter(TAG_A) != Entry::Full {}
        assert_eq!(gate.close(TAG_A, true), Some(false));
        assert_eq!(gate.inside(), INSIDE);
        assert!(!gate.leave(false).drained);
    }

    #[test]
    fn only_who_gives_the_turn_back_has_to_pass_it_on_and_only_where_it_is_wanted() {
        let gate = Gate::shut();
        gate.open(TAG_A);
        assert_eq!(gate.enter_for_turn(TAG_A), Entry::Turn);
        assert_eq!(gate.leave(true), Left { wanted: false, drained: false });
        assert!(gate.enter_alone(TAG_A, true));
        gate.set_wanted(true);
        assert_eq!(gate.enter(TAG_A), Entry::Pin);
        assert_eq!(gate.leave(false), Left { wanted: false, drained: false });
        assert_eq!(gate.leave(true), Left { wanted: true, drained: false });
    }

    #[test]
    fn only_an_empty_gate_is_claimed() {
        let gate = Gate::shut();
        gate.open(TAG_A);
        assert_eq!(gate.claim(TAG_B), None);
        assert_eq!(gate.enter(TAG_A), Entry::Pin);
        assert_eq!(gate.claim(TAG_A), Some(false));
        gate.leave(false);
        assert_eq!(gate.claim(TAG_A), Some(true));
        assert_eq!(gate.claim(TAG_A), Some(false));
        assert!(gate.close_claimed());
        assert_eq!(gate.claim(TAG_A), None);
        assert_eq!(gate.enter(TAG_A), Entry::Stale);
        assert!(gate.leave(false).drained);
    }

    #[test]
    fn who_enters_a_claimed_gate_prevents_the_release() {
        let [first, other] = [Gate::shut(), Gate::shut()];
        first.open(TAG_A);
        other.open(TAG_A);
        assert_eq!((first.claim(TAG_A), other.claim(TAG_A)), (Some(true), Some(true)));
        assert!(!other.enter_alone(TAG_A, true) && !other.enter_alone(TAG_A, false));
        assert_eq!(other.enter_for_turn(TAG_A), Entry::Turn);
        assert!(other.may_stay(&first));
        assert!(!other.leave(true).drained);
        // Even a call that has left again.
        assert!(!first.close_claimed());
        assert!(!first.leave(false).drained);
        other.give_up_claim();
        assert!(!other.leave(false).drained);
        assert!(first.enter_alone(TAG_A, true) && other.enter_alone(TAG_A, false));
    }

    #[test]
    fn a_claimed_gate_can_be_closed_and_canceled() {
        let gate = Gate::shut();
        gate.open(TAG_A);
        assert_eq!(gate.claim(TAG_A), Some(true));
        assert!(gate.cancel(TAG_A));
        gate.give_up_claim();
        gate.leave(false);
        assert!(gate.is_canceled());
        assert_eq!(gate.claim(TAG_A), Some(true));
        assert_eq!(gate.close(TAG_A, true), Some(false));
        assert!(!gate.close_claimed());
        assert!(!gate.leave(false).drained);
        assert!(gate.leave(false).drained);
    }

    #[test]
    fn a_closed_gate_drains_once() {
        let gate = Gate::shut();
        gate.open(TAG_A);
        assert_eq!(gate.enter(TAG_A), Entry::Pin);
        assert_eq!(gate.close(TAG_A, false), Some(false));
        assert_eq!(gate.close(TAG_A, false), None);
        assert_eq!(gate.enter(TAG_A), Entry::Stale);
        assert!(gate.leave(false).drained);
    }
}

#[cfg(all(test, loom))]
mod interleavings {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    const TAG_A: u64 = 5 << 24;
    const TAG_B: u64 = 6 << 24;

    /// Whoever drains the gate closes the descriptor and opens the gate for the next handle: nobody else may be inside then.
    #[test]
    fn nobody_is_inside_when_the_descriptor_closes() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3); // three threads: unbounded, it takes a minute and finds no more
        model.check(|| {
            let gate = Arc::new(Gate::shut());
            let owner = Arc::new(AtomicUsize::new(1));
            let drains = Arc::new(AtomicUsize::new(0));
            gate.open(TAG_A);
            let call = |gate: Arc<Gate>, owner: Arc<AtomicUsize>, drains: Arc<AtomicUsize>, turn: bool| {
                move || {
                    let entry = if turn { gate.enter_for_turn(TAG_A) } else { gate.enter(TAG_A) };
                    if entry == Entry::Stale {
                        return;
                    }
                    assert_eq!(owner.load(Ordering::Relaxed), 1, "inside a stranger's descriptor");
                    if gate.leave(entry == Entry::Turn).drained {
                        drains.fetch_add(1, Ordering::Relaxed);
                        owner.store(2, Ordering::Relaxed);
                        gate.open(TAG_B);
                    }
                }
            };
            let one = thread::spawn(call(gate.clone(), owner.clone(), drains.clone(), true));
            let two = thread::spawn(call(gate.clone(), owner.clone(), drains.clone(), false));
            if gate.close(TAG_A, false) == Some(true) {
                drains.fetch_add(1, Ordering::Relaxed);
                owner.store(2, Ordering::Relaxed);
                gate.open(TAG_B);
            }
            one.join().unwrap();
            two.join().unwrap();
            assert_eq!(drains.load(Ordering::Relaxed), 1);
            assert_eq!(gate.enter(TAG_B), Entry::Pin);
        });
    }

    /// A handle: its two gates, whose descriptor is behind them, and how often it has been drained.
    struct Handle {
        gates: [Gate; 2],
        owner: AtomicUsize,
        drains: AtomicUsize,
    }

    impl Handle {
        fn new() -> Arc<Handle> {
            let handle = Handle { gates: [Gate::shut(), Gate::shut()], owner: AtomicUsize::new(1), drains: AtomicUsize::new(0) };
            handle.gates.iter().for_each(|gate| gate.open(TAG_A));
            Arc::new(handle)
        }

        fn leave(&self, gate: usize) {
            if self.gates[gate].leave(false).drained {
                self.drains.fetch_add(1, Ordering::Relaxed);
            }
        }

        /// False if the handle is gone.
        fn call(&self, gate: usize) -> bool {
            if self.gates[gate].enter(TAG_A) == Entry::Stale {
                return false;
            }
            let may = self.gates[gate].may_stay(&self.gates[0]);
            if may {
                assert_eq!(self.owner.load(Ordering::Relaxed), 1, "inside a released descriptor");
            }
            self.leave(gate);
            may
        }

        /// None if the handle is gone, false if somebody is inside.
        fn release(&self) -> Option<bool> {
            let [first, other] = &self.gates;
            if !first.claim(TAG_A)? {
                return Some(false);
            }
            let claimed = other.claim(TAG_A) == Some(true);
            let released = claimed && first.close_claimed();
            if released {
                other.close_after_first();
                self.owner.store(2, Ordering::Relaxed);
            }
            if claimed {
                other.give_up_claim();
                self.leave(1);
            }
            first.give_up_claim();
            self.leave(0);
            Some(released)
        }

        fn close(&self) -> bool {
            if self.gates[0].close(TAG_A, true).is_none() {
                return false;
            }
            if self.gates[1].close(TAG_A, false) == Some(true) {
                self.drains.fetch_add(1, Ordering::Relaxed);
            }
            self.leave(0);
            true
        }
    }

    fn model(check: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(check);
    }

    /// A call on each gate: nobody is inside a released descriptor, and both gates drain once.
    #[test]
    fn nobody_is_inside_what_is_released() {
        model(|| {
            let handle = Handle::new();
            let calls = [0, 1].map(|gate| {
                let handle = handle.clone();
                thread::spawn(move || handle.call(gate))
            });
            let released = handle.release() == Some(true);
            let served = calls.map(|call| call.join().unwrap());
            assert!(released || served == [true, true]);
            assert_eq!(handle.drains.load(Ordering::Relaxed), if released { 2 } else { 0 });
            assert_eq!(handle.call(0) && handle.call(1), !released);
        });
    }

    /// While one is inside the second gate, nobody notices that a release was tried.
    #[test]
    fn a_release_that_fails_shuts_nobody_out() {
        model(|| {
            let handle = Handle::new();
            assert_eq!(handle.gates[1].enter(TAG_A), Entry::Pin);
            let caller = {
                let handle = handle.clone();
                thread::spawn(move || {
                    assert!(handle.call(0));
                    assert!(handle.gates[0].cancel(TAG_A));
                })
            };
            let other = {
                let handle = handle.clone();
                thread::spawn(move || assert!(handle.call(1)))
            };
            assert_eq!(handle.release(), Some(false));
            caller.join().unwrap();
            other.join().unwrap();
            assert!(handle.gates[0].is_canceled());
            handle.leave(1);
            assert_eq!(handle.release(), Some(true));
        });
    }

    /// Two releases, or a release and a close: one of them ends the handle, and it drains once.
    #[test]
    fn one_ends_the_handle() {
        for close in [false, true] {
            model(move || {
                let handle = Handle::new();
                let other = {
                    let handle = handle.clone();
                    thread::spawn(move || if close { handle.close() } else { handle.release() == Some(true) })
                };
                let released = handle.release() == Some(true);
                assert!(released != other.join().unwrap());
                assert_eq!(handle.drains.load(Ordering::Relaxed), 2);
            });
        }
    }

    /// Two closers: one wins.
    #[test]
    fn one_closer_wins() {
        loom::model(|| {
            let gate = Arc::new(Gate::shut());
            gate.open(TAG_A);
            let other = {
                let gate = gate.clone();
                thread::spawn(move || gate.close(TAG_A, true).is_some())
            };
            let here = gate.close(TAG_A, true).is_some();
            assert!(here != other.join().unwrap());
            assert!(gate.leave(false).drained);
        });
    }
}
