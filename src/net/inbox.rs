//! Which fibers to wake on one worker: a lock-free stack of numbers that any thread, and any signal handler, may push to.
//!
//! The owner takes them all at once. A number that is already in it is not pushed again: the owner has yet to look.

use crate::sys::once::OnceLock;
#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

pub struct Inbox {
    /// The number pushed last, plus one; 0: empty.
    head: AtomicU32,
    /// The owner sleeps or is about to: whoever pushes has to wake it.
    asleep: AtomicBool,
    nodes: [OnceLock<Box<[Node]>>; CHUNKS],
}

struct Node {
    inside: AtomicBool,
    /// As `head`: who was pushed before.
    next: AtomicU32,
}

#[cfg(not(loom))]
const FIRST_CHUNK: u32 = 64;
#[cfg(loom)]
const FIRST_CHUNK: u32 = 2;
const CHUNKS: usize = 20; // 64 + 128 + … = 2^26 - 64 numbers

impl Inbox {
    pub fn new() -> Inbox {
        Inbox { head: AtomicU32::new(0), asleep: AtomicBool::new(false), nodes: [const { OnceLock::new() }; CHUNKS] }
    }

    /// Makes room for a number; numbers are used in their order. False if there is no memory.
    pub fn reserve(&self, number: u32) -> bool {
        let (chunk, _) = place(number);
        let Some(chunk) = self.nodes.get(chunk) else { return false };
        if chunk.get().is_some() {
            return true;
        }
        let length = (FIRST_CHUNK << place(number).0) as usize;
        let mut nodes = Vec::new();
        if nodes.try_reserve_exact(length).is_err() {
            return false;
        }
        nodes.extend((0..length).map(|_| Node { inside: AtomicBool::new(false), next: AtomicU32::new(0) }));
        let _ = chunk.set(nodes.into_boxed_slice());
        true
    }

    fn node(&self, number: u32) -> Option<&Node> {
        let (chunk, at) = place(number);
        self.nodes.get(chunk)?.get()?.get(at as usize)
    }

    /// Pushes a number. Returns whether the owner sleeps and must be woken, which only one of all who push is told.
    /// Async-signal-safe.
    pub fn push(&self, number: u32) -> bool {
        let Some(node) = self.node(number) else { return false };
        // A swap in any case: the owner's swap in `take` then sees everything that was done before this call.
        if node.inside.swap(true, Ordering::AcqRel) {
            return false;
        }
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            node.next.store(head, Ordering::Relaxed);
            match self.head.compare_exchange_weak(head, number + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        self.asleep.swap(false, Ordering::AcqRel)
    }

    /// Takes all numbers out. The owner alone calls it.
    pub fn take(&self, mut each: impl FnMut(u32)) {
        if self.head.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut head = self.head.swap(0, Ordering::AcqRel);
        while let Some(number) = head.checked_sub(1) {
            let Some(node) = self.node(number) else { return };
            head = node.next.load(Ordering::Relaxed);
            node.inside.swap(false, Ordering::AcqRel);
            each(number);
        }
    }

    /// The owner is going to sleep until woken. False if it must not: numbers wait.
    pub fn fall_asleep(&self) -> bool {
        self.asleep.swap(true, Ordering::AcqRel);
        // Read and written back: whoever pushes after this finds the owner asleep.
        if self.head.fetch_or(0, Ordering::AcqRel) == 0 {
            return true;
        }
        self.wake_up();
        false
    }

    /// The owner is awake: it will look by itself.
    pub fn wake_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}

/// In which chunk a number lies, and where in it.
fn place(number: u32) -> (usize, u32) {
    let shifted = number.saturating_add(FIRST_CHUNK);
    let chunk = shifted.ilog2() - FIRST_CHUNK.ilog2();
    (chunk as usize, shifted - (FIRST_CHUNK << chunk))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for number in 0..100_000 {
            assert_eq!(place(number), expected);
            expected.1 += 1;
            if expected.1 == FIRST_CHUNK << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
    }

    #[test]
    fn every_number_that_has_room_comes_out() {
        let inbox = Inbox::new();
        assert!((0..1000).all(|number| inbox.reserve(number)));
        (0..1000).for_each(|number| assert!(!inbox.push(number)));
        let mut out = Vec::new();
        inbox.take(|number| out.push(number));
        out.sort();
        assert!(out.into_iter().eq(0..1000));
    }

    #[test]
    fn who_is_awake_is_not_woken() {
        let inbox = Inbox::new();
        assert!(inbox.reserve(0));
        assert!(!inbox.push(0));
        assert!(!inbox.fall_asleep());
        inbox.take(|_| {});
        assert!(!inbox.push(0));
        inbox.take(|_| {});
        assert!(inbox.fall_asleep());
        inbox.wake_up();
        assert!(!inbox.push(0));
    }

    #[test]
    fn a_number_comes_out_once_however_often_it_was_pushed() {
        let inbox = Inbox::new();
        assert!([0, 1, 70].into_iter().all(|number| inbox.reserve(number)));
        [70, 1, 70, 0, 1].into_iter().for_each(|number| assert!(!inbox.push(number)));
        let mut out = Vec::new();
        inbox.take(|number| out.push(number));
        out.sort();
        assert_eq!(out, [0, 1, 70]);
        inbox.take(|_| panic!("it is empty"));
        assert!(inbox.fall_asleep());
        assert!(inbox.push(1));
        assert!(!inbox.push(0));
        assert!(!inbox.fall_asleep());
    }
}

#[cfg(all(test, loom))]
mod interleavings {
    use super::*;
    use loom::sync::{Arc, Notify};
    use loom::thread;

