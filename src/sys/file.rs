//! Files, as far as unix sockets are files.

use super::{AsRawFd, Errno, OwnedFd, RawFd, Result, check, restart};
use std::ffi::CStr;
use std::os::fd::FromRawFd;

/// Which file a path names: device and inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    device: u64,
    inode: u64,
}

/// What lstat(2) reports about a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    pub identity: Identity,
    pub is_socket: bool,
    /// The permission bits.
    pub mode: u32,
}

/// What a path may take of the stack, which in a handler may be small; a longer one takes memory.
const SHORT_PATH: usize = 256;

fn with_path<T>(path: &[u8], call: impl FnOnce(&CStr) -> Result<T>) -> Result<T> {
    let mut short = [0; SHORT_PATH];
    let mut long;
    let text = match short.get_mut(..=path.len()) {
        Some(text) => text,
        None => {
            long = zeros(path.len() + 1)?;
            long.as_mut_slice()
        }
    };
    text[..path.len()].copy_from_slice(path);
    call(CStr::from_bytes_until_nul(text).map_err(|_| Errno::EINVAL)?)
}

fn zeros(count: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(count, 0);
    Ok(bytes)
}

fn status_of(stat: &libc::stat) -> Status {
    Status {
        identity: Identity { device: stat.st_dev as _, inode: stat.st_ino as _ },
        is_socket: stat.st_mode & libc::S_IFMT == libc::S_IFSOCK,
        mode: (stat.st_mode & 0o7777) as _,
    }
}

/// What a relative path names from any directory: it, below the directory that the process is in now.
pub fn absolute(path: &[u8]) -> Result<Vec<u8>> {
    let mut directory = zeros(libc::PATH_MAX as usize)?;
    // SAFETY: at most as many bytes as that are written, with a NUL.
    if unsafe { libc::getcwd(directory.as_mut_ptr().cast(), directory.len()) }.is_null() {
        return Err(Errno::last());
    }
    let directory = CStr::from_bytes_until_nul(&directory).map_err(|_| Errno::EINVAL)?.to_bytes();
    let mut whole = Vec::new();
    whole.try_reserve_exact(directory.len() + 1 + path.len()).map_err(|_| Errno::ENOMEM)?;
    [directory, b"/", path].iter().for_each(|part| whole.extend_from_slice(part));
    Ok(whole)
}

/// lstat(2).
pub fn status(path: &[u8]) -> Result<Status> {
    with_path(path, |path| {
        // SAFETY: all zeros is a valid stat.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: a NUL-terminated path, and a stat to write to.
        check(unsafe { libc::lstat(path.as_ptr(), &mut stat) })?;
        Ok(status_of(&stat))
    })
}

/// unlink(2).
pub fn unlink(path: &[u8]) -> Result<()> {
    // SAFETY: a NUL-terminated path.
    with_path(path, |path| check(unsafe { libc::unlink(path.as_ptr()) }).map(drop))
}

/// open(2) of the directory that a path is in, to be locked.
pub fn open_directory_of(path: &[u8]) -> Result<OwnedFd> {
    let directory = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => &path[..=slash],
        None => b".".as_slice(),
    };
    open(directory, libc::O_RDONLY | libc::O_DIRECTORY)
}

fn open(path: &[u8], flags: i32) -> Result<OwnedFd> {
    with_path(path, |path| {
        // SAFETY: a NUL-terminated path; without O_CREAT there is no third argument.
        let descriptor = restart(|| check(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) }))?;
        // SAFETY: open has just returned this descriptor; nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    })
}

/// flock(2), exclusive, without waiting. EAGAIN if somebody else has it.
pub fn try_lock(file: &OwnedFd) -> Result<()> {
    // SAFETY: no pointers.
    restart(|| check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) })).map(drop)
}

/// fchmod(2). Of a socket that is not bound yet, these become the most that its path will have.
pub fn set_mode(descriptor: RawFd, mode: u32) -> Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::fchmod(descriptor, mode as libc::mode_t) }).map(drop)
}

/// fchmodat(2) of a socket's path, never of what a symbolic link points to.
pub fn set_path_mode(path: &[u8], mode: u32) -> Result<()> {
    let change = |flags| {
        with_path(path, |path| {
            // SAFETY: a NUL-terminated path.
            check(unsafe { libc::fchmodat(libc::AT_FDCWD, path.as_ptr(), mode as libc::mode_t, flags) }).map(drop)
        })
    };
    match change(libc::AT_SYMLINK_NOFOLLOW) {
        // Before Linux 6.6 the C library needs /proc for this.
        Err(Errno::EOPNOTSUPP) if status(path)?.is_socket => change(0),
        done => done,
    }
}
