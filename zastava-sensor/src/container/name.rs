//! A cgroup's path to the container that it belongs to.
//!
//! # Which of several names counts
//!
//! The **outermost** component that has a runtime's form is the container. What stands above it was made by the
//! host; what stands below it can be made by any process in the container that may write to its cgroups (Docker in
//! Docker, kind, nested systemd do so rightly). From the path alone a kind node's pod and a made-up name look the
//! same, and a process must not be able to put on another container's name; so an inner name is reported beside
//! the identity ([`ContainerId::nested_claim`], the innermost), never in its place. To observe the pods of a kind
//! cluster, its node containers are the containers; what they claim is there for whoever trusts them.
//!
//! A component that resembles a runtime's but holds no whole id, or names a container of a kind we do not know,
//! ends the search for the same reason: what is below it could be made up.
//!
//! In `user.slice` the host's users make the names, rootless runtimes among them: such an identity is marked
//! ([`ContainerId::by_user`]), and [`super::Containers`] takes it for a known container only by its runtime's word.

mod component;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use component::{Component, pod_uid};

use super::{Where, reason};
use crate::observation::ContainerId;

/// Where the processes of a cgroup are, by its path from the root of its hierarchy (v1 or v2).
pub fn place(path: &[u8]) -> Where {
    let walked = Walk::new(path);
    let mut parent: &[u8] = b"";
    let mut below_kubepods = false;
    let owned_by_user = walked.first() == b"user.slice";
    for (name, end) in walked {
        match Component::of(name, parent, owned_by_user) {
            Component::Container { id, runtime, slice } => {
                let pod = slice.or(below_kubepods.then_some(parent)).and_then(pod_uid);
                return Where::Container(Arc::new(ContainerId {
                    id: ascii(id),
                    runtime,
                    pod_uid: pod,
                    cgroup: String::from_utf8_lossy(&path[..end]).into_owned(),
                    by_user: owned_by_user,
                    nested_claim: claim(&path[end..]),
                }));
            }
            Component::Monitor => return Where::Host,
            Component::Malformed => return Where::Unknown(reason::ID_MALFORMED),
            Component::OtherKind => return Where::Unknown(reason::OTHER_KIND),
            Component::Outside => return Where::Unknown(reason::OUTSIDE_NAMESPACE),
            Component::Kubepods => below_kubepods = true,
            Component::Plain => {}
        }
        parent = name;
    }
    match Walk::new(path).first() {
        b"" => Where::Host,
        _ if below_kubepods => Where::Unknown(reason::POD_LEVEL),
        first if is_systemd_unit(first) => Where::Host,
        _ => Where::Unknown(reason::FORM_UNKNOWN),
    }
}

/// The innermost container's name in a path below another container.
pub(super) fn claim(below: &[u8]) -> Option<String> {
    let mut parent: &[u8] = b"";
    let mut innermost = None;
    for (name, _) in Walk::new(below) {
        if let Component::Container { id, .. } = Component::of(name, parent, false) {
            innermost = Some(id);
        }
        parent = name;
    }
    innermost.map(ascii)
}

fn is_systemd_unit(name: &[u8]) -> bool {
    [&b".slice"[..], b".scope", b".service"].iter().any(|suffix| name.ends_with(suffix))
}

/// Of bytes known to be ASCII.
fn ascii(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The components of a path, each with the offset of its end.
struct Walk<'a> {
    path: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn new(path: &'a [u8]) -> Self {
        Self { path, at: 0 }
    }

    fn first(&self) -> &'a [u8] {
        Self { ..*self }.next().map_or(b"", |(name, _)| name)
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = (&'a [u8], usize);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.path[self.at..];
        let start = self.at + rest.iter().position(|byte| *byte != b'/')?;
        let length = self.path[start..].iter().position(|byte| *byte == b'/');
        self.at = length.map_or(self.path.len(), |length| start + length);
        Some((&self.path[start..self.at], self.at))
    }
}
