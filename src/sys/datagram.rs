//! Datagrams, one or many at a call, without ever waiting: recvfrom(2), recvmmsg(2), sendto(2), sendmmsg(2); and the offloads
//! of udp(7): UDP_SEGMENT cuts what is sent into datagrams of one size, UDP_GRO joins such datagrams where they arrive.

use super::address::{Address, Raw};
use super::socket::Family;
use super::{Errno, RawFd, Result, check, check_length, restart};
use std::ffi::c_void;
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ptr::null_mut;

/// How many datagrams one system call takes here: what describes them lies on the stack, 9 KiB.
pub const BATCH: usize = 64;
/// How many where they may have been joined: these need more room each.
pub const BATCH_JOINED: usize = 24;
/// The longest datagram there is, in bytes of data: UDP over IPv6 (RFC 8200). A joined one is no longer.
pub const LONGEST: usize = 65527;
/// The longest over IPv4.
pub const LONGEST_V4: usize = 65507;
/// What the kernel takes for one segmented send: UDP_MAX_SEGMENTS, and no more than a datagram of IPv4.
const MOST_SEGMENTS: usize = 64;
const LONGEST_SEGMENTED: usize = LONGEST_V4;
/// In [`Datagram::flags`]: the datagram was longer than the buffer.
pub const TRUNCATED: u32 = 1;

/// An address as C programs hold it: a length and a `struct sockaddr` of that length; length 0 is none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Endpoint {
    length: u64,
    storage: [u8; 128],
}

/// An entry of a batch, as C programs hold it. Whoever makes one of a C struct vouches for `data` having `size` bytes.
#[repr(C)]
pub struct Datagram {
    data: *mut c_void,
    size: usize,
    length: usize,
    endpoint: Endpoint,
    segment: u32,
    flags: u32,
}

impl Endpoint {
    pub const NONE: Endpoint = Endpoint { length: 0, storage: [0; 128] };

    /// None if there is none, or it is of a family that the library does not know.
    pub fn address(&self) -> Option<Address> {
        let length = usize::try_from(self.length).ok().filter(|length| *length <= self.storage.len())?;
        Address::from_raw(&Raw { bytes: self.storage, length })
    }

    fn family(&self) -> i32 {
        i32::from(libc::sa_family_t::from_ne_bytes([self.storage[0], self.storage[1]]))
    }

    /// The address to hand to the kernel for a socket of `family`: an IPv6 socket reaches IPv4 by mapped addresses, which an IPv4
    /// socket does not know.
    fn destination(&self, family: Option<Family>, converted: &mut MaybeUninit<libc::sockaddr_in6>) -> Result<Name> {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        match (length, family, self.family()) {
            (0, ..) => return Ok((null_mut(), 0)),
            (129.., ..) => return Err(Errno::EINVAL),
            (_, Some(Family::V6), libc::AF_INET) if length >= size_of::<libc::sockaddr_in>() => {
                // SAFETY: the storage is larger than a sockaddr_in, of which every bit pattern is a value.
                let from = unsafe { self.storage.as_ptr().cast::<libc::sockaddr_in>().read_unaligned() };
                let ip = Ipv4Addr::from(from.sin_addr.s_addr.to_ne_bytes()).to_ipv6_mapped();
                return Ok((write_v6(converted, ip, from.sin_port), size_of::<libc::sockaddr_in6>() as _));
            }
            (28.., Some(Family::V4), libc::AF_INET6) => return self.write_v4(converted).ok_or(Errno::EAFNOSUPPORT),
            (_, Some(family), given) if given != family as i32 => return Err(Errno::EAFNOSUPPORT),
            _ => {}
        }
        Ok((self.storage.as_ptr().cast_mut().cast(), length as _))
    }

    /// After the kernel wrote `length` bytes: an IPv4 sender at an IPv6 socket is an IPv4 address, and an unnamed unix socket
    /// is an address without a name.
    fn received(&mut self, length: libc::socklen_t, family: Option<Family>) {
        self.length = u64::from(length).min(self.storage.len() as u64);
        match family {
            Some(Family::V6) if self.family() == libc::AF_INET6 => self.unmap(),
            Some(Family::Unix) if length == 0 => {
                self.storage[..2].copy_from_slice(&(libc::AF_UNIX as libc::sa_family_t).to_ne_bytes());
                self.length = 2;
            }
            _ => {}
        }
    }

