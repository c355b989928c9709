//! Fibers: functions with a stack of their own that can be suspended and resumed, on one thread. And their stacks.

use super::memory::fetch_ahead;
use super::sanitizer::{Bounds, Sanitizer, Strand};
use super::shared::Shared;
use super::{Errno, Result};
use corosensei::stack::valgrind::ValgrindStackRegistration;
use corosensei::stack::{Stack as Region, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::cell::Cell;
use std::num::NonZeroUsize;

/// How many stacks are mapped at once.
const TOGETHER: usize = 16;
/// How many stacks that were used keep their memory for the next fibers.
const WARM: usize = 64;
const LEAST: usize = 16 << 10;
/// How much of its stack a fiber uses from where it waits in a read up to the function that called it.
const NEAR: usize = 1152;
/// MADV_GUARD_INSTALL, since Linux 6.13: guard pages that do not cost a mapping each, of which there are 65530 (vm.max_map_count).
const GUARD_INSTALL: libc::c_int = 102;

/// Stacks of one size, mapped once and reused. Memory that only busier times needed goes back to the system.
pub struct Stacks {
    size: usize,
    page: usize,
    /// Used before: their memory is still there.
    warm: Vec<Stack>,
    cold: Vec<Stack>,
    mapped: usize,
}

/// A stack above a guard page.
pub struct Stack {
    top: NonZeroUsize,
    bottom: NonZeroUsize,
    _mapping: Shared<Mapping>,
    _registration: ValgrindStackRegistration,
}

struct Mapping {
    address: *mut libc::c_void,
    length: usize,
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping; the stacks in it, which each own a share of it, are gone.
        unsafe { libc::munmap(self.address, self.length) };
    }
}

// SAFETY: between top and bottom lies memory that only this stack uses; its lowest page is a guard, and `LEAST` and more is left.
unsafe impl Region for Stack {
    fn base(&self) -> StackPointer {
        self.top
    }

    fn limit(&self) -> StackPointer {
        self.bottom
    }
}

impl Stacks {
    /// Stacks of at least `size` bytes.
    pub fn new(size: usize) -> Stacks {
        // SAFETY: no pointers.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        Stacks { size: size.max(LEAST).next_multiple_of(page), page, warm: Vec::new(), cold: Vec::new(), mapped: 0 }
    }

    pub fn take(&mut self) -> Result<Stack> {
        if let Some(stack) = self.warm.pop().or_else(|| self.cold.pop()) {
            return Ok(stack);
        }
        // If there is no room for so many, there may be for one.
        self.map(TOGETHER).or_else(|_| self.map(1))?;
        self.cold.pop().ok_or(Errno::ENOMEM)
    }

    pub fn give(&mut self, stack: Stack) {
        if self.warm.len() < WARM {
            return self.warm.push(stack);
        }
        let lowest = stack.bottom.get() + self.page;
        // SAFETY: the memory of a stack that nobody runs on; its content is not needed any more.
        unsafe { libc::madvise(lowest as *mut libc::c_void, self.size, libc::MADV_DONTNEED) };
        self.cold.push(stack);
    }

    /// Maps `count` more stacks.
    fn map(&mut self, count: usize) -> Result<()> {
        let each = self.size + self.page;
        let length = each.checked_mul(count).ok_or(Errno::ENOMEM)?;
        // All may come back: giving back needs no memory.
        self.cold.try_reserve(self.mapped + count).map_err(|_| Errno::ENOMEM)?;
        self.warm.try_reserve(WARM).map_err(|_| Errno::ENOMEM)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let mapping = Shared::new(Mapping { address, length })?;
        // SAFETY: the mapping above. A huge page would make every stack resident; without the advice there is only more memory in use.
        unsafe { libc::madvise(address, length, libc::MADV_NOHUGEPAGE) };
        for number in 0..count {
            let bottom = address as usize + number * each;
            self.guard(bottom)?;
            let (Some(bottom), Some(top)) = (NonZeroUsize::new(bottom), NonZeroUsize::new(bottom + each)) else {
                return Err(Errno::ENOMEM);
            };
            let registration = ValgrindStackRegistration::new((bottom.get() + self.page) as *mut u8, self.size);
            self.cold.push(Stack { top, bottom, _mapping: mapping.clone(), _registration: registration });
            self.mapped += 1;
        }
        Ok(())
    }

