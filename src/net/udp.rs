//! Making datagram sockets, of UDP and of unix, and the multicast groups that those of UDP receive from.

use super::address::{self, Address};
use super::connect;
use super::error::{Code, Error, Result};
use super::listen::{self, family_of};
use super::local;
use super::name::{Host, Protocol, Request, Target, interface_number};
use super::options::{Options, Use};
use super::race;
use super::registry::{self, Direction, Handle, Pinned};
use super::socket::{Kind, Socket};
use crate::sys::socket::{self, Family, Type};
use crate::sys::{AsRawFd, Errno, OwnedFd, clock, option};
use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

/// A socket connected to the first of the peer's addresses that the kernel has a route to.
pub fn open(request: Request, options: &Options) -> Result<Handle> {
    options.check(Use::UdpOpen)?;
    let target = request.parse(Protocol::Udp)?;
    if target.port == 0 && !matches!(target.host, Host::Unix(_)) {
        return Err(Error::invalid("nobody can be reached at port 0"));
    }
    let started = clock::now();
    let local = match target.host {
        Host::Unix(_) => None, // its own address is one too
        _ => options.local(Protocol::Udp)?,
    };
    let family = race::wanted_family(&target, options, local.as_ref())?;
    let mut addresses = race::candidates(&target, family, started, options.end(started))?;
    if target.host == Host::Default {
        // Nothing shows whether anybody is there: the address that also reaches those who listen on every one comes first.
        addresses.sort_unstable_by_key(|address| family_of(address) != Family::V4);
    }
    let resolved = clock::now();
    let ((socket, bound), peer) = listen::bind_first(&addresses, |address| connect(address, local.as_ref(), options))?;
    let attempts = addresses.iter().take_while(|address| **address != peer).count() as u32 + 1;
    let reached = connect::peer(&socket, &peer);
    insert(socket, family_of(&peer), options, |socket| {
        let mut details = socket.details();
        details.bound = bound;
        details.peer = Some(reached);
        details.resolve_us = (resolved - started) / 1000;
        details.connect_us = (clock::now() - resolved) / 1000;
        details.attempts = attempts;
    })
}

type Bound = (OwnedFd, Option<Box<local::BoundPath>>);

fn connect(address: &Address, local: Option<&Target>, options: &Options) -> Result<Bound> {
    let family = family_of(address);
    let socket = make(family, options)?;
    let mut bound = None;
    if let Some(own) = own_address(address, local, options)? {
        bound = bind_to(&socket, &own, options)?;
    }
    socket::connect(socket.as_raw_fd(), address).map_err(|errno| match errno {
        // The kernel's words for having no free port left.
        Errno::EAGAIN if family != Family::Unix => listen::no_port().errno(errno),
        errno => connect::refused(errno, address),
    })?;
    Ok((socket, bound))
}

fn make(family: Family, options: &Options) -> Result<OwnedFd> {
    if family == Family::Unix {
        options.check_unix()?;
    }
    let socket = socket::socket(family, Type::Datagram, 0)?;
    if options.reuse_address > 0 {
        option::set(socket.as_raw_fd(), option::REUSE_ADDRESS, 1)?;
    }
    options.configure(socket.as_raw_fd())?;
    Ok(socket)
}

/// What `local_host` and `local_port` say, for a peer at `address`.
fn own_address(address: &Address, local: Option<&Target>, options: &Options) -> Result<Option<Address>> {
    let family = family_of(address);
    if family == Family::Unix {
        let Some(host) = options.local_host else {
            return Ok(None);
        };
        if !host.to_bytes().starts_with(b"unix:") {
            return Err(Error::invalid("option local_host is not a unix: address"));
        }
        return Request { host: Some(host), port: None }.parse_literal().map(Some);
    }
    Ok(local.map(|local| local.literal().unwrap_or(address::any(family, local.port))))
}

