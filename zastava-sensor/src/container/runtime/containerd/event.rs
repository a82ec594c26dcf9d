//! containerd's events, taken apart.

use std::{path::PathBuf, sync::Arc};

use prost::Message;

use super::{DOCKER_NAMESPACE, api};
use crate::container::runtime::{
    Stop,
    client::{Change, Failure, Key, What},
    text::{id, text, timestamp},
};

/// What is asked for, one filter each.
const TOPICS: [&str; 7] = [
    "/containers/create",
    "/containers/update",
    "/containers/delete",
    "/tasks/create",
    "/tasks/start",
    "/tasks/exit",
    "/tasks/oom",
];

pub(super) fn filters() -> Vec<String> {
    TOPICS.iter().map(|topic| format!("topic==\"{topic}\",namespace!={DOCKER_NAMESPACE}")).collect()
}

/// `None`: does not concern a container as a whole.
pub(in crate::container::runtime) fn change(envelope: &api::Envelope) -> Result<Option<Change>, Failure> {
    let event = envelope.event.as_ref().ok_or(Failure::Malformed("an event without a body"))?;
    let body = event.value.as_slice();
    let namespace = text(&envelope.namespace)?;
    if namespace == DOCKER_NAMESPACE {
        return Ok(None);
    }
    let at = timestamp(envelope.timestamp.as_ref());
    let (container, what) = match envelope.topic.as_slice() {
        b"/containers/create" | b"/containers/update" => {
            (decode::<api::ContainerEvent>(body)?.id, What::Changed)
        }
        b"/containers/delete" => (decode::<api::ContainerEvent>(body)?.id, What::Removed),
        b"/tasks/oom" => (decode::<api::ContainerEvent>(body)?.id, What::OutOfMemory),
        b"/tasks/create" => {
            let created: api::TaskCreate = decode(body)?;
            let bundle = text(&created.bundle)?;
            let rootfs = bundle.starts_with('/').then(|| PathBuf::from(bundle).join("rootfs"));
            (created.container_id, What::Started { pid: pid(created.pid), rootfs, at: None })
        }
        b"/tasks/start" => {
            let started: api::TaskStart = decode(body)?;
            (started.container_id, What::Started { pid: pid(started.pid), rootfs: None, at })
        }
        b"/tasks/exit" => {
            let exited: api::TaskExit = decode(body)?;
            // An exec's, in a container that goes on.
            if exited.id != exited.container_id {
                return Ok(None);
            }
            let stop =
                Stop { at: timestamp(exited.exited_at.as_ref()), ..Stop::with_code(exited.exit_status) };
            (exited.container_id, What::Stopped(Some(stop)))
        }
        _ => return Ok(None),
    };
    let key = Key { id: id(&container)?.into(), namespace: Some(Arc::from(namespace)) };
    Ok(Some(Change { key, what }))
}

fn decode<T: Message + Default>(body: &[u8]) -> Result<T, Failure> {
    T::decode(body).map_err(|_| Failure::Malformed("an event's body"))
}

fn pid(pid: u32) -> Option<u32> {
    (pid != 0).then_some(pid)
}
