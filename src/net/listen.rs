//! Listening and accepting.

use super::address::{self, Address};
use super::error::{Code, Error, Result};
use super::local;
use super::name::{Host, Protocol, Request, Target};
use super::options::{Options, Use};
use super::registry::{self, Direction, Handle, Pinned};
use super::socket::Kind;
use super::wait::{Call, NEVER};
use super::{connect, log, resolve, worker};
use crate::sys::socket::{self as system, Family, MULTIPATH, Type};
use crate::sys::{AsRawFd, Errno, OwnedFd, RawFd, option};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

/// How many connections may wait to complete a TCP Fast Open.
const FAST_OPEN_QUEUE: i32 = 256;

pub fn listen(request: Request, options: &Options) -> Result<Handle> {
    options.check(Use::Listen)?;
    let target = request.parse(Protocol::Tcp)?;
    if let Host::Unix(name) = target.host {
        return local::listen(name, options);
    }
    let (socket, address) = bind_local(&target, options, |address| listen_on(address, options))?;
    insert(socket, family_of(&address), options, None)
}

/// Binds to a target of this machine: the first of its addresses that works.
pub fn bind_local<T>(target: &Target, options: &Options, bind: impl Fn(&Address) -> Result<T>) -> Result<(T, Address)> {
    let bound = bind_first(&local_addresses(target, options)?, &bind);
    let both = target.host == Host::Default && options.family().is_none() && options.v6_only <= 0;
    match bound {
        // The kernel has no IPv6. Any other failure concerns the one socket for both: half of it would be no substitute.
        Err(error) if both && error.code == Code::NotSupported => bind_first(&[address::any(Family::V4, target.port)], bind),
        bound => bound,
    }
}

/// The addresses that a target to bind to stands for. IPv6's wildcard address, on one socket, is IPv4's too.
fn local_addresses(target: &Target, options: &Options) -> Result<Vec<Address>> {
    if !matches!(target.host, Host::Unix(_)) {
        if options.unix_mode != 0 || options.unix_replace != 0 {
            return Err(Error::invalid("options unix_mode and unix_replace are for unix: hosts"));
        }
        if options.family() == Some(Family::Unix) {
            return Err(Error::invalid("option family is SOCK_UNIX, and the host is not"));
        }
    }
    let mut addresses = Vec::new();
    addresses.try_reserve(1)?;
    match &target.host {
        Host::Default => addresses.push(address::any(options.family().unwrap_or(Family::V6), target.port)),
        Host::Name(name) => return resolve::lookup(name, target.port, options.family(), NEVER),
        _ => addresses.extend(target.literal()),
    }
    addresses.iter().try_for_each(|address| check_family(address, options))?;
    Ok(addresses)
}

/// Refuses a literal that is not of the family that was asked for.
pub fn check_family(address: &Address, options: &Options) -> Result<()> {
    if options.family().is_some_and(|family| family != family_of(address)) {
        return Err(Error::with(Code::NoHost, "the address is not of the wanted family"));
    }
    Ok(())
}

pub fn family_of(address: &Address) -> Family {
    match address {
        Address::Ip(SocketAddr::V4(_)) => Family::V4,
        Address::Ip(SocketAddr::V6(_)) => Family::V6,
        Address::Unix(_) => Family::Unix,
    }
}

