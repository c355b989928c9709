//! The one place where a call waits: for readiness, its turn, a deadline, cancel and close.
//!
//! A waiting thread polls the descriptor together with an eventfd of its own. Whoever closes, cancels or changes a deadline
//! sets a flag and then wakes the waiters; who waits joins the list and then looks at the flags. Neither can miss the other.

use super::error::{Code, Error, Result};
use super::lock::try_lock;
use super::registry::{self, Direction, Pinned, Side};
use super::scope;
use super::waiters::{For, Waiters, Wake};
use super::worker::{self, Ticket};
use crate::sys::event::Event;
use crate::sys::poll::{self, Watch};
use crate::sys::shared::{Shared, Weak};
use crate::sys::{Errno, RawFd, clock, process, thread};
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// No deadline.
pub const NEVER: i64 = i64::MAX;
const MILLISECOND: i64 = 1_000_000;
/// How often a thread without an eventfd of its own (descriptors have run out) looks at the flags.
const LOOK: i64 = 5 * MILLISECOND;

/// The point `milliseconds` after `start`; negative means never, and so does what overflows.
pub fn after(start: i64, milliseconds: i64) -> i64 {
    if milliseconds < 0 {
        return NEVER;
    }
    milliseconds.checked_mul(MILLISECOND).and_then(|span| start.checked_add(span)).unwrap_or(NEVER)
}

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
            Waker::Thread(parker) => parker.event.iter().for_each(Event::set),
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
    // Without a destructor: where this is first used while the thread ends, its time would be over.
    static PARKER: RefCell<ManuallyDrop<Option<Shared<Parker>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Makes `parker` the one that the calling thread keeps. The one before.