    /// Every interleaving with at most two preemptions: without that limit it takes hours.
    fn model(run: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(run);
    }

    /// What is made true before a push is seen by the owner, who looks after each number and else sleeps: no wake is lost.
    #[test]
    fn no_push_is_lost() {
        model(|| {
            let inbox = Arc::new(Inbox::new());
            let event = Arc::new(Notify::new());
            let done = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
            assert!(inbox.reserve(0) && inbox.reserve(1));
            let pushers: Vec<_> = (0..2u32)
                .map(|number| {
                    let (inbox, event, done) = (inbox.clone(), event.clone(), done.clone());
                    thread::spawn(move || {
                        done[number as usize].store(true, Ordering::Relaxed);
                        if inbox.push(number) {
                            event.notify();
                        }
                    })
                })
                .collect();
            let mut seen = [false; 2];
            while seen != [true; 2] {
                let mut came = false;
                inbox.take(|number| {
                    came = true;
                    seen[number as usize] = done[number as usize].load(Ordering::Relaxed);
                });
                if !came && seen != [true; 2] && inbox.fall_asleep() {
                    event.wait();
                    inbox.wake_up();
                }
            }
            pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        });
    }

    /// The same number pushed twice, for two things: the owner sees both.
    #[test]
    fn a_second_push_is_not_lost_in_the_first() {
        model(|| {
            let inbox = Arc::new(Inbox::new());
            let event = Arc::new(Notify::new());
            let count = Arc::new(AtomicU32::new(0));
            assert!(inbox.reserve(0));
            let other = {
                let (inbox, event, count) = (inbox.clone(), event.clone(), count.clone());
                thread::spawn(move || {
                    for _ in 0..2 {
                        count.fetch_add(1, Ordering::Relaxed);
                        if inbox.push(0) {
                            event.notify();
                        }
                    }
                })
            };
            let mut seen = 0;
            while seen < 2 {
                inbox.take(|_| seen = count.load(Ordering::Relaxed));
                if seen < 2 && inbox.fall_asleep() {
                    event.wait();
                    inbox.wake_up();
                }
            }
            other.join().unwrap();
        });
    }
}
