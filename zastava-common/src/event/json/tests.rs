use proptest::prelude::*;
use prost::Message as _;
use serde_json::Value;

use super::*;
use crate::event::v1::{
    Ancestor, Exit, File, Listen, Loss, Process, Sensor, Workload, event::Kind, file, sensor,
};

/// The advisory's examples, sections 4.2 and 7.2, letter for letter.
const ENVELOPE: &str = include_str!("tests/envelope.json");
const DRIFT: &str = include_str!("tests/drift.json");

fn line(event: &Event) -> String {
    let mut line = Vec::new();
    to_json_line(event, &mut line).unwrap();
    String::from_utf8(line).unwrap()
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_advisorys_envelope_is_read_and_written_as_it_stands() {
    let event = from_json(ENVELOPE.as_bytes()).unwrap();
    assert_eq!(event.kind(), Kind::ContainerStart);
    assert_eq!(event.process.as_ref().unwrap().entry_trace[1].line, None);
    assert_eq!(event.loaded_libs[0].inode, Some(123_456));
    assert_eq!(value(&line(&event)), value(ENVELOPE));
}

#[test]
fn the_advisorys_drift_event_is_read_and_written_without_the_fields_it_lacks() {
    let event = from_json(DRIFT.as_bytes()).unwrap();
    assert_eq!(event.kind(), Kind::Drift);
    assert!(event.event_id.is_empty() && event.when.is_none());
    assert_eq!(value(&line(&event)), value(DRIFT));
}

#[test]
fn the_advisorys_events_survive_protobuf() {
    for json in [ENVELOPE, DRIFT] {
        let event = from_json(json.as_bytes()).unwrap();
        assert_eq!(Event::decode(event.encode_to_vec().as_slice()).unwrap(), event);
    }
}

#[test]
fn a_line_is_one_line() {
    let event = Event { tenant: "a\nb\u{2028}".into(), ..Event::default() };
    assert_eq!(line(&event), "{\"tenant\":\"a\\nb\u{2028}\"}\n");
}

#[test]
fn times_have_as_many_digits_as_they_take() {
    for (nanos, text) in [(0, "1970-01-01T00:00:01Z"), (120_000_000, "1970-01-01T00:00:01.12Z")] {
        let event = Event { when: Some(prost_types::Timestamp { seconds: 1, nanos }), ..Event::default() };
        assert_eq!(value(&line(&event))["when"], text);
    }
}

#[test]
fn zero_is_written_where_it_means_something() {
    let event = Event { exit: Some(Exit { code: Some(0), ..Exit::default() }), ..Event::default() };
    assert_eq!(line(&event), "{\"exit\":{\"code\":0}}\n");
}

#[test]
fn a_kind_without_a_name_in_this_version_keeps_its_number() {
    let event = Event { kind: 4_000, ..Event::default() };
    assert_eq!(line(&event), "{\"kind\":4000}\n");
    assert_eq!(from_json(line(&event).as_bytes()).unwrap(), event);
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    let event = from_json(br#"{"kind":"LOSS","colour":{"deep":[1,2]}}"#).unwrap();
    assert_eq!(event, Event { kind: Kind::Loss.into(), ..Event::default() });
}

#[test]
fn a_time_that_is_none_and_a_kind_that_is_none_are_refused() {
    for json in [r#"{"when":"yesterday"}"#, r#"{"kind":"COFFEE"}"#, r#"{"kind":99999999999}"#, "7", ""] {
        assert!(matches!(from_json(json.as_bytes()), Err(JsonError::Malformed(_))), "{json}");
    }
}

#[test]
fn a_time_that_has_no_rfc_3339_form_leaves_the_buffer_as_it_was() {
    let when = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    let mut buffer = b"before".to_vec();
    let result = to_json_line(&Event { when, ..Event::default() }, &mut buffer);
    assert!(matches!(result, Err(JsonError::Unwritable(_))));
    assert_eq!(buffer, b"before");
}

#[test]
fn an_event_longer_than_the_bound_is_neither_written_nor_read() {
    let event = Event { tenant: "a".repeat(MAX_JSON), ..Event::default() };
    let mut buffer = Vec::new();
    assert!(matches!(to_json_line(&event, &mut buffer), Err(JsonError::TooLong { .. })));
    assert!(buffer.is_empty());
    assert!(matches!(from_json(&vec![b' '; MAX_JSON + 1]), Err(JsonError::TooLong { .. })));
}

fn times() -> impl Strategy<Value = Option<prost_types::Timestamp>> {
    proptest::option::of(
        (-62_135_596_800_i64..253_402_207_200, 0..1_000_000_000)
            .prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }),
    )
}

