//! Programs that run, and what becomes of their files meanwhile.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::fs::MemfdFlags;
use tempfile::TempDir;
use zastava_common::abi::file_flag;

use super::*;
use crate::process::proc::maps;

/// A program that runs until its input is closed.
struct Running {
    child: Child,
    key: ProcessKey,
}

impl Running {
    fn start(program: impl AsRef<std::ffi::OsStr>) -> Self {
        let mut command = Command::new(program);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        // The child has executed the program when `spawn` returns.
        let key = key(child.id());
        Self { child, key }
    }

    fn end(mut self) -> ProcessKey {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
        self.key
    }
}

/// A program of one's own: a copy of `cat`.
fn program() -> (TempDir, PathBuf, Vec<u8>, FileIdentity) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    std::fs::copy("/bin/cat", &path).unwrap();
    let content = std::fs::read(&path).unwrap();
    let file = identity(&path);
    settle(&file);
    (directory, path, content, file)
}

#[test]
fn a_program_whose_process_is_gone_is_still_identified() {
    let (_directory, path, content, file) = program();
    let gone = Running::start(&path).end();
    let path = kernel_path(&path);
    for process_gone in [false, true] {
        let asked = FileRequest {
            identity: Some(&file),
            process: gone,
            process_gone,
            purpose: Purpose::Exec,
            ..request(&path)
        };
        let answer = Bench::new(Limits::default()).stage.identify(&asked);
        assert_digest(&answer, &content, Strength::Inode);
    }
}

#[test]
fn a_program_that_unlinked_itself_shows_what_it_was_while_it_runs() {
    let (_directory, path, content, file) = program();
    let running = Running::start(&path);
    std::fs::remove_file(&path).unwrap();
    let mut bench = Bench::new(Limits::default());
    let answer = bench.ask(Purpose::Exec, running.key, Some(&file), &path);
    assert_digest(&answer, &content, Strength::Running);
    let gone = running.end();
    let answer = Bench::new(Limits::default()).ask(Purpose::Exec, gone, Some(&file), &path);
    assert!(answer.sha256.value().is_none(), "{answer:?}");
}

#[test]
fn a_status_change_is_forgiven_to_the_running_program_alone() {
    let (_directory, path, content, file) = program();
    let running = Running::start(&path);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let ask = |purpose, key| Bench::new(Limits::default()).ask(purpose, key, Some(&file), &path);
    assert_digest(&ask(Purpose::Exec, running.key), &content, Strength::Running);
    assert_refused(&ask(Purpose::Library, running.key), reason::CHANGED);
    assert_refused(&ask(Purpose::Created, running.key), reason::CHANGED);
    let earlier = ProcessKey { start_boot_ns: running.key.start_boot_ns - 1_000_000_000, ..running.key };
    assert_refused(&ask(Purpose::Exec, earlier), reason::CHANGED);
    let no_start = ProcessKey { start_boot_ns: 0, ..running.key };
    assert_refused(&ask(Purpose::Exec, no_start), reason::CHANGED);
    running.end();
}

#[test]
fn a_memfd_is_identified_by_the_process_that_runs_it() {
    let memfd = rustix::fs::memfd_create("program", MemfdFlags::empty()).unwrap();
    let mut file = File::from(memfd);
    let content = std::fs::read("/bin/cat").unwrap();
    file.write_all(&content).unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    // Nobody may have it open for writing when it is executed.
    let readable = rustix::fs::open(&path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    drop(file);
    let mut identity = identity_of(&readable);
    identity.flags |= file_flag::INTERNAL_MOUNT;
    let running = Running::start(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&readable)));
    let answer = Bench::new(Limits::default()).ask(
        Purpose::Exec,
        running.key,
        Some(&identity),
        Path::new("/memfd:program (deleted)"),
    );
    assert_digest(&answer, &content, Strength::Inode);

    // `spawn` returns when the old program is gone, which is before the new one is mapped.
    let is_mapped = || {
        let maps = ProcRoot::default().read(running.key.tgid, "maps", maps::LIMIT).unwrap();
        maps::files(&maps).any(|line| line.ino == identity.ino)
    };
    while !is_mapped() {
        std::thread::yield_now();
    }
    let mapped = Bench::new(Limits::default()).ask(
        Purpose::Library,
        running.key,
        Some(&identity),
        Path::new("/memfd:program (deleted)"),
    );
    assert_digest(&mapped, &content, Strength::Inode);

    let path = Path::new("/memfd:program (deleted)");
    let unreported = Bench::new(Limits::default()).ask(Purpose::Exec, running.key, None, path);
    assert_digest(&unreported, &content, Strength::Inode);
    running.end();
}

#[test]
fn a_file_replaced_at_its_path_gives_no_digest_of_another() {
    let (directory, path, _, file) = program();
    let other = directory.path().join("other");
    write(&other, b"another");
    std::fs::rename(&other, &path).unwrap();
    let answer = Bench::new(Limits::default()).created(&file, &path);
    assert_refused(&answer, reason::REPLACED);
    assert_eq!(answer.build_id, Known::Not(reason::REPLACED));
}

#[test]
fn a_file_written_since_gives_no_digest() {
    let (_directory, path, content, file) = program();
    let mut changed = content.clone();
    changed[1000] ^= 1;
    write(&path, &changed);
    for purpose in [Purpose::Exec, Purpose::Library, Purpose::Script, Purpose::Created] {
        let answer = Bench::new(Limits::default()).ask(purpose, own(), Some(&file), &path);
        assert_refused(&answer, reason::CHANGED);
    }
}

#[test]
fn a_file_written_and_dated_back_gives_no_digest() {
    let (_directory, path, content, file) = program();
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let mut changed = content.clone();
    changed[1000] ^= 1;
    std::fs::write(&path, &changed).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_eq!(identity(&path).mtime_ns, file.mtime_ns);
    assert_refused(&Bench::new(Limits::default()).created(&file, &path), reason::CHANGED);
}

#[test]
fn a_hard_link_and_its_file_are_read_once() {
    let (directory, path, content, _) = program();
    let link = directory.path().join("link");
    std::fs::hard_link(&path, &link).unwrap();
    let mut bench = Bench::new(Limits::default());
    settle(&identity(&path));
    for path in [&path, &link] {
        let answer = bench.created(&identity(path), path);
        assert_digest(&answer, &content, Strength::Inode);
    }
    assert_eq!(bench.stage.counters().hashed_bytes, content.len() as u64);
}

#[test]
fn without_an_identity_the_running_program_is_taken_if_its_name_is_the_one_reported() {
    let (_directory, path, content, _) = program();
    let running = Running::start(&path);
    let mut bench = Bench::new(Limits::default());
    let answer = bench.ask(Purpose::Exec, running.key, None, &path);
    assert_digest(&answer, &content, Strength::Inode);
    let answer = bench.ask(Purpose::Exec, running.key, None, Path::new("/usr/bin/cat"));
    assert_digest(&answer, &std::fs::read("/usr/bin/cat").unwrap(), Strength::Path);
    let gone = running.end();
    let answer = bench.ask(Purpose::Exec, gone, None, &path);
    assert_refused(&answer, reason::PROCESS_GONE);
}