    /// The IPv4 address that a mapped one stands for.
    #[cold]
    fn write_v4(&self, to: &mut MaybeUninit<libc::sockaddr_in6>) -> Option<Name> {
        let mut plain = *self;
        plain.unmap();
        let to = to.as_mut_ptr().cast::<libc::sockaddr_in>();
        // SAFETY: a sockaddr_in is smaller than what it is written to and than the storage, and every bit pattern of it is a value.
        unsafe { to.write(plain.storage.as_ptr().cast::<libc::sockaddr_in>().read_unaligned()) };
        (plain.family() == libc::AF_INET).then_some((to.cast(), plain.length as _))
    }

    fn unmap(&mut self) {
        // SAFETY: the storage is larger than a sockaddr_in6, of which every bit pattern is a value.
        let from = unsafe { self.storage.as_ptr().cast::<libc::sockaddr_in6>().read_unaligned() };
        let Some(ip) = Ipv6Addr::from(from.sin6_addr.s6_addr).to_ipv4_mapped() else {
            return;
        };
        self.storage = [0; 128];
        self.storage[..2].copy_from_slice(&(libc::AF_INET as libc::sa_family_t).to_ne_bytes());
        self.storage[2..4].copy_from_slice(&from.sin6_port.to_ne_bytes());
        self.storage[4..8].copy_from_slice(&ip.octets());
        self.length = size_of::<libc::sockaddr_in>() as u64;
    }
}

/// A pointer to an address, and its length.
type Name = (*mut c_void, libc::socklen_t);

fn write_v6(to: &mut MaybeUninit<libc::sockaddr_in6>, ip: Ipv6Addr, port: u16) -> *mut c_void {
    // SAFETY: all zeros is a valid sockaddr_in6.
    let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    address.sin6_family = libc::AF_INET6 as libc::sa_family_t;
    address.sin6_port = port;
    address.sin6_addr.s6_addr = ip.octets();
    (to.write(address) as *mut libc::sockaddr_in6).cast()
}

