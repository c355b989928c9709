//! The one place where a call waits: for readiness, its turn, a deadline, cancel and close.
//!
//! A waiting thread polls the descriptor together with an eventfd of its own. Whoever closes, cancels or changes a deadline
//! sets a flag and then wakes the waiters; a waiter joins the list and then looks at the flags. Neither can miss the other.

use super::error::{Code, Error, Result};
use super::registry::{Direction, Pinned};
use super::scope;
use super::slots::Side;
use super::waiters::{For, Waiters};
use super::waker::{Own, Waker, poll_until};
use super::worker;
use crate::sys::clock;
use crate::sys::poll::{self, Watch};
use crate::sys::socket::Family;
use std::sync::atomic::Ordering;

/// No deadline.
pub const NEVER: i64 = i64::MAX;
const MILLISECOND: i64 = 1_000_000;

/// The point `milliseconds` after `start`; negative means never, and so does what overflows.
pub fn after(start: i64, milliseconds: i64) -> i64 {
    if milliseconds < 0 {
        return NEVER;
    }
    milliseconds.checked_mul(MILLISECOND).and_then(|span| start.checked_add(span)).unwrap_or(NEVER)
}

/// Whether a point in time has come. For [`NEVER`] the clock need not be read.
pub fn has_come(time: i64) -> bool {
    time != NEVER && clock::now() >= time
}

/// After a wait to receive: a deadline or a cancel that ended it is a failure only if nothing is found then either, for what is already
/// there is delivered all the same.
pub fn refusal(waited: Result<()>) -> Result<Option<Error>> {
    match waited {
        Err(error) if matches!(error.code, Code::TimedOut | Code::Canceled) => Ok(Some(error)),
        waited => waited.map(|()| None),
    }
}

