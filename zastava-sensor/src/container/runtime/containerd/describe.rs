//! A container's description, from what containerd stores in several places.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use super::{
    Containerd, api,
    image::Question,
    record::{Kind, Record},
};
use crate::{
    container::{
        description::{Description, DigestOf, Image, Platform, Role, Rootfs, State},
        reason,
        runtime::{
            Stop,
            client::{Client, Failure, Key, Told},
            labels::Texts,
            overlay, owner,
            reference::with_digest,
            text::{entrypoint, mounts, timestamp},
        },
    },
    observation::Known,
};

/// What a container does, by its task and the CRI.
#[derive(Debug)]
struct Run {
    state: State,
    pid: Option<u32>,
    started: Option<SystemTime>,
    stop: Option<Stop>,
}

/// A pod's labels and annotations stand at its sandbox.
#[derive(Debug, Default)]
struct OfPod {
    labels: Texts,
    annotations: Texts,
}

impl Containerd {
    /// Of a key with its namespace.
    pub(super) async fn describe_one(&self, key: &Key) -> Result<Told, Failure> {
        let namespace = key.namespace.as_deref().unwrap_or_default();
        let mut record = Record::parse(self.container(namespace, &key.id).await?)?;
        if record.id != *key.id {
            return Err(Failure::Malformed("another container than the one asked for"));
        }
        let (run, rootfs, (image, diff_ids), of_pod) = tokio::join!(
            self.run(namespace, &record),
            self.rootfs(namespace, &record),
            self.image(namespace, &record),
            self.of_pod(namespace, &record),
        );
        let Run { state, pid, started, stop } = run?;
        let rootfs = rootfs.map(|rootfs| Rootfs { path: self.root_path(key, &rootfs), diff_ids, ..rootfs });
        let of_pod = of_pod?;
        let pod_labels = if record.kind == Kind::Sandbox { &record.labels } else { &of_pod.labels };
        let label = |key: &str| pod_labels.get(key).map(String::as_str);
        let owner = record.pod.as_ref().and_then(|pod| owner::derived(&pod.name, label));
        let settings = &self.shared.settings;
        let description = Description {
            engine: Arc::clone(self.engine()),
            id: Arc::clone(&key.id),
            role: if record.kind == Kind::Sandbox { Role::Sandbox } else { Role::Workload },
            platform: if record.kind == Kind::Plain { Platform::Engine } else { Platform::Kubernetes },
            state,
            attempt: record.attempt,
            image,
            labels: settings.labels.keep(of_pod.labels.iter().chain(&record.labels)),
            annotations: settings.annotations.keep(of_pod.annotations.iter().chain(&record.annotations)),
            owner,
            entrypoint: entrypoint(record.spec.take_args()),
            mounts: mounts(record.spec.take_mounts()),
            rootfs,
            pid,
            cgroup: record.spec.cgroup(),
            created: record.created,
            started,
            name: record.name,
            pod: record.pod,
        };
        Ok(Told { description, stop })
    }

    async fn run(&self, namespace: &str, record: &Record) -> Result<Run, Failure> {
        let status = async {
            match record.kind {
                Kind::Container => Some(self.shared.cri.life(&record.id).await),
                Kind::Sandbox | Kind::Plain => None,
            }
        };
        let (task, status) = tokio::join!(self.task(namespace, &record.id), status);
        // Not there before the CRI has finished making the container, nor without the CRI: then the task alone tells.
        let status = status.and_then(Result::ok);
        let started = status.as_ref().and_then(|status| status.started);
        match task {
            Ok(task) => {
                let stopped = task.status() == api::Status::Stopped;
                let stop = stopped.then(|| Stop {
                    at: timestamp(task.exited_at.as_ref()),
                    ..Stop::with_code(task.exit_status)
                });
                let state = match task.status() {
                    api::Status::Running | api::Status::Paused | api::Status::Pausing => State::Running,
                    api::Status::Stopped => State::Exited,
                    api::Status::Created | api::Status::Unknown => State::Created,
                };
                let pid = (task.pid != 0 && !stopped).then_some(task.pid);
                Ok(Run { state, pid, started, stop })
            }
            Err(Failure::Unknown) => {
                let stop = status.and_then(|status| status.stop);
                let state = if stop.is_some() { State::Exited } else { State::Created };
                Ok(Run { state, pid: None, started, stop })
            }
            Err(failure) => Err(failure),
        }
    }

