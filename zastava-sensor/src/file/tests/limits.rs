//! What is remembered and how much is read.

use super::*;
use crate::observation::{Content, FileOrigin};
use zastava_common::abi::file_flag;

#[test]
fn a_known_file_is_answered_without_looking_at_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let file = write(&path, b"#!/bin/sh\n");
    let mut bench = Bench::new(Limits::default());
    assert_digest(&bench.created(&file, &path), b"#!/bin/sh\n", Strength::Inode);
    std::fs::remove_file(&path).unwrap();

    let elsewhere = directory.path().join("b");
    let gone = ProcessKey { tgid: u32::MAX, start_boot_ns: 1 };
    let again = bench.ask(Purpose::Exec, gone, Some(&file), &elsewhere);
    assert_digest(&again, b"#!/bin/sh\n", Strength::Inode);
    assert_eq!((again.content, again.build_id), (Content::Script, Known::Not(reason::NOT_ELF)));
    assert_eq!(again.path, elsewhere.to_str().unwrap());
    let counters = bench.stage.counters();
    assert_eq!((counters.hits, counters.misses, counters.hashed_bytes), (1, 1, 10));
}

#[test]
fn a_file_changed_in_its_last_tick_is_not_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let mut bench = Bench::new(Limits::default());
    // Some of these are asked for within the tick in which they were written.
    for content in 0..50_u8 {
        std::fs::write(&path, [content]).unwrap();
        let file = identity(&path);
        let answer = bench.created(&file, &path);
        assert_digest(&answer, &[content], Strength::Inode);
    }
    let counters = bench.stage.counters();
    assert!(counters.unsettled > 0, "{counters:?}");
    assert!(counters.remembered as u64 + counters.unsettled <= 50);
}

#[test]
fn the_file_asked_for_longest_ago_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(Limits { cache_entries: 2, ..Limits::default() });
    let files = ["a", "b", "c"].map(|name| {
        let path = directory.path().join(name);
        (write(&path, name.as_bytes()), path)
    });
    for (file, path) in files.iter().chain([&files[0], &files[0]]) {
        bench.created(file, path);
    }
    let counters = bench.stage.counters();
    assert_eq!((counters.remembered, counters.evictions, counters.hits, counters.misses), (2, 2, 1, 4));
}

#[test]
fn over_the_budget_a_file_still_has_its_build_id() {
    let directory = tempfile::tempdir().unwrap();
    let program = std::fs::read("/proc/self/exe").unwrap();
    let limits = Limits { hash_bytes_per_second: 100, ..Limits::default() };
    let mut bench = Bench::new(limits);
    let (first, second) = (directory.path().join("a"), directory.path().join("b"));
    let (first_file, second_file) = (write(&first, &[0; 150]), write(&second, &program));
    assert_digest(&bench.created(&first_file, &first), &[0; 150], Strength::Inode);

    let refused = bench.created(&second_file, &second);
    assert_refused(&refused, reason::OVER_BUDGET);
    assert!(refused.build_id.value().is_some());
    assert_eq!(refused.content, Content::Elf);
    assert_eq!(bench.stage.counters().refused(reason::OVER_BUDGET), 1);

    bench.clock.store(2_000_000_000, Ordering::Relaxed);
    assert_digest(&bench.created(&second_file, &second), &program, Strength::Inode);
}

#[test]
fn a_file_too_long_to_be_hashed_is_looked_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let program = std::fs::read("/proc/self/exe").unwrap();
    let file = write(&path, &program);
    let limit = program.len() as u64;
    let mut bench = Bench::new(Limits { max_hash_file_bytes: limit - 1, ..Limits::default() });
    for _ in 0..2 {
        let answer = bench.created(&file, &path);
        assert_refused(&answer, reason::TOO_LARGE);
        assert!(answer.build_id.value().is_some());
    }
    let counters = bench.stage.counters();
    assert_eq!((counters.hits, counters.hashed_bytes), (1, 0));
    let mut bench = Bench::new(Limits { max_hash_file_bytes: limit, ..Limits::default() });
    assert_digest(&bench.created(&file, &path), &program, Strength::Inode);
}