/// One call's view of time: its timeout runs from when it first has to wait.
pub struct Call {
    started: i64,
    /// An end of its own, in place of the handle's timeout and deadline.
    until: Option<i64>,
    caller: Caller,
    /// Milliseconds to pause before the next wait, because the last one came back with nothing but an error. The socket's own ends
    /// the call: the next try returns it. What is in its error queue (time stamps, for example) stays until the program takes it
    /// from there.
    rest: u8,
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
        Call { started: 0, until: None, caller: Caller::User, rest: 0 }
    }

    /// A call that ends at a point in time, whatever the handle's timeouts are.
    pub const fn until(end: i64) -> Call {
        Call { started: 0, until: Some(end), caller: Caller::User, rest: 0 }
    }

    /// The closer's own call, on a handle that is closed to everybody else.
    pub const fn of_closer(end: i64) -> Call {
        Call { started: 0, until: Some(end), caller: Caller::Closer, rest: 0 }
    }

    /// The same call, until another point in time.
    pub const fn go_on_until(&mut self, end: i64) {
        self.until = Some(end);
    }

    /// Whether the last wait was ended by nothing new.
    pub const fn was_disturbed(&self) -> bool {
        self.rest > 0
    }

    /// The call of the server that has a listener: until the listener is closed or canceled.
    pub const fn of_server() -> Call {
        Call { started: 0, until: Some(NEVER), caller: Caller::Server, rest: 0 }
    }

    /// When this call ends by the side's deadline and, if it `waits` for the side, its timeout, as they are now. Fails if it
    /// already has.
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

    /// The same; unless the call `waits` for this side, the side's timeout does not count.
    fn check_side(&mut self, pinned: &Pinned, waits: bool) -> Result<i64> {
        let side = pinned.side();
        self.check_gate(side)?;
        if self.caller != Caller::Server {
            pinned.socket().check_unserved()?;
        }
        scope::check()?;
        self.end(side, waits)
    }

    /// Fails if the handle is closed or canceled, to all but its closer.
    fn check_gate(&self, side: &Side) -> Result<()> {
        if self.caller == Caller::Closer { Ok(()) } else { side.check() }
    }

    /// Waits until the descriptor is ready in the direction of `pinned`.
    pub fn ready(&mut self, pinned: &Pinned) -> Result<()> {
        if self.rest > 0 {
            self.pause(pinned, self.rest.into())?;
        }
        if worker::in_fiber() {
            return self.ready_in_fiber(pinned);
        }
        let mut watch = [Watch::new(pinned.descriptor(), pinned.events())];
        if self.spin(pinned, &mut watch)? {
            self.woken(&watch);
            return Ok(());
        }
        let place = Place::take(pinned)?;
        let look = pinned.next_look();
        loop {
            let end = self.check(pinned)?;
            if pinned.waits_in_vain() || has_come(look) {
                return Ok(());
            }
            place.waker.park(&mut watch, end.min(look))?;
            if watch[0].ready() {
                self.woken(&watch);
                // A wake and readiness at once: what the wake says comes first.
                let closed = pinned.side().gate.is_closed() && self.caller != Caller::Closer;
                return if closed { Err(Error::new(Code::Closed)) } else { Ok(()) };
            }
        }
    }

    fn ready_in_fiber(&mut self, pinned: &Pinned) -> Result<()> {
        let seen = pinned.side().edges.load(Ordering::SeqCst);
        self.check(pinned)?;
        let mut watch = [Watch::new(pinned.descriptor(), pinned.events())];
        poll_until(&mut watch, 0)?;
        self.woken(&watch);
        if watch[0].ready() { Ok(()) } else { self.edge(pinned, seen) }
    }

    /// Takes note of what a poll has reported.
    #[inline(never)]
    fn woken(&mut self, watches: &[Watch]) {
        const LONGEST: u8 = 32;
        let error = watches.iter().any(Watch::is_error) && watches.iter().all(|watch| watch.is_error() || !watch.ready());
        self.rest = if error { (self.rest * 2).clamp(1, LONGEST) } else { 0 };
    }

    /// Waits, in a fiber, for the first edge of the descriptor since it was `seen` to have nothing.
    pub fn edge(&mut self, pinned: &Pinned, seen: u64) -> Result<()> {
        let resident = pinned.side().waiters.has_resident(worker::mark());
        let _place = if resident { None } else { Place::stay(pinned)? };
        let look = pinned.next_look();
        loop {
            let end = self.check(pinned)?;
            // In the loop, because the worker that watches the descriptor may end.
            worker::register(pinned)?;
            if pinned.side().edges.load(Ordering::SeqCst) != seen || pinned.waits_in_vain() || has_come(look) {
                return Ok(());
            }
            worker::sleep(end.min(look));
            // What came is delivered whatever else has happened, except a close.
            if pinned.side().edges.load(Ordering::SeqCst) != seen && !pinned.side().gate.is_closed() {
                return Ok(());
            }
        }
    }

    /// Waits until one of `watches` is ready, or the direction of `pinned` is ended, as long as the call on that may.
    pub fn other(&mut self, pinned: &Pinned, watches: &mut [Watch]) -> Result<()> {
        self.until_ready(&[pinned], &[pinned], watches, NEVER, || pinned.waits_in_vain())
    }

    /// Waits until one of two handles is ready, or the only one, each in the direction of its `Pinned`. The first of their timeouts
    /// ends it, and so does a deadline, a close or a cancel of any handle that it `concerns`, which includes these.
    pub fn any(&mut self, sides: &[&Pinned], concerns: &[&Pinned]) -> Result<()> {
        const TWO: usize = 2;
        let mut watches = [const { Watch::new(-1, 0) }; TWO];
        let mut seen = [0; TWO];
        for (place, pinned) in sides.iter().take(TWO).enumerate() {
            watches[place] = Watch::new(pinned.descriptor(), pinned.events());
            seen[place] = pinned.side().edges.load(Ordering::SeqCst);
        }
        let count = sides.len().min(TWO);
        if self.rest > 0 {
            self.check_all(sides, concerns)?;
            self.pause(sides[0], self.rest.into())?;
        }
        if worker::in_fiber() {
            poll_until(&mut watches[..count], 0)?;
            self.woken(&watches[..count]);
            // If something is always ready, nothing else would notice a close, or let others go on.
            let ready = watches.iter().any(Watch::ready);
            return if ready { self.breathe(concerns) } else { self.any_edge(sides, &seen[..count], concerns) };
        }
        let in_vain = || sides.iter().any(|pinned| pinned.waits_in_vain());
        self.until_ready(sides, concerns, &mut watches[..count], next_look(sides), in_vain)?;
        self.woken(&watches[..count]);
        Ok(())
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
        look: i64,
        in_vain: impl Fn() -> bool,
    ) -> Result<()> {
        let waker = Waker::current()?;
        let _places = Places::take(&waker, concerns)?;
        loop {
            let end = self.check_all(sides, concerns)?;
            if in_vain() || has_come(look) {
                return Ok(());
            }
            waker.park(watches, end.min(look))?;
            if watches.iter().any(Watch::ready) {
                return Ok(());
            }
        }
    }

    fn any_edge(&mut self, sides: &[&Pinned], seen: &[u64], concerns: &[&Pinned]) -> Result<()> {
        let waker = Waker::current()?;
        let _places = Places::take(&waker, concerns)?;
        let look = next_look(sides);
        loop {
            let end = self.check_all(sides, concerns)?;
            sides.iter().try_for_each(|pinned| worker::register(pinned))?;
            let news =
                |(pinned, seen): (&&Pinned, &u64)| pinned.side().edges.load(Ordering::SeqCst) != *seen || pinned.waits_in_vain();
            if sides.iter().zip(seen).any(news) || has_come(look) {
                return Ok(());
            }
            waker.park(&mut [], end.min(look))?;
        }
    }

    /// Waits for `milliseconds` and no readiness, for calls that try again by themselves.
    #[inline(never)]
    pub fn pause(&mut self, pinned: &Pinned, milliseconds: i64) -> Result<()> {
        let over = after(clock::now(), milliseconds);
        let place = Place::take(pinned)?;
        while clock::now() < over {
            let end = self.check(pinned)?;
            place.waker.park(&mut [], end.min(over))?;
        }
        Ok(())
    }

    /// Waits until `done`: whoever makes that true then alarms `waiters`.
    pub fn so(&mut self, pinned: &Pinned, waiters: &Waiters<Waker>, done: impl Fn() -> bool) -> Result<()> {
        let place = Place::take(pinned)?;
        wait_with(&place.waker, waiters, NEVER, done, || self.check(pinned).map(drop))?;
        // A close that makes it true is still a close.
        if pinned.side().gate.is_closed() { Err(Error::new(Code::Closed)) } else { Ok(()) }
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
                // Whoever had the turn may have left for the same reason that ends this call.
                return self.check_gate(side);
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

    /// Polls in a loop for as long as the handle's spin option says, before sleeping.
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
    fn take(pinned: &Pinned) -> Result<Place<'_>> {
        let waker = Waker::current()?;
        pinned.side().waiters.join(waker.clone(), For::Readiness, || {})?;
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

    /// Whether the direction is ended for writing, which the next try will report at once. poll(2) does not: a unix socket that is
    /// full does not become ready for writing when it is shut down.
    fn waits_in_vain(&self) -> bool {
        self.direction() == Direction::Write && self.side().shut.load(Ordering::SeqCst)
    }

    /// When a call that waits for readiness has to try again all the same. A unix peer that has ended its reading ends this
    /// writing, which the kernel reports only to those who sleep in send(2).
    fn next_look(&self) -> i64 {
        const MILLISECONDS: i64 = 100;
        let blind = self.direction() == Direction::Write && self.socket().family() == Some(Family::Unix);
        if blind { after(clock::now(), MILLISECONDS) } else { NEVER }
    }
}

