//! System calls that no library of ours wraps, each with the least that is needed of it.

pub mod bpf;
pub mod clock;
pub mod fanotify;
pub mod handle;
pub mod memory;
pub mod perf;
pub mod stat;
