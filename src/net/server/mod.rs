//! Servers: a handler, written as straight-line blocking calls, runs once for each connection of a listener.
//!
//! What both models share is here: what is running, the limits, the counts, stopping, and the end of a connection. How
//! connections are accepted and what their handlers run on is in `threads.rs` and `fibers.rs`.

mod fibers;
mod places;
mod threads;

use super::error::{Code, Error, Result};
use super::listen::LONGEST_PAUSE;
use super::registry::{self, Direction, Handle, Pinned};
use super::scope::{self, Scope};
use super::socket::Kind;
use super::wait::{self, Call, NEVER};
use super::waiters::Waiters;
use super::waker::Waker;
use super::worker;
use super::{close, log};
use crate::net::lock::lock;
use crate::sys::memory::boxed;
use crate::sys::once::OnceLock;
use crate::sys::shared::Shared;
use crate::sys::socket::{self as system, Family, Shutdown};
use crate::sys::thread::Thread;
use crate::sys::{clock, process};
use places::Places;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    Threads,
    Fibers,
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub model: Model,
    /// 0: one for each CPU.
    pub workers: usize,
    /// 0: no limit.
    pub max_connections: i64,
    /// Bytes; 0: the model's default.
    pub stack_size: usize,
}

pub type Handler = Box<dyn Fn(Handle) + Send + Sync>;

pub fn handler(work: impl Fn(Handle) + Send + Sync + 'static) -> Result<Handler> {
    Ok(boxed(work)?)
}

/// How long a connection whose handler has returned is kept for a peer that still sends, at most, and while nothing comes.
/// Milliseconds.
const LINGER: i64 = 10_000;
const LINGER_IN_SILENCE: i64 = 1_000;
/// How long a canceled handler may go on before its connection is closed under it. Milliseconds.
const PATIENCE: i64 = 1_000;
/// How long a canceled handler waits for those of a server that it stops. Milliseconds.
const LAST_PATIENCE: i64 = 5_000;

pub struct Server {
    handler: Handler,
    listener: Handle,
    /// The number of this server among all: its handlers' scopes carry it.
    number: u64,
    /// A server runs in the process that made it; a forked child has none.
    generation: u32,
    /// One for each thread that accepts.
    acceptors: OnceLock<Vec<Shared<Scope>>>,
    /// The workers, where there are any.
    mailboxes: OnceLock<Vec<fibers::Mailbox>>,
    tasks: Mutex<Tasks>,
    /// How many more connections may be served at once.
    seats: AtomicI64,
    /// No connection is admitted any more.
    stopping: AtomicBool,
    /// Nobody accepts, and no connection is left.
    stopped: AtomicBool,
    /// Handlers that are inside a stop of this very server: nobody inside waits for them.
    insiders: AtomicUsize,
    /// Who waits for seats, for handlers to end, or for the server to stop.
    watchers: Waiters<Waker>,
    threads: Mutex<Threads>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    active: AtomicU64,
    peak: AtomicU64,
    finished: AtomicU64,
    cut: AtomicU64,
    accept_errors: AtomicU64,
}

/// What a server reports about itself.
#[derive(Clone, Copy, Debug)]
pub struct Information {
    pub accepted: u64,
    pub active: u64,
    pub peak: u64,
    pub finished: u64,
    pub cut: u64,
    pub accept_errors: u64,
}

#[derive(Default)]
struct Tasks {
    running: Places<Shared<Task>>,
    next: u64,
    /// Threads that still accept; the last one counts until the listener is closed.
    accepting: usize,
}

/// One connection, from its acceptance until it is closed.
struct Task {
    number: u64,
    place: usize,
    connection: Handle,
    scope: Shared<Scope>,
    /// The handler has returned; what is left is to see the connection off.
    returned: AtomicBool,
    cut: AtomicBool,
}

