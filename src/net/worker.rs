//! A worker: a thread that runs fibers, and sleeps in an epoll set while none of them can go on.
//!
//! A fiber stays on the worker that started it. A socket is registered with one worker, the first where a fiber had to wait for
//! it, once and edge-triggered; what happens on it is counted in its two sides, and every fiber that waits there is woken, on
//! whichever worker. Descriptors that have no handle are watched one by one, for one wait.

use super::error::Result;
use super::failure::Failure;
use super::inbox::Inbox;
use super::poller::watch_error;
use super::registry::{self, Handle, Pinned};
use super::scope::{self, Scope};
use super::timers::Timers;
use super::wait::NEVER;
use super::waiters::Wake;
use super::waker::{Waker, poll_until};
use crate::sys::epoll::{self, Event as Happening};
use crate::sys::event::Event;
use crate::sys::fiber::{self, Fiber, Stack, Stacks};
use crate::sys::poll::Watch;
use crate::sys::shared::Shared;
use crate::sys::{AsRawFd, Errno, OwnedFd, RawFd, clock, process};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The numbers under which an epoll set reports what is not the socket of a handle; handles are positive as `i64`.
const WAKE: u64 = u64::MAX;
pub const LISTENER: u64 = u64::MAX - 1;
const BARE: u64 = u64::MAX - 2;
/// How many events are taken from the kernel at once: so few that what one touches is still in the caches when its fiber runs.
const BATCH: usize = 32;
/// The number in the inbox that stands for the worker's host; fibers have greater ones.
pub const HOST: u32 = 0;

static SERIAL: AtomicU32 = AtomicU32::new(1);

/// What other threads may know of a worker.
pub struct Reactor {
    epoll: OwnedFd,
    event: Event,
    inbox: Inbox,
    /// It runs in the process that made it.
    generation: u32,
    /// Tells it apart from all others; not 0.
    serial: u32,
    /// How many connections it has, or is about to get.
    pub load: AtomicUsize,
}

impl Reactor {
    pub fn new() -> Result<Shared<Reactor>> {
        let reactor = Reactor {
            epoll: epoll::create()?,
            event: Event::new()?,
            inbox: Inbox::new(),
            generation: process::generation(),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed).max(1),
            load: AtomicUsize::new(0),
        };
        epoll::add(reactor.epoll.as_raw_fd(), reactor.event.descriptor(), epoll::IN | epoll::EDGE, WAKE).map_err(watch_error)?;
        if !reactor.inbox.reserve(HOST) {
            return Err(Errno::ENOMEM.into());
        }
        Ok(Shared::new(reactor)?)
    }

    /// Watches the descriptor that connections come from, until it is watched no more.
    pub fn watch_listener(&self, descriptor: RawFd) -> Result<()> {
        epoll::add(self.epoll.as_raw_fd(), descriptor, epoll::IN | epoll::EXCLUSIVE, LISTENER).map_err(watch_error)
    }

    pub fn leave_listener(&self, descriptor: RawFd) {
        let _ = epoll::delete(self.epoll.as_raw_fd(), descriptor);
    }

    /// Whether it runs in this process. In a forked child its descriptors are the parent's, or closed.
    fn is_here(&self) -> bool {
        self.generation == process::generation()
    }

    /// A registered socket's descriptor is about to be closed or handed over.
    pub fn forget(&self, descriptor: RawFd) {
        if self.is_here() {
            let _ = epoll::delete(self.epoll.as_raw_fd(), descriptor);
        }
    }
}

/// What wakes a fiber, or a worker's host: from any thread, and from signal handlers. A late wake costs one look too many.
#[derive(Clone, PartialEq)]
pub struct Ticket {
    reactor: Shared<Reactor>,
    number: u32,
}

impl Ticket {
    pub fn new(reactor: &Shared<Reactor>, number: u32) -> Ticket {
        Ticket { reactor: reactor.clone(), number }
    }

    pub fn generation(&self) -> u32 {
        self.reactor.generation
    }

    pub fn is_of(&self, reactor: &Shared<Reactor>) -> bool {
        self.reactor == *reactor
    }

    pub fn mark(&self) -> u64 {
        u64::from(self.reactor.serial) << 32 | u64::from(self.number)
    }
}

impl Wake for Ticket {
    fn wake(&self) {
        if self.reactor.is_here() && self.reactor.inbox.push(self.number) {
            self.reactor.event.set();
        }
    }
}

