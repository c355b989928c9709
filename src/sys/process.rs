//! About this process: whether it is a fork of the one that last asked, and random bits.

use super::Result;
use super::memory::boxed;
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Holds the number of this process; 0 in a child that has not asked yet. [`NO_PAGE`] if the system wipes none.
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());
/// Stays 0: whoever finds it asks for the process ID, each time.
static NO_PAGE: AtomicU32 = AtomicU32::new(0);
/// The last number that was given.
static LAST: AtomicU32 = AtomicU32::new(FIRST);
const FIRST: u32 = 1;

/// A number that changes when the process forks: what belongs to threads of the parent is not valid in the child.
///
/// The kernel clears a page marked MADV_WIPEONFORK (Linux 4.14) in the child, so that looking costs two loads and no pthread_atfork
/// handler is left in the host. If the kernel has no such pages, or is an emulator that only says it has, the number is the process
/// ID, for a system call.
pub fn generation() -> u32 {
    let mut page = PAGE.load(Ordering::Acquire);
    if page.is_null() {
        page = make_page();
        if page.is_null() {
            return FIRST;
        }
    }
    // SAFETY: static, or mapped for ever, aligned, zeroed by the kernel, and only used as this atomic.
    let mine = unsafe { &*page };
    match mine.load(Ordering::Relaxed) {
        0 => number(mine),
        known => known,
    }
}

/// A forked child's number. Those of its threads that ask at once all get that of the first.
#[cold]
fn number(mine: &AtomicU32) -> u32 {
    if std::ptr::eq(mine, &NO_PAGE) {
        return id();
    }
    let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    mine.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|first| first, |_| next)
}

fn make_page() -> *mut AtomicU32 {
    // SAFETY: a new anonymous mapping; nothing else uses it.
    let page = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    if page == libc::MAP_FAILED {
        return std::ptr::null_mut();
    }
    // SAFETY: the mapping above.
    let advise = |advice| unsafe { libc::madvise(page, 4096, advice) } == 0;
    // A kernel that accepts advice that does not exist has not understood the other either.
    let number = if !advise(-1) && advise(libc::MADV_WIPEONFORK) {
        let number = page.cast::<AtomicU32>();
        // SAFETY: mapped, aligned and zeroed.
        unsafe { &*number }.store(FIRST, Ordering::Relaxed);
        number
    } else {
        std::ptr::from_ref(&NO_PAGE).cast_mut()
    };
    let first = PAGE.compare_exchange(std::ptr::null_mut(), number, Ordering::AcqRel, Ordering::Acquire);
    if first.is_err() || number != page.cast() {
        // SAFETY: our own mapping, which nobody has seen.
        unsafe { libc::munmap(page, 4096) };
    }
    first.map_or_else(|first| first, |_| number)
}

/// Something that each process has of its own. A forked child makes itself a new one: in its copy of the parent's a lock may be held
/// by a thread that the child does not have.
pub struct PerProcess<T: 'static> {
    current: AtomicPtr<Owned<T>>,
}

struct Owned<T> {
    generation: u32,
    value: T,
}

impl<T: Send + Sync> PerProcess<T> {
    pub const fn new() -> PerProcess<T> {
        PerProcess { current: AtomicPtr::new(std::ptr::null_mut()) }
    }

    pub fn get(&self, make: impl FnOnce() -> T) -> Result<&'static T> {
        let generation = generation();
        let found = self.current.load(Ordering::Acquire);
        // SAFETY: null, or leaked below.
        if let Some(owned) = unsafe { found.as_ref() }.filter(|owned| owned.generation == generation) {
            return Ok(&owned.value);
        }
        let new = Box::into_raw(boxed(Owned { generation, value: make() })?);
        let newest = match self.current.compare_exchange(found, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => new,
            Err(first) => {
                // SAFETY: the allocation above, which nobody has seen.
                drop(unsafe { Box::from_raw(new) });
                first
            }
        };
        // SAFETY: leaked, by this thread or by the one that was first.
        Ok(unsafe { &(*newest).value })
    }
}

/// 64 random bits: getrandom(2), or the clock and an address where the kernel refuses.
pub fn random() -> u64 {
    let mut bytes = [0u8; 8];
    // SAFETY: eight bytes are written to `bytes`.
    let length = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    if length == 8 {
        return u64::from_ne_bytes(bytes);
    }
    let seed = super::clock::now() as u64 ^ (bytes.as_ptr() as u64) << 20 ^ u64::from(std::process::id()) << 40;
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed >> 29
}

/// getpid(2).
pub fn id() -> u32 {
    std::process::id()
}

/// Looks at a variable of the environment: getenv(3). Unlike std's, this takes no memory.
pub fn variable<T>(name: &CStr, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
    // SAFETY: a NUL-terminated name.
    let text = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: not null, so a NUL-terminated string, there for as long as nobody changes the environment: no program may, beside
    // threads that look at it (attributes(7)).
    if text.is_null() { None } else { Some(look(unsafe { CStr::from_ptr(text) }.to_bytes())) }
}
