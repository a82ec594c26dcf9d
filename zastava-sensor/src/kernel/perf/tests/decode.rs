use proptest::prelude::*;

use super::super::reader::parse_cpu_list;
use super::super::record::{BuildId, DecodeError, Inode, Kind, Mmap, Record, decode};

const EVENT: u64 = 21;

/// The bytes of a record as the kernel lays them out.
fn bytes(kind: u32, misc: u16, body: &[u8], pid: u32, time: u64) -> Vec<u8> {
    let size = (8 + body.len() + 32) as u16;
    let mut out = Vec::new();
    out.extend(kind.to_ne_bytes());
    out.extend(misc.to_ne_bytes());
    out.extend(size.to_ne_bytes());
    out.extend(body);
    out.extend(pid.to_ne_bytes());
    out.extend(pid.to_ne_bytes());
    out.extend(time.to_ne_bytes());
    out.extend(EVENT.to_ne_bytes());
    out.extend([3, 0, 0, 0, 0, 0, 0, 0]);
    out
}

fn mmap_body(file: [u8; 24], path: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend([7_u32, 7].iter().flat_map(|word| word.to_ne_bytes()));
    body.extend([0x1000_u64, 0x2000, 0].iter().flat_map(|word| word.to_ne_bytes()));
    body.extend(file);
    body.extend([5_u32, 2].iter().flat_map(|word| word.to_ne_bytes()));
    body.extend(path);
    body.push(0);
    body.resize(body.len().next_multiple_of(8), 0);
    body
}

#[test]
fn a_mapping_with_a_build_id_is_decoded() {
    let mut file = [0; 24];
    file[0] = 20;
    file[4..].copy_from_slice(&[0xab; 20]);
    let raw = bytes(10, 1 << 14, &mmap_body(file, b"/usr/bin/true"), 7, 99);
    let expected = Record {
        pid: 7,
        tid: 7,
        cpu: 3,
        time: 99,
        kind: Kind::Mmap(Mmap {
            addr: 0x1000,
            len: 0x2000,
            pgoff: 0,
            prot: 5,
            flags: 2,
            path: b"/usr/bin/true".into(),
            build_id: BuildId::new(&[0xab; 20]),
            inode: None,
        }),
    };
    assert_eq!(decode(&raw, None), Ok(expected));
}

#[test]
fn a_mapping_with_an_inode_is_decoded() {
    let mut file = [0; 24];
    file[..4].copy_from_slice(&254_u32.to_ne_bytes());
    file[8..16].copy_from_slice(&1234_u64.to_ne_bytes());
    file[16..].copy_from_slice(&77_u64.to_ne_bytes());
    let raw = bytes(10, 0, &mmap_body(file, b"/x (deleted)"), 7, 99);
    let Ok(Record { kind: Kind::Mmap(mmap), .. }) = decode(&raw, None) else { panic!("no mapping") };
    assert_eq!(mmap.inode, Some(Inode { major: 254, minor: 0, ino: 1234, generation: 77 }));
    assert_eq!(mmap.build_id, None);
    assert_eq!(mmap.name(), b"/x");
}

#[test]
fn the_mark_of_another_event_does_not_make_an_inode_a_build_id() {
    let mut file = [0; 24];
    file[..4].copy_from_slice(&8_u32.to_ne_bytes());
    let raw = bytes(10, 1 << 14, &mmap_body(file, b"/x"), 7, 99);
    let Ok(Record { kind: Kind::Mmap(mmap), .. }) = decode(&raw, Some(EVENT)) else { panic!("no mapping") };
    assert_eq!(mmap.inode.map(|inode| inode.major), Some(8));
    assert_eq!(mmap.build_id, None);
}

#[test]
fn a_build_id_longer_than_its_field_is_refused() {
    let mut file = [0; 24];
    file[0] = 21;
    let raw = bytes(10, 1 << 14, &mmap_body(file, b"/x"), 7, 99);
    assert_eq!(decode(&raw, None), Err(DecodeError::BuildId(21)));
}

#[test]
fn a_length_other_than_the_bytes_is_refused() {
    let mut raw = bytes(2, 0, &[0; 16], 7, 99);
    raw.push(0);
    assert_eq!(decode(&raw, None), Err(DecodeError::Length { said: 56, has: 57 }));
}

#[test]
fn what_is_no_file_is_no_executable_file() {
    for (path, expected) in [
        (&b"//anon"[..], false),
        (b"[vdso]", false),
        (b"//toolong", false),
        (b"/memfd:x (deleted)", true),
        (b"/usr/bin/true", true),
    ] {
        let raw = bytes(10, 0, &mmap_body([0; 24], path), 7, 99);
        let Ok(Record { kind: Kind::Mmap(mmap), .. }) = decode(&raw, None) else { panic!("no mapping") };
        assert_eq!(mmap.is_executable_file(), expected, "{}", path.escape_ascii());
    }
}

#[test]
fn lists_of_cpus_are_parsed_and_bounded() {
    assert_eq!(parse_cpu_list("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
    assert_eq!(parse_cpu_list("0-4294967295").len(), 8192);
    assert_eq!(parse_cpu_list("x,,-"), Vec::<u32>::new());
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&raw, None);
    }

    #[test]
    fn any_body_is_decoded_or_refused(
        kind in 0_u32..22, misc: u16, pid: u32, time: u64,
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Ok(record) = decode(&bytes(kind, misc, &body, pid, time), None) {
            prop_assert_eq!((record.pid, record.time), (pid, time));
            prop_assert_eq!(record.clone().into_owned(), record);
        }
    }
}