/// Whom a worker works for.
pub trait Host {
    /// Somebody woke the host, or its time has come.
    fn woken(&self);
    /// The listener has connections.
    fn connections(&self);
    /// Whether the worker may end when its last fiber has.
    fn is_over(&self) -> bool;
}

thread_local! {
    // Without a destructor, which would need memory at its first use: whoever sets it takes it back.
    static WORKER: RefCell<ManuallyDrop<Option<Shared<Worker>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
    static FIBER: Cell<Running> = const { Cell::new(Running::NOTHING) };
}

/// The fiber that runs on this thread.
#[derive(Clone, Copy)]
struct Running {
    /// 0: none.
    number: u32,
    serial: u32,
    generation: u32,
}

impl Running {
    const NOTHING: Running = Running { number: 0, serial: 0, generation: 0 };

    /// None while no fiber runs, and in the child that a fiber forked.
    #[inline]
    fn now() -> Running {
        let running = FIBER.try_with(Cell::get).unwrap_or(Running::NOTHING);
        if running.number == 0 || running.generation != process::generation() { Running::NOTHING } else { running }
    }
}

pub struct Worker {
    reactor: Shared<Reactor>,
    places: RefCell<Vec<Place>>,
    free: RefCell<Vec<u32>>,
    /// Fibers that can go on, in their order.
    ready: RefCell<VecDeque<u32>>,
    /// When to look at which fiber; each has one entry at most.
    timers: RefCell<Timers>,
    stacks: RefCell<Stacks>,
    bare: RefCell<Option<Bare>>,
    running: Cell<usize>,
}

/// What a worker knows of one fiber.
struct Place {
    fiber: Option<Fiber>,
    scope: Option<Shared<Scope>>,
    failure: Option<Box<Failure>>,
    /// Is in `ready`.
    listed: bool,
    /// Until when it sleeps; an entry in `timers` is not later.
    until: i64,
}

impl Place {
    const fn empty() -> Place {
        Place { fiber: None, scope: None, failure: None, listed: false, until: NEVER }
    }
}

/// Descriptors without a handle that fibers wait for, in an epoll set of their own: in the other, one that is registered there
/// already would stand in the way.
struct Bare {
    epoll: OwnedFd,
    waits: HashMap<RawFd, Vec<(u32, u32)>, BuildHasherDefault<DefaultHasher>>,
}

/// The worker that runs on this thread, if the caller is a fiber of this process.
fn current() -> Option<(Shared<Worker>, u32)> {
    match Running::now().number {
        0 => None,
        number => Some((WORKER.try_with(|worker| Option::clone(&worker.borrow())).ok().flatten()?, number)),
    }
}

/// The mark of the fiber that runs, as [`Ticket::mark`]; never 0.
#[inline]
pub fn mark() -> u64 {
    let running = Running::now();
    if running.number == 0 { u64::MAX } else { u64::from(running.serial) << 32 | u64::from(running.number) }
}

/// Whether the caller is a fiber, which must not block its thread.
#[inline]
pub fn in_fiber() -> bool {
    Running::now().number != 0
}

/// Lets the other fibers run, if the caller is one.
#[cold]
pub fn breathe() {
    if let Some((worker, number)) = current() {
        worker.list(number);
        fiber::suspend();
    }
}

/// Suspends the calling fiber until somebody wakes it, or `until` is reached.
#[inline]
pub fn sleep(until: i64) {
    if until == NEVER {
        fiber::suspend();
    } else if let Some((worker, number)) = current() {
        worker.sleep(number, until);
    }
}

/// Suspends the calling fiber until one of `watches` is ready, somebody wakes it, or `until` is reached. May return early.
pub fn park(watches: &mut [Watch], until: i64) -> Result<()> {
    let Some((worker, number)) = current() else { return Ok(()) };
    if !watches.is_empty() {
        worker.watch_bare(watches, number)?;
    }
    worker.sleep(number, until);
    if watches.is_empty() {
        return Ok(());
    }
    worker.leave_bare(watches, number);
    poll_until(watches, 0)
}

/// Makes sure that the fibers that wait for a socket hear of its events.
#[inline]
pub fn register(pinned: &Pinned) -> Result<()> {
    if pinned.socket().is_registered() { Ok(()) } else { register_here(pinned) }
}

#[cold]
fn register_here(pinned: &Pinned) -> Result<()> {
    match current() {
        Some((worker, _)) => pinned.socket().register(&worker.reactor, |reactor, descriptor| {
            let events = epoll::IN | epoll::OUT | epoll::PEER_CLOSED | epoll::PRIORITY | epoll::EDGE;
            match epoll::add(reactor.epoll.as_raw_fd(), descriptor, events, pinned.handle() as u64) {
                // Its open file came back under the same number, while some copy of the old descriptor lived on.
                Err(Errno::EEXIST) => epoll::modify(reactor.epoll.as_raw_fd(), descriptor, events, pinned.handle() as u64),
                result => result,
            }
            .map_err(watch_error)
        }),
        None => Ok(()),
    }
}

