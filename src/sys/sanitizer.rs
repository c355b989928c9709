//! Tells the address sanitizer and the thread sanitizer, if the program runs under one of them, on which stack the thread continues
//! (sanitizer/common_interface_defs.h and tsan_interface.h). Without them nothing is done.

use super::once::OnceLock;
use std::cell::Cell;
use std::ffi::{CStr, c_uint, c_void};
use std::ptr::{null, null_mut};

type Start = unsafe extern "C" fn(*mut *mut c_void, *const c_void, usize);
type Finish = unsafe extern "C" fn(*mut c_void, *mut *const c_void, *mut usize);

#[derive(Clone, Copy)]
pub struct Sanitizer {
    start: Start,
    finish: Finish,
}

/// A stack's lowest address and its size.
#[derive(Clone, Copy)]
pub struct Bounds(pub *const c_void, pub usize);

/// What the sanitizer keeps of a stack while the thread is on another.
pub struct Left(*mut c_void);

thread_local! {
    /// The stack of the thread itself, while it runs a fiber.
    static THREAD: Cell<Bounds> = const { Cell::new(Bounds(null(), 0)) };
}

impl Sanitizer {
    /// The sanitizer that the program was linked with.
    #[inline]
    pub fn present() -> Option<Sanitizer> {
        static FOUND: OnceLock<Option<Sanitizer>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let start = find(c"__sanitizer_start_switch_fiber");
            let finish = find(c"__sanitizer_finish_switch_fiber");
            if start.is_null() || finish.is_null() {
                return None;
            }
            // SAFETY: these names are the sanitizer's, and its functions have these types.
            Some(unsafe {
                Sanitizer {
                    start: std::mem::transmute::<*mut c_void, Start>(start),
                    finish: std::mem::transmute::<*mut c_void, Finish>(finish),
                }
            })
        })
    }

    /// The thread is about to leave its own stack for a fiber's.
    pub fn enter(self, bounds: Bounds) -> Left {
        let mut left = null_mut();
        // SAFETY: the bounds are those of the stack that is entered next.
        unsafe { (self.start)(&mut left, bounds.0, bounds.1) };
        Left(left)
    }

    /// It is back.
    pub fn entered_thread(self, left: Left) {
        // SAFETY: what `enter` was given when this stack was left; where it comes from need not be told.
        unsafe { (self.finish)(left.0, null_mut(), null_mut()) };
    }

    /// It has come onto a fiber's stack: for the first time where `left` is None.
    pub fn entered_fiber(self, left: Option<Left>) {
        let mut bounds = Bounds(null(), 0);
        let left = left.map_or(null_mut(), |left| left.0);
        // SAFETY: the two outputs live during the call.
        unsafe { (self.finish)(left, &mut bounds.0, &mut bounds.1) };
        THREAD.set(bounds);
    }

    /// It is about to leave a fiber's stack, to come back.
    pub fn leave(self) -> Left {
        self.enter(THREAD.get())
    }

    /// It is about to leave it for good.
    pub fn end(self) {
        let Bounds(bottom, size) = THREAD.get();
        // SAFETY: the bounds are those of the stack that is entered next; null: this one is used no more.
        unsafe { (self.start)(null_mut(), bottom, size) };
    }
}

type Create = unsafe extern "C" fn(c_uint) -> *mut c_void;
type Current = unsafe extern "C" fn() -> *mut c_void;
type Switch = unsafe extern "C" fn(*mut c_void, c_uint);
type Destroy = unsafe extern "C" fn(*mut c_void);

#[derive(Clone, Copy)]
struct Strands {
    create: Create,
    current: Current,
    switch: Switch,
    destroy: Destroy,
}

/// A fiber as the thread sanitizer knows it: with a history of calls of its own.
pub struct Strand(Strands, *mut c_void);

impl Strand {
    /// For a new fiber of a program that was linked with the sanitizer.
    pub fn new() -> Option<Strand> {
        static FOUND: OnceLock<Option<Strands>> = OnceLock::new();
        let strands = (*FOUND.get_or_init(Strands::find))?;
        // SAFETY: the sanitizer's function; 0: no flags.
        Some(Strand(strands, unsafe { (strands.create)(0) }))
    }

    /// The thread goes on with the fiber in the next call. Returns what it was itself. A part of its caller, as the sanitizer counts
    /// calls and returns.
    #[inline(always)]
    pub fn enter(&self) -> *mut c_void {
        // SAFETY: the fiber lives, and is no thread's at the moment.
        unsafe {
            let thread = (self.0.current)();
            (self.0.switch)(self.1, 0);
            thread
        }
    }

    /// That call has returned.
    #[inline(always)]
    pub fn leave(&self, thread: *mut c_void) {
        // SAFETY: what `enter` returned on this thread.
        unsafe { (self.0.switch)(thread, 0) };
    }
}

impl Drop for Strand {
    fn drop(&mut self) {
        // SAFETY: our own, and no thread is on it.
        unsafe { (self.0.destroy)(self.1) };
    }
}

impl Strands {
    fn find() -> Option<Strands> {
        let create = find(c"__tsan_create_fiber");
        let current = find(c"__tsan_get_current_fiber");
        let switch = find(c"__tsan_switch_to_fiber");
        let destroy = find(c"__tsan_destroy_fiber");
        if [create, current, switch, destroy].contains(&null_mut()) {
            return None;
        }
        // SAFETY: these names are the sanitizer's, and its functions have these types.
        Some(unsafe {
            Strands {
                create: std::mem::transmute::<*mut c_void, Create>(create),
                current: std::mem::transmute::<*mut c_void, Current>(current),
                switch: std::mem::transmute::<*mut c_void, Switch>(switch),
                destroy: std::mem::transmute::<*mut c_void, Destroy>(destroy),
            }
        })
    }
}

fn find(name: &CStr) -> *mut c_void {
    // SAFETY: a NUL-terminated name.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}
