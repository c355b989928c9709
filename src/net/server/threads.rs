//! A thread for each connection, and one that accepts.

use super::super::error::{Code, Error, Result};
use super::super::listen::{self, Attempt, LONGEST_PAUSE, MOST_LOST};
use super::super::registry::{self, Direction, Handle, Pinned};
use super::super::scope::{self, Scope};
use super::super::wait::{self, Call, NEVER};
use super::{Options, Server, Task, lock};
use crate::sys::shared::Shared;
use crate::sys::thread::{self, Thread};
use crate::sys::{Errno, clock};
use std::sync::atomic::Ordering;

const ACCEPTOR_STACK: usize = 128 << 10;

pub fn start(server: &Shared<Server>, options: Options) -> Result<()> {
    let listener = registry::pin(server.listener, Direction::Read)?;
    let scope = Shared::new(Scope::new(0))?;
    let mut acceptors = Vec::new();
    acceptors.try_reserve_exact(1)?;
    acceptors.push(scope.clone());
    let _ = server.acceptors.set(acceptors);
    lock(&server.threads).reserve()?;
    server.tasks().accepting = 1;
    let acceptor = Acceptor { server: server.clone(), listener, stack: options.stack_size };
    let thread =
        thread::spawn(c"sock-accept", ACCEPTOR_STACK, move || Scope::run(&scope, || acceptor.run())).map_err(thread_error)?;
    lock(&server.threads).permanent.push(thread);
    Ok(())
}

pub fn thread_error(errno: Errno) -> Error {
    Error::with(Code::Limit, "no thread could be started").errno(errno)
}

struct Acceptor {
    server: Shared<Server>,
    listener: Pinned,
    stack: usize,
}

impl Acceptor {
    fn run(self) {
        while let Some(connection) = self.next() {
            match Shared::new(Scope::new(self.server.number)) {
                Ok(scope) => self.server.admit(connection, scope).into_iter().for_each(|task| self.start(task)),
                Err(_) => self.server.refuse(connection),
            }
        }
        let Acceptor { server, listener, .. } = self;
        drop(listener);
        server.acceptor_left();
    }

    /// The next connection that may be served; None when there will be no more.
    fn next(&self) -> Option<Handle> {
        let server = &self.server;
        self.wait(|| wait::until_so(&server.watchers, NEVER, || server.take_seat(), scope::check))?;
        let (mut pause, mut lost) = (1, 0);
        loop {
            let error = match listen::attempt(&self.listener) {
                Attempt::Accepted(connection) => return Some(connection),
                Attempt::Nothing => match self.wait(|| Call::of_server().ready(&self.listener)) {
                    Some(()) => continue,
                    None => break,
                },
                Attempt::Lost(_) if lost < MOST_LOST => {
                    lost += 1;
                    server.counts.accept_errors.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Attempt::Lost(errno) | Attempt::Exhausted(errno) => errno.into(),
                Attempt::Failed(error) if matches!(error.code, Code::Limit | Code::OutOfMemory) => error,
                Attempt::Failed(error) => {
                    server.accept_failed(&error);
                    break;
                }
            };
            if pause == 1 {
                server.accept_failed(&error);
            }
            if self.wait(|| Call::of_server().pause(&self.listener, pause)).is_none() {
                break;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        server.give_seat();
        None
    }

    /// Waits, for which there may be no memory at first. None if the wait says that there will be no more connections.
    fn wait<T>(&self, wait: impl Fn() -> Result<T>) -> Option<T> {
        let waited = || match wait() {
            Err(error) if !matches!(error.code, Code::Limit | Code::OutOfMemory) => Ok(None),
            waited => waited.map(Some),
        };
        self.server.with_memory(waited)?
    }

    /// Runs a task in a thread of its own. If no thread can be started, it waits until one ends.
    fn start(&self, task: Shared<Task>) {
        let mut pause = 1;
        loop {
            let (server, mine) = (self.server.clone(), task.clone());
            let work = move || {
                Scope::run(&mine.scope, || server.handle(&mine));
                if server.is_here() {
                    let before = lock(&server.threads).end(mine.number);
                    server.leave(&mine);
                    before.into_iter().for_each(Thread::join);
                }
            };
            let mut threads = lock(&self.server.threads);
            let room = threads.reserve().map_err(|_| Errno::ENOMEM);
            match room.and_then(|()| thread::spawn(c"sock-handler", self.stack, work)) {
                Ok(thread) => {
                    threads.handlers.insert(task.number, thread);
                    return;
                }
                Err(errno) => {
                    drop(threads);
                    if pause == 1 {
                        self.server.accept_failed(&thread_error(errno));
                    }
                }
            }
            let over = wait::after(clock::now(), pause);
            if wait::until_so(&self.server.watchers, over, || false, scope::check).is_err() {
                return self.server.give_up(&task);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
