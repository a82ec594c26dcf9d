//! Exit codes; `--help` lists them.

/// It failed while running.
pub const FAILED: u8 = 1;
/// Arguments or configuration cannot be used; clap ends with it too.
pub const USAGE: u8 = 2;
/// No tier works on this kernel.
pub const NO_TIER: u8 = 3;
/// `watch`, `containers`: no sensor is there; `run`: another one serves the socket.
pub const SENSOR: u8 = 4;
