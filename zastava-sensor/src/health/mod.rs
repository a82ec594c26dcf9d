//! Whether the sensor works, and what it knows that it did not see: readiness, metrics, the loss ledger.
#![forbid(unsafe_code)]

mod exposition;
mod ledger;
mod readiness;
mod server;
mod service;

pub use exposition::{Exposition, MetricsError};
pub use ledger::Ledger;
pub use readiness::{Readiness, Report, Step};
pub use server::{HealthServer, ServerError};
pub use service::{Pulse, attend};
