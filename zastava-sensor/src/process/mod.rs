//! Who: live processes, their ancestry, the start-up scan.
#![forbid(unsafe_code)]

pub mod proc;