/// Works with the last failure of the calling fiber; None if the caller is not a fiber, or has had no failure and `make` is false.
pub fn with_failure<T>(make: bool, work: impl FnOnce(&mut Failure) -> T) -> Option<T> {
    let (worker, number) = current()?;
    let mut places = worker.places.borrow_mut();
    let failure = &mut places.get_mut(number as usize)?.failure;
    if failure.is_none() && make {
        *failure = Failure::boxed();
    }
    failure.as_deref_mut().map(work)
}

impl Worker {
    pub fn new(reactor: Shared<Reactor>, stack_size: usize) -> Result<Shared<Worker>> {
        // The first place is the host's.
        let (mut places, mut timers) = (Vec::new(), Timers::default());
        places.try_reserve(1)?;
        places.push(Place::empty());
        timers.reserve(1)?;
        Ok(Shared::new(Worker {
            reactor,
            places: RefCell::new(places),
            free: RefCell::default(),
            ready: RefCell::default(),
            timers: RefCell::new(timers),
            stacks: RefCell::new(Stacks::new(stack_size)),
            bare: RefCell::default(),
            running: Cell::new(0),
        })?)
    }

    pub fn reactor(&self) -> &Shared<Reactor> {
        &self.reactor
    }

    /// What a new fiber needs: a stack, and a number that it can be woken by.
    pub fn prepare(&self) -> Result<(Stack, Ticket)> {
        let mut free = self.free.borrow_mut();
        let mut places = self.places.borrow_mut();
        if free.is_empty() {
            let number = places.len() as u32;
            places.try_reserve(1)?;
            free.try_reserve(places.len() + 1)?;
            self.timers.borrow_mut().reserve(places.len() + 1)?;
            if !self.reactor.inbox.reserve(number) {
                return Err(Errno::ENOMEM.into());
            }
            places.push(Place::empty());
            free.push(number);
        }
        self.ready.borrow_mut().try_reserve(places.len())?;
        let stack = self.stacks.borrow_mut().take()?;
        let number = free.pop().unwrap_or(HOST);
        Ok((stack, Ticket::new(&self.reactor, number)))
    }

    /// Gives back what [`Worker::prepare`] made.
    pub fn give_back(&self, stack: Stack, ticket: &Ticket) {
        self.stacks.borrow_mut().give(stack);
        self.free.borrow_mut().push(ticket.number);
    }

    /// Starts a fiber: it runs when its turn comes.
    pub fn start(&self, stack: Stack, ticket: &Ticket, scope: Shared<Scope>, work: impl FnOnce() + 'static) {
        self.running.set(self.running.get() + 1);
        {
            let place = &mut self.places.borrow_mut()[ticket.number as usize];
            place.fiber = Some(Fiber::new(stack, work));
            place.scope = Some(scope);
        }
        self.list(ticket.number);
    }

    /// Wakes the host at a point in time.
    pub fn wake_host_at(&self, until: i64) {
        self.set_timer(HOST, until);
    }

    /// Runs fibers until the host is over and the last has ended. False in a forked child, where a fiber has come to its end: the
    /// thread has to end there without touching anything.
    pub fn run(worker: &Shared<Worker>, host: &impl Host) -> bool {
        WORKER.set(ManuallyDrop::new(Some(worker.clone())));
        let stayed = worker.run_fibers(host);
        drop(ManuallyDrop::into_inner(WORKER.replace(ManuallyDrop::new(None))));
        stayed
    }

    fn run_fibers(&self, host: &impl Host) -> bool {
        let mut happenings = [Happening::EMPTY; BATCH];
        let stayed = loop {
            self.take_wakes(host);
            self.take_timers(host);
            if !self.run_ready() {
                break false;
            }
            if self.running.get() == 0 && host.is_over() {
                break true;
            }
            self.wait(host, &mut happenings);
        };
        if stayed {
            registry::unregister_all(&self.reactor);
        }
        stayed
    }

    fn take_wakes(&self, host: &impl Host) {
        self.reactor.inbox.take(|number| if number == HOST { host.woken() } else { self.list(number) });
    }

