//! Where: cgroup to container, and what the runtimes say of it.
//!
//! [`place`] reads a container's id out of the name that its runtime gave the cgroup; [`CgroupInventory`] remembers
//! which cgroup id has which name, so that a record costs one lookup. What the runtimes say of a container, its
//! [`description`], comes from [`runtime`]. [`Containers`] joins the two: it names each observation's container, follows
//! its life, and tells its start and its end.
#![forbid(unsafe_code)]

mod containers;
pub mod description;
#[cfg(test)]
mod flat;
mod inventory;
mod legacy;
mod name;
mod named;
pub mod reason;
pub mod runtime;
mod walk;

use std::sync::Arc;

use tokio::sync::oneshot;

pub use containers::{
    Containers, Counts as ContainerCounts, Listed, Now, Opening, Origins, Sample, Seen, Settings, State,
};
pub use inventory::{CgroupInventory, Counts, DEFAULT_CAPACITY};
pub use name::place;

use crate::observation::ContainerId;

/// Who asks which containers live; they are sent there.
pub type Question = oneshot::Sender<Vec<Listed>>;

/// Where the processes of a cgroup are, by the cgroup's name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Where {
    Host,
    Container(Arc<ContainerId>),
    /// Not known, and why (`cgroup gone`).
    Unknown(&'static str),
}
