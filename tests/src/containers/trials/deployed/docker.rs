//! As the compose file has it.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{super::Setting, Stand, knows, lasting, natively, sees, sensor_image, text, words};
use crate::{containers::runtime::Runtime, runtimes::docker::Docker, stage::Stop};

const COMPOSE: &str = include_str!("../../../../../deploy/docker/compose.yaml");
const SETTINGS: &str = include_str!("../../../../../deploy/docker/zastava.yaml");

/// One mount of a manifest: of the machine, in the container, and whether it is read only.
struct Mounted {
    host: String,
    container: String,
    read_only: bool,
}

pub(in super::super) fn trial(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let natively = natively(setting, &runtime)?;
    let Runtime::Docker(docker) = &runtime else {
        return Err(Stop::Unable("the compose file is for Docker".to_owned()));
    };
    let reference = setting.images.registry.push("zastava-sensor", "e2e", &sensor_image()?);
    runtime.pull(&reference)?;
    let before = lasting(setting, &runtime)?;
    let stand = Stand::new(setting.directory, docker.at("run"), SETTINGS, "127.0.0.1:9464")?;
    let words = compose(setting.directory, &stand, &reference)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let sensor = docker.cli.output(&words)?;
    stand.await_ready(|| logs(docker, &sensor))?;
    knows(setting, &runtime, &stand, &before)?;
    sees(setting, &runtime, &stand, &natively)?;
    docker.cli.output(&["stop", &sensor])?;
    docker.cli.remove(&sensor)?;
    runtime.remove(&before)?;
    Ok(())
}

fn logs(docker: &Docker, container: &str) -> String {
    docker.cli.output(&["logs", container]).unwrap_or_else(|error| error.to_string())
}

/// `docker run` as the compose file says it.
pub(super) fn compose(directory: &Path, stand: &Stand, image: &str) -> Result<Vec<String>> {
    let file: Value = serde_saphyr::from_str(COMPOSE)?;
    let service = &file["services"]["zastava-sensor"];
    ensure!(service["privileged"].is_null(), "the compose file asks for more than it needs");
    // A cgroup namespace of its own is the default on cgroup v2, and on v1 it is not.
    let mut all = ["run", "--detach", "--cgroupns=private"].map(str::to_owned).to_vec();
    for (option, key) in
        [("pid", "pid"), ("network", "network_mode"), ("user", "user"), ("memory", "mem_limit")]
    {
        all.push(format!("--{option}={}", text(&service[key])?));
    }
    for (option, key) in [("security-opt", "security_opt"), ("cap-drop", "cap_drop"), ("cap-add", "cap_add")]
    {
        all.extend(words(&service[key])?.into_iter().map(|word| format!("--{option}={word}")));
    }
    if service["read_only"] == true {
        all.push("--read-only".to_owned());
    }
    for volume in words(&service["volumes"])? {
        let Mounted { host, container, read_only } = mounted(&volume)?;
        let way = if read_only { "ro" } else { "rw" };
        all.push(format!("--volume={}:{container}:{way}", stand.of(directory, &host).display()));
    }
    all.push(image.to_owned());
    all.extend(words(&service["command"])?);
    Ok(all)
}

/// `host:container[:ro]`
fn mounted(volume: &str) -> Result<Mounted> {
    let mut parts = volume.split(':').map(str::to_owned);
    let (host, container) = parts.next().zip(parts.next()).context("a volume without a place")?;
    Ok(Mounted { host, container, read_only: parts.next().as_deref() == Some("ro") })
}

#[cfg(test)]
mod tests {
    use super::{super::tests::stand, *};

    #[test]
    fn the_compose_file_drops_all_that_it_does_not_add() {
        let words = compose(Path::new("/d"), &stand(), "image").unwrap();
        assert!(words.contains(&"--cap-drop=ALL".to_owned()) && words.contains(&"--read-only".to_owned()));
    }
}
