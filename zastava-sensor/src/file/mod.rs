//! What: file identity, build-id, SHA-256.
//!
//! The kernel names the *real* inode below overlayfs; [`FileStage`] finds that very inode again, reads it once and
//! remembers what it is. A file that cannot be proved to be the one that the kernel meant gets a [`reason`], never
//! another file's digest.
#![forbid(unsafe_code)]

mod budget;
pub mod elf;
mod facts;
mod mounts;
mod open;
mod read;
pub mod reason;
mod same;
mod stage;
mod walk;

pub use budget::Limits;
pub use stage::{Counters, FileRequest, FileStage, Purpose};

#[cfg(test)]
mod tests;
