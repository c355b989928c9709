//! Chapter 4: names and addresses.

use super::handle::sock_t;
use super::options::{options, sock_options};
use super::{Subject, boundary, place, request, room};
use crate::net::address::{Address, LONGEST, Raw, Written};
use crate::net::error::{Code, Error, Result};
use crate::net::{information, race};
use std::ffi::{c_char, c_int};

/// How long an address can be as text.
#[repr(C)]
#[allow(dead_code)]
pub enum sock_address_limit {
    /// A buffer of this many bytes is always enough for sock_address_format.
    SOCK_ADDRESS_TEXT = 160,
}

const _: () = assert!(LONGEST < sock_address_limit::SOCK_ADDRESS_TEXT as usize);

/// An address: the first `length` bytes of `storage` are a `struct sockaddr`, aligned for it, so
/// that it can be handed to POSIX calls and filled from them. They take the length as a socklen_t,
/// not as this type: go through a variable of your own.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sock_address {
    /// Bytes of the address; 0 = no address.
    pub length: u64,
    pub storage: [u8; 128],
}

impl sock_address {
    pub fn from_address(address: Address) -> sock_address {
        let raw = address.to_raw();
        sock_address { length: raw.length as u64, storage: raw.bytes }
    }

    /// What the program filled in.
    pub fn address(&self) -> Result<Address> {
        let length = usize::try_from(self.length).ok().filter(|length| *length <= self.storage.len());
        let length = length.ok_or(Error::invalid("the address is longer than its storage"))?;
        let raw = Raw { bytes: self.storage, length };
        Address::from_raw(&raw).ok_or(Error::invalid("the address is of no known family, or too short for it"))
    }
}

