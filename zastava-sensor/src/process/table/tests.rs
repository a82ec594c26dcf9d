use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;
use zastava_common::abi::{Ancestor, COMM_LEN, Tier};

use super::super::proc::stat::TICK_NS;
use super::*;
use crate::kernel::record::{Arguments, KernelPath};

const SECOND: u64 = 1_000_000_000;

fn table(capacity: usize) -> ProcessTable {
    ProcessTable::new(ProcRoot::new("/nonexistent"), None, capacity)
}

fn origin(tgid: u32, start_boot_ns: u64, boot_ns: u64) -> Origin {
    Origin {
        tier: Tier::Trampoline,
        boot_ns,
        process: ProcessKey { tgid, start_boot_ns },
        tid: tgid,
        cgroup_id: Some(1),
        mnt_ns: Some(4_026_531_841),
        sequence: None,
    }
}

/// As perf tells it: neither start nor cgroup.
fn bare(tgid: u32, boot_ns: u64) -> Origin {
    Origin { tier: Tier::Sideband, cgroup_id: None, mnt_ns: None, ..origin(tgid, 0, boot_ns) }
}

fn exec(path: &str, ppid: u32) -> Exec {
    Exec {
        file: None,
        image: 0,
        exe: KernelPath { bytes: path.as_bytes().to_vec(), truncated: false },
        cwd: KernelPath { bytes: b"/srv".to_vec(), truncated: false },
        filename: path.as_bytes().to_vec(),
        is_script: false,
        script: None,
        comm: path.rsplit('/').next().unwrap().as_bytes().to_vec(),
        uid: 1000,
        gid: 100,
        ppid,
        args: Arguments { bytes: b"a\0\0secret\0".to_vec(), count: 3, total: 10 },
        ancestors: Vec::new(),
        build_id: None,
        existing: false,
    }
}

fn exit(ppid: u32, comm: &str) -> Exit {
    Exit { status: Some(0), ppid, comm: comm.as_bytes().to_vec() }
}

fn ancestor(tgid: u32, start_boot_ns: u64, comm: &str) -> Ancestor {
    let mut bytes = [0; COMM_LEN];
    bytes[..comm.len()].copy_from_slice(comm.as_bytes());
    Ancestor { start_boot_ns, tgid, reserved: 0, comm: bytes }
}

fn exe(found: Option<Found>) -> String {
    found.map_or_else(|| "unknown".to_owned(), |found| found.process.exe.clone())
}

/// A procfs of plain files and links.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn process(&self, tgid: u32, ticks: u64, ppid: u32, exe: &str) {
        let directory = self.0.path().join(tgid.to_string());
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("ns")).unwrap();
        let line = format!("{tgid} (worker) S {ppid} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0");
        fs::write(directory.join("stat"), line).unwrap();
        fs::write(directory.join("status"), "Uid:\t1\t33\t1\t1\nGid:\t1\t34\t1\t1\nNSpid:\t1\n").unwrap();
        fs::write(directory.join("cmdline"), "worker\0-x\0").unwrap();
        fs::write(directory.join("cgroup"), "0::/a\n").unwrap();
        fs::write(directory.join("ns/mnt"), "").unwrap();
        std::os::unix::fs::symlink(exe, directory.join("exe")).unwrap();
        std::os::unix::fs::symlink("/", directory.join("cwd")).unwrap();
    }

    fn table(&self) -> ProcessTable {
        fs::create_dir_all(self.0.path().join("cgroup/a")).unwrap();
        let unified = Cgroupfs::at(self.0.path().join("cgroup"));
        ProcessTable::new(ProcRoot::new(self.0.path()), Some(unified), 100)
    }

    fn cgroup(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(self.0.path().join("cgroup/a")).unwrap().ino()
    }
}

#[test]
fn a_process_is_described_by_its_exec() {
    let process = table(10).exec(&mut origin(7, 100, 200), &exec("/bin/sh", 1), false).unwrap();
    assert_eq!((&*process.comm, &*process.exe, &*process.cwd), ("sh", "/bin/sh", "/srv"));
    assert_eq!((process.uid, process.gid, process.ppid), (1000, 100, 1));
    assert_eq!((process.argc, process.args_len, &process.argv), (3, 10, &None));
}

