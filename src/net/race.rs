//! Opening a connection: the target's addresses race by RFC 8305 until one of them connects.

use super::address::{Address, Text};
use super::connect::{self, Begun, Plan};
use super::error::{Code, Error, Result};
use super::listen::family_of;
use super::name::{Host, Protocol, Request, Target};
use super::options::{Options, Use};
use super::registry::{self, Handle};
use super::resolve;
use super::socket::Kind;
use super::{wait, worker};
use crate::sys::poll::{self, Watch};
use crate::sys::socket::Family;
use crate::sys::{AsRawFd, Errno, OwnedFd, clock};
use std::fmt::{Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;

/// Milliseconds (RFC 8305, section 5): recommended, least, most.
const DELAY: i64 = 250;
const SHORTEST_DELAY: i64 = 10;
const LONGEST_DELAY: i64 = 2000;
/// How many attempts are under way at once. If there are more addresses, the oldest attempt makes room.
const MOST: usize = 24;

pub fn open(request: Request, options: &Options) -> Result<Handle> {
    options.check(Use::Open)?;
    let target = request.parse(Protocol::Tcp)?;
    // A fiber that tries again and again, and never has to wait, must not keep the others from running.
    worker::breathe();
    match &target.host {
        Host::Unix(_) => open_unix(&target, options),
        _ => open_tcp(&target, options),
    }
}

/// The addresses of a target, in the order in which [`open`] would try them.
pub fn resolve(request: Request, options: &Options) -> Result<Vec<Address>> {
    options.check(Use::Resolve)?;
    let target = request.parse(Protocol::Tcp)?;
    let started = clock::now();
    in_order(candidates(&target, options.family(), started, options.end(started))?)
}

fn open_unix(target: &Target, options: &Options) -> Result<Handle> {
    options.check_unix()?;
    if options.local_host.is_some() {
        return Err(Error::invalid("option local_host does not apply to a unix: stream"));
    }
    let started = clock::now();
    let address = candidates(target, options.family(), started, wait::NEVER)?[0];
    let socket = connect::unix(&address, options, options.end(started)).map_err(|error| {
        let elapsed = milliseconds(clock::now() - started);
        Error::text(error.code, format_args!("{} after {elapsed} ms", error.words())).errno(Errno(error.errno))
    })?;
    let times = Times { started, resolved: started, attempts: 1 };
    insert(socket, &address, options, &times)
}

fn open_tcp(target: &Target, options: &Options) -> Result<Handle> {
    if target.port == 0 {
        return Err(Error::invalid("nobody can be reached at port 0"));
    }
    let plan = Plan { options, local: options.local(Protocol::Tcp)? };
    let family = wanted_family(target, options, plan.local.as_ref())?;
    let started = clock::now();
    let until = options.end(started);
    let found;
    let literal = target.literal().filter(|address| is_wanted(address, family));
    let (addresses, resolved) = match &literal {
        Some(address) => (std::slice::from_ref(address), started),
        None => {
            found = in_order(candidates(target, family, started, until)?)?;
            (found.as_slice(), clock::now())
        }
    };
    let mut race = Race::new(addresses, &plan, resolved);
    let (socket, address) = match race.run(until) {
        Ok(won) => won,
        Err(End::Failed(error)) => return Err(error),
        Err(end) => return Err(race.verdict(end, started, literal.is_some())),
    };
    insert(socket, address, options, &Times { started, resolved, attempts: race.attempts })
}

/// The family that addresses must have, if any: what the options ask for, or that of the local address.
pub fn wanted_family(target: &Target, options: &Options, local: Option<&Target>) -> Result<Option<Family>> {
    let Some(local) = local.and_then(Target::literal).map(|local| family_of(&local)) else {
        return Ok(options.family());
    };
    if options.family().is_some_and(|wanted| wanted != local) {
        return Err(Error::invalid("option local_host is not of the family that option family asks for"));
    }
    if target.literal().is_some_and(|peer| family_of(&peer) != local) {
        return Err(Error::invalid("option local_host is of a different family than the peer"));
    }
    Ok(Some(local))
}

/// What sock_get_info reports about an open.
struct Times {
    started: i64,
    resolved: i64,
    attempts: u32,
}

fn insert(connection: OwnedFd, address: &Address, options: &Options, times: &Times) -> Result<Handle> {
    let peer = connect::peer(&connection, address);
    registry::insert(connection, Kind::Stream, options.io_timeout(), |socket| {
        socket.set_family(family_of(address));
        socket.spin_us.store(options.spin_us, Ordering::Relaxed);
        let mut details = socket.details();
        details.peer = Some(peer);
        details.resolve_us = (times.resolved - times.started) / 1000;
        details.connect_us = (clock::now() - times.resolved) / 1000;
        details.attempts = times.attempts;
    })
}

/// The addresses that a target to connect to stands for; at least one.
pub fn candidates(target: &Target, family: Option<Family>, started: i64, until: i64) -> Result<Vec<Address>> {
    if family == Some(Family::Unix) && !matches!(target.host, Host::Unix(_)) {
        return Err(Error::invalid("option family is SOCK_UNIX, and the host is not"));
    }
    let mut addresses = Vec::new();
    match &target.host {
        Host::Name(name) => {
            return resolve::lookup(name, target.port, family, until).map_err(|error| match error.code {
                Code::TimedOut => {
                    let elapsed = milliseconds(clock::now() - started);
                    Error::text(error.code, format_args!("timed out after {elapsed} ms (resolving the name)"))
                }
                _ => error,
            });
        }
        Host::Default => {
            let loopbacks = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];
            addresses.try_reserve_exact(loopbacks.len())?;
            addresses.extend(loopbacks.map(|ip| Address::Ip(SocketAddr::new(ip, target.port))));
        }
        _ => {
            addresses.try_reserve_exact(1)?;
            addresses.extend(target.literal());
        }
    }
    addresses.retain(|address| is_wanted(address, family));
    if addresses.is_empty() {
        return Err(Error::with(Code::NoHost, "the address is not of the wanted family"));
    }
    Ok(addresses)
}

