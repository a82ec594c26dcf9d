//! Command line: one file per subcommand.
#![forbid(unsafe_code)]

pub mod config;
pub mod duration;
