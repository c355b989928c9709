//! Fibers on a few workers. Each worker accepts for itself; one that has much more to do than another hands connections over.

use super::super::error::{Code, Error, Result};
use super::super::listen::{self, Attempt, LONGEST_PAUSE, MOST_LOST};
use super::super::registry::{self, Direction, Handle, Pinned};
use super::super::scope::Scope;
use super::super::wait;
use super::super::waiters::{For, Wake};
use super::super::waker::Waker;
use super::super::worker::{HOST, Host, Reactor, Ticket, Worker};
use super::threads::thread_error;
use super::{Options, Server, lock};
use crate::sys::shared::Shared;
use crate::sys::{clock, thread};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

const STACK: usize = 256 << 10;
/// The stack of a worker itself, on which no handler runs.
const WORKER_STACK: usize = 128 << 10;
/// How many connections a worker accepts before it looks after its fibers again, at most.
const MOST_AT_ONCE: u32 = 64;
/// A worker keeps connections until it has so many more than another, and an eighth of its own.
const UNEVEN: usize = 4;

/// One worker, as the others see it.
pub struct Mailbox {
    reactor: Shared<Reactor>,
    arrivals: Mutex<Arrivals>,
}

/// Connections that another worker has accepted.
#[derive(Default)]
struct Arrivals {
    waiting: Vec<Handle>,
    /// The worker has ended, or never began.
    closed: bool,
}

pub fn start(server: &Shared<Server>, options: Options) -> Result<()> {
    let count = if options.workers > 0 { options.workers } else { thread::cpus() };
    let stack = if options.stack_size > 0 { options.stack_size } else { STACK };
    make_mailboxes(server, count)?;
    server.tasks().accepting = count;
    let mut started = 0;
    let error = loop {
        if started == count {
            return Ok(());
        }
        match start_worker(server, started, stack) {
            Ok(()) => started += 1,
            Err(error) => break error,
        }
    };
    server.mailboxes.get().into_iter().flatten().skip(started).for_each(|mailbox| server.close_mailbox(mailbox));
    if started == 0 {
        return Err(error);
    }
    // Fewer workers than were asked for do as well.
    server.acceptors_left(count - started);
    Ok(())
}

/// Makes what each worker is known by to the others, and to who stops the server.
fn make_mailboxes(server: &Server, count: usize) -> Result<()> {
    let mut mailboxes = Vec::new();
    let mut scopes = Vec::new();
    mailboxes.try_reserve_exact(count)?;
    scopes.try_reserve_exact(count)?;
    for _ in 0..count {
        let reactor = Reactor::new()?;
        scopes.push(Shared::new(Scope::of_fiber(0, Ticket::new(&reactor, HOST)))?);
        mailboxes.push(Mailbox { reactor, arrivals: Mutex::default() });
    }
    let _ = server.acceptors.set(scopes);
    let _ = server.mailboxes.set(mailboxes);
    Ok(())
}

fn start_worker(server: &Shared<Server>, number: usize, stack: usize) -> Result<()> {
    let (mine, listener) = (server.clone(), registry::pin(server.listener, Direction::Read)?);
    let mut threads = lock(&server.threads);
    threads.reserve()?;
    let thread =
        thread::spawn(c"sock-worker", WORKER_STACK, move || work(mine, listener, number, stack)).map_err(thread_error)?;
    threads.permanent.push(thread);
    Ok(())
}

/// A worker's thread.
fn work(server: Shared<Server>, listener: Pinned, number: usize, stack: usize) {
    let Some(mailbox) = server.mailboxes.get().and_then(|mailboxes| mailboxes.get(number)) else { return };
    let Some(worker) = server.with_memory(|| Worker::new(mailbox.reactor.clone(), stack)) else {
        drop(listener);
        return server.worker_lost(mailbox);
    };
    let acceptor = Acceptor {
        server: server.clone(),
        worker: worker.clone(),
        number,
        listener: RefCell::new(Some(listener)),
        open: Cell::new(false),
        pause: Cell::new(1),
        quota: Cell::new(1),
        lost: Cell::new(0),
        waiting: RefCell::default(),
    };
    acceptor.begin();
    if !Worker::run(&worker, &acceptor) {
        // A forked child, whose handler should have called _exit: what is here belongs to the parent.
        std::mem::forget((acceptor, worker, server));
    }
}

