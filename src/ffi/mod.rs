//! The C ABI. One file a chapter of sock.h, in its order; every function is one call of [`boundary`]: check pointers, call
//! `net`, turn the result into an integer. No logic.

mod about;
mod address;
mod datagram;
mod error;
mod handle;
mod local;
mod options;
mod poller;
mod server;
mod stream;

use crate::net::error::{Code, Error, Result};
use crate::net::name::Request;
use crate::net::server::let_others_run;
use crate::net::{failure, registry};
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a call is about, for the words of its failure.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Nothing,
    Handle(registry::Handle),
    /// A handle that bytes were to be moved through.
    Transfer(registry::Handle),
    Request(Request<'a>),
}

/// What success looks like as an integer.
trait Outcome {
    fn number(self) -> i64;
}

impl Outcome for () {
    fn number(self) -> i64 {
        0
    }
}

impl Outcome for i64 {
    fn number(self) -> i64 {
        self
    }
}

impl Outcome for i32 {
    fn number(self) -> i64 {
        self.into()
    }
}

impl Outcome for usize {
    fn number(self) -> i64 {
        self as i64
    }
}

/// The one way from C into the library and back: catches unwinding, records the failure, returns a number.
#[inline]
fn boundary<T: Outcome>(operation: &'static str, subject: Subject, work: impl FnOnce() -> Result<T>) -> i64 {
    // Turned into a number inside, so that a success stays in registers all the way.
    let number = catch_unwind(AssertUnwindSafe(|| match work() {
        Ok(outcome) => outcome.number(),
        Err(error) => failed(operation, subject, &error),
    }));
    number.unwrap_or_else(|_| failed(operation, subject, &Error::new(Code::Internal)))
}

#[cold]
#[inline(never)]
fn failed(operation: &'static str, subject: Subject, error: &Error) -> i64 {
    // Looking a handle up again, or formatting, could only fail by a bug; the code is returned all the same.
    let _ = catch_unwind(AssertUnwindSafe(|| match subject {
        Subject::Nothing => failure::record(operation, None, error),
        Subject::Request(request) => failure::record(operation, Some(&request), error),
        Subject::Handle(handle) => failure::record_for_handle(operation, handle, error),
        Subject::Transfer(handle) => {
            failure::record_for_handle(operation, handle, error);
            failure::record_count(error.count);
        }
    }));
    if matches!(error.code, Code::WouldBlock | Code::TimedOut) {
        // A fiber that asks again and again must not keep the others from running.
        let_others_run();
    }
    error.code as i64
}

/// An optional string.
///
/// # Safety
/// `text` is NULL or NUL-terminated and lives for `'a`.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: not null, and the caller vouches for the rest.
    if text.is_null() { None } else { Some(unsafe { CStr::from_ptr(text) }) }
}

/// # Safety
/// As [`text`] for both.
unsafe fn request<'a>(host: *const c_char, port: *const c_char) -> Request<'a> {
    // SAFETY: the caller vouches for both.
    unsafe { Request { host: text(host), port: text(port) } }
}

/// Refuses sizes that no buffer has, and NULL where there should be bytes.
fn check_buffer<T>(buffer: *const T, count: usize) -> Result<()> {
    let fits = count.checked_mul(size_of::<T>()).is_some_and(|size| size <= isize::MAX as usize);
    match (fits, buffer.is_null() && count > 0) {
        (false, _) => Err(Error::invalid("the size is larger than PTRDIFF_MAX")),
        (_, true) => Err(Error::invalid("the buffer is NULL")),
        _ => Ok(()),
    }
}

/// # Safety
/// `bytes` is NULL or has `count` elements that nobody changes for `'a`.
unsafe fn input<'a, T>(bytes: *const T, count: usize) -> Result<&'a [T]> {
    check_buffer(bytes, count)?;
    if count == 0 {
        return Ok(&[]);
    }
    // SAFETY: not null, of a possible size, and the caller vouches for the rest.
    Ok(unsafe { std::slice::from_raw_parts(bytes, count) })
}

