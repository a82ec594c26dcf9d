//! Out of the house: JSON lines, readable lines, and the `Watch` service for consumers on this machine.
#![forbid(unsafe_code)]

mod socket;

pub use socket::{Socket, SocketError};
