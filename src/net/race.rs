//! Connecting.

use super::address::{Address, Text};
use super::error::{Code, Error, Result};
use super::listen::family_of;
use super::name::{Host, Protocol, Request};
use super::options::{Options, Use};
use super::registry::{self, Handle};
use super::resolve;
use super::socket::Kind;
use super::wait;
use crate::sys::socket::{self as system, Family, Type};
use crate::sys::{AsRawFd, Errno, OwnedFd, clock, option, poll};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;

pub fn open(request: Request, options: &Options) -> Result<Handle> {
    options.check(Use::Open)?;
    let target = request.parse(Protocol::Tcp)?;
    if target.port == 0 && !matches!(target.host, Host::Unix(_)) {
        return Err(Error::invalid("nobody can be reached at port 0"));
    }
    let started = clock::now();
    let until = if options.timeout_ms == 0 { wait::NEVER } else { wait::after(started, options.timeout_ms) };
    let addresses = match &target.host {
        Host::Name(name) => resolve::lookup(name, target.port, options.family(), until)?,
        Host::Default => vec![
            Address::Ip(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), target.port)),
            Address::Ip(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), target.port)),
        ],
        _ => target.literal().into_iter().collect(),
    };
    let resolved = clock::now();
    let mut last = Error::new(Code::NoHost);
    for (index, address) in addresses.iter().enumerate() {
        match connect(address, options, until) {
            Ok(socket) => {
                let family = family_of(address);
                return registry::insert(socket, Kind::Stream, options.io_timeout(), |socket| {
                    socket.set_family(family);
                    socket.spin_us.store(options.spin_us, Ordering::Relaxed);
                    let mut details = socket.details();
                    details.peer = Some(address.unmapped());
                    details.resolve_us = (resolved - started) / 1000;
                    details.connect_us = (clock::now() - resolved) / 1000;
                    details.attempts = index as u32 + 1;
                });
            }
            Err(error) => last = Error::text(error.code, format_args!("{}: {error}", Text(address))).errno(Errno(error.errno)),
        }
    }
    Err(last)
}

fn connect(address: &Address, options: &Options, until: i64) -> Result<OwnedFd> {
    let socket = system::socket(family_of(address), Type::Stream, 0)?;
    let descriptor = socket.as_raw_fd();
    options.configure(descriptor)?;
    if family_of(address) != Family::Unix {
        options.configure_tcp(descriptor)?;
    }
    match system::connect(descriptor, address) {
        Ok(()) => return Ok(socket),
        Err(Errno::EINPROGRESS | Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    if !wait::descriptor_ready(descriptor, poll::OUT, until)? {
        return Err(Error::new(Code::TimedOut));
    }
    option::take_error(descriptor)?;
    Ok(socket)
}

pub fn resolve(request: Request, options: &Options) -> Result<Vec<Address>> {
    options.check(Use::Resolve)?;
    let target = request.parse(Protocol::Tcp)?;
    match &target.host {
        Host::Name(name) => resolve::lookup(name, target.port, options.family(), wait::NEVER),
        _ => Ok(target.literal().into_iter().collect()),
    }
}
