//! The last failure of each thread: its code's errno, how far the transfer came, and one line of text in a fixed buffer.

use super::address::Text;
use super::error::{Code, Error};
use super::information;
use super::log::{self, Level};
use super::registry::Handle;
use std::cell::RefCell;
use std::ffi::c_char;
use std::fmt::{Display, Write};

const LENGTH: usize = 2048;

struct Failure {
    errno: i32,
    count: usize,
    /// Ends with a NUL; what does not fit is cut.
    text: [u8; LENGTH],
    length: usize,
}

thread_local! {
    // Without a destructor: it is there for as long as the thread runs code.
    static LAST: RefCell<Failure> = const { RefCell::new(Failure { errno: 0, count: 0, text: [0; LENGTH], length: 0 }) };
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

pub fn record(operation: &str, subject: Option<&dyn Display>, error: &Error) {
    LAST.with_borrow_mut(|last| {
        last.errno = error.errno;
        last.count = error.count;
        last.length = 0;
        last.text[0] = 0;
        // It only fails where the text is cut.
        let _ = match subject {
            Some(subject) => write!(last, "{operation} {subject}: {error}"),
            None => write!(last, "{operation}: {error}"),
        };
    });
    if log::enabled() && !error.would_block() {
        match subject {
            Some(subject) => log::say(Level::Error, format_args!("{operation} {subject}: {error}")),
            None => log::say(Level::Error, format_args!("{operation}: {error}")),
        }
    }
}

/// The same for a call on a handle, which is named by its peer's address, or its own.
pub fn record_for_handle(operation: &str, handle: Handle, error: &Error) {
    // What a loop of sock_try_ calls meets all the time costs no look-up.
    if matches!(error.code, Code::WouldBlock | Code::BadHandle | Code::Closed) {
        return record(operation, None, error);
    }
    match information::describe(handle) {
        Some(address) => record(operation, Some(&Text(&address)), error),
        None => record(operation, None, error),
    }
}

/// The text, NUL-terminated, in this thread's buffer.
pub fn text() -> *const c_char {
    LAST.with_borrow(|last| last.text.as_ptr().cast())
}

pub fn errno() -> i32 {
    LAST.with_borrow(|last| last.errno)
}

pub fn count() -> usize {
    LAST.with_borrow(|last| last.count)
}
