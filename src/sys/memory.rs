//! Memory: searching it, prefetching it, and boxes whose allocation may fail.

use super::{Errno, Result};

/// Where `byte` first stands: memchr(3), which is vectorized.
pub fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    // SAFETY: the pointer and the length are those of a slice.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    if found.is_null() { None } else { Some(found as usize - bytes.as_ptr() as usize) }
}

/// Has the processor prefetch what is about to be used into its caches, while it goes on. Any address will do.
#[inline]
pub fn fetch_ahead(start: *const u8, length: usize) {
    const CACHE_LINE: usize = 64;
    for offset in (0..length).step_by(CACHE_LINE) {
        let line = start.wrapping_add(offset);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which reads nothing; every x86-64 knows it.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.cast())
        };
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a hint, which reads nothing.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{}]", in(reg) line, options(nostack, preserves_flags, readonly))
        };
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = line;
    }
}

/// `Box::new` that fails with ENOMEM instead of ending the process.
pub fn boxed<T>(value: T) -> Result<Box<T>> {
    boxed_by(|| value)
}

/// The same for what is made once there is room for it.
pub fn boxed_by<T>(make: impl FnOnce() -> T) -> Result<Box<T>> {
    let mut room = Vec::new();
    room.try_reserve_exact(1).map_err(|_| Errno::ENOMEM)?;
    room.push(make());
    let room = Box::into_raw(room.into_boxed_slice());
    // SAFETY: a slice of one is laid out and allocated like the one.
    Ok(unsafe { Box::from_raw(room.cast()) })
}

/// Exactly `N` things, made where they will stay.
pub fn boxed_array<T, const N: usize>(make: impl FnMut(usize) -> T) -> Result<Box<[T; N]>> {
    let mut list = Vec::new();
    list.try_reserve_exact(N).map_err(|_| Errno::ENOMEM)?;
    list.extend((0..N).map(make));
    list.into_boxed_slice().try_into().map_err(|_| Errno::ENOMEM)
}
