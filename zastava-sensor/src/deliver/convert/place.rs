//! Where it happened, in the envelope's words.

use zastava_common::event::v1::{Runtime, Workload};

use crate::observation::{ContainerId, Place};

const HOST: &str = "host";
const KUBERNETES: &str = "kubernetes";
const NOT_ASKED: &str = "container runtime not asked";

pub(super) fn describe(place: Place) -> (Option<Runtime>, Workload) {
    match place {
        Place::Host => (None, Workload { platform: HOST.to_owned(), ..Workload::default() }),
        Place::Unknown(reason) => {
            (None, Workload { unknown_reason: reason.to_owned(), ..Workload::default() })
        }
        Place::Container(container) => {
            let engine =
                container.runtime.map(|engine| Runtime { engine: engine.to_owned(), ..Runtime::default() });
            (engine, workload(&container))
        }
    }
}

fn workload(container: &ContainerId) -> Workload {
    let ContainerId { id, runtime, pod_uid, cgroup, nested_claim } = container;
    let platform = if pod_uid.is_some() { KUBERNETES } else { runtime.unwrap_or_default() };
    Workload {
        platform: platform.to_owned(),
        container_id: runtime.map_or_else(|| id.clone(), |engine| [engine, "://", id].concat()),
        pod_uid: pod_uid.clone().unwrap_or_default(),
        cgroup: cgroup.clone(),
        nested_claim: nested_claim.clone().unwrap_or_default(),
        names_reason: NOT_ASKED.to_owned(),
        ..Workload::default()
    }
}
