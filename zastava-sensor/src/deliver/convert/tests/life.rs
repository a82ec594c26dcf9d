//! Starts and ends of containers.

use std::collections::BTreeMap;

use prost::Message as _;

use super::*;
use crate::{
    container::{
        description::{
            Description, DigestOf, Entrypoint, Image, Labels, MAX_ENTRYPOINT_BYTES, MAX_LABEL_BYTES,
            MAX_MOUNTS, Mount, Mounts, Owner, Platform, Pod, Role, Rootfs, State,
        },
        runtime::{Engine, EngineKind},
    },
    observation::{HowEnded, Observed, Start, Stop},
};

fn description() -> Description {
    Description {
        engine: Arc::new(Engine {
            kind: EngineKind::Containerd,
            version: "1.7.24".to_owned(),
            socket: "/run/containerd/containerd.sock".into(),
        }),
        id: "c".repeat(64).into(),
        role: Role::Init,
        platform: Platform::Kubernetes,
        state: State::Running,
        name: "api".to_owned(),
        attempt: 2,
        pod: Some(Pod {
            namespace: "production".to_owned(),
            name: "api-7c9fbbd8b7-ktd84".to_owned(),
            uid: "3d5f".to_owned(),
            sandbox_id: "5a".into(),
        }),
        image: Some(Image {
            requested: "ghcr.io/acme/api:1".to_owned(),
            digest: Known::Is("sha256:def456".into()),
            digest_of: DigestOf::Manifest,
            index: None,
            config_digest: Some("sha256:c0".into()),
            reference: "ghcr.io/acme/api:1@sha256:def456".to_owned(),
        }),
        labels: Labels { kept: BTreeMap::from([("app".to_owned(), "api".to_owned())]), omitted: 1 },
        annotations: Labels::default(),
        owner: Some(Owner { kind: "Deployment".to_owned(), name: "api".to_owned(), derived: true }),
        entrypoint: Entrypoint {
            words: vec!["/entrypoint.sh".to_owned(), "--serve".to_owned()],
            truncated: false,
        },
        mounts: Mounts {
            kept: vec![Mount { source: "/host".into(), destination: "/data".into(), read_only: true }],
            omitted: 0,
        },
        rootfs: Some(Rootfs {
            lower: vec!["/l/2".into(), "/l/1".into()],
            upper: Some("/u".into()),
            snapshotter: Some("overlayfs".to_owned()),
            diff_ids: vec!["sha256:1".into()],
            ..Rootfs::default()
        }),
        pid: Some(42),
        cgroup: None,
        created: None,
        started: None,
    }
}

fn named() -> Place {
    Place::Container(Container { id: Arc::new(container()), names: Known::Is(Arc::new(description())) })
}

fn start() -> Fact {
    Fact::Start(Box::new(Start {
        observed: Observed::Existing,
        program: Some(artifact()),
        script: None,
        libraries: vec![Artifact { path: "/lib/libssl.so.3".to_owned(), ..artifact() }],
        left_out: 3,
        libraries_reason: None,
    }))
}

fn stop(how: Known<HowEnded>) -> Stop {
    let loss = |kind, count| Loss { cgroup_id: Some(7), kind, count, first_boot_ns: 0, last_boot_ns: 0 };
    Stop {
        how,
        oom: Known::Is(false),
        duration_ns: Known::Is(5),
        losses: vec![loss("exec", 0), loss("mapping", 2)],
        word: Some("Error".to_owned()),
    }
}

#[test]
fn a_start_is_the_advisorys_envelope() {
    let mut event = converter(false).convert(seen(named(), start()));
    event.event_id.clear();
    let mut line = Vec::new();
    json::to_json_line(&event, &mut line).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
    let file = |path: &str| {
        serde_json::json!({
            "path": path,
            "inode": 12,
            "sha256": "ab".repeat(32),
            "device": "8:17",
            "generation": 3,
            "size": 4096,
            "nlink": 1,
            "buildId": BUILD_ID,
            "sha256Strength": "byInode",
            "content": "elf",
            "origin": "overlayLower",
        })
    };
    assert_eq!(
        value,
        serde_json::json!({
            "when": "2025-11-29T12:00:02.5Z",
            "kind": "CONTAINER_START",
            "tenant": "acme-corp",
            "node": "node-1",
            "runtime": {"engine": "containerd", "version": "1.7.24"},
            "workload": {
                "platform": "kubernetes",
                "namespace": "production",
                "pod": "api-7c9fbbd8b7-ktd84",
                "container": "api",
                "containerId": format!("containerd://{}", "c".repeat(64)),
                "imageRef": "ghcr.io/acme/api:1@sha256:def456",
                "owner": {"kind": "Deployment", "name": "api", "derived": true},
                "podUid": "3d5f",
                "cgroup": "/kubepods.slice/c",
                "imageDigest": "sha256:def456",
                "labels": {"app": "api"},
                "role": "init",
                "imageId": "sha256:c0",
                "imageDigestOf": "manifest",
                "attempt": 2,
                "labelsOmitted": 1,
                "mounts": [{"source": "/host", "destination": "/data", "readOnly": true}],
                "rootfs": {
                    "lower": ["/l/2", "/l/1"],
                    "upper": "/u",
                    "snapshotter": "overlayfs",
                    "diffIds": ["sha256:1"],
                },
                "sandboxId": "5a",
            },
            "process": {
                "pid": 42,
                "entrypoint": ["/entrypoint.sh", "--serve"],
                "buildId": BUILD_ID,
                "startTime": "2025-11-29T12:00:01Z",
                "ppid": 41,
                "comm": "python3",
                "exe": "/usr/bin/python3",
                "cwd": "/srv",
                "uid": 0,
                "gid": 0,
                "argc": 2,
                "argsLen": 20,
                "ancestors": [
                    {"pid": 41, "startTime": "2025-11-29T12:00:00.5Z", "comm": "sh", "exe": "/bin/sh"},
                ],
            },
            "file": file("/usr/bin/python3"),
            "loadedLibs": [file("/lib/libssl.so.3")],
            "observed": "existing",
            "loadedLibsLeftOut": 3,
        })
    );
}

