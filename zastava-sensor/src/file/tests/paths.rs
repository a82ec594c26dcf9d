//! Paths made by hostile hands, below a root of their own.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;

/// A procfs of one process, whose root is a directory.
struct FakeProc(TempDir);

impl FakeProc {
    const KEY: ProcessKey = ProcessKey { tgid: 17, start_boot_ns: 0 };

    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = directory.path().join("17");
        std::fs::create_dir_all(process.join("root/bin")).unwrap();
        let stat = "17 (x) S 1 17 17 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 8812 0 0";
        std::fs::write(process.join("stat"), stat).unwrap();
        std::fs::write(process.join("mountinfo"), "").unwrap();
        Self(directory)
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.0.path().join("17/root").join(path)
    }

    fn bench(&self) -> Bench {
        Bench::below(Limits::default(), ProcRoot::new(self.0.path()))
    }

    fn ask(&self, purpose: Purpose, path: &str) -> Artifact {
        self.bench().ask(purpose, Self::KEY, None, Path::new(path))
    }
}

#[test]
fn a_path_is_that_of_the_process_and_not_of_the_sensor() {
    let proc = FakeProc::new();
    write(&proc.inside("bin/sh"), b"inside");
    let answer = proc.ask(Purpose::Library, "/bin/sh");
    assert_digest(&answer, b"inside", Strength::Path);
}

#[test]
fn a_symbolic_link_cannot_lead_out_of_the_root() {
    let proc = FakeProc::new();
    let outside = proc.0.path().join("secret");
    write(&outside, b"outside");
    for (name, target) in [
        ("absolute", outside.to_str().unwrap()),
        ("relative", "../../../secret"),
        ("up", "../../../../../../secret"),
    ] {
        symlink(target, proc.inside("bin").join(name)).unwrap();
        let path = format!("/bin/{name}");
        assert_refused(&proc.ask(Purpose::Created, &path), reason::SYMLINK);
        assert_refused(&proc.ask(Purpose::Script, &path), reason::FILE_GONE);
    }
    for path in ["/../../secret", "/bin/../../../secret"] {
        assert_refused(&proc.ask(Purpose::Script, path), reason::FILE_GONE);
    }
    write(&proc.inside("secret"), b"inside");
    assert_digest(&proc.ask(Purpose::Script, "/bin/up"), b"inside", Strength::Path);
}

#[test]
fn a_link_of_procfs_in_a_container_is_not_followed() {
    let proc = FakeProc::new();
    std::fs::create_dir(proc.inside("proc")).unwrap();
    symlink("/proc/self/exe", proc.inside("bin/x")).unwrap();
    assert_refused(&proc.ask(Purpose::Script, "/bin/x"), reason::FILE_GONE);
}

#[test]
fn a_fifo_a_directory_and_a_device_are_not_opened() {
    let proc = FakeProc::new();
    let mode = Mode::from_raw_mode(0o666);
    mknodat(CWD, proc.inside("bin/fifo"), FileType::Fifo, mode, 0).unwrap();
    if let Err(errno) =
        mknodat(CWD, proc.inside("bin/zero"), FileType::CharacterDevice, mode, rustix::fs::makedev(1, 5))
    {
        println!("no device can be made here: {errno}");
    } else {
        assert_refused(&proc.ask(Purpose::Script, "/bin/zero"), reason::NOT_REGULAR);
    }
    assert_refused(&proc.ask(Purpose::Created, "/bin/fifo"), reason::NOT_REGULAR);
    assert_refused(&proc.ask(Purpose::Created, "/bin"), reason::NOT_REGULAR);
}

#[test]
fn a_path_without_its_beginning_is_not_walked() {
    let proc = FakeProc::new();
    write(&proc.inside("bin/sh"), b"inside");
    assert_refused(&proc.ask(Purpose::Script, "bin/sh"), reason::NO_PATH);
    assert_refused(&proc.ask(Purpose::Script, ""), reason::NO_PATH);
    let path = KernelPath { bytes: b"/bin/sh".to_vec(), truncated: true };
    let asked = FileRequest { process: FakeProc::KEY, ..request(&path) };
    let answer = proc.bench().stage.identify(&asked);
    assert_refused(&answer, reason::PATH_TRUNCATED);
    assert!(answer.path_truncated);
}

#[test]
fn a_path_that_is_not_utf8_keeps_its_bytes() {
    let proc = FakeProc::new();
    let path = KernelPath { bytes: b"/bin/\xff\xfe".to_vec(), truncated: false };
    let on_disk = proc.inside("bin").join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    write(&on_disk, b"x");
    let answer = proc.bench().stage.identify(&FileRequest { process: FakeProc::KEY, ..request(&path) });
    assert_digest(&answer, b"x", Strength::Path);
    assert_eq!((answer.path.as_str(), answer.raw_path), ("/bin/\u{fffd}\u{fffd}", Some(path.bytes)));
}

#[test]
fn a_pid_used_again_is_not_believed() {
    let proc = FakeProc::new();
    write(&proc.inside("bin/sh"), b"inside");
    let before = ProcessKey { start_boot_ns: 5_000_000_000, ..FakeProc::KEY };
    let answer = proc.bench().ask(Purpose::Created, before, None, Path::new("/bin/sh"));
    assert_refused(&answer, reason::PROCESS_GONE);
}

#[test]
fn a_file_on_a_file_system_of_user_space_is_not_read() {
    let proc = FakeProc::new();
    let path = proc.inside("bin/sh");
    write(&path, b"inside");
    let dev = std::os::unix::fs::MetadataExt::dev(&path.metadata().unwrap());
    let (major, minor) = (rustix::fs::major(dev), rustix::fs::minor(dev));
    let table = format!("1 0 {major}:{minor} / / rw - fuse.x x rw\n");
    std::fs::write(proc.0.path().join("17/mountinfo"), table).unwrap();
    assert_refused(&proc.ask(Purpose::Created, "/bin/sh"), reason::MAY_BLOCK);
}

#[test]
fn beside_a_file_system_of_user_space_a_path_just_used_is_still_walked() {
    let proc = FakeProc::new();
    write(&proc.inside("bin/sh"), b"inside");
    std::fs::write(proc.0.path().join("17/mountinfo"), "1 0 0:9999 / /mnt rw - fuse.x x rw\n").unwrap();
    assert_digest(&proc.ask(Purpose::Library, "/bin/sh"), b"inside", Strength::Path);
}

#[test]
fn mount_tables_are_read_so_often_and_no_more() {
    let proc = FakeProc::new();
    write(&proc.inside("bin/sh"), b"inside");
    let mut bench = proc.bench();
    let mut ask = || bench.ask(Purpose::Library, FakeProc::KEY, None, Path::new("/bin/sh")).sha256.reason();
    let answers: Vec<_> = (0..300).map(|_| ask()).collect();
    assert_eq!(answers[0], None);
    assert_eq!(answers[299], Some(reason::LOOKUPS_EXHAUSTED));
    bench.clock.store(2_000_000_000, Ordering::Relaxed);
    let answer = bench.ask(Purpose::Library, FakeProc::KEY, None, Path::new("/bin/sh"));
    assert_digest(&answer, b"inside", Strength::Path);
}