fn keep(parker: Option<Shared<Parker>>) -> Option<Shared<Parker>> {
    ManuallyDrop::into_inner(PARKER.replace(ManuallyDrop::new(parker)))
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

    /// A waker that is no thread's: for those who sleep in an epoll set that has its eventfd.
    pub fn apart() -> Result<Waker> {
        Ok(Waker::Thread(Shared::new(Parker::new(Some(Event::new()?), process::generation()))?))
    }

    /// A waker that is not kept for the thread. Without a descriptor for it, who sleeps with it looks up now and then.
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

    /// Sleeps until one of `watches` is ready, somebody wakes the caller, a signal comes, or `until`. May return early.
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
        if listed && thread::at_end(|| drop(keep(None))) {
            drop(keep(Some(parker.clone())));
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

fn poll_until(watches: &mut [Watch], until: i64) -> Result<()> {
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

/// One call's view of time: its timeout runs from when it first has to wait.
pub struct Call {
    started: i64,
    /// An end of its own, in place of the handle's timeout and deadline.
    until: Option<i64>,
    caller: Caller,
}

/// Who makes a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    User,
    /// The one who closes the handle: to it alone it is still open.
    Closer,
    /// The server that has the listener: to it alone it may still be used.
    Server,
}

impl Call {
    pub const fn new() -> Call {
        Call { started: 0, until: None, caller: Caller::User }
    }

    /// A call that ends at a point in time, whatever the handle's timeouts are.
    pub const fn until(end: i64) -> Call {
        Call { started: 0, until: Some(end), caller: Caller::User }
    }

    /// The closer's own call, on a handle that is closed to everybody else.
    pub const fn of_closer(end: i64) -> Call {
        Call { started: 0, until: Some(end), caller: Caller::Closer }
    }

    /// The call of the server that has a listener: until the listener is closed or canceled.
    pub const fn of_server() -> Call {
        Call { started: 0, until: Some(NEVER), caller: Caller::Server }
    }

    /// Where this call ends by the side's deadline and, where that `waits`, its timeout, as they are now. Fails if it already has.
    fn end(&mut self, side: &Side, waits: bool) -> Result<i64> {
        let mut now = 0;
        let end = self.until.unwrap_or_else(|| {
            if self.started == 0 {
                // Noted even without a timeout: one that is set while the call waits counts from here as well.
                now = clock::now();
                self.started = now;
            }
            let deadline = side.deadline.load(Ordering::Relaxed);
            if waits { deadline.min(after(self.started, side.timeout.load(Ordering::Relaxed))) } else { deadline }
        });
        if end != NEVER && now == 0 {
            now = clock::now();
        }
        if now >= end { Err(Error::new(Code::TimedOut)) } else { Ok(end) }
    }

    /// Fails if the call may not wait any longer, else says until when it may.
    fn check(&mut self, pinned: &Pinned) -> Result<i64> {
        self.check_side(pinned, true)
    }

    /// The same for a side that the call does not wait for where it `waits` not: its timeout has no say.
    fn check_side(&mut self, pinned: &Pinned, waits: bool) -> Result<i64> {
        let side = pinned.side();
        if self.caller != Caller::Closer && side.gate.is_over() {
            return Err(Error::new(if side.gate.is_closed() { Code::Closed } else { Code::Canceled }));
        }
        if self.caller != Caller::Server && pinned.socket().serving.load(Ordering::Relaxed) {
            return Err(Error::with(Code::Busy, "a server has the listener"));
        }
        scope::check()?;
        self.end(side, waits)
    }

    /// Waits until the descriptor is ready in the direction of `pinned`.
    pub fn ready(&mut self, pinned: &Pinned) -> Result<()> {
        if worker::in_fiber() {
            return self.ready_in_fiber(pinned);
        }
        let mut watch = [Watch::new(pinned.descriptor(), pinned.events())];
        if self.spin(pinned, &mut watch)? {
            return Ok(());
        }
        let place = Place::take(pinned, For::Readiness)?;
        loop {
            let end = self.check(pinned)?;
            if pinned.waits_in_vain() {
                return Ok(());
            }
            place.waker.park(&mut watch, end)?;
            if watch[0].ready() {
                // A wake and readiness at once: what the wake says comes first.
                let closed = pinned.side().gate.is_closed() && self.caller != Caller::Closer;
                return if closed { Err(Error::new(Code::Closed)) } else { Ok(()) };
            }
        }
    }

    fn ready_in_fiber(&mut self, pinned: &Pinned) -> Result<()> {
        let seen = pinned.side().stirs.load(Ordering::SeqCst);
        self.check(pinned)?;
        let mut watch = [Watch::new(pinned.descriptor(), pinned.events())];
        poll_until(&mut watch, 0)?;
        if watch[0].ready() { Ok(()) } else { self.stirred(pinned, seen) }
    }

    /// Waits, in a fiber, until the descriptor has stirred since it was `seen` to have nothing.
    pub fn stirred(&mut self, pinned: &Pinned, seen: u64) -> Result<()> {
        let resident = pinned.side().waiters.has_resident(worker::mark());
        let _place = if resident { None } else { Place::stay(pinned)? };
        loop {
            let end = self.check(pinned)?;
            // In the loop, for the worker that watches the descriptor may end.
            worker::register(pinned)?;
            if pinned.side().stirs.load(Ordering::SeqCst) != seen || pinned.waits_in_vain() {
                return Ok(());
            }
            worker::sleep(end);
            // What came is delivered whatever else has happened, but for a close.
            if pinned.side().stirs.load(Ordering::SeqCst) != seen && !pinned.side().gate.is_closed() {
                return Ok(());
            }
        }
    }

    /// Waits until a descriptor is ready that is no handle's, as long as the call on `pinned` may.
    pub fn other(&mut self, pinned: &Pinned, descriptor: RawFd, events: i16) -> Result<()> {
        self.until_ready(&[pinned], &[pinned], &mut [Watch::new(descriptor, events)], || false)
    }

    /// Waits until one of two handles is ready, or the only one, each in the direction of its `Pinned`. The first of their timeouts ends
    /// it, and so does a deadline, a close or a cancel of all whom it `concerns`, among whom they are.
    pub fn any(&mut self, sides: &[&Pinned], concerns: &[&Pinned]) -> Result<()> {
        const TWO: usize = 2;
        let mut watches = [const { Watch::new(-1, 0) }; TWO];
        let mut seen = [0; TWO];
        for (place, pinned) in sides.iter().take(TWO).enumerate() {
            watches[place] = Watch::new(pinned.descriptor(), pinned.events());
            seen[place] = pinned.side().stirs.load(Ordering::SeqCst);
        }
        let count = sides.len().min(TWO);
        if worker::in_fiber() {
            poll_until(&mut watches[..count], 0)?;
            // Where something is always ready, nothing else would notice a close, or let others go on.
            let ready = watches.iter().any(Watch::ready);
            return if ready { self.breathe(concerns) } else { self.any_stirred(sides, &seen[..count], concerns) };
        }
        self.until_ready(sides, concerns, &mut watches[..count], || sides.iter().any(|pinned| pinned.waits_in_vain()))
    }

    /// Fails if the call may not go on, on any of its handles; lets others go on first.
    pub fn breathe(&mut self, concerns: &[&Pinned]) -> Result<()> {
        worker::breathe();
        self.check_all(&[], concerns).map(drop)
    }

    /// Something has moved: the timeouts run again from the next wait.
    pub fn restart(&mut self) {
        self.started = 0;
    }

    /// Fails if the call, which waits for `sides`, may not do so any longer, else says until when it may.
    fn check_all(&mut self, sides: &[&Pinned], concerns: &[&Pinned]) -> Result<i64> {
        concerns.iter().try_fold(NEVER, |end, pinned| {
            let waits = sides.iter().any(|side| std::ptr::eq(*side, *pinned));
            Ok(end.min(self.check_side(pinned, waits)?))
        })
    }

    fn until_ready(
        &mut self,
        sides: &[&Pinned],
        concerns: &[&Pinned],
        watches: &mut [Watch],
        in_vain: impl Fn() -> bool,
    ) -> Result<()> {
        let waker = Waker::current()?;
        let _places = Places::take(&waker, concerns)?;
        loop {
            let end = self.check_all(sides, concerns)?;
            if in_vain() {
                return Ok(());
            }
            waker.park(watches, end)?;
            if watches.iter().any(Watch::ready) {
                return Ok(());
            }
        }
    }

    fn any_stirred(&mut self, sides: &[&Pinned], seen: &[u64], concerns: &[&Pinned]) -> Result<()> {
        let waker = Waker::current()?;
        let _places = Places::take(&waker, concerns)?;
        loop {
            let end = self.check_all(sides, concerns)?;
            sides.iter().try_for_each(|pinned| worker::register(pinned))?;
            let news =
                |(pinned, seen): (&&Pinned, &u64)| pinned.side().stirs.load(Ordering::SeqCst) != *seen || pinned.waits_in_vain();
            if sides.iter().zip(seen).any(news) {
                return Ok(());
            }
            waker.park(&mut [], end)?;
        }
    }

    /// Waits for `milliseconds` and no readiness, for calls that try again by themselves.
    pub fn pause(&mut self, pinned: &Pinned, milliseconds: i64) -> Result<()> {
        let over = after(clock::now(), milliseconds);
        let place = Place::take(pinned, For::Readiness)?;
        while clock::now() < over {
            let end = self.check(pinned)?;
            place.waker.park(&mut [], end.min(over))?;
        }
        Ok(())
    }

    /// Waits until `done`, which somebody makes so who then alarms `waiters`.
    pub fn so(&mut self, pinned: &Pinned, waiters: &Waiters<Waker>, done: impl Fn() -> bool) -> Result<()> {
        let place = Place::take(pinned, For::Readiness)?;
        waiters.join(place.waker.clone(), For::Readiness, || {})?;
        let result = loop {
            if done() {
                break Ok(());
            }
            if let Err(error) = self.check(pinned).and_then(|end| place.waker.park(&mut [], end)) {
                break Err(error);
            }
        };
        waiters.quit(&place.waker, |_| {});
        result
    }

    /// Waits for the turn of a call that entered without it.
    pub fn turn(&mut self, pinned: &mut Pinned) -> Result<()> {
        let side = pinned.side();
        let waker = Waker::current()?;
        side.waiters.join(waker.clone(), For::Turn, || side.gate.set_wanted(true))?;
        loop {
            let taken = side.waiters.take_turn(&waker, || side.gate.take_turn(), |more| side.gate.set_wanted(more));
            if taken {
                pinned.got_turn();
                let closed = side.gate.is_closed() && self.caller != Caller::Closer;
                return if closed { Err(Error::new(Code::Closed)) } else { Ok(()) };
            }
            let slept = self.check(pinned).and_then(|end| waker.park(&mut [], end));
            if let Err(error) = slept {
                side.waiters.quit(&waker, |more| side.gate.set_wanted(more));
                // If the turn was just offered to this call, the next in line must hear of it.
                side.waiters.pass_turn();
                return Err(error);
            }
        }
    }

    /// Looks again and again for as long as the handle's spin option says, before sleeping.
    fn spin(&mut self, pinned: &Pinned, watch: &mut [Watch; 1]) -> Result<bool> {
        let span = pinned.socket().spin_us.load(Ordering::Relaxed);
        if span <= 0 {
            return Ok(false);
        }
        self.check(pinned)?;
        let over = clock::now().saturating_add(span.saturating_mul(1000));
        loop {
            poll_until(watch, 0)?;
            if watch[0].ready() {
                return Ok(true);
            }
            let end = self.check(pinned)?;
            if clock::now() >= over.min(end) {
                return Ok(false);
            }
        }
    }
}

/// A place in the list of waiters, given up when dropped.
struct Place<'a> {
    pinned: &'a Pinned,
    waker: Own,
}

impl Place<'_> {
    fn take(pinned: &Pinned, purpose: For) -> Result<Place<'_>> {
        let waker = Waker::current()?;
        pinned.side().waiters.join(waker.clone(), purpose, || {})?;
        Ok(Place { pinned, waker })
    }

    /// A fiber's place for this wait and those to come; None: nothing has to be given up.
    #[cold]
    fn stay(pinned: &Pinned) -> Result<Option<Place<'_>>> {
        let waker = Waker::current()?;
        let stays = pinned.side().waiters.join_to_stay(&waker)?;
        Ok(if stays { None } else { Some(Place { pinned, waker }) })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pinned.side().waiters.quit(&self.waker, |_| {});
    }
}

