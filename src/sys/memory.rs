//! Memory: searching it, and boxes whose allocation may fail.

use super::{Errno, Result};

/// Where `byte` first stands: memchr(3), which is vectorized.
pub fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    // SAFETY: the pointer and the length are those of a slice.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    if found.is_null() { None } else { Some(found as usize - bytes.as_ptr() as usize) }
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
