//! What the configuration says of the runtimes.

use std::path::PathBuf;

use zastava_common::config;

use super::AllowList;
use crate::process::proc::ProcRoot;

#[derive(Clone, Debug)]
pub struct Settings {
    pub engine: config::Engine,
    /// Looked at before the usual places.
    pub sockets: Vec<PathBuf>,
    pub labels: AllowList,
    pub annotations: AllowList,
    /// Whether to ask the API server about pods, where a service account is mounted.
    pub kubernetes: bool,
    /// The host's.
    pub procfs: ProcRoot,
}

impl From<&config::Runtime> for Settings {
    fn from(runtime: &config::Runtime) -> Self {
        Self {
            engine: runtime.engine,
            sockets: runtime.sockets.iter().map(|socket| socket.as_path().to_owned()).collect(),
            labels: runtime.labels.iter().map(config::LabelKeys::as_str).collect(),
            annotations: runtime.annotations.iter().map(config::LabelKeys::as_str).collect(),
            kubernetes: runtime.kubernetes_api,
            procfs: ProcRoot::new(runtime.procfs.as_path()),
        }
    }
}