    fn take_timers(&self, host: &impl Host) {
        if self.timers.borrow().first().is_none() {
            return;
        }
        let now = clock::now();
        while let Some(number) = self.take_due(now) {
            let until = self.places.borrow()[number as usize].until;
            match (number, until <= now) {
                (HOST, _) => host.woken(),
                (_, true) => self.list(number),
                // It sleeps longer by now.
                (_, false) => self.set_timer(number, until),
            }
        }
    }

    fn take_due(&self, now: i64) -> Option<u32> {
        let mut timers = self.timers.borrow_mut();
        let (due, number) = timers.first()?;
        if due > now {
            return None;
        }
        timers.remove(number);
        Some(number)
    }

    /// Runs each fiber that can go on, once. False in a forked child.
    fn run_ready(&self) -> bool {
        let round = self.ready.borrow().len();
        for _ in 0..round {
            let Some(number) = self.ready.borrow_mut().pop_front() else { break };
            self.fetch_next();
            if !self.resume(number) {
                return false;
            }
        }
        true
    }

    /// Prefetches what the next fiber needs while the one before it runs.
    fn fetch_next(&self) {
        let (ready, places) = (self.ready.borrow(), self.places.borrow());
        if let Some(fiber) = ready.front().and_then(|number| places.get(*number as usize)?.fiber.as_ref()) {
            fiber.fetch_ahead();
        }
    }

    fn resume(&self, number: u32) -> bool {
        let (mut fiber, scope) = {
            let place = &mut self.places.borrow_mut()[number as usize];
            place.listed = false;
            place.until = NEVER;
            let Some(fiber) = place.fiber.take() else { return true };
            (fiber, place.scope.take())
        };
        FIBER.set(Running { number, serial: self.reactor.serial, generation: self.reactor.generation });
        let outer = scope::enter(scope);
        let ended = fiber.resume();
        let scope = scope::enter(outer);
        FIBER.set(Running::NOTHING);
        if !ended {
            let place = &mut self.places.borrow_mut()[number as usize];
            (place.fiber, place.scope) = (Some(fiber), scope);
            return true;
        }
        let forked = self.reactor.generation != process::generation();
        if forked {
            std::mem::forget(fiber);
            return false;
        }
        self.end(number, fiber);
        true
    }

    fn end(&self, number: u32, fiber: Fiber) {
        self.stacks.borrow_mut().give(fiber.into_stack());
        {
            let place = &mut self.places.borrow_mut()[number as usize];
            *place = Place { listed: place.listed, ..Place::empty() };
        }
        self.timers.borrow_mut().remove(number);
        self.running.set(self.running.get() - 1);
        self.reactor.load.fetch_sub(1, Ordering::Relaxed);
        self.free.borrow_mut().push(number);
    }

    /// Takes what has happened from the kernel, sleeping until something does if no fiber can go on.
    fn wait(&self, host: &impl Host, happenings: &mut [Happening]) {
        let idle = self.ready.borrow().is_empty() && self.reactor.inbox.fall_asleep();
        let left = match self.timers.borrow().first() {
            _ if !idle => Some(0),
            Some((due, _)) => Some(due.saturating_sub(clock::now())),
            None => None,
        };
        let count = epoll::wait(self.reactor.epoll.as_raw_fd(), happenings, left).unwrap_or(0);
        if idle {
            self.reactor.inbox.wake_up();
        }
        happenings[..count].iter().for_each(|happening| registry::fetch_ahead(happening.number() as Handle));
        for happening in &happenings[..count] {
            match happening.number() {
                WAKE => {}
                LISTENER => host.connections(),
                BARE => self.take_bare(),
                handle => self.dispatch(handle as Handle, happening.ready()),
            }
        }
    }

    /// Something has happened on a registered socket. An end, or urgent data, stays: from then on no short read means that nothing
    /// is left.
    fn dispatch(&self, handle: Handle, events: u32) {
        let Some([read, write]) = registry::sides_of(handle) else { return };
        let broken = events & (epoll::HANGUP | epoll::ERROR) != 0;
        let lasting = broken || events & (epoll::PEER_CLOSED | epoll::PRIORITY) != 0;
        if lasting || events & epoll::IN != 0 {
            read.count_edge(lasting, |waker| self.notify(waker));
        }
        if broken || events & epoll::OUT != 0 {
            write.count_edge(broken, |waker| self.notify(waker));
        }
    }

    /// Somebody waits for what has happened. A thread polls the descriptor itself.
    fn notify(&self, waker: &Waker) {
        match waker {
            Waker::Fiber(ticket) if ticket.is_of(&self.reactor) => self.list(ticket.number),
            Waker::Fiber(ticket) => ticket.wake(),
            Waker::Thread(_) => {}
        }
    }

