//! The sensor as it is deployed: as a container, with the mounts, the capabilities and the filter that the manifests in
//! deploy/ give it, and no others.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use zastava_common::event::v1::{
    ContainerStatus, Event,
    container_status::State,
    event::{Kind as EventKind, Observed},
};

use super::{PATIENCE, Setting, came, execs, whole};
use crate::{
    containers::{
        runtime::{InPod, Ran, Runtime},
        told::{End, Told},
    },
    elf::Deed,
    expect::file_of,
    http,
    image::{Content, Image, Packing, digest, tar::Tar},
    inbox::Inbox,
    runtimes::{
        cri::{ContainerWish, PodWish, Security},
        docker::Docker,
    },
    sensor::{HASH_BYTES_PER_SECOND, free_address, program},
    stage::{Stop, ensure_that},
};

const DAEMON_SET: &str = include_str!("../../../../deploy/kubernetes/sensor/daemon-set.yaml");
const SETTINGS: &str = include_str!("../../../../deploy/kubernetes/sensor/zastava.yaml");
const COMPOSE: &str = include_str!("../../../../deploy/docker/compose.yaml");
const COMPOSE_SETTINGS: &str = include_str!("../../../../deploy/docker/zastava.yaml");
const PAUSE: Duration = Duration::from_millis(20);

/// One mount of a manifest: of the machine, in the container, and whether it is read only.
struct Mounted {
    host: String,
    container: String,
    read_only: bool,
}

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

    /// What the deployed sensor says of a container that runs.
    fn status(&self, ran: &Ran) -> Result<Option<ContainerStatus>> {
        let listed = Command::new(program()?)
            .args(["containers", "--output", "json", "--container", &ran.id, "--socket"])
            .arg(self.state.join("sensor.sock"))
            .output()?;
        ensure!(
            listed.status.success(),
            "`zastava-sensor containers`: {}",
            String::from_utf8_lossy(&listed.stderr)
        );
        let lines: Vec<_> =
            listed.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        match lines.as_slice() {
            [] => Ok(None),
            [line] => Ok(Some(serde_json::from_slice(line)?)),
            _ => bail!("{} is listed {} times", ran.name, lines.len()),
        }
    }

    fn watch(&self) -> Result<Watch> {
        let mut child = Command::new(program()?)
            .args(["watch", "--output", "json", "--socket"])
            .arg(self.state.join("sensor.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let inbox = Inbox::new(child.stdout.take().context("no output")?);
        Ok(Watch { child, inbox })
    }
}

/// Names of what a sensor does without, but for single file systems.
fn missing(readiness: &Value) -> BTreeSet<String> {
    let parts = readiness["degraded"].as_object().into_iter().flat_map(|parts| parts.keys());
    parts.filter(|part| !part.starts_with("fanotify on ")).cloned().collect()
}

/// A consumer of the deployed sensor.
struct Watch {
    child: Child,
    inbox: Inbox,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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

pub(super) fn on_kubernetes(setting: &Setting<'_>) -> Result<(), Stop> {
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

pub(super) fn on_docker(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let natively = natively(setting, &runtime)?;
    let Runtime::Docker(docker) = &runtime else {
        return Err(Stop::Unable("the compose file is for Docker".to_owned()));
    };
    let reference = setting.images.registry.push("zastava-sensor", "e2e", &sensor_image()?);
    runtime.pull(&reference)?;
    let before = lasting(setting, &runtime)?;
    let stand = Stand::new(setting.directory, docker.at("run"), COMPOSE_SETTINGS, "127.0.0.1:9464")?;
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
        match stand.status(ran)? {
            Some(status) if status.state() == State::Running => break status,
            other if Instant::now() > deadline => {
                return Err(Stop::Failed(anyhow::anyhow!("no start of what ran before: {other:?}")));
            }
            _ => std::thread::sleep(PAUSE * 5),
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
    let mut watch = stand.watch()?;
    // A consumer that is there gets what comes next; nothing tells when it is, so the first containers may be missed.
    let own = setting.own("program", Deed::Exit(0))?;
    let bytes = fs::read(own.here.join("program"))?;
    let deadline = Instant::now() + PATIENCE;
    let ran = loop {
        let ran: Ran = runtime.run(&setting.wish(&own, &["/bin/tester", "live", "0", "4", &own.there]))?;
        runtime.wait(&ran)?;
        if watch.inbox.wait(PAUSE * 100, |events| came(events, EventKind::ContainerStop, &ran))? {
            break ran;
        }
        if Instant::now() > deadline {
            return Err(Stop::Failed(anyhow::anyhow!("the deployed sensor tells no container's end")));
        }
        watch.inbox.forget();
    };
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

/// The container of the DaemonSet.
fn daemon_set(directory: &Path, stand: &Stand) -> Result<ContainerWish> {
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

/// `docker run` as the compose file says it.
fn compose(directory: &Path, stand: &Stand, image: &str) -> Result<Vec<String>> {
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

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is no text"))
}

fn words(value: &Value) -> Result<Vec<String>> {
    let words = value.as_array().with_context(|| format!("{value} is no list"))?;
    words.iter().map(|word| Ok(text(word)?.to_owned())).collect()
}

/// `256Mi`
fn bytes(quantity: &str) -> Result<i64> {
    let mebibytes: i64 = quantity.strip_suffix("Mi").context("not in Mi")?.parse()?;
    Ok(mebibytes << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand() -> Stand {
        Stand { run: "/r".into(), state: "/s".into(), metrics: free_address().unwrap() }
    }

    #[test]
    fn the_daemon_set_mounts_the_host_read_only() {
        let wish = daemon_set(Path::new("/d"), &stand()).unwrap();
        let writable: Vec<_> = wish.writable.iter().map(|(_, place)| place.as_str()).collect();
        assert_eq!(writable, ["/run/zastava"]);
        let places: Vec<_> = wish.mounts.iter().map(|(_, place)| place.as_str()).collect();
        assert_eq!(places, ["/etc/zastava", "/host/proc", "/host/sys/fs/cgroup", "/host/run"]);
    }

    #[test]
    fn the_manifests_differ_in_capabilities_that_sys_admin_holds() {
        let wish = daemon_set(Path::new("/d"), &stand()).unwrap();
        let security = wish.security.unwrap();
        assert!(security.read_only_root && security.no_new_privileges && security.default_seccomp);
        let words = compose(Path::new("/d"), &stand(), "image").unwrap();
        let added: Vec<_> = words.iter().filter_map(|word| word.strip_prefix("--cap-add=")).collect();
        let held = |name: &String| !["BPF", "PERFMON"].contains(&name.as_str());
        assert_eq!(added, security.add.into_iter().filter(held).collect::<Vec<_>>());
        assert!(words.contains(&"--cap-drop=ALL".to_owned()) && words.contains(&"--read-only".to_owned()));
    }
}
