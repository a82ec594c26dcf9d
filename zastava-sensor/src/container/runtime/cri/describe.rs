//! A container or sandbox as the CRI tells it.

use std::{path::PathBuf, sync::Arc};

use super::{
    Cri, NO_STATUS, api,
    info::{ImageInfo, Info},
    stop, texts,
};
use crate::{
    container::{
        description::{Description, DigestOf, Image, MAX_LAYERS, Mount, Platform, Pod, Role, Rootfs, State},
        reason,
        runtime::{
            client::{Client, Failure, Key, Told},
            labels::Texts,
            overlay, owner, pulled,
            reference::{Reference, with_digest},
            spec::Spec,
            text::{digest, entrypoint, id, image_id, mounts, nanoseconds, text},
        },
    },
    observation::Known,
};

/// A pod, by its sandbox.
struct OfPod {
    pod: Pod,
    labels: Texts,
    annotations: Texts,
}

impl Cri {
    pub(super) async fn describe_container(
        &self,
        key: &Key,
        answer: api::ContainerStatusResponse,
    ) -> Result<Told, Failure> {
        let info = Info::parse(&answer.info)?;
        let status = answer.status.ok_or(NO_STATUS)?;
        if id(&status.id)? != &*key.id {
            return Err(Failure::Malformed("another container than the one asked for"));
        }
        let metadata = status.metadata.as_ref().ok_or(Failure::Malformed("a container without a name"))?;
        let (name, attempt) = (text(&metadata.name)?.to_owned(), metadata.attempt);
        let (of_pod, image) = tokio::join!(self.of_pod(&info, &status), self.image_of(&info, &status));
        let OfPod { pod, labels, annotations } = of_pod?;
        let (image, diff_ids) = image?;
        let ended = stop(&status);
        let state = match status.state() {
            api::ContainerState::ContainerCreated => State::Created,
            api::ContainerState::ContainerRunning => State::Running,
            api::ContainerState::ContainerExited => State::Exited,
            api::ContainerState::ContainerUnknown => State::Unknown,
        };
        let mut spec = info.spec.unwrap_or_default();
        let rootfs = self.rootfs(&spec, info.snapshotter, diff_ids);
        let (own_labels, own_annotations) = (texts(status.labels), texts(status.annotations));
        let description = Description {
            engine: Arc::clone(self.engine()),
            id: Arc::clone(&key.id),
            role: Role::Workload,
            platform: Platform::Kubernetes,
            state,
            name,
            attempt,
            owner: owner::derived(&pod.name, |key| labels.get(key).map(String::as_str)),
            pod: Some(pod),
            image,
            labels: self.settings.labels.keep(labels.iter().chain(&own_labels)),
            annotations: self.settings.annotations.keep(annotations.iter().chain(&own_annotations)),
            entrypoint: entrypoint(spec.take_args()),
            mounts: mounts(status.mounts.iter().filter_map(mount)),
            rootfs,
            pid: (info.pid != 0 && state != State::Exited).then_some(info.pid),
            cgroup: spec.cgroup(),
            created: nanoseconds(status.created_at),
            started: nanoseconds(status.started_at),
        };
        Ok(Told { description, stop: ended })
    }

    pub(super) async fn describe_sandbox(&self, key: &Key) -> Result<Told, Failure> {
        let answer = self.sandbox(&key.id, true).await?;
        let info = Info::parse(&answer.info)?;
        let status = answer.status.ok_or(NO_STATUS)?;
        if id(&status.id)? != &*key.id {
            return Err(Failure::Malformed("another sandbox than the one asked for"));
        }
        let created = nanoseconds(status.created_at);
        let attempt = status.metadata.as_ref().map_or(0, |metadata| metadata.attempt);
        let state = match status.state() {
            api::PodSandboxState::SandboxReady => State::Running,
            api::PodSandboxState::SandboxNotready => State::Exited,
        };
        let OfPod { pod, labels, annotations } = of_pod(&key.id, status)?;
        let mut spec = info.spec.unwrap_or_default();
        let description = Description {
            engine: Arc::clone(self.engine()),
            id: Arc::clone(&key.id),
            role: Role::Sandbox,
            platform: Platform::Kubernetes,
            state,
            name: pod.name.clone(),
            attempt,
            owner: owner::derived(&pod.name, |key| labels.get(key).map(String::as_str)),
            pod: Some(pod),
            image: None,
            labels: self.settings.labels.keep(&labels),
            annotations: self.settings.annotations.keep(&annotations),
            entrypoint: entrypoint(spec.take_args()),
            mounts: mounts(spec.take_mounts()),
            rootfs: self.rootfs(&spec, info.snapshotter, Vec::new()),
            pid: (info.pid != 0 && state == State::Running).then_some(info.pid),
            cgroup: spec.cgroup(),
            created,
            started: None,
        };
        Ok(Told { description, stop: None })
    }