#[test]
fn argument_text_is_kept_in_diagnostics_only() {
    let mut table = table(10);
    let process = table.exec(&mut origin(7, 100, 200), &exec("/bin/sh", 1), true).unwrap();
    assert_eq!(process.argv.as_deref(), Some(&["a".to_owned(), String::new(), "secret".to_owned()][..]));
    let bare = Exec { args: Arguments::default(), ..exec("/bin/sh", 1) };
    assert_eq!(table.exec(&mut origin(8, 100, 200), &bare, true).unwrap().argv.as_deref(), Some(&[][..]));
}

#[test]
fn a_path_cut_at_its_root_shows_the_cut() {
    let cut = KernelPath { bytes: b"deep/prog".to_vec(), truncated: true };
    let process = table(10).exec(&mut origin(7, 1, 2), &Exec { exe: cut, ..exec("/x", 1) }, false).unwrap();
    assert_eq!(process.exe, "…/deep/prog");
}

#[test]
fn later_records_find_their_process_also_after_its_exit() {
    let mut table = table(10);
    table.exec(&mut origin(7, 100, 200), &exec("/bin/sh", 1), false);
    assert_eq!(exe(table.look_up(&mut origin(7, 100, 300), 0)), "/bin/sh");
    let exited = table.exit(&mut origin(7, 100, 500), &exit(1, "sh"));
    assert_eq!((exe(exited.found), exited.duration_ns), ("/bin/sh".to_owned(), Some(400)));
    assert_eq!(table.len(), 0);
    assert_eq!(exe(table.look_up(&mut origin(7, 100, 400), 0)), "/bin/sh");
    assert_eq!(table.counts(), Counts::default());
}

#[test]
fn a_record_read_just_after_the_exit_finds_its_process() {
    let mut table = table(10);
    table.exec(&mut origin(7, 100, 200), &exec("/bin/cp", 1), false);
    table.exit(&mut origin(7, 100, 500), &exit(1, "cp"));
    let mut late = origin(7, 0, SECOND);
    assert_eq!(exe(table.look_up(&mut late, 0)), "/bin/cp");
    assert_eq!(late.process.start_boot_ns, 100);
    assert_eq!(table.counts(), Counts::default());
    assert_eq!(exe(table.look_up(&mut origin(7, 0, 2 * SECOND), 0)), "unknown");
}

#[test]
fn a_pid_used_again_is_another_process() {
    let mut table = table(10);
    table.exec(&mut origin(7, SECOND, 2 * SECOND), &exec("/bin/old", 1), false);
    table.exec(&mut origin(7, 5 * SECOND, 6 * SECOND), &exec("/bin/new", 1), false);
    assert_eq!(table.counts().missed_exits, 1);
    assert_eq!(exe(table.look_up(&mut origin(7, 5 * SECOND, 7 * SECOND), 0)), "/bin/new");
    assert_eq!(exe(table.look_up(&mut origin(7, SECOND, 7 * SECOND), 0)), "/bin/old");
    assert_eq!(exe(table.look_up(&mut origin(7, 3 * SECOND, 7 * SECOND), 0)), "unknown");
    let exited = table.exit(&mut origin(7, SECOND, 7 * SECOND), &exit(1, "old"));
    assert_eq!(exe(exited.found), "/bin/old");
    assert_eq!(table.len(), 1, "the new one lives");
}

#[test]
fn a_mapping_belongs_to_the_image_that_it_names() {
    let mut table = table(10);
    table.exec(&mut origin(7, 100, 200), &Exec { image: 0xa0, ..exec("/bin/sh", 1) }, false);
    table.exec(&mut origin(7, 100, 300), &Exec { image: 0xb0, ..exec("/bin/prog", 1) }, false);
    // The shell's libc, read late; the program's loader, mapped before the exec was announced.
    assert_eq!(exe(table.look_up(&mut origin(7, 100, 250), 0xa0)), "/bin/sh");
    assert_eq!(exe(table.look_up(&mut origin(7, 100, 299), 0xb0)), "/bin/prog");
    // An image that the table does not know: the process is right all the same.
    assert_eq!(exe(table.look_up(&mut origin(7, 100, 400), 0xc0)), "/bin/prog");
}

