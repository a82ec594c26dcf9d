//! What Docker and Podman answer when asked for one container or image, as far as it is used.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::container::runtime::labels::Texts;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) created: String,
    #[serde(default)]
    path: String,
    args: Option<Vec<String>>,
    pub(super) state: State,
    /// The image's id; with Docker's containerd store the digest of its index or manifest.
    #[serde(default)]
    pub(super) image: String,
    pub(super) config: Config,
    #[serde(default)]
    pub(super) host_config: HostConfig,
    pub(super) mounts: Option<Vec<Mount>>,
    pub(super) graph_driver: Option<GraphDriver>,
    /// Docker's, from API 1.48 on, with its containerd store.
    pub(super) image_manifest_descriptor: Option<Descriptor>,
    /// Podman's: as asked for.
    #[serde(default)]
    pub(super) image_name: String,
    /// Podman's, from version 5 on.
    #[serde(default)]
    pub(super) image_digest: String,
    /// Podman's: holds a pod's namespaces.
    #[serde(default)]
    pub(super) is_infra: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct State {
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) pid: u32,
    pub(super) exit_code: Option<i64>,
    #[serde(rename = "OOMKilled")]
    pub(super) oom_killed: Option<bool>,
    #[serde(default)]
    pub(super) started_at: String,
    #[serde(default)]
    pub(super) finished_at: String,
    /// Podman's.
    pub(super) cgroup_path: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    /// As asked for.
    #[serde(default)]
    pub(super) image: String,
    pub(super) labels: Option<Texts>,
    pub(super) annotations: Option<Texts>,
    /// A list; before Podman 5 its words in one text.
    #[serde(default)]
    entrypoint: Value,
    cmd: Option<Vec<String>>,
}

impl Container {
    /// What it is told to execute. Podman repeats a single word among the arguments (libpod/container_inspect.go).
    pub(super) fn take_entrypoint(&mut self) -> impl Iterator<Item = String> {
        let mut args = self.args.take().unwrap_or_default();
        let entrypoint = match &self.config.entrypoint {
            Value::Array(words) => words.len(),
            words => usize::from(words.as_str().is_some_and(|words| !words.is_empty())),
        };
        let configured = entrypoint + self.config.cmd.as_ref().map_or(0, Vec::len);
        if configured == 1 && args.as_slice() == std::slice::from_ref(&self.path) {
            args.clear();
        }
        let path = (!self.path.is_empty()).then(|| std::mem::take(&mut self.path));
        path.into_iter().chain(args)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HostConfig {
    pub(super) cgroup_parent: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Mount {
    #[serde(default)]
    pub(super) source: PathBuf,
    pub(super) destination: PathBuf,
    #[serde(rename = "RW", default)]
    pub(super) writable: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GraphDriver {
    pub(super) name: String,
    pub(super) data: Option<Directories>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Directories {
    #[serde(rename = "LowerDir")]
    pub(super) lower: String,
    #[serde(rename = "UpperDir")]
    pub(super) upper: String,
    #[serde(rename = "WorkDir")]
    pub(super) work: String,
    #[serde(rename = "MergedDir")]
    pub(super) merged: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Descriptor {
    pub(super) digest: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Image {
    pub(super) repo_digests: Option<Vec<String>>,
    /// Podman's: of the manifest that its store has for the image, not of the index that it came from.
    #[serde(default)]
    pub(super) digest: String,
    #[serde(rename = "RootFS")]
    pub(super) root_fs: Option<RootFs>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RootFs {
    pub(super) layers: Option<Vec<String>>,
}
