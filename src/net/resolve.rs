//! Names to addresses: getaddrinfo(3) on threads of its own, because it blocks for as long as it likes and nothing can stop it.
//!
//! Each lookup has a thread, started for it and gone after it; one that finds the most running waits for the first to end. A caller
//! whose time is up leaves its lookup behind, and the thread that carries it out frees what is left of it.

use super::address::Address;
use super::error::{Code, Error, Result};
use super::lock::lock;
use super::scope;
use super::wait;
use super::waiters::Wake;
use super::waker::{Own, Waker};
use crate::sys::names::{self, ResolverError};
use crate::sys::process::{self, PerProcess};
use crate::sys::socket::Family;
use crate::sys::thread::{self, Thread};
use crate::sys::{Errno, clock};
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};

/// How many lookups run at once, including those that hang and that nobody waits for any more.
const MOST: usize = 128;
/// If so many hang for so long, there is no use in waiting for one of them to end.
const PATIENCE_MS: i64 = 30_000;
/// For the resolver and the modules that nsswitch.conf names; only what they touch becomes memory.
const STACK: usize = 256 * 1024;
const PAGE: usize = 4096;

/// The addresses of a name, in the resolver's order. Waits for them until a point in time.
pub fn lookup(name: &CStr, port: u16, family: Option<Family>, until: i64) -> Result<Vec<Address>> {
    let found = Ticket::take(name, family)?.wait(until)?.map_err(failed)?;
    if found.is_empty() {
        return Err(Error::new(Code::NoHost));
    }
    let mut addresses = Vec::new();
    addresses.try_reserve_exact(found.len())?;
    addresses.extend(found.into_iter().map(|mut address| {
        address.set_port(port);
        Address::Ip(address)
    }));
    Ok(addresses)
}

/// What the resolver said, as a code and in its own words.
fn failed(error: ResolverError) -> Error {
    let errno = Errno(error.errno);
    let code = match error.code {
        names::EAI_NONAME | names::EAI_NODATA | names::EAI_ADDRFAMILY => Code::NoHost,
        names::EAI_SERVICE => Code::NoService,
        names::EAI_FAMILY | names::EAI_SOCKTYPE => Code::NotSupported,
        names::EAI_MEMORY => Code::OutOfMemory,
        names::EAI_SYSTEM => match Error::from(errno).code {
            // What the process lacks; any other trouble is the resolver's, not that of a connection.
            lacking @ (Code::Limit | Code::OutOfMemory | Code::Access) => lacking,
            _ => Code::Resolver,
        },
        _ => Code::Resolver,
    };
    let phrase = super::error::phrase(code as i64).to_str().unwrap_or("");
    let said = names::resolver_text(error.code).to_bytes().escape_ascii();
    match error.errno {
        0 => Error::text(code, format_args!("{phrase} (the resolver says: {said})")),
        _ => Error::text(code, format_args!("{phrase} (the resolver says: {said}, error {})", error.errno)).errno(errno),
    }
}

type Answer = std::result::Result<Vec<SocketAddr>, ResolverError>;

/// All lookups of the process that run, wait to run, or have an answer that nobody has fetched yet, in the order they came.
struct Lookups {
    list: VecDeque<Lookup>,
    running: usize,
    last_number: usize,
}

struct Lookup {
    number: usize,
    /// What is asked, until a thread takes it.
    question: Option<(CString, Option<Family>)>,
    /// Who waits for the answer; None: nobody any more.
    waker: Option<Waker>,
    stage: Stage,
}

enum Stage {
    Waiting,
    Running(Thread),
    /// With the thread that found the answer, if it has ended with it.
    Done(Answer, Option<Thread>),
}

static LOOKUPS: PerProcess<Mutex<Lookups>> = PerProcess::new();

fn lookups() -> Result<MutexGuard<'static, Lookups>> {
    let lookups = LOOKUPS.get(|| Mutex::new(Lookups { list: VecDeque::new(), running: 0, last_number: 0 }))?;
    Ok(lock(lookups))
}

impl Lookups {
    fn position(&self, number: usize) -> Option<usize> {
        self.list.iter().position(|lookup| lookup.number == number)
    }

    /// The question that a thread has come to ask.
    fn take_question(&mut self, number: usize) -> Option<(CString, Option<Family>)> {
        let at = self.position(number)?;
        self.list[at].question.take()
    }

    /// Hands an answer in. The number of the lookup that the thread is to see to next, if any waits.
    fn answered(&mut self, number: usize, answer: Answer) -> Option<usize> {
        let at = self.position(number)?;
        let Stage::Running(thread) = std::mem::replace(&mut self.list[at].stage, Stage::Done(answer, None)) else {
            return None;
        };
        let next = self.list.iter_mut().find(|lookup| matches!(lookup.stage, Stage::Waiting));
        let (next, ended) = match next {
            Some(lookup) => {
                lookup.stage = Stage::Running(thread);
                (Some(lookup.number), None)
            }
            None => (None, Some(thread)),
        };
        self.running -= usize::from(ended.is_some());
        match self.list[at].waker.take() {
            Some(waker) => {
                if let Stage::Done(_, thread) = &mut self.list[at].stage {
                    *thread = ended;
                }
                waker.wake();
            }
            // Nobody fetches the answer, nor joins the thread.
            None => drop(self.list.remove(at)),
        }
        next
    }
}

/// A fork during a lookup leaves the child the stack of a thread that it does not have, which the C library would reuse, and with
/// it the open socket of that thread's resolver: parent and child would take each other's answers. A larger stack cannot reuse it.
fn stack_size() -> usize {
    STACK + PAGE * (process::generation() as usize).min(STACK / PAGE)
}

