//! The real program against a registry that does what it is told, over TLS and signals as in a cluster.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

#[path = "../../../zastava-common/tests/backend/world.rs"]
mod authority;
mod backend;
mod beside;
mod cli;
mod end;
mod excuses;
mod faults;
mod lab;
mod load;
#[allow(dead_code, reason = "tests of evidence use the rest")]
#[path = "../../../zastava-common/tests/evidence/made.rs"]
mod made;
mod moved;
mod panic;
#[allow(dead_code, unused_imports, reason = "tests of evidence use the rest")]
#[path = "../../../zastava-common/tests/evidence/lab/mod.rs"]
mod registries;
mod reload;
mod remembered;
mod secrets;
mod silent;
mod stranger;
mod subresources;
mod told;
mod unread;
