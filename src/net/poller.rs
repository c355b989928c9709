//! Readiness of many handles for one thread: an epoll set, and what the kernel does not know.
//!
//! The kernel watches level-triggered. Two things it cannot tell are kept here, in a list that every wait looks at first: bytes
//! that were read ahead, and connections that are over for good. The kernel would report the latter for ever; here the end is
//! reported once, and the directions of interest as ready until a call has reported the end there.

use super::error::{Code, Error, Result};
use super::lock::lock;
use super::registry::{self, Direction, Handle, Pinned};
use super::slots::Side;
use super::socket::{Kind, SOCKETS, Socket};
use super::wait::{self, Call, NEVER};
use super::waiters::For;
use super::waker::Waker;
use super::worker;
use crate::sys::epoll::{self, Event};
use crate::sys::shared::Shared;
use crate::sys::{AsRawFd, Errno, OwnedFd, RawFd, clock, process};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Mutex, MutexGuard};

pub const READ: u32 = 1;
pub const WRITE: u32 = 2;
pub const HANGUP: u32 = 4;
pub const ERROR: u32 = 8;
pub const WOKEN: u32 = 16;

/// The number of the poller's own eventfd in its epoll set; entries have smaller ones.
const WAKE: u64 = u64::MAX;
/// How many events are taken from the kernel at once.
const BATCH: usize = 64;

/// What a wait reports about one handle.
#[derive(Clone, Copy)]
pub struct Ready {
    pub handle: Handle,
    pub user: usize,
    pub ready: u32,
}

pub struct Poller {
    /// A copy of the number in the poller's slot, which outlives every call that uses it.
    epoll: RawFd,
    /// Wakes whoever sleeps in the epoll set.
    waker: Waker,
    woken: AtomicBool,
    entries: Mutex<Entries>,
    /// An epoll set is shared over fork: only the process that made it may use it.
    generation: u32,
}

#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    free: Vec<u32>,
    /// Entries that may be ready without the kernel saying so.
    own: Vec<u32>,
    /// They left no room for the kernel's events: the next time these get some.
    crowded: bool,
}

struct Entry {
    /// 0: free.
    handle: Handle,
    user: usize,
    interest: u32,
    descriptor: RawFd,
    /// Counts the uses of this place: part of the number that the kernel gives back.
    use_count: u32,
    /// What the kernel watches for; None once it watches no more.
    watched: Option<u32>,
    hangup_told: bool,
    /// Over for good, as the kernel has said.
    over: bool,
    /// Is in `own`.
    listed: bool,
}

/// Where a socket is registered.
pub struct Registration {
    poller: Shared<Poller>,
    entry: u32,
}

pub fn create() -> Result<Handle> {
    let epoll = epoll::create()?;
    let waker = Waker::apart()?;
    waker.watch(|event| epoll::add(epoll.as_raw_fd(), event, epoll::IN, WAKE)).map_err(watch_error)?;
    let poller = Shared::new(Poller {
        epoll: epoll.as_raw_fd(),
        waker,
        woken: AtomicBool::new(false),
        entries: Mutex::new(Entries::default()),
        generation: process::generation(),
    })?;
    insert(epoll, poller)
}

fn insert(epoll: OwnedFd, poller: Shared<Poller>) -> Result<Handle> {
    registry::insert(epoll, Kind::Poller, -1, |socket| socket.details().poller = Some(poller))
}

/// The poller of a handle, whose descriptor stays open while the pin lives.
fn pin(handle: Handle) -> Result<(Pinned, Shared<Poller>)> {
    let pinned = registry::pin(handle, Direction::Read)?.expect(&[Kind::Poller])?;
    let poller = pinned.socket().details().poller.clone().ok_or(Error::new(Code::BadHandle))?;
    if !poller.is_here() {
        return Err(Error::with(Code::NotSupported, "a poller belongs to the process that made it, and this one is its child"));
    }
    Ok((pinned, poller))
}

fn check_interest(interest: u32) -> Result<()> {
    if interest & !(READ | WRITE) != 0 {
        return Err(Error::invalid("the interest has bits other than SOCK_READ and SOCK_WRITE"));
    }
    Ok(())
}

