//! Who: live processes, their ancestry, the start-up scan.
//!
//! [`ProcessTable`] follows the kernel's records; [`scan()`] tells it what ran before them. Behind both stands
//! [`proc`], which reads procfs.
#![forbid(unsafe_code)]

mod describe;
mod identity;
pub mod proc;
mod running;
pub mod scan;
mod table;

pub use scan::{Existing, Mapped, Scan, scan};
pub use table::{Counts, Exited, Found, ProcessTable, Source};
