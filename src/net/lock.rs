//! Locking. A panic while a lock was held is a bug that has been reported where it happened; the data is still whole.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The part of std that waits for a lock is not built for the thread sanitizer, which would take what happens there for races.
    while cfg!(tsan) {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(not(tsan))]
pub use std::sync::OnceLock;

/// std's, with a flag beside it by which the thread sanitizer sees the value being handed over.
#[cfg(tsan)]
pub struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    set: std::sync::atomic::AtomicBool,
}

#[cfg(tsan)]
impl<T> OnceLock<T> {
    pub const fn new() -> OnceLock<T> {
        OnceLock { value: std::sync::OnceLock::new(), set: std::sync::atomic::AtomicBool::new(false) }
    }

    pub fn get(&self) -> Option<&T> {
        self.set.load(std::sync::atomic::Ordering::Acquire).then(|| self.value.get()).flatten()
    }

    pub fn set(&self, value: T) -> Result<(), T> {
        let result = self.value.set(value);
        self.set.store(true, std::sync::atomic::Ordering::Release);
        result
    }

    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let value = self.value.get_or_init(make);
        self.set.store(true, std::sync::atomic::Ordering::Release);
        value
    }
}

#[cfg(tsan)]
impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        OnceLock { value: std::sync::OnceLock::from(value), set: std::sync::atomic::AtomicBool::new(true) }
    }
}