pub fn add(poller: Handle, handle: Handle, interest: u32, user: usize) -> Result<()> {
    check_interest(interest)?;
    let itself = poller == handle;
    let (watching, poller) = pin(poller)?;
    if itself {
        return Err(Error::invalid("a poller cannot watch itself"));
    }
    let pinned = registry::pin(handle, Direction::Read)?.expect(SOCKETS)?;
    let mut details = pinned.socket().details();
    // The closer shuts the gate before it asks whether anybody watches: it finds this, or this finds the gate shut.
    pinned.socket().watched.store(poller.generation, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    if pinned.side().gate.is_closed() {
        return Err(Error::new(Code::BadHandle));
    }
    if details.registrations.iter().any(|registration| registration.poller == poller) {
        return Err(Error::with(Code::Busy, "the poller already watches this handle"));
    }
    details.registrations.try_reserve(1)?;
    let mut entries = poller.entries();
    // The poller's closer, too, shuts the gate before it takes the entries.
    if watching.side().gate.is_closed() {
        return Err(Error::new(Code::Closed));
    }
    let entry = entries.take_place()?;
    entries.list[entry as usize].start(handle, user, interest, pinned.descriptor());
    let watched = wanted(interest);
    let number = entries.number(entry);
    if let Err(errno) = epoll::add(poller.epoll, pinned.descriptor(), watched, number) {
        entries.give_back(entry);
        return Err(watch_error(errno));
    }
    entries.list[entry as usize].watched = Some(watched);
    if pinned.socket().buffered() > 0 {
        poller.announce(&mut entries, entry);
    }
    drop(entries);
    details.registrations.push(Registration { poller, entry });
    Ok(())
}

/// epoll_ctl(2) says ENOSPC where the user's limit of watches is reached.
pub fn watch_error(errno: Errno) -> Error {
    match errno {
        Errno::ENOSPC => Error::with(Code::Limit, "the system's limit of watched descriptors is reached").errno(errno),
        errno => errno.into(),
    }
}

pub fn set(poller: Handle, handle: Handle, interest: u32, user: usize) -> Result<()> {
    check_interest(interest)?;
    with_entry(poller, handle, |poller, pinned, details, position| {
        let entry = details[position].entry;
        let mut entries = poller.entries();
        if entries.list.is_empty() {
            return Err(Error::new(Code::Closed)); // the poller's closer has them
        }
        let number = entries.number(entry);
        let (descriptor, watched) = (pinned.descriptor(), wanted(interest));
        match entries.list[entry as usize].watched {
            Some(old) if old == watched => {}
            Some(_) => epoll::modify(poller.epoll, descriptor, watched, number)?,
            None => epoll::add(poller.epoll, descriptor, watched, number).map_err(watch_error)?,
        }
        let place = &mut entries.list[entry as usize];
        let listed = place.listed;
        place.start(handle, user, interest, descriptor);
        place.watched = Some(watched);
        place.listed = listed;
        if pinned.socket().buffered() > 0 {
            poller.announce(&mut entries, entry);
        }
        Ok(())
    })
}

pub fn remove(poller: Handle, handle: Handle) -> Result<()> {
    with_entry(poller, handle, |poller, pinned, details, position| {
        let registration = details.swap_remove(position);
        poller.forget(registration.entry, pinned.descriptor());
        Ok(())
    })
}

/// Works on the registration of a handle with a poller, under the handle's lock.
fn with_entry(
    poller: Handle,
    handle: Handle,
    work: impl FnOnce(&Poller, &Pinned, &mut Vec<Registration>, usize) -> Result<()>,
) -> Result<()> {
    let (_pinned, poller) = pin(poller)?;
    let pinned = registry::pin(handle, Direction::Read)?.expect(SOCKETS)?;
    let mut details = pinned.socket().details();
    let position = details.registrations.iter().position(|registration| registration.poller == poller);
    let position = position.ok_or(Error::invalid("the poller does not watch this handle"))?;
    work(&poller, &pinned, &mut details.registrations, position)
}

/// A handle is closing: no poller hears of it any more.
pub fn leave_all(pinned: &Pinned) {
    if pinned.socket().kind() == Kind::Poller {
        return close(pinned);
    }
    fence(Ordering::SeqCst); // the other half is in `add`
    if pinned.socket().watched.load(Ordering::Relaxed) == process::generation() {
        let registrations = std::mem::take(&mut pinned.socket().details().registrations);
        for registration in registrations {
            registration.poller.forget(registration.entry, pinned.descriptor());
        }
    }
}

/// A poller is closing: the handles forget it.
fn close(pinned: &Pinned) {
    if pinned.is_inherited() {
        return; // in a forked child nobody uses it
    }
    let Some(poller) = pinned.socket().details().poller.take() else {
        return;
    };
    let entries = std::mem::take(&mut *poller.entries());
    for entry in entries.list.iter().filter(|entry| entry.handle != 0) {
        if let Ok(watched) = registry::pin(entry.handle, Direction::Read) {
            watched.socket().details().registrations.retain(|registration| registration.poller != poller);
        }
    }
}

/// Bytes have been read ahead on a watched socket.
pub fn read_ahead(registrations: &[Registration]) {
    for Registration { poller, entry } in registrations.iter().filter(|registration| registration.poller.is_here()) {
        poller.announce(&mut poller.entries(), *entry);
    }
}

/// One event with [`WOKEN`] for one waiter, now or at its next wait.
pub fn wake(poller: Handle) -> Result<()> {
    let (_pinned, poller) = pin(poller)?;
    poller.woken.store(true, Ordering::Release);
    poller.waker.set();
    Ok(())
}

/// Waits until there is something to report. How many events; 0 when the time is over.
pub fn wait(handle: Handle, capacity: usize, timeout: i64, mut tell: impl FnMut(usize, Ready)) -> Result<usize> {
    if capacity == 0 {
        return Err(Error::invalid("no room for events"));
    }
    // A fiber that gets events at once each time must not keep the others from running: what it waits for may be theirs to do.
    // Before looking, because they may close what would be reported.
    worker::breathe();
    let (pinned, poller) = pin(handle)?;
    let until = match timeout {
        0 => 0,
        timeout if timeout < 0 => NEVER,
        timeout => wait::after(clock::now(), timeout),
    };
    let mut told = 0;
    let mut report = |ready: Ready| {
        tell(told, ready);
        told += 1;
    };
    let mut events = [Event::EMPTY; BATCH];
    let mut looked_again = false;
    loop {
        let (own, more) = poller.entries().own_share(capacity, &mut report);
        if own == capacity {
            return Ok(own);
        }
        let room = BATCH.min(capacity - own);
        let end = if more { 0 } else { until };
        let count = poller.sleep(&pinned, &mut events[..room], end)?;
        let mut found = own;
        let mut entries = poller.entries();
        for event in &events[..count] {
            let ready = match event.number() {
                WAKE => poller.woken_event(&pinned, handle),
                number => entries.event(&poller, number, event.ready()),
            };
            if let Some(ready) = ready {
                report(ready);
                found += 1;
            }
        }
        drop(entries);
        if found > 0 {
            return Ok(found);
        }
        if more {
            continue; // the kernel has nothing: all room is theirs
        }
        if count == room && !looked_again {
            // What is not an event, such as the poller's own eventfd, may have had all the room: the kernel reports in turn.
            looked_again = true;
            continue;
        }
        if until == 0 {
            return Ok(0);
        }
        pinned.side().check()?;
        if wait::has_come(until) {
            return Ok(0);
        }
    }
}

impl Poller {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        lock(&self.entries)
    }

    /// Takes events from the kernel, waiting for them until `until`; 0 does not wait.
    fn sleep(&self, pinned: &Pinned, events: &mut [Event], until: i64) -> Result<usize> {
        let mut call = Call::until(until);
        if until == 0 {
            return self.take(events, Some(0));
        }
        if wait::is_bound() {
            if pinned.side().gate.is_closed() {
                return Err(Error::new(Code::Closed));
            }
            // The set is itself a descriptor to wait for.
            let count = self.take(events, Some(0))?;
            if count > 0 {
                return Ok(count);
            }
            return match call.ready(pinned) {
                Ok(()) => self.take(events, Some(0)),
                Err(error) if error.code == Code::TimedOut => Ok(0),
                Err(error) => Err(error),
            };
        }
        let side = pinned.side();
        side.waiters.join(self.waker.clone(), For::Readiness, || {})?;
        // After a cancel nobody waits, but what is ready is still reported.
        let left = match (side.gate.is_canceled(), until) {
            (true, _) => Some(0),
            (false, NEVER) => None,
            (false, until) => Some(until.saturating_sub(clock::now())),
        };
        let count = if side.gate.is_closed() { Ok(0) } else { self.take(events, left) };
        side.waiters.quit(&self.waker, |_| {});
        if side.gate.is_closed() { Err(Error::new(Code::Closed)) } else { count }
    }

    fn take(&self, events: &mut [Event], left: Option<i64>) -> Result<usize> {
        match epoll::wait(self.epoll, events, left) {
            Err(Errno::EINTR) => Ok(0),
            result => Ok(result?),
        }
    }

    /// The eventfd is set: by sock_poller_wake, or only to have a look.
    fn woken_event(&self, pinned: &Pinned, handle: Handle) -> Option<Ready> {
        // Everybody who waits has to see a close or a cancel: then it stays set.
        if pinned.side().check().is_ok() {
            self.waker.clear();
            if pinned.side().check().is_err() {
                self.waker.set(); // it came between
            }
        }
        self.woken.swap(false, Ordering::AcqRel).then_some(Ready { handle, user: 0, ready: WOKEN })
    }

    /// Puts an entry on the list, and wakes whoever sleeps: nothing else would report it.
    fn announce(&self, entries: &mut Entries, entry: u32) {
        if self.list(entries, entry) {
            self.waker.set();
        }
    }

    /// Puts an entry on the list of what the kernel does not know. False if it was there already, or the poller is being closed.
    fn list(&self, entries: &mut Entries, entry: u32) -> bool {
        let Some(place) = entries.list.get_mut(entry as usize) else { return false };
        if place.listed || entries.own.try_reserve(1).is_err() {
            return false;
        }
        place.listed = true;
        entries.own.push(entry);
        true
    }

    /// Whether this is the process that made it. In another nobody touches it: a thread of the parent may have had its lock at the fork.
    fn is_here(&self) -> bool {
        self.generation == process::generation()
    }

    fn forget(&self, entry: u32, descriptor: RawFd) {
        if !self.is_here() {
            return;
        }
        let mut entries = self.entries();
        // After the poller's close the list is empty.
        if (entry as usize) < entries.list.len() {
            let watched = entries.list[entry as usize].watched.is_some();
            entries.give_back(entry);
            if watched {
                let _ = epoll::delete(self.epoll, descriptor);
            }
        }
    }
}

