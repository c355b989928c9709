//! Who waits at one direction of a handle, and waking them.
//!
//! The lock is held for a few instructions and the write of an eventfd. [`Waiters::alarm`] never waits for it, so that a
//! signal handler may call it: whoever holds the lock at that moment does the waking when it lets go.

use super::error::{Code, Error, Result};
#[cfg(not(loom))]
use super::lock::{lock, try_lock};
#[cfg(loom)]
use loom::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering, fence},
};
#[cfg(not(loom))]
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

#[cfg(loom)]
fn lock<T>(mutex: &Mutex<T>) -> loom::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(loom)]
fn try_lock<T>(mutex: &Mutex<T>) -> Option<loom::sync::MutexGuard<'_, T>> {
    mutex.try_lock().ok()
}

/// Wakes one thread or fiber. Must be async-signal-safe, and harmless when nobody sleeps any more.
pub trait Wake: PartialEq {
    fn wake(&self);

    /// Tells it apart from all others that stay on a list between their waits; 0: it does not stay.
    fn mark(&self) -> u64 {
        0
    }
}

/// What a waiter waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum For {
    /// The descriptor to be ready; the kernel says so.
    Readiness,
    /// Its turn; the call that has it says so.
    Turn,
}

pub struct Waiters<W> {
    list: Mutex<Vec<(W, For)>>,
    alarmed: AtomicBool,
    /// Somebody is on the list.
    occupied: AtomicBool,
    /// The mark of the one who stays on the list when its wait is over, so that its next one costs no lock; 0: none. A wake that
    /// finds it busy elsewhere costs it one look too many.
    resident: AtomicU64,
}

impl<W: Wake> Waiters<W> {
    pub fn new() -> Waiters<W> {
        Waiters {
            list: Mutex::new(Vec::new()),
            alarmed: AtomicBool::new(false),
            occupied: AtomicBool::new(false),
            resident: AtomicU64::new(0),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<(W, For)>) -> T) -> T {
        let result = work(&mut lock(&self.list));
        self.settle();
        result
    }

    /// Wakes everybody if an alarm came while the list was locked.
    fn settle(&self) {
        while self.alarmed.load(Ordering::SeqCst) {
            let Some(list) = try_lock(&self.list) else {
                return; // who holds it settles after us
            };
            self.alarmed.store(false, Ordering::SeqCst);
            list.iter().for_each(|(waiter, _)| waiter.wake());
        }
    }

    /// Joins the list. What is waited for must be looked at after this, or a wake in between would be lost.
    /// `joined` runs under the lock.
    pub fn join(&self, waiter: W, purpose: For, joined: impl FnOnce()) -> Result<()> {
        self.with(|list| {
            // Most lists never have more than one.
            let room = if list.capacity() == 0 { list.try_reserve_exact(1) } else { list.try_reserve(1) };
            room.map_err(|_| Error::new(Code::OutOfMemory))?;
            list.push((waiter, purpose));
            self.occupied.store(true, Ordering::Relaxed);
            // Between this and the look at what is waited for; the other half is in `alarm`.
            fence(Ordering::SeqCst);
            joined();
            Ok(())
        })
    }

    /// Whether the waiter of this mark is still on the list from an earlier wait: as good as joining.
    #[inline]
    pub fn has_resident(&self, mark: u64) -> bool {
        self.resident.load(Ordering::SeqCst) == mark
    }

    /// Joins the list to be told of readiness, and stays on it if nobody else does. Whether it stays; otherwise it has to quit.
    pub fn join_to_stay(&self, waiter: &W) -> Result<bool>
    where
        W: Clone,
    {
        let mark = waiter.mark();
        self.join(waiter.clone(), For::Readiness, || {
            let _ = self.resident.compare_exchange(0, mark, Ordering::SeqCst, Ordering::SeqCst);
        })?;
        Ok(mark != 0 && self.has_resident(mark))
    }

    /// The residents that `gone` says are gone leave the list.
    pub fn evict(&self, gone: impl Fn(&W) -> bool) {
        if self.resident.load(Ordering::SeqCst) == 0 {
            return;
        }
        self.with(|list| {
            let mark = self.resident.load(Ordering::SeqCst);
            if mark != 0 && list.iter().any(|(waiter, _)| waiter.mark() == mark && gone(waiter)) {
                list.retain(|(waiter, purpose)| *purpose == For::Turn || waiter.mark() != mark);
                self.occupied.store(!list.is_empty(), Ordering::SeqCst);
                self.resident.store(0, Ordering::SeqCst);
            }
        });
    }