    async fn of_pod(&self, info: &Info, status: &api::ContainerStatus) -> Result<OfPod, Failure> {
        let sandbox = id(info.sandbox_id.as_bytes())?;
        match self.sandbox(sandbox, false).await {
            Ok(answer) => of_pod(sandbox, answer.status.ok_or(NO_STATUS)?),
            // Gone before its container: the kubelet's labels have the names too.
            Err(Failure::Unknown) => {
                let labels = texts(status.labels.clone());
                let label = |name: &str| {
                    let label = labels.get(&format!("io.kubernetes.pod.{name}"));
                    text(label.map_or("", String::as_str).as_bytes()).map(str::to_owned)
                };
                let (namespace, name, uid) = (label("namespace")?, label("name")?, label("uid")?);
                let pod = Pod { namespace, name, uid, sandbox_id: sandbox.into() };
                Ok(OfPod { pod, labels: Texts::new(), annotations: Texts::new() })
            }
            Err(failure) => Err(failure),
        }
    }

    /// The image, and the ids of its layers.
    async fn image_of(
        &self,
        info: &Info,
        status: &api::ContainerStatus,
    ) -> Result<(Option<Image>, Vec<Arc<str>>), Failure> {
        let image = status.image.clone().unwrap_or_default();
        let annotation = |key| info.spec.as_ref().and_then(|spec| spec.annotation(key)).unwrap_or_default();
        let [specified, configured] = info.requested();
        // The status has its own choice of the image's names; what was asked for stands in the other places, if there.
        let names = [
            text(&image.user_specified_image)?,
            specified,
            configured,
            annotation("io.kubernetes.cri.image-name"),
            annotation("io.kubernetes.cri-o.ImageName"),
            text(&image.image)?,
        ];
        let named = names.into_iter().find(|name| Reference::parse(name).is_some());
        let requested = text(named.unwrap_or(text(&image.image)?).as_bytes())?.to_owned();
        let image_ref = text(&status.image_ref)?;
        let asked = if status.image_id.is_empty() { &status.image_ref } else { &status.image_id };
        let (found, config, diff_ids) =
            match self.image(asked).await.map(|answer| (answer.image, answer.info)) {
                Ok((Some(found), info)) => {
                    let digests = found.repo_digests.iter().filter_map(|one| str::from_utf8(one).ok());
                    let own = Reference::parse(image_ref).and_then(|reference| reference.digest);
                    let found_digest = pulled::digest(&requested, digests, own);
                    let config = str::from_utf8(&found.id).ok().and_then(image_id).map(Arc::from);
                    let ids = ImageInfo::diff_ids(&info);
                    let ids = ids.iter().take(MAX_LAYERS).filter_map(|id| digest(id).map(Arc::from));
                    (found_digest, config, ids.collect())
                }
                Ok((None, _)) | Err(Failure::Unknown) => {
                    (pulled::digest(&requested, [image_ref], None), None, Vec::new())
                }
                Err(failure) => {
                    tracing::debug!(%failure, "an image cannot be looked up by the CRI");
                    (Known::Not(reason::IMAGE_UNREADABLE), None, Vec::new())
                }
            };
        let reference = with_digest(&requested, found.value().map(|digest| &**digest));
        let image = Image {
            requested,
            digest: found,
            digest_of: DigestOf::Pulled,
            index: None,
            config_digest: config,
            reference,
        };
        Ok((Some(image), diff_ids))
    }

    fn rootfs(&self, spec: &Spec, snapshotter: Option<String>, diff_ids: Vec<Arc<str>>) -> Option<Rootfs> {
        let path = spec.annotation("io.kubernetes.cri-o.MountPoint").filter(|path| path.starts_with('/'));
        let path = path.map(PathBuf::from);
        let mounted = path.as_deref().and_then(|path| overlay::mounted_at(&self.settings.procfs, path));
        if path.is_none() && snapshotter.is_none() && diff_ids.is_empty() {
            return None;
        }
        Some(Rootfs { path, snapshotter, diff_ids, ..mounted.unwrap_or_default() })
    }
}

fn of_pod(sandbox: &str, status: api::PodSandboxStatus) -> Result<OfPod, Failure> {
    let metadata = status.metadata.ok_or(Failure::Malformed("a pod without a name"))?;
    let pod = Pod {
        namespace: text(&metadata.namespace)?.to_owned(),
        name: text(&metadata.name)?.to_owned(),
        uid: text(&metadata.uid)?.to_owned(),
        sandbox_id: sandbox.into(),
    };
    Ok(OfPod { pod, labels: texts(status.labels), annotations: texts(status.annotations) })
}

fn mount(mount: &api::Mount) -> Option<Mount> {
    Some(Mount {
        source: str::from_utf8(&mount.host_path).ok()?.into(),
        destination: str::from_utf8(&mount.container_path).ok()?.into(),
        read_only: mount.readonly,
    })
}