fn is_wanted(address: &Address, family: Option<Family>) -> bool {
    family.is_none_or(|family| family == family_of(address))
}

/// RFC 8305, section 4: the families take turns, beginning with the first address's, and otherwise keep the resolver's order.
/// Duplicates are tried once.
fn in_order(addresses: Vec<Address>) -> Result<Vec<Address>> {
    if addresses.len() < 2 {
        return Ok(addresses);
    }
    let of_first_family = |address: &&Address| family_of(address) == family_of(&addresses[0]);
    let mut preferred = addresses.iter().filter(of_first_family);
    let mut others = addresses.iter().filter(|address| !of_first_family(address));
    let mut ordered = Vec::new();
    ordered.try_reserve_exact(addresses.len())?;
    loop {
        let pair = [preferred.next(), others.next()];
        if pair == [None, None] {
            return Ok(ordered);
        }
        for address in pair.into_iter().flatten() {
            if !ordered.contains(address) {
                ordered.push(*address);
            }
        }
    }
}

/// One address, tried once.
struct Attempt<'a> {
    /// Counted from 1.
    number: u32,
    address: &'a Address,
    started: i64,
}

/// An attempt that came to nothing.
struct Failure<'a> {
    attempt: Attempt<'a>,
    error: Error,
    milliseconds: i64,
}

/// How a race ends if nobody wins.
enum End {
    /// Time is up.
    TimedOut,
    /// Every address has failed.
    Lost,
    /// Waiting itself failed.
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> End {
        End::Failed(error)
    }
}

struct Race<'a> {
    plan: &'a Plan<'a>,
    delay: i64,
    /// Addresses not yet tried.
    waiting: &'a [Address],
    /// When the next of them is.
    next_start: i64,
    under_way: Vec<(Attempt<'a>, OwnedFd)>,
    failures: Vec<Failure<'a>>,
    attempts: u32,
}

