//! The parsers of what runtimes send, for the fuzz targets: whatever the bytes are, none of them panics, and what they
//! take is within its bounds.

use prost::Message;

use super::{
    containerd, cri, docker,
    proto::{runtime::v1, zastava::containerd as api},
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