fn directions(readable: bool, writable: bool) -> u32 {
    (u32::from(readable) * READ) | (u32::from(writable) * WRITE)
}

/// What the kernel is asked for. It always reports hangups and errors.
fn wanted(interest: u32) -> u32 {
    let read = if interest & READ != 0 { epoll::IN } else { 0 };
    let write = if interest & WRITE != 0 { epoll::OUT } else { 0 };
    read | write | epoll::PEER_CLOSED
}

impl Entry {
    fn start(&mut self, handle: Handle, user: usize, interest: u32, descriptor: RawFd) {
        let use_count = self.use_count;
        *self = Entry { handle, user, interest, descriptor, use_count, ..Entry::free() };
    }

    fn free() -> Entry {
        Entry {
            handle: 0,
            user: 0,
            interest: 0,
            descriptor: -1,
            use_count: 0,
            watched: None,
            hangup_told: false,
            over: false,
            listed: false,
        }
    }

    /// What is ready without the kernel saying so.
    fn own(&self, socket: &Socket, sides: &[Side; 2]) -> u32 {
        let [read, write] = sides;
        let readable = socket.buffered() > 0 || (self.over && !read.ended.load(Ordering::Relaxed));
        let writable = self.over && !write.ended.load(Ordering::Relaxed);
        directions(readable, writable) & self.interest
    }

