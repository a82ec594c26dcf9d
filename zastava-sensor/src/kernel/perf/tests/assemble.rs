use std::path::Path;

use crate::kernel::record::{KernelRecord, What};

use super::super::assembler::Make;
use super::super::pair::Pairing;
use super::super::record::{BuildId, Inode, Kind, Mmap, Record, Task};
use super::super::{BuildIdHints, SidebandAssembler};

/// No process has this number (`PID_MAX_LIMIT` is 4,194,304): nothing is read from /proc by chance.
const PID: u32 = 5_000_000;

fn record(pid: u32, tid: u32, time: u64, kind: Kind<'static>) -> Record<'static> {
    Record { pid, tid, cpu: 0, time, kind }
}

fn mmap(path: &'static str, build_id: Option<u8>, inode: Option<u64>) -> Kind<'static> {
    Kind::Mmap(Mmap {
        addr: 0x40_0000,
        len: 0x1000,
        pgoff: 0,
        prot: 5,
        flags: 2,
        path: path.as_bytes().into(),
        build_id: build_id.and_then(|byte| BuildId::new(&[byte; 20])),
        inode: inode.map(|ino| Inode { major: 1, minor: 2, ino, generation: 3 }),
    })
}

fn comm(text: &str, exec: bool) -> Kind<'static> {
    Kind::Comm { comm: text.as_bytes().to_vec(), exec }
}

fn assembler(make: Make) -> SidebandAssembler {
    SidebandAssembler::new(make, Path::new("/nonexistent"), 64)
}

fn push(
    assembler: &mut SidebandAssembler,
    records: impl IntoIterator<Item = Record<'static>>,
) -> Vec<KernelRecord> {
    let mut out = Vec::new();
    for record in records {
        assembler.push(record, |record| out.push(record));
    }
    out
}

fn assemble(make: Make, records: Vec<Record<'static>>) -> Vec<KernelRecord> {
    push(&mut assembler(make), records)
}

/// A program's exec begins, and it is mapped.
fn loading() -> [Record<'static>; 2] {
    [record(PID, PID, 2, comm("true", true)), record(PID, PID, 3, mmap("/usr/bin/true", Some(1), None))]
}

fn summary(records: &[KernelRecord]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    records
        .iter()
        .map(|record| match &record.what {
            What::Exec(exec) => format!("exec {} {}", text(&exec.exe.bytes), text(&exec.comm)),
            What::Mapping(mapping) => format!("mapping {}", text(&mapping.path.bytes)),
            What::Exit(exit) => format!("exit {}", text(&exit.comm)),
            What::Loss { value, .. } => format!("loss {} {}-{}", value.count, value.first_ns, value.last_ns),
            other => format!("{other:?}"),
        })
        .collect()
}

fn task(pid: u32, tid: u32) -> Task {
    Task { pid, ppid: PID, tid, ptid: PID }
}

#[test]
fn the_first_mapping_after_the_exec_is_the_program() {
    let child = PID + 1;
    let out = assemble(
        Make::Everything,
        vec![
            record(PID, PID, 1, Kind::Fork(task(child, child))),
            record(child, child, 2, comm("true", true)),
            record(child, child, 3, mmap("/usr/bin/true", Some(1), None)),
            record(child, child, 4, mmap("/usr/lib/ld.so", Some(2), None)),
            record(child, child, 5, mmap("[vdso]", None, Some(0))),
            record(child, child, 6, Kind::Exit(task(child, child))),
        ],
    );
    assert_eq!(summary(&out), ["exec /usr/bin/true true", "mapping /usr/lib/ld.so", "exit true"]);
    let What::Exec(exec) = &out[0].what else { panic!("no exec") };
    assert_eq!((exec.ppid, exec.build_id.as_deref()), (PID, Some(&[1; 20][..])));
    assert_eq!(out[0].origin.boot_ns, 2);
}

#[test]
fn in_the_tracepoint_tier_a_program_s_mappings_wait_for_the_exec_that_bpf_tells() {
    let mut assembler = assembler(Make::Mappings);
    let told = |out: &[KernelRecord]| {
        let times = out.iter().map(|record| record.origin.boot_ns);
        summary(out).into_iter().zip(times).map(|(what, at)| format!("{at} {what}")).collect::<Vec<_>>()
    };
    let before = record(PID, PID, 1, mmap("/usr/lib/of-before.so", None, None));
    let loader = record(PID, PID, 4, mmap("/usr/lib/ld.so", Some(2), None));
    let other = record(PID + 1, PID + 1, 5, mmap("/usr/lib/of-another.so", None, None));
    let out = push(&mut assembler, [before].into_iter().chain(loading()).chain([loader, other]));
    assert_eq!(told(&out), ["1 mapping /usr/lib/of-before.so", "5 mapping /usr/lib/of-another.so"]);
    let mut out = Vec::new();
    assembler.announced(PID, 100_000_000, |record| out.push(record));
    out.extend(push(&mut assembler, [record(PID, PID, 100_000_001, mmap("/usr/lib/libc.so", None, None))]));
    let expected = [
        "100000000 mapping /usr/bin/true",
        "100000000 mapping /usr/lib/ld.so",
        "100000001 mapping /usr/lib/libc.so",
    ];
    assert_eq!(told(&out), expected);
}

#[test]
fn mappings_do_not_wait_for_an_exec_that_was_told_before_perf_told_of_its_beginning() {
    let mut assembler = assembler(Make::Mappings);
    assembler.announced(PID, 9, |record| panic!("{record:?}"));
    let out = push(&mut assembler, loading());
    assert_eq!(summary(&out), ["mapping /usr/bin/true"]);
    assert_eq!(out[0].origin.boot_ns, 9);
}

#[test]
fn a_mapping_whose_exec_does_not_come_is_told_after_its_time() {
    let mut assembler = assembler(Make::Mappings);
    let mut out = push(&mut assembler, loading());
    assert!(out.is_empty());
    assembler.expire(2_000_000_000, |record| out.push(record));
    assert_eq!(summary(&out), ["mapping /usr/bin/true"]);
}

#[test]
fn a_process_ends_with_its_last_thread() {
    let child = PID + 1;
    let out = assemble(
        Make::Everything,
        vec![
            record(PID, PID, 1, Kind::Fork(task(child, child))),
            record(child, child, 2, Kind::Fork(task(child, child + 1))),
            record(child, child, 3, Kind::Exit(task(child, child))),
            record(child, child + 1, 4, Kind::Exit(task(child, child + 1))),
        ],
    );
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].origin.boot_ns, 4);
}

