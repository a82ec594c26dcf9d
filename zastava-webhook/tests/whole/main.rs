//! The real program against a registry that does what it is told, over TLS and signals as in a cluster.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

mod cli;
mod end;
mod faults;
mod lab;
mod load;
mod reload;
