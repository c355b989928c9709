//! What can go wrong: the code that C programs see, and everything known where it happened.

use crate::sys::Errno;
use std::ffi::CStr;
use std::fmt::Write;

macro_rules! codes {
    ($($code:ident = $number:literal $name:literal $temporary:literal $phrase:literal;)*) => {
        /// A failure's kind. The numbers are part of the ABI and never change.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(i32)]
        pub enum Code { $($code = $number,)* }

        impl Code {
            #[cfg(test)]
            pub const ALL: &'static [Code] = &[$(Code::$code,)*];
        }

        /// `SOCK_…`, the name of a code in C.
        pub fn name(code: i64) -> &'static CStr {
            match code {
                0 => c"SOCK_OK",
                $($number => $name,)*
                _ => c"SOCK_UNKNOWN",
            }
        }

        /// One English phrase for a code.
        pub fn phrase(code: i64) -> &'static CStr {
            match code {
                $($number => $phrase,)*
                0.. => c"success",
                _ => c"unknown error code",
            }
        }

        /// Whether the same call can succeed later without a change to the request.
        pub fn is_temporary(code: i64) -> bool {
            match code {
                $($number => $temporary,)*
                _ => false,
            }
        }
    };
}

codes! {
    InvalidArgument = -1 c"SOCK_EINVAL" false c"invalid argument";
    BadHandle = -2 c"SOCK_EHANDLE" false c"not a live handle";
    WrongKind = -3 c"SOCK_ETYPE" false c"a handle of the wrong kind for this call";
    TooLong = -4 c"SOCK_ETOOLONG" false c"longer than its limit";
    Busy = -5 c"SOCK_EBUSY" true c"in conflict with another use in progress";
    NotSupported = -6 c"SOCK_ENOTSUP" false c"not supported here";
    TimedOut = -20 c"SOCK_ETIMEDOUT" true c"timed out";
    WouldBlock = -21 c"SOCK_EAGAIN" true c"it would block";
    Closed = -22 c"SOCK_ECLOSED" false c"the handle was closed during the call";
    Canceled = -23 c"SOCK_ECANCELED" false c"canceled";
    EndOfStream = -24 c"SOCK_EEOF" false c"end of stream";
    NoHost = -40 c"SOCK_ENOHOST" false c"no such host";
    NoService = -41 c"SOCK_ENOSERVICE" false c"no such service";
    Resolver = -42 c"SOCK_ERESOLVE" true c"the name could not be resolved now";
    Refused = -60 c"SOCK_ECONNREFUSED" true c"connection refused";
    Reset = -61 c"SOCK_ECONNRESET" true c"connection reset by the peer";
    BrokenPipe = -62 c"SOCK_EPIPE" true c"the connection is closed for writing";
    Unreachable = -63 c"SOCK_EUNREACH" true c"network or host unreachable";
    NotConnected = -64 c"SOCK_ENOTCONN" false c"not connected";
    AddressInUse = -65 c"SOCK_EADDRINUSE" true c"address already in use";
    AddressNotAvailable = -66 c"SOCK_EADDRNOTAVAIL" true c"address or port not available";
    Access = -67 c"SOCK_EACCES" false c"permission denied";
    MessageSize = -68 c"SOCK_EMSGSIZE" false c"datagram too large";
    Truncated = -69 c"SOCK_ETRUNC" false c"a datagram or passed descriptors were cut";
    NoEntry = -70 c"SOCK_ENOENT" true c"no such unix socket path";
    Exists = -71 c"SOCK_EEXIST" false c"the unix socket path is in use or is not a socket";
    Limit = -90 c"SOCK_ELIMIT" true c"out of descriptors, handles or threads";
    OutOfMemory = -91 c"SOCK_ENOMEM" true c"out of memory";
    System = -100 c"SOCK_ESYS" false c"operating system error";
    Internal = -101 c"SOCK_EINTERNAL" false c"a bug in the library";
}

/// A failed operation.
#[derive(Debug)]
pub struct Error {
    pub code: Code,
    /// The error number of the system call that failed, or 0.
    pub errno: i32,
    /// Bytes that the transfer had moved.
    pub count: usize,
    /// What a person wants to know beyond the code: empty, or words in place of the code's phrase.
    pub detail: Detail,
}