impl<'a> Race<'a> {
    fn new(addresses: &'a [Address], plan: &'a Plan<'a>, now: i64) -> Race<'a> {
        let delay = if plan.options.attempt_delay_ms == 0 { DELAY } else { plan.options.attempt_delay_ms };
        Race {
            plan,
            delay: delay.clamp(SHORTEST_DELAY, LONGEST_DELAY),
            waiting: addresses,
            next_start: now,
            under_way: Vec::new(),
            failures: Vec::new(),
            attempts: 0,
        }
    }

    fn run(&mut self, until: i64) -> std::result::Result<(OwnedFd, &'a Address), End> {
        let mut now = self.next_start;
        loop {
            if now >= until {
                return Err(End::TimedOut);
            }
            if !self.waiting.is_empty() && (now >= self.next_start || self.under_way.is_empty()) {
                if let Some(won) = self.start(now)? {
                    return Ok(won);
                }
            } else if self.under_way.is_empty() {
                return Err(End::Lost);
            } else if let Some(won) = self.wait(until)? {
                return Ok(won);
            }
            now = clock::now();
        }
    }

    /// Tries the next address. It wins if it connects at once.
    fn start(&mut self, now: i64) -> Result<Option<(OwnedFd, &'a Address)>> {
        let Some((address, rest)) = self.waiting.split_first() else {
            return Ok(None);
        };
        if self.under_way.len() == MOST {
            let (oldest, _) = self.under_way.remove(0);
            self.failed(oldest, Error::with(Code::TimedOut, "given up in favour of others"))?;
        }
        let begun = connect::begin(address, self.plan);
        self.next_start = wait::after(now, self.delay);
        match &begun {
            // Those under way may yet win, and give their descriptors back when they fail.
            Err(error) if error.code == Code::Limit && !self.under_way.is_empty() => return Ok(None),
            _ => {}
        }
        self.waiting = rest;
        self.attempts += 1;
        let attempt = Attempt { number: self.attempts, address, started: now };
        match begun {
            Ok(Begun::Connected(socket)) => return Ok(Some((socket, address))),
            Ok(Begun::UnderWay(socket)) => {
                self.under_way.try_reserve(1)?;
                self.under_way.push((attempt, socket));
            }
            Err(error) => self.failed(attempt, error)?,
        }
        Ok(None)
    }

    /// Waits until an attempt comes to its end or the next may start. The first that is connected wins.
    fn wait(&mut self, until: i64) -> Result<Option<(OwnedFd, &'a Address)>> {
        let mut watches = [const { Watch::new(-1, 0) }; MOST];
        let watches = &mut watches[..self.under_way.len()];
        for (watch, (_, socket)) in watches.iter_mut().zip(&self.under_way) {
            *watch = Watch::new(socket.as_raw_fd(), poll::OUT);
        }
        let next_start = if self.waiting.is_empty() { wait::NEVER } else { self.next_start };
        if !wait::any_ready(watches, until.min(next_start))? {
            return Ok(None);
        }
        let mut place = 0;
        for watch in watches {
            if !watch.ready() {
                place += 1;
                continue;
            }
            let (attempt, socket) = self.under_way.remove(place);
            match connect::finish(socket, attempt.address) {
                Ok(socket) => return Ok(Some((socket, attempt.address))),
                Err(error) => self.failed(attempt, error)?,
            }
        }
        Ok(None)
    }

    /// Notes a failure. The next address is tried at once.
    fn failed(&mut self, attempt: Attempt<'a>, error: Error) -> Result<()> {
        let now = clock::now();
        self.failures.try_reserve(1)?;
        self.failures.push(Failure { milliseconds: milliseconds(now - attempt.started), attempt, error });
        self.next_start = now;
        Ok(())
    }

    /// The error of a call if nobody won. A single literal is already named as the target.
    fn verdict(&self, end: End, started: i64, literal: bool) -> Error {
        let now = clock::now();
        let elapsed = milliseconds(now - started);
        let (code, words, errno) = match (end, self.failures.iter().min_by_key(|failure| rank(failure.error.code))) {
            (End::Lost, Some(failure)) => (failure.error.code, failure.error.words(), failure.error.errno),
            _ => (Code::TimedOut, "timed out", 0),
        };
        let all = Story { race: self, now };
        let error = match literal {
            true => Error::text(code, format_args!("{words} after {elapsed} ms")),
            false => Error::text(code, format_args!("{words} after {elapsed} ms ({all})")),
        };
        error.errno(Errno(errno))
    }
}

/// Which of several failures says most; of equals the first. An answer from the peer beats silence on the way to it, silence beats
/// what this machine lacks or forbids, and last comes that there is no route at all.
fn rank(code: Code) -> u32 {
    match code {
        Code::Refused | Code::Reset => 0,
        Code::TimedOut => 1,
        Code::Access => 2,
        Code::Limit | Code::OutOfMemory => 3,
        Code::AddressInUse | Code::AddressNotAvailable => 4,
        Code::Unreachable => 6,
        Code::NotSupported | Code::InvalidArgument => 7,
        _ => 5,
    }
}

fn milliseconds(nanoseconds: i64) -> i64 {
    nanoseconds / 1_000_000
}

/// Every attempt with its own cause and time, in the order they were made.
struct Story<'a> {
    race: &'a Race<'a>,
    now: i64,
}

