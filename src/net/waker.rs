//! What wakes a sleeping thread or fiber: an eventfd that the thread keeps from one wait to the next, or the fiber's number in its
//! worker's inbox.

use super::error::Result;
use super::lock::try_lock;
use super::wait::NEVER;
use super::waiters::Wake;
use super::worker::{self, Ticket};
use super::{registry, scope};
use crate::sys::event::Event;
use crate::sys::poll::{self, Watch};
use crate::sys::shared::{Shared, Weak};
use crate::sys::{Errno, clock, process, thread};
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How often a thread without an eventfd of its own (descriptors have run out) looks at the flags. Nanoseconds.
const LOOK: i64 = 5_000_000;

/// What a thread sleeps with.
pub struct Parker {
    /// None where the process had no descriptor left for it.
    event: Option<Event>,
    /// An eventfd is shared over fork: the child makes its own.
    generation: u32,
    /// Whether its thread waits; see [`Own`].
    state: AtomicU8,
}

const IDLE: u8 = 0;
const BUSY: u8 = 1;
const RETIRED: u8 = 2;

impl Parker {
    /// Whether it was made by this process. A forked child may have closed the eventfds of its parent, as daemons close whatever they
    /// are born with, and have something else under their numbers: it neither sets nor closes them.
    fn is_here(&self) -> bool {
        self.generation == process::generation()
    }

    fn turns(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }
}

/// Wakes a thread or a fiber that waits, or is about to.
#[derive(Clone, PartialEq)]
pub enum Waker {
    Thread(Shared<Parker>),
    Fiber(Ticket),
}

impl Wake for Waker {
    fn wake(&self) {
        match self {
            Waker::Thread(parker) if parker.is_here() => parker.event.iter().for_each(Event::set),
            Waker::Thread(_) => {}
            Waker::Fiber(ticket) => ticket.wake(),
        }
    }

    fn mark(&self) -> u64 {
        match self {
            Waker::Thread(_) => 0,
            Waker::Fiber(ticket) => ticket.mark(),
        }
    }
}

thread_local! {
    // Without a destructor: if this is first used while the thread ends, it would be too late for one.
    static PARKER: RefCell<ManuallyDrop<Option<Shared<Parker>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Makes `parker` the one that the calling thread keeps, in place of the one before.
fn keep(parker: Option<Shared<Parker>>) {
    let before = ManuallyDrop::into_inner(PARKER.replace(ManuallyDrop::new(parker)));
    if before.as_ref().is_some_and(|before| !before.is_here()) {
        std::mem::forget(before);
    }
}

/// The parkers that threads keep from one wait to the next.
static KEPT: Mutex<Vec<Weak<Parker>>> = Mutex::new(Vec::new());
static RETIRE: AtomicBool = AtomicBool::new(false);

/// The caller's waker for the length of one wait.
///
/// A thread keeps its eventfd while there are handles. When the last is closed, whoever closes it, all that are idle go: a
/// process without handles holds no descriptors of ours. A busy one goes when its wait is over.
pub struct Own(Waker);

impl Deref for Own {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        &self.0
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Waker::Thread(parker) = &self.0 {
            parker.state.store(IDLE, Ordering::SeqCst);
            if registry::live() == 0 {
                retire_idle();
            }
        }
    }
}

/// Closes the eventfds of threads that do not wait. There are no handles.
pub fn retire_idle() {
    RETIRE.store(true, Ordering::SeqCst);
    settle_kept();
}

/// Does what was asked for while [`KEPT`] was locked. It is never waited for: a fork may leave it locked in the child.
fn settle_kept() {
    while RETIRE.load(Ordering::SeqCst) {
        let Some(mut kept) = try_lock(&KEPT) else {
            return; // who holds it settles after us
        };
        RETIRE.store(false, Ordering::SeqCst);
        kept.retain(|parker| {
            let Some(parker) = parker.upgrade() else { return false };
            if !parker.is_here() {
                return false;
            }
            let retired = parker.turns(IDLE, RETIRED);
            if let (true, Some(event)) = (retired, &parker.event) {
                event.close();
            }
            !retired
        });
    }
}

impl Waker {
    /// The waker of the calling thread or fiber.
    pub fn current() -> Result<Own> {
        if let Some(waker) = scope::waker()? {
            return Ok(Own(waker));
        }
        let generation = process::generation();
        let kept = PARKER.with_borrow(|parker| Option::clone(parker));
        match kept {
            Some(parker) if parker.generation == generation && parker.event.is_some() && parker.turns(IDLE, BUSY) => {
                Ok(Own(Waker::Thread(parker)))
            }
            _ => Parker::kept(generation).map(|parker| Own(Waker::Thread(parker))),
        }
    }

