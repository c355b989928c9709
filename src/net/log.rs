//! Messages for a logger that the host program sets; without one no message is even made.

use super::error::{Error, Fallible, Result};
use super::failure;
use super::lock::{read, write};
use crate::sys::Errno;
use crate::sys::memory::boxed;
use crate::sys::shared::Shared;
use std::ffi::CStr;
use std::fmt::{Arguments, Write};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// How much a message matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// A call failed.
    Error = 1,
    /// The library carried on, but somebody should know.
    Warning = 2,
    /// What the library is doing.
    Information = 3,
}

type Logger = Box<dyn Fn(Level, &CStr) + Send + Sync>;

static ENABLED: AtomicBool = AtomicBool::new(false);
static LOGGER: RwLock<Option<Shared<Logger>>> = RwLock::new(None);

pub fn set(logger: Option<impl Fn(Level, &CStr) + Send + Sync + 'static>) -> Result<()> {
    let logger = match logger {
        Some(logger) => Some(Shared::new(boxed(logger)? as Logger)?),
        None => None,
    };
    let mut current = write(&LOGGER);
    ENABLED.store(logger.is_some(), Ordering::Relaxed);
    *current = logger;
    Ok(())
}

pub fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Hands a message to the logger, holding no lock, so that the logger may use the library. What fails inside it is not logged.
/// Without the memory for it there is no message.
pub fn say(level: Level, message: Arguments) {
    if !enabled() || failure::set_logging(true) {
        return;
    }
    let logger = read(&LOGGER).clone();
    let mut text = Fallible(String::new());
    let written = text.write_fmt(message).and_then(|()| text.write_char('\0'));
    let message = CStr::from_bytes_until_nul(text.0.as_bytes());
    if let (Some(logger), Ok(()), Ok(message)) = (logger, written, message) {
        logger(level, message);
    }
    failure::set_logging(false);
}

pub fn connection_lost(errno: Errno) {
    say(Level::Information, format_args!("accept: a connection was lost before it was accepted: {}", Error::from(errno)));
}

pub fn out_of_descriptors(errno: Errno) {
    say(Level::Warning, format_args!("accept: waiting for descriptors: {}", Error::from(errno)));
}