impl Datagram {
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn receiver(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Bytes sent or received.
    pub fn length(&self) -> usize {
        self.length
    }

    pub fn set_length(&mut self, length: usize) {
        self.length = length;
    }

    /// The size of the datagrams to cut the data into, if it is to be cut.
    pub fn cut(&self) -> Option<usize> {
        let segment = self.segment as usize;
        (segment != 0 && segment < self.size).then_some(segment)
    }

    /// Whether the kernel takes it in one message.
    pub fn is_one_message(&self, family: Option<Family>) -> bool {
        match self.cut() {
            None => true,
            Some(segment) => {
                may_segment(family) && self.size <= LONGEST_SEGMENTED && self.size <= segment.saturating_mul(MOST_SEGMENTS)
            }
        }
    }

    /// Fills the entry with a datagram that was received elsewhere, as much of it as fits.
    pub fn put(&mut self, bytes: &[u8], from: &Endpoint) {
        let fits = bytes.len().min(self.size);
        // SAFETY: `data` has `size` bytes, and is the C program's, which we do not otherwise refer to.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.data.cast(), fits) };
        self.length = fits;
        self.endpoint = *from;
        self.segment = 0;
        self.flags = if fits < bytes.len() { TRUNCATED } else { 0 };
    }

    fn part(&self, offset: usize, length: usize) -> libc::iovec {
        libc::iovec { iov_base: self.data.wrapping_byte_add(offset), iov_len: length }
    }
}

fn may_segment(family: Option<Family>) -> bool {
    matches!(family, Some(Family::V4 | Family::V6))
}

/// How many bytes one segmented send takes; 0 if the kernel cannot cut to this size.
fn most_at_once(segment: usize) -> usize {
    (LONGEST_SEGMENTED / segment).min(MOST_SEGMENTS) * segment
}

/// Room for one control message that holds an int.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 24]);

impl Control {
    /// Makes it UDP_SEGMENT: how much of the room that takes.
    fn segment(&mut self, size: u16) -> usize {
        // SAFETY: all zeros is a valid cmsghdr.
        let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        // SAFETY: CMSG_LEN is arithmetic.
        header.cmsg_len = unsafe { libc::CMSG_LEN(2) } as _;
        // SAFETY: the room is aligned for a cmsghdr and larger than it.
        unsafe { self.0.as_mut_ptr().cast::<libc::cmsghdr>().write(header) };
        self.0[size_of::<libc::cmsghdr>()..][..2].copy_from_slice(&size.to_ne_bytes());
        // SAFETY: CMSG_SPACE is arithmetic.
        unsafe { libc::CMSG_SPACE(2) as usize }
    }
}

/// Room for UDP_GRO and what the kernel may put before it where the socket's owner has asked for that: times of arrival, the
/// device, a mark, a priority, a count of lost datagrams. What comes after it may be cut.
#[repr(C, align(8))]
struct Arrival([u8; 256]);

/// The value of UDP_GRO in what the kernel has written beside a message: the size of the datagrams that were joined.
fn joined(message: &libc::msghdr) -> Option<u32> {
    // SAFETY: the kernel has filled in the message; the CMSG macros stay within its control, which is aligned for headers.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so a whole header within the control.
        let (level, kind, length) = unsafe { ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len as usize) };
        // SAFETY: CMSG_LEN is arithmetic.
        if level == libc::SOL_UDP && kind == libc::UDP_GRO && length >= unsafe { libc::CMSG_LEN(4) } as usize {
            // SAFETY: the header's data has these four bytes, aligned or not.
            return u32::try_from(unsafe { libc::CMSG_DATA(header).cast::<i32>().read_unaligned() }).ok();
        }
        // SAFETY: as for the first.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

/// recvfrom(2): the datagram's whole length, which may be more than the buffer's; `from` receives its sender.
pub fn receive_from(descriptor: RawFd, buffer: &mut [u8], from: Option<&mut Endpoint>, family: Option<Family>) -> Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    let (pointer, size) = (buffer.as_mut_ptr().cast(), buffer.len());
    let Some(from) = from else {
        // SAFETY: at most `size` bytes are written to the slice.
        return restart(|| check_length(unsafe { libc::recv(descriptor, pointer, size, flags) }));
    };
    let mut length = from.storage.len() as libc::socklen_t;
    let name = from.storage.as_mut_ptr().cast();
    // SAFETY: at most `size` bytes are written to the slice, and at most `length` to the storage.
    let got = restart(|| check_length(unsafe { libc::recvfrom(descriptor, pointer, size, flags, name, &mut length) }))?;
    from.received(length, family);
    Ok(got)
}

/// recvmsg(2) at a socket where datagrams may have been joined: the length, and the size of those it was joined of.
pub fn receive_joined(
    descriptor: RawFd,
    buffer: &mut [u8],
    from: &mut Endpoint,
    family: Option<Family>,
) -> Result<(usize, Option<u32>)> {
    let mut control = MaybeUninit::<Arrival>::uninit();
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut message = header((from.storage.as_mut_ptr().cast(), from.storage.len() as _), &mut part);
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Arrival>() as _;
    // SAFETY: name, part and control are writable and as long as the message says.
    let length = restart(|| check_length(unsafe { libc::recvmsg(descriptor, &mut message, libc::MSG_DONTWAIT) }))?;
    from.received(message.msg_namelen, family);
    Ok((length, joined(&message)))
}

fn header((name, length): Name, part: *mut libc::iovec) -> libc::msghdr {
    // SAFETY: all zeros is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = name;
    message.msg_namelen = length;
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message
}

