//! How a container was made: what its runtime says of it beside its names.

use std::{collections::BTreeMap, path::PathBuf};

use zastava_common::event::v1::{
    Event, Mount, Owner,
    workload::{DigestOf, Role},
};

use super::{
    images::Named,
    runtime::{HASH, Kind, Ran, TELLABLE},
};

/// What runtimes mount into every container.
const OF_EVERY_CONTAINER: [&str; 5] =
    ["/dev/shm", "/dev/termination-log", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// How the container was made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Made {
    version: String,
    cgroup: String,
    role: Role,
    owner: Option<Owner>,
    sandbox: String,
    attempt: u32,
    image_id: String,
    image_index: String,
    digest_of: DigestOf,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    /// By their places in the container; without those of every container.
    mounts: Vec<Mount>,
    omitted: [u32; 3],
}

impl Made {
    /// As an event has it.
    pub(super) fn by(event: &Event) -> Self {
        let workload = event.workload.clone().unwrap_or_default();
        let own = |mount: &Mount| !OF_EVERY_CONTAINER.contains(&mount.destination.as_str());
        let mut mounts: Vec<_> = workload.mounts.iter().filter(|mount| own(mount)).cloned().collect();
        mounts.sort_by(|one, other| one.destination.cmp(&other.destination));
        Self {
            version: event.runtime.clone().unwrap_or_default().version,
            role: workload.role(),
            digest_of: workload.image_digest_of(),
            cgroup: workload.cgroup,
            owner: workload.owner,
            sandbox: workload.sandbox_id,
            attempt: workload.attempt,
            image_id: workload.image_id,
            image_index: workload.image_index,
            labels: workload.labels.into_iter().collect(),
            annotations: workload.annotations.into_iter().collect(),
            mounts,
            omitted: [workload.labels_omitted, workload.annotations_omitted, workload.mounts_omitted],
        }
    }

    /// As the test asked for it.
    pub(super) fn of(kind: Kind, version: String, ran: &Ran, image: &Named) -> Self {
        let (pod, sandbox) = match &ran.pod {
            Some(pod) => (pod.wish.clone(), pod.pod.id.clone()),
            None => Default::default(),
        };
        // As a Deployment names its pods.
        let derived = pod.name.split_once(&format!("-{HASH}-"));
        let owner = |(name, _): (&str, &str)| Owner {
            kind: "Deployment".to_owned(),
            name: name.to_owned(),
            derived: true,
        };
        let tellable = |(key, _): &(String, String)| key.starts_with(TELLABLE);
        let mount = |(host, place): &(PathBuf, String), read_only| Mount {
            source: host.display().to_string(),
            destination: place.clone(),
            read_only,
        };
        let mut mounts: Vec<_> = ran.wish.mounts.iter().map(|one| mount(one, true)).collect();
        mounts.extend(ran.wish.writable.iter().map(|one| mount(one, false)));
        mounts.sort_by(|one, other| one.destination.cmp(&other.destination));
        Self {
            version,
            cgroup: match kind {
                Kind::Containerd(_) | Kind::Cri(_) => format!("{}/{}", pod.cgroup_parent, ran.id),
                Kind::Docker => format!("/docker/{}", ran.id),
                Kind::Podman => format!("/libpod_parent/libpod-{}", ran.id),
            },
            role: Role::Workload,
            owner: derived.map(owner),
            sandbox,
            attempt: 0,
            image_id: image.image.config.digest.clone(),
            image_index: String::new(),
            digest_of: match kind {
                Kind::Containerd(_) => DigestOf::Manifest,
                Kind::Cri(_) | Kind::Docker | Kind::Podman => DigestOf::Pulled,
            },
            labels: pod.labels.into_iter().chain(ran.wish.labels.clone()).filter(tellable).collect(),
            annotations: pod.annotations.into_iter().filter(tellable).collect(),
            mounts,
            omitted: [0; 3],
        }
    }
}
