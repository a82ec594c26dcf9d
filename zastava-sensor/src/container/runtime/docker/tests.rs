//! On recordings of Docker 20.10.24 and Podman 4.3.1, served over a socket by what is no runtime.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{net::UnixListener, sync::mpsc, task::JoinHandle, time::timeout};
use zastava_common::config;

use super::{Docker, event::change};
use crate::{
    container::{
        description::{Description, DigestOf, Platform, Role, State},
        reason,
        runtime::{
            EngineKind, Settings, Stop,
            client::{Client, Failure, Key, What},
            tests::http::{answer, answers},
        },
    },
    observation::Known,
    process::proc::ProcRoot,
};

const DOCKER: &str = include_str!("recorded/docker-20.10-container.json");
const DOCKER_IMAGE: &str = include_str!("recorded/docker-20.10-image.json");
const PODMAN: &str = include_str!("recorded/podman-4.3-container.json");
const PODMAN_IMAGE: &str = include_str!("recorded/podman-4.3-image.json");
const DOCKER_VERSION: &str =
    r#"{"Version":"20.10.24+dfsg1","ApiVersion":"1.41","Components":[{"Name":"Engine"}]}"#;
const PODMAN_VERSION: &str = r#"{"Version":"4.3.1","Components":[{"Name":"Podman Engine"}]}"#;
const CONFIG: &str = "sha256:5da50483e68d4dfbd0c408a9e19f4040a252fd4a9364ecb86de96fee0705ecca";

struct Fake {
    root: tempfile::TempDir,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    fn serve(all: &[(&str, String)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(root.path().join("d.sock")).unwrap();
        let answers = answers(all);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&answers), ""));
            }
        });
        Self { root, task }
    }

    fn socket(&self) -> PathBuf {
        self.root.path().join("d.sock")
    }

    async fn client(&self) -> Docker {
        identify(&self.socket()).await.unwrap()
    }
}

async fn identify(socket: &Path) -> Result<Docker, Failure> {
    let runtime = config::Runtime::default();
    Docker::identify(socket, &Arc::new(Settings::from(&runtime))).await
}

fn id(inspected: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(inspected).unwrap();
    value["Id"].as_str().unwrap().to_owned()
}

fn key(id: &str) -> Key {
    Key { id: id.into(), namespace: None }
}

fn docker(container: &str, image: &str) -> Fake {
    let container_path = format!("/containers/{}/json", id(DOCKER));
    let image_path = format!("/images/{CONFIG}/json");
    Fake::serve(&[
        ("/version", DOCKER_VERSION.to_owned()),
        (&container_path, container.to_owned()),
        (&image_path, image.to_owned()),
    ])
}

#[tokio::test]
async fn a_container_of_docker_is_described() {
    let fake = docker(DOCKER, DOCKER_IMAGE);
    let client = fake.client().await;
    assert_eq!(
        (client.engine().kind, client.engine().version.as_str()),
        (EngineKind::Docker, "20.10.24+dfsg1")
    );
    let told = client.describe(&key(&id(DOCKER))).await.unwrap();
    let description = told.description;
    assert_eq!((description.role, description.platform), (Role::Workload, Platform::Engine));
    assert_eq!((description.name.as_str(), description.state), ("web", State::Running));
    assert!(description.pid.is_some() && told.stop.is_none());
    assert_eq!(description.labels.kept, [("app".to_owned(), "web".to_owned())].into());
    assert_eq!(description.entrypoint.words, ["/bin/sleep", "1000"]);
    let mount = &description.mounts.kept[0];
    assert_eq!((mount.destination.to_str(), mount.read_only), (Some("/data"), true));
    let rootfs = description.rootfs.unwrap();
    assert_eq!((rootfs.snapshotter.as_deref(), rootfs.lower.len()), (Some("overlay2"), 2));
    assert!(rootfs.upper.unwrap().starts_with("/srv") && rootfs.diff_ids.len() == 1);
    // Loaded, not pulled.
    let image = description.image.unwrap();
    assert_eq!(
        (image.requested.as_str(), image.reference.as_str()),
        ("lab.local/busybox:1", "lab.local/busybox:1")
    );
    assert_eq!(image.digest, Known::Not(reason::NO_REPO_DIGEST));
    assert_eq!(image.config_digest.as_deref(), Some(CONFIG));
}

