//! Where: cgroup to container.
//!
//! [`name`] reads a container's id out of the name that its runtime gave the cgroup; [`CgroupInventory`] remembers
//! which cgroup id has which name, so that a record costs one lookup.
#![forbid(unsafe_code)]

mod name;
pub mod reason;

pub use name::place;
