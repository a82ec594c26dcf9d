use std::sync::{Arc, OnceLock};

use prost_types::Timestamp;
use zastava_common::{
    abi::{FileIdentity, FileOp, file_flag},
    event::json,
};

use super::*;
use crate::{
    kernel::record::{Exit, FileChange, KernelPath, Listen, Sequence},
    observation::{
        AncestorName, Artifact, Container, ContainerId, Content, Digest, FileOrigin, Known, Loss, Place,
        Strength,
    },
};

/// 2025-11-29 12:00:00 UTC.
const BOOT_UNIX_S: i64 = 1_764_417_600;
const BUILD_ID: &str = "9f3a1cd4c0b7adfe91c0e3b51d2f45fb0f76a4c1";

fn converter(diagnostics: bool) -> Converter {
    let clock = BootClock::ahead_by(BOOT_UNIX_S.cast_unsigned() * 1_000_000_000);
    Converter::new("acme-corp".into(), "node-1".into(), clock, EventIdSource::new().unwrap(), diagnostics)
}

fn origin() -> Origin {
    Origin {
        tier: Tier::Trampoline,
        boot_ns: 2_500_000_000,
        process: ProcessKey { tgid: 42, start_boot_ns: 1_000_000_000 },
        tid: 42,
        cgroup_id: Some(7),
        mnt_ns: Some(4_026_531_841),
        sequence: Some(Sequence { cpu: 1, lane: 0, number: 99 }),
    }
}

fn process() -> Process {
    Process {
        key: ProcessKey { tgid: 42, start_boot_ns: 1_000_000_000 },
        ppid: 41,
        comm: "python3".into(),
        exe: "/usr/bin/python3".into(),
        cwd: "/srv".into(),
        uid: 0,
        gid: 0,
        argc: 2,
        args_len: 20,
        argv: Some(vec!["python3".into(), "--token=x".into()]),
        ancestors: [AncestorName {
            key: ProcessKey { tgid: 41, start_boot_ns: 500_000_000 },
            comm: "sh".into(),
            exe: Some("/bin/sh".into()),
        }]
        .into(),
        existing: false,
        entered: OnceLock::new(),
    }
}

fn identity() -> FileIdentity {
    FileIdentity {
        ino: 12,
        dev: (8 << 20) + 17,
        generation: 3,
        size: 4096,
        nlink: 1,
        ..FileIdentity::default()
    }
}

fn artifact() -> Artifact {
    Artifact {
        path: "/usr/bin/python3".into(),
        raw_path: None,
        path_truncated: false,
        identity: Some(identity()),
        build_id: Known::Is(BUILD_ID.into()),
        sha256: Known::Is(Digest { sha256: "ab".repeat(32).into(), strength: Strength::Inode }),
        content: Content::Elf,
        origin: FileOrigin::OverlayLower,
    }
}

fn container() -> ContainerId {
    ContainerId {
        id: "c".repeat(64),
        runtime: Some("containerd"),
        pod_uid: Some("3d5f".into()),
        cgroup: "/kubepods.slice/c".into(),
        by_user: false,
        nested_claim: None,
    }
}

fn unnamed(id: ContainerId) -> Place {
    Place::Container(Container { id: Arc::new(id), names: Known::Not("container runtime not asked") })
}

fn seen(container: Place, fact: Fact) -> Observation {
    Observation { origin: origin(), process: Some(Arc::new(process())), container, fact }
}

fn exec() -> Fact {
    Fact::Exec { program: artifact(), script: None }
}

