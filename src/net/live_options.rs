//! Options, timeouts and deadlines of a live handle.

use super::error::{Code, Error, Result};
use super::options;
use super::registry::{self, Direction, Directions, Handle, Pinned};
use super::socket::{Kind, SOCKETS};
use super::wait;
use crate::sys::clock;
use crate::sys::option::{self, Name};
use crate::sys::socket::Family;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

const NODELAY: i32 = 1;
const KEEPALIVE_MS: i32 = 2;
const USER_TIMEOUT_MS: i32 = 3;
const LINGER_MS: i32 = 4;
const SEND_BUFFER: i32 = 5;
const RECEIVE_BUFFER: i32 = 6;
const BROADCAST: i32 = 7;
const TTL: i32 = 8;
const MULTICAST_TTL: i32 = 9;
const MULTICAST_LOOP: i32 = 10;
const TOS: i32 = 11;
const MARK: i32 = 12;
const SPIN_US: i32 = 13;
const QUICKACK: i32 = 14;
const CORK: i32 = 15;

const SWITCH: RangeInclusive<i64> = 0..=1;
const AMOUNT: RangeInclusive<i64> = 0..=i64::MAX;

pub fn set(handle: Handle, option: i32, value: i64) -> Result<()> {
    let pinned = find(handle, option)?;
    let socket = pinned.descriptor();
    match option {
        NODELAY => set_number(&pinned, option::NODELAY, within(value, SWITCH)?),
        KEEPALIVE_MS => options::set_keepalive(socket, within(value, AMOUNT)?),
        USER_TIMEOUT_MS => options::set_milliseconds(socket, option::USER_TIMEOUT, within(value, AMOUNT)?),
        LINGER_MS => {
            let milliseconds = within(value, -1..=i64::MAX)?;
            let seconds = (milliseconds / 1000 + i64::from(milliseconds % 1000 > 0)).min(i32::MAX.into());
            pinned.socket().lingers.store(true, Ordering::Relaxed);
            Ok(option::set_linger(socket, (milliseconds >= 0).then_some(seconds as i32))?)
        }
        SEND_BUFFER => set_number(&pinned, option::SEND_BUFFER, within(value, 0..=i32::MAX.into())?),
        RECEIVE_BUFFER => set_number(&pinned, option::RECEIVE_BUFFER, within(value, 0..=i32::MAX.into())?),
        BROADCAST => set_number(&pinned, option::BROADCAST, within(value, SWITCH)?),
        TTL if value == 0 => Err(out_of_range()),
        TTL => set_for_family(&pinned, option::TTL, option::V6_HOPS, within(value, -1..=255)?),
        MULTICAST_TTL => set_for_family(&pinned, option::MULTICAST_TTL, option::V6_MULTICAST_HOPS, within(value, -1..=255)?),
        MULTICAST_LOOP => set_for_family(&pinned, option::MULTICAST_LOOP, option::V6_MULTICAST_LOOP, within(value, SWITCH)?),
        TOS => set_for_family(&pinned, option::TOS, option::V6_CLASS, within(value, 0..=255)?),
        MARK => set_number(&pinned, option::MARK, within(value, 0..=u32::MAX.into())?),
        SPIN_US => {
            pinned.socket().spin_us.store(within(value, AMOUNT)?, Ordering::Relaxed);
            Ok(())
        }
        QUICKACK => set_number(&pinned, option::QUICKACK, within(value, SWITCH)?),
        CORK => set_number(&pinned, option::CORK, within(value, SWITCH)?),
        _ => Err(unknown()),
    }
}