#[tokio::test]
async fn a_container_that_waits_to_be_started_anew_has_ended() {
    let mut container: serde_json::Value = serde_json::from_str(DOCKER).unwrap();
    let state = serde_json::json!({
        "Status": "restarting", "Running": true, "Restarting": true, "Pid": 0, "ExitCode": 3, "OOMKilled": false,
        "StartedAt": "2026-01-01T10:00:00Z", "FinishedAt": "2026-01-01T10:00:05Z",
    });
    container["State"] = state;
    let fake = docker(&container.to_string(), DOCKER_IMAGE);
    let told = fake.client().await.describe(&key(&id(DOCKER))).await.unwrap();
    assert_eq!((told.description.state, told.description.pid), (State::Exited, None));
    let Stop { code, at, .. } = told.stop.unwrap();
    assert_eq!(
        (code, at),
        (Some(3), Some("2026-01-01T10:00:05Z".parse::<jiff::Timestamp>().unwrap().into()))
    );
}

#[tokio::test]
async fn a_cgroup_that_is_not_named_after_the_container_is_not_taken_for_its_own() {
    let own = format!("/system.slice/docker-{}.scope", id(DOCKER));
    let below = format!("{own}/init.scope");
    let others = ["/user.slice/user-0.slice/session-3.scope", "/init.scope", "/system.slice/runner.service"];
    for (path, own) in
        [(own.as_str(), true), (&below, true)].into_iter().chain(others.map(|path| (path, false)))
    {
        let procfs = tempfile::tempdir().unwrap();
        let process = procfs.path().join("4242");
        std::fs::create_dir(&process).unwrap();
        std::fs::write(process.join("cgroup"), format!("0::{path}\n")).unwrap();
        let mut container: serde_json::Value = serde_json::from_str(DOCKER).unwrap();
        container["State"]["Pid"] = 4242.into();
        // As Podman has it of one with `--cgroups=disabled`.
        container["State"]["CgroupPath"] = "".into();
        let fake = docker(&container.to_string(), DOCKER_IMAGE);
        let settings =
            Settings { procfs: ProcRoot::new(procfs.path()), ..Settings::from(&config::Runtime::default()) };
        let client = Docker::identify(&fake.socket(), &Arc::new(settings)).await.unwrap();
        let description = client.describe(&key(&id(DOCKER))).await.unwrap().description;
        assert_eq!(description.cgroup.as_deref(), own.then_some(path), "{path}");
    }
}

/// Docker's container with these labels, below this cgroup.
async fn labelled(cgroup_parent: &str, labels: &[(&str, &str)]) -> Description {
    let mut container: serde_json::Value = serde_json::from_str(DOCKER).unwrap();
    container["HostConfig"]["CgroupParent"] = cgroup_parent.into();
    container["Config"]["Labels"] = labels.iter().copied().collect();
    let fake = docker(&container.to_string(), DOCKER_IMAGE);
    fake.client().await.describe(&key(&id(DOCKER))).await.unwrap().description
}

