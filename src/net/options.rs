//! The options of opening, listening and binding: which apply where, and how they are set on a socket.

use super::error::{Code, Error, Result};
use super::name::{Host, Protocol, Request, Target, carries_port};
use super::socket::Kind;
use super::wait::{NEVER, after};
use crate::sys::option::{self, Name};
use crate::sys::socket::Family;
use crate::sys::{Errno, RawFd};
use std::ffi::CStr;

/// `sock_options` as C filled it in.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Options<'a> {
    pub family: i32,
    pub nodelay: i32,
    pub timeout_ms: i64,
    pub io_timeout_ms: i64,
    pub attempt_delay_ms: i64,
    pub keepalive_ms: i64,
    pub user_timeout_ms: i64,
    pub spin_us: i64,
    pub send_buffer: i32,
    pub receive_buffer: i32,
    pub backlog: i32,
    pub reuse_address: i32,
    pub reuse_port: i32,
    pub v6_only: i32,
    pub multipath: i32,
    pub fast_open: i32,
    pub unix_replace: i32,
    pub unix_mode: i32,
    pub local_host: Option<&'a CStr>,
    pub local_port: Option<&'a CStr>,
    pub device: Option<&'a CStr>,
}

/// The calls that take options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    Open,
    Listen,
    UdpOpen,
    UdpBind,
    Resolve,
}

/// No limit, as 0 is too in options.
const FOREVER: i64 = -1;

pub const ANY: i32 = 0;
pub const UNIX: i32 = 1;
pub const IPV4: i32 = 4;
pub const IPV6: i32 = 6;

impl Options<'_> {
    /// Refuses values out of range, and fields that do not apply to the call.
    pub fn check(&self, purpose: Use) -> Result<()> {
        use Use::*;
        if *self == Options::default() {
            return Ok(()); // what most calls ask for
        }
        let sockets = [Open, Listen, UdpOpen, UdpBind].as_slice();
        let streams = [Open, Listen].as_slice();
        let outgoing = [Open, UdpOpen].as_slice();
        let binding = [Listen, UdpBind].as_slice();
        let fields = [
            ("nodelay", self.nodelay != 0, streams),
            ("timeout_ms", self.timeout_ms != 0, [Open, UdpOpen, Resolve].as_slice()),
            ("io_timeout_ms", self.io_timeout_ms != 0, sockets),
            ("attempt_delay_ms", self.attempt_delay_ms != 0, [Open].as_slice()),
            ("keepalive_ms", self.keepalive_ms != 0, streams),
            ("user_timeout_ms", self.user_timeout_ms != 0, streams),
            ("spin_us", self.spin_us != 0, sockets),
            ("send_buffer", self.send_buffer != 0, sockets),
            ("receive_buffer", self.receive_buffer != 0, sockets),
            ("backlog", self.backlog != 0, [Listen].as_slice()),
            ("reuse_address", self.reuse_address != 0, [Listen, UdpOpen, UdpBind].as_slice()),
            ("reuse_port", self.reuse_port != 0, sockets),
            ("v6_only", self.v6_only != 0, binding),
            ("multipath", self.multipath != 0, streams),
            ("fast_open", self.fast_open != 0, streams),
            ("unix_replace", self.unix_replace != 0, binding),
            ("unix_mode", self.unix_mode != 0, binding),
            ("local_host", self.local_host.is_some(), outgoing),
            ("local_port", self.local_port.is_some(), outgoing),
            ("device", self.device.is_some(), sockets),
        ];
        if let Some((name, ..)) = fields.iter().find(|(_, set, uses)| *set && !uses.contains(&purpose)) {
            return Err(Error::text(Code::InvalidArgument, format_args!("option {name} does not apply to this call")));
        }
        self.check_ranges()
    }

    fn check_ranges(&self) -> Result<()> {
        let switches = [
            ("nodelay", self.nodelay),
            ("reuse_address", self.reuse_address),
            ("reuse_port", self.reuse_port),
            ("v6_only", self.v6_only),
            ("multipath", self.multipath),
            ("fast_open", self.fast_open),
            ("unix_replace", self.unix_replace),
        ];
        let times = [("timeout_ms", self.timeout_ms), ("io_timeout_ms", self.io_timeout_ms)];
        let amounts = [
            ("keepalive_ms", self.keepalive_ms),
            ("user_timeout_ms", self.user_timeout_ms),
            ("spin_us", self.spin_us),
            ("send_buffer", self.send_buffer.into()),
            ("receive_buffer", self.receive_buffer.into()),
        ];
        let bad_switch = switches.iter().find(|(_, value)| !(-1..=1).contains(value)).map(|(name, _)| *name);
        let bad_amount = amounts.iter().find(|(_, value)| *value < 0).map(|(name, _)| *name);
        let bad_time = times.iter().find(|(_, value)| *value < FOREVER).map(|(name, _)| *name);
        if let Some(name) = bad_switch.or(bad_amount).or(bad_time) {
            return Err(Error::text(Code::InvalidArgument, format_args!("option {name} is out of its range")));
        }
        if !matches!(self.family, ANY | UNIX | IPV4 | IPV6) {
            return Err(Error::invalid("option family is not one of SOCK_ANY, SOCK_IPV4, SOCK_IPV6"));
        }
        if self.device.is_some_and(CStr::is_empty) {
            return Err(Error::invalid("option device is empty"));
        }
        if self.unix_mode & !0o777 != 0 {
            return Err(Error::invalid("option unix_mode has bits other than permissions"));
        }
        Ok(())
    }

    /// Refuses what a unix socket cannot obey. What only tunes TCP or IP has nothing to do there, and is ignored: one set of options
    /// serves any host. Not every kernel refuses SO_REUSEPORT itself.
    pub fn check_unix(&self) -> Result<()> {
        let fields =
            [("local_port", self.local_port.is_some()), ("device", self.device.is_some()), ("reuse_port", self.reuse_port > 0)];
        match fields.iter().find(|(_, set)| *set) {
            Some((name, _)) => {
                Err(Error::text(Code::InvalidArgument, format_args!("option {name} does not apply to a unix: host")))
            }
            None => Ok(()),
        }
    }

    /// The wanted family, if there is a choice.
    pub fn family(&self) -> Option<Family> {
        match self.family {
            IPV4 => Some(Family::V4),
            IPV6 => Some(Family::V6),
            UNIX => Some(Family::Unix),
            _ => None,
        }
    }

    /// When an open that has `started` has to be done.
    pub fn end(&self, started: i64) -> i64 {
        if self.timeout_ms == 0 { NEVER } else { after(started, self.timeout_ms) }
    }

    /// Milliseconds for the first timeout of both directions; negative: none.
    pub fn io_timeout(&self) -> i64 {
        if self.io_timeout_ms == 0 { -1 } else { self.io_timeout_ms }
    }

    /// Where an outgoing socket is bound first, if anywhere: a literal, or any address, and a port.
    pub fn local(&self, protocol: Protocol) -> Result<Option<Target>> {
        if self.local_host.or(self.local_port).is_none() {
            return Ok(None);
        }
        let whole = self.local_port.is_none() && self.local_host.is_some_and(|host| carries_port(host.to_bytes()));
        let port = (!whole).then(|| self.local_port.unwrap_or(c"0"));
        let request = Request { host: self.local_host, port };
        let named = |error: Error| Error::text(error.code, format_args!("local address: {}", error.words()));
        let target = request.parse(protocol).map_err(named)?;
        match target.host {
            Host::Default | Host::Ip { .. } => Ok(Some(target)),
            Host::Name(_) | Host::Unix(_) => Err(Error::invalid("option local_host is not a literal IP address")),
        }
    }

    pub fn inherited(&self) -> Inherited {
        Inherited { io_timeout: self.io_timeout(), kind: Kind::Stream }
    }

    /// What concerns every socket.
    pub fn configure(&self, socket: RawFd) -> Result<()> {
        if self.send_buffer > 0 {
            option::set(socket, option::SEND_BUFFER, self.send_buffer)?;
        }
        if self.receive_buffer > 0 {
            option::set(socket, option::RECEIVE_BUFFER, self.receive_buffer)?;
        }
        if self.reuse_port > 0 {
            option::set(socket, option::REUSE_PORT, 1)?;
        }
        if let Some(device) = self.device {
            option::bind_to_device(socket, device.to_bytes()).map_err(|errno| device_error(device, errno))?;
        }
        Ok(())
    }

    /// What concerns TCP connections and, because accepted sockets inherit it, listeners.
    pub fn configure_tcp(&self, socket: RawFd) -> Result<()> {
        if self.nodelay >= 0 {
            option::set(socket, option::NODELAY, 1)?;
        }
        if self.keepalive_ms > 0 {
            set_keepalive(socket, self.keepalive_ms)?;
        }
        if self.user_timeout_ms > 0 {
            set_milliseconds(socket, option::USER_TIMEOUT, self.user_timeout_ms)?;
        }
        Ok(())
    }
}