    /// Leaves the list. `left` runs under the lock with whether others still wait for their turn.
    pub fn quit(&self, waiter: &W, left: impl FnOnce(bool)) {
        self.with(|list| {
            // The last: an earlier one is that of a resident.
            if let Some(at) = list.iter().rposition(|(other, _)| other == waiter) {
                remove(list, at);
            }
            self.occupied.store(!list.is_empty(), Ordering::SeqCst);
            left(first_for_turn(list).is_some());
        });
    }

    /// Whether `waiter` is the first of those who wait for their turn; if so `take` is asked, and if it agrees the waiter has left
    /// the list and `left` is told whether others wait for theirs.
    pub fn take_turn(&self, waiter: &W, take: impl FnOnce() -> bool, left: impl FnOnce(bool)) -> bool {
        self.with(|list| {
            let Some(at) = first_for_turn(list) else {
                return false;
            };
            if list[at].0 != *waiter || !take() {
                return false;
            }
            remove(list, at);
            left(first_for_turn(list).is_some());
            true
        })
    }

    /// The turn is free: wakes whoever has waited longest for it.
    pub fn pass_turn(&self) {
        self.with(|list| {
            if let Some(at) = first_for_turn(list) {
                list[at].0.wake();
            }
        });
    }

    /// The descriptor is ready, as was noted before this call: `hear` gets those who wait for that.
    #[inline]
    pub fn tell(&self, hear: impl Fn(&W)) {
        if self.occupied.load(Ordering::SeqCst) {
            self.with(|list| {
                let ready = list.iter().filter(|(_, purpose)| *purpose == For::Readiness);
                ready.for_each(|(waiter, _)| hear(waiter));
            });
        }
    }

    /// Wakes everybody, to look again at flags and deadlines that were set before this. Async-signal-safe.
    pub fn alarm(&self) {
        // Whoever joins later sees what was set.
        fence(Ordering::SeqCst);
        if self.occupied.load(Ordering::Relaxed) {
            self.alarmed.store(true, Ordering::SeqCst);
            self.settle();
        }
    }

    /// Nobody waits any more: whoever has stayed leaves.
    pub fn reset(&self) {
        if self.occupied.load(Ordering::SeqCst) {
            self.with(|list| {
                list.clear();
                self.occupied.store(false, Ordering::SeqCst);
                self.resident.store(0, Ordering::SeqCst);
            });
        }
    }
}

/// How many places an empty list keeps for the waits to come, of this handle or the next.
const MOST_KEPT: usize = 4;

fn remove<W>(list: &mut Vec<(W, For)>, at: usize) {
    list.remove(at);
    if list.is_empty() && list.capacity() > MOST_KEPT {
        *list = Vec::new();
    }
}

fn first_for_turn<W>(list: &[(W, For)]) -> Option<usize> {
    list.iter().position(|(_, purpose)| *purpose == For::Turn)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    /// Counts how often it is woken. One that has a mark may stay.
    #[derive(Clone)]
    struct Sleeper(Rc<Cell<usize>>, u64);

    impl PartialEq for Sleeper {
        fn eq(&self, other: &Sleeper) -> bool {
            Rc::ptr_eq(&self.0, &other.0)
        }
    }

    impl Wake for Sleeper {
        fn wake(&self) {
            self.0.set(self.0.get() + 1);
        }

        fn mark(&self) -> u64 {
            self.1
        }
    }

    fn sleeper(mark: u64) -> Sleeper {
        Sleeper(Rc::new(Cell::new(0)), mark)
    }

    /// Which of `sleepers` hear that the descriptor is ready.
    fn told<const N: usize>(waiters: &Waiters<Sleeper>, sleepers: [&Sleeper; N]) -> [bool; N] {
        let before = sleepers.map(|sleeper| sleeper.0.get());
        waiters.tell(Sleeper::wake);
        std::array::from_fn(|at| sleepers[at].0.get() > before[at])
    }

    #[test]
    fn who_has_quit_is_told_nothing() {
        let (waiters, one, other) = (Waiters::new(), sleeper(0), sleeper(0));
        waiters.join(one.clone(), For::Readiness, || {}).unwrap();
        waiters.join(other.clone(), For::Readiness, || {}).unwrap();
        assert_eq!(told(&waiters, [&one, &other]), [true, true]);
        waiters.quit(&one, |wanted| assert!(!wanted));
        assert_eq!(told(&waiters, [&one, &other]), [false, true]);
        waiters.quit(&other, |_| {});
        assert_eq!(told(&waiters, [&one, &other]), [false, false]);
        assert!(lock(&waiters.list).is_empty());
    }

    #[test]
    fn the_turn_goes_to_who_waited_longest_and_readiness_to_others() {
        let (waiters, first, second, reader) = (Waiters::new(), sleeper(0), sleeper(0), sleeper(0));
        waiters.join(reader.clone(), For::Readiness, || {}).unwrap();
        waiters.join(first.clone(), For::Turn, || {}).unwrap();
        waiters.join(second.clone(), For::Turn, || {}).unwrap();
        waiters.pass_turn();
        assert_eq!([&reader, &first, &second].map(|sleeper| sleeper.0.get()), [0, 1, 0]);
        assert_eq!(told(&waiters, [&reader, &first, &second]), [true, false, false]);
        assert!(!waiters.take_turn(&second, || true, |_| {}));
        assert!(!waiters.take_turn(&first, || false, |_| {}));
        assert!(waiters.take_turn(&first, || true, |wanted| assert!(wanted)));
        waiters.quit(&second, |wanted| assert!(!wanted));
        assert!(!waiters.take_turn(&second, || true, |_| {}));
    }

    #[test]
    fn one_stays_between_its_waits() {
        let (waiters, one, other, nobody) = (Waiters::new(), sleeper(1), sleeper(2), sleeper(0));
        assert!(!waiters.join_to_stay(&nobody).unwrap());
        assert!(waiters.join_to_stay(&one).unwrap());
        assert!(!waiters.join_to_stay(&other).unwrap());
        assert!(waiters.has_resident(1) && !waiters.has_resident(2));
        waiters.quit(&other, |_| {});
        assert_eq!(told(&waiters, [&one, &other]), [true, false]);
    }

    #[test]
    fn only_a_resident_that_is_gone_is_evicted_and_not_from_its_wait_for_the_turn() {
        let (waiters, one, other) = (Waiters::new(), sleeper(1), sleeper(2));
        waiters.evict(|_| true);
        waiters.join_to_stay(&one).unwrap();
        waiters.join(other.clone(), For::Readiness, || {}).unwrap();
        waiters.join(one.clone(), For::Turn, || {}).unwrap();
        waiters.evict(|gone| *gone == other);
        assert!(waiters.has_resident(1));
        assert_eq!(told(&waiters, [&one, &other]), [true, true]);
        waiters.evict(|gone| *gone == one);
        assert!(!waiters.has_resident(1));
        assert_eq!(told(&waiters, [&one, &other]), [false, true]);
        assert!(waiters.take_turn(&one, || true, |_| {}));
    }
}