#[derive(Default)]
struct Threads {
    /// Acceptors and workers.
    permanent: Vec<Thread>,
    /// Those that run one handler, by their task's number, which nobody outside chooses: the hash needs no random keys.
    handlers: HashMap<u64, Thread, BuildHasherDefault<DefaultHasher>>,
    /// The task whose thread was the last to end. The others have been joined.
    last_ended: Option<u64>,
}

impl Threads {
    /// Makes room for one more, so that keeping it needs no memory.
    fn reserve(&mut self) -> Result<()> {
        self.permanent.try_reserve(1)?;
        self.handlers.try_reserve(1)?;
        Ok(())
    }

    /// The thread of this task has nothing left to do but to join the one that ended before it: a thread that nobody joins keeps
    /// its stack.
    fn end(&mut self, task: u64) -> Option<Thread> {
        let before = self.last_ended.replace(task)?;
        self.handlers.remove(&before)
    }
}

/// Takes a listener over and serves it.
pub fn serve(listener: Handle, handler: Handler, options: Options) -> Result<Handle> {
    let pinned = registry::pin(listener, Direction::Read)?.expect(&[Kind::Listener])?;
    let serving = &pinned.socket().serving;
    if serving.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return Err(Error::with(Code::Busy, "another server is using the listener"));
    }
    // Those who wait in sock_accept have to find out.
    pinned.alarm();
    let started = Server::new(listener, handler, options).and_then(|server| Server::start(server, options));
    if started.is_err() {
        serving.store(false, Ordering::Release);
    }
    started
}

fn with_server<T>(handle: Handle, work: impl FnOnce(&Pinned, &Shared<Server>) -> Result<T>) -> Result<T> {
    let pinned = registry::pin(handle, Direction::Read)?.expect(&[Kind::Server])?;
    let server = pinned.socket().details().server.clone().ok_or(Error::new(Code::BadHandle))?;
    work(&pinned, &server)
}

/// Stops accepting, waits for the handlers until the grace is over, and cancels the rest: how many.
pub fn stop(handle: Handle, grace: i64) -> Result<usize> {
    // Not pinned while it waits: the handle may be closed meanwhile.
    let server = with_server(handle, |_, server| Ok(server.clone()))?;
    server.stop(wait::after(clock::now(), grace))
}

/// Waits until the server has stopped.
pub fn wait(handle: Handle) -> Result<()> {
    with_server(handle, |pinned, server| {
        if !server.is_here() {
            return Ok(());
        }
        Call::new().so(pinned, &server.watchers, || server.stopped.load(Ordering::Acquire))?;
        server.join();
        Ok(())
    })
}

pub fn information(handle: Handle) -> Result<Information> {
    with_server(handle, |_, server| {
        let counts = &server.counts;
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Ok(Information {
            finished: get(&counts.finished),
            cut: get(&counts.cut),
            active: get(&counts.active),
            accepted: get(&counts.accepted),
            peak: get(&counts.peak),
            accept_errors: get(&counts.accept_errors),
        })
    })
}

/// The server of a handle that is closing, to be stopped when the handle is gone.
pub fn take(closer: &Pinned) -> Option<Shared<Server>> {
    if closer.socket().kind() == Kind::Server { closer.socket().details().server.take() } else { None }
}

/// Sleeps, in a handler or anywhere; negative means until the server stops.
pub fn sleep(milliseconds: i64) -> Result<()> {
    wait::sleep_until(wait::after(clock::now(), milliseconds))
}

/// Lets the other fibers run, if the caller is one.
pub fn let_others_run() {
    worker::breathe();
}