/// # Safety
/// `address` is NULL or points to an address.
pub unsafe fn read_address(address: *const sock_address) -> Result<Address> {
    if address.is_null() {
        return Err(Error::invalid("the address is NULL"));
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { address.read_unaligned() }.address()
}

/// Parses a literal address: the resolver is not asked, and the port is a decimal number.
///
/// @param host an IPv4 or IPv6 literal, with or without [] and %scope; "unix:PATH"; "unix:@NAME";
///        or, with `port` NULL, the whole address as sock_address_format writes it
/// @param port decimal 0…65535, or NULL
/// @param out receives the address; not NULL
/// @return 0; SOCK_EINVAL or SOCK_ETOOLONG if it is not a literal; SOCK_ELIMIT if no descriptor is
///         left to look up a named scope
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_address_parse(host: *const c_char, port: *const c_char, out: *mut sock_address) -> c_int {
    // SAFETY: C vouches for its strings.
    let request = unsafe { request(host, port) };
    boundary("address_parse", Subject::Request(request), || {
        let out = place(out)?;
        out.put(sock_address::from_address(request.parse_literal()?));
        Ok(())
    }) as c_int
}

/// Writes an address as text: `127.0.0.1:80`, `[::1]:80`, `[fe80::1%eth0]:80`, `unix:/run/x`,
/// "unix:@x" (abstract), `unix:` (unnamed).
///
/// The bytes of a unix path or name are written as they are, so that the text can be parsed back
/// into the address; only zero bytes in an abstract name are written as `@`. A peer chooses its own
/// name: beware of control characters before you show it.
///
/// sock_open, sock_listen, sock_udp_open and sock_udp_bind take the text as `host`, with `port`
/// NULL.
///
/// @param address not NULL
/// @param text receives the text and a NUL; at most `size` bytes are written
/// @param size of `text`; SOCK_ADDRESS_TEXT is always enough
/// @return the length without the NUL; SOCK_ETOOLONG if it does not fit (then nothing is written);
///         SOCK_EINVAL for a family that the library does not know
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_address_format(address: *const sock_address, text: *mut c_char, size: usize) -> i64 {
    boundary("address_format", Subject::Nothing, || {
        // SAFETY: C vouches for its pointers.
        let (address, text) = unsafe { (read_address(address)?, room(text.cast::<u8>(), size)?) };
        let written = Written::new(&address);
        let written = written.as_bytes();
        let length = written.len();
        if length >= text.len() {
            return Err(Error::text(Code::TooLong, format_args!("the text needs {} bytes", length + 1)));
        }
        text[..length].copy_from_slice(written);
        text[length] = 0;
        Ok(length)
    })
}

/// The port of an address.
///
/// @param address not NULL
/// @return 0…65535; SOCK_ETYPE for a unix address
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_address_port(address: *const sock_address) -> c_int {
    boundary("address_port", Subject::Nothing, || {
        // SAFETY: C vouches for its pointer.
        let address = unsafe { read_address(address)? };
        address.port().map(i32::from).ok_or(Error::with(Code::WrongKind, "a unix address has no port"))
    }) as c_int
}

/// Whether two addresses are the same: family, address, port, scope or path.
///
/// @param a an address, or NULL
/// @param b an address, or NULL
/// @return 1 or 0; 0 if either is NULL or of an unknown family
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_address_equal(a: *const sock_address, b: *const sock_address) -> c_int {
    // SAFETY: C vouches for its pointers.
    let (a, b) = unsafe { (read_address(a), read_address(b)) };
    boundary("address_equal", Subject::Nothing, || Ok(i32::from(matches!((a, b), (Ok(a), Ok(b)) if a.same_place(&b))))) as c_int
}

/// Resolves a name to addresses, as sock_open does before it connects.
///
/// @param host as for sock_open; NULL is the loopback
/// @param port 0…65535 or a service name, "0" if only the hosts matter; NULL as for sock_open
/// @param options `family` and `timeout_ms`, or NULL
/// @param out receives at most `capacity` addresses, each once, in the order in which sock_open
///        would try them
/// @param capacity of `out`; 0 only counts
/// @return how many addresses there are, which may be more than `capacity`; SOCK_ENOHOST,
///         SOCK_ENOSERVICE, SOCK_ERESOLVE, SOCK_ETIMEDOUT, SOCK_ELIMIT if no thread can be started
///         for the lookup, SOCK_EINVAL, SOCK_ETOOLONG
///
/// Blocks until the resolver answers or `timeout_ms` passes; any thread. getaddrinfo(3), RFC 6724.
/// Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_resolve(
    host: *const c_char,
    port: *const c_char,
    options: *const sock_options,
    out: *mut sock_address,
    capacity: usize,
) -> i64 {
    // SAFETY: C vouches for its strings.
    let request = unsafe { request(host, port) };
    boundary("resolve", Subject::Request(request), || {
        // SAFETY: C vouches for its pointers.
        let (options, out) = unsafe { (self::options(options)?, room(out, capacity)?) };
        let addresses = race::resolve(request, &options)?;
        for (place, address) in out.iter_mut().zip(&addresses) {
            *place = sock_address::from_address(*address);
        }
        Ok(addresses.len())
    })
}

/// The address that a socket is bound to. An IPv4-mapped address is reported as the IPv4 address.
///
/// @param s a stream, listener or datagram socket
/// @param out not NULL
/// @return 0
///
/// Never blocks; any thread. getsockname(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_local_address(s: sock_t, out: *mut sock_address) -> c_int {
    boundary("local_address", Subject::Handle(s), || {
        let out = place(out)?;
        out.put(sock_address::from_address(information::local_address(s)?));
        Ok(())
    }) as c_int
}

/// The address of the peer, remembered from open or accept: it is known even after the peer is gone.
/// IPv4 peers of a dual-stack listener are reported as IPv4 addresses. Connecting to 0.0.0.0 or ::
/// reaches this machine; the address that was really reached is reported.
///
/// @param s a stream or a connected datagram socket
/// @param out not NULL
/// @return 0; SOCK_ENOTCONN
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_peer_address(s: sock_t, out: *mut sock_address) -> c_int {
    boundary("peer_address", Subject::Handle(s), || {
        let out = place(out)?;
        out.put(sock_address::from_address(information::peer_address(s)?));
        Ok(())
    }) as c_int
}