#[test]
fn without_image_numbers_a_record_before_an_exec_belongs_to_the_image_before() {
    let mut table = table(10);
    table.exec(&mut origin(7, 100, 200), &exec("/bin/sh", 1), false);
    table.exec(&mut origin(7, 100, 300), &exec("/bin/prog", 1), false);
    assert_eq!(exe(table.look_up(&mut origin(7, 100, 299), 0)), "/bin/sh");
    assert_eq!(exe(table.look_up(&mut origin(7, 100, 300), 0)), "/bin/prog");
}

#[test]
fn ancestors_get_their_programs_where_these_are_known() {
    let mut table = table(10);
    table.exec(&mut origin(1, 5, 6), &exec("/sbin/init", 0), false);
    table.exec(&mut origin(6, 50, 60), &exec("/bin/gone", 1), false);
    table.exit(&mut origin(6, 50, 70), &exit(1, "gone"));
    let mut child = exec("/bin/sh", 6);
    child.ancestors = vec![ancestor(6, 50, "gone"), ancestor(4, 40, "forked"), ancestor(1, 5, "init")];
    let process = table.exec(&mut origin(7, 100, 200), &child, false).unwrap();
    let names: Vec<_> = process.ancestors.iter().map(|a| (a.key.tgid, &*a.comm, a.exe.as_deref())).collect();
    assert_eq!(names, [(6, "gone", Some("/bin/gone")), (4, "forked", None), (1, "init", Some("/sbin/init"))]);
}

#[test]
fn siblings_share_their_ancestors_until_one_of_these_changes() {
    let mut table = table(10);
    table.exec(&mut origin(1, 5, 6), &exec("/sbin/init", 0), false);
    table.exec(&mut origin(6, 50, 60), &exec("/bin/sh", 1), false);
    let child = Exec { ancestors: vec![ancestor(6, 50, "sh"), ancestor(1, 5, "init")], ..exec("/bin/ls", 6) };
    let run =
        |table: &mut ProcessTable, tgid| table.exec(&mut origin(tgid, 100, 200), &child, false).unwrap();
    let (first, second) = (run(&mut table, 7), run(&mut table, 8));
    assert!(Arc::ptr_eq(&first.ancestors, &second.ancestors));
    // The grandparent runs another program of the same name.
    table.exec(&mut origin(1, 5, 300), &exec("/usr/sbin/init", 0), false);
    assert_eq!(run(&mut table, 9).ancestors[1].exe.as_deref(), Some("/usr/sbin/init"));
    assert_eq!(second.ancestors[1].exe.as_deref(), Some("/sbin/init"));
}

#[test]
fn an_ancestor_with_a_used_pid_does_not_get_the_other_process_s_program() {
    let mut table = table(10);
    table.exec(&mut origin(6, 60 * SECOND, 61 * SECOND), &exec("/bin/other", 1), false);
    let child = Exec { ancestors: vec![ancestor(6, SECOND, "parent")], ..exec("/bin/sh", 6) };
    let process = table.exec(&mut origin(7, 2 * SECOND, 62 * SECOND), &child, false).unwrap();
    assert_eq!(process.ancestors[0].exe, None);
}

#[test]
fn without_ancestors_in_the_record_the_known_parent_gives_its_own() {
    let mut table = table(100);
    for tgid in 1..=20 {
        let start = u64::from(tgid) * SECOND;
        table.exec(&mut origin(tgid, start, start), &exec(&format!("/bin/p{tgid}"), tgid - 1), false);
    }
    let process = table.look_up(&mut origin(20, 20 * SECOND, 21 * SECOND), 0).unwrap().process;
    let names: Vec<_> = process.ancestors.iter().map(|ancestor| ancestor.key.tgid).collect();
    assert_eq!(names, [19, 18, 17, 16, 15, 14, 13, 12]);
    // A parent younger than its child is another process with the parent's pid.
    let orphan = table.exec(&mut origin(90, SECOND, 22 * SECOND), &exec("/bin/o", 20), false).unwrap();
    assert!(orphan.ancestors.is_empty());
}