fn files() -> impl Strategy<Value = File> {
    (".*", any::<Option<u64>>(), any::<bool>(), any::<Option<u32>>(), 0..4, 0..8, "[0-9a-f]{0,64}").prop_map(
        |(path, inode, path_truncated, nlink, strength, op, sha256)| File {
            path,
            inode,
            path_truncated,
            nlink,
            sha256,
            sha256_strength: strength,
            op,
            ..File::default()
        },
    )
}

fn processes() -> impl Strategy<Value = Process> {
    let ancestors = (any::<u32>(), times(), ".*", ".*").prop_map(|(pid, start_time, comm, exe)| Ancestor {
        pid,
        start_time,
        comm,
        exe,
    });
    (
        any::<u32>(),
        times(),
        any::<Option<u32>>(),
        proptest::collection::vec(".*", 0..3),
        proptest::collection::vec(ancestors, 0..3),
        proptest::option::of(files()),
        any::<bool>(),
    )
        .prop_map(|(pid, start_time, uid, argv, ancestors, script, existing)| Process {
            pid,
            start_time,
            uid,
            argv,
            ancestors,
            script,
            existing,
            ..Process::default()
        })
}

fn events() -> impl Strategy<Value = Event> {
    let workloads = (".*", proptest::collection::btree_map(".*", ".*", 0..3))
        .prop_map(|(pod, labels)| Workload { pod, labels, ..Workload::default() });
    let losses = (any::<Option<u64>>(), any::<Option<u64>>(), times())
        .prop_map(|(cgroup_id, count, first)| Loss { cgroup_id, count, first, ..Loss::default() });
    let sensors = (0..5, any::<Option<u32>>(), any::<Option<u64>>())
        .prop_map(|(tier, cpu, sequence)| Sensor { tier, cpu, sequence, ..Sensor::default() });
    let listens =
        (".*", any::<u32>()).prop_map(|(address, port)| Listen { address, port, protocol: String::new() });
    (
        (times(), any::<i32>(), ".*", proptest::option::of(workloads), proptest::option::of(processes())),
        (proptest::option::of(files()), proptest::option::of(sensors), proptest::option::of(listens)),
        (proptest::collection::vec(losses, 0..3), proptest::collection::vec(files(), 0..3)),
    )
        .prop_map(
            |((when, kind, node, workload, process), (file, sensor, listen), (losses, loaded_libs))| Event {
                when,
                kind,
                node,
                workload,
                process,
                file,
                sensor,
                listen,
                losses,
                loaded_libs,
                ..Event::default()
            },
        )
}

proptest! {
    #[test]
    fn every_event_is_written_as_serde_json_does_and_survives_json_and_protobuf(event in events()) {
        prop_assert_eq!(line(&event), serde_json::to_string(&event).unwrap() + "\n");
        prop_assert_eq!(&from_json(line(&event).as_bytes()).unwrap(), &event);
        prop_assert_eq!(&Event::decode(event.encode_to_vec().as_slice()).unwrap(), &event);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = from_json(&bytes);
    }
}

#[test]
fn names_in_json_are_those_of_the_proto() {
    let event = Event {
        kind: Kind::LibraryLoad.into(),
        sensor: Some(Sensor { tier: sensor::Tier::Trampoline.into(), ..Sensor::default() }),
        file: Some(File {
            origin: file::Origin::OverlayUpper.into(),
            sha256_strength: file::Strength::ByPathChecked.into(),
            ..File::default()
        }),
        ..Event::default()
    };
    assert_eq!(
        value(&line(&event)),
        serde_json::json!({
            "kind": "LIBRARY_LOAD",
            "sensor": {"tier": "trampoline"},
            "file": {"origin": "overlayUpper", "sha256Strength": "byPathChecked"},
        })
    );
}