#[test]
fn an_exec_becomes_the_advisorys_envelope_and_ours() {
    let place = unnamed(container());
    let mut event = converter(false).convert(seen(place, exec()));
    assert_eq!(event.event_id.len(), 36);
    event.event_id.clear();
    let mut line = Vec::new();
    json::to_json_line(&event, &mut line).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(
        value,
        serde_json::json!({
            "when": "2025-11-29T12:00:02.5Z",
            "kind": "PROCESS_EXEC",
            "tenant": "acme-corp",
            "node": "node-1",
            "runtime": {"engine": "containerd"},
            "workload": {
                "platform": "kubernetes",
                "containerId": format!("containerd://{}", "c".repeat(64)),
                "podUid": "3d5f",
                "cgroup": "/kubepods.slice/c",
                "namesReason": "container runtime not asked",
            },
            "process": {
                "pid": 42,
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
            "file": {
                "path": "/usr/bin/python3",
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
            },
            "sensor": {"tier": "trampoline", "cpu": 1, "lane": 0, "sequence": 99},
        })
    );
}

#[test]
fn argument_text_leaves_the_house_in_diagnostics_alone() {
    let argv = |diagnostics| {
        let event = converter(diagnostics).convert(seen(Place::Host, exec()));
        event.process.unwrap().argv
    };
    assert!(argv(false).is_empty());
    assert_eq!(argv(true), ["python3", "--token=x"]);
}

#[test]
fn a_script_stands_beside_its_interpreter() {
    let script = Artifact { path: "/srv/run.sh".into(), content: Content::Script, ..artifact() };
    let fact = Fact::Exec { program: artifact(), script: Some(script) };
    let event = converter(false).convert(seen(Place::Host, fact));
    assert_eq!(event.file.unwrap().path, "/usr/bin/python3");
    assert_eq!(event.process.unwrap().script.unwrap().path, "/srv/run.sh");
}

#[test]
fn what_runs_on_the_host_says_so_and_what_is_nowhere_says_why() {
    let workload = |place| {
        let event = converter(false).convert(seen(place, exec()));
        assert_eq!(event.runtime, None);
        event.workload.unwrap()
    };
    assert_eq!(workload(Place::Host), v1::Workload { platform: "host".into(), ..Default::default() });
    assert_eq!(
        workload(Place::Unknown("cgroup gone")),
        v1::Workload { unknown_reason: "cgroup gone".into(), ..Default::default() }
    );
}

#[test]
fn a_container_without_a_known_engine_has_its_bare_id() {
    let place = unnamed(ContainerId { runtime: None, pod_uid: None, ..container() });
    let event = converter(false).convert(seen(place, exec()));
    let workload = event.workload.unwrap();
    assert_eq!((event.runtime, workload.container_id), (None, "c".repeat(64)));
    assert_eq!((workload.platform.as_str(), workload.names_reason.is_empty()), ("", false));
}

#[test]
fn a_file_without_an_identity_a_digest_and_a_path_says_why() {
    let artifact = Artifact {
        path: String::new(),
        identity: None,
        build_id: Known::Not("not ELF"),
        sha256: Known::Not("file gone"),
        content: Content::Unknown,
        origin: FileOrigin::Unknown,
        ..artifact()
    };
    let event = converter(false).convert(seen(Place::Host, Fact::Library { artifact, by_protect: true }));
    assert_eq!(event.kind(), Kind::LibraryLoad);
    assert_eq!(
        event.file.unwrap(),
        v1::File {
            path_reason: "the kernel gave no path".into(),
            identity_reason: "the tier cannot tell".into(),
            build_id_reason: "not ELF".into(),
            sha256_reason: "file gone".into(),
            op: Op::Protect.into(),
            ..Default::default()
        }
    );
}

#[test]
fn an_identity_of_the_overlay_itself_is_told_from_that_of_the_file_below() {
    let identity = FileIdentity { flags: file_flag::OVERLAY | file_flag::OVERLAY_UNRESOLVED, ..identity() };
    let artifact = Artifact { identity: Some(identity), ..artifact() };
    let event = converter(false).convert(seen(Place::Host, Fact::Library { artifact, by_protect: false }));
    let file = event.file.unwrap();
    assert_eq!((file.inode, file.op()), (Some(12), Op::Map));
    assert!(file.identity_reason.starts_with("inode of the overlay itself"));
}

#[test]
fn a_path_that_is_not_utf_8_keeps_its_bytes() {
    let artifact =
        Artifact { path: "/tmp/\u{fffd}".into(), raw_path: Some(b"/tmp/\xff".to_vec()), ..artifact() };
    let change = FileChange { op: FileOp::Rename, file: None, path: KernelPath::default() };
    let event = converter(false).convert(seen(Place::Host, Fact::FileCreate { change, artifact }));
    let file = event.file.unwrap();
    assert_eq!((file.raw_path.as_str(), file.op()), ("2f746d702fff", Op::Rename));
}

fn exit(status: Option<u32>, duration_ns: Option<u64>) -> v1::Exit {
    let fact = Fact::Exit { exit: Exit { status, ppid: 41, comm: b"sh".to_vec() }, duration_ns };
    converter(false).convert(seen(Place::Host, fact)).exit.unwrap()
}

#[test]
fn an_exit_has_a_code_or_a_signal_or_a_reason() {
    let of = |status| v1::Exit { duration_ns: Some(5), ..status };
    assert_eq!(exit(Some(0), Some(5)), of(v1::Exit { code: Some(0), ..Default::default() }));
    assert_eq!(exit(Some(3 << 8), Some(5)), of(v1::Exit { code: Some(3), ..Default::default() }));
    assert_eq!(
        exit(Some(0x8b), Some(5)),
        of(v1::Exit { signal: Some(11), core_dumped: true, ..Default::default() })
    );
    assert_eq!(
        exit(None, None),
        v1::Exit {
            reason: "the tier cannot tell".into(),
            duration_reason: "start of the process not seen".into(),
            ..Default::default()
        }
    );
}

#[test]
fn an_exit_names_the_process_and_does_not_repeat_what_was_above_it() {
    let fact =
        Fact::Exit { exit: Exit { status: Some(0), ppid: 41, comm: b"sh".to_vec() }, duration_ns: Some(5) };
    let process = converter(false).convert(seen(Place::Host, fact)).process.unwrap();
    assert_eq!(
        (process.exe.as_str(), process.ppid, process.ancestors),
        ("/usr/bin/python3", Some(41), vec![])
    );
}

#[test]
fn a_process_that_nobody_saw_keeps_what_the_record_says_of_it() {
    let fact =
        Fact::Exit { exit: Exit { status: Some(0), ppid: 41, comm: b"s\xff".to_vec() }, duration_ns: None };
    let observation = Observation { process: None, ..seen(Place::Host, fact) };
    assert_eq!(
        converter(false).convert(observation).process.unwrap(),
        v1::Process {
            pid: 42,
            start_time: Some(Timestamp { seconds: BOOT_UNIX_S + 1, nanos: 0 }),
            ppid: Some(41),
            comm: "s\u{fffd}".into(),
            unknown_reason: "process gone before it was read".into(),
            ..Default::default()
        }
    );
}

#[test]
fn what_a_tier_cannot_tell_is_absent_and_no_zero() {
    let process = Process {
        key: ProcessKey { tgid: 42, start_boot_ns: 0 },
        ppid: 0,
        uid: NO_ID,
        gid: NO_ID,
        argc: 0,
        args_len: 0,
        ..process()
    };
    let origin = Origin { tier: Tier::Sideband, sequence: None, ..origin() };
    let observation = Observation { origin, process: Some(Arc::new(process)), ..seen(Place::Host, exec()) };
    let event = converter(false).convert(observation);
    let process = event.process.unwrap();
    assert_eq!((process.start_time, process.ppid), (None, None));
    assert_eq!((process.uid, process.gid, process.argc, process.args_len), (None, None, None, None));
    assert_eq!(
        event.sensor.unwrap(),
        v1::Sensor { tier: sensor::Tier::Sideband.into(), ..Default::default() }
    );
}

#[test]
fn a_listener_has_its_address_port_and_protocol() {
    let listen = |address: &str, protocol| {
        let fact = Fact::Listen(Listen { address: address.parse().unwrap(), protocol });
        converter(false).convert(seen(Place::Host, fact)).listen.unwrap()
    };
    assert_eq!(
        listen("[::1]:443", 6),
        v1::Listen { address: "::1".into(), port: 443, protocol: "tcp".into() }
    );
    assert_eq!(listen("0.0.0.0:0", 250).protocol, "250");
}

#[test]
fn a_loss_says_how_many_of_what_where_and_when() {
    let loss = |cgroup_id| {
        let loss =
            Loss { cgroup_id, kind: "mapping", count: 3, first_boot_ns: 0, last_boot_ns: 1_500_000_000 };
        let observation = Observation { process: None, ..seen(Place::Host, Fact::Loss(loss)) };
        let event = converter(false).convert(observation);
        assert_eq!((event.kind(), event.process), (Kind::Loss, None));
        event.loss.unwrap()
    };
    let known = v1::Loss {
        cgroup_id: Some(7),
        kind: "mapping".into(),
        count: Some(3),
        first: Some(Timestamp { seconds: BOOT_UNIX_S, nanos: 0 }),
        last: Some(Timestamp { seconds: BOOT_UNIX_S + 1, nanos: 500_000_000 }),
        ..Default::default()
    };
    assert_eq!(loss(Some(7)), known);
    let reason = loss(None).cgroup_id_reason;
    assert_eq!(reason, "the kernel counts this loss without its cgroup");
}

mod life;