/// The first address that works; else the first one's error.
pub fn bind_first<T>(addresses: &[Address], bind: impl Fn(&Address) -> Result<T>) -> Result<(T, Address)> {
    let mut first_error = None;
    for address in addresses {
        match bind(address) {
            Ok(bound) => return Ok((bound, *address)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or(Error::new(Code::NoHost)))
}

/// bind(2) to an IP address. If no particular port was asked for and none is left, the kernel says that the address is in use.
pub fn bind_ip(descriptor: RawFd, address: &Address) -> Result<()> {
    system::bind(descriptor, address).map_err(|errno| match errno {
        Errno::EADDRINUSE if address.port() == Some(0) => no_port().errno(errno),
        errno => connect::refused(errno, address),
    })
}

pub fn no_port() -> Error {
    Error::with(Code::AddressNotAvailable, "no local port is free")
}

fn listen_on(address: &Address, options: &Options) -> Result<OwnedFd> {
    let socket = match options.multipath {
        // TCP where the kernel has no MPTCP, or has it without one of the options.
        1 => prepare(address, MULTIPATH, options).or_else(|_| prepare(address, 0, options))?,
        _ => prepare(address, 0, options)?,
    };
    bind_ip(socket.as_raw_fd(), address)?;
    start(socket.as_raw_fd(), options)?;
    Ok(socket)
}

/// A TCP socket with all its options, but for its address.
fn prepare(address: &Address, protocol: i32, options: &Options) -> Result<OwnedFd> {
    let socket = system::socket(family_of(address), Type::Stream, protocol)?;
    let descriptor = socket.as_raw_fd();
    if options.reuse_address >= 0 {
        option::set(descriptor, option::REUSE_ADDRESS, 1)?;
    }
    choose_families(&socket, address, options)?;
    options.configure(descriptor)?;
    options.configure_tcp(descriptor)?;
    if options.fast_open > 0 {
        option::set(descriptor, option::FAST_OPEN, FAST_OPEN_QUEUE)?;
    }
    Ok(socket)
}

/// Whether a socket for IPv6 takes IPv4 too: if it is for every address and the options do not say otherwise.
pub fn choose_families(socket: &OwnedFd, address: &Address, options: &Options) -> Result<()> {
    let Address::Ip(address @ SocketAddr::V6(_)) = address else {
        return Ok(());
    };
    let both = address.ip().is_unspecified() && options.v6_only <= 0 && options.family() != Some(Family::V6);
    Ok(option::set(socket.as_raw_fd(), option::V6_ONLY, (!both).into())?)
}

pub fn start(descriptor: i32, options: &Options) -> Result<()> {
    let backlog = if options.backlog <= 0 { system::SOMAXCONN } else { options.backlog };
    Ok(system::listen(descriptor, backlog)?)
}

pub fn insert(socket: OwnedFd, family: Family, options: &Options, bound: Option<Box<local::BoundPath>>) -> Result<Handle> {
    registry::insert(socket, Kind::Listener, options.io_timeout(), |socket| {
        socket.set_family(family);
        socket.spin_us.store(options.spin_us, Ordering::Relaxed);
        let mut details = socket.details();
        details.inherited = options.inherited();
        details.bound = bound;
    })
}

/// The next connection.
pub fn accept(handle: Handle) -> Result<Handle> {
    let mut call = Call::new();
    let pinned = registry::pin(handle, Direction::Read)?.expect(&[Kind::Listener])?;
    let (mut pause, mut lost) = (1, 0);
    loop {
        pinned.socket().check_unserved()?;
        match attempt(&pinned) {
            Attempt::Accepted(connection) => {
                // A fiber that never has to wait for a connection must not keep the others waiting.
                worker::breathe();
                return Ok(connection);
            }
            Attempt::Nothing => call.ready(&pinned)?,
            Attempt::Lost(_) if lost < MOST_LOST => lost += 1,
            Attempt::Lost(errno) => return Err(errno.into()),
            Attempt::Exhausted(errno) => {
                // Descriptors come back when others close theirs: nothing reports when, so check now and then.
                if pause == 1 {
                    log::out_of_descriptors(errno);
                }
                call.pause(&pinned, pause).map_err(|error| match error.code {
                    Code::TimedOut => errno.into(),
                    _ => error,
                })?;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Attempt::Failed(error) => return Err(error),
        }
    }
}

/// How many dead connections in a row one call passes over: if they never end, the cause is not the connections but, for example, a
/// filter that forbids the system call.
pub const MOST_LOST: u32 = 1000;

/// Milliseconds between checks for a free descriptor.
pub const LONGEST_PAUSE: i64 = 100;

/// The next connection, if there is one.
pub fn try_accept(handle: Handle) -> Result<Handle> {
    let pinned = registry::pin(handle, Direction::Read)?.expect(&[Kind::Listener])?;
    pinned.socket().check_unserved()?;
    let mut lost = 0;
    loop {
        match attempt(&pinned) {
            Attempt::Accepted(connection) => return Ok(connection),
            Attempt::Nothing => return Err(Error::new(Code::WouldBlock)),
            Attempt::Lost(_) if lost < MOST_LOST => lost += 1,
            Attempt::Lost(errno) | Attempt::Exhausted(errno) => return Err(errno.into()),
            Attempt::Failed(error) => return Err(error),
        }
    }
}

/// The outcome of one attempt to accept.
pub enum Attempt {
    Accepted(Handle),
    /// Nobody is there.
    Nothing,
    /// A connection died before it was accepted; the next one may be fine.
    Lost(Errno),
    /// Descriptors or memory have run out: it works again when others give theirs back.
    Exhausted(Errno),
    Failed(Error),
}

/// Accepts a connection if one is there.
pub fn attempt(listener: &Pinned) -> Attempt {
    if let Err(error) = listener.socket().keep_from_blocking() {
        return Attempt::Failed(error);
    }
    match system::accept(listener.descriptor()) {
        Ok((socket, peer)) => insert_accepted(listener, socket, peer).map_or_else(Attempt::Failed, Attempt::Accepted),
        Err(Errno::EAGAIN) => Attempt::Nothing,
        Err(errno) if concerns_one_connection(errno) => {
            log::connection_lost(errno);
            Attempt::Lost(errno)
        }
        Err(errno) if out_of_descriptors(errno) => Attempt::Exhausted(errno),
        Err(errno) => Attempt::Failed(errno.into()),
    }
}

fn insert_accepted(listener: &Pinned, socket: OwnedFd, peer: Option<Address>) -> Result<Handle> {
    let inherited = listener.socket().details().inherited;
    let family = listener.socket().family();
    let spin_us = listener.socket().spin_us.load(Ordering::Relaxed);
    // The kernel hands SO_LINGER on.
    let lingers = listener.socket().lingers.load(Ordering::Relaxed);
    registry::insert(socket, inherited.kind, inherited.io_timeout, |socket| {
        if let Some(family) = family {
            socket.set_family(family);
        }
        socket.spin_us.store(spin_us, Ordering::Relaxed);
        socket.lingers.store(lingers, Ordering::Relaxed);
        socket.details().peer = peer.map(Address::unmapped);
    })
}

/// Errors of accept(2) that are one dead connection's own ("Error handling" in its man page).
fn concerns_one_connection(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ECONNABORTED
            | Errno::EPROTO
            | Errno::ENETDOWN
            | Errno::ENOPROTOOPT
            | Errno::EHOSTDOWN
            | Errno::ENONET
            | Errno::EHOSTUNREACH
            | Errno::EOPNOTSUPP
            | Errno::ENETUNREACH
            | Errno::ETIMEDOUT
            | Errno::ECONNRESET
            | Errno::EPERM
    )
}

fn out_of_descriptors(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
}
