use proptest::prelude::*;
use zastava_common::abi::{FileIdentity, Lane};
use zerocopy::IntoBytes as _;

use super::*;

fn record(kind: u8, body: &[u8], tail: &[u8]) -> Vec<u8> {
    let header = RecordHeader {
        len: (size_of::<RecordHeader>() + body.len() + tail.len()) as u32,
        kind,
        tier: Tier::Kprobe as u8,
        lane: Lane::Mapping as u8,
        reserved: 0,
        cpu: 3,
        mnt_ns: 0,
        seq: 7,
        boot_ns: 11,
        tgid: 12,
        tid: 13,
        start_boot_ns: 14,
        cgroup_id: 15,
    };
    [header.as_bytes(), body, tail].concat()
}

fn mapping(path: PathLens, tail: &[u8]) -> Vec<u8> {
    let body = MappingBody { file: FileIdentity::default(), image: 1, path, prot: 5, by_protect: 1 };
    record(RecordKind::Mapping as u8, body.as_bytes(), tail)
}

fn lens(len: usize, truncated: bool) -> PathLens {
    PathLens { len: len as u16, components: 0, truncated: truncated.into() }
}

fn path_of(bytes: &[u8]) -> KernelPath {
    match decode(bytes).unwrap().what {
        What::Mapping(mapping) => mapping.path,
        other => panic!("{other:?}"),
    }
}

#[test]
fn components_that_come_leaf_first_become_a_path() {
    let tail = b"libc.so.6\0lib\0usr\0";
    let path = path_of(&mapping(lens(tail.len(), false), tail));
    assert_eq!((path.bytes.as_slice(), path.truncated), (&b"/usr/lib/libc.so.6"[..], false));
}

#[test]
fn the_root_itself_is_a_slash() {
    assert_eq!(path_of(&mapping(lens(0, false), b"")).bytes, b"/");
}

#[test]
fn a_path_that_was_cut_says_so_and_begins_without_a_slash() {
    let tail = b"leaf\0middle\0";
    let path = path_of(&mapping(lens(tail.len(), true), tail));
    assert_eq!((path.bytes.as_slice(), path.truncated), (&b"middle/leaf"[..], true));
}

#[test]
fn bytes_that_are_not_utf8_stay_what_they_are() {
    let tail = b"\xff\xfe\0";
    assert_eq!(path_of(&mapping(lens(tail.len(), false), tail)).bytes, b"/\xff\xfe");
}

#[test]
fn each_corruption_has_its_reason() {
    let good = mapping(lens(2, false), b"a\0");
    let refused = |bytes: &[u8]| decode(bytes).unwrap_err();
    assert_eq!(refused(&[]), DecodeError::Short);
    assert_eq!(refused(&good[..good.len() - 1]), DecodeError::Length);
    assert_eq!(refused(&mapping(lens(3, false), b"a\0")), DecodeError::Tail);
    let mut bad = good.clone();
    bad[4] = 99;
    assert_eq!(refused(&bad), DecodeError::Kind);
    bad = good;
    bad[5] = 0;
    assert_eq!(refused(&bad), DecodeError::Tier);
    assert_eq!(refused(&record(RecordKind::Exit as u8, b"short", b"")), DecodeError::Short);
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_refused(kind in 0u8..9, body in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode(&record(kind, &body, b""));
        let _ = decode(&body);
    }
}
