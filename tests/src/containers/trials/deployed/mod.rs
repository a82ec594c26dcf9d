//! The sensor as it is deployed: as a container, with the mounts, the capabilities and the filter that the manifests in
//! deploy/ give it, and no others.

pub(super) mod docker;
pub(super) mod kubernetes;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use zastava_common::event::v1::{
    Event,
    container_status::State,
    event::{Kind as EventKind, Observed},
};

use super::{PATIENCE, PAUSE, Setting, came, execs, executed, whole};
use crate::{
    containers::{
        asked::{Watch, listed},
        runtime::{Ran, Runtime},
        told::{End, Told},
    },
    elf::Deed,
    expect::file_of,
    http,
    image::{Content, Image, Packing, digest, tar::Tar},
    sensor::{HASH_BYTES_PER_SECOND, free_address, program},
    stage::{Stop, ensure_that},
};

/// What stands in for a place of the machine: the runtime's own `run`, the test's configuration and state.
struct Stand {
    run: PathBuf,
    state: PathBuf,
    metrics: std::net::SocketAddr,
}

impl Stand {
    /// Below `directory`; `run` holds the runtime's socket.
    fn new(directory: &Path, run: PathBuf, settings: &str, address: &str) -> Result<Self> {
        let (config, state) = (directory.join("config"), directory.join("state"));
        for place in [&config, &state] {
            fs::create_dir(place)?;
        }
        let metrics = free_address()?;
        ensure!(settings.contains(address), "the configuration has no {address}");
        // The tests look at tenant and labels as everywhere else, and what else runs on the machine uses up nothing.
        let settings = settings.replace(address, &metrics.to_string()).replace("\"default\"", "e2e");
        let settings = settings
            .replace("  sensor:\n", &format!("  sensor:\n    hashBytesPerSecond: {HASH_BYTES_PER_SECOND}\n"));
        fs::write(config.join("zastava.yaml"), settings)?;
        Ok(Self { run, state, metrics })
    }

    fn of(&self, directory: &Path, host: &str) -> PathBuf {
        match host {
            "/run" => self.run.clone(),
            "/run/zastava" => self.state.clone(),
            "./zastava.yaml" => directory.join("config/zastava.yaml"),
            other => other.into(),
        }
    }

    fn await_ready(&self, log: impl Fn() -> String) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if http::get(self.metrics, "/readyz").is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the deployed sensor is not ready; its log:\n{}", log());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// File systems aside, which fanotify marks by the mounts that it sees (docs/install/kubernetes.md), nothing is
    /// missing that the manifests' capabilities and mounts were to give.
    fn nothing_missing(&self, natively: &Value) -> Result<()> {
        let (_, body) = http::get(self.metrics, "/readyz?verbose")?;
        let deployed: Value = serde_json::from_str(&body)?;
        let [deployed, natively] = [&deployed, natively].map(missing);
        ensure!(
            deployed == natively,
            "does without {deployed:?}, and outside of a container without {natively:?}"
        );
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.state.join("sensor.sock")
    }
}

/// Names of what a sensor does without, but for single file systems.
fn missing(readiness: &Value) -> BTreeSet<String> {
    let parts = readiness["degraded"].as_object().into_iter().flat_map(|parts| parts.keys());
    parts.filter(|part| !part.starts_with("fanotify on ")).cloned().collect()
}

fn sensor_image() -> Result<Image> {
    let sensor = program()?;
    let sensor = fs::read(&sensor).with_context(|| format!("cannot read {}", sensor.display()))?;
    let files =
        Tar::default().directory("usr").directory("usr/bin").file("usr/bin/zastava-sensor", 0o755, &sensor);
    let content = Content::default().layer(files).entrypoint(&["/usr/bin/zastava-sensor"]).command(&["run"]);
    Ok(Image::new(&content, Packing::Gzip))
}

/// What a sensor outside of any container does without.
fn natively(setting: &Setting<'_>, runtime: &Runtime) -> Result<Value> {
    let sensor = setting.sensor(runtime)?;
    let (_, body) = http::get(sensor.metrics, "/readyz?verbose")?;
    sensor.stop()?;
    Ok(serde_json::from_str(&body)?)
}