/// recvmmsg(2) into as many entries as one call takes, filling them in. How many. `joined`: UDP_GRO may be on.
pub fn receive_batch(descriptor: RawFd, datagrams: &mut [Datagram], joined: bool, family: Option<Family>) -> Result<usize> {
    match datagrams.len() {
        1 => receive_up_to::<1, 1>(descriptor, datagrams, joined, family),
        _ if joined => receive_up_to::<BATCH_JOINED, BATCH_JOINED>(descriptor, datagrams, true, family),
        _ => receive_up_to::<BATCH, 0>(descriptor, datagrams, false, family),
    }
}

/// Not inlined: the large one's stack is touched page by page. `ROOMS`: for what arrives beside the datagrams, if that is
/// `wanted`.
#[inline(never)]
fn receive_up_to<const MOST: usize, const ROOMS: usize>(
    descriptor: RawFd,
    datagrams: &mut [Datagram],
    wanted: bool,
    family: Option<Family>,
) -> Result<usize> {
    let count = datagrams.len().min(MOST);
    let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MOST];
    let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; MOST];
    let mut controls = [const { MaybeUninit::<Arrival>::uninit() }; ROOMS];
    for (index, datagram) in datagrams[..count].iter_mut().enumerate() {
        let part = parts[index].write(datagram.part(0, datagram.size));
        let name = (datagram.endpoint.storage.as_mut_ptr().cast(), datagram.endpoint.storage.len() as _);
        let mut header = header(name, part);
        if wanted {
            header.msg_control = controls[index].as_mut_ptr().cast();
            header.msg_controllen = size_of::<Arrival>() as _;
        }
        messages[index].write(libc::mmsghdr { msg_hdr: header, msg_len: 0 });
    }
    let got = receive_messages(descriptor, &mut messages[..count])?;
    for (index, datagram) in datagrams[..got].iter_mut().enumerate() {
        // SAFETY: initialized above, and filled in by the kernel.
        let message = unsafe { messages[index].assume_init_ref() };
        let header = &message.msg_hdr;
        datagram.length = message.msg_len as usize;
        datagram.flags = if header.msg_flags & libc::MSG_TRUNC != 0 { TRUNCATED } else { 0 };
        datagram.endpoint.received(header.msg_namelen, family);
        datagram.segment = joined(header).unwrap_or(0);
    }
    Ok(got)
}

/// recvmmsg(2) into messages that are initialized, with writable names, parts and controls. A single one goes by recvmsg(2),
/// which is a tenth of a microsecond faster.
fn receive_messages(descriptor: RawFd, messages: &mut [MaybeUninit<libc::mmsghdr>]) -> Result<usize> {
    let flags = libc::MSG_DONTWAIT;
    if let [one] = messages {
        // SAFETY: the caller has initialized the message.
        let one = unsafe { one.assume_init_mut() };
        // SAFETY: what the message points to is writable and outlives the call.
        let length = restart(|| check_length(unsafe { libc::recvmsg(descriptor, &mut one.msg_hdr, flags) }))?;
        one.msg_len = length as u32;
        return Ok(1);
    }
    let (list, count) = (messages.as_mut_ptr().cast(), messages.len());
    // SAFETY: as above for each of them.
    restart(|| check(unsafe { libc::recvmmsg(descriptor, list, count as _, flags as _, null_mut()) })).map(|got| got as usize)
}

const SENDING: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// sendto(2): a datagram to `to`, or to the peer of a connected socket if that is None.
pub fn send_to(descriptor: RawFd, bytes: &[u8], to: &Endpoint, family: Option<Family>) -> Result<usize> {
    let mut mapped = MaybeUninit::uninit();
    let (name, length) = to.destination(family, &mut mapped)?;
    let (pointer, size) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: `size` bytes are read from the slice and `length` from the address.
    restart(|| check_length(unsafe { libc::sendto(descriptor, pointer, size, SENDING, name.cast(), length) }))
}

/// sendmmsg(2) of as many entries as one call takes, up to one that is more than one message. How many were sent, at least
/// one.
pub fn send_batch(descriptor: RawFd, datagrams: &mut [Datagram], family: Option<Family>) -> Result<usize> {
    match datagrams.len() {
        1 => send_up_to::<1>(descriptor, datagrams, family),
        _ => send_up_to::<BATCH>(descriptor, datagrams, family),
    }
}

