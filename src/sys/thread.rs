//! Threads of the library: they never take a signal that is meant for the host program.

use super::memory::boxed;
use super::{Errno, Result};
use std::ffi::{CStr, c_void};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// A thread that runs, or has ended. Dropping this detaches it.
pub struct Thread(libc::pthread_t);

// SAFETY: the name of a thread, by which any other may join or detach it. With musl it is a pointer.
unsafe impl Send for Thread {}

impl Thread {
    /// Waits for its end: pthread_join(3).
    pub fn join(self) {
        // SAFETY: a joinable thread, joined once: it is not detached any more after this.
        unsafe { libc::pthread_join(ManuallyDrop::new(self).0, std::ptr::null_mut()) };
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: a joinable thread that nobody has joined, or will.
        unsafe { libc::pthread_detach(self.0) };
    }
}

/// A signal mask, to be put back.
struct Mask(libc::sigset_t);

impl Mask {
    /// Blocks every signal in the calling thread.
    fn block_all() -> Mask {
        // SAFETY: all zeros is a valid sigset_t, and both sets are filled in by the calls.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            Mask(before)
        }
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        // SAFETY: the set is one that the kernel returned.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

/// What a thread is given.
struct Start<F> {
    name: &'static CStr,
    work: F,
}

/// Starts a thread with all signals blocked. `name` has at most 15 bytes; `stack` is in bytes, 0: the system's default. `work` is
/// dropped if it fails. Unlike std's, this reports the lack of memory.
pub fn spawn<F: FnOnce() + Send + 'static>(name: &'static CStr, stack: usize, work: F) -> Result<Thread> {
    let start = Box::into_raw(boxed(Start { name, work })?);
    // A thread inherits the mask of the one that starts it.
    let mask = Mask::block_all();
    let created = match create(stack, run::<F>, start.cast()) {
        // Thread-local data can need more than `stack`: the system's default has room for it.
        Err(Errno::EINVAL) => create(0, run::<F>, start.cast()),
        created => created,
    };
    drop(mask);
    if created.is_err() {
        // SAFETY: no thread has it.
        drop(unsafe { Box::from_raw(start) });
    }
    created
}

extern "C" fn run<F: FnOnce() + Send + 'static>(start: *mut c_void) -> *mut c_void {
    // SAFETY: what spawn gave this thread, and no other.
    let Start { name, work } = *unsafe { Box::from_raw(start.cast::<Start<F>>()) };
    // SAFETY: the calling thread, and a NUL-terminated string.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), name.as_ptr()) };
    let _ = catch_unwind(AssertUnwindSafe(work));
    std::ptr::null_mut()
}

fn create(stack: usize, run: extern "C" fn(*mut c_void) -> *mut c_void, argument: *mut c_void) -> Result<Thread> {
    // SAFETY: all zeros is overwritten by pthread_attr_init, and the attributes are destroyed after it; `thread` is written
    // where the call succeeds.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        code(libc::pthread_attr_init(&mut attributes))?;
        let sized = if stack == 0 { Ok(()) } else { code(libc::pthread_attr_setstacksize(&mut attributes, stack)) };
        let mut thread = std::mem::zeroed();
        let created = sized.and_then(|()| code(libc::pthread_create(&mut thread, &attributes, run, argument)));
        libc::pthread_attr_destroy(&mut attributes);
        created.map(|()| Thread(thread))
    }
}

/// These calls return their error number.
fn code(result: libc::c_int) -> Result<()> {
    if result == 0 { Ok(()) } else { Err(Errno(result)) }
}

/// A pthread key, plus one; 0: not made yet.
static KEY: AtomicU64 = AtomicU64::new(0);
/// There is none any more.
const GONE: u64 = u64::MAX;

/// Has `hook` called when the calling thread ends, instead of the hook before; false where that cannot be. Unlike the destructors of Rust's
/// thread-local data, it may be asked for while the thread ends: by destructors of pthread keys, which the system goes
/// through several times.
pub fn at_end(hook: fn()) -> bool {
    // SAFETY: a key of ours, whose values are such functions.
    key().is_some_and(|key| unsafe { libc::pthread_setspecific(key, hook as *const c_void) == 0 })
}

extern "C" fn end(hook: *mut c_void) {
    // SAFETY: the value of our key, which at_end has set.
    let hook = unsafe { std::mem::transmute::<*mut c_void, fn()>(hook) };
    hook();
}

fn key() -> Option<libc::pthread_key_t> {
    let known = KEY.load(Ordering::Acquire);
    if known != 0 {
        return libc::pthread_key_t::try_from(known - 1).ok();
    }
    let mut key = 0;
    // SAFETY: a key is written to `key`.
    if unsafe { libc::pthread_key_create(&mut key, Some(end)) } != 0 {
        return None;
    }
    match KEY.compare_exchange(0, u64::from(key) + 1, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(key),
        Err(first) => {
            // SAFETY: our own key, which nobody has seen.
            unsafe { libc::pthread_key_delete(key) };
            libc::pthread_key_t::try_from(first - 1).ok()
        }
    }
}

/// The end of the program, or of the plugin that the library is part of: threads that end later must not look for `end`.
#[used]
#[unsafe(link_section = ".fini_array")]
static FORGET_KEY: extern "C" fn() = forget_key;

extern "C" fn forget_key() {
    if let Ok(key) = libc::pthread_key_t::try_from(KEY.swap(GONE, Ordering::AcqRel).wrapping_sub(1)) {
        // SAFETY: our own key.
        unsafe { libc::pthread_key_delete(key) };
    }
}

/// How many CPUs this process may use; at least 1.
pub fn cpus() -> usize {
    // SAFETY: all zeros is an empty set, which is written to; 0 is the caller.
    let count = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        match libc::sched_getaffinity(0, size_of_val(&set), &mut set) {
            0 => libc::CPU_COUNT(&set).into(),
            _ => libc::sysconf(libc::_SC_NPROCESSORS_ONLN), // more than a set has room for
        }
    };
    usize::try_from(count).unwrap_or(1).max(1)
}
