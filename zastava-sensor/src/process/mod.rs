//! Who: live processes, their ancestry, the start-up scan.
#![forbid(unsafe_code)]

mod identity;
pub mod proc;