#[test]
fn an_exec_by_a_thread_does_not_end_the_process() {
    let child = PID + 1;
    let out = assemble(
        Make::Everything,
        vec![
            record(PID, PID, 1, Kind::Fork(task(child, child))),
            record(child, child, 2, Kind::Fork(task(child, child + 1))),
            record(child, child, 3, Kind::Exit(task(child, child))),
            record(child, child, 4, comm("x", true)),
            record(child, child, 5, mmap("/x", None, None)),
            record(child, child, 6, Kind::Exit(task(child, child))),
        ],
    );
    assert_eq!(summary(&out), ["exec /x x", "exit x"]);
}

#[test]
fn after_a_loss_the_leader_alone_decides() {
    let child = PID + 1;
    let out = assemble(
        Make::Everything,
        vec![
            record(PID, PID, 1, Kind::Fork(task(child, child))),
            record(child, child, 2, Kind::Fork(task(child, child + 1))),
            record(0, 0, 3, Kind::Lost(9)),
            record(child, child, 4, Kind::Exit(task(child, child))),
            record(0, 0, 5, Kind::Lost(1)),
        ],
    );
    assert_eq!(summary(&out), ["loss 9 3-3", "exit ", "loss 1 3-5"]);
}

#[test]
fn an_exec_without_a_mapping_goes_out_after_its_time() {
    let mut assembler = SidebandAssembler::new(Make::Everything, Path::new("/nonexistent"), 64);
    let mut out = Vec::new();
    assembler.push(record(PID, PID, 5, comm("odd", true)), |record| out.push(record));
    assembler.expire(1_000_000_004, |record| out.push(record));
    assert!(out.is_empty());
    assembler.expire(1_000_000_005, |record| out.push(record));
    assert_eq!(summary(&out), ["exec  odd"]);
    assert_eq!(assembler.counters().execs_without_program, 1);
}

