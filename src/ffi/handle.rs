//! Chapter 1: handles.

/// A handle: > 0 when live. See HANDLES above.
pub type sock_t = i64;
