//! The library: safe Rust over `sys`, and no C.

pub mod address;
pub mod adopt;
mod connect;
pub mod datagram;
pub mod error;
pub mod failure;
mod gate;
mod inbox;
pub mod information;
pub mod listen;
pub mod live_options;
pub mod local;
pub mod log;
pub mod name;
pub mod options;
pub mod poller;
pub mod race;
mod read_ahead;
pub mod registry;
mod resolve;
mod scope;
pub mod server;
pub mod socket;
pub mod stream;
mod wait;
mod waiters;
mod worker;
