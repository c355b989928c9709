//! Questions about a handle.

use super::address::Address;
use super::error::{Code, Error, Result};
use super::registry::{self, Direction, Handle};
use super::socket::{Kind, SOCKETS, WITH_PEER};
use crate::sys::socket::{self as system, Family};
use crate::sys::{Errno, option};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

pub struct Information {
    pub kind: Kind,
    pub family: Option<Family>,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub resolve_us: i64,
    pub connect_us: i64,
    pub attempts: u32,
    pub rtt_us: u32,
    pub retransmits: u32,
}

pub fn information(handle: Handle) -> Result<Information> {
    let pinned = registry::pin(handle, Direction::Read)?;
    let socket = pinned.socket();
    let [read, write] = pinned.sides();
    let tcp = socket.kind() == Kind::Stream && socket.family() != Some(Family::Unix);
    let tcp = tcp.then(|| option::tcp_info(pinned.descriptor()).ok()).flatten();
    let details = socket.details();
    let family = match (socket.family(), details.peer) {
        // A dual-stack listener accepted it, or it was connected before it was adopted.
        (Some(Family::V6), peer) if is_v4(peer.or_else(|| system::peer_address(pinned.descriptor()).ok())) => Some(Family::V4),
        (family, _) => family,
    };
    Ok(Information {
        kind: socket.kind(),
        family,
        bytes_read: read.bytes.load(Ordering::Relaxed),
        bytes_written: write.bytes.load(Ordering::Relaxed),
        resolve_us: details.resolve_us,
        connect_us: details.connect_us,
        attempts: details.attempts,
        rtt_us: tcp.as_ref().map_or(0, |tcp| tcp.rtt_us),
        retransmits: tcp.map_or(0, |tcp| tcp.retransmits),
    })
}

fn is_v4(address: Option<Address>) -> bool {
    matches!(address.map(Address::unmapped), Some(Address::Ip(SocketAddr::V4(_))))
}

pub fn local_address(handle: Handle) -> Result<Address> {
    let pinned = registry::pin(handle, Direction::Read)?.expect(SOCKETS)?;
    Ok(system::local_address(pinned.descriptor())?.unmapped())
}

pub fn peer_address(handle: Handle) -> Result<Address> {
    let pinned = registry::pin(handle, Direction::Read)?.expect(WITH_PEER)?;
    if let Some(peer) = pinned.socket().details().peer {
        return Ok(peer);
    }
    match system::peer_address(pinned.descriptor()) {
        Ok(peer) => Ok(peer.unmapped()),
        Err(Errno::ENOTCONN) => Err(Error::new(Code::NotConnected)),
        Err(errno) => Err(errno.into()),
    }
}

/// Bytes already inside the library.
pub fn buffered(handle: Handle) -> usize {
    registry::pin(handle, Direction::Read).map_or(0, |pinned| pinned.socket().buffered())
}

/// What a message calls a handle: the peer's address, or the socket's own.
pub fn describe(handle: Handle) -> Option<Address> {
    peer_address(handle).or_else(|_| local_address(handle)).ok()
}