#[test]
fn a_container_pays_for_what_it_is_the_first_to_run() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(Limits { max_hash_bytes_per_container: 10, ..Limits::default() });
    let files = ["a", "b"].map(|name| {
        let path = directory.path().join(name);
        (write(&path, &[name.as_bytes()[0]; 8]), path)
    });
    let mut ask = |file: usize, container| {
        let path = kernel_path(&files[file].1);
        let identity = Some(&files[file].0);
        let answer = bench.stage.identify(&FileRequest { identity, container, ..request(&path) });
        answer.sha256.reason()
    };
    assert_eq!(ask(0, Some("a")), None);
    assert_eq!(ask(1, Some("a")), Some(reason::OVER_CONTAINER_BUDGET));
    assert_eq!(ask(1, Some("b")), None);
    assert_eq!(ask(1, Some("a")), None);
}

#[test]
fn a_file_that_grows_or_shrinks_while_read_has_no_digest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    for then in [&[1; 4][..], &[1; 6], &[2; 5]] {
        write(&path, &[1; 5]);
        let fd = OwnedFd::from(File::open(&path).unwrap());
        let sight = Sight::of(&fd).unwrap();
        write(&path, then);
        let opened = open::Opened { fd, sight, strength: Strength::Inode };
        for facts in [read::Reader::new().all(&opened), read::Reader::new().head(&opened, reason::TOO_LARGE)]
        {
            assert_eq!(facts.sha256.reason(), Some(reason::CHANGED_WHILE_READ));
            assert_eq!(facts.build_id.reason(), Some(reason::CHANGED_WHILE_READ));
        }
    }
}

#[test]
fn a_build_id_from_the_kernel_fills_in_and_unmasks() {
    let path = std::fs::read_link("/proc/self/exe").unwrap();
    let program = std::fs::read(&path).unwrap();
    let file = identity(&path);
    let mut bench = Bench::new(Limits::default());
    let right = elf::build_id(&&program[..]).unwrap();
    let kernel_path = kernel_path(&path);
    let mut ask = |build_id: &[u8], identity| {
        bench.stage.identify(&FileRequest { identity, build_id: Some(build_id), ..request(&kernel_path) })
    };
    let answer = ask(&right, Some(&file));
    assert_digest(&answer, &program, Strength::Inode);
    assert_eq!(answer.build_id, Known::Is(hex(&right)));
    for wrong in [&[7; 20][..], &right[1..], &[]] {
        let answer = ask(wrong, Some(&file));
        assert_refused(&answer, reason::OTHER_BUILD_ID);
        assert_eq!(answer.build_id, Known::Is(hex(wrong)));
    }
    let unseen = FileIdentity { ino: file.ino + 1, ..file };
    let answer = ask(&right, Some(&unseen));
    assert_eq!(answer.build_id, Known::Is(hex(&right)));
    assert!(answer.sha256.value().is_none());
}

#[test]
fn a_file_system_that_may_not_answer_is_not_asked() {
    let path = std::fs::read_link("/proc/self/exe").unwrap();
    let fuse = FileIdentity { fs_magic: 0x6573_5546, ..identity(&path) };
    let mut bench = Bench::new(Limits::default());
    assert_refused(&bench.created(&fuse, &path), reason::MAY_BLOCK);
    assert_eq!(bench.stage.counters().mount_tables, 0);
}

#[test]
fn an_artifact_says_where_its_file_is_from_as_far_as_the_kernel_told() {
    let path = std::fs::read_link("/proc/self/exe").unwrap();
    let mut bench = Bench::new(Limits::default());
    for (flags, origin) in [
        (0, FileOrigin::Plain),
        (file_flag::OVERLAY, FileOrigin::OverlayLower),
        (file_flag::OVERLAY | file_flag::OVERLAY_UPPER, FileOrigin::OverlayUpper),
        (file_flag::OVERLAY | file_flag::OVERLAY_UNRESOLVED, FileOrigin::Unknown),
        (file_flag::INTERNAL_MOUNT, FileOrigin::Memory),
    ] {
        let file = FileIdentity { flags, ..identity(&path) };
        assert_eq!(bench.created(&file, &path).origin, origin);
    }
}

#[test]
fn every_reason_is_counted_once() {
    let mut all = reason::ALL.to_vec();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), reason::ALL.len());
}