#[test]
fn a_fork_that_ends_without_exec_ran_its_parents_program() {
    let mut table = table(10);
    table.exec(&mut origin(7, 100, 200), &exec("/bin/bash", 1), true);
    let exited = table.exit(&mut origin(8, 300, 700), &exit(7, "sub"));
    let Found { process, source } = exited.found.unwrap();
    assert_eq!(source, Source::Parent);
    assert_eq!((&*process.exe, &*process.comm, process.ppid), ("/bin/bash", "sub", 7));
    assert_eq!((process.ancestors[0].key.tgid, &process.argv), (7, &None));
    assert_eq!(exited.duration_ns, Some(400));
    assert_eq!(exe(table.look_up(&mut origin(8, 300, 600), 0)), "/bin/bash");
    assert!(table.exit(&mut origin(9, 300, 700), &exit(66, "x")).found.is_none());
}

#[test]
fn procfs_is_asked_once_for_a_process_that_never_called_exec() {
    let machine = Machine::new();
    machine.process(8, 300, 7, "/bin/daemon");
    let mut table = machine.table();
    let start = 300 * TICK_NS + 77;
    for at in 1..4 {
        let found = table.look_up(&mut origin(8, start, 400 * TICK_NS + at), 0).unwrap();
        assert_eq!(found.source, Source::Asked);
        let process = found.process;
        assert_eq!((&*process.exe, &*process.comm, process.ppid), ("/bin/daemon", "worker", 7));
        assert_eq!((process.uid, process.gid, process.argc, process.args_len), (33, 34, 2, 10));
        assert_eq!((process.key.start_boot_ns, process.existing), (start, false));
    }
    assert_eq!(table.counts(), Counts { asked: 1, ..Counts::default() });
}

#[test]
fn procfs_is_not_believed_when_the_pid_is_used_again() {
    let machine = Machine::new();
    machine.process(8, 300, 7, "/bin/other");
    let mut table = machine.table();
    assert_eq!(exe(table.look_up(&mut origin(8, SECOND, 500 * TICK_NS), 0)), "unknown");
    // Without a start in the record, a process that began after it.
    assert_eq!(exe(table.look_up(&mut bare(8, 200 * TICK_NS), 0)), "unknown");
    assert_eq!(table.counts().gone, 2);
}

#[test]
fn questions_to_procfs_are_limited_in_each_second() {
    let mut table = table(10);
    for tgid in 1..=READS_PER_SECOND + 500 {
        table.look_up(&mut origin(tgid, 5, SECOND), 0);
    }
    let counts = table.counts();
    assert_eq!((counts.gone, counts.refused), (u64::from(READS_PER_SECOND), 500));
}

#[test]
fn a_tier_without_starts_finds_the_latest_live_process() {
    let mut table = table(10);
    table.exec(&mut bare(7, SECOND), &exec("/bin/old", 1), false);
    let exited = table.exit(&mut bare(7, 2 * SECOND), &exit(1, "old"));
    assert_eq!((exe(exited.found), exited.duration_ns), ("/bin/old".to_owned(), None));
    table.exec(&mut bare(7, 4 * SECOND), &exec("/bin/new", 1), false);
    assert_eq!(exe(table.look_up(&mut bare(7, 5 * SECOND), 0)), "/bin/new");
    assert_eq!(exe(table.look_up(&mut bare(7, SECOND + 5), 0)), "/bin/old");
    table.exit(&mut bare(7, 6 * SECOND), &exit(1, "new"));
    assert_eq!(exe(table.look_up(&mut bare(7, 5 * SECOND), 0)), "/bin/new");
    assert_eq!(
        exe(table.look_up(&mut bare(7, 8 * SECOND), 0)),
        "unknown",
        "after its end it is not the process"
    );
}

#[test]
fn what_a_tier_does_not_tell_is_asked_at_exec_and_remembered() {
    let machine = Machine::new();
    machine.process(8, 300, 7, "/bin/x");
    let mut table = machine.table();
    let mut first = bare(8, 400 * TICK_NS);
    table.exec(&mut first, &exec("/bin/x", 7), false);
    assert_eq!(first.process.start_boot_ns, 300 * TICK_NS);
    assert_eq!(first.cgroup_id, Some(machine.cgroup()));
    assert!(first.mnt_ns.is_some());
    fs::remove_dir_all(Path::new(machine.0.path()).join("8")).unwrap();
    let mut later = bare(8, 500 * TICK_NS);
    table.look_up(&mut later, 0);
    assert_eq!(
        (later.process, later.cgroup_id, later.mnt_ns),
        (first.process, first.cgroup_id, first.mnt_ns)
    );
    let exited = table.exit(&mut bare(8, 600 * TICK_NS), &exit(7, "x"));
    assert_eq!(exited.duration_ns, Some(300 * TICK_NS));
}