#[test]
fn processes_beyond_the_capacity_are_forgotten_and_counted() {
    let mut assembler = SidebandAssembler::new(Make::Everything, Path::new("/nonexistent"), 8);
    let mut out = Vec::new();
    for number in 0..100 {
        let pid = PID + number;
        assembler.push(record(pid, pid, u64::from(number), comm("x", true)), |record| out.push(record));
    }
    assert_eq!(assembler.counters().evicted, 92);
    assert_eq!(out.len(), 92, "an exec that makes room goes out");
}

#[test]
fn halves_of_a_mapping_are_joined_and_others_are_not() {
    let mut pairing = Pairing::default();
    let mut out = Vec::new();
    for half in [
        record(PID, PID, 1, mmap("/a", Some(1), None)),
        record(PID, PID, 2, mmap("/a", None, Some(10))),
        record(PID, PID, 3, mmap("/b", None, Some(11))),
        record(PID, PID, 4, mmap("/b", None, Some(11))),
        record(PID, PID, 5, mmap("/c", Some(3), None)),
        record(PID, PID, 6, comm("x", false)),
        record(PID, PID, 7, mmap("/d", Some(4), None)),
    ] {
        pairing.push(half, |record| out.push(record));
    }
    pairing.flush(7, |record| out.push(record));
    assert_eq!(out.len(), 4, "the last half still waits for its neighbour");
    pairing.flush(8, |record| out.push(record));
    let found: Vec<_> = out
        .iter()
        .map(|record| match &record.kind {
            Kind::Mmap(mmap) => (record.time, mmap.build_id.is_some(), mmap.inode.is_some()),
            _ => (record.time, false, false),
        })
        .collect();
    let expected = [(1, true, true), (3, false, true), (5, true, false), (6, false, false), (7, true, false)];
    assert_eq!(found, expected);
}

#[test]
fn a_hint_is_found_by_process_path_and_time() {
    let mut hints = BuildIdHints::new(2);
    hints.learn(&record(PID, PID, 10, mmap("/usr/bin/true (deleted)", Some(1), None)));
    assert_eq!(hints.look_up(PID, b"/usr/bin/true", 20), BuildId::new(&[1; 20]));
    assert_eq!(hints.look_up(PID + 1, b"/usr/bin/true", 20), None);
    assert_eq!(hints.look_up(PID, b"/usr/bin/false", 20), None);
    assert_eq!(hints.look_up(PID, b"/usr/bin/true", 2_000_000_000), None);
    hints.learn(&record(PID, PID, 11, mmap("/b", Some(2), None)));
    hints.learn(&record(PID, PID, 12, mmap("/c", Some(3), None)));
    assert_eq!(hints.look_up(PID, b"/usr/bin/true", 20), None);
    hints.learn(&record(PID, PID, 13, mmap("/d", Some(4), None)));
    assert_eq!(hints.dropped_unused(), 1, "the first was used");
}

#[test]
fn an_end_told_while_a_program_gains_rights_is_none() {
    let child = PID + 1;
    let out = assemble(
        Make::Everything,
        vec![
            record(PID, PID, 1, Kind::Fork(task(child, child))),
            record(child, child, 2, comm("sudo", true)),
            record(child, child, 3, Kind::Exit(task(child, child))),
            record(child, child, 4, mmap("/usr/bin/sudo", None, None)),
            record(child, child, 5, Kind::Exit(task(child, child))),
        ],
    );
    assert_eq!(summary(&out), ["exec /usr/bin/sudo sudo", "exit sudo"]);
    assert_eq!(out[1].origin.boot_ns, 5);
}

#[test]
fn a_process_that_ends_before_its_program_is_mapped_ends_when_none_comes() {
    let mut assembler = SidebandAssembler::new(Make::Everything, Path::new("/nonexistent"), 64);
    let mut out = Vec::new();
    for told in [record(PID, PID, 5, comm("odd", true)), record(PID, PID, 6, Kind::Exit(task(PID, PID)))] {
        assembler.push(told, |record| out.push(record));
    }
    assert!(out.is_empty());
    assembler.expire(2_000_000_000, |record| out.push(record));
    assert_eq!(summary(&out), ["exec  odd", "exit odd"]);
    assert_eq!(out[1].origin.boot_ns, 6);
}
