//! Addresses as text: `127.0.0.1:80`, `[::1]:80`, `[fe80::1%eth0]:80`, `unix:/run/x`, `unix:@x`, `unix:`.

use crate::sys::address::{UnixName, interface_name};
use crate::sys::socket::Family;
use std::fmt::{Formatter, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use crate::sys::address::{Address, Raw};

/// Every address of a family.
pub fn any(family: Family, port: u16) -> Address {
    let ip: IpAddr = if family == Family::V6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    Address::Ip(SocketAddr::new(ip, port))
}

/// An address in the form that [`super::name`] reads.
pub struct Text<'a>(pub &'a Address);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter) -> Result {
        match self.0 {
            Address::Ip(SocketAddr::V4(address)) => write!(f, "{address}"),
            Address::Ip(SocketAddr::V6(address)) => {
                write!(f, "[{}", address.ip())?;
                scope(f, address.scope_id())?;
                write!(f, "]:{}", address.port())
            }
            Address::Unix(name) => unix(f, name),
        }
    }
}

fn scope(f: &mut Formatter, index: u32) -> Result {
    if index == 0 {
        return Ok(());
    }
    let named = interface_name(index);
    match named.as_ref().and_then(|(name, length)| std::str::from_utf8(&name[..*length]).ok()) {
        Some(name) => write!(f, "%{name}"),
        None => write!(f, "%{index}"),
    }
}

fn unix(f: &mut Formatter, name: &UnixName) -> Result {
    let (mark, rest) = match name.as_bytes() {
        [0, rest @ ..] => ("@", rest),
        // A path that would read as an abstract name.
        path @ [b'@', ..] => ("./", path),
        path => ("", path),
    };
    f.write_str("unix:")?;
    f.write_str(mark)?;
    // What is no text (control characters, bytes that are not UTF-8) is escaped.
    for chunk in rest.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() { write!(f, "{}", character.escape_default())? } else { write!(f, "{character}")? }
        }
        write!(f, "{}", chunk.invalid().escape_ascii())?;
    }
    Ok(())
}