fn bind_to(socket: &OwnedFd, address: &Address, options: &Options) -> Result<Option<Box<local::BoundPath>>> {
    if let Address::Unix(name) = address {
        return local::bind(socket, *name, options);
    }
    listen::bind_ip(socket.as_raw_fd(), address)?;
    Ok(None)
}

/// A socket that receives at an address of this machine, from everybody.
pub fn bind(request: Request, options: &Options) -> Result<Handle> {
    options.check(Use::UdpBind)?;
    let target = request.parse(Protocol::Udp)?;
    let ((socket, bound), address) = listen::bind_local(&target, options, |address| {
        let socket = make(family_of(address), options)?;
        listen::choose_families(&socket, address, options)?;
        let bound = bind_to(&socket, address, options)?;
        Ok((socket, bound))
    })?;
    insert(socket, family_of(&address), options, |socket| socket.details().bound = bound)
}

fn insert(socket: OwnedFd, family: Family, options: &Options, prepare: impl FnOnce(&Socket)) -> Result<Handle> {
    registry::insert(socket, Kind::Datagram, options.io_timeout(), |socket| {
        socket.set_family(family);
        socket.spin_us.store(options.spin_us, Ordering::Relaxed);
        prepare(socket);
    })
}

/// Becomes a member of a multicast group on a device, or where the kernel's routes say.
pub fn set_membership(handle: Handle, group: &CStr, device: Option<&CStr>, member: bool) -> Result<()> {
    let group = Request { host: Some(group), port: Some(c"0") }.parse_literal()?;
    let Address::Ip(group) = group else {
        return Err(Error::invalid("the group is not an IP address"));
    };
    if !group.ip().is_multicast() {
        return Err(Error::invalid("the group is not a multicast address"));
    }
    let interface = match (device, &group) {
        (Some(device), _) => interface_number(device, || no_device(device))?,
        (None, SocketAddr::V6(group)) => group.scope_id(),
        (None, SocketAddr::V4(_)) => 0,
    };
    let pinned = registry::pin(handle, Direction::Read)?.expect(&[Kind::Datagram])?;
    match (pinned.socket().family(), group.ip()) {
        (Some(Family::V4), IpAddr::V4(_)) | (Some(Family::V6), IpAddr::V6(_)) => {}
        (Some(Family::V6), IpAddr::V4(_)) if !is_only_v6(&pinned) => {}
        (Some(Family::Unix) | None, _) => return Err(Error::with(Code::NotSupported, "the socket has no multicast groups")),
        _ => return Err(Error::invalid("the group is of a different family than the socket")),
    }
    let descriptor = pinned.descriptor();
    if member {
        // Without this a socket gets what any socket of the machine has joined. Old kernels know it for IPv4 only.
        let all = if group.is_ipv4() { option::MULTICAST_ALL } else { option::V6_MULTICAST_ALL };
        let _ = option::set(descriptor, all, 0);
    }
    option::set_membership(descriptor, group.ip(), interface, member).map_err(|errno| match errno {
        Errno::ENODEV if interface != 0 => Error::invalid("no such device").errno(errno),
        Errno::ENODEV => Error::with(Code::Unreachable, "no route to the group: name a device").errno(errno),
        errno => errno.into(),
    })
}

fn no_device(device: &CStr) -> Error {
    let name = device.to_bytes();
    Error::text(Code::InvalidArgument, format_args!("no such device: {}", name[..name.len().min(64)].escape_ascii()))
}

/// Whether it is an IPv6 socket that cannot reach IPv4: by its option, or by its own address.
pub fn is_only_v6(pinned: &Pinned) -> bool {
    if pinned.socket().family() != Some(Family::V6) {
        return false;
    }
    let own = socket::local_address(pinned.descriptor());
    option::get(pinned.descriptor(), option::V6_ONLY).is_ok_and(|on| on != 0)
        || own.is_ok_and(|own| matches!(own.unmapped(), Address::Ip(SocketAddr::V6(own)) if !own.ip().is_unspecified()))
}
