mod every_elf;
mod file_systems;
mod limits;
mod paths;
mod processes;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};
use zastava_common::abi::FileIdentity;

use crate::kernel::record::{KernelPath, ProcessKey};
use crate::observation::{Artifact, Known, Strength};
use crate::process::proc::ProcRoot;
use crate::process::proc::stat::{LIMIT, Stat};

use super::read::hex;
use super::same::Sight;
use super::*;

/// A stage with a clock that is set by hand.
struct Bench {
    stage: FileStage,
    clock: Arc<AtomicU64>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        Self::below(limits, ProcRoot::default())
    }

    fn below(limits: Limits, proc_root: ProcRoot) -> Self {
        let clock = Arc::new(AtomicU64::new(1));
        let now = Arc::clone(&clock);
        Self { stage: FileStage::new(limits, proc_root, move || now.load(Ordering::Relaxed)), clock }
    }

    fn ask(
        &mut self,
        purpose: Purpose,
        process: ProcessKey,
        file: Option<&FileIdentity>,
        path: &Path,
    ) -> Artifact {
        let path = kernel_path(path);
        self.stage.identify(&FileRequest { identity: file, purpose, process, ..request(&path) })
    }

    /// A file that this process made.
    fn created(&mut self, file: &FileIdentity, path: &Path) -> Artifact {
        self.ask(Purpose::Library, own(), Some(file), path)
    }
}

fn request(path: &KernelPath) -> FileRequest<'_> {
    FileRequest {
        identity: None,
        path,
        process: own(),
        process_gone: false,
        build_id: None,
        purpose: Purpose::Library,
        container: None,
    }
}

fn kernel_path(path: &Path) -> KernelPath {
    KernelPath { bytes: path.as_os_str().as_bytes().to_vec(), truncated: false }
}

fn own() -> ProcessKey {
    key(std::process::id())
}

/// A live process, with its start.
fn key(tgid: u32) -> ProcessKey {
    let bytes = ProcRoot::default().read(tgid, "stat", LIMIT).unwrap();
    ProcessKey { tgid, start_boot_ns: Stat::parse(&bytes).unwrap().start_boot_ns() }
}

/// What the kernel programs would report of an open file.
fn identity_of(file: &OwnedFd) -> FileIdentity {
    let magic = rustix::fs::fstatfs(file).unwrap().f_type.cast_unsigned() as u32;
    Sight::of(file).unwrap().on(file, magic).file
}

fn identity(path: &Path) -> FileIdentity {
    identity_of(&File::open(path).unwrap().into())
}

/// Waits until the clock of file times has gone on, so that the file's next change shows.
fn settle(file: &FileIdentity) {
    let now = || {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        now.tv_sec * 1_000_000_000 + now.tv_nsec
    };
    while now() <= file.ctime_ns {
        std::thread::yield_now();
    }
}

/// Writes a file and waits until its next change will show.
fn write(path: &Path, content: &[u8]) -> FileIdentity {
    std::fs::write(path, content).unwrap();
    let file = identity(path);
    settle(&file);
    file
}

fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content)).to_string()
}

#[track_caller]
fn assert_digest(artifact: &Artifact, content: &[u8], strength: Strength) {
    let Known::Is(digest) = &artifact.sha256 else { panic!("{artifact:?}") };
    assert_eq!((&*digest.sha256, digest.strength), (&*sha256(content), strength));
}

#[track_caller]
fn assert_refused(artifact: &Artifact, reason: &str) {
    assert_eq!(artifact.sha256.reason(), Some(reason), "{artifact:?}");
}
