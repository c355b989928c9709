//! Strict hosts and services. Whatever is not clearly a literal or a well-formed name is refused before anything is asked of
//! the resolver, and nothing is ever cut to fit.

use super::address::Address;
use super::error::{Code, Error, Result};
use crate::sys::address::{UNIX_NAME, UnixName, interface_index};
use crate::sys::names;
use std::ffi::{CStr, CString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

const LONGEST_NAME: usize = 253; // RFC 1035, 2.3.4, as text
const LONGEST_LABEL: usize = 63;
const LONGEST_SERVICE: usize = 32;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// None was given: the loopback to connect to, every address to listen on.
    Default,
    Ip {
        ip: IpAddr,
        scope: u32,
    },
    /// For the resolver.
    Name(CString),
    Unix(UnixName),
}

/// Where a call goes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    pub host: Host,
    /// 0 for unix sockets.
    pub port: u16,
}

/// In which protocol's column of the services database a port's name is looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    fn name(self) -> &'static CStr {
        match self {
            Protocol::Tcp => c"tcp",
            Protocol::Udp => c"udp",
        }
    }
}

/// What C programs say: a host and a port, or, with no port, the whole address in `host`.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub host: Option<&'a CStr>,
    pub port: Option<&'a CStr>,
}

impl Request<'_> {
    pub fn parse(self, protocol: Protocol) -> Result<Target> {
        self.parse_with(|service| service_port(service, protocol))
    }

    /// Literals and decimal ports only.
    pub fn parse_literal(self) -> Result<Address> {
        let numeric = |_: &[u8]| Err(Error::invalid("the port is not a decimal number"));
        let target = self.parse_with(numeric)?;
        match target.host {
            Host::Ip { .. } | Host::Unix(_) => target.as_written().ok_or(Error::new(Code::Internal)),
            Host::Default => Err(Error::invalid("no host")),
            Host::Name(_) => Err(Error::invalid("the host is not a literal address")),
        }
    }

    fn parse_with(self, service: impl Fn(&[u8]) -> Result<u16>) -> Result<Target> {
        let host = self.host.map(CStr::to_bytes);
        if let Some(path) = host.and_then(|host| host.strip_prefix(b"unix:")) {
            if self.port.is_some() {
                return Err(Error::invalid("a unix: host takes no port"));
            }
            return Ok(Target { host: Host::Unix(unix_name(path)?), port: 0 });
        }
        if host.is_some_and(|host| host.contains(&b'/')) {
            return Err(Error::invalid("the host has a slash: pass a host, not a URL, or unix:PATH for a unix socket"));
        }
        match (host, self.port.map(CStr::to_bytes)) {
            (None, None) => Err(Error::invalid("neither host nor port")),
            (None, Some(port)) => Ok(Target { host: Host::Default, port: parse_port(port, service)? }),
            (Some(host), Some(port)) => {
                let host = parse_host(host)?;
                Ok(Target { host, port: parse_port(port, service)? })
            }
            (Some(whole), None) => {
                let (host, port) = split(whole)?;
                let host = if host.is_empty() { Host::Default } else { parse_host(host)? };
                Ok(Target { host, port: parse_port(port, service)? })
            }
        }
    }
}

/// As error messages name it.
impl std::fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        const SHOWN: usize = 300;
        let show = |f: &mut std::fmt::Formatter, text: &CStr| {
            let bytes = text.to_bytes();
            write!(f, "{}", bytes[..bytes.len().min(SHOWN)].escape_ascii())?;
            f.write_str(if bytes.len() > SHOWN { "…" } else { "" })
        };
        match (self.host, self.port) {
            (Some(host), Some(port)) => {
                let bracket = host.to_bytes().contains(&b':') && !host.to_bytes().starts_with(b"[");
                f.write_str(if bracket { "[" } else { "" })?;
                show(f, host)?;
                f.write_str(if bracket { "]:" } else { ":" })?;
                show(f, port)
            }
            (Some(host), None) => show(f, host),
            (None, Some(port)) => {
                f.write_str(":")?;
                show(f, port)
            }
            (None, None) => f.write_str("(no address)"),
        }
    }
}

impl Target {
    /// The address, if nobody needs to be asked for it. An IPv4-mapped one is reached by IPv4, and counts as that.
    pub fn literal(&self) -> Option<Address> {
        self.as_written().map(Address::unmapped)
    }

    fn as_written(&self) -> Option<Address> {
        match &self.host {
            Host::Ip { ip, scope } => Some(ip_address(*ip, self.port, *scope)),
            Host::Unix(name) => Some(Address::Unix(*name)),
            Host::Default | Host::Name(_) => None,
        }
    }
}

