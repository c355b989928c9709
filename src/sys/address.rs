//! Socket addresses: ip(7), ipv6(7), unix(7), to and from the kernel's form; interface names.

use super::socket::{self, Family, Type};
use super::{Errno, Result};
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The most bytes of a unix socket name that the kernel takes.
pub const UNIX_NAME: usize = 108;

/// An address of one of the families that the library knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Address {
    Ip(SocketAddr),
    Unix(UnixName),
}

/// The name of a unix socket: empty (unnamed), a path, or a zero byte and an abstract name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnixName {
    length: u8,
    bytes: [u8; UNIX_NAME],
}

impl UnixName {
    /// A path, or a name that begins with a zero byte; None if it is too long for the kernel.
    pub fn new(name: &[u8]) -> Option<UnixName> {
        let mut bytes = [0; UNIX_NAME];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(UnixName { length: name.len() as u8, bytes })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    pub fn is_path(&self) -> bool {
        self.length > 0 && self.bytes[0] != 0
    }
}

/// An address in the kernel's form: the first `length` bytes of a `struct sockaddr_storage`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Raw {
    pub bytes: [u8; 128],
    pub length: usize,
}

impl Raw {
    pub const fn empty() -> Raw {
        Raw { bytes: [0; 128], length: 0 }
    }

    pub fn as_ptr(&self) -> *const libc::sockaddr {
        self.bytes.as_ptr().cast()
    }

    pub fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        self.bytes.as_mut_ptr().cast()
    }

    pub fn len(&self) -> libc::socklen_t {
        self.length as libc::socklen_t
    }

    fn of<T: Copy>(value: &T, length: usize) -> Raw {
        const { assert!(size_of::<T>() <= 128) };
        let mut raw = Raw::empty();
        // SAFETY: T is a plain sockaddr type of the C library, no larger than `bytes`.
        unsafe { std::ptr::copy_nonoverlapping((value as *const T).cast(), raw.bytes.as_mut_ptr(), size_of::<T>()) };
        raw.length = length;
        raw
    }

    fn read<T: Copy>(&self) -> Option<T> {
        const { assert!(size_of::<T>() <= 128) };
        if self.length < size_of::<T>() {
            return None;
        }
        // SAFETY: `bytes` holds at least size_of::<T>() bytes, and every bit pattern is a value of these plain C structs.
        Some(unsafe { std::ptr::read_unaligned(self.bytes.as_ptr().cast::<T>()) })
    }
}

impl Address {
    pub fn to_raw(self) -> Raw {
        match self {
            Address::Ip(SocketAddr::V4(address)) => {
                // SAFETY: all zeros is a valid sockaddr_in.
                let mut raw: libc::sockaddr_in = unsafe { std::mem::zeroed() };
                raw.sin_family = libc::AF_INET as libc::sa_family_t;
                raw.sin_port = address.port().to_be();
                raw.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                Raw::of(&raw, size_of::<libc::sockaddr_in>())
            }
            Address::Ip(SocketAddr::V6(address)) => {
                // SAFETY: all zeros is a valid sockaddr_in6.
                let mut raw: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
                raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                raw.sin6_port = address.port().to_be();
                raw.sin6_addr.s6_addr = address.ip().octets();
                raw.sin6_flowinfo = address.flowinfo().to_be();
                raw.sin6_scope_id = address.scope_id();
                Raw::of(&raw, size_of::<libc::sockaddr_in6>())
            }
            Address::Unix(name) => {
                // SAFETY: all zeros is a valid sockaddr_un.
                let mut raw: libc::sockaddr_un = unsafe { std::mem::zeroed() };
                raw.sun_family = libc::AF_UNIX as libc::sa_family_t;
                for (to, from) in raw.sun_path.iter_mut().zip(name.as_bytes()) {
                    *to = *from as libc::c_char;
                }
                // A path is sent with its NUL where there is room; an abstract name ends where its length says.
                let nul = usize::from(name.is_path() && name.as_bytes().len() < UNIX_NAME);
                Raw::of(&raw, offset_of!(libc::sockaddr_un, sun_path) + name.as_bytes().len() + nul)
            }
        }
    }

    /// None for a family that the library does not know, or a length that does not fit the family.
    pub fn from_raw(raw: &Raw) -> Option<Address> {
        let family = i32::from(raw.read::<libc::sa_family_t>()?);
        match family {
            libc::AF_INET => {
                let raw: libc::sockaddr_in = raw.read()?;
                let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
                Some(Address::Ip(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into()))
            }
            libc::AF_INET6 => {
                let raw: libc::sockaddr_in6 = raw.read()?;
                let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
                let (port, flow) = (u16::from_be(raw.sin6_port), u32::from_be(raw.sin6_flowinfo));
                Some(Address::Ip(SocketAddrV6::new(ip, port, flow, raw.sin6_scope_id).into()))
            }
            libc::AF_UNIX => {
                let start = offset_of!(libc::sockaddr_un, sun_path);
                let end = raw.length.min(start + UNIX_NAME);
                let mut name = raw.bytes.get(start..end)?;
                if name.first().is_some_and(|first| *first != 0) {
                    let nul = name.iter().position(|byte| *byte == 0);
                    name = &name[..nul.unwrap_or(name.len())];
                }
                UnixName::new(name).map(Address::Unix)
            }
            _ => None,
        }
    }

    /// The same, with an IPv4-mapped IPv6 address as the IPv4 address it stands for.
    pub fn unmapped(self) -> Address {
        let Address::Ip(SocketAddr::V6(address)) = self else {
            return self;
        };
        match address.ip().to_ipv4_mapped() {
            Some(ip) => Address::Ip(SocketAddr::new(IpAddr::V4(ip), address.port())),
            None => self,
        }
    }

    /// Whether both name the same place. The flow label of IPv6 is not part of a place.
    pub fn same_place(&self, other: &Address) -> bool {
        match (self, other) {
            (Address::Ip(SocketAddr::V6(one)), Address::Ip(SocketAddr::V6(other))) => {
                (one.ip(), one.port(), one.scope_id()) == (other.ip(), other.port(), other.scope_id())
            }
            (one, other) => one == other,
        }
    }

    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Ip(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }
}

/// The number of a network interface: if_nametoindex(3).
pub fn interface_index(name: &std::ffi::CStr) -> Result<u32> {
    // SAFETY: a NUL-terminated string.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(match Errno::last() {
            // What glibc says if it can get no socket to ask through: opening one of our own tells why.
            Errno::ENOENT => socket::socket(Family::Unix, Type::Datagram, 0).err().unwrap_or(Errno::ENOENT),
            errno => errno,
        }),
        index => Ok(index),
    }
}

/// The name of a network interface, as it is written after `%`: if_indextoname(3).
pub fn interface_name(index: u32) -> Option<([u8; libc::IF_NAMESIZE], usize)> {
    let mut name = [0u8; libc::IF_NAMESIZE];
    // SAFETY: `name` has the IF_NAMESIZE bytes that the call may write.
    if unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) }.is_null() {
        return None;
    }
    let length = name.iter().position(|byte| *byte == 0)?;
    Some((name, length))
}
