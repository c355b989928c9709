//! Socket options: getsockopt(2), setsockopt(2), by the names of socket(7), tcp(7), ip(7), ipv6(7).

use super::{AsRawFd, Errno, RawFd, Result, check};
use std::mem::size_of;
use std::net::IpAddr;

/// A socket option whose value is an int.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name {
    level: i32,
    option: i32,
}

macro_rules! options {
    ($($name:ident = $level:ident $option:ident;)*) => {
        $(pub const $name: Name = Name { level: libc::$level, option: libc::$option };)*
    };
}

options! {
    ERROR = SOL_SOCKET SO_ERROR;
    KIND = SOL_SOCKET SO_TYPE;
    DOMAIN = SOL_SOCKET SO_DOMAIN;
    ACCEPTING = SOL_SOCKET SO_ACCEPTCONN;
    REUSE_ADDRESS = SOL_SOCKET SO_REUSEADDR;
    REUSE_PORT = SOL_SOCKET SO_REUSEPORT;
    SEND_BUFFER = SOL_SOCKET SO_SNDBUF;
    RECEIVE_BUFFER = SOL_SOCKET SO_RCVBUF;
    KEEPALIVE = SOL_SOCKET SO_KEEPALIVE;
    BROADCAST = SOL_SOCKET SO_BROADCAST;
    MARK = SOL_SOCKET SO_MARK;
    NODELAY = IPPROTO_TCP TCP_NODELAY;
    KEEPALIVE_IDLE = IPPROTO_TCP TCP_KEEPIDLE;
    KEEPALIVE_INTERVAL = IPPROTO_TCP TCP_KEEPINTVL;
    KEEPALIVE_COUNT = IPPROTO_TCP TCP_KEEPCNT;
    USER_TIMEOUT = IPPROTO_TCP TCP_USER_TIMEOUT;
    QUICKACK = IPPROTO_TCP TCP_QUICKACK;
    CORK = IPPROTO_TCP TCP_CORK;
    FAST_OPEN = IPPROTO_TCP TCP_FASTOPEN;
    FAST_OPEN_CONNECT = IPPROTO_TCP TCP_FASTOPEN_CONNECT;
    TTL = IPPROTO_IP IP_TTL;
    TOS = IPPROTO_IP IP_TOS;
    BIND_ADDRESS_NO_PORT = IPPROTO_IP IP_BIND_ADDRESS_NO_PORT;
    MULTICAST_TTL = IPPROTO_IP IP_MULTICAST_TTL;
    MULTICAST_LOOP = IPPROTO_IP IP_MULTICAST_LOOP;
    MULTICAST_ALL = IPPROTO_IP IP_MULTICAST_ALL;
    V6_ONLY = IPPROTO_IPV6 IPV6_V6ONLY;
    V6_HOPS = IPPROTO_IPV6 IPV6_UNICAST_HOPS;
    V6_CLASS = IPPROTO_IPV6 IPV6_TCLASS;
    V6_MULTICAST_HOPS = IPPROTO_IPV6 IPV6_MULTICAST_HOPS;
    V6_MULTICAST_LOOP = IPPROTO_IPV6 IPV6_MULTICAST_LOOP;
    V6_MULTICAST_ALL = IPPROTO_IPV6 IPV6_MULTICAST_ALL;
    DATAGRAMS_JOINED = SOL_UDP UDP_GRO;
}

pub fn set(descriptor: impl AsRawFd, name: Name, value: i32) -> Result<()> {
    set_value(descriptor.as_raw_fd(), name.level, name.option, &value)
}

fn set_value<T>(descriptor: RawFd, level: i32, option: i32, value: &T) -> Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `length` bytes are read from `value`.
    check(unsafe { libc::setsockopt(descriptor, level, option, (value as *const T).cast(), length) }).map(drop)
}

pub fn get(descriptor: impl AsRawFd, name: Name) -> Result<i32> {
    let mut value = 0i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    let into = (&mut value as *mut i32).cast();
    // SAFETY: at most `length` bytes are written to `value`.
    check(unsafe { libc::getsockopt(descriptor.as_raw_fd(), name.level, name.option, into, &mut length) })?;
    Ok(value)
}

