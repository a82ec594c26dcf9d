//! What is asked of an image, compiled from the configuration: keys are read, patterns parsed, and for each namespace
//! its own rules lie ready.
//!
//! A namespace can only be asked for more. Rules are lists of which every entry must hold; a namespace adds entries.
#![forbid(unsafe_code)]

mod backend;
mod compile;
mod files;
mod pattern;
mod registries;
mod rules;
mod signers;
#[cfg(test)]
pub(crate) mod tests;
mod unusable;

use std::{collections::HashMap, fmt, sync::Arc};

pub use backend::backend;
pub use files::{Disk, FileError, Files};
pub use pattern::{Glob, Repositories};
pub use registries::{asked, registries};
pub use rules::{Bases, Need, Requirement, Rules, Tags};
pub use unusable::{Cause, Unusable};

/// The policy of the whole cluster.
#[derive(Clone, Debug)]
pub struct Policy {
    general: Arc<Rules>,
    namespaces: HashMap<String, Arc<Rules>>,
    hash: PolicyHash,
}

/// Equal for equal policies alone: of the configuration's section and of every key and root that it names.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct PolicyHash([u8; 32]);

impl Policy {
    /// What is asked in `namespace`.
    pub fn rules(&self, namespace: &str) -> &Arc<Rules> {
        self.namespaces.get(namespace).unwrap_or(&self.general)
    }

    pub fn hash(&self) -> PolicyHash {
        self.hash
    }
}

/// The first 12 digits: enough to tell apart the policies of one cluster.
impl fmt::Display for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