pub fn get(handle: Handle, option: i32) -> Result<i64> {
    let pinned = find(handle, option)?;
    let number = |name: Name| Ok(i64::from(option::get(pinned.descriptor(), name)?));
    let switch = |name: Name| number(name).map(|value| i64::from(value != 0));
    let v6 = pinned.socket().family() == Some(Family::V6);
    match option {
        NODELAY => switch(option::NODELAY),
        KEEPALIVE_MS if number(option::KEEPALIVE)? == 0 => Ok(0),
        KEEPALIVE_MS => Ok(number(option::KEEPALIVE_IDLE)? * 1000),
        USER_TIMEOUT_MS => number(option::USER_TIMEOUT),
        LINGER_MS => Ok(option::linger(pinned.descriptor())?.map_or(-1, |seconds| i64::from(seconds) * 1000)),
        SEND_BUFFER => number(option::SEND_BUFFER),
        RECEIVE_BUFFER => number(option::RECEIVE_BUFFER),
        BROADCAST => switch(option::BROADCAST),
        TTL => number(if v6 { option::V6_HOPS } else { option::TTL }),
        MULTICAST_TTL => number(if v6 { option::V6_MULTICAST_HOPS } else { option::MULTICAST_TTL }),
        MULTICAST_LOOP => switch(if v6 { option::V6_MULTICAST_LOOP } else { option::MULTICAST_LOOP }),
        TOS => number(if v6 { option::V6_CLASS } else { option::TOS }),
        MARK => number(option::MARK).map(|mark| i64::from(mark as u32)),
        SPIN_US => Ok(pinned.socket().spin_us.load(Ordering::Relaxed)),
        QUICKACK => switch(option::QUICKACK),
        CORK => switch(option::CORK),
        _ => Err(unknown()),
    }
}

/// The socket, if it has such an option.
fn find(handle: Handle, option: i32) -> Result<Pinned> {
    let pinned = registry::pin(handle, Direction::Write)?.expect(SOCKETS)?;
    let internet = matches!(pinned.socket().family(), Some(Family::V4 | Family::V6));
    let kind = pinned.socket().kind();
    let has = match option {
        NODELAY | KEEPALIVE_MS | USER_TIMEOUT_MS => internet && kind != Kind::Datagram,
        QUICKACK | CORK => internet && kind == Kind::Stream,
        BROADCAST | MULTICAST_TTL | MULTICAST_LOOP => internet && kind == Kind::Datagram,
        TTL | TOS => internet,
        LINGER_MS => kind == Kind::Stream,
        SEND_BUFFER | RECEIVE_BUFFER | MARK | SPIN_US => true,
        _ => return Err(unknown()),
    };
    if has { Ok(pinned) } else { Err(Error::with(Code::NotSupported, "the socket has no such option")) }
}

fn unknown() -> Error {
    Error::invalid("no such option")
}

fn out_of_range() -> Error {
    Error::invalid("the value is out of the option's range")
}

fn within(value: i64, range: RangeInclusive<i64>) -> Result<i64> {
    if range.contains(&value) { Ok(value) } else { Err(out_of_range()) }
}

fn set_number(pinned: &Pinned, name: Name, value: i64) -> Result<()> {
    Ok(option::set(pinned.descriptor(), name, value as i32)?)
}

/// IPv6 sockets have options of their own, and those of IPv4 for the IPv4 peers of a dual-stack socket.
fn set_for_family(pinned: &Pinned, v4: Name, v6: Name, value: i64) -> Result<()> {
    if pinned.socket().family() != Some(Family::V6) {
        return set_number(pinned, v4, value);
    }
    set_number(pinned, v6, value)?;
    let _ = set_number(pinned, v4, value);
    Ok(())
}

/// Milliseconds for each call from now on, and for those already waiting.
pub fn set_timeout(handle: Handle, directions: Directions, milliseconds: i64) -> Result<()> {
    let pinned = registry::pin(handle, Direction::Read)?.expect(SOCKETS)?;
    directions.of(&pinned).for_each(|side| side.timeout.store(milliseconds, Ordering::Relaxed));
    pinned.alarm();
    Ok(())
}

/// The point in time when all calls end, those already waiting too.
pub fn set_deadline(handle: Handle, directions: Directions, from_now: i64) -> Result<()> {
    let deadline = wait::after(clock::now(), from_now);
    let pinned = registry::pin(handle, Direction::Read)?.expect(SOCKETS)?;
    directions.of(&pinned).for_each(|side| side.deadline.store(deadline, Ordering::Relaxed));
    pinned.alarm();
    Ok(())
}
