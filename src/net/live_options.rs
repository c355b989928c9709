//! Options of a live handle.

use super::error::{Code, Error, Result};
use super::registry::Handle;

pub fn set(_handle: Handle, _option: i32, _value: i64) -> Result<()> {
    Err(Error::new(Code::NotSupported))
}

pub fn get(_handle: Handle, _option: i32) -> Result<i64> {
    Err(Error::new(Code::NotSupported))
}
