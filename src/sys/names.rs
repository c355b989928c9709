//! The system's databases of names: getaddrinfo(3) and getservbyname(3).

use super::address::{Address, Raw};
use super::event::Event;
use super::socket::{Family, Type};
use super::{Errno, Result};
use std::ffi::CStr;
use std::net::SocketAddr;

/// What getaddrinfo says when it fails: its code, and errno where that is EAI_SYSTEM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResolverError {
    pub code: i32,
    pub errno: i32,
}

impl ResolverError {
    fn new(code: i32, errno: Errno) -> ResolverError {
        match (lack_of_descriptors(errno), code) {
            (Some(errno), _) => ResolverError { code: EAI_SYSTEM, errno: errno.0 },
            (None, EAI_SYSTEM) => ResolverError { code, errno: errno.0 },
            (None, _) => ResolverError { code, errno: 0 },
        }
    }
}

/// Why a look-up without result says nothing about the name: the C library also calls a name unknown if it had no descriptors to
/// look it up with. Its errno shows that, unless it could not even read which databases there are: then only a try for a descriptor
/// does.
fn lack_of_descriptors(last: Errno) -> Option<Errno> {
    [Some(last), Event::new().err()].into_iter().flatten().find(|errno| errno.is_lack_of_descriptors())
}

pub use libc::{EAI_FAMILY, EAI_MEMORY, EAI_NODATA, EAI_NONAME, EAI_SERVICE, EAI_SOCKTYPE, EAI_SYSTEM};
/// The host has no address of the wanted family. Not in the libc crate; netdb.h has it for _GNU_SOURCE.
pub const EAI_ADDRFAMILY: i32 = -9;

/// The resolver's own words for its code: gai_strerror(3).
pub fn resolver_text(code: i32) -> &'static CStr {
    // SAFETY: gai_strerror returns a static string for every code.
    unsafe { CStr::from_ptr(libc::gai_strerror(code)) }
}

/// The addresses of a name, in the resolver's order (RFC 6724). Blocks for as long as the resolver likes: seconds, or minutes.
pub fn resolve(host: &CStr, family: Option<Family>) -> std::result::Result<Vec<SocketAddr>, ResolverError> {
    // SAFETY: all zeros is a valid addrinfo.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = family.map_or(libc::AF_UNSPEC, |family| family as i32);
    hints.ai_socktype = Type::Stream as i32;
    let mut list = std::ptr::null_mut();
    Errno::forget();
    // SAFETY: a NUL-terminated name, valid hints, and a place for the list.
    let code = unsafe { libc::getaddrinfo(host.as_ptr(), std::ptr::null(), &hints, &mut list) };
    if code != 0 {
        return Err(ResolverError::new(code, Errno::last()));
    }
    let mut addresses = Vec::new();
    let mut next = list;
    // SAFETY: `next` is null or an element of the list, which lives until freeaddrinfo.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ai_next;
        let mut raw = Raw::empty();
        raw.length = (entry.ai_addrlen as usize).min(raw.bytes.len());
        // SAFETY: ai_addr has ai_addrlen bytes, and `raw` has room for `length` of them.
        unsafe { std::ptr::copy_nonoverlapping(entry.ai_addr.cast(), raw.bytes.as_mut_ptr(), raw.length) };
        if let Some(Address::Ip(address)) = Address::from_raw(&raw) {
            if addresses.try_reserve(1).is_err() {
                // SAFETY: the list of getaddrinfo, once.
                unsafe { libc::freeaddrinfo(list) };
                return Err(ResolverError { code: EAI_MEMORY, errno: 0 });
            }
            addresses.push(address);
        }
    }
    // SAFETY: the list of getaddrinfo, once.
    unsafe { libc::freeaddrinfo(list) };
    Ok(addresses)
}

/// The port of a service: getservbyname_r(3). `protocol` is "tcp" or "udp". None: there is no such service. An error if there were
/// no descriptors to look it up with.
pub fn service_port(service: &CStr, protocol: &CStr) -> Result<Option<u16>> {
    // SAFETY: all zeros is a valid servent.
    let mut entry: libc::servent = unsafe { std::mem::zeroed() };
    let mut buffer = [0 as libc::c_char; 2048];
    let mut found = std::ptr::null_mut();
    // SAFETY: NUL-terminated strings, and places for the entry, its strings and the result.
    let result = unsafe {
        getservbyname_r(service.as_ptr(), protocol.as_ptr(), &mut entry, buffer.as_mut_ptr(), buffer.len(), &mut found)
    };
    if result == 0 && !found.is_null() {
        return Ok(Some(u16::from_be(entry.s_port as u16)));
    }
    lack_of_descriptors(Errno(result)).map_or(Ok(None), Err)
}

// The libc crate does not declare it.
unsafe extern "C" {
    fn getservbyname_r(
        name: *const libc::c_char,
        protocol: *const libc::c_char,
        entry: *mut libc::servent,
        buffer: *mut libc::c_char,
        size: libc::size_t,
        result: *mut *mut libc::servent,
    ) -> libc::c_int;
}
