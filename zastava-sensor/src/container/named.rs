//! Cgroups whose names tell no container, and of which a runtime says that they are one's.
//!
//! `ctr run IMAGE redis` makes `/default/redis`. What stands below such a cgroup is that container's too, whatever it is
//! called: its processes may have made it.

use std::sync::Arc;

use hashlink::LruCache;

use super::{Where, description::Description, name, reason};
use crate::observation::ContainerId;

/// Containers kept in mind; of more, the one described longest ago is forgotten.
const CAPACITY: usize = 1024;

#[derive(Debug)]
pub(super) struct NamedCgroups {
    /// By the path from the root of the hierarchy.
    known: LruCache<String, Arc<ContainerId>>,
}

impl NamedCgroups {
    pub(super) fn new() -> Self {
        Self { known: LruCache::new(CAPACITY) }
    }

    /// Returns the path of the container's cgroup where its name does not tell the container.
    pub(super) fn learn<'a>(&mut self, description: &'a Description) -> Option<&'a str> {
        // A user's runtime must not take other cgroups of the host for its own.
        let path = description.cgroup.as_deref().filter(|_| !description.engine.is_of_user())?;
        let tells_nothing = match name::place(path.as_bytes()) {
            Where::Unknown(reason) => reason == reason::FORM_UNKNOWN,
            // Slices hold other things too.
            Where::Host => path.as_bytes().ends_with(b".scope"),
            Where::Container(_) => false,
        };
        if !tells_nothing || !path.starts_with('/') {
            return None;
        }
        if self.known.get(path).is_none_or(|known| *known.id != *description.id) {
            let container = ContainerId {
                id: description.id.to_string(),
                runtime: Some(description.engine.kind.word()),
                pod_uid: description.pod.as_ref().map(|pod| pod.uid.clone()),
                cgroup: path.to_owned(),
                by_user: false,
                nested_claim: None,
            };
            self.known.insert(path.to_owned(), Arc::new(container));
        }
        Some(path)
    }

    /// Its runtime does not have it any more.
    pub(super) fn forget(&mut self, id: &str) {
        let path = self.known.iter().find(|(_, container)| container.id == id).map(|(path, _)| path.clone());
        if let Some(path) = path {
            self.known.remove(&path);
        }
    }

    /// Where the processes of a cgroup are.
    pub(super) fn place(&self, path: &[u8]) -> Where {
        if let Ok(text) = str::from_utf8(path)
            && let Some(container) = self.above(text)
        {
            let nested_claim = name::claim(&path[container.cgroup.len()..]);
            return Where::Container(if nested_claim.is_none() {
                Arc::clone(container)
            } else {
                Arc::new(ContainerId { nested_claim, ..(**container).clone() })
            });
        }
        name::place(path)
    }

    /// The outermost container that a cgroup is in.
    fn above(&self, path: &str) -> Option<&Arc<ContainerId>> {
        if self.known.is_empty() {
            return None;
        }
        let mut ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.find_map(|end| self.known.peek(&path[..end]))
    }
}
