//! Listens where the API server asks: TLS, a bound for everything, and an end that no request notices.
#![forbid(unsafe_code)]

mod accept;
mod body;
mod connection;
mod deadline;
mod handler;
mod health;
mod places;
mod shares;
#[cfg(test)]
mod tests;
mod tls;

pub use accept::{Listener, ServerError};
pub use handler::{App, router};
pub use health::Health;
pub use tls::{Certificates, TlsError};
