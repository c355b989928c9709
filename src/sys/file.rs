//! Files, as far as unix sockets are files.

use super::{Result, check};
use std::ffi::CStr;

/// Which file a path names: device and inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    device: u64,
    inode: u64,
}

const LONGEST_PATH: usize = 256;

fn with_path<T>(path: &[u8], call: impl FnOnce(&CStr) -> Result<T>) -> Result<T> {
    let mut text = [0; LONGEST_PATH];
    if path.len() >= LONGEST_PATH {
        return Err(super::Errno::ENAMETOOLONG);
    }
    text[..path.len()].copy_from_slice(path);
    call(CStr::from_bytes_until_nul(&text).map_err(|_| super::Errno::EINVAL)?)
}

/// lstat(2).
pub fn identity(path: &[u8]) -> Result<Identity> {
    with_path(path, |path| {
        // SAFETY: all zeros is a valid stat.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: a NUL-terminated path, and a stat to write to.
        check(unsafe { libc::lstat(path.as_ptr(), &mut stat) })?;
        Ok(Identity { device: stat.st_dev as _, inode: stat.st_ino as _ })
    })
}

/// unlink(2).
pub fn unlink(path: &[u8]) -> Result<()> {
    // SAFETY: a NUL-terminated path.
    with_path(path, |path| check(unsafe { libc::unlink(path.as_ptr()) }).map(drop))
}