/// SO_ERROR: the socket's pending error, which reading clears.
pub fn take_error(descriptor: impl AsRawFd) -> Result<()> {
    match get(descriptor, ERROR)? {
        0 => Ok(()),
        error => Err(Errno(error)),
    }
}

/// SO_LINGER: seconds that close(2) may wait for unsent data; 0 resets the connection, None closes in the background.
pub fn set_linger(descriptor: impl AsRawFd, seconds: Option<i32>) -> Result<()> {
    let value = libc::linger { l_onoff: seconds.is_some().into(), l_linger: seconds.unwrap_or(0) };
    set_value(descriptor.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, &value)
}

/// SO_LINGER, as [`set_linger`] takes it.
pub fn linger(descriptor: impl AsRawFd) -> Result<Option<i32>> {
    let mut value = libc::linger { l_onoff: 0, l_linger: 0 };
    let mut length = size_of::<libc::linger>() as libc::socklen_t;
    let into = (&mut value as *mut libc::linger).cast();
    // SAFETY: at most `length` bytes are written to `value`.
    check(unsafe { libc::getsockopt(descriptor.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, into, &mut length) })?;
    Ok((value.l_onoff != 0).then_some(value.l_linger))
}

/// SO_BINDTODEVICE. There is no device of a longer name than IF_NAMESIZE allows; the kernel would cut it to one that may exist.
pub fn bind_to_device(descriptor: impl AsRawFd, device: &[u8]) -> Result<()> {
    if device.len() >= libc::IF_NAMESIZE {
        return Err(Errno::ENODEV);
    }
    let length = device.len() as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
    // SAFETY: `length` bytes are read from `device`.
    check(unsafe { libc::setsockopt(descriptor.as_raw_fd(), level, option, device.as_ptr().cast(), length) }).map(drop)
}

/// IP_ADD_MEMBERSHIP, IPV6_ADD_MEMBERSHIP and their opposites. Interface 0 is the kernel's choice.
pub fn set_membership(descriptor: impl AsRawFd, group: IpAddr, interface: u32, member: bool) -> Result<()> {
    let descriptor = descriptor.as_raw_fd();
    match group {
        IpAddr::V4(group) => {
            let request = libc::ip_mreqn {
                imr_multiaddr: libc::in_addr { s_addr: u32::from_ne_bytes(group.octets()) },
                imr_address: libc::in_addr { s_addr: 0 },
                imr_ifindex: interface as i32,
            };
            let option = if member { libc::IP_ADD_MEMBERSHIP } else { libc::IP_DROP_MEMBERSHIP };
            set_value(descriptor, libc::IPPROTO_IP, option, &request)
        }
        IpAddr::V6(group) => {
            let group = libc::in6_addr { s6_addr: group.octets() };
            let request = libc::ipv6_mreq { ipv6mr_multiaddr: group, ipv6mr_interface: interface };
            let option = if member { libc::IPV6_ADD_MEMBERSHIP } else { libc::IPV6_DROP_MEMBERSHIP };
            set_value(descriptor, libc::IPPROTO_IPV6, option, &request)
        }
    }
}

/// What TCP_INFO reports about a connection.
pub struct TcpInfo {
    /// Neither side can send any more: both have ended their directions, or the connection was reset.
    pub closed: bool,
    pub rtt_us: u32,
    /// Segments retransmitted.
    pub retransmits: u32,
}

/// TCP_CLOSE of <netinet/tcp.h>.
const TCP_CLOSE: u8 = 7;

pub fn tcp_info(descriptor: impl AsRawFd) -> Result<TcpInfo> {
    // SAFETY: all zeros is a valid tcp_info.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    let into = (&mut info as *mut libc::tcp_info).cast();
    // SAFETY: at most `length` bytes are written to `info`.
    check(unsafe { libc::getsockopt(descriptor.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, into, &mut length) })?;
    Ok(TcpInfo { closed: info.tcpi_state == TCP_CLOSE, rtt_us: info.tcpi_rtt, retransmits: info.tcpi_total_retrans })
}
