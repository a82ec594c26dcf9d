//! Where an event says that it happened, and where it must.

use std::{ops::RangeInclusive, time::Duration};

use zastava_common::{
    abi::Tier,
    event::v1::{Event, event::Kind},
};

use super::{
    images::Named,
    runtime::{self, Ran},
};
use crate::expect::{Expected, id_of};

/// What names a container in an event.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Told {
    pub engine: String,
    pub platform: String,
    pub namespace: String,
    pub pod: String,
    pub pod_uid: String,
    pub container: String,
    pub container_id: String,
    pub image_ref: String,
    pub image_digest: String,
    /// Why something of it is missing.
    pub reasons: Vec<String>,
}

impl Told {
    /// As the event has it.
    pub fn by(event: &Event) -> Self {
        let workload = event.workload.clone().unwrap_or_default();
        let reasons = [workload.unknown_reason, workload.names_reason];
        Self {
            engine: event.runtime.clone().unwrap_or_default().engine,
            platform: workload.platform,
            namespace: workload.namespace,
            pod: workload.pod,
            pod_uid: workload.pod_uid,
            container: workload.container,
            container_id: workload.container_id,
            image_ref: workload.image_ref,
            image_digest: workload.image_digest,
            reasons: reasons.into_iter().filter(|reason| !reason.is_empty()).collect(),
        }
    }

    /// As the container was made.
    pub fn of(kind: runtime::Kind, ran: &Ran, image: &Named) -> Self {
        let engine = kind.engine().to_owned();
        let digest = image.image.digest().to_owned();
        let pod = ran.pod.as_ref().map(|pod| pod.wish.clone());
        let platform = if pod.is_some() { "kubernetes".to_owned() } else { engine.clone() };
        let pod = pod.unwrap_or_default();
        Self {
            container_id: format!("{engine}://{}", ran.id),
            engine,
            platform,
            namespace: pod.namespace,
            pod: pod.name,
            pod_uid: pod.uid,
            container: ran.name.clone(),
            image_ref: format!("{}@{digest}", image.reference),
            image_digest: digest,
            reasons: Vec::new(),
        }
    }
}

/// Kinds of records that may be lost.
const LOSSES: usize = 5;

impl Expected {
    /// The container ended: with a code, or by a signal, after a life within these bounds, and nothing of it was lost.
    pub(super) fn container_stopped(
        tier: Tier,
        ran: &Ran,
        told: Told,
        end: End,
        life: RangeInclusive<Duration>,
    ) -> Self {
        let id = ran.id.clone();
        Self::new(tier, Kind::ContainerStop, &ran.name, move |event| id_of(event) == id)
            .told(told)
            .check("exit", end, End::of)
            .holds(move |event| {
                let lasted = event.exit.as_ref().and_then(|exit| exit.duration_ns).map(Duration::from_nanos);
                match lasted {
                    Some(lasted) if life.contains(&lasted) => Vec::new(),
                    other => vec![format!("exit.durationNs is {other:?}, not within {life:?}")],
                }
            })
            .that("losses of each kind, and none lost", |event| {
                let own: Vec<_> = event.losses.iter().filter(|loss| loss.cgroup_id.is_some()).collect();
                own.len() == LOSSES && own.iter().all(|loss| loss.count == Some(0))
            })
    }

    /// It must say that it happened in this container.
    pub(super) fn told(self, told: Told) -> Self {
        self.check("workload and runtime", told, Told::by)
    }
}

/// How a container ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    Code(u32),
    Signal(u32),
    /// Neither code nor signal, or both.
    Other,
}

impl End {
    pub fn of(event: &Event) -> Self {
        let exit = event.exit.clone().unwrap_or_default();
        match (exit.code, exit.signal) {
            (Some(code), None) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            _ => Self::Other,
        }
    }
}
