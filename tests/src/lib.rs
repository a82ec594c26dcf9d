//! End-to-end tests: the real sensor, real kernels, and programs that do one observable thing each.
//!
//! `zastava-e2e` plays every [`scenarios`] and [`trials`] in each tier; it is static if asked for, so that the same
//! program runs on a host and in a virtual machine that has nothing else.

pub mod containers;
pub mod elf;
pub mod expect;
pub mod fixture;
pub mod http;
pub mod image;
pub mod inbox;
pub mod play;
pub mod report;
pub mod runtimes;
pub mod scenarios;
pub mod sensor;
pub mod sight;
pub mod stage;
pub mod trials;
pub mod watch;