impl Server {
    /// A worker has not begun when the server stops.
    fn worker_lost(&self, mailbox: &Mailbox) {
        self.close_mailbox(mailbox);
        self.acceptors_left(1);
    }

    /// Nobody will fetch the connections that others have left here.
    fn close_mailbox(&self, mailbox: &Mailbox) {
        let arrived = {
            let mut arrivals = lock(&mailbox.arrivals);
            arrivals.closed = true;
            std::mem::take(&mut arrivals.waiting)
        };
        arrived.into_iter().for_each(|connection| self.refuse(connection));
    }
}

/// Where a worker's connections come in.
struct Acceptor {
    server: Shared<Server>,
    worker: Shared<Worker>,
    number: usize,
    /// None when no more come.
    listener: RefCell<Option<Pinned>>,
    /// The epoll set watches the listener.
    open: Cell<bool>,
    /// Milliseconds until the next try where something has run out.
    pause: Cell<i64>,
    /// How many to accept at once: more while each round finds more.
    quota: Cell<u32>,
    /// How many connections in a row have died before they were accepted.
    lost: Cell<u32>,
    /// Connections for which no fiber could be made yet.
    waiting: RefCell<VecDeque<Handle>>,
}

impl Host for Acceptor {
    fn woken(&self) {
        if let Err(error) = self.take_arrivals() {
            self.fail(&error);
        }
        self.start_waiting();
        if self.server.is_stopping() || self.is_listener_gone() {
            self.shut();
        } else if self.server.has_seats() && self.waiting.borrow().is_empty() {
            self.open();
        }
    }

    fn connections(&self) {
        for _ in 0..self.quota.get() {
            // A server that is being stopped may hear of a connection before it hears that it is to accept no more.
            if self.listener.borrow().is_none() || self.server.is_stopping() {
                return;
            }
            if !self.server.take_seat() {
                return self.rest();
            }
            let attempt = self.listener.borrow().as_ref().map(listen::attempt);
            match attempt {
                Some(Attempt::Accepted(connection)) => {
                    self.pause.set(1);
                    self.lost.set(0);
                    self.place(connection);
                    continue;
                }
                Some(Attempt::Lost(_)) if self.lost.get() < MOST_LOST => {
                    self.lost.set(self.lost.get() + 1);
                    self.server.counts.accept_errors.fetch_add(1, Ordering::Relaxed);
                    self.server.give_seat();
                    continue;
                }
                Some(Attempt::Lost(errno) | Attempt::Exhausted(errno)) => self.fail(&errno.into()),
                Some(Attempt::Failed(error)) if matches!(error.code, Code::Limit | Code::OutOfMemory) => self.fail(&error),
                Some(Attempt::Failed(error)) => {
                    self.server.accept_failed(&error);
                    self.shut();
                }
                Some(Attempt::Nothing) | None => {}
            }
            self.server.give_seat();
            self.quota.set(1);
            return;
        }
        // There may be more: the next round finds out, and takes more of them.
        self.quota.set((self.quota.get() * 2).min(MOST_AT_ONCE));
    }

    fn is_over(&self) -> bool {
        if self.listener.borrow().is_some() || !self.waiting.borrow().is_empty() {
            return false;
        }
        let mut arrivals = lock(&self.mailbox().arrivals);
        arrivals.closed = arrivals.waiting.is_empty();
        arrivals.closed
    }
}

impl Acceptor {
    fn mailboxes(&self) -> &[Mailbox] {
        self.server.mailboxes.get().map_or(&[], Vec::as_slice)
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailboxes()[self.number]
    }

    /// Begins to accept, and to hear when the listener is closed or canceled.
    fn begin(&self) {
        let ticket = Ticket::new(self.worker.reactor(), HOST);
        let joined = match &*self.listener.borrow() {
            Some(listener) => {
                let join = || listener.side().waiters.join(Waker::Fiber(ticket.clone()), For::Readiness, || {});
                self.server.with_memory(join)
            }
            None => Some(()),
        };
        match joined {
            Some(()) => self.woken(),
            None => self.shut(),
        }
    }

    fn is_listener_gone(&self) -> bool {
        let listener = self.listener.borrow();
        listener.as_ref().is_none_or(|listener| listener.side().gate.is_closed() || listener.side().gate.is_canceled())
    }