#[test]
fn a_start_fits_into_an_event_whatever_its_container_calls_things() {
    let long = "\u{1}".repeat(4096);
    let mount = Mount { source: long.clone().into(), destination: long.clone().into(), read_only: true };
    let description = Description {
        mounts: Mounts { kept: vec![mount; MAX_MOUNTS], omitted: 1 },
        entrypoint: Entrypoint { words: vec!["\u{1}".repeat(MAX_ENTRYPOINT_BYTES)], truncated: true },
        labels: Labels {
            kept: BTreeMap::from([("l".to_owned(), "\u{1}".repeat(MAX_LABEL_BYTES))]),
            omitted: 0,
        },
        ..description()
    };
    let place =
        Place::Container(Container { id: Arc::new(container()), names: Known::Is(Arc::new(description)) });
    let Fact::Start(start) = start() else { panic!("no start") };
    for raw_path in [None, Some(vec![0xff; 4096])] {
        let library = Artifact { path: long.clone(), raw_path, ..artifact() };
        let start = Start { libraries: vec![library; 256], ..*start.clone() };
        let event = converter(false).convert(seen(place.clone(), Fact::Start(Box::new(start))));
        let mut line = Vec::new();
        json::to_json_line(&event, &mut line).unwrap();
        assert!(event.encoded_len() < line.len());
        let workload = event.workload.unwrap();
        assert_eq!(event.loaded_libs.len() + event.loaded_libs_left_out as usize, 256 + 3);
        assert_eq!(workload.mounts.len() + workload.mounts_omitted as usize, MAX_MOUNTS + 1);
        assert!(event.loaded_libs.len() > 50 && workload.mounts.len() > 8, "little is told");
    }
}

#[test]
fn other_events_of_a_container_have_its_names_and_not_what_was_told_once() {
    let event = converter(false).convert(seen(named(), exec()));
    let workload = event.workload.unwrap();
    assert_eq!((workload.container.as_str(), workload.pod.as_str()), ("api", "api-7c9fbbd8b7-ktd84"));
    assert_eq!(workload.image_digest, "sha256:def456");
    assert!(workload.labels.is_empty() && workload.mounts.is_empty() && workload.rootfs.is_none());
}

#[test]
fn an_image_without_a_digest_says_why() {
    let image = Image { digest: Known::Not("image without repo digest"), ..description().image.unwrap() };
    let names = Known::Is(Arc::new(Description { image: Some(image), ..description() }));
    let place = Place::Container(Container { id: Arc::new(container()), names });
    let workload = converter(false).convert(seen(place, exec())).workload.unwrap();
    assert_eq!(workload.image_digest_reason, "image without repo digest");
    assert_eq!((workload.image_digest.as_str(), workload.image_digest_of), ("", 0));
}

#[test]
fn a_start_that_only_the_runtime_told_of_has_a_process_without_anything_but_its_pid() {
    let start = Start {
        observed: Observed::ByRuntime,
        program: None,
        script: None,
        libraries: Vec::new(),
        left_out: 0,
        libraries_reason: Some("process gone before its mappings were read"),
    };
    let observation = Observation { process: None, ..seen(named(), Fact::Start(Box::new(start))) };
    let event = converter(false).convert(observation);
    assert_eq!(event.file, None);
    assert_eq!(
        event.process.unwrap(),
        v1::Process {
            pid: 42,
            entrypoint: vec!["/entrypoint.sh".into(), "--serve".into()],
            unknown_reason: "the exec of the entrypoint was not told".into(),
            ..Default::default()
        }
    );
    assert_eq!(event.loaded_libs_reason, "process gone before its mappings were read");
}

#[test]
fn a_stop_says_how_the_container_ended_and_what_was_not_seen_of_it() {
    let event = |how| {
        let fact = Fact::Stop(Box::new(stop(how)));
        let event = converter(false).convert(seen(named(), fact));
        assert_eq!((event.kind(), &event.sensor), (Kind::ContainerStop, &None));
        event
    };
    let stopped = event(Known::Is(HowEnded::Status(9)));
    let losses: Vec<_> = stopped.losses.iter().map(|loss| (loss.kind.as_str(), loss.count)).collect();
    assert_eq!(losses, [("exec", Some(0)), ("mapping", Some(2))]);
    assert_eq!((stopped.losses[0].first, stopped.losses[1].first.is_some()), (None, true));
    assert_eq!(
        stopped.exit.unwrap(),
        v1::Exit {
            signal: Some(9),
            duration_ns: Some(5),
            reason: "Error".into(),
            oom: Some(false),
            ..Default::default()
        }
    );
    let exit = event(Known::Is(HowEnded::Code(3))).exit.unwrap();
    assert_eq!((exit.code, exit.signal), (Some(3), None));
    let exit = event(Known::Not("the exit of its first process was not told")).exit.unwrap();
    assert_eq!((exit.code, exit.reason.as_str()), (None, "the exit of its first process was not told"));
}

#[test]
fn how_a_process_entered_its_container_is_in_each_of_its_events() {
    let seen = seen(named(), exec());
    seen.process.as_ref().unwrap().entered.set(Entered::ByExec).unwrap();
    let event = converter(false).convert(seen);
    assert_eq!(event.process.unwrap().entered(), process::Entered::ByExec);
}
