//! One stream socket on its way to one address.

use super::address::{self, Address, Text};
use super::error::{Code, Error, Result};
use super::listen::family_of;
use super::name::{Host, Target};
use super::options::Options;
use super::wait;
use crate::sys::socket::{self as system, Family, MULTIPATH, Type};
use crate::sys::{AsRawFd, Errno, OwnedFd, RawFd, clock, option};
use std::net::SocketAddr;

/// What is done to every socket before it connects.
pub struct Plan<'a> {
    pub options: &'a Options<'a>,
    /// Where it is bound first.
    pub local: Option<Target>,
}

pub enum Begun {
    Connected(OwnedFd),
    /// Wait until it is writable, then see [`finish`].
    UnderWay(OwnedFd),
}

/// Makes a TCP socket and sends it off.
pub fn begin(address: &Address, plan: &Plan) -> Result<Begun> {
    let socket = prepare(address, plan)?;
    match system::connect(socket.as_raw_fd(), address) {
        // Only with TCP Fast Open: nothing has been sent yet.
        Ok(()) => return Ok(Begun::Connected(socket)),
        // After EINTR the connection goes on too: connect is never repeated.
        Err(Errno::EINPROGRESS | Errno::EINTR) => {}
        Err(Errno::EAGAIN) => return Err(Error::new(Code::AddressNotAvailable).errno(Errno::EAGAIN)),
        Err(errno) => return Err(refused(errno, address)),
    }
    // On the loopback the handshake is over by now, and asking for the peer shows it more cheaply than poll and SO_ERROR.
    if is_loopback(address) && system::peer_address(socket.as_raw_fd()).is_ok() {
        return check_self(socket, address).map(Begun::Connected);
    }
    Ok(Begun::UnderWay(socket))
}

/// The outcome of a connection that was under way, once its socket is writable.
pub fn finish(socket: OwnedFd, address: &Address) -> Result<OwnedFd> {
    option::take_error(socket.as_raw_fd())?;
    // Without an error it was connected: if it is not any more, the peer has reset it since then.
    system::peer_address(socket.as_raw_fd()).map_err(|errno| if errno == Errno::ENOTCONN { Errno::ECONNRESET } else { errno })?;
    check_self(socket, address)
}

fn prepare(address: &Address, plan: &Plan) -> Result<OwnedFd> {
    let family = family_of(address);
    let make = |protocol| -> Result<OwnedFd> {
        let socket = system::socket(family, Type::Stream, protocol)?;
        configure(socket.as_raw_fd(), family, plan)?;
        Ok(socket)
    };
    match plan.options.multipath {
        // TCP where the kernel has no MPTCP, or has it without one of the options.
        1 => make(MULTIPATH).or_else(|_| make(0)),
        _ => make(0),
    }
}

fn configure(socket: RawFd, family: Family, plan: &Plan) -> Result<()> {
    plan.options.configure(socket)?;
    plan.options.configure_tcp(socket)?;
    if plan.options.fast_open > 0 {
        // It only saves time: where the system has it switched off, the connection is an ordinary one.
        let _ = option::set(socket, option::FAST_OPEN_CONNECT, 1);
    }
    match &plan.local {
        Some(local) => bind(socket, family, local),
        None => Ok(()),
    }
}

fn bind(socket: RawFd, family: Family, local: &Target) -> Result<()> {
    let address = match local.host {
        Host::Default => address::any(family, local.port),
        _ => local.literal().ok_or(Error::new(Code::Internal))?,
    };
    if local.port == 0 {
        // The port is chosen by connect, which knows the peer: many connections to different peers can share one.
        let _ = option::set(socket, option::BIND_ADDRESS_NO_PORT, 1);
    } else {
        // Beside the last connection's TIME_WAIT, and beside the other attempts of a race.
        option::set(socket, option::REUSE_ADDRESS, 1)?;
    }
    system::bind(socket, &address).map_err(|errno| {
        let error = refused(errno, &address);
        Error::text(error.code, format_args!("local address {}: {}", Text(&address), error.words())).errno(errno)
    })
}

/// Who is at the other end of a socket that was connected to an address. Connecting to the unspecified address connects to this
/// machine, and only the socket knows by which of its addresses.
pub fn peer(socket: &OwnedFd, address: &Address) -> Address {
    match address.unmapped() {
        Address::Ip(ip) if ip.ip().is_unspecified() => {
            system::peer_address(socket.as_raw_fd()).map_or(Address::Ip(ip), Address::unmapped)
        }
        peer => peer,
    }
}

/// Why the kernel refuses to connect, or bind, to an address.
pub fn refused(errno: Errno, address: &Address) -> Error {
    match (errno, address) {
        (Errno::EINVAL, Address::Ip(SocketAddr::V6(ip))) if ip.ip().is_unicast_link_local() && ip.scope_id() == 0 => {
            Error::invalid("a link-local address needs a %scope, as in fe80::1%eth0").errno(errno)
        }
        _ => errno.into(),
    }
}

fn is_loopback(address: &Address) -> bool {
    matches!(address.unmapped(), Address::Ip(address) if address.ip().is_loopback())
}

/// Refuses a connection of a socket to itself: TCP makes one if nobody listens at a port of this machine and the kernel picks that
/// very port as the connection's own.
fn check_self(socket: OwnedFd, address: &Address) -> Result<OwnedFd> {
    let (Address::Ip(local), Address::Ip(peer)) = (system::local_address(socket.as_raw_fd())?, address) else {
        return Ok(socket);
    };
    // Connecting to the unspecified address connects to the loopback.
    let same = local.port() == peer.port() && (local.ip() == peer.ip() || peer.ip().is_unspecified());
    if !same {
        return Ok(socket);
    }
    // Without a TIME_WAIT, in which the server to come would find its port taken.
    let _ = option::set_linger(socket.as_raw_fd(), Some(0));
    Err(Error::with(Code::Refused, "nobody listens there: the socket was connected to itself").errno(Errno::ECONNREFUSED))
}

/// Milliseconds between checks for a place in the backlog of a unix listener: nothing reports when there is one.
const SHORTEST_PAUSE: i64 = 1;
const LONGEST_PAUSE: i64 = 50;

/// Connects a unix stream, waiting for a place in the backlog until a point in time.
pub fn unix(address: &Address, options: &Options, until: i64) -> Result<OwnedFd> {
    let socket = system::socket(Family::Unix, Type::Stream, 0)?;
    options.configure(socket.as_raw_fd())?;
    let mut pause = SHORTEST_PAUSE;
    loop {
        match system::connect(socket.as_raw_fd(), address) {
            Ok(()) => return Ok(socket),
            Err(Errno::EAGAIN) => {}
            // It is connected or it is not: it is never in progress.
            Err(Errno::EINTR) if system::peer_address(socket.as_raw_fd()).is_ok() => return Ok(socket),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let now = clock::now();
        if now >= until {
            return Err(Error::with(Code::TimedOut, "timed out waiting for a place in the listener's backlog"));
        }
        wait::sleep_until(wait::after(now, pause).min(until))?;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