    /// Makes the page at `bottom` one that nobody can touch.
    fn guard(&self, bottom: usize) -> Result<()> {
        let page = bottom as *mut libc::c_void;
        // SAFETY: the lowest page of a stack that nobody runs on yet.
        if unsafe { libc::madvise(page, self.page, GUARD_INSTALL) } == 0 {
            return Ok(());
        }
        // SAFETY: as above.
        super::check(unsafe { libc::mprotect(page, self.page, libc::PROT_NONE) }).map(drop)
    }
}

type Link = Yielder<(), ()>;

thread_local! {
    /// The way back from the fiber that runs on this thread; null while none does.
    static RUNNING: Cell<*const Link> = const { Cell::new(std::ptr::null()) };
    /// Where on its stack the fiber was that was last suspended on this thread.
    static SUSPENDED_AT: Cell<*const u8> = const { Cell::new(std::ptr::null()) };
}

/// A function that has not ended.
pub struct Fiber {
    coroutine: Coroutine<(), (), (), Stack>,
    bounds: Bounds,
    strand: Option<Strand>,
    suspended_at: *const u8,
}

impl Fiber {
    /// `work` must not panic.
    pub fn new(stack: Stack, work: impl FnOnce() + 'static) -> Fiber {
        let start = move |link: &Link, ()| {
            if let Some(sanitizer) = Sanitizer::present() {
                sanitizer.entered_fiber(None);
            }
            RUNNING.set(link);
            work();
            if let Some(sanitizer) = Sanitizer::present() {
                sanitizer.end();
            }
        };
        let bounds = Bounds(stack.bottom.get() as *const _, stack.top.get() - stack.bottom.get());
        Fiber { coroutine: Coroutine::with_stack(stack, start), bounds, strand: Strand::new(), suspended_at: std::ptr::null() }
    }

    /// Resumes it until it suspends or ends. Whether it has ended.
    #[inline]
    pub fn resume(&mut self) -> bool {
        let left = Sanitizer::present().map(|sanitizer| (sanitizer, sanitizer.enter(self.bounds)));
        let thread = match &self.strand {
            Some(strand) => strand.enter(),
            None => std::ptr::null_mut(),
        };
        let ended = matches!(self.coroutine.resume(()), CoroutineResult::Return(()));
        if let Some(strand) = &self.strand {
            strand.leave(thread);
        }
        if let Some((sanitizer, left)) = left {
            sanitizer.entered_thread(left);
        }
        RUNNING.set(std::ptr::null());
        self.suspended_at = SUSPENDED_AT.get();
        ended
    }

    /// It is about to be resumed: prefetches what it was working on from its stack. Of many fibers none finds its data in the
    /// caches.
    #[inline]
    pub fn fetch_ahead(&self) {
        if !self.suspended_at.is_null() {
            fetch_ahead(self.suspended_at, NEAR);
        }
    }

    /// The stack of a fiber that has ended.
    pub fn into_stack(self) -> Stack {
        self.coroutine.into_stack()
    }
}

/// Leaves the fiber that runs on this thread until somebody resumes it. Outside of fibers it does nothing.
#[inline]
pub fn suspend() {
    let link = RUNNING.get();
    if !link.is_null() {
        let left = Sanitizer::present().map(|sanitizer| (sanitizer, sanitizer.leave()));
        let here = 0;
        SUSPENDED_AT.set(&raw const here);
        // SAFETY: set by the fiber that runs, whose stack the link lies on.
        unsafe { &*link }.suspend(());
        if let Some((sanitizer, left)) = left {
            sanitizer.entered_fiber(Some(left));
        }
        RUNNING.set(link);
    }
}
