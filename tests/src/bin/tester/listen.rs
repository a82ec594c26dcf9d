//! A socket that listens for a moment.

use std::{io, net::TcpListener};

use super::Outcome;

/// Prints the address that it got.
pub(super) fn listen(address: &str) -> io::Result<Outcome> {
    match TcpListener::bind(address) {
        Ok(listener) => {
            println!("{}", listener.local_addr()?);
            Ok(Outcome::Done)
        }
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            Ok(Outcome::Unable(format!("bind {address}: {error}")))
        }
        Err(error) => Err(error),
    }
}
