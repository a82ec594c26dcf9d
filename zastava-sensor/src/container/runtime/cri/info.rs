//! The `info` of a verbose status: JSON of the runtime's own making, in two dialects.

use serde::Deserialize;

use super::api;
use crate::container::runtime::{client::Failure, spec::Spec};

/// Of a container or sandbox. containerd and CRI-O have these in common.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::container::runtime) struct Info {
    #[serde(rename = "sandboxID")]
    pub(super) sandbox_id: String,
    pub(super) pid: u32,
    #[serde(rename = "runtimeSpec")]
    pub(super) spec: Option<Spec>,
    /// containerd's alone.
    pub(super) snapshotter: Option<String>,
    config: Option<Config>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    image: ImageSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImageSpec {
    image: String,
    user_specified_image: String,
}

/// Of an image.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ImageInfo {
    #[serde(rename = "imageSpec")]
    spec: ImageConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImageConfig {
    rootfs: RootFs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

impl Info {
    /// An absent one says nothing.
    pub(in crate::container::runtime) fn parse(info: &[api::Entry]) -> Result<Self, Failure> {
        match json(info) {
            Some(json) => {
                serde_json::from_slice(json).map_err(|_| Failure::Malformed("the info of a status"))
            }
            None => Ok(Self::default()),
        }
    }

    /// The image as it was asked for, the likelier word first.
    pub(super) fn requested(&self) -> [&str; 2] {
        self.config
            .as_ref()
            .map_or([""; 2], |config| [&config.image.user_specified_image, &config.image.image])
    }
}

impl ImageInfo {
    /// What cannot be read says nothing.
    pub(super) fn diff_ids(info: &[api::Entry]) -> Vec<String> {
        let read = json(info).and_then(|json| serde_json::from_slice::<Self>(json).ok());
        read.and_then(|info| info.spec.rootfs.diff_ids).unwrap_or_default()
    }
}

fn json(info: &[api::Entry]) -> Option<&[u8]> {
    info.iter().find(|entry| entry.key == b"info").map(|entry| entry.value.as_slice())
}