/// A container that runs before the deployed sensor, and on.
fn lasting(setting: &Setting<'_>, runtime: &Runtime) -> Result<Ran> {
    let own = setting.own("stays", Deed::Exit(0))?;
    runtime.run(&setting.wish(&own, &["/bin/tester", "every", "50", &own.there]))
}

/// The deployed sensor knows a container that ran before it by its first process, not by the runtime's word alone.
fn knows(setting: &Setting<'_>, runtime: &Runtime, stand: &Stand, ran: &Ran) -> Result<(), Stop> {
    let deadline = Instant::now() + PATIENCE;
    // Its start is told when all that runs was looked at, which may be after the sensor is ready.
    let status = loop {
        match listed(&stand.socket(), &[&ran.id])?.pop() {
            Some(status) if status.state() == State::Running => break status,
            other if Instant::now() > deadline => {
                return Err(Stop::Failed(anyhow::anyhow!("no start of what ran before: {other:?}")));
            }
            _ => std::thread::sleep(PAUSE),
        }
    };
    let observed = status.observed();
    let process = status.process.clone().unwrap_or_default();
    let pid = runtime.pid(ran)?;
    ensure_that(
        observed == Observed::Existing && process.pid == pid && process.exe == "/bin/tester",
        format!("what ran before is {observed:?}, its first process not {pid}: {process:?}"),
    )?;
    // Both name a container alike.
    let named = Event { runtime: status.runtime, workload: status.workload, ..Event::default() };
    let (found, told) = (Told::by(&named), setting.told(ran));
    ensure_that(found == told, format!("what ran before is {found:?}, not {told:?}"))
}

/// The deployed sensor sees another container's life, and reads what it executes.
fn sees(setting: &Setting<'_>, runtime: &Runtime, stand: &Stand, natively: &Value) -> Result<(), Stop> {
    stand.nothing_missing(natively)?;
    let mut watch = Watch::start(&stand.socket(), &[])?;
    // A consumer that is there gets what comes next; nothing tells when it is, so the first containers may be missed.
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    let (own, ran) = loop {
        number += 1;
        let own = setting.own(&format!("program-{number}"), Deed::Exit(0))?;
        let ran: Ran = runtime.run(&setting.wish(&own, &["/bin/tester", "live", "0", "4", &own.there]))?;
        runtime.wait(&ran)?;
        let whole = |events: &[Event]| {
            let begun = came(events, EventKind::ContainerStart, &ran);
            begun && came(events, EventKind::ContainerStop, &ran) && executed(events, &own.there) > 0
        };
        if watch.inbox.wait(PAUSE * 100, whole)? {
            break (own, ran);
        }
        if Instant::now() > deadline {
            return Err(Stop::Failed(anyhow::anyhow!("the deployed sensor tells no container's whole life")));
        }
    };
    let bytes = fs::read(own.here.join(format!("program-{number}")))?;
    let told = setting.told(&ran);
    whole(watch.inbox.events(), &told, &ran, End::Code(4))?;
    execs(watch.inbox.events(), &own.there, &told)?;
    let exec = watch
        .inbox
        .events()
        .iter()
        .find(|event| event.kind() == EventKind::ProcessExec && file_of(event).path == own.there);
    let file = file_of(exec.context("no exec")?);
    ensure_that(
        format!("sha256:{}", file.sha256) == digest(&bytes),
        format!("the program was not read: {:?}", file.sha256_reason),
    )
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is no text"))
}

fn words(value: &Value) -> Result<Vec<String>> {
    let words = value.as_array().with_context(|| format!("{value} is no list"))?;
    words.iter().map(|word| Ok(text(word)?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn stand() -> Stand {
        Stand { run: "/r".into(), state: "/s".into(), metrics: free_address().unwrap() }
    }

    #[test]
    fn the_manifests_differ_in_capabilities_that_sys_admin_holds() {
        let wish = kubernetes::daemon_set(Path::new("/d"), &stand()).unwrap();
        let words = docker::compose(Path::new("/d"), &stand(), "image").unwrap();
        let added: Vec<_> = words.iter().filter_map(|word| word.strip_prefix("--cap-add=")).collect();
        let held = |name: &String| !["BPF", "PERFMON"].contains(&name.as_str());
        assert_eq!(added, wish.security.unwrap().add.into_iter().filter(held).collect::<Vec<_>>());
    }
}
