//! Where an event happened, in the envelope's words.

use zastava_common::event::v1::{
    Mount, Owner, Rootfs, Runtime, Workload,
    workload::{DigestOf, Role},
};

use super::text;
use crate::{
    container::description::{self, Description, Image, Platform},
    observation::{Container, ContainerId, Known, Place},
};

/// Bytes of JSON that the mounts of a container may have: see the libraries'.
const MOUNT_BYTES: usize = 512 << 10;
const HOST: &str = "host";
const KUBERNETES: &str = "kubernetes";

pub(super) fn describe(place: &Place) -> (Option<Runtime>, Workload) {
    match place {
        Place::Host => (None, Workload { platform: HOST.to_owned(), ..Workload::default() }),
        Place::Unknown(reason) => {
            (None, Workload { unknown_reason: (*reason).to_owned(), ..Workload::default() })
        }
        Place::Container(Container { id, names: Known::Is(description) }) => named(id, description),
        Place::Container(Container { id, names: Known::Not(reason) }) => unnamed(id, reason),
    }
}

fn unnamed(container: &ContainerId, reason: &'static str) -> (Option<Runtime>, Workload) {
    let ContainerId { id, runtime, pod_uid, cgroup, nested_claim, by_user: _ } = container;
    let engine = runtime.map(|engine| Runtime { engine: engine.to_owned(), ..Runtime::default() });
    let platform = if pod_uid.is_some() { KUBERNETES } else { runtime.unwrap_or_default() };
    let workload = Workload {
        platform: platform.to_owned(),
        container_id: runtime.map_or_else(|| id.clone(), |engine| [engine, "://", id].concat()),
        pod_uid: pod_uid.clone().unwrap_or_default(),
        cgroup: cgroup.clone(),
        nested_claim: nested_claim.clone().unwrap_or_default(),
        names_reason: reason.to_owned(),
        ..Workload::default()
    };
    (engine, workload)
}

/// Everything that each event of a container has; what else is described stands in its start alone ([`extend`]).
fn named(container: &ContainerId, description: &Description) -> (Option<Runtime>, Workload) {
    let ContainerId { id, runtime: _, pod_uid, cgroup, nested_claim, by_user: _ } = container;
    let Description { engine, role, platform, name, pod, image, owner, .. } = description;
    let word = engine.kind.word();
    let runtime = Runtime { engine: word.to_owned(), version: engine.version.clone() };
    let (namespace, pod, uid) = match pod {
        Some(pod) => (pod.namespace.clone(), pod.name.clone(), Some(&pod.uid)),
        None => Default::default(),
    };
    let mut workload = Workload {
        platform: match platform {
            Platform::Kubernetes => KUBERNETES,
            Platform::Engine => word,
        }
        .to_owned(),
        namespace,
        pod,
        container: name.clone(),
        container_id: [word, "://", id].concat(),
        owner: owner.as_ref().map(|owner| Owner {
            kind: owner.kind.clone(),
            name: owner.name.clone(),
            derived: owner.derived,
        }),
        pod_uid: uid.or(pod_uid.as_ref()).cloned().unwrap_or_default(),
        cgroup: cgroup.clone(),
        nested_claim: nested_claim.clone().unwrap_or_default(),
        ..Workload::default()
    };
    workload.set_role(what_for(*role));
    if let Some(Image { reference, digest, digest_of, .. }) = image {
        workload.image_ref.clone_from(reference);
        match digest {
            Known::Is(digest) => {
                workload.image_digest = String::from(&**digest);
                workload.set_image_digest_of(match digest_of {
                    description::DigestOf::Manifest => DigestOf::Manifest,
                    description::DigestOf::Pulled => DigestOf::Pulled,
                });
            }
            Known::Not(reason) => (*reason).clone_into(&mut workload.image_digest_reason),
        }
    }
    (Some(runtime), workload)
}

/// Adds what is told once, with a container's start.
pub(super) fn extend(workload: &mut Workload, description: &Description) {
    let Description { attempt, pod, image, labels, annotations, mounts, rootfs, .. } = description;
    let shared =
        |text: Option<&std::sync::Arc<str>>| text.map(|text| String::from(&**text)).unwrap_or_default();
    workload.attempt = *attempt;
    workload.sandbox_id = shared(pod.as_ref().map(|pod| &pod.sandbox_id));
    workload.image_id = shared(image.as_ref().and_then(|image| image.config_digest.as_ref()));
    workload.image_index = shared(image.as_ref().and_then(|image| image.index.as_ref()));
    workload.labels.clone_from(&labels.kept);
    workload.labels_omitted = labels.omitted;
    workload.annotations.clone_from(&annotations.kept);
    workload.annotations_omitted = annotations.omitted;
    let kept = mounts.kept.iter().map(|mount| Mount {
        source: text::path(&mount.source),
        destination: text::path(&mount.destination),
        read_only: mount.read_only,
    });
    let (kept, too_much) = text::within(kept, MOUNT_BYTES);
    workload.mounts = kept;
    workload.mounts_omitted = mounts.omitted.saturating_add(too_much);
    workload.rootfs = rootfs.as_ref().map(|rootfs| Rootfs {
        path: rootfs.path.as_deref().map(text::path).unwrap_or_default(),
        lower: rootfs.lower.iter().map(|path| text::path(path)).collect(),
        upper: rootfs.upper.as_deref().map(text::path).unwrap_or_default(),
        work: rootfs.work.as_deref().map(text::path).unwrap_or_default(),
        snapshotter: rootfs.snapshotter.clone().unwrap_or_default(),
        diff_ids: rootfs.diff_ids.iter().map(|id| String::from(&**id)).collect(),
    });
}

fn what_for(role: description::Role) -> Role {
    match role {
        description::Role::Workload => Role::Workload,
        description::Role::Sandbox => Role::Sandbox,
        description::Role::Init => Role::Init,
        description::Role::Sidecar => Role::Sidecar,
        description::Role::Ephemeral => Role::Ephemeral,
    }
}
