//! On the kernel that runs the tests; as root.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;

use crate::kernel::{record::What, sys::clock::boot_ns};

use super::super::assembler::Make;
use super::super::record::Kind;
use super::super::{InOrder, PerfReader, SETTLE_NS, Settings, SidebandAssembler, probe};

/// What `readelf -n` says of a file's build-id.
fn readelf(path: &str) -> String {
    let output = Command::new("readelf").args(["-n", path]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split("Build ID: ").nth(1).unwrap().lines().next().unwrap().to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Perf is there, or the reason why not, printed.
fn perf_works() -> bool {
    match probe().records {
        Ok(()) => true,
        Err(errno) => {
            println!("skipped: perf_event_open answers {errno}");
            assert!(std::env::var_os("CI").is_none(), "perf is missing in CI: {errno}");
            false
        }
    }
}

#[test]
fn a_thousand_short_lived_processes_have_their_build_ids() {
    if !perf_works() || probe().build_id.is_err() {
        return;
    }
    let mut reader =
        PerfReader::open(&Settings { make: Some(Make::Mappings), ..Settings::default() }).unwrap();
    let mut children = HashSet::new();
    let mut found: HashMap<u32, HashMap<Vec<u8>, String>> = HashMap::new();
    let mut alone = Vec::new();
    let mut collect = |reader: &mut PerfReader| {
        reader.read(|record| {
            if let Kind::Mmap(mmap) = &record.kind
                && mmap.is_executable_file()
                && let Some(build_id) = mmap.build_id
            {
                if mmap.inode.is_none() {
                    alone.push(record.pid);
                }
                found.entry(record.pid).or_default().insert(mmap.name().to_vec(), hex(build_id.bytes()));
            }
        });
    };
    for _ in 0..1000 {
        let mut child = Command::new("/usr/bin/true").spawn().unwrap();
        children.insert(child.id());
        child.wait().unwrap();
        // After each: the rings hear of the whole machine, and other tests start programs too.
        collect(&mut reader);
    }
    assert_eq!(reader.counters().lost, 0);
    assert_eq!(reader.counters().malformed, 0);
    assert_eq!(children.len(), 1000, "a pid came twice");
    let program = readelf("/usr/bin/true");
    let mut oracle = HashMap::new();
    for child in &children {
        let mappings = found.get(child).unwrap_or_else(|| panic!("nothing of {child}"));
        for (name, expected) in [("true", Some(&program)), ("ld-", None), ("libc", None)] {
            let (path, id) = mappings
                .iter()
                .map(|(path, id)| (std::str::from_utf8(path).unwrap(), id))
                .find(|(path, _)| path.rsplit('/').next().unwrap().starts_with(name))
                .unwrap_or_else(|| panic!("{child} has no {name}"));
            let expected = expected
                .cloned()
                .unwrap_or_else(|| oracle.entry(path.to_owned()).or_insert_with(|| readelf(path)).clone());
            assert_eq!(*id, expected, "{path}");
        }
    }
    // Mappings of others between the opening of a CPU's first and second event have one half.
    assert!(!alone.iter().any(|pid| children.contains(pid)), "a half of a mapping stayed alone");
}

#[test]
fn every_exec_and_exit_is_assembled_in_order() {
    if !perf_works() {
        return;
    }
    let settings = Settings { make: Some(Make::Everything), ..Settings::default() };
    let mut reader = PerfReader::open(&settings).unwrap();
    let mut order = InOrder::default();
    let mut assembler = SidebandAssembler::new(Make::Everything, Path::new("/proc"), 4096);
    let mut out = Vec::new();
    let mut children = Vec::new();
    for _ in 0..300 {
        let mut child = Command::new("/bin/sh").args(["-c", "exit 3"]).spawn().unwrap();
        children.push(child.id());
        child.wait().unwrap();
        let settled = boot_ns() - SETTLE_NS;
        order.read(&mut reader, settled, |_| {}, |record| assembler.push(record, |record| out.push(record)));
    }
    order.read(&mut reader, u64::MAX, |_| {}, |record| assembler.push(record, |record| out.push(record)));
    let mut kinds: HashMap<u32, Vec<&str>> = HashMap::new();
    for record in &out {
        let told = match &record.what {
            What::Exec(exec) => {
                if children.contains(&record.origin.process.tgid) {
                    assert!(exec.exe.bytes.ends_with(b"/dash"), "{exec:?}");
                    assert_eq!(exec.comm, b"sh");
                    assert_eq!(exec.ppid, std::process::id());
                    assert!(exec.file.is_some_and(|file| file.size > 0 && file.fs_magic != 0), "{exec:?}");
                }
                "exec"
            }
            What::Exit(_) => "exit",
            What::Mapping(_) => "mapping",
            other => panic!("{other:?}"),
        };
        kinds.entry(record.origin.process.tgid).or_default().push(told);
    }
    for child in children {
        let told = &kinds[&child];
        assert_eq!(told.first(), Some(&"exec"), "{told:?}");
        assert_eq!(told.last(), Some(&"exit"), "{told:?}");
        assert_eq!(told.iter().filter(|kind| **kind != "mapping").count(), 2, "{told:?}");
    }
}

#[test]
fn a_ring_that_is_too_small_counts_what_it_lost() {
    if !perf_works() {
        return;
    }
    let settings = Settings { ring_bytes: 4096, make: Some(Make::Everything) };
    let mut reader = PerfReader::open(&settings).unwrap();
    for _ in 0..200 {
        assert!(Command::new("/usr/bin/true").status().unwrap().success());
    }
    let lost = reader.new_losses();
    reader.read(|record| assert!(lost == 0 || !matches!(record.kind, Kind::Lost(1..)), "counted twice"));
    // Before 6.0 the kernel says what a CPU's ring lost with the next record that fits into it, and not otherwise.
    for _ in 0..1000 {
        if probe().losses.is_ok() || reader.counters().lost > 1000 {
            break;
        }
        assert!(Command::new("/usr/bin/true").status().unwrap().success());
        reader.read(|_| {});
    }
    assert!(reader.counters().lost > 1000, "{:?}", reader.counters());
    assert_eq!(reader.counters().malformed, 0);
    assert_eq!(reader.counters().resets, 0);
}
