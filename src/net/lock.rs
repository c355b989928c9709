//! Locking. A panic while a lock was held is a bug that has been reported where it happened; the data is still consistent.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, TryLockResult};

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    if cfg!(tsan) { retry(|| mutex.try_lock()) } else { mutex.lock().unwrap_or_else(PoisonError::into_inner) }
}

/// The lock, unless somebody has it.
pub fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    if cfg!(tsan) { retry(|| lock.try_read()) } else { lock.read().unwrap_or_else(PoisonError::into_inner) }
}

pub fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    if cfg!(tsan) { retry(|| lock.try_write()) } else { lock.write().unwrap_or_else(PoisonError::into_inner) }
}

/// The part of std that waits for a lock is not built for the thread sanitizer, which would take what happens there for races.
fn retry<G>(attempt: impl Fn() -> TryLockResult<G>) -> G {
    loop {
        match attempt() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
}
