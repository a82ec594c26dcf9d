//! Docker's events, one JSON object a line. Podman imitates them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::container::runtime::{
    Stop,
    client::{Change, Failure, Key, What},
    text::{id, nanoseconds},
};

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "Type", default)]
    kind: String,
    #[serde(rename = "Action", default)]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    #[serde(rename = "timeNano", default)]
    time_nano: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    /// The container's labels stand here too, and may have the same names.
    attributes: Option<BTreeMap<String, String>>,
}

/// `None`: does not concern a container as a whole.
pub(in crate::container::runtime) fn change(line: &[u8]) -> Result<Option<Change>, Failure> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let Event { kind, action, actor, time_nano } =
        serde_json::from_slice(line).map_err(|_| Failure::Malformed("an event"))?;
    if kind != "container" {
        return Ok(None);
    }
    let at = nanoseconds(time_nano);
    let what = match action.as_str() {
        "create" | "rename" => What::Changed,
        "start" => What::Started { pid: None, rootfs: None, at },
        "die" | "died" => {
            let attributes = actor.attributes.unwrap_or_default();
            let code = ["exitCode", "containerExitCode"].iter().find_map(|name| attributes.get(*name));
            let stop = code.and_then(|code| code.parse().ok()).map(Stop::with_code);
            What::Stopped(Some(Stop { at, ..stop.unwrap_or_default() }))
        }
        "oom" => What::OutOfMemory,
        "destroy" | "remove" => What::Removed,
        _ => return Ok(None),
    };
    let key = Key { id: id(actor.id.as_bytes())?.into(), namespace: None };
    Ok(Some(Change { key, what }))
}