    /// What the kernel says is ready, as the library's events. A hangup is reported once by itself, and again along with other
    /// events.
    fn ready(&mut self, kernel: u32, read: &Side) -> u32 {
        let broken = kernel & (epoll::HANGUP | epoll::ERROR) != 0;
        let readable = (broken || kernel & epoll::IN != 0) && !read.ended.load(Ordering::Relaxed);
        let writable = broken || kernel & epoll::OUT != 0;
        let mut ready = directions(readable, writable) & self.interest;
        if kernel & epoll::ERROR != 0 {
            ready |= ERROR;
        }
        if kernel & (epoll::HANGUP | epoll::PEER_CLOSED) != 0 && (!self.hangup_told || ready != 0) {
            ready |= HANGUP;
            self.hangup_told = true;
        }
        ready
    }
}

impl Entries {
    fn take_place(&mut self) -> Result<u32> {
        if let Some(free) = self.free.pop() {
            return Ok(free);
        }
        self.list.try_reserve(1)?;
        // So that giving a place back never needs memory.
        self.free.try_reserve(self.list.len() + 1)?;
        self.list.push(Entry::free());
        Ok(self.list.len() as u32 - 1)
    }

    fn give_back(&mut self, entry: u32) {
        let place = &mut self.list[entry as usize];
        if place.listed {
            self.own.retain(|other| *other != entry);
        }
        let use_count = place.use_count.wrapping_add(1);
        *place = Entry { use_count, ..Entry::free() };
        self.free.push(entry);
    }

