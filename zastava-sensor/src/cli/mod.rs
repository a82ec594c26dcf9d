//! Command line: one file per subcommand.
#![forbid(unsafe_code)]

pub mod duration;
