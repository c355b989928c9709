//! Addresses as text: `127.0.0.1:80`, `[::1]:80`, `[fe80::1%eth0]:80`, `unix:/run/x`, `unix:@x`, `unix:`.

use crate::sys::address::{UnixName, interface_name};
use crate::sys::socket::Family;
use std::fmt::{Formatter, Result, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use crate::sys::address::{Address, Raw};

/// Every address of a family.
pub fn any(family: Family, port: u16) -> Address {
    let ip: IpAddr = if family == Family::V6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    Address::Ip(SocketAddr::new(ip, port))
}

/// The most bytes that an address takes as text.
pub const LONGEST: usize = 159;

/// An address as text that [`super::name`] reads back as the same address: the bytes of a path are written as they are. Only zero
/// bytes, which an abstract name may have and text cannot, become "@", as in /proc/net/unix.
pub struct Written {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Written {
    pub fn new(address: &Address) -> Written {
        let mut text = Written { bytes: [0; LONGEST], length: 0 };
        // A failure to write is a bug, and the text then too short.
        let _ = match address {
            Address::Ip(_) => write!(text, "{}", Text(address)),
            Address::Unix(name) => {
                let (start, rest) = unix_parts(name);
                text.push(start.as_bytes()).and_then(|()| text.push(rest))
            }
        };
        text.bytes[..text.length].iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b'@');
        text
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) -> Result {
        let place = self.bytes.get_mut(self.length..self.length + bytes.len()).ok_or(std::fmt::Error)?;
        place.copy_from_slice(bytes);
        self.length += bytes.len();
        Ok(())
    }
}

impl Write for Written {
    fn write_str(&mut self, text: &str) -> Result {
        self.push(text.as_bytes())
    }
}

/// An address for messages: what is not text is escaped.
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

/// How a unix socket's name begins as text, and the rest of it.
fn unix_parts(name: &UnixName) -> (&'static str, &[u8]) {
    match name.as_bytes() {
        [0, rest @ ..] => ("unix:@", rest),
        // A path that would read as an abstract name.
        path @ [b'@', ..] => ("unix:./", path),
        path => ("unix:", path),
    }
}

fn unix(f: &mut Formatter, name: &UnixName) -> Result {
    let (start, rest) = unix_parts(name);
    f.write_str(start)?;
    // What is not text (control characters, bytes that are not UTF-8) is escaped.
    for chunk in rest.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() { write!(f, "{}", character.escape_default())? } else { write!(f, "{character}")? }
        }
        write!(f, "{}", chunk.invalid().escape_ascii())?;
    }
    Ok(())
}