    fn open(&self) {
        let listener = self.listener.borrow();
        let Some(listener) = listener.as_ref().filter(|_| !self.open.get()) else { return };
        match self.worker.reactor().watch_listener(listener.descriptor()) {
            Ok(()) => self.open.set(true),
            Err(error) => self.fail(&error),
        }
    }

    /// Accepts no more until the host is woken.
    fn rest(&self) {
        if let Some(listener) = self.listener.borrow().as_ref().filter(|_| self.open.replace(false)) {
            self.worker.reactor().leave_listener(listener.descriptor());
        }
    }

    /// Something has run out: tries again later.
    fn fail(&self, error: &Error) {
        let pause = self.pause.get();
        if pause == 1 {
            self.server.accept_failed(error);
        }
        self.rest();
        self.pause.set((pause * 2).min(LONGEST_PAUSE));
        self.worker.wake_host_at(wait::after(clock::now(), pause));
    }

    /// Accepts no more for good.
    fn shut(&self) {
        self.rest();
        let Some(listener) = self.listener.borrow_mut().take() else { return };
        let ticket = Ticket::new(self.worker.reactor(), HOST);
        listener.side().waiters.quit(&Waker::Fiber(ticket), |_| {});
        drop(listener);
        self.server.acceptor_left();
    }

    /// Gives a connection to the worker that is to serve it.
    fn place(&self, connection: Handle) {
        let load = |mailbox: &Mailbox| mailbox.reactor.load.load(Ordering::Relaxed);
        let own = load(self.mailbox());
        let idlest = self.mailboxes().iter().min_by_key(|mailbox| load(mailbox));
        if let Some(mailbox) = idlest.filter(|mailbox| own > load(mailbox) + UNEVEN + own / 8) {
            let mut arrivals = lock(&mailbox.arrivals);
            if !arrivals.closed && arrivals.waiting.try_reserve(1).is_ok() {
                arrivals.waiting.push(connection);
                mailbox.reactor.load.fetch_add(1, Ordering::Relaxed);
                drop(arrivals);
                return Ticket::new(&mailbox.reactor, HOST).wake();
            }
        }
        if self.waiting.borrow_mut().try_reserve(1).is_err() {
            return self.server.refuse(connection);
        }
        self.mailbox().reactor.load.fetch_add(1, Ordering::Relaxed);
        self.waiting.borrow_mut().push_back(connection);
        self.start_waiting();
    }

    fn take_arrivals(&self) -> Result<()> {
        let mut arrivals = lock(&self.mailbox().arrivals);
        let mut waiting = self.waiting.borrow_mut();
        waiting.try_reserve(arrivals.waiting.len())?;
        waiting.extend(arrivals.waiting.drain(..));
        Ok(())
    }

    /// Starts a fiber for each connection that waits for one, as long as there is memory for their stacks.
    fn start_waiting(&self) {
        loop {
            let Some(connection) = self.waiting.borrow_mut().pop_front() else { return };
            let Err(error) = self.start(connection) else { continue };
            self.waiting.borrow_mut().push_front(connection);
            return self.fail(&error);
        }
    }

    fn start(&self, connection: Handle) -> Result<()> {
        if self.server.is_stopping() {
            // Without a fiber, so that nothing that has run out can hold up the end.
            self.server.refuse(connection);
            self.worker.reactor().load.fetch_sub(1, Ordering::Relaxed);
            return Ok(());
        }
        let (stack, ticket) = self.worker.prepare()?;
        let scope = match Shared::new(Scope::of_fiber(self.server.number, ticket.clone())) {
            Ok(scope) => scope,
            Err(errno) => {
                self.worker.give_back(stack, &ticket);
                return Err(errno.into());
            }
        };
        let Some(task) = self.server.admit(connection, scope) else {
            self.worker.give_back(stack, &ticket);
            self.worker.reactor().load.fetch_sub(1, Ordering::Relaxed);
            return Ok(());
        };
        let (server, scope) = (self.server.clone(), task.scope.clone());
        let work = move || {
            server.handle(&task);
            if server.is_here() {
                server.leave(&task);
            }
        };
        self.worker.start(stack, &ticket, scope, work);
        Ok(())
    }
}
