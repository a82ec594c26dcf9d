//! Pods of a kubelet that speaks to Docker through cri-dockerd, which tells of them by labels.

use super::inspect::Container;
use crate::container::{
    description::{Pod, Role},
    runtime::{
        client::Failure,
        labels::Texts,
        text::{bounded, id},
    },
};

/// A container's place in a pod.
pub(super) struct Place {
    pub(super) pod: Pod,
    pub(super) role: Role,
    /// As the pod's specification has it; of a sandbox, the pod's.
    pub(super) name: String,
    pub(super) attempt: u32,
}

/// `None`: of no pod. An image may bring any label along; where the cgroup stands, it cannot say.
pub(super) fn place(container: &Container, labels: &Texts) -> Result<Option<Place>, Failure> {
    let is_of_kubelet =
        container.host_config.cgroup_parent.split(['/', '-', '.']).any(|word| word == "kubepods");
    let label = |name: &str| labels.get(&format!("io.kubernetes.{name}")).cloned();
    let (true, Some(kind), Some(pod)) = (is_of_kubelet, label("docker.type"), label("pod.name")) else {
        return Ok(None);
    };
    let (role, sandbox_id) = match kind.as_str() {
        "podsandbox" => (Role::Sandbox, container.id.clone()),
        "container" => (Role::Workload, label("sandbox.id").unwrap_or_default()),
        _ => return Ok(None),
    };
    let name = match role {
        Role::Sandbox => pod.clone(),
        _ => label("container.name").unwrap_or_default(),
    };
    let restarts = labels.get("annotation.io.kubernetes.container.restartCount");
    let pod = Pod {
        namespace: bounded(label("pod.namespace").unwrap_or_default())?,
        name: bounded(pod)?,
        uid: bounded(label("pod.uid").unwrap_or_default())?,
        sandbox_id: id(sandbox_id.as_bytes())?.into(),
    };
    let attempt = restarts.and_then(|count| count.parse().ok()).unwrap_or(0);
    Ok(Some(Place { pod, role, name: bounded(name)?, attempt }))
}
