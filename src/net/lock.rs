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
