//! Whether the next call in a direction tries first, or waits first.
//!
//! A try that finds nothing wastes a system call: if recent tries found nothing, calls wait first. Now and then one tries all the
//! same, the more rarely the longer nothing is found, and the first that finds something ends the waiting.

use std::sync::atomic::{AtomicU8, Ordering};

/// In the high bits the tries in a row that found nothing, in the low bits how many calls are to wait first before the next try.
///
/// Concurrent calls may overwrite each other's updates: that costs a system call, nothing else.
pub struct Patience(AtomicU8);

const ONE_MISS: u8 = 1 << 5;
const WAITS: u8 = ONE_MISS - 1;
const MOST_MISSES: u8 = 5;

impl Patience {
    pub const fn new() -> Patience {
        Patience(AtomicU8::new(0))
    }

    /// Nothing is known against trying.
    pub fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether nothing is known against trying.
    #[inline]
    pub fn is_new(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    #[inline]
    pub fn waits_first(&self) -> bool {
        self.0.load(Ordering::Relaxed) & WAITS != 0
    }

    /// There is nothing now: the next call waits first.
    pub fn expect_nothing(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// A call tried first, and found something.
    #[inline]
    pub fn hit(&self) {
        if !self.is_new() {
            self.forget();
        }
    }

    /// A call tried first, found nothing and waited. The second time in a row the next 3 wait first, then 7, 15, 31.
    pub fn miss(&self) {
        let misses = (self.0.load(Ordering::Relaxed) / ONE_MISS + 1).min(MOST_MISSES);
        let waits = if misses > 1 { (1 << misses) - 1 } else { 0 };
        self.0.store(misses * ONE_MISS + waits, Ordering::Relaxed);
    }

    /// A call waited first.
    pub fn waited(&self) {
        let known = self.0.load(Ordering::Relaxed);
        if known & WAITS != 0 {
            self.0.store(known - 1, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// How many calls in a row wait first before one tries.
    fn waits(patience: &Patience) -> usize {
        let mut count = 0;
        while patience.waits_first() {
            patience.waited();
            count += 1;
        }
        count
    }

    #[test]
    fn tries_grow_rarer_while_they_find_nothing() {
        let patience = Patience::new();
        let seen: Vec<_> = (0..7)
            .map(|_| {
                patience.miss();
                waits(&patience)
            })
            .collect();
        assert_eq!(seen, [0, 3, 7, 15, 31, 31, 31]);
        patience.hit();
        assert!(patience.is_new());
        patience.miss();
        assert!(!patience.waits_first());
    }

    #[test]
    fn a_wait_that_nobody_expected_changes_nothing() {
        let patience = Patience::new();
        patience.waited();
        assert!(patience.is_new());
        patience.expect_nothing();
        assert_eq!(waits(&patience), 1);
        assert!(patience.is_new());
    }
}
