//! Chapter 7: unix sockets, descriptors, activation.

use super::handle::sock_t;
use super::{Subject, boundary};
use crate::net::local;
use std::ffi::c_int;

/// The descriptor behind a handle, to be looked at: for a foreign event loop, or an option that the library does not have.
///
/// It stays the handle's: it must not be closed, and is gone when the handle is closed. A foreign loop must look at
/// sock_buffered too. What reads from it, or changes its modes, does so behind the library's back.
///
/// @param s a stream, listener or datagram socket
/// @return the descriptor, >= 0
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_fd(s: sock_t) -> c_int {
    boundary("fd", Subject::Handle(s), || local::descriptor(s)) as c_int
}