#[test]
fn an_existing_process_that_reported_itself_is_not_told_twice() {
    let mut table = table(10);
    let start = 123 * TICK_NS + 4567;
    let existing = Exec { existing: true, ..exec("/bin/a", 1) };
    table.exec(&mut origin(7, start, SECOND), &exec("/bin/a", 1), false);
    assert!(table.exec(&mut origin(7, 123 * TICK_NS, SECOND), &existing, false).is_none());
    table.exit(&mut origin(7, start, 2 * SECOND), &exit(1, "a"));
    assert!(table.exec(&mut origin(7, 123 * TICK_NS, SECOND), &existing, false).is_none());
    assert_eq!(table.counts().duplicates, 2);
    // Another one with the pid is told, and found under its exact start as well.
    assert!(table.exec(&mut origin(7, 456 * TICK_NS, SECOND), &existing, false).is_some());
    let found = table.look_up(&mut origin(7, 456 * TICK_NS + 9_999_999, 3 * SECOND), 0).unwrap();
    assert_eq!(found.source, Source::Existing);
}

#[test]
fn two_hundred_thousand_lives_leave_the_table_within_its_capacity() {
    let mut table = table(1000);
    for life in 0..200_000_u64 {
        let tgid = 2 + (life % 30_000) as u32;
        let start = life * TICK_NS;
        table.exec(&mut origin(tgid, start, start + 1), &exec("/bin/true", 1), false).unwrap();
        assert_eq!(exe(table.look_up(&mut origin(tgid, start, start + 2), 0)), "/bin/true");
        // One in seven never reports its end.
        if life % 7 != 0 {
            assert!(table.exit(&mut origin(tgid, start, start + 3), &exit(1, "true")).found.is_some());
        }
        assert!(table.len() <= 1000 && table.past.len() <= LEAST_PAST);
    }
    assert!(table.counts().evicted > 0);
}

#[derive(Clone, Debug)]
enum Step {
    Exec { tgid: u32, existing: bool, image: u64 },
    Exit { tgid: u32, ppid: u32 },
    LookUp { tgid: u32, image: u64 },
}

fn step() -> impl Strategy<Value = (Step, bool, u64)> {
    let tgid = 1_u32..6;
    let what = prop_oneof![
        (tgid.clone(), any::<bool>(), 0_u64..3).prop_map(|(tgid, existing, image)| Step::Exec {
            tgid,
            existing,
            image
        }),
        (tgid.clone(), tgid.clone()).prop_map(|(tgid, ppid)| Step::Exit { tgid, ppid }),
        (tgid, 0_u64..3).prop_map(|(tgid, image)| Step::LookUp { tgid, image }),
    ];
    (what, any::<bool>(), 0_u64..4)
}

proptest! {
    /// Whatever comes in whatever order: no process is found that started at another time or has another pid.
    #[test]
    fn no_record_gets_another_process(steps in proptest::collection::vec(step(), 0..80)) {
        let mut table = table(4);
        for (at, (step, knows_start, life)) in steps.into_iter().enumerate() {
            let at = at as u64 * SECOND;
            let start = if knows_start { 1 + life * SECOND } else { 0 };
            let (tgid, asked, found) = match step {
                Step::Exec { tgid, existing, image } => {
                    let exec = Exec { image, existing, ..exec("/bin/x", 1) };
                    let mut origin = origin(tgid, start, at);
                    let process = table.exec(&mut origin, &exec, false);
                    (tgid, start, process.map(|process| Found { process, source: Source::Exec }))
                }
                Step::Exit { tgid, ppid } => {
                    (tgid, start, table.exit(&mut origin(tgid, start, at), &exit(ppid, "x")).found)
                }
                Step::LookUp { tgid, image } => (tgid, start, table.look_up(&mut origin(tgid, start, at), image)),
            };
            if let Some(Found { process, .. }) = found {
                prop_assert_eq!(process.key.tgid, tgid);
                prop_assert!(process.key.is_same_start(asked));
            }
            prop_assert!(table.len() <= 4);
        }
    }
}
