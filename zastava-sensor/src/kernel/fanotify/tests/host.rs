//! On the kernel that runs the tests; as root.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use tempfile::TempDir;
use zastava_common::abi::{FileIdentity, FileOp, Tier};

use crate::kernel::record::{FileChange, What};
use crate::kernel::sys::stat::kernel_dev;
use crate::process::proc::first::FirstProcess;

use super::super::FileWatch;

struct Bench {
    watch: FileWatch,
    directory: TempDir,
}

impl Bench {
    /// A watch and a directory below `parent`, or the reason why not, printed.
    fn below(parent: &str) -> Option<Self> {
        let opened = FileWatch::open(Tier::Sideband, Path::new("/proc"));
        let answers = opened.as_ref().map(|watch| watch.marks().cloned().collect::<Vec<_>>());
        if !answers.as_ref().is_ok_and(|marks| marks.iter().any(|mark| mark.watched.is_ok())) {
            println!("skipped: fanotify answers {answers:?}");
            assert!(std::env::var_os("CI").is_none(), "fanotify is missing in CI: {answers:?}");
            return None;
        }
        let mut watch = opened.unwrap();
        let directory = tempfile::tempdir_in(parent).unwrap();
        watch.include_own();
        Some(Self { watch, directory })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// What the watch tells of the directory, up to a file that is created last.
    fn told(&mut self) -> Vec<FileChange> {
        let last = self.path("zzz-last");
        fs::write(&last, "#!").unwrap();
        let mut told = Vec::new();
        loop {
            let mut fds = [PollFd::new(&self.watch, PollFlags::IN)];
            let timeout = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
            assert_eq!(poll(&mut fds, Some(&timeout)).unwrap(), 1, "no event came in 10 s");
            self.watch
                .read(|record| {
                    if let What::File(change) = record.what
                        && Path::new(std::str::from_utf8(&change.path.bytes).unwrap())
                            .starts_with(self.directory.path())
                    {
                        assert_eq!(record.origin.process.tgid, std::process::id());
                        told.push(change);
                    }
                })
                .unwrap();
            let name = last.as_os_str().as_encoded_bytes();
            if told.last().is_some_and(|change: &FileChange| change.path.bytes == name) {
                told.pop();
                fs::remove_file(&last).unwrap();
                return told;
            }
        }
    }

    fn summary(&mut self) -> Vec<(FileOp, String)> {
        let prefix = self.directory.path().to_str().unwrap().len() + 1;
        self.told()
            .into_iter()
            .map(|change| (change.op, String::from_utf8(change.path.bytes[prefix..].to_vec()).unwrap()))
            .collect()
    }
}

fn told(op: FileOp, name: &str) -> (FileOp, String) {
    (op, name.to_owned())
}

#[test]
fn created_overwritten_renamed_linked_and_made_executable_are_told_apart() {
    for parent in ["/var/tmp", "/dev/shm"] {
        let Some(mut bench) = Bench::below(parent) else { return };
        fs::write(bench.path("a"), "#!/bin/sh\n").unwrap();
        // Two of a kind that wait together are one event: let the first be read.
        assert_eq!(bench.summary(), [told(FileOp::Create, "a")], "below {parent}");
        fs::write(bench.path("a"), "#!/bin/sh\n:\n").unwrap();
        fs::rename(bench.path("a"), bench.path("b")).unwrap();
        fs::hard_link(bench.path("b"), bench.path("c")).unwrap();
        fs::set_permissions(bench.path("b"), Permissions::from_mode(0o755)).unwrap();
        let expected = [
            told(FileOp::Write, "a"),
            told(FileOp::Rename, "b"),
            told(FileOp::Link, "c"),
            told(FileOp::Chmod, "b"),
        ];
        // Events of one file by one name that wait together become one, in the place of the first.
        let mut found = bench.summary();
        found.sort_by_key(|(op, _)| *op as u32);
        assert_eq!(found, expected, "below {parent}");
    }
}

#[test]
fn what_is_no_program_is_not_told() {
    let Some(mut bench) = Bench::below("/var/tmp") else { return };
    fs::write(bench.path("text"), "hello").unwrap();
    fs::write(bench.path("empty"), "").unwrap();
    fs::create_dir(bench.path("directory")).unwrap();
    std::os::unix::fs::symlink("/bin/sh", bench.path("symlink")).unwrap();
    rustix::fs::mknodat(CWD, bench.path("fifo"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::set_permissions(bench.path("text"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(bench.summary(), []);
}

#[test]
fn an_executable_of_any_content_is_told() {
    let Some(mut bench) = Bench::below("/var/tmp") else { return };
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o755).open(bench.path("x")).unwrap();
    file.write_all(b"no magic").unwrap();
    drop(file);
    assert_eq!(bench.summary(), [told(FileOp::Create, "x")]);
}

#[test]
fn a_nameless_file_that_is_linked_into_place_is_told_by_its_name() {
    for parent in ["/var/tmp", "/dev/shm"] {
        let Some(mut bench) = Bench::below(parent) else { return };
        let flags = OFlags::TMPFILE | OFlags::RDWR;
        let fd = rustix::fs::openat(CWD, bench.directory.path(), flags, Mode::RWXU).unwrap();
        let mut file = File::from(fd);
        file.write_all(b"\x7fELF").unwrap();
        rustix::fs::linkat(&file, "", CWD, bench.path("linked"), AtFlags::EMPTY_PATH).unwrap();
        drop(file);
        assert_eq!(bench.summary(), [told(FileOp::Link, "linked")], "below {parent}");
    }
}

#[test]
fn a_file_created_by_io_uring_is_told() {
    let Some(mut bench) = Bench::below("/var/tmp") else { return };
    let mut file = match super::uring::create(&bench.path("ring")) {
        Ok(file) => file,
        Err(error) => {
            println!("skipped: io_uring answers {error}");
            let errno = error.raw_os_error();
            assert!(matches!(errno, Some(libc::ENOSYS | libc::EPERM)), "{error}");
            return;
        }
    };
    file.write_all(b"\x7fELF").unwrap();
    drop(file);
    assert_eq!(bench.summary(), [told(FileOp::Create, "ring")]);
}

#[test]
fn the_identity_is_that_of_the_file() {
    let Some(mut bench) = Bench::below("/var/tmp") else { return };
    fs::write(bench.path("a"), "#!/bin/sh\n").unwrap();
    let metadata = fs::metadata(bench.path("a")).unwrap();
    let changes = bench.told();
    let FileIdentity { ino, dev, generation, size, mtime_ns, mode, nlink, fs_magic, .. } =
        changes[0].file.unwrap();
    assert_eq!((ino, size, mode), (metadata.ino(), metadata.size(), metadata.mode()));
    assert_eq!(u64::from(nlink), metadata.nlink());
    assert_eq!(mtime_ns, metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec());
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    assert_eq!(dev, kernel_dev(major, minor));
    if fs_magic == 0xef53 {
        let lsattr = Command::new("lsattr").arg("-v").arg(bench.path("a")).output().unwrap();
        let text = String::from_utf8(lsattr.stdout).unwrap();
        assert_eq!(text.split_whitespace().next(), Some(generation.to_string().as_str()));
    }
}

#[test]
fn a_file_system_mounted_later_is_watched_after_a_refresh() {
    let Some(mut bench) = Bench::below("/var/tmp") else { return };
    let point = bench.path("mounted");
    fs::create_dir(&point).unwrap();
    let mount =
        |arguments: &[&str]| Command::new(arguments[0]).args(&arguments[1..]).arg(&point).status().unwrap();
    if !mount(&["mount", "-t", "tmpfs", "tmpfs"]).success() {
        println!("skipped: no tmpfs can be mounted here");
        return;
    }
    bench.watch.refresh().unwrap();
    fs::write(point.join("a"), "#!/bin/sh\n").unwrap();
    let told_of = bench.summary();
    assert!(mount(&["umount"]).success(), "the watch keeps the mount busy");
    assert_eq!(told_of, [told(FileOp::Create, "mounted/a")]);
    // This one alone: other tests mount and unmount meanwhile.
    let is_watched =
        |watch: &FileWatch| watch.marks().any(|mark| mark.point == point && mark.watched.is_ok());
    assert!(is_watched(&bench.watch));
    bench.watch.refresh().unwrap();
    assert!(!is_watched(&bench.watch));
}

#[test]
fn the_hosts_file_systems_are_watched_from_another_root() {
    let Some(mut bench) = Bench::below("/var/tmp") else { return };
    let (procfs, point) = (bench.path("proc"), bench.path("mounted"));
    fs::create_dir(&procfs).unwrap();
    fs::create_dir(&point).unwrap();
    // Its mounts are not ours.
    let Some(host) = FirstProcess::start("--mount", r#"mount -t tmpfs tmpfs "$0""#, &point) else {
        println!("skipped: no tmpfs can be mounted here");
        return;
    };
    host.stand_in(&procfs);
    bench.watch = FileWatch::open(Tier::Sideband, &procfs).unwrap();
    bench.watch.include_own();
    let mounted = procfs.join("1/root").join(point.strip_prefix("/").unwrap());
    fs::write(mounted.join("a"), "#!/bin/sh\n").unwrap();
    let told_of = bench.summary();
    drop(host);
    assert_eq!(told_of, [told(FileOp::Create, "mounted/a")]);
}

#[test]
fn the_sensors_own_changes_are_counted_and_not_told() {
    let Some(bench) = Bench::below("/var/tmp") else { return };
    let mut watch = FileWatch::open(Tier::Tracepoint, Path::new("/proc")).unwrap();
    fs::write(bench.path("a"), "#!").unwrap();
    let mut fds = [PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)];
    poll(&mut fds, None).unwrap();
    watch.read(|record| assert_ne!(record.origin.process.tgid, std::process::id())).unwrap();
    assert!(watch.counters().own > 0);
}
