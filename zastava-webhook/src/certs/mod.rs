//! Certificates of the webhook's own making, for clusters without anybody who makes them.
//!
//! Each serving certificate has an authority of its own, whose key is thrown away when it has signed: there is none to
//! be stolen and none to run out unnoticed. A new pair is made when a third of the old one's life is left. The API server
//! trusts both authorities then, and it is told before the pods are, so that there is no moment at which a pod serves what
//! the API server does not trust.
#![forbid(unsafe_code)]

mod cluster;
mod expiry;
mod make;
#[cfg(test)]
mod tests;

pub use cluster::{CertsError, Cluster, Done};
pub use expiry::not_after;
pub use make::{Made, MakeError, make};