/// # Safety
/// `buffer` is NULL or has `count` elements that nobody else uses for `'a`.
unsafe fn output<'a, T>(buffer: *mut T, count: usize) -> Result<&'a mut [T]> {
    check_buffer(buffer, count)?;
    if count == 0 {
        return Ok(&mut []);
    }
    // SAFETY: not null, of a possible size, and the caller vouches for the rest.
    Ok(unsafe { std::slice::from_raw_parts_mut(buffer, count) })
}

/// The same for an array of as many results as there may be: a capacity beyond what any call fills is no mistake.
///
/// # Safety
/// As [`output`].
unsafe fn room<'a, T>(array: *mut T, capacity: usize) -> Result<&'a mut [T]> {
    const MOST: usize = 1 << 16;
    // SAFETY: the caller vouches for more than that.
    unsafe { output(array, capacity.min(MOST)) }
}

/// Where a result goes: not NULL, aligned or not.
struct Place<T>(*mut T);

/// Refuses a NULL output before anything is done.
fn place<T>(out: *mut T) -> Result<Place<T>> {
    if out.is_null() { Err(Error::invalid("the output pointer is NULL")) } else { Ok(Place(out)) }
}

impl<T> Place<T> {
    fn put(self, value: T) {
        // SAFETY: not null; C vouches that it points to a T to be written.
        unsafe { self.0.write_unaligned(value) }
    }
}

/// Reads a struct whose first field is its size: a shorter, older one is completed with zeros; in a longer, newer one the
/// unknown tail must be zero. Also the size that the caller gave.
///
/// # Safety
/// `from` points to a `size_t` and as many bytes as that says. All zeros is a valid T.
unsafe fn sized<T: Copy>(from: *const T) -> Result<(T, usize)> {
    const LONGEST: usize = 4096;
    // SAFETY: the struct begins with its size.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    if !(size_of::<usize>()..=LONGEST).contains(&size) {
        return Err(unset_size());
    }
    // SAFETY: the caller vouches for `size` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), size) };
    let known = size.min(size_of::<T>());
    if bytes[known..].iter().any(|byte| *byte != 0) {
        return Err(Error::invalid("the struct is newer than the library and sets a field that the library does not know"));
    }
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: `known` bytes fit both; what is not copied is zero, which the caller says is valid.
    let value = unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast(), known);
        value.assume_init()
    };
    Ok((value, size))
}

/// The size that the caller has set in a struct to be filled in.
///
/// # Safety
/// `out` is NULL or points to a `size_t`.
unsafe fn output_size<T>(out: *const T) -> Result<usize> {
    if out.is_null() {
        return Err(Error::invalid("the output pointer is NULL"));
    }
    // SAFETY: not null; only the size is looked at, since all else is output.
    let size = unsafe { out.cast::<usize>().read_unaligned() };
    // A size that cuts a number in two is no struct's: all are of four bytes, or of eight.
    if size < size_of::<usize>() || size % 4 != 0 { Err(unset_size()) } else { Ok(size) }
}

fn unset_size() -> Error {
    Error::invalid("the struct's size is not set: it must be its sizeof")
}

/// Writes the first `size` bytes of a struct back to a caller whose struct may be shorter or longer than ours.
///
/// # Safety
/// `out` has `size` bytes.
unsafe fn put_sized<T: Copy>(out: *mut T, size: usize, value: &T) {
    let known = size.min(size_of::<T>());
    // SAFETY: both have `known` bytes.
    unsafe { std::ptr::copy_nonoverlapping((value as *const T).cast::<u8>(), out.cast::<u8>(), known) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_at_the_boundary() {
        let number = boundary("test", Subject::Nothing, || -> Result<()> { panic!("caught") });
        assert_eq!(number, Code::Internal as i64);
    }
}
