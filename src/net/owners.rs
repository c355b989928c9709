//! Which slot has a descriptor. For each number, the slot that last had it is noted; whether it still does, the slot knows.

use crate::sys::RawFd;
use crate::sys::memory::boxed_array;
use crate::sys::once::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers beyond these are not noted. No process has so many descriptors by default.
const PAGES: usize = 256;
const PAGE: usize = 4096;

static NOTES: [OnceLock<Box<[AtomicU64; PAGE]>>; PAGES] = [const { OnceLock::new() }; PAGES];

/// What is noted for one number: in the low half 0, or the slot's index + 1; in the high half how often that was noted, for it may be
/// the same slot again.
pub struct Note(Option<&'static AtomicU64>);

/// The note for a number. If there is no memory for it, nothing will be noted.
pub fn note(descriptor: RawFd) -> Note {
    Note(usize::try_from(descriptor).ok().and_then(|number| {
        let page = NOTES.get(number / PAGE)?;
        if page.get().is_none() {
            // Whoever comes second throws its own away.
            let _ = page.set(boxed_array(|_| AtomicU64::new(0)).ok()?);
        }
        page.get().map(|page| &page[number % PAGE])
    }))
}

impl Note {
    /// The index of the slot that is noted, and what to tell [`Note::change`].
    pub fn read(&self) -> (Option<u32>, u64) {
        let noted = self.0.map_or(0, |note| note.load(Ordering::Acquire));
        ((noted as u32).checked_sub(1), noted)
    }

    /// Notes a slot, unless somebody else has since `before` was read.
    pub fn change(&self, before: u64, index: u32) -> bool {
        let after = next(before, index);
        self.0.is_none_or(|note| note.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed).is_ok())
    }

    pub fn write(&self, index: u32) {
        if let Some(note) = self.0 {
            note.store(next(note.load(Ordering::Relaxed), index), Ordering::Release);
        }
    }
}

fn next(before: u64, index: u32) -> u64 {
    (before >> 32).wrapping_add(1) << 32 | u64::from(index + 1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The slot that had a number last is the first to be used again, so two that adopt the number may both mean to note that slot.
    #[test]
    fn of_two_changes_one_succeeds_though_the_slot_is_the_same() {
        let note = note(PAGE as RawFd * PAGES as RawFd - 1);
        for index in [7, 7, 8, 7] {
            let (_, before) = note.read();
            assert!(note.change(before, index));
            assert!(!note.change(before, 9));
            assert_eq!(note.read().0, Some(index));
        }
    }
}