#[tokio::test]
async fn a_container_of_cri_dockerd_is_in_its_pod() {
    let pod = [
        ("io.kubernetes.pod.name", "web-7c9fbbd8b7-ktd84"),
        ("io.kubernetes.pod.namespace", "production"),
        ("io.kubernetes.pod.uid", "5f0c1a3e-8f1d-4a51-9d0b-5a1f6f3e7f11"),
    ];
    let own = [
        ("io.kubernetes.docker.type", "container"),
        ("io.kubernetes.container.name", "app"),
        ("io.kubernetes.sandbox.id", "abc"),
        ("annotation.io.kubernetes.container.restartCount", "2"),
    ];
    let labels = [&pod[..], &own].concat();
    for parent in ["/kubepods/burstable/pod1", "kubepods-burstable-pod1.slice", "/kubelet/kubepods/pod1"] {
        let description = labelled(parent, &labels).await;
        assert_eq!((description.role, description.platform), (Role::Workload, Platform::Kubernetes));
        assert_eq!((description.name.as_str(), description.attempt), ("app", 2));
        let pod = description.pod.unwrap();
        assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("production", "web-7c9fbbd8b7-ktd84"));
        assert_eq!((pod.uid.as_str(), &*pod.sandbox_id), ("5f0c1a3e-8f1d-4a51-9d0b-5a1f6f3e7f11", "abc"));
    }
    let template = [("io.kubernetes.docker.type", "podsandbox"), ("pod-template-hash", "7c9fbbd8b7")];
    let sandbox = labelled("/kubepods/pod1", &[&pod[..], &template].concat()).await;
    assert_eq!((sandbox.role, sandbox.name.as_str()), (Role::Sandbox, "web-7c9fbbd8b7-ktd84"));
    assert_eq!(sandbox.owner.unwrap().name, "web");
    assert_eq!(sandbox.pod.unwrap().sandbox_id.to_string(), id(DOCKER));
    // An image may say so; the kubelet put it nowhere.
    for parent in ["", "/docker", "kubepodsx.slice"] {
        let description = labelled(parent, &labels).await;
        assert_eq!((description.platform, description.pod), (Platform::Engine, None), "{parent}");
        assert_eq!(description.name, "web");
    }
}

#[tokio::test]
async fn a_pulled_image_has_the_digest_of_the_repository_asked_for() {
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let digests = format!(
        r#"{{"RepoDigests":["other.example/x@{}","lab.local/busybox@{}"]}}"#,
        digest("1"),
        digest("2")
    );
    let fake = docker(DOCKER, &digests);
    let told = fake.client().await.describe(&key(&id(DOCKER))).await.unwrap();
    let image = told.description.image.unwrap();
    assert_eq!((image.digest, image.digest_of), (Known::Is(digest("2").into()), DigestOf::Pulled));
    assert_eq!(image.reference, format!("lab.local/busybox:1@{}", digest("2")));
}

#[tokio::test]
async fn with_dockers_containerd_store_the_manifest_itself_is_told() {
    let digest = format!("sha256:{}", "7".repeat(64));
    let mut container: serde_json::Value = serde_json::from_str(DOCKER).unwrap();
    container["ImageManifestDescriptor"] = serde_json::json!({"digest": digest, "size": 1});
    container["GraphDriver"] = serde_json::Value::Null;
    let fake = docker(&container.to_string(), "{}");
    let description = fake.client().await.describe(&key(&id(DOCKER))).await.unwrap().description;
    let image = description.image.unwrap();
    assert_eq!((image.digest, image.digest_of), (Known::Is(digest.into()), DigestOf::Manifest));
    assert_eq!(image.index.as_deref(), Some(CONFIG));
    assert_eq!(description.rootfs, None);
}

