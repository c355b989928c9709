//! Datagrams.

use super::error::{Code, Error, Result};
use super::registry::Pinned;
use super::wait::Call;
use std::io::{IoSlice, IoSliceMut};

pub fn read(_: &Pinned, _: &mut Call, _: &mut [u8]) -> Result<usize> {
    Err(Error::new(Code::NotSupported))
}
pub fn peek(_: &Pinned, _: &mut Call, _: &mut [u8]) -> Result<usize> {
    Err(Error::new(Code::NotSupported))
}
pub fn try_read(_: &Pinned, _: &mut [u8]) -> Result<usize> {
    Err(Error::new(Code::NotSupported))
}
pub fn read_parts(_: &Pinned, _: &mut Call, _: &mut [IoSliceMut]) -> Result<usize> {
    Err(Error::new(Code::NotSupported))
}
pub fn write(_: &Pinned, _: &mut Call, _: &[u8]) -> Result<usize> {
    Err(Error::new(Code::NotSupported))
}
pub fn try_write(_: &Pinned, _: &[u8]) -> Result<usize> {
    Err(Error::new(Code::NotSupported))
}
pub fn write_parts(_: &Pinned, _: &mut Call, _: &[IoSlice]) -> Result<usize> {
    Err(Error::new(Code::NotSupported))
}