#[derive(Debug)]
pub enum Detail {
    None,
    Static(&'static str),
    Text(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub const fn new(code: Code) -> Error {
        Error { code, errno: 0, count: 0, detail: Detail::None }
    }

    pub const fn with(code: Code, detail: &'static str) -> Error {
        Error { code, errno: 0, count: 0, detail: Detail::Static(detail) }
    }

    /// With text made of parts. Without the memory for it, the code's phrase must do.
    pub fn text(code: Code, arguments: std::fmt::Arguments) -> Error {
        let mut text = Fallible(String::new());
        let detail = if text.write_fmt(arguments).is_ok() { Detail::Text(text.0) } else { Detail::None };
        Error { code, errno: 0, count: 0, detail }
    }

    /// A bad argument.
    pub const fn invalid(detail: &'static str) -> Error {
        Error::with(Code::InvalidArgument, detail)
    }

    /// After some bytes had been moved.
    pub fn after(mut self, count: usize) -> Error {
        self.count = count;
        self
    }

    pub fn errno(mut self, errno: Errno) -> Error {
        self.errno = errno.0;
        self
    }

    /// Its detail or its code's phrase.
    pub fn words(&self) -> &str {
        match &self.detail {
            Detail::None => phrase(self.code as i64).to_str().unwrap_or(""),
            Detail::Static(text) => text,
            Detail::Text(text) => text,
        }
    }

    pub fn would_block(&self) -> bool {
        self.code == Code::WouldBlock
    }
}

/// A string that grows without aborting when memory runs out.
pub struct Fallible(pub String);

impl Write for Fallible {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.try_reserve(text.len()).map_err(|_| std::fmt::Error)?;
        self.0.push_str(text);
        Ok(())
    }
}

/// What an error number means on a socket; places that know better say so themselves. Transfers know that EAGAIN means that
/// they would block (`transfer_error`); from other system calls it means that the system is short of something.
impl From<Errno> for Error {
    fn from(errno: Errno) -> Error {
        let code = match errno {
            Errno::EINVAL => Code::InvalidArgument,
            Errno::EPROTOTYPE => {
                return Error::invalid("the unix socket there is of another type (stream, datagram or sequenced-packet)")
                    .errno(errno);
            }
            Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::ENOPROTOOPT | Errno::ENOSYS => {
                Code::NotSupported
            }
            Errno::ETIMEDOUT => Code::TimedOut,
            Errno::ECONNREFUSED => Code::Refused,
            Errno::ECONNRESET | Errno::ECONNABORTED | Errno::ENETRESET => Code::Reset,
            Errno::EPIPE | Errno::ESHUTDOWN => Code::BrokenPipe,
            Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::ENETDOWN | Errno::EHOSTDOWN | Errno::ENONET => Code::Unreachable,
            Errno::ENOTCONN | Errno::EDESTADDRREQ => Code::NotConnected,
            Errno::EADDRINUSE => Code::AddressInUse,
            // ENODEV: the interface of a %scope is not there.
            Errno::EADDRNOTAVAIL | Errno::ENODEV => Code::AddressNotAvailable,
            Errno::EACCES | Errno::EPERM => Code::Access,
            Errno::EMSGSIZE => Code::MessageSize,
            Errno::ENOENT | Errno::ENOTDIR => Code::NoEntry,
            Errno::EEXIST => Code::Exists,
            Errno::EMFILE | Errno::ENFILE | Errno::ETOOMANYREFS | Errno::EAGAIN => Code::Limit,
            Errno::ENOMEM | Errno::ENOBUFS => Code::OutOfMemory,
            _ => Code::System,
        };
        Error::new(code).errno(errno)
    }
}

impl From<std::collections::TryReserveError> for Error {
    fn from(_: std::collections::TryReserveError) -> Error {
        Error::new(Code::OutOfMemory)
    }
}

/// The words for an error, and for rare ones the system's own.
impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.words())?;
        if self.errno != 0 && matches!(self.code, Code::System | Code::InvalidArgument | Code::NotSupported | Code::Access) {
            write!(f, " ({}, error {})", Errno(self.errno), self.errno)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_has_its_own_name_and_phrase() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| name(*code as i64)).collect();
        let phrases: HashSet<_> = Code::ALL.iter().map(|code| phrase(*code as i64)).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert_eq!(phrases.len(), Code::ALL.len());
        assert!(!names.contains(name(-9999)));
    }

    #[test]
    fn only_errors_whose_words_are_vague_bring_the_systems() {
        for (code, errno, systems) in [
            (Code::System, Errno::EIO, true),
            (Code::Access, Errno::EPERM, true),
            (Code::System, Errno(0), false),
            (Code::Refused, Errno::ECONNREFUSED, false),
        ] {
            let text = Error::new(code).errno(errno).to_string();
            assert_eq!(text.contains(&format!("error {})", errno.0)), systems, "{text}");
            assert_eq!(text.contains(" ("), systems, "{text}");
        }
    }

    #[test]
    fn what_is_there_already_has_its_code() {
        assert_eq!(Error::from(Errno::EEXIST).code, Code::Exists);
    }
}