impl Display for Story<'_> {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        let Race { under_way, failures, waiting, attempts, .. } = self.race;
        for number in 1..=*attempts {
            f.write_str(if number > 1 { "; " } else { "" })?;
            if let Some(failure) = failures.iter().find(|failure| failure.attempt.number == number) {
                let Failure { attempt, error, milliseconds } = failure;
                write!(f, "{}: {error} after {milliseconds} ms", Text(attempt.address))?;
            } else if let Some((attempt, _)) = under_way.iter().find(|(attempt, _)| attempt.number == number) {
                let elapsed = milliseconds(self.now - attempt.started);
                write!(f, "{}: timed out after {elapsed} ms", Text(attempt.address))?;
            }
        }
        match (waiting.len(), attempts) {
            (0, _) => Ok(()),
            (left, 0) => write!(f, "{left} not tried"),
            (left, _) => write!(f, "; {left} more not tried"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<Address> {
        text.split_whitespace().map(|text| Address::Ip(SocketAddr::new(text.parse().unwrap(), 80))).collect()
    }

    #[test]
    fn families_take_turns_in_the_resolvers_order_and_nothing_is_tried_twice() {
        for (given, expected) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::1 ::2 ::3 10.0.0.1", "::1 10.0.0.1 ::2 ::3"),
            ("10.0.0.1 10.0.0.2 ::1 ::2 ::3", "10.0.0.1 ::1 10.0.0.2 ::2 ::3"),
            ("::1 ::1 10.0.0.1 ::2 10.0.0.1", "::1 10.0.0.1 ::2"),
            ("10.0.0.2 10.0.0.1", "10.0.0.2 10.0.0.1"),
            ("10.0.0.1 10.0.0.1", "10.0.0.1"),
            ("", ""),
        ] {
            assert_eq!(in_order(addresses(given)).unwrap(), addresses(expected), "{given}");
        }
    }

    #[test]
    fn the_peers_answer_tells_most() {
        use Code::*;
        for (codes, best) in [
            (vec![Unreachable, TimedOut, Refused], Refused),
            (vec![Unreachable, TimedOut], TimedOut),
            (vec![InvalidArgument, Unreachable], Unreachable),
            (vec![Unreachable, Limit], Limit),
            (vec![Reset, Refused], Reset),
            (vec![Access, TimedOut], TimedOut),
            (vec![Limit, Access], Access),
            (vec![AddressInUse, OutOfMemory], OutOfMemory),
            (vec![System, AddressNotAvailable], AddressNotAvailable),
            (vec![Unreachable, System], System),
        ] {
            assert_eq!(codes.iter().copied().min_by_key(|code| rank(*code)), Some(best), "{codes:?}");
        }
    }
}