#[tokio::test]
async fn podman_is_asked_by_its_own_endpoints() {
    let container_path = format!("/v4.0.0/libpod/containers/{}/json", id(PODMAN));
    let image_path = format!("/v4.0.0/libpod/images/{CONFIG}/json");
    let listed = format!(r#"[{{"Id":"{}"}}]"#, id(PODMAN));
    let fake = Fake::serve(&[
        ("/version", PODMAN_VERSION.to_owned()),
        ("/v4.0.0/libpod/containers/json?all=true", listed),
        (&container_path, PODMAN.to_owned()),
        (&image_path, PODMAN_IMAGE.to_owned()),
    ]);
    let client = fake.client().await;
    assert_eq!(client.engine().kind, EngineKind::Podman);
    assert_eq!(client.list().await.unwrap(), [key(&id(PODMAN))]);
    let description = client.describe(&key(&id(PODMAN))).await.unwrap().description;
    assert_eq!((description.name.as_str(), description.role), ("web", Role::Workload));
    let cgroup = format!("/libpod_parent/libpod-{}", id(PODMAN));
    assert_eq!(description.cgroup.as_deref(), Some(cgroup.as_str()));
    // The image was loaded twice, with two manifests: the store's own.
    let image = description.image.unwrap();
    let own = "sha256:1f55c27c222285f34363cba1ebbdaf760bb78ca88f87eff5fb7609be1901881f";
    assert_eq!((image.requested.as_str(), image.digest), ("lab.local/busybox:1", Known::Is(own.into())));
    assert_eq!(description.rootfs.unwrap().diff_ids.len(), 1);
}

#[test]
fn podman_repeats_the_only_word_of_a_command() {
    let cases = [
        (r#"["/bin/sleep"]"#, r#"["/bin/sleep"]"#, r#""""#, vec!["/bin/sleep"]),
        (r#"["/bin/sleep"]"#, "null", r#"["/bin/sleep"]"#, vec!["/bin/sleep"]),
        (r#"["/bin/sleep"]"#, r#"["/bin/sleep"]"#, r#""/bin/sleep""#, vec!["/bin/sleep", "/bin/sleep"]),
        (r#"["1000"]"#, r#"["1000"]"#, r#""/bin/sleep""#, vec!["/bin/sleep", "1000"]),
    ];
    for (args, cmd, entrypoint, words) in cases {
        let mut container: serde_json::Value = serde_json::from_str(PODMAN).unwrap();
        let json = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
        container["Args"] = json(args);
        container["Config"]["Cmd"] = json(cmd);
        container["Config"]["Entrypoint"] = json(entrypoint);
        let mut container: super::inspect::Container = serde_json::from_value(container).unwrap();
        assert_eq!(container.take_entrypoint().collect::<Vec<_>>(), words);
    }
}

#[tokio::test]
async fn of_more_containers_than_an_answer_may_have_those_that_live_are_listed() {
    let all = || "x".repeat((16 << 20) + 1);
    let living = r#"[{"Id":"ab"}]"#.to_owned();
    let docker = Fake::serve(&[
        ("/version", DOCKER_VERSION.to_owned()),
        ("/containers/json?all=true", all()),
        ("/containers/json", living.clone()),
    ]);
    assert_eq!(docker.client().await.list().await.unwrap(), [key("ab")]);
    let podman = Fake::serve(&[
        ("/version", PODMAN_VERSION.to_owned()),
        ("/v4.0.0/libpod/containers/json?all=true", all()),
        (&format!("/v4.0.0/libpod{}", super::PODMAN_LIVING), living),
    ]);
    assert_eq!(podman.client().await.list().await.unwrap(), [key("ab")]);
    let neither = Fake::serve(&[
        ("/version", DOCKER_VERSION.to_owned()),
        ("/containers/json?all=true", all()),
        ("/containers/json", all()),
    ]);
    assert!(matches!(neither.client().await.list().await, Err(Failure::TooLarge(_))));
}

#[tokio::test]
async fn what_is_no_answer_is_refused_with_a_reason() {
    let other = docker(&DOCKER.replacen(&id(DOCKER), &"0".repeat(64), 1), DOCKER_IMAGE);
    assert_eq!(other.client().await.describe(&key(&id(DOCKER))).await.unwrap_err(), Failure::Unknown);
    let client = other.client().await;
    assert_eq!(client.describe(&key("gone")).await.unwrap_err(), Failure::Unknown);
    assert!(matches!(client.describe(&key("a/../b")).await, Err(Failure::Malformed(_))));
    let malformed = docker(r#"{"Id":"#, DOCKER_IMAGE);
    assert!(matches!(malformed.client().await.describe(&key(&id(DOCKER))).await, Err(Failure::Malformed(_))));
    let large = docker(&"x".repeat((16 << 20) + 1), DOCKER_IMAGE);
    assert!(matches!(large.client().await.describe(&key(&id(DOCKER))).await, Err(Failure::TooLarge(_))));
    let long = docker(&DOCKER.replace("\"/web\"", &format!("\"/{}\"", "n".repeat(4097))), DOCKER_IMAGE);
    assert!(matches!(long.client().await.describe(&key(&id(DOCKER))).await, Err(Failure::TooLarge(_))));
    let odd = docker(&DOCKER.replace("\"/web\"", r#""/quote\" and\nnewline""#), DOCKER_IMAGE);
    let told = odd.client().await.describe(&key(&id(DOCKER))).await.unwrap();
    assert_eq!(told.description.name, "quote\" and\nnewline");
}

#[tokio::test]
async fn lines_of_the_stream_are_changes_and_its_end_is_told() {
    let line = |action: &str| format!(r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"ab"}}}}"#);
    let lines = format!("{}\nno json\n\n{}\n", line("create"), line("destroy"));
    let fake = Fake::serve(&[("/version", DOCKER_VERSION.to_owned()), (super::DOCKER_EVENTS, lines)]);
    let client = fake.client().await;
    let (sender, mut changes) = mpsc::channel(8);
    let ended = timeout(Duration::from_secs(20), client.watch(sender)).await.unwrap();
    assert!(matches!(ended, Failure::Lost(_)));
    let whats = [changes.recv().await.unwrap().what, changes.recv().await.unwrap().what];
    assert_eq!(whats, [What::Changed, What::Removed]);
    assert_eq!(changes.recv().await, None);
}

#[tokio::test]
async fn an_event_that_is_too_long_is_passed_over_and_the_next_ones_are_told() {
    let line = |id: &str, label: &str| {
        format!(
            r#"{{"Type":"container","Action":"create","Actor":{{"ID":"{id}","Attributes":{{"a":"{label}"}}}}}}"#
        )
    };
    let long = "<".repeat(18 << 20);
    let lines = [line("aa", ""), line("bb", &long), line("cc", ""), line("dd", &long), line("ee", "")]
        .join("\n")
        + "\n";
    let fake = Fake::serve(&[("/version", DOCKER_VERSION.to_owned()), (super::DOCKER_EVENTS, lines)]);
    let client = fake.client().await;
    let (sender, mut changes) = mpsc::channel(8);
    let ended = timeout(Duration::from_secs(20), client.watch(sender)).await.unwrap();
    assert!(matches!(ended, Failure::Lost(_)));
    let mut told = Vec::new();
    while let Some(change) = changes.recv().await {
        told.push(change.key);
    }
    assert_eq!(told, ["aa", "cc", "ee"].map(key));
}

#[tokio::test]
async fn podman_is_asked_how_a_container_ended() {
    let line =
        r#"{"Type":"container","Action":"died","Actor":{"ID":"ab","Attributes":{"containerExitCode":"3"}}}"#;
    let lines = (super::PODMAN_EVENTS, format!("{line}\n"));
    let fake = Fake::serve(&[("/version", PODMAN_VERSION.to_owned()), lines]);
    let client = fake.client().await;
    let (sender, mut changes) = mpsc::channel(8);
    timeout(Duration::from_secs(20), client.watch(sender)).await.unwrap();
    // Its answer says whether memory ran out, if it is of the same life; the event says the rest.
    assert_eq!(changes.recv().await.unwrap().what, What::Changed);
    let told = changes.recv().await.unwrap().what;
    assert_eq!(told, What::Stopped(Some(Stop { code: Some(3), ..Stop::default() })));
}

#[test]
fn events_of_docker_and_podman_are_understood() {
    let event = |action: &str, attributes: &str| {
        let line = format!(
            r#"{{"status":"{action}","Type":"container","Action":"{action}","Actor":{{"ID":"ab","Attributes":{attributes}}},"timeNano":5}}"#
        );
        change(line.as_bytes()).unwrap().map(|change| change.what)
    };
    let stop = |what| match what {
        Some(What::Stopped(Some(stop))) => stop,
        other => panic!("{other:?}"),
    };
    let Stop { code, signal, at, .. } = stop(event("die", r#"{"exitCode":"137","image":"x"}"#));
    assert_eq!((code, signal, at.is_some()), (Some(137), Some(9), true));
    assert_eq!(stop(event("died", r#"{"containerExitCode":"3"}"#)).code, Some(3));
    // A label of the container may have the name of what Docker itself tells, and hold anything.
    assert_eq!(stop(event("die", r#"{"exitCode":"many"}"#)).code, None);
    assert_eq!(event("oom", "{}"), Some(What::OutOfMemory));
    for nothing in ["attach", "exec_start: sh", "health_status: healthy", "init", "cleanup"] {
        assert_eq!(event(nothing, "null"), None, "{nothing}");
    }
    assert!(change(br#"{"Type":"container","Action":"die","Actor":{"ID":"a/b"}}"#).is_err());
    assert!(change(b"\xff").is_err());
    assert_eq!(change(br#"{"Type":"image","Action":"pull","Actor":{"ID":"a/b"}}"#), Ok(None));
}
