//! Processes in cgroups that have the names which runtimes give.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::{
    elf::{Deed, hex},
    expect::Expected,
    sight::Sight,
    stage::{Stage, Stop},
};

const POD: &str = "2c1f6b0e-93f4-4a5e-8b1c-1f0e9d8c7b6a";
const POD_: &str = "2c1f6b0e_93f4_4a5e_8b1c_1f0e9d8c7b6a";

/// Path of the cgroup (`{id}`: the container's id; `{other}`: another one), the engine that the name tells, the pod, and
/// the id that the name claims below the container.
const FORMS: [(&str, Option<&str>, Option<&str>, bool); 12] = [
    ("docker/{id}", Some("docker"), None, false),
    ("system.slice/docker-{id}.scope", Some("docker"), None, false),
    ("k8s.io/{id}", Some("containerd"), None, false),
    ("kubepods/burstable/pod{pod}/{id}", None, Some(POD), false),
    (
        "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{pod_}.slice/cri-containerd-{id}.scope",
        Some("containerd"),
        Some(POD),
        false,
    ),
    ("kubepods.slice/kubepods-pod{pod_}.slice/crio-{id}.scope", Some("cri-o"), Some(POD), false),
    ("kubepods/burstable/pod{pod}/crio-{id}", Some("cri-o"), Some(POD), false),
    ("machine.slice/libpod-{id}.scope/container", Some("podman"), None, false),
    ("libpod_parent/libpod-{id}", Some("podman"), None, false),
    // systemd inside a container, Docker in Docker, kind.
    ("system.slice/docker-{id}.scope/system.slice/web.service", Some("docker"), None, false),
    ("docker/{id}/docker/{other}", Some("docker"), None, true),
    ("docker/{id}/kubelet/kubepods/besteffort/pod{pod}/{other}", Some("docker"), None, true),
];

pub(super) fn forms(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let mount = unified_hierarchy()?;
    let id = |name: String| hex(&Sha256::digest(stage.unique(&name)));
    let mut expected = Vec::new();
    for (number, (form, engine, pod, claims)) in FORMS.into_iter().enumerate() {
        let (own, other) = (id(format!("container-{number}")), id(format!("nested-{number}")));
        let path = form
            .replace("{id}", &own)
            .replace("{other}", &other)
            .replace("{pod}", POD)
            .replace("{pod_}", POD_);
        let program = stage.program(&format!("program-{number}"), Deed::Exit(0))?;
        stage.tester(["cgroup".as_ref(), mount.as_os_str(), path.as_ref(), program.path.as_os_str()])?;
        let end = path.find(&own).map_or(0, |at| at + own.len());
        let end = path[end..].find('/').map_or(path.len(), |more| end + more);
        let place = Placed {
            container: engine.map_or_else(|| own.clone(), |engine| format!("{engine}://{own}")),
            engine: engine.unwrap_or_default().to_owned(),
            pod: pod.unwrap_or_default().to_owned(),
            cgroup: format!("/{}", &path[..end]),
            claim: if claims { other } else { String::new() },
        };
        expected.push(placed(stage, Expected::exec(stage.tier, &program), place));
        expected.push(Expected::exit(stage.tier, &program.path).with_code(0));
        expected.push(Expected::started(stage.tier, &program));
        expected.push(Expected::stopped(stage.tier, &program.path).with_code(0));
    }
    Ok(expected)
}

/// What the event must say of the container.
#[derive(Clone, Debug, Default, PartialEq)]
struct Placed {
    container: String,
    engine: String,
    pod: String,
    cgroup: String,
    claim: String,
}

fn placed(stage: &Stage, exec: Expected, place: Placed) -> Expected {
    let told = |event: &zastava_common::event::v1::Event| {
        let workload = event.workload.clone().unwrap_or_default();
        let placed = Placed {
            container: workload.container_id,
            engine: event.runtime.clone().unwrap_or_default().engine,
            pod: workload.pod_uid,
            cgroup: workload.cgroup,
            claim: workload.nested_claim,
        };
        (placed, workload.unknown_reason)
    };
    if Sight::Cgroup.sees(stage.tier) {
        exec.check("workload", (place, String::new()), told)
    } else {
        exec.that("workload is right, or says why it is not known", move |event| {
            let (found, reason) = told(event);
            found == place || (found == Placed::default() && !reason.is_empty())
        })
    }
}

/// Where cgroup v2 is mounted.
pub(crate) fn unified_hierarchy() -> Result<PathBuf, Stop> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mount table")?;
    let found = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    match found.and_then(|line| line.split(' ').nth(4)) {
        Some(point) => Ok(PathBuf::from(point)),
        None => Err(Stop::Unable("no cgroup v2 in /proc/self/mountinfo".to_owned())),
    }
}