    /// A waker that belongs to no thread: for those who sleep in an epoll set that has its eventfd.
    pub fn apart() -> Result<Waker> {
        Ok(Waker::Thread(Shared::new(Parker::new(Some(Event::new()?), process::generation()))?))
    }

    /// A waker that is not kept for the thread. Without a descriptor for it, whoever sleeps with it wakes now and then to look.
    pub fn fresh() -> Result<Waker> {
        Ok(Waker::Thread(Shared::new(Parker::new(Event::new().ok(), process::generation()))?))
    }

    /// The process whose threads it wakes.
    pub fn generation(&self) -> u32 {
        match self {
            Waker::Thread(parker) => parker.generation,
            Waker::Fiber(ticket) => ticket.generation(),
        }
    }

    fn event(&self) -> Option<&Event> {
        match self {
            Waker::Thread(parker) => parker.event.as_ref(),
            Waker::Fiber(_) => None,
        }
    }

    /// Shows the eventfd to `watch`.
    pub fn watch<T>(&self, watch: impl FnOnce(i32) -> crate::sys::Result<T>) -> crate::sys::Result<Option<T>> {
        self.event().map(|event| watch(event.descriptor())).transpose()
    }

    pub fn set(&self) {
        self.wake();
    }

    pub fn clear(&self) {
        if let Some(event) = self.event() {
            event.clear();
        }
    }

    /// Sleeps until one of `watches` is ready, somebody wakes the caller, a signal comes, or `until` is reached. May return early.
    #[inline]
    pub fn park(&self, watches: &mut [Watch], until: i64) -> Result<()> {
        match self {
            Waker::Thread(parker) => parker.park(watches, until),
            Waker::Fiber(_) => worker::park(watches, until),
        }
    }
}

impl Parker {
    fn new(event: Option<Event>, generation: u32) -> Parker {
        Parker { event, generation, state: AtomicU8::new(BUSY) }
    }

    /// One that the calling thread keeps.
    fn kept(generation: u32) -> Result<Shared<Parker>> {
        let parker = Shared::new(Parker::new(Event::new().ok(), generation))?;
        let listed = try_lock(&KEPT).is_some_and(|mut kept| {
            kept.retain(|parker| !parker.is_dead());
            let room = kept.try_reserve(1).is_ok();
            if room {
                kept.push(parker.downgrade());
            }
            room
        });
        settle_kept();
        // Otherwise it serves once.
        if listed && thread::at_end(|| keep(None)) {
            keep(Some(parker.clone()));
        }
        Ok(parker)
    }

    fn park(&self, watches: &mut [Watch], until: i64) -> Result<()> {
        let Some(event) = &self.event else {
            return poll_until(watches, until.min(clock::now() + LOOK));
        };
        let own = Watch::new(event.descriptor(), poll::IN);
        match watches {
            [] => {
                let mut list = [own];
                poll_until(&mut list, until)?;
                clear(event, list[0]);
            }
            [one] => {
                let mut list = [*one, own];
                poll_until(&mut list, until)?;
                *one = list[0];
                clear(event, list[1]);
            }
            many => {
                let mut list = Vec::new();
                list.try_reserve_exact(many.len() + 1)?;
                list.extend_from_slice(many);
                list.push(own);
                poll_until(&mut list, until)?;
                many.copy_from_slice(&list[..many.len()]);
                clear(event, list[many.len()]);
            }
        }
        Ok(())
    }
}

fn clear(event: &Event, watch: Watch) {
    if watch.ready() {
        event.clear();
    }
}

/// poll(2) until a point in time. After a signal nothing is ready.
pub fn poll_until(watches: &mut [Watch], until: i64) -> Result<()> {
    let left = (until != NEVER).then(|| until.saturating_sub(clock::now()));
    match poll::poll(watches, left) {
        Ok(_) => Ok(()),
        // EAGAIN: short of memory for a moment, says poll(2); to be treated as EINTR.
        Err(Errno::EINTR | Errno::EAGAIN) => {
            watches.iter_mut().for_each(|watch| watch.set_ready(false));
            Ok(())
        }
        // RLIMIT_NOFILE was lowered below what is watched, as sandboxes do. Then all are tried now and then.
        Err(Errno::EINVAL) if !watches.is_empty() => {
            poll_until(&mut [], until.min(clock::now() + LOOK))?;
            watches.iter_mut().for_each(|watch| watch.set_ready(true));
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}