#[cfg(all(test, loom))]
mod interleavings {
    use super::super::gate::{Entry, Gate};
    use super::*;
    use loom::sync::Arc;
    use loom::sync::Notify;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    #[derive(Clone)]
    struct Sleeper(Arc<Notify>);

    impl PartialEq for Sleeper {
        fn eq(&self, other: &Sleeper) -> bool {
            Arc::ptr_eq(&self.0, &other.0)
        }
    }

    impl Wake for Sleeper {
        fn wake(&self) {
            self.0.notify();
        }
    }

    impl Sleeper {
        fn new() -> Sleeper {
            Sleeper(Arc::new(Notify::new()))
        }
    }

    const TAG: u64 = 5 << 24;

    /// A waiter that joins and then looks at the flag never sleeps through an alarm.
    #[test]
    fn no_alarm_is_lost() {
        loom::model(|| {
            let gate = Arc::new(Gate::shut());
            gate.open(TAG);
            let waiters = Arc::new(Waiters::new());
            let canceler = {
                let (gate, waiters) = (gate.clone(), waiters.clone());
                thread::spawn(move || {
                    gate.cancel(TAG);
                    waiters.alarm();
                })
            };
            let sleeper = Sleeper::new();
            waiters.join(sleeper.clone(), For::Readiness, || {}).unwrap();
            while !gate.is_canceled() {
                sleeper.0.wait();
            }
            waiters.quit(&sleeper, |_| {});
            canceler.join().unwrap();
        });
    }

    /// Two calls that want the turn both get it, one after the other, and are never in it together.
    #[test]
    fn the_turn_is_passed_on() {
        loom::model(|| {
            let gate = Arc::new(Gate::shut());
            gate.open(TAG);
            let waiters = Arc::new(Waiters::new());
            let inside = Arc::new(AtomicUsize::new(0));
            let call = |gate: Arc<Gate>, waiters: Arc<Waiters<Sleeper>>, inside: Arc<AtomicUsize>| {
                move || {
                    if gate.enter_for_turn(TAG) == Entry::Pin {
                        let sleeper = Sleeper::new();
                        waiters.join(sleeper.clone(), For::Turn, || gate.set_wanted(true)).unwrap();
                        while !waiters.take_turn(&sleeper, || gate.take_turn(), |more| gate.set_wanted(more)) {
                            sleeper.0.wait();
                        }
                    }
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    if gate.leave(true).wanted {
                        waiters.pass_turn();
                    }
                }
            };
            let other = thread::spawn(call(gate.clone(), waiters.clone(), inside.clone()));
            call(gate.clone(), waiters.clone(), inside.clone())();
            other.join().unwrap();
            assert_eq!(gate.inside(), 0);
        });
    }
}