/// What a thread does: its lookup, and others as long as any wait.
fn run(number: usize) {
    let mut next = Some(number);
    while let Some(number) = next {
        let Some((name, family)) = lookups().ok().and_then(|mut lookups| lookups.take_question(number)) else {
            return;
        };
        let answer = names::resolve(&name, family);
        next = lookups().ok().and_then(|mut lookups| lookups.answered(number, answer));
    }
}

/// A caller's hold on its lookup.
struct Ticket {
    number: usize,
    waker: Own,
}

impl Ticket {
    fn take(name: &CStr, family: Option<Family>) -> Result<Ticket> {
        let bytes = name.to_bytes();
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len() + 1)?;
        copy.extend_from_slice(bytes);
        let name = CString::new(copy).map_err(|_| Error::new(Code::Internal))?;
        let waker = Waker::current()?;
        let mut lookups = lookups()?;
        lookups.list.try_reserve(1)?;
        let number = lookups.last_number.wrapping_add(1);
        let stage = if lookups.running < MOST {
            // The thread begins by waiting for the lock that is held here.
            let thread = thread::spawn(c"sock-resolve", stack_size(), move || run(number));
            Stage::Running(thread.map_err(|errno| Error::with(Code::Limit, "no thread to look up the name").errno(errno))?)
        } else {
            Stage::Waiting
        };
        lookups.running += usize::from(!matches!(stage, Stage::Waiting));
        lookups.last_number = number;
        lookups.list.push_back(Lookup { number, question: Some((name, family)), waker: Some(waker.clone()), stage });
        Ok(Ticket { number, waker })
    }

    fn wait(self, until: i64) -> Result<Answer> {
        let patient_until = wait::after(clock::now(), PATIENCE_MS);
        loop {
            let waits = match self.fetch()? {
                Fetched::Answer(answer) => return Ok(answer),
                Fetched::Waits => true,
                Fetched::Runs => false,
            };
            let now = clock::now();
            if now >= until {
                return Err(Error::new(Code::TimedOut));
            }
            if waits && now >= patient_until {
                return Err(Error::with(Code::Limit, "too many other lookups are stuck"));
            }
            scope::check()?;
            self.waker.park(&mut [], if waits { until.min(patient_until) } else { until })?;
        }
    }

    fn fetch(&self) -> Result<Fetched> {
        let mut lookups = lookups()?;
        let at = lookups.position(self.number).ok_or(Error::new(Code::Internal))?;
        match lookups.list[at].stage {
            Stage::Waiting => return Ok(Fetched::Waits),
            Stage::Running(_) => return Ok(Fetched::Runs),
            Stage::Done(..) => {}
        }
        let done = lookups.list.remove(at).map(|lookup| lookup.stage);
        drop(lookups);
        let Some(Stage::Done(answer, thread)) = done else {
            return Err(Error::new(Code::Internal));
        };
        if let Some(thread) = thread {
            thread.join(); // it has nothing left to do but to end
        }
        Ok(Fetched::Answer(answer))
    }
}

enum Fetched {
    Answer(Answer),
    Waits,
    Runs,
}

impl Drop for Ticket {
    /// Leaves nothing behind but a running lookup that wakes nobody.
    fn drop(&mut self) {
        let Ok(mut lookups) = lookups() else {
            return;
        };
        let Some(at) = lookups.position(self.number) else {
            return; // the answer was fetched
        };
        match lookups.list[at].stage {
            Stage::Waiting => drop(lookups.list.remove(at)),
            Stage::Running(_) => lookups.list[at].waker = None,
            Stage::Done(..) => {
                drop(lookups);
                let _ = self.fetch();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_resolver_says_has_a_code_and_is_told() {
        let number = |errno: Errno| errno.0;
        for (code, errno, expected) in [
            (names::EAI_NONAME, 0, Code::NoHost),
            (names::EAI_NODATA, 0, Code::NoHost),
            (names::EAI_ADDRFAMILY, 0, Code::NoHost),
            (-3, 0, Code::Resolver), // EAI_AGAIN
            (-4, 0, Code::Resolver), // EAI_FAIL
            (names::EAI_MEMORY, 0, Code::OutOfMemory),
            (names::EAI_SYSTEM, number(Errno::EMFILE), Code::Limit),
            (names::EAI_SYSTEM, number(Errno::ENOMEM), Code::OutOfMemory),
            (names::EAI_SYSTEM, number(Errno::ECONNREFUSED), Code::Resolver),
            (9999, 0, Code::Resolver),
        ] {
            let error = failed(ResolverError { code, errno });
            assert_eq!(error.code, expected, "{code}");
            let said = names::resolver_text(code).to_str().unwrap();
            assert!(error.to_string().contains(said), "{error}");
            assert_eq!(error.to_string().contains(", error "), errno != 0, "{error}");
            assert_eq!(error.errno, errno);
        }
    }

    #[test]
    fn lookups_leave_nothing_behind() {
        let threads: Vec<_> = (0..2 * MOST)
            .map(|_| {
                std::thread::spawn(|| {
                    let addresses = lookup(c"localhost", 80, Some(Family::V4), wait::NEVER).unwrap();
                    assert!(addresses.iter().all(|address| address.port() == Some(80)));
                    // Time is up before the answer comes, or when it does.
                    match lookup(c"localhost", 80, None, clock::now()) {
                        Err(error) => assert_eq!(error.code, Code::TimedOut),
                        Ok(addresses) => assert!(!addresses.is_empty()),
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        while lookups().unwrap().running > 0 {
            std::thread::yield_now();
        }
        assert!(lookups().unwrap().list.is_empty());
    }
}