impl Server {
    fn new(listener: Handle, handler: Handler, options: Options) -> Result<Shared<Server>> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let seats = if options.max_connections > 0 { options.max_connections } else { i64::MAX };
        let server = Server {
            handler,
            listener,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            generation: process::generation(),
            acceptors: OnceLock::new(),
            mailboxes: OnceLock::new(),
            tasks: Mutex::default(),
            seats: AtomicI64::new(seats),
            stopping: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            insiders: AtomicUsize::new(0),
            watchers: Waiters::new(),
            threads: Mutex::default(),
            counts: Counts::default(),
        };
        Ok(Shared::new(server)?)
    }

    /// Starts the threads and makes the handle. If that fails, nothing is left running.
    fn start(server: Shared<Server>, options: Options) -> Result<Handle> {
        let handle = registry::insert(None, Kind::Server, -1, |socket| socket.details().server = Some(server.clone()))?;
        let started = match options.model {
            Model::Threads => threads::start(&server, options),
            Model::Fibers => fibers::start(&server, options),
        };
        match started {
            Ok(()) => Ok(handle),
            Err(error) => {
                let _ = registry::close(handle, |_| {});
                Err(error)
            }
        }
    }

    /// Whether this is the process where the server runs.
    fn is_here(&self) -> bool {
        self.generation == process::generation()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        lock(&self.tasks)
    }

    // ---- connections ----

    /// Whether one more connection may be served; if so, its seat is taken.
    fn take_seat(&self) -> bool {
        self.seats.fetch_update(Ordering::AcqRel, Ordering::Acquire, |seats| (seats > 0).then(|| seats - 1)).is_ok()
    }

    fn has_seats(&self) -> bool {
        self.seats.load(Ordering::Acquire) > 0
    }

    fn give_seat(&self) {
        if self.seats.fetch_add(1, Ordering::AcqRel) == 0 {
            self.acceptors.get().into_iter().flatten().for_each(|acceptor| acceptor.wake());
        }
    }

    /// A connection has been accepted. None if it cannot be served, because it comes too late or memory is out: then it is closed.
    fn admit(&self, connection: Handle, scope: Shared<Scope>) -> Option<Shared<Task>> {
        self.counts.accepted.fetch_add(1, Ordering::Relaxed);
        let task = self.enlist(connection, scope);
        if task.is_none() {
            self.refuse(connection);
        }
        task
    }

    /// Closes a connection that no handler will see.
    fn refuse(&self, connection: Handle) {
        let _ = close::close(connection);
        self.give_seat();
    }

    fn enlist(&self, connection: Handle, scope: Shared<Scope>) -> Option<Shared<Task>> {
        let mut tasks = self.tasks();
        // Looked at under the lock: whoever stops the server finds every task that was admitted before.
        if self.is_stopping() {
            return None;
        }
        let number = tasks.next;
        tasks.next += 1;
        let task = |place| {
            let (returned, cut) = (AtomicBool::new(false), AtomicBool::new(false));
            Ok(Shared::new(Task { number, place, connection, scope, returned, cut })?)
        };
        let task = tasks.running.take(task).ok()?;
        let active = self.counts.active.fetch_add(1, Ordering::Relaxed) + 1;
        self.counts.peak.fetch_max(active, Ordering::Relaxed);
        Some(task)
    }

    /// Runs the handler for a connection and sees the connection off.
    fn handle(&self, task: &Task) {
        // A panic can only be a bug of the library's: the handler is C.
        let _ = catch_unwind(AssertUnwindSafe(|| (self.handler)(task.connection)));
        task.returned.store(true, Ordering::Release);
        self.counts.active.fetch_sub(1, Ordering::Relaxed);
        self.counts.finished.fetch_add(1, Ordering::Relaxed);
        if !self.is_here() {
            return;
        }
        self.give_seat();
        let _ = registry::close(task.connection, |closer| {
            close::farewell(closer);
            closer.alarm();
            if close::resets(closer) {
                return;
            }
            self.see_off(closer);
            close::linger(closer, NEVER);
        });
    }

    /// Reads and drops what the peer still sends, until its end: closing a TCP socket with data unread, or that more data comes
    /// for, would reset the connection, and what was written would be lost on its way (RFC 1122 4.2.2.13, RFC 2525 2.17).
    fn see_off(&self, closer: &Pinned) {
        let [read, write] = closer.sides();
        if closer.socket().kind() != Kind::Stream || read.ended.load(Ordering::Relaxed) || !drop_unread(closer) {
            return;
        }
        let over = write.ended.load(Ordering::Relaxed) || system::shutdown(closer.descriptor(), Shutdown::Write).is_err();
        if over || closer.socket().family() == Some(Family::Unix) {
            return;
        }
        let end = wait::after(clock::now(), LINGER);
        let silence = || end.min(wait::after(clock::now(), LINGER_IN_SILENCE));
        let mut given_up = silence();
        let mut call = Call::of_closer(end);
        loop {
            let mut until = given_up;
            if self.is_stopping() {
                // The end of the stream counts as one byte.
                if system::unsent(closer.descriptor()).is_ok_and(|bytes| bytes <= 1) {
                    return;
                }
                until = until.min(wait::after(clock::now(), close::LOOK));
            }
            call.go_on_until(until);
            match call.ready(closer) {
                Ok(()) if drop_unread(closer) => {
                    if !call.was_disturbed() {
                        given_up = silence();
                    }
                }
                Err(error) if error.code == Code::TimedOut && clock::now() < given_up => {}
                // A stop ends the wait for the peer's end, but not for what was written.
                Err(error) if error.code == Code::Canceled && clock::now() < given_up && drop_unread(closer) => {
                    let look = wait::after(clock::now(), close::LOOK);
                    let _ = wait::until_so(&self.watchers, look, || false, || Ok(()));
                }
                _ => return,
            }
        }
    }

    /// A connection that no handler will run for is closed.
    fn give_up(&self, task: &Task) {
        self.refuse(task.connection);
        self.counts.active.fetch_sub(1, Ordering::Relaxed);
        self.leave(task);
    }

    /// A connection is closed.
    fn leave(&self, task: &Task) {
        self.tasks().running.give_back(task.place);
        self.settle();
    }

    /// A thread accepts no more.
    fn acceptor_left(&self) {
        // If accepting has failed for good, or the listener was closed or canceled, this begins the stop.
        self.begin_stop();
        self.acceptors_left(1);
    }

    /// With the last of them the listener is closed: a client that connects while the handlers have their grace is refused at once
    /// instead of waiting in a backlog for a reset, and another server can have the address.
    fn acceptors_left(&self, count: usize) {
        let last = {
            let mut tasks = self.tasks();
            let last = tasks.accepting == count;
            if !last {
                tasks.accepting -= count;
            }
            last
        };
        if last {
            self.begin_stop();
            let _ = close::close(self.listener);
            self.tasks().accepting = 0;
        }
        self.settle();
    }

    /// Something has ended: if it was the last, the server has stopped.
    fn settle(&self) {
        if !self.is_stopping() {
            return;
        }
        let tasks = self.tasks();
        if tasks.running.taken() == 0 && tasks.accepting == 0 {
            self.stopped.store(true, Ordering::Release);
        }
        drop(tasks);
        self.watchers.alarm();
    }

    // ---- stopping: docs/architecture.md has the drawing of its states ----

    /// No connection is accepted from here on.
    fn begin_stop(&self) {
        let tasks = self.tasks();
        if self.stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        drop(tasks);
        self.acceptors.get().into_iter().flatten().for_each(|acceptor| acceptor.cancel());
        self.each_task(|task| {
            if task.returned.load(Ordering::Acquire) {
                task.scope.cancel();
            }
        });
        self.watchers.alarm();
    }

    pub fn stop(&self, until: i64) -> Result<usize> {
        if !self.is_here() {
            return Ok(0);
        }
        self.begin_stop();
        let inside = scope::is_inside_of(self.number);
        if inside {
            self.insiders.fetch_add(1, Ordering::SeqCst);
            self.watchers.alarm();
        }
        let result = self.wait_and_cut(inside, until);
        if inside {
            self.insiders.fetch_sub(1, Ordering::SeqCst);
        } else {
            self.join();
        }
        result
    }

    fn wait_and_cut(&self, inside: bool, until: i64) -> Result<usize> {
        let quiet = || {
            if !inside {
                return self.stopped.load(Ordering::Acquire);
            }
            let tasks = self.tasks();
            tasks.accepting == 0 && tasks.running.taken() <= self.insiders.load(Ordering::SeqCst)
        };
        match wait::until_so(&self.watchers, until, quiet, scope::check) {
            Ok(true) => return Ok(0),
            Ok(false) => {}
            // The caller is a handler that is canceled itself: its grace is over.
            Err(error) if error.code == Code::Canceled => {}
            Err(error) => return Err(error),
        }
        let cut = self.cut();
        let at_any_rate = || Ok(());
        if !wait::until_so(&self.watchers, wait::after(clock::now(), PATIENCE), quiet, at_any_rate)? {
            self.close_connections();
            // Two handlers that stop each other's servers must not wait for ever.
            let end = if scope::is_inside() { wait::after(clock::now(), LAST_PATIENCE) } else { NEVER };
            if !wait::until_so(&self.watchers, end, quiet, at_any_rate)? {
                wait::until_so(&self.watchers, NEVER, quiet, scope::check)?;
            }
        }
        Ok(cut)
    }

    /// Goes through what runs, without a lock and without memory.
    fn each_task(&self, mut see: impl FnMut(&Task)) {
        let mut place = 0;
        loop {
            let next = self.tasks().running.next(place);
            let Some((at, task)) = next else { return };
            see(&task);
            place = at + 1;
        }
    }

    fn each_other(&self, mut see: impl FnMut(&Task)) {
        self.each_task(|task| {
            if !task.scope.is_current() {
                see(task);
            }
        });
    }

    /// Cancels what still runs. Returns how many handlers that were.
    fn cut(&self) -> usize {
        let mut cut = 0;
        self.each_other(|task| {
            if !task.returned.load(Ordering::Acquire) && !task.cut.swap(true, Ordering::AcqRel) {
                cut += 1;
            }
            task.scope.cancel();
            let _ = registry::cancel(task.connection);
        });
        self.counts.cut.fetch_add(cut as u64, Ordering::Relaxed);
        cut
    }

    /// Cancel ends waiting; a handler whose peer never lets it wait goes on until its handle is gone.
    fn close_connections(&self) {
        self.each_other(|task| {
            if !task.returned.load(Ordering::Acquire) {
                let _ = close::close_until(task.connection, clock::now());
            }
        });
    }

    /// Waits for the threads of a server that has stopped to be gone, unless it is called in one of them.
    fn join(&self) {
        if scope::is_inside_of(self.number) || !self.stopped.load(Ordering::Acquire) {
            return;
        }
        // Locked until they are gone: whoever comes second waits for them too. They have no use for the lock any more.
        let mut threads = lock(&self.threads);
        let Threads { permanent, handlers, .. } = std::mem::take(&mut *threads);
        permanent.into_iter().chain(handlers.into_values()).for_each(Thread::join);
    }

    /// What `make` makes, for which there may be no memory at first. None if the server stops before there is.
    fn with_memory<T>(&self, make: impl Fn() -> Result<T>) -> Option<T> {
        let mut told = false;
        loop {
            match make() {
                Ok(made) => return Some(made),
                Err(error) if !told => self.accept_failed(&error),
                Err(_) => {}
            }
            told = true;
            if self.is_stopping() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(LONGEST_PAUSE as u64));
        }
    }

    fn accept_failed(&self, error: &Error) {
        self.counts.accept_errors.fetch_add(1, Ordering::Relaxed);
        log::say(log::Level::Warning, format_args!("serve: accepting failed: {error}"));
    }
}

/// Reads and drops what has come. False where the peer has ended its direction or the connection is dead.
fn drop_unread(closer: &Pinned) -> bool {
    let tcp = closer.socket().family() != Some(Family::Unix);
    // A peer that sends faster than this reads has to be waited for in turns.
    for _ in 0..16 {
        match if tcp { system::discard(closer.descriptor()) } else { system::receive(closer.descriptor(), &mut [0; 256], 0) } {
            Ok(0) => return false,
            Ok(_) => {}
            Err(crate::sys::Errno::EAGAIN) => return true,
            Err(_) => return false,
        }
    }
    true
}
