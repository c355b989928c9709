//! Names to addresses.

use super::address::Address;
use super::error::{Code, Error, Result};
use crate::sys::names;
use crate::sys::socket::Family;
use std::ffi::CStr;
use std::net::SocketAddr;

/// The addresses of a name, in the resolver's order.
pub fn lookup(name: &CStr, port: u16, family: Option<Family>, _until: i64) -> Result<Vec<Address>> {
    let found = names::resolve(name, family).map_err(|error| {
        let code = match error.code {
            names::EAI_NONAME | names::EAI_NODATA => Code::NoHost,
            names::EAI_MEMORY => Code::OutOfMemory,
            _ => Code::Resolver,
        };
        Error::text(code, format_args!("{}", names::resolver_text(error.code).to_string_lossy()))
    })?;
    Ok(found.into_iter().map(|address| Address::Ip(SocketAddr::new(address.ip(), port))).collect())
}