/// Places in the lists of several handles.
struct Places<'a> {
    waker: &'a Waker,
    taken: &'a [&'a Pinned],
}

impl<'a> Places<'a> {
    fn take(waker: &'a Waker, sides: &'a [&'a Pinned]) -> Result<Places<'a>> {
        let mut places = Places { waker, taken: &[] };
        for (count, pinned) in sides.iter().enumerate() {
            pinned.side().waiters.join(waker.clone(), For::Readiness, || {})?;
            places.taken = &sides[..=count];
        }
        Ok(places)
    }
}

impl Drop for Places<'_> {
    fn drop(&mut self) {
        self.taken.iter().for_each(|pinned| pinned.side().waiters.quit(self.waker, |_| {}));
    }
}

impl Pinned {
    /// What poll is asked for in this call's direction.
    fn events(&self) -> i16 {
        match self.direction() {
            Direction::Read => poll::IN,
            Direction::Write => poll::OUT,
        }
    }

    /// Whether the direction is ended for writing, so that the next try will tell at once. poll(2) does not: a unix socket that is
    /// full stays not ready for writing when it is shut down.
    fn waits_in_vain(&self) -> bool {
        self.direction() == Direction::Write && self.side().shut.load(Ordering::SeqCst)
    }
}

/// Whether the caller must wait here and nowhere else: it is a fiber, which must not block its thread, or a server's handler,
/// which has to hear when the server stops.
pub fn is_bound() -> bool {
    scope::is_inside()
}

/// Waits for descriptors that have no handle yet. False if `until` came first.
pub fn any_ready(watches: &mut [Watch], until: i64) -> Result<bool> {
    let waker = Waker::current()?;
    loop {
        scope::check()?;
        waker.park(watches, until)?;
        if watches.iter().any(Watch::ready) {
            return Ok(true);
        }
        if until != NEVER && clock::now() >= until {
            return Ok(false);
        }
    }
}

/// Sleeps until a point in time. Where that has come already, a fiber still lets the others run.
pub fn sleep_until(until: i64) -> Result<()> {
    let waker = Waker::current()?;
    loop {
        scope::check()?;
        waker.park(&mut [], until)?;
        if clock::now() >= until {
            return Ok(());
        }
    }
}

/// Waits until `done`, which somebody makes so who then alarms `waiters`. False if `until` came first.
pub fn until_so(waiters: &Waiters<Waker>, until: i64, done: impl Fn() -> bool) -> Result<bool> {
    until_so_if(waiters, until, done, scope::check)
}

/// The same for who has to wait even where its handler is canceled.
pub fn until_so_at_any_rate(waiters: &Waiters<Waker>, until: i64, done: impl Fn() -> bool) -> Result<bool> {
    until_so_if(waiters, until, done, || Ok(()))
}

fn until_so_if(waiters: &Waiters<Waker>, until: i64, done: impl Fn() -> bool, may_wait: impl Fn() -> Result<()>) -> Result<bool> {
    let waker = Waker::current()?;
    waiters.join(waker.clone(), For::Turn, || {})?;
    let result = loop {
        if done() {
            break Ok(true);
        }
        if until != NEVER && clock::now() >= until {
            break Ok(false);
        }
        if let Err(error) = may_wait().and_then(|()| waker.park(&mut [], until)) {
            break Err(error);
        }
    };
    waiters.quit(&waker, |_| {});
    result
}