    /// A fiber can go on.
    fn list(&self, number: u32) {
        let mut places = self.places.borrow_mut();
        let Some(place) = places.get_mut(number as usize) else { return };
        if !place.listed {
            place.listed = true;
            self.ready.borrow_mut().push_back(number);
        }
    }

    fn sleep(&self, number: u32, until: i64) {
        if until != NEVER {
            self.places.borrow_mut()[number as usize].until = until;
            self.set_timer(number, until);
        }
        fiber::suspend();
    }

    /// Makes sure that a fiber is looked at no later than `until`. An earlier entry stays: deadlines that move on with every
    /// request cost nothing until one comes near.
    fn set_timer(&self, number: u32, until: i64) {
        let mut timers = self.timers.borrow_mut();
        if timers.of(number).is_none_or(|entry| entry > until) {
            timers.set(number, until);
        }
    }

    // ---- descriptors without a handle ----

    fn watch_bare(&self, watches: &[Watch], number: u32) -> Result<()> {
        let mut bare = self.bare.borrow_mut();
        if bare.is_none() {
            let epoll = epoll::create()?;
            epoll::add(self.reactor.epoll.as_raw_fd(), epoll.as_raw_fd(), epoll::IN, BARE).map_err(watch_error)?;
            *bare = Some(Bare { epoll, waits: HashMap::default() });
        }
        let Some(bare) = bare.as_mut() else { return Ok(()) };
        for (done, watch) in watches.iter().enumerate() {
            if let Err(errno) = bare.add(watch.descriptor(), number, watch.events() as u16 as u32) {
                watches[..=done].iter().for_each(|watch| bare.remove(watch.descriptor(), number));
                return Err(watch_error(errno));
            }
        }
        Ok(())
    }

    fn leave_bare(&self, watches: &[Watch], number: u32) {
        if let Some(bare) = self.bare.borrow_mut().as_mut() {
            watches.iter().for_each(|watch| bare.remove(watch.descriptor(), number));
        }
    }

    fn take_bare(&self) {
        let bare = self.bare.borrow();
        let Some(bare) = bare.as_ref() else { return };
        let mut happenings = [Happening::EMPTY; 64];
        let count = epoll::wait(bare.epoll.as_raw_fd(), &mut happenings, Some(0)).unwrap_or(0);
        for happening in &happenings[..count] {
            let waits = bare.waits.get(&(happening.number() as RawFd));
            waits.into_iter().flatten().for_each(|(number, _)| self.list(*number));
        }
    }
}

impl Bare {
    fn add(&mut self, descriptor: RawFd, number: u32, events: u32) -> crate::sys::Result<()> {
        if descriptor < 0 {
            return Ok(());
        }
        self.waits.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let waits = self.waits.entry(descriptor).or_default();
        waits.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        waits.push((number, events));
        self.arm(descriptor)
    }

    fn remove(&mut self, descriptor: RawFd, number: u32) {
        let Some(waits) = self.waits.get_mut(&descriptor) else { return };
        if let Some(at) = waits.iter().position(|(other, _)| *other == number) {
            waits.swap_remove(at);
        }
        if waits.is_empty() {
            self.waits.remove(&descriptor);
            let _ = epoll::delete(self.epoll.as_raw_fd(), descriptor);
        } else {
            let _ = self.arm(descriptor);
        }
    }

    /// Watches for what all who wait here want, once.
    fn arm(&self, descriptor: RawFd) -> crate::sys::Result<()> {
        let waits = self.waits.get(&descriptor).into_iter().flatten();
        let events = waits.fold(epoll::ONCE, |all, (_, events)| all | events);
        match epoll::add(self.epoll.as_raw_fd(), descriptor, events, descriptor as u64) {
            Err(Errno::EEXIST) => epoll::modify(self.epoll.as_raw_fd(), descriptor, events, descriptor as u64),
            result => result,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_taken_again() {
        let worker = Worker::new(Reactor::new().unwrap(), 1).unwrap();
        let (stack, ticket) = worker.prepare().unwrap();
        let (other_stack, other) = worker.prepare().unwrap();
        assert_eq!((ticket.number, other.number), (1, 2));
        worker.give_back(stack, &ticket);
        let (stack, again) = worker.prepare().unwrap();
        assert!(again == ticket);
        worker.give_back(stack, &again);
        worker.give_back(other_stack, &other);
        assert_eq!(worker.free.borrow().len(), 2);
    }
}