    /// The number by which the kernel names an entry.
    fn number(&self, entry: u32) -> u64 {
        u64::from(self.list[entry as usize].use_count) << 32 | u64::from(entry)
    }

    /// As [`Entries::own`], with room left for the kernel's events if there was none the last time. How many, and whether any
    /// are ready.
    fn own_share(&mut self, capacity: usize, report: &mut impl FnMut(Ready)) -> (usize, bool) {
        let share = if self.crowded { capacity / 2 } else { capacity };
        let found = self.own(share, report);
        self.crowded = found == capacity;
        (found, !self.own.is_empty())
    }

    /// Reports what is ready without the kernel saying so, and strikes from the list what no longer is. How many.
    fn own(&mut self, capacity: usize, report: &mut impl FnMut(Ready)) -> usize {
        let mut found = 0;
        let list = &mut self.list;
        self.own.retain(|entry| {
            let place = &mut list[*entry as usize];
            let ready = registry::look(place.handle).map_or(0, |(socket, sides)| place.own(socket, sides));
            if ready == 0 {
                place.listed = false;
                return false;
            }
            if found < capacity {
                report(Ready { handle: place.handle, user: place.user, ready });
                found += 1;
            }
            true
        });
        // Those that found no room come first the next time.
        if found == capacity && !self.own.is_empty() {
            let turn = found.min(self.own.len());
            self.own.rotate_left(turn);
        }
        found
    }

    /// What the kernel says of an entry, as an event of the library; None if there is nothing to report.
    fn event(&mut self, poller: &Poller, number: u64, kernel: u32) -> Option<Ready> {
        let entry = number as u32;
        let place = self.list.get_mut(entry as usize)?;
        if place.handle == 0 || u64::from(place.use_count) != number >> 32 {
            return None;
        }
        let (socket, sides) = registry::look(place.handle)?;
        // What this round has already reported of it.
        let told = if place.listed { place.own(socket, sides) } else { 0 };
        let ready = place.ready(kernel, &sides[0]);
        let event = Ready { handle: place.handle, user: place.user, ready: ready & !told };
        // An error on a datagram socket is about one datagram.
        let lasting = if socket.kind() == Kind::Datagram { epoll::HANGUP } else { epoll::HANGUP | epoll::ERROR };
        if kernel & lasting != 0 {
            // The kernel would report it for ever: from here on the poller knows by itself.
            place.over = true;
            place.watched = None;
            let _ = epoll::delete(poller.epoll, place.descriptor);
            poller.list(self, entry);
        } else if kernel & epoll::PEER_CLOSED != 0 && (ready | told) & READ == 0 {
            // The end of the stream has been read, or nobody wants to know of it: the kernel would report that for ever, too.
            let watched = wanted(place.interest) & !(epoll::IN | epoll::PEER_CLOSED);
            if epoll::modify(poller.epoll, place.descriptor, watched, number).is_ok() {
                place.watched = Some(watched);
            }
        }
        (event.ready != 0).then_some(event)
    }
}
