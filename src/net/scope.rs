//! What runs inside a server's handler can be ended from outside, wherever it waits: on its own connection, on others, asleep.
//!
//! A thread that runs a handler is inside a scope, and so is a fiber; everybody else is in none.

use super::error::{Code, Error, Result};
use super::waiters::Wake;
use super::waker::Waker;
use super::worker::Ticket;
use crate::sys::once::OnceLock;
use crate::sys::process;
use crate::sys::shared::Shared;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering, fence};

pub struct Scope {
    /// Tells the scopes of one server from those of others.
    family: u64,
    canceled: AtomicBool,
    /// Who to wake; a thread has none before it first waits.
    waker: OnceLock<Waker>,
}

thread_local! {
    // Without a destructor: whoever enters leaves.
    static CURRENT: RefCell<ManuallyDrop<Option<Shared<Scope>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

impl Scope {
    pub fn new(family: u64) -> Scope {
        Scope { family, canceled: AtomicBool::new(false), waker: OnceLock::new() }
    }

    /// The scope of a fiber.
    pub fn of_fiber(family: u64, ticket: Ticket) -> Scope {
        Scope { family, canceled: AtomicBool::new(false), waker: OnceLock::from(Waker::Fiber(ticket)) }
    }

    /// Ends all waiting inside, now and later, with [`Code::Canceled`].
    pub fn cancel(&self) {
        self.canceled.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Wakes who waits inside, to look again at what it waits for.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    /// Runs `work` inside.
    pub fn run<T>(scope: &Shared<Scope>, work: impl FnOnce() -> T) -> T {
        let outer = enter(Some(scope.clone()));
        let result = work();
        enter(outer);
        result
    }

    /// Whether the caller is inside this very scope.
    pub fn is_current(&self) -> bool {
        with(|scope| std::ptr::eq(scope, self)) == Some(true)
    }

    fn waker(&self) -> Result<&Waker> {
        if let Some(waker) = self.waker.get() {
            return Ok(waker);
        }
        let fresh = Waker::fresh()?;
        let waker = self.waker.get_or_init(|| fresh);
        // A cancel that comes too early to see the waker is seen by the look at the flag that comes next.
        fence(Ordering::SeqCst);
        Ok(waker)
    }
}

/// The calling thread is inside `scope` from now on. What it was inside before.
pub fn enter(scope: Option<Shared<Scope>>) -> Option<Shared<Scope>> {
    ManuallyDrop::into_inner(CURRENT.replace(ManuallyDrop::new(scope)))
}

fn with<T>(work: impl FnOnce(&Scope) -> T) -> Option<T> {
    CURRENT.with_borrow(|current| current.as_ref().map(|scope| work(scope)))
}

/// What wakes the caller, if it is inside a scope of this process.
pub fn waker() -> Result<Option<Waker>> {
    let waker = with(|scope| scope.waker().cloned()).transpose()?;
    Ok(waker.filter(|waker| waker.generation() == process::generation()))
}

/// Whether the caller is inside a scope.
pub fn is_inside() -> bool {
    with(|_| ()).is_some()
}

/// Whether the caller is inside a scope of that family.
pub fn is_inside_of(family: u64) -> bool {
    with(|scope| scope.family == family) == Some(true)
}

/// Fails if the caller may not wait any more.
pub fn check() -> Result<()> {
    match with(|scope| scope.canceled.load(Ordering::SeqCst)) {
        Some(true) => Err(Error::with(Code::Canceled, "canceled: the server is stopping")),
        _ => Ok(()),
    }
}