    async fn rootfs(&self, namespace: &str, record: &Record) -> Option<Rootfs> {
        if record.snapshot_key.is_empty() {
            return None;
        }
        match self.mounts(namespace, &record.snapshotter, &record.snapshot_key).await {
            Ok(mounts) => {
                let mount = mounts.first()?;
                let options = mount.options.iter().map(Vec::as_slice);
                let rootfs = overlay::rootfs(&mount.r#type, &mount.source, options)?;
                Some(Rootfs { snapshotter: Some(record.snapshotter.clone()), ..rootfs })
            }
            Err(failure) => {
                tracing::debug!(%failure, id = record.id, "the layers of a container are not known");
                None
            }
        }
    }

    /// Where its root is mounted: beside the others' bundles, or where the host has its upper directory mounted.
    fn root_path(&self, key: &Key, rootfs: &Rootfs) -> Option<PathBuf> {
        let namespace = key.namespace.as_deref()?;
        if let Some(path) = self.root_of(namespace, &key.id) {
            return Some(path);
        }
        let path = overlay::mount_point(&self.shared.settings.procfs, rootfs.upper.as_deref()?)?;
        self.learn_bundles(&path, key);
        Some(path)
    }

    /// The image, and the ids of its layers.
    async fn image(&self, namespace: &str, record: &Record) -> (Option<Image>, Vec<Arc<str>>) {
        if record.requested.is_empty() {
            return (None, Vec::new());
        }
        let chain = match record.config {
            Some(_) => None,
            None => self.chain_id(namespace, &record.snapshotter, &record.snapshot_key).await.ok(),
        };
        let question = Question {
            namespace,
            requested: &record.requested,
            by_id: record.by_id,
            stored: &record.image,
            config: record.config.as_deref(),
            chain: chain.as_deref(),
            snapshotter: &record.snapshotter,
        };
        let answer = self.shared.store.find(&question).await;
        // Of several images with this id nobody knows which was meant.
        let unnamed = record.by_id && answer.digest == Known::Not(reason::DIGEST_AMBIGUOUS);
        let requested = match (&record.config, unnamed) {
            (Some(id), true) => id.clone(),
            _ => record.requested.clone(),
        };
        let reference = with_digest(&requested, answer.digest.value().map(|digest| &**digest));
        let image = Image {
            requested,
            digest: answer.digest,
            digest_of: DigestOf::Manifest,
            index: answer.index,
            config_digest: answer.config,
            reference,
        };
        (Some(image), answer.diff_ids)
    }

    async fn of_pod(&self, namespace: &str, record: &Record) -> Result<OfPod, Failure> {
        let Some(pod) = record.pod.as_ref().filter(|_| record.kind == Kind::Container) else {
            return Ok(OfPod::default());
        };
        match self.container(namespace, &pod.sandbox_id).await {
            Ok(container) => {
                let Record { labels, annotations, .. } = Record::parse(container)?;
                Ok(OfPod { labels, annotations })
            }
            // A sandbox that is no container (containerd 2 with another sandboxer), or is gone already.
            Err(Failure::Unknown) => {
                let labels = self.shared.cri.texts_of_pod(&pod.sandbox_id).await;
                let (labels, annotations) = labels.unwrap_or_default();
                Ok(OfPod { labels, annotations })
            }
            Err(failure) => Err(failure),
        }
    }
}
