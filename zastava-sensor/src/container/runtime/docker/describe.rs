//! A container as Docker or Podman tells it.

use std::{path::PathBuf, sync::Arc};

use super::{Docker, http, inspect, pod};
use crate::{
    container::{
        description::{
            self, Description, DigestOf, MAX_LAYERS, Platform, Role, Rootfs,
            State::{Created, Exited, Running},
        },
        reason,
        runtime::{
            Stop,
            client::{Client, Failure, Key, Told},
            labels::Texts,
            overlay, owner, pulled,
            reference::with_digest,
            text::{bounded, digest, entrypoint, id, image_id, mounts, rfc3339},
        },
    },
    observation::Known,
    process::proc::cgroup,
};

impl Docker {
    pub(super) async fn describe_one(&self, key: &Key) -> Result<Told, Failure> {
        let socket = &self.engine.socket;
        let mut container: inspect::Container =
            http::get(socket, &self.target(&format!("/containers/{}/json", id(key.id.as_bytes())?))).await?;
        if container.id != *key.id {
            // A name, or the beginning of an id, is found too.
            return Err(Failure::Unknown);
        }
        let (image, diff_ids) = self.image(&container).await?;
        let started = rfc3339(&container.state.started_at);
        let state = match container.state.status.as_str() {
            "running" | "paused" | "stopping" => Running,
            // Docker says so of one that ended and waits for its policy to start it anew.
            "exited" | "dead" | "stopped" | "removing" | "restarting" => Exited,
            _ => Created,
        };
        let stop = (state == Exited).then(|| stop(&container.state));
        let pid = (container.state.pid != 0 && state != Exited).then_some(container.state.pid);
        let annotations = container.config.annotations.take().unwrap_or_default();
        let labels: Texts = container.config.labels.take().unwrap_or_default();
        let place = pod::place(&container, &labels)?;
        let own_role = if container.is_infra { Role::Sandbox } else { Role::Workload };
        let own_name = container.name.strip_prefix('/').unwrap_or(&container.name);
        let (pod, role, name, attempt) = match place {
            Some(pod::Place { pod, role, name, attempt }) => (Some(pod), role, name, attempt),
            None => (None, own_role, bounded(own_name.to_owned())?, 0),
        };
        let description = Description {
            engine: Arc::clone(self.engine()),
            id: Arc::clone(&key.id),
            role,
            platform: if pod.is_some() { Platform::Kubernetes } else { Platform::Engine },
            state,
            name,
            attempt,
            owner: pod
                .as_ref()
                .and_then(|pod| owner::derived(&pod.name, |key| labels.get(key).map(String::as_str))),
            pod,
            image,
            labels: self.settings.labels.keep(&labels),
            annotations: self.settings.annotations.keep(&annotations),
            entrypoint: entrypoint(container.take_entrypoint()),
            mounts: mounts(container.mounts.take().unwrap_or_default().into_iter().map(mount)),
            rootfs: container.graph_driver.map(|driver| rootfs(driver, diff_ids)),
            pid,
            cgroup: cgroup(container.state.cgroup_path).or_else(|| self.cgroup(&key.id, pid)),
            created: rfc3339(&container.created),
            started,
        };
        Ok(Told { description, stop })
    }

    /// By the kernel: what Docker says depends on a driver that it does not tell here. One that is not named after the
    /// container is not its own but its caller's (`podman run --cgroups=disabled`).
    fn cgroup(&self, id: &str, pid: Option<u32>) -> Option<String> {
        let bytes = self.settings.procfs.read(pid?, "cgroup", cgroup::LIMIT).ok()?;
        let membership = cgroup::unified(&bytes)?;
        let path = str::from_utf8(membership.path).ok()?;
        path.contains(id).then(|| path.to_owned())
    }

    /// The image, and the ids of its layers.
    async fn image(
        &self,
        container: &inspect::Container,
    ) -> Result<(Option<description::Image>, Vec<Arc<str>>), Failure> {
        let requested = if self.is_podman() { &container.image_name } else { &container.config.image };
        let requested = bounded(requested.clone())?;
        let Some(own) = image_id(&container.image) else {
            // Of a directory (`podman run --rootfs`).
            return Ok((None, Vec::new()));
        };
        let target = self.target(&format!("/images/{own}/json"));
        let answer = http::get::<inspect::Image>(&self.engine.socket, &target).await;
        let manifest = container.image_manifest_descriptor.as_ref().and_then(|one| digest(&one.digest));
        let (pulled, diff_ids) = match answer {
            Ok(image) => {
                let digests = image.repo_digests.unwrap_or_default();
                let own = [container.image_digest.as_str(), &image.digest].into_iter().find_map(digest);
                let pulled = pulled::digest(&requested, digests.iter().map(String::as_str), own);
                let layers = image.root_fs.and_then(|rootfs| rootfs.layers).unwrap_or_default();
                let layers = layers.iter().take(MAX_LAYERS).filter_map(|id| digest(id).map(Arc::from));
                (pulled, layers.collect())
            }
            Err(Failure::Unknown) => (Known::Not(reason::IMAGE_GONE), Vec::new()),
            Err(failure) => {
                tracing::debug!(%failure, "an image cannot be looked up by Docker");
                (Known::Not(reason::IMAGE_UNREADABLE), Vec::new())
            }
        };
        let image = match manifest {
            Some(manifest) => description::Image {
                reference: with_digest(&requested, Some(manifest)),
                digest: Known::Is(manifest.into()),
                digest_of: DigestOf::Manifest,
                index: (own != manifest).then(|| own.as_str().into()),
                config_digest: None,
                requested,
            },
            None => description::Image {
                reference: with_digest(&requested, pulled.value().map(|digest| &**digest)),
                digest: pulled,
                digest_of: DigestOf::Pulled,
                index: None,
                config_digest: Some(own.into()),
                requested,
            },
        };
        Ok((Some(image), diff_ids))
    }
}

fn cgroup(path: Option<String>) -> Option<String> {
    bounded(path?).ok().filter(|path| !path.is_empty())
}

fn stop(state: &inspect::State) -> Stop {
    let code = state.exit_code.and_then(|code| u32::try_from(code).ok());
    let at = rfc3339(&state.finished_at);
    Stop { oom: state.oom_killed, at, ..code.map(Stop::with_code).unwrap_or_default() }
}

fn mount(mount: inspect::Mount) -> description::Mount {
    let inspect::Mount { source, destination, writable } = mount;
    description::Mount { source, destination, read_only: !writable }
}

fn rootfs(driver: inspect::GraphDriver, diff_ids: Vec<Arc<str>>) -> Rootfs {
    let inspect::GraphDriver { name, data } = driver;
    let inspect::Directories { lower, upper, work, merged } = data.unwrap_or_default();
    let path = |path: String| bounded(path).ok().filter(|path| path.starts_with('/')).map(PathBuf::from);
    Rootfs {
        path: path(merged),
        lower: overlay::lower(&lower),
        upper: path(upper),
        work: path(work),
        snapshotter: bounded(name).ok(),
        diff_ids,
    }
}