fn next_look(sides: &[&Pinned]) -> i64 {
    sides.iter().map(|pinned| pinned.next_look()).min().unwrap_or(NEVER)
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
        if has_come(until) {
            return Ok(false);
        }
    }
}

/// Sleeps until a point in time. If that has come already, a fiber still lets the others run.
pub fn sleep_until(until: i64) -> Result<()> {
    any_ready(&mut [], until).map(drop)
}

/// Waits until `done`: whoever makes that true then alarms `waiters`. False if `until` came first. Fails when `may_wait` does:
/// [`scope::check`], or nothing for a caller that has to wait even if its handler is canceled.
pub fn until_so(
    waiters: &Waiters<Waker>,
    until: i64,
    done: impl Fn() -> bool,
    may_wait: impl FnMut() -> Result<()>,
) -> Result<bool> {
    let waker = Waker::current()?;
    wait_with(&waker, waiters, until, done, may_wait)
}

fn wait_with(
    waker: &Waker,
    waiters: &Waiters<Waker>,
    until: i64,
    done: impl Fn() -> bool,
    mut may_wait: impl FnMut() -> Result<()>,
) -> Result<bool> {
    waiters.join(waker.clone(), For::Readiness, || {})?;
    let result = loop {
        if done() {
            break Ok(true);
        }
        if has_come(until) {
            break Ok(false);
        }
        if let Err(error) = may_wait().and_then(|()| waker.park(&mut [], until)) {
            break Err(error);
        }
    };
    waiters.quit(waker, |_| {});
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    #[test]
    fn only_what_tells_of_nothing_but_an_error_disturbs() {
        let refused = UdpSocket::bind("127.0.0.1:0").unwrap();
        let gone = UdpSocket::bind("127.0.0.2:0").and_then(|socket| socket.local_addr()).unwrap();
        refused.connect(gone).unwrap();
        refused.send(b"x").unwrap();
        let mut watch = [Watch::new(refused.as_raw_fd(), poll::IN)];
        poll::poll(&mut watch, None).unwrap();
        let [error] = watch;
        let idle = Watch::new(-1, poll::IN);
        let mut ready = idle;
        ready.set_ready(true);
        for (watches, disturbed) in [
            ([idle, idle], false),
            ([idle, ready], false),
            ([error, idle], true),
            ([idle, error], true),
            ([error, error], true),
            ([error, ready], false),
            ([ready, error], false),
        ] {
            let mut call = Call::new();
            call.woken(&watches);
            assert_eq!(call.was_disturbed(), disturbed);
        }
        let mut call = Call::new();
        for pause in [1, 2, 4, 8, 16, 32, 32] {
            call.woken(&[error]);
            assert_eq!(call.rest, pause);
        }
        call.woken(&[ready]);
        assert_eq!(call.rest, 0);
    }
}
