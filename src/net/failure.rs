//! The last failure of each thread and of each fiber: its errno and one line of text in a fixed buffer. And how far the last failed
//! transfer came.

use super::address::Text;
use super::error::{Code, Detail, Error, name};
use super::information;
use super::log::{self, Level};
use super::registry::Handle;
use super::worker;
use crate::sys::memory::boxed_by;
use std::cell::RefCell;
use std::ffi::c_char;
use std::fmt::{Display, Write};

const LENGTH: usize = 2048;

pub struct Failure {
    errno: i32,
    /// Bytes moved by the last transfer that failed, which other failures leave alone.
    count: usize,
    /// Ends with a NUL; what does not fit is cut.
    text: [u8; LENGTH],
    length: usize,
    /// The caller is inside the logger.
    logging: bool,
}

thread_local! {
    // Without a destructor: it is there for as long as the thread runs code.
    static LAST: RefCell<Failure> = const { RefCell::new(Failure::new()) };
}

impl Write for Failure {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = LENGTH - 1 - self.length;
        let mut fits = text.len().min(room);
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        self.text[self.length..self.length + fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.length += fits;
        self.text[self.length] = 0;
        if fits == text.len() { Ok(()) } else { Err(std::fmt::Error) }
    }
}

/// What [`Code::WouldBlock`] says after the operation.
const WOULD_BLOCK: &str = ": it would block";

impl Failure {
    const fn new() -> Failure {
        Failure { errno: 0, count: 0, text: [0; LENGTH], length: 0, logging: false }
    }

    /// A fiber's own; None if there is no memory for it.
    pub fn boxed() -> Option<Box<Failure>> {
        boxed_by(Failure::new).ok()
    }

    fn set(&mut self, operation: &str, subject: Option<&dyn Display>, error: &Error) {
        self.errno = error.errno;
        self.length = 0;
        self.text[0] = 0;
        // It only fails where the text is cut.
        let _ = match subject {
            // What loops of sock_try_ calls meet all the time is written without the formatter.
            None if error.would_block() && matches!(error.detail, Detail::None) => {
                self.write_str(operation).and_then(|()| self.write_str(WOULD_BLOCK))
            }
            Some(subject) => write!(self, "{operation} {subject}: {error}"),
            None => write!(self, "{operation}: {error}"),
        };
    }
}

/// Looks at the last failure of the caller, which is the thread's or the fiber's own.
fn last<T>(look: impl Fn(&Failure) -> T) -> T {
    static NONE: Failure = Failure::new();
    if worker::in_fiber() {
        return worker::with_failure(false, |last| look(last)).unwrap_or_else(|| look(&NONE));
    }
    LAST.with_borrow(look)
}

/// Changes it.
fn change<T>(work: impl Fn(&mut Failure) -> T) -> T {
    worker::with_failure(true, &work).unwrap_or_else(|| LAST.with_borrow_mut(&work))
}

fn keep(operation: &str, subject: Option<&dyn Display>, error: &Error) {
    change(|last| last.set(operation, subject, error));
}

pub fn record(operation: &str, subject: Option<&dyn Display>, error: &Error) {
    keep(operation, subject, error);
    if log::enabled() && !error.would_block() {
        let before = count();
        match subject {
            Some(subject) => log::say(Level::Error, format_args!("{operation} {subject}: {error}")),
            None => log::say(Level::Error, format_args!("{operation}: {error}")),
        }
        // The logger may have failed at something itself.
        keep(operation, subject, error);
        record_count(before);
    }
}

/// The same for a call on a handle, which is named by its peer's address, or its own.
pub fn record_for_handle(operation: &str, handle: Handle, error: &Error) {
    if let (Code::BadHandle, Some(code)) = (error.code, passed_on(handle)) {
        let error = Error::text(error.code, format_args!("not a live handle, but the error of an earlier call: {code}"));
        return record(operation, None, &error);
    }
    // What a loop of sock_try_ calls meets all the time costs no look-up, and a handle that is busy is not made busier.
    if matches!(error.code, Code::WouldBlock | Code::BadHandle | Code::Closed | Code::Busy) {
        return record(operation, None, error);
    }
    match information::describe(handle) {
        Some(address) => record(operation, Some(&Text(&address)), error),
        None => record(operation, None, error),
    }
}

/// The name of the code that stands in place of a handle, if a program did not check whether it got one: that is the cause.
fn passed_on(handle: Handle) -> Option<&'static str> {
    let code = name(handle);
    if handle < 0 && code != name(i64::MIN) { code.to_str().ok() } else { None }
}

/// How much the failed transfer that has just been recorded had moved.
pub fn record_count(count: usize) {
    change(|last| last.count = count);
}

/// Notes whether the caller is inside the logger. Whether it was.
pub fn set_logging(on: bool) -> bool {
    change(|last| std::mem::replace(&mut last.logging, on))
}

/// The text, NUL-terminated, in this thread's buffer.
pub fn text() -> *const c_char {
    last(|last| last.text.as_ptr().cast())
}

pub fn errno() -> i32 {
    last(|last| last.errno)
}

pub fn count() -> usize {
    last(|last| last.count)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_says_what_the_formatter_would() {
        let error = Error::new(Code::WouldBlock);
        let mut failure = Failure::new();
        failure.set("try_read", None, &error);
        assert_eq!(&failure.text[..failure.length], format!("try_read: {error}").as_bytes());
    }

    #[test]
    fn a_text_that_does_not_fit_is_cut_between_characters() {
        let mut failure = Failure::new();
        assert!(failure.write_str("a").is_ok());
        assert!(failure.write_str(&"\u{e9}".repeat(LENGTH)).is_err());
        let room = LENGTH - 1 - 1;
        assert_eq!(failure.length, 1 + room / 2 * 2);
        assert_eq!(failure.text[failure.length], 0);
        assert!(std::str::from_utf8(&failure.text[..failure.length]).is_ok());
        assert!(failure.write_str(&"b".repeat(LENGTH)).is_err());
        assert_eq!((failure.length, failure.text[LENGTH - 1]), (LENGTH - 1, 0));
        assert!(failure.write_str("").is_ok());
    }

    #[test]
    fn a_text_with_an_odd_start_is_cut_between_characters() {
        let mut failure = Failure::new();
        assert!(failure.write_str(&"\u{e9}".repeat(LENGTH)).is_err());
        assert_eq!(failure.length, (LENGTH - 1) / 2 * 2);
        assert!(std::str::from_utf8(&failure.text[..failure.length]).is_ok());
    }
}
