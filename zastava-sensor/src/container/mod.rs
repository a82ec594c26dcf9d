//! Where: cgroup to container.
//!
//! [`place`] reads a container's id out of the name that its runtime gave the cgroup; [`CgroupInventory`] remembers
//! which cgroup id has which name, so that a record costs one lookup. What the runtimes say of a container, its
//! [`description`], comes from [`runtime`].
#![forbid(unsafe_code)]

pub mod description;
mod inventory;
mod legacy;
mod name;
pub mod reason;
pub mod runtime;
mod walk;

pub use inventory::{CgroupInventory, Counts, DEFAULT_CAPACITY};
pub use name::place;
