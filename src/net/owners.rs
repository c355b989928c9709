//! Which slot has a descriptor. For each number the slot is noted that last had it; whether it still has, the slot tells.

use crate::sys::RawFd;
use crate::sys::once::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Numbers beyond these are not noted. No process has so many descriptors by default.
const PAGES: usize = 512;
const PAGE: usize = 2048;

static NOTES: [OnceLock<Box<[AtomicU32; PAGE]>>; PAGES] = [const { OnceLock::new() }; PAGES];

/// What is noted for one number: 0, or the slot's index + 1.
pub struct Note(Option<&'static AtomicU32>);

/// The note for a number. Where there is no memory for it, nothing will be noted.
pub fn note(descriptor: RawFd) -> Note {
    Note(usize::try_from(descriptor).ok().and_then(|number| {
        let page = NOTES.get(number / PAGE)?;
        if page.get().is_none() {
            // Whoever comes second throws its own away.
            let _ = page.set(super::registry::boxed(|_| AtomicU32::new(0)).ok()?);
        }
        page.get().map(|page| &page[number % PAGE])
    }))
}

impl Note {
    /// The index of the slot that is noted, and what to tell [`Note::change`].
    pub fn read(&self) -> (Option<u32>, u32) {
        let noted = self.0.map_or(0, |note| note.load(Ordering::Acquire));
        (noted.checked_sub(1), noted)
    }

    /// Notes a slot, unless somebody else has since `before` was read.
    pub fn change(&self, before: u32, index: u32) -> bool {
        self.0.is_none_or(|note| note.compare_exchange(before, index + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok())
    }

    pub fn write(&self, index: u32) {
        if let Some(note) = self.0 {
            note.store(index + 1, Ordering::Release);
        }
    }
}