fn ip_address(ip: IpAddr, port: u16, scope: u32) -> Address {
    Address::Ip(match ip {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V4(ip), port),
        IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)),
    })
}

/// `host:port` into its halves. The host of `[::1]:80` keeps its brackets, that of `:80` is empty.
fn split(whole: &[u8]) -> Result<(&[u8], &[u8])> {
    let colon =
        whole.iter().rposition(|byte| *byte == b':').ok_or(Error::invalid("no port: neither as an argument nor as host:port"))?;
    let (host, port) = (&whole[..colon], &whole[colon + 1..]);
    if host.contains(&b':') && !host.starts_with(b"[") {
        return Err(Error::invalid("an IPv6 address with a port is written [ADDRESS]:PORT"));
    }
    if whole.ends_with(b"]") {
        return Err(Error::invalid("no port: neither as an argument nor as host:port"));
    }
    Ok((host, port))
}

fn unix_name(path: &[u8]) -> Result<UnixName> {
    let too_long = || Error::text(Code::TooLong, format_args!("a unix socket path has at most {} bytes", UNIX_NAME - 1));
    match path {
        [] | [b'@'] => Err(Error::invalid("an empty unix socket path")),
        [b'@', name @ ..] if name.len() < UNIX_NAME => {
            let mut bytes = [0; UNIX_NAME];
            bytes[1..=name.len()].copy_from_slice(name);
            UnixName::new(&bytes[..=name.len()]).ok_or_else(too_long)
        }
        path if path[0] != b'@' && path.len() < UNIX_NAME => UnixName::new(path).ok_or_else(too_long),
        _ => Err(too_long()),
    }
}

fn parse_port(text: &[u8], service: impl Fn(&[u8]) -> Result<u16>) -> Result<u16> {
    let refuse = |why: &str| Err(Error::text(Code::InvalidArgument, format_args!("port \"{}\" {why}", shown(text))));
    if text.is_empty() {
        return Err(Error::invalid("the port is empty"));
    }
    match decimal(text, u16::MAX.into()) {
        Number::Plain(port) => return Ok(port as u16),
        Number::LeadingZero => return refuse("has leading zeros"),
        Number::TooLarge => return refuse("is not in 0…65535"),
        Number::None => {}
    }
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(byte);
    if !text.iter().all(plain) || !text[0].is_ascii_alphanumeric() || !text.iter().any(u8::is_ascii_alphabetic) {
        return refuse("is neither a decimal number nor a service name");
    }
    if text.len() > LONGEST_SERVICE {
        return Err(Error::with(Code::TooLong, "the service name is longer than 32 bytes"));
    }
    service(text)
}

fn service_port(service: &[u8], protocol: Protocol) -> Result<u16> {
    let mut name = [0; LONGEST_SERVICE + 1];
    name[..service.len()].copy_from_slice(service);
    let name = CStr::from_bytes_until_nul(&name).map_err(|_| Error::new(Code::Internal))?;
    names::service_port(name, protocol.name())?
        .ok_or_else(|| Error::text(Code::NoService, format_args!("no such service: {}", shown(service))))
}

enum Number {
    Plain(u32),
    LeadingZero,
    TooLarge,
    /// There is something other than digits, or nothing.
    None,
}

/// A decimal number in its one plain form.
fn decimal(text: &[u8], largest: u32) -> Number {
    let mut number: u32 = 0;
    for byte in text {
        if !byte.is_ascii_digit() {
            return Number::None;
        }
        number = number.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
    }
    match text {
        [] => Number::None,
        _ if number > largest => Number::TooLarge,
        [b'0', _, ..] => Number::LeadingZero,
        _ => Number::Plain(number),
    }
}

/// Four plain decimal numbers and nothing else.
fn parse_ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split(|byte| *byte == b'.');
    for octet in &mut octets {
        match decimal(parts.next()?, 255) {
            Number::Plain(number) => *octet = number as u8,
            _ => return None,
        }
    }
    parts.next().is_none().then(|| octets.into())
}

/// At most so much of a caller's text goes into a message.
fn shown(text: &[u8]) -> impl std::fmt::Display + '_ {
    text[..text.len().min(80)].escape_ascii()
}

