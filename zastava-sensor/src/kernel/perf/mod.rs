//! perf's side-band records: every executable mapping with the build-id that the kernel read, and processes' beginnings
//! and ends, without BPF.
//!
//! A software dummy event per CPU counts nothing and carries the records. Since Linux 5.12 a record of a mapping has
//! the file's build-id *instead of* its inode; where both are wanted, a second event writes the inode into the same
//! ring and [`pair`] joins the two.

pub mod assembler;
pub mod hints;
mod identity;
mod loading;
mod order;
mod pair;
mod reader;
pub mod record;
mod ring;
#[cfg(test)]
mod tests;
mod threads;

pub use assembler::SidebandAssembler;
pub use hints::BuildIdHints;
pub use order::{InOrder, SETTLE_NS};
pub use reader::{Counters, PerfError, PerfReader, Settings, Support, cpus, probe};
