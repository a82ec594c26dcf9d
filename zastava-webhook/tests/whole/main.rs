//! The real program against a registry that does what it is told, over TLS and signals as in a cluster.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

#[path = "../../../zastava-common/tests/backend/world.rs"]
mod authority;
mod backend;
mod cli;
mod end;
mod faults;
mod lab;
mod load;
mod reload;
mod remembered;