fn device_error(device: &CStr, errno: Errno) -> Error {
    let code = if errno == Errno::ENODEV { Code::InvalidArgument } else { Error::from(errno).code };
    Error::text(code, format_args!("cannot use device {}", device.to_bytes().escape_ascii())).errno(errno)
}

/// What a listener's connections get besides what they inherit in the kernel.
#[derive(Clone, Copy)]
pub struct Inherited {
    pub io_timeout: i64,
    /// Streams, unless the listener was adopted and is for sequenced packets.
    pub kind: Kind,
}

impl Default for Inherited {
    fn default() -> Inherited {
        Inherited { io_timeout: -1, kind: Kind::Stream }
    }
}

/// Probes after `milliseconds` of silence, at intervals of a third of that, and gives up after three; 0 turns them off.
/// The kernel counts in seconds: times are rounded up.
pub fn set_keepalive(socket: RawFd, milliseconds: i64) -> Result<()> {
    if milliseconds == 0 {
        return Ok(option::set(socket, option::KEEPALIVE, 0)?);
    }
    const LONGEST: i64 = 32767; // seconds, the kernel's limit
    let seconds = |milliseconds: i64| (milliseconds / 1000 + i64::from(milliseconds % 1000 > 0)).clamp(1, LONGEST) as i32;
    option::set(socket, option::KEEPALIVE_IDLE, seconds(milliseconds))?;
    option::set(socket, option::KEEPALIVE_INTERVAL, seconds(milliseconds / 3))?;
    option::set(socket, option::KEEPALIVE_COUNT, 3)?;
    Ok(option::set(socket, option::KEEPALIVE, 1)?)
}

pub fn set_milliseconds(socket: RawFd, name: Name, milliseconds: i64) -> Result<()> {
    Ok(option::set(socket, name, i32::try_from(milliseconds).unwrap_or(i32::MAX))?)
}
