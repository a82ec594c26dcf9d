//! The sensor: a record from the kernel walks through the stages once, front to back.
//!
//! `kernel` -> `process` -> `container` -> `file` -> `deliver`, wired in `pipeline`; `health` stands beside them.

pub mod cli;
pub mod container;
pub mod deliver;
pub mod file;
pub mod health;
pub mod kernel;
pub mod observation;
pub mod pipeline;
pub mod process;
