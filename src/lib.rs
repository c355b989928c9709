//! libsock: sockets for C programs.
//!
//! Dependencies run one way: `ffi` (the C ABI) → `net` (the library, safe Rust) → `sys` (the operating system).
//! `ffi` names libc for C types only, `net` knows no C, `sys` knows no handles.

#[allow(unsafe_code, non_camel_case_types, clippy::missing_safety_doc)]
mod ffi;
mod net;
#[allow(unsafe_code)]
mod sys;