fn parse_host(text: &[u8]) -> Result<Host> {
    let refuse = |why: &str| Err(Error::text(Code::InvalidArgument, format_args!("host \"{}\" {why}", shown(text))));
    match text {
        [] => return Err(Error::invalid("the host is empty")),
        b"*" => return refuse("is not an address: pass NULL to mean every address"),
        [b'[', inside @ .., b']'] => {
            let (ip, scope) = parse_ipv6(inside)?.ok_or_else(|| not_ipv6(text))?;
            return Ok(Host::Ip { ip: IpAddr::V6(ip), scope });
        }
        _ => {}
    }
    if text.len() > LONGEST_NAME {
        return Err(Error::with(Code::TooLong, "the host name is longer than 253 bytes"));
    }
    if let Some(ip) = parse_ipv4(text) {
        return Ok(Host::Ip { ip: IpAddr::V4(ip), scope: 0 });
    }
    if text.contains(&b':') {
        let (ip, scope) = parse_ipv6(text)?.ok_or_else(|| not_ipv6(text))?;
        return Ok(Host::Ip { ip: IpAddr::V6(ip), scope });
    }
    parse_name(text).map(Host::Name)
}

/// What is wrong with a host that has colons.
fn not_ipv6(text: &[u8]) -> Error {
    let what = if carries_port(text) { "already has a port: pass NULL as the port" } else { "is not an IPv6 address" };
    Error::text(Code::InvalidArgument, format_args!("host \"{}\" {what}", shown(text)))
}

/// Whether a host is meant as `host:port` or `[address]:port`.
pub fn carries_port(text: &[u8]) -> bool {
    let mut halves = text.rsplitn(2, |byte| *byte == b':');
    let (port, host) = (halves.next().unwrap_or(text), halves.next().unwrap_or(b"::"));
    let alone = !host.contains(&b':') || host.starts_with(b"[") && host.ends_with(b"]");
    alone && !port.is_empty() && port.iter().all(u8::is_ascii_digit)
}

/// An IPv6 literal with an optional `%scope`; None if it is not one.
fn parse_ipv6(text: &[u8]) -> Result<Option<(Ipv6Addr, u32)>> {
    let (address, scope) = match text.iter().position(|byte| *byte == b'%') {
        Some(percent) => (&text[..percent], Some(&text[percent + 1..])),
        None => (text, None),
    };
    let Some(ip) = std::str::from_utf8(address).ok().and_then(|text| text.parse::<Ipv6Addr>().ok()) else {
        return Ok(None);
    };
    let Some(scope) = scope else {
        return Ok(Some((ip, 0)));
    };
    if !(ip.is_unicast_link_local() || matches!(ip.octets(), [0xff, flags, ..] if matches!(flags & 0xf, 1 | 2))) {
        return Err(Error::invalid("only link-local addresses have a %scope"));
    }
    Ok(Some((ip, parse_scope(scope)?)))
}

fn parse_scope(text: &[u8]) -> Result<u32> {
    let refuse = || Error::text(Code::InvalidArgument, format_args!("no such network interface: {}", shown(text)));
    if text.iter().all(u8::is_ascii_digit) {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u32>().ok());
        return number.filter(|number| *number != 0).ok_or_else(refuse);
    }
    let mut name = [0; 64];
    if text.len() >= name.len() {
        return Err(refuse());
    }
    name[..text.len()].copy_from_slice(text);
    let name = CStr::from_bytes_until_nul(&name).map_err(|_| refuse())?;
    interface_number(name, refuse)
}

/// The number of a network interface. Asking for it takes a descriptor: if there is none, the error does not say that there is no
/// such interface.
pub fn interface_number(name: &CStr, unknown: impl FnOnce() -> Error) -> Result<u32> {
    interface_index(name).map_err(|errno| match Error::from(errno) {
        lacking if matches!(lacking.code, Code::Limit | Code::OutOfMemory) => lacking,
        _ => unknown().errno(errno),
    })
}

/// A host name (RFC 1123, and underscores), as the resolver takes it.
fn parse_name(text: &[u8]) -> Result<CString> {
    let refuse = |why: &str| Err(Error::text(Code::InvalidArgument, format_args!("host \"{}\" {why}", shown(text))));
    if !text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte)) {
        return refuse("has characters that a host name cannot have");
    }
    let labels = text.strip_suffix(b".").unwrap_or(text);
    for label in labels.split(|byte| *byte == b'.') {
        if label.is_empty() {
            return refuse("has an empty label");
        }
        if label.len() > LONGEST_LABEL {
            return Err(Error::with(Code::TooLong, "a label of the host name is longer than 63 bytes"));
        }
        if label.starts_with(b"-") || label.ends_with(b"-") {
            return refuse("has a label that begins or ends with a hyphen");
        }
    }
    let last = labels.rsplit(|byte| *byte == b'.').next().unwrap_or(labels);
    if looks_numeric(last) {
        return refuse("looks like a number, but is not an IPv4 address in plain form");
    }
    let mut name = Vec::new();
    name.try_reserve_exact(text.len() + 1)?;
    name.extend_from_slice(text);
    CString::new(name).map_err(|_| Error::new(Code::Internal))
}

