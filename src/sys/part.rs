//! Buffers of scattered reading and gathered writing: `struct iovec`, as C programs fill it in. Unlike std's IoSlice, one of
//! length 0 may have a null pointer.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// A buffer to send from.
#[repr(transparent)]
pub struct Part<'a>(libc::iovec, PhantomData<&'a [u8]>);

/// A buffer to receive into.
#[repr(transparent)]
pub struct PartMut<'a>(libc::iovec, PhantomData<&'a mut [u8]>);

impl<'a> PartMut<'a> {
    pub fn new(buffer: &'a mut [u8]) -> PartMut<'a> {
        PartMut(libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() }, PhantomData)
    }
}

impl Deref for Part<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.0.iov_len == 0 {
            return &[];
        }
        // SAFETY: whoever made the part vouched for a buffer of that length.
        unsafe { std::slice::from_raw_parts(self.0.iov_base.cast(), self.0.iov_len) }
    }
}

impl Deref for PartMut<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.0.iov_len == 0 {
            return &[];
        }
        // SAFETY: whoever made the part vouched for a buffer of that length.
        unsafe { std::slice::from_raw_parts(self.0.iov_base.cast(), self.0.iov_len) }
    }
}

impl DerefMut for PartMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        if self.0.iov_len == 0 {
            return &mut [];
        }
        // SAFETY: as above, and for as long as the part is borrowed nobody else uses the buffer through it.
        unsafe { std::slice::from_raw_parts_mut(self.0.iov_base.cast(), self.0.iov_len) }
    }
}