#[inline(never)]
fn send_up_to<const MOST: usize>(descriptor: RawFd, datagrams: &mut [Datagram], family: Option<Family>) -> Result<usize> {
    let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MOST];
    let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; MOST];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; MOST];
    let mut mapped = [const { MaybeUninit::<libc::sockaddr_in6>::uninit() }; MOST];
    let mut count = 0;
    for (index, datagram) in datagrams.iter().take(MOST).enumerate() {
        if !datagram.is_one_message(family) {
            break;
        }
        let name = match datagram.endpoint.destination(family, &mut mapped[index]) {
            Ok(name) => name,
            Err(_) if index > 0 => break, // what comes before it is sent first
            Err(errno) => return Err(errno),
        };
        let mut header = header(name, parts[index].write(datagram.part(0, datagram.size)));
        if let Some(segment) = datagram.cut() {
            let control = controls[index].write(Control([0; 24]));
            header.msg_controllen = control.segment(segment as u16) as _;
            header.msg_control = control.0.as_mut_ptr().cast();
        }
        messages[index].write(libc::mmsghdr { msg_hdr: header, msg_len: 0 });
        count += 1;
    }
    let sent = send_messages(descriptor, &mut messages[..count])?;
    datagrams[..sent].iter_mut().for_each(|datagram| datagram.length = datagram.size);
    Ok(sent)
}

/// Sends a stretch of an entry that is more than one message, cut by the kernel or, if `by_hand`, into a message each. How
/// many bytes were sent.
pub fn send_cut(descriptor: RawFd, datagram: &Datagram, offset: usize, by_hand: bool, family: Option<Family>) -> Result<usize> {
    let segment = datagram.cut().ok_or(Errno::EINVAL)?;
    let mut mapped = MaybeUninit::uninit();
    let name = datagram.endpoint.destination(family, &mut mapped)?;
    let left = datagram.size - offset;
    if !by_hand {
        let most = most_at_once(segment);
        if most == 0 || !may_segment(family) {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut control = Control([0; 24]);
        let mut part = datagram.part(offset, left.min(most));
        let mut message = header(name, &mut part);
        message.msg_controllen = control.segment(segment as u16) as _;
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: name, part and control are readable and as long as the message says.
        return restart(|| check_length(unsafe { libc::sendmsg(descriptor, &message, SENDING) }));
    }
    let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
    let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
    let count = left.div_ceil(segment).min(BATCH);
    for index in 0..count {
        let start = index * segment;
        let part = parts[index].write(datagram.part(offset + start, segment.min(left - start)));
        messages[index].write(libc::mmsghdr { msg_hdr: header(name, part), msg_len: 0 });
    }
    let sent = send_messages(descriptor, &mut messages[..count])?;
    Ok((sent * segment).min(left))
}

/// sendmmsg(2), or sendmsg(2) of a single one, of messages that are initialized, with readable names, parts and controls.
fn send_messages(descriptor: RawFd, messages: &mut [MaybeUninit<libc::mmsghdr>]) -> Result<usize> {
    if let [one] = messages {
        // SAFETY: the callers have initialized the message, and what it points to outlives the call.
        return restart(|| check_length(unsafe { libc::sendmsg(descriptor, &one.assume_init_ref().msg_hdr, SENDING) }))
            .map(|_| 1);
    }
    let (list, count) = (messages.as_mut_ptr().cast(), messages.len());
    // SAFETY: as above for each of them.
    restart(|| check(unsafe { libc::sendmmsg(descriptor, list, count as _, SENDING as _) })).map(|sent| sent as usize)
}

/// recvmsg(2) into several buffers: the datagram's whole length.
pub fn receive_parts(descriptor: RawFd, parts: &mut [super::part::PartMut]) -> Result<usize> {
    // SAFETY: all zeros is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_mut_ptr().cast(); // PartMut is an iovec
    message.msg_iovlen = parts.len() as _;
    // SAFETY: `message` names writable buffers.
    restart(|| check_length(unsafe { libc::recvmsg(descriptor, &mut message, libc::MSG_DONTWAIT | libc::MSG_TRUNC) }))
}