/// Whether old parsers of IPv4 addresses would take a name with this last label for one.
fn looks_numeric(label: &[u8]) -> bool {
    match label {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(host: Option<&str>, port: Option<&str>) -> Result<Target> {
        let host = host.map(|host| CString::new(host).unwrap());
        let port = port.map(|port| CString::new(port).unwrap());
        Request { host: host.as_deref(), port: port.as_deref() }.parse(Protocol::Tcp)
    }

    fn code(host: &str) -> Code {
        parse(Some(host), Some("80")).expect_err(host).code
    }

    #[test]
    fn what_merely_looks_numeric_is_refused() {
        for host in
            ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "1.2.3.4.5", "256.1.1.1", "127.0.0.1.", "0x7f000001", "a.0x", "1"]
        {
            assert_eq!(code(host), Code::InvalidArgument, "{host}");
        }
    }

    #[test]
    fn malformed_hosts_are_refused() {
        for host in [
            "",
            " ",
            "*",
            "a b",
            "a\tb",
            "a/b",
            "a:80",
            "host:80",
            "[::1",
            "::1]",
            "[127.0.0.1]",
            "a..b",
            ".a",
            "a@b",
            "b\u{fc}cher.test",
            "127.0.0.1 foo",
            " 127.0.0.1",
            "127.0.0.1\n",
            "::1%lo",
            "fe80::1%",
            "fe80::1%nosuch0",
            "-a",
            "a-",
            "%eth0",
        ] {
            assert_eq!(code(host), Code::InvalidArgument, "{host:?}");
        }
    }

    #[test]
    fn lengths_have_limits() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        assert!(parse(Some(&longest), Some("80")).is_ok());
        assert_eq!(code(&format!("{longest}a")), Code::TooLong);
        assert_eq!(code(&format!("{label}a.test")), Code::TooLong);
        assert_eq!(code(&"x".repeat(1 << 20)), Code::TooLong);
        let path = format!("unix:/{}", "p".repeat(106));
        assert!(parse(Some(&path), None).is_ok());
        assert_eq!(parse(Some(&format!("{path}p")), None).unwrap_err().code, Code::TooLong);
    }

    #[test]
    fn ports_are_decimal_or_names() {
        for port in ["-1", "65536", "http ", " 80", "+80", "", "80a b", "99999999999999999999", "0x50", "٣", "080"] {
            let error = parse(Some("localhost"), Some(port)).expect_err(port);
            assert!(matches!(error.code, Code::InvalidArgument | Code::NoService), "{port:?}: {:?}", error.code);
        }
        assert_eq!(parse(None, Some("65535")).unwrap(), Target { host: Host::Default, port: 65535 });
        assert_eq!(parse(None, Some("nosuchservice")).unwrap_err().code, Code::NoService);
    }

    #[test]
    fn a_whole_address_is_split() {
        assert_eq!(parse(Some(":8080"), None).unwrap(), Target { host: Host::Default, port: 8080 });
        assert_eq!(parse(Some("[::1]:80"), None).unwrap().literal().unwrap().port(), Some(80));
        assert_eq!(parse(Some("127.0.0.1:80"), None).unwrap().literal().unwrap().port(), Some(80));
        assert!(matches!(parse(Some("example.com:80"), None).unwrap().host, Host::Name(_)));
        for whole in ["::1", "::1:80", "127.0.0.1", "[::1]", "example.com", ":", "a:", "unix:"] {
            assert_eq!(parse(Some(whole), None).expect_err(whole).code, Code::InvalidArgument, "{whole}");
        }
        assert!(parse(Some("unix:/x"), Some("1")).is_err());
    }

    proptest! {
        #[test]
        fn no_input_panics(host in "\\PC{0,80}", port in proptest::option::of("\\PC{0,12}")) {
            let _ = parse(Some(&host), port.as_deref());
        }

        /// The same literals as the standard library's parser, which is strict too.
        #[test]
        fn ipv4_literals_are_the_strict_ones(text in "[0-9.]{0,17}|([0-9]{1,3}\\.){3}[0-9]{1,3}") {
            prop_assert_eq!(parse_ipv4(text.as_bytes()), text.parse().ok());
        }

        /// What the library writes it reads back.
        #[test]
        fn literals_survive_a_round_trip(bits in any::<u128>(), v4 in any::<bool>(), port in any::<u16>()) {
            let ip = if v4 { IpAddr::V4((bits as u32).into()) } else { IpAddr::V6(bits.into()) };
            let address = Address::Ip(SocketAddr::new(ip, port));
            let text = CString::new(crate::net::address::Text(&address).to_string()).unwrap();
            let back = Request { host: Some(&text), port: None }.parse_literal().unwrap();
            prop_assert_eq!(back, address);
        }
    }
}
