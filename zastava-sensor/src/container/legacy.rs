//! Containers that stand in cgroup v1 hierarchies alone.
//!
//! The kernel programs know a process's v2 cgroup. On a machine with v1 hierarchies a runtime may put its containers
//! only there, and their processes then look like the host's. While any such container exists (none does on a
//! machine with v2 alone), a process of the host's cgroups is looked up in `/proc/<pid>/cgroup` before it is called
//! the host's.

use hashlink::LruCache;

use super::{Where, name, walk};
use crate::observation::ContainerId;
use crate::process::proc::cgroup::{Membership, memberships};
use crate::process::proc::cgroupfs::{self, Cgroupfs};

/// Containers remembered; when more exist, the oldest is forgotten and the others still cause the look-up.
const CAPACITY: usize = 1024;

#[derive(Debug)]
pub(super) struct LegacyContainers {
    /// No v2 file system shows which containers v2 has: every process is looked up.
    unified_unseen: bool,
    ids: LruCache<String, ()>,
}

impl LegacyContainers {
    pub(super) fn new(unified: Option<&Cgroupfs>) -> Self {
        Self { unified_unseen: unified.is_none(), ids: LruCache::new(CAPACITY) }
    }

    /// Whether a process in a v2 cgroup of the host may yet be in a container.
    pub(super) fn possible(&self) -> bool {
        self.unified_unseen || !self.ids.is_empty()
    }

    /// Looks through the v1 hierarchies that are mounted; at most `limit` directories of each.
    pub(super) fn scan(&mut self, unified: Option<&Cgroupfs>, limit: usize) {
        for mount in cgroupfs::v1_mounts() {
            walk::walk(&mount, limit, |_, path| self.made(path, unified));
        }
    }

    /// A cgroup was made in a v1 hierarchy. runc makes the v2 one last, which then calls [`Self::is_unified`].
    pub(super) fn made(&mut self, path: &[u8], unified: Option<&Cgroupfs>) {
        let Where::Container(container) = name::place(path) else { return };
        let in_v2 = || unified.is_some_and(|unified| unified.id(container.cgroup.as_bytes()).is_ok());
        if self.ids.get(&container.id).is_none() && !in_v2() {
            self.ids.insert(container.id.clone(), ());
        }
    }

    /// The container has a v2 cgroup.
    pub(super) fn is_unified(&mut self, container: &ContainerId) {
        self.ids.remove(&container.id);
    }

    /// A cgroup was removed from a v1 hierarchy.
    pub(super) fn removed(&mut self, path: &[u8]) {
        if let Where::Container(container) = name::place(path)
            && container.cgroup.as_bytes() == path
        {
            self.ids.remove(&container.id);
        }
    }
}

/// Where a process is by all the lines of its `cgroup` file: the first container that any hierarchy names, else what
/// the v2 line says, else (v1 alone) the host if all lines say so.
pub(super) fn by_all_hierarchies(bytes: &[u8]) -> Option<Where> {
    let mut unified = None;
    let mut legacy = None;
    for Membership { hierarchy, path, .. } in memberships(bytes) {
        let place = name::place(path);
        match place {
            Where::Container(_) => return Some(place),
            _ if hierarchy == 0 => unified = Some(place),
            Where::Unknown(_) => legacy = Some(place),
            Where::Host => {
                legacy.get_or_insert(place);
            }
        }
    }
    unified.or(legacy)
}
