//! What a runtime says of one container.
//!
//! All of it was written by others: whoever made the image, the pod, the container. Each field has a bound; what does
//! not fit is left out and counted, or, where half of it would be a lie (a name, an image), the whole description is
//! refused with a reason ([`super::runtime::News::Refused`]).

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::SystemTime};

use super::runtime::Engine;
use crate::observation::Known;

/// Longest single text (id, name, namespace, image, path), in bytes. A longer one refuses the description.
pub const MAX_TEXT: usize = 4096;
/// Most labels kept, and most annotations; with keys and values of [`MAX_LABEL_BYTES`] together.
pub const MAX_LABELS: usize = 64;
pub const MAX_LABEL_BYTES: usize = 16 * 1024;
/// Most words of an entrypoint, of [`MAX_ENTRYPOINT_BYTES`] together.
pub const MAX_ENTRYPOINT: usize = 256;
pub const MAX_ENTRYPOINT_BYTES: usize = 16 * 1024;
pub const MAX_MOUNTS: usize = 256;
/// Overlay takes 500 lower directories at most (`OVL_MAX_STACK`, fs/overlayfs/params.h).
pub const MAX_LAYERS: usize = 512;

/// Everything a runtime told of a container or sandbox. A later description of the same id replaces an earlier one
/// whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Description {
    pub engine: Arc<Engine>,
    /// Without the engine's prefix: 64 hex digits as a rule, and what the cgroup is named after.
    pub id: Arc<str>,
    pub role: Role,
    pub platform: Platform,
    pub state: State,
    /// As the pod spec or `docker run --name` has it, not the runtime's internal one. A sandbox has its pod's.
    pub name: String,
    /// How many times this container was started anew in its pod. 0 outside of Kubernetes.
    pub attempt: u32,
    pub pod: Option<Pod>,
    /// `None`: a sandbox of a runtime that has no image for it.
    pub image: Option<Image>,
    pub labels: Labels,
    pub annotations: Labels,
    pub owner: Option<Owner>,
    /// As configured: image, pod spec and command line together, what the runtime was told to execute.
    pub entrypoint: Entrypoint,
    pub mounts: Mounts,
    pub rootfs: Option<Rootfs>,
    /// The init's, in the pid namespace of the sensor's procfs root. `None`: does not run, or is not known yet.
    pub pid: Option<u32>,
    /// Path from the root of the hierarchy, as the runtime configured it.
    pub cgroup: Option<String>,
    pub created: Option<SystemTime>,
    pub started: Option<SystemTime>,
}

impl Description {
    /// Whether this cgroup of a user, or one below it, is the container's by its runtime's word. One that was not started
    /// yet has no cgroup: then it depends on whether the runtime is a user's.
    pub fn is_in(&self, cgroup: &str) -> bool {
        match self.cgroup.as_deref() {
            Some(own) => {
                own.strip_prefix(cgroup).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            None => self.state == State::Created && self.engine.is_of_user(),
        }
    }
}

/// What a container is for.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Role {
    /// Runs what was asked for. Also an init, sidecar or ephemeral container, where nobody told them apart: the CRI
    /// does not, the pod in the API server does.
    #[default]
    Workload,
    /// Holds a pod's namespaces (pause).
    Sandbox,
    /// Runs to its end before the workload begins.
    Init,
    /// An init container that stays (`restartPolicy: Always`).
    Sidecar,
    /// `kubectl debug`.
    Ephemeral,
}

impl Role {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Sandbox => "sandbox",
            Self::Init => "init",
            Self::Sidecar => "sidecar",
            Self::Ephemeral => "ephemeral",
        }
    }
}

/// Who asked for the container.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Platform {
    /// A kubelet, or another client of the CRI.
    Kubernetes,
    /// Whoever talks to the engine itself: `docker run`, `podman run`, `nerdctl`, `ctr`.
    Engine,
}

/// What a container did when it was described.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum State {
    Created,
    Running,
    /// Its init ended. [`super::runtime::News::Stopped`] follows the description and says how.
    Exited,
    /// The runtime lost sight of it and cannot tell.
    Unknown,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// Id of the pod's sandbox, the container's own where it is the sandbox.
    pub sandbox_id: Arc<str>,
}

/// Which image runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    /// The name as it was asked for.
    pub requested: String,
    /// `sha256:` and hex, of what [`Image::digest_of`] says. Never the config's.
    pub digest: Known<Arc<str>>,
    pub digest_of: DigestOf,
    /// Digest of the index (manifest list) that was asked for, by tag or by digest, where the running manifest was
    /// taken from one and that is known.
    pub index: Option<Arc<str>>,
    /// The image id: digest of its config, the same for every manifest that has this config.
    pub config_digest: Option<Arc<str>>,
    /// `imageRef` of the event: name and tag as asked for, then `@` and [`Image::digest`] where it is known. Never
    /// two digests: where one was asked for and another one runs (an index's and its manifest's), it is the one that
    /// runs.
    pub reference: String,
}

/// What an image's digest is the digest of.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DigestOf {
    /// The manifest that runs, and no other: read from the store of the runtime.
    Manifest,
    /// What was pulled, by the runtime's word: the manifest, or the index that it came from. Docker and the CRI tell
    /// no more.
    Pulled,
}

/// Labels or annotations that the configuration lets through.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Labels {
    pub kept: BTreeMap<String, String>,
    /// Let through, but over a bound.
    pub omitted: u32,
}

/// Who made the pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owner {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `Job`, `CronJob`, `ReplicaSet`, `Node` (a static pod), or a custom one.
    pub kind: String,
    pub name: String,
    /// From the pod's name and labels, by the habits of the built-in controllers, not from its `ownerReferences`.
    pub derived: bool,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Entrypoint {
    pub words: Vec<String>,
    /// More words, or bytes, than are kept.
    pub truncated: bool,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mounts {
    pub kept: Vec<Mount>,
    pub omitted: u32,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mount {
    /// On the host.
    pub source: PathBuf,
    /// In the container.
    pub destination: PathBuf,
    pub read_only: bool,
}

/// What the container's root directory is made of. Paths are the host's.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rootfs {
    /// Where the runtime mounts it.
    pub path: Option<PathBuf>,
    /// Overlay's lower directories, the uppermost layer first.
    pub lower: Vec<PathBuf>,
    pub upper: Option<PathBuf>,
    pub work: Option<PathBuf>,
    /// `overlayfs`, `native`, `overlay2`, ...
    pub snapshotter: Option<String>,
    /// Of the image's layers, the lowest first: digests of their uncompressed tars.
    pub diff_ids: Vec<Arc<str>>,
}
