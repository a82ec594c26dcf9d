use std::fs;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::process::ProcessTable;

/// A process that is there as long as the test wants it.
struct Sleeper(Child);

impl Sleeper {
    fn start(program: &str) -> Self {
        let child = Command::new(program).arg("600").stdin(Stdio::null()).spawn().unwrap();
        // `spawn` returns once the exec has happened; its loader may still be at work.
        let maps = format!("/proc/{}/maps", child.id());
        while !fs::read_to_string(&maps).unwrap().contains("libc") {
            std::thread::yield_now();
        }
        Self(child)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn whole() -> (Vec<Existing>, Counts) {
    let unified = Cgroupfs::find(&ProcRoot::default()).ok();
    let mut scan = scan(ProcRoot::default(), unified, Tier::Sideband, usize::MAX);
    let found = scan.by_ref().collect();
    (found, scan.counts())
}

fn of(found: &[Existing], tgid: u32) -> &Existing {
    found.iter().find(|existing| existing.exec.origin.process.tgid == tgid).unwrap()
}

fn exec(existing: &Existing) -> &Exec {
    match &existing.exec.what {
        What::Exec(exec) => exec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_running_process_is_told_with_its_program_arguments_and_ancestors() {
    let sleeper = Sleeper::start("/bin/sleep");
    let (found, counts) = whole();
    let sleep = exec(of(&found, sleeper.0.id()));
    assert!(sleep.existing);
    assert_eq!(sleep.comm, b"sleep");
    assert_eq!(sleep.exe.bytes, fs::canonicalize("/bin/sleep").unwrap().as_os_str().as_encoded_bytes());
    assert_eq!((sleep.args.count, sleep.args.total, sleep.args.bytes.len()), (2, 15, 0));
    assert_eq!(sleep.ppid, std::process::id());
    assert_eq!(sleep.ancestors[0].tgid, std::process::id());
    let file = sleep.file.unwrap();
    assert_eq!(file.ino, std::os::unix::fs::MetadataExt::ino(&fs::metadata("/bin/sleep").unwrap()));
    assert_eq!(counts.processes, found.len() as u64);
}

#[test]
fn a_process_comes_after_its_parent() {
    let _sleeper = Sleeper::start("/bin/sleep");
    let (found, _) = whole();
    let starts: Vec<_> = found.iter().map(|existing| existing.exec.origin.process.start_boot_ns).collect();
    assert!(starts.is_sorted());
}

#[test]
fn a_library_is_told_once_for_a_cgroup() {
    let _sleepers = [Sleeper::start("/bin/sleep"), Sleeper::start("/bin/sleep")];
    let (found, counts) = whole();
    let mut told = Vec::new();
    for record in found.iter().flat_map(|existing| &existing.mappings) {
        let What::Mapping(mapping) = &record.what else { panic!("not a mapping") };
        if let Some(file) = mapping.file {
            told.push((record.origin.cgroup_id, file.dev, file.ino));
        }
    }
    assert!(told.len() > 1 && counts.mappings >= told.len() as u64);
    let all = told.len();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), all);
}

#[test]
fn a_deleted_program_keeps_its_name_and_is_known_to_be_unlinked() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("vanishing");
    fs::copy("/bin/sleep", &program).unwrap();
    let sleeper = Sleeper::start(program.to_str().unwrap());
    fs::remove_file(&program).unwrap();
    let (found, _) = whole();
    let existing = of(&found, sleeper.0.id());
    assert_eq!(exec(existing).exe.bytes, program.as_os_str().as_encoded_bytes());
    assert_eq!(exec(existing).file.unwrap().nlink, 0);
    let named = existing.mappings.iter().any(|record| {
        matches!(&record.what, What::Mapping(mapping)
            if mapping.path.bytes == program.as_os_str().as_encoded_bytes() && mapping.file == exec(existing).file)
    });
    assert!(named);
}

#[test]
fn a_name_that_ends_like_a_deleted_one_is_not_cut() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("kept (deleted)");
    fs::copy("/bin/sleep", &program).unwrap();
    let sleeper = Sleeper::start(program.to_str().unwrap());
    let (found, _) = whole();
    assert_eq!(exec(of(&found, sleeper.0.id())).exe.bytes, program.as_os_str().as_encoded_bytes());
}

#[test]
fn the_cgroup_and_the_mount_name_space_are_told() {
    let (found, _) = whole();
    let own = of(&found, std::process::id()).exec.origin;
    let namespace = fs::read_link("/proc/self/ns/mnt").unwrap();
    assert_eq!(namespace.to_str().unwrap(), format!("mnt:[{}]", own.mnt_ns.unwrap()));
    assert_eq!(own.cgroup_id.is_some(), Cgroupfs::find(&ProcRoot::default()).is_ok());
}

#[test]
fn beyond_the_limit_processes_are_counted() {
    let _sleeper = Sleeper::start("/bin/sleep");
    let mut scan = scan(ProcRoot::default(), None, Tier::Sideband, 1);
    let told = scan.by_ref().count() as u64;
    // The eldest may be one that the kernel lets nobody read.
    assert!(told + scan.counts().refused <= 1);
    assert!(scan.counts().left_out > 0);
}

#[test]
fn a_process_that_vanishes_is_counted_and_nothing_else() {
    let mut sleeper = Sleeper::start("/bin/sleep");
    let mut scan = scan(ProcRoot::default(), None, Tier::Sideband, usize::MAX);
    sleeper.0.kill().unwrap();
    sleeper.0.wait().unwrap();
    assert!(scan.by_ref().all(|existing| existing.exec.origin.process.tgid != sleeper.0.id()));
    assert!(scan.counts().vanished > 0);
}

#[test]
fn a_zombie_and_a_kernel_thread_are_not_told() {
    let mut child = Command::new("/bin/true").spawn().unwrap();
    while Stat::parse(&fs::read(format!("/proc/{}/stat", child.id())).unwrap())
        .is_none_or(|stat| !stat.is_gone())
    {
        std::thread::yield_now();
    }
    let (found, counts) = whole();
    child.wait().unwrap();
    assert!(found.iter().all(|existing| existing.exec.origin.process.tgid != child.id()));
    // `kthreadd`, where the pid name space is the machine's.
    assert!(found.iter().all(|existing| exec(existing).comm != b"kthreadd"));
    assert_eq!(counts.left_out, 0);
}

#[test]
fn a_procfs_that_is_not_there_has_no_processes() {
    let scan = scan(ProcRoot::new("/nonexistent"), None, Tier::Sideband, 10);
    assert_eq!(scan.count(), 0);
}

#[test]
fn what_was_told_by_a_hook_is_not_told_again_by_the_scan() {
    let sleeper = Sleeper::start("/bin/sleep");
    let mut table = ProcessTable::new(ProcRoot::default(), None, 10_000);
    let (found, _) = whole();
    let existing = of(&found, sleeper.0.id());
    let mut origin = existing.exec.origin;
    // The hook's start has nanoseconds.
    origin.process.start_boot_ns += 1_234_567;
    let hooked = Exec { existing: false, ..exec(existing).clone() };
    assert!(table.exec(&mut origin, &hooked, false).is_some());
    let mut again = existing.exec.origin;
    assert!(table.exec(&mut again, exec(existing), false).is_none());
}
