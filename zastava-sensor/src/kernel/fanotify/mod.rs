//! File changes without BPF: fanotify on whole file systems, for the tiers `tracepoint` and `sideband`.
//!
//! An event names a directory by handle and an entry in it; [`watch`] finds the file while it is there, and [`change`]
//! tells what the event means for whether something can be executed.

mod change;
pub mod event;
mod mounts;
mod place;
#[cfg(test)]
mod tests;
mod watch;

pub use watch::{Counters, FanotifyError, FileWatch, Mark};
