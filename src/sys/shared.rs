//! Shared ownership whose allocation may fail: `Arc` and `Weak` that report the lack of memory instead of ending the process.

use super::Result;
use super::memory::boxed_by;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Inner<T> {
    owners: AtomicUsize,
    /// And one for all the owners together: who takes the last frees the memory.
    observers: AtomicUsize,
    /// Dropped with the last owner.
    value: ManuallyDrop<T>,
}

/// Keeps the value alive.
pub struct Shared<T>(NonNull<Inner<T>>);

/// Finds the value while somebody keeps it alive.
pub struct Weak<T>(NonNull<Inner<T>>);

// SAFETY: as for Arc: the value is shared by reference, and dropped by whichever owner goes last.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for Weak<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Weak<T> {}

impl<T> Shared<T> {
    /// Fails with ENOMEM.
    pub fn new(value: T) -> Result<Shared<T>> {
        let (owners, observers) = (AtomicUsize::new(1), AtomicUsize::new(1));
        // Without room the value is dropped as it is: inside, nobody would.
        let inner = boxed_by(|| Inner { owners, observers, value: ManuallyDrop::new(value) })?;
        Ok(Shared(NonNull::from(Box::leak(inner))))
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: the owners together are an observer, so the memory is there.
        unsafe { self.0.as_ref() }
    }

    pub fn downgrade(&self) -> Weak<T> {
        self.inner().observers.fetch_add(1, Ordering::Relaxed);
        Weak(self.0)
    }
}

impl<T> Weak<T> {
    fn inner(&self) -> &Inner<T> {
        // SAFETY: an observer keeps the memory.
        unsafe { self.0.as_ref() }
    }

    pub fn is_dead(&self) -> bool {
        self.inner().owners.load(Ordering::Relaxed) == 0
    }

    pub fn upgrade(&self) -> Option<Shared<T>> {
        let one_more = |owners| (owners > 0).then_some(owners + 1);
        let found = self.inner().owners.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_more);
        found.is_ok().then_some(Shared(self.0))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        // Relaxed, as in Arc: whoever clones is an owner already.
        self.inner().owners.fetch_add(1, Ordering::Relaxed);
        Shared(self.0)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if self.inner().owners.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: no owner is left, and none can come back; the memory stays until the observer below has gone.
            unsafe { ManuallyDrop::drop(&mut (*self.0.as_ptr()).value) };
            drop(Weak(self.0));
        }
    }
}

impl<T> Drop for Weak<T> {
    fn drop(&mut self) {
        if self.inner().observers.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: the box that `new` leaked; nobody knows it any more.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner().value
    }
}

/// Whether both own the same value.
impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Shared<T>) -> bool {
        self.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn the_last_owner_drops_the_value() {
        let value = Arc::new(());
        let first = Shared::new(value.clone()).unwrap();
        let others: Vec<_> = (0..4).map(|_| first.clone()).collect();
        let threads: Vec<_> = others.into_iter().map(|other| thread::spawn(move || drop(other))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(Arc::strong_count(&value), 2);
        drop(first);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn an_observer_finds_the_value_while_it_lives() {
        let first = Shared::new(Arc::new(())).unwrap();
        let observer = first.downgrade();
        let found: Vec<_> = (0..4).filter_map(|_| observer.upgrade()).collect();
        drop(first);
        assert!(!observer.is_dead());
        assert_eq!(found.len(), 4);
        drop(found);
        assert!(observer.is_dead());
        assert!(observer.upgrade().is_none());
    }

    #[test]
    fn only_owners_of_the_same_value_are_equal() {
        let (one, other) = (Shared::new(1).unwrap(), Shared::new(1).unwrap());
        assert!(one == one.clone());
        assert!(one != other);
        assert_eq!(*one, *other);
    }
}
