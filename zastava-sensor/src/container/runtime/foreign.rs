//! The parsers of what runtimes send, for the fuzz targets: whatever the bytes are, none of them panics, and what they
//! take is within its bounds.

use std::path::PathBuf;

use prost::Message;

use super::{
    containerd, cri, docker, overlay,
    proto::{runtime::v1, zastava::containerd as api},
    reference::Reference,
    spec::Spec,
};

/// containerd's envelope of an event. Returns the container's id, if it is an event of one.
pub fn containerd_event(bytes: &[u8]) -> Option<String> {
    let envelope = api::Envelope::decode(bytes).ok()?;
    let change = containerd::event::change(&envelope).ok()??;
    Some(change.key.id.to_string())
}

/// A container as containerd stores it: specification, and what the CRI left there. Returns its name.
pub fn containerd_container(bytes: &[u8]) -> Option<String> {
    let container = api::Container::decode(bytes).ok()?;
    containerd::record::Record::parse(container).ok().map(|record| record.name)
}

/// The verbose info of a CRI status. Returns whether it could be read.
pub fn cri_info(json: &[u8]) -> bool {
    cri::info::Info::parse(&[v1::Entry { key: b"info".to_vec(), value: json.to_vec() }]).is_ok()
}

/// A line of Docker's events. Returns the container's id, if it is an event of one.
pub fn docker_event(line: &[u8]) -> Option<String> {
    let change = docker::event::change(line).ok()??;
    Some(change.key.id.to_string())
}

/// An OCI specification. Returns the container's cgroup.
pub fn oci_specification(json: &[u8]) -> Option<String> {
    Spec::parse(json).ok()?.cgroup()
}

/// What containerd's store has under a digest. Returns how many digests are taken of it.
pub fn containerd_blob(json: &[u8]) -> usize {
    use containerd::image::Blob::{self, Config, Index, Manifest, Other};
    match Blob::parse(json) {
        Manifest { .. } => 1,
        Index { manifests: digests } | Config { diff_ids: digests } => digests.len(),
        Other => 0,
    }
}

/// The name of an image. Returns it as a runtime's store has it.
pub fn image_name(text: &str) -> Option<String> {
    Reference::parse(text).map(|reference| reference.stored())
}

/// An overlay's option `lowerdir`.
pub fn lower_directories(option: &str) -> Vec<PathBuf> {
    overlay::lower(option)
}
