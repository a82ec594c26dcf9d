use proptest::prelude::*;

use crate::kernel::sys::handle::Handle;

use super::super::event::{Entry, Event, EventError, decode};

fn info(kind: u8, handle: &[u8], name: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 0, 0, 0];
    out.extend([7; 8]);
    out.extend((handle.len() as u32).to_ne_bytes());
    out.extend(1_i32.to_ne_bytes());
    out.extend(handle);
    out.extend(name);
    out.resize(out.len().next_multiple_of(4), 0);
    let len = (out.len() as u16).to_ne_bytes();
    out[2..4].copy_from_slice(&len);
    out
}

fn event(mask: u64, pid: u32, infos: &[u8]) -> Vec<u8> {
    let mut out = ((24 + infos.len()) as u32).to_ne_bytes().to_vec();
    out.extend([3, 0, 24, 0]);
    out.extend(mask.to_ne_bytes());
    out.extend((-1_i32).to_ne_bytes());
    out.extend(pid.to_ne_bytes());
    out.extend(infos);
    out
}

#[test]
fn an_event_with_directory_name_and_object_is_decoded() {
    let infos = [info(2, &[1; 8], b"name\0"), info(1, &[2; 12], b"")].concat();
    let raw = [event(8, 77, &infos), event(0x4000, 0, &[])].concat();
    let (first, rest) = decode(&raw);
    let directory = Handle::new(1, &[1; 8]).unwrap();
    let expected = Event {
        mask: 8,
        pid: 77,
        entry: Some(Entry { fsid: [7; 8], directory, name: b"name" }),
        object: Some(([7; 8], Handle::new(1, &[2; 12]).unwrap())),
    };
    assert_eq!(first, Ok(expected));
    let (second, rest) = decode(rest);
    assert_eq!(second, Ok(Event { mask: 0x4000, pid: 0, entry: None, object: None }));
    assert!(rest.is_empty());
}

#[test]
fn an_info_without_end_of_name_is_refused_and_the_next_event_still_read() {
    let raw = [event(8, 77, &info(2, &[1; 8], b"name")), event(8, 78, &[])].concat();
    let (first, rest) = decode(&raw);
    assert_eq!(first, Err(EventError::Name));
    assert_eq!(decode(rest).0.map(|event| event.pid), Ok(78));
}

#[test]
fn lengths_beyond_the_bytes_are_refused() {
    let mut raw = event(8, 77, &info(2, &[1; 8], b"name\0"));
    assert_eq!(decode(&raw[..20]).0, Err(EventError::Short(20)));
    raw[0] = 255;
    assert_eq!(decode(&raw), (Err(EventError::Length(255)), &[][..]));
    let mut long_handle = info(2, &[1; 8], b"name\0");
    long_handle[12] = 200;
    assert_eq!(decode(&event(8, 77, &long_handle)).0, Err(EventError::Handle(200)));
    let too_long = info(2, &[1; 129], b"name\0");
    assert_eq!(decode(&event(8, 77, &too_long)).0, Err(EventError::Handle(129)));
}

#[test]
fn the_generation_is_read_from_known_handles() {
    let bytes: Vec<u8> = [1_u32, 2, 3, 4, 5].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let generation = |kind, len, magic| Handle::new(kind, &bytes[..len]).unwrap().generation(magic);
    assert_eq!(generation(1, 8, 0xef53), Some(2), "ext4");
    assert_eq!(generation(1, 12, 0x0102_1994), Some(1), "tmpfs");
    assert_eq!(generation(0x81, 12, 0x5846_5342), Some(3), "xfs");
    assert_eq!(generation(0x4d, 20, 0x9123_683e), Some(5), "btrfs");
    assert_eq!(generation(0x81, 8, 0x5846_5342), None, "cut");
    assert_eq!(generation(0xfb, 20, 0), None, "unknown");
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused_and_end(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut rest = &raw[..];
        while !rest.is_empty() {
            let before = rest.len();
            rest = decode(rest).1;
            prop_assert!(rest.len() < before);
        }
    }

    #[test]
    fn any_infos_are_decoded_or_refused(mask: u64, infos in proptest::collection::vec(any::<u8>(), 0..200)) {
        let raw = event(mask, 1, &infos);
        let (event, rest) = decode(&raw);
        prop_assert!(rest.is_empty());
        if let Ok(event) = event {
            prop_assert_eq!(event.mask, mask);
        }
    }
}
