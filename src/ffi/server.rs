//! Chapter 9: servers.

use std::ffi::c_int;

/// Options of sock_serve.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sock_server_options {
    /// sizeof(sock_server_options).
    pub size: usize,
    /// SOCK_THREADS: a thread each. SOCK_FIBERS: stackful fibers on event-driven workers.
    pub model: c_int,
    /// Fibers: worker threads; 0 = one per CPU.
    pub workers: c_int,
    /// 0 = no limit; at the limit new connections wait in the backlog.
    pub max_connections: i64,
    /// 0 = 256 KiB (fibers), the system's (threads).
    pub stack_size: usize,
}
