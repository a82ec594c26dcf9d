//! As the DaemonSet has it.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{super::Setting, Stand, knows, lasting, natively, sees, sensor_image, text, words};
use crate::{
    containers::runtime::{InPod, Runtime},
    runtimes::cri::{ContainerWish, PodWish, Security},
    stage::Stop,
};

const DAEMON_SET: &str = include_str!("../../../../../deploy/kubernetes/sensor/daemon-set.yaml");
const SETTINGS: &str = include_str!("../../../../../deploy/kubernetes/sensor/zastava.yaml");

pub(in super::super) fn trial(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let natively = natively(setting, &runtime)?;
    let Runtime::Containerd(containerd, cri) = &runtime else {
        return Err(Stop::Unable("a DaemonSet is for Kubernetes".to_owned()));
    };
    let reference = setting.images.registry.push("zastava-sensor", "e2e", &sensor_image()?);
    cri.pull(&reference)?;
    let before = lasting(setting, &runtime)?;
    let stand = Stand::new(setting.directory, containerd.at("run"), SETTINGS, "0.0.0.0:9464")?;
    let pod = PodWish {
        name: "zastava-sensor-e2e".to_owned(),
        namespace: "zastava-system".to_owned(),
        uid: "00000000-0000-4000-8000-00000000e2e0".to_owned(),
        logs: containerd.logs(),
        host_pid: true,
        ..PodWish::default()
    };
    let pod = InPod { pod: cri.run_pod(&pod)?, wish: pod };
    let wish = daemon_set(setting.directory, &stand)?;
    let sensor = cri.run(&pod.pod, &ContainerWish { image: reference, ..wish })?;
    let log = || fs::read_to_string(containerd.logs().join("sensor.log")).unwrap_or_default();
    stand.await_ready(log)?;
    knows(setting, &runtime, &stand, &before)?;
    sees(setting, &runtime, &stand, &natively)?;
    cri.stop(&sensor, 10)?;
    cri.remove_pod(&pod.pod)?;
    runtime.remove(&before)?;
    Ok(())
}

/// The container of the DaemonSet.
pub(super) fn daemon_set(directory: &Path, stand: &Stand) -> Result<ContainerWish> {
    let manifest: Value = serde_saphyr::from_str(DAEMON_SET)?;
    let pod = &manifest["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let context = &container["securityContext"];
    ensure!(
        pod["hostPID"] == true && context["runAsUser"] == 0,
        "the DaemonSet does not run as this test does"
    );
    ensure!(
        pod["hostNetwork"].is_null() && container["securityContext"]["privileged"].is_null(),
        "the DaemonSet asks for more than it needs"
    );
    let mut wish = ContainerWish {
        name: "sensor".to_owned(),
        args: words(&container["args"])?,
        security: Some(Security {
            host_pid: true,
            user: 0,
            add: words(&context["capabilities"]["add"])?,
            drop: words(&context["capabilities"]["drop"])?,
            read_only_root: context["readOnlyRootFilesystem"] == true,
            no_new_privileges: context["allowPrivilegeEscalation"] == false,
            default_seccomp: context["seccompProfile"]["type"] == "RuntimeDefault",
        }),
        memory: Some(bytes(text(&container["resources"]["limits"]["memory"])?)?),
        ..ContainerWish::default()
    };
    for mount in container["volumeMounts"].as_array().context("no volumeMounts")? {
        let name = text(&mount["name"])?;
        let volumes = pod["volumes"].as_array().context("no volumes")?;
        let volume =
            volumes.iter().find(|volume| volume["name"] == name).context("a mount without a volume")?;
        let host = match (&volume["hostPath"]["path"], name) {
            (Value::String(path), _) => stand.of(directory, path),
            (_, "config") => directory.join("config"),
            (_, "state") => stand.state.clone(),
            (_, other) => bail!("a volume {other} that this test does not know"),
        };
        let place = (host, text(&mount["mountPath"])?.to_owned());
        if mount["readOnly"] == true { wish.mounts.push(place) } else { wish.writable.push(place) }
    }
    Ok(wish)
}

/// `256Mi`
fn bytes(quantity: &str) -> Result<i64> {
    let mebibytes: i64 = quantity.strip_suffix("Mi").context("not in Mi")?.parse()?;
    Ok(mebibytes << 20)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::stand, *};

    #[test]
    fn the_daemon_set_mounts_the_host_read_only() {
        let wish = daemon_set(Path::new("/d"), &stand()).unwrap();
        let writable: Vec<_> = wish.writable.iter().map(|(_, place)| place.as_str()).collect();
        assert_eq!(writable, ["/run/zastava"]);
        let places: Vec<_> = wish.mounts.iter().map(|(_, place)| place.as_str()).collect();
        assert_eq!(places, ["/etc/zastava", "/host/proc", "/host/sys/fs/cgroup", "/host/run"]);
    }

    #[test]
    fn the_daemon_set_asks_for_no_more_than_it_says() {
        let security = daemon_set(Path::new("/d"), &stand()).unwrap().security.unwrap();
        assert!(security.read_only_root && security.no_new_privileges && security.default_seccomp);
    }
}
