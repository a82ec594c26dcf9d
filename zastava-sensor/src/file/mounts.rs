//! Which mount leads to a file system, so that its inodes can be opened by their handles.
//!
//! Only paths are remembered: an open file of a mount would keep others from unmounting it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use hashlink::LruCache;
use rustix::fs::{FileType, OFlags};
use zastava_common::abi::{FileIdentity, file_flag};

use crate::kernel::sys::handle::Handle;
use crate::kernel::sys::stat::{BTRFS, OVERLAYFS, kernel_dev};
use crate::process::proc::ProcRoot;
use crate::process::proc::allowance::Allowance;
use crate::process::proc::mountinfo::{self, Line};

use super::reason;
use super::same::Sight;
use super::walk::{Walk, readable};

/// File systems whose mount is remembered.
const FILE_SYSTEMS: usize = 1024;
/// Mount tables read in a second at most; one of thousands of mounts costs milliseconds.
const TABLES_PER_SECOND: u32 = 256;
/// Mounts of one file system that are tried.
const TRIES: usize = 8;

#[derive(Debug)]
pub(super) struct Mounts {
    proc_root: ProcRoot,
    points: LruCache<u32, Point>,
    allowance: Allowance,
    tables: u64,
}

/// A mount point in the sensor's own mount namespace or in that of a process.
#[derive(Clone, Debug)]
struct Point {
    owner: Owner,
    path: Vec<u8>,
    cached: bool,
}

/// Whose root and mount namespace.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Sensor,
    Process(u32),
}

impl Owner {
    pub(super) fn root(self, proc_root: &ProcRoot) -> PathBuf {
        match self {
            Self::Sensor => PathBuf::from("/"),
            Self::Process(tgid) => proc_root.entry(tgid, "root"),
        }
    }
}

/// A mount table.
#[derive(Debug)]
pub(super) struct Table(Vec<u8>);

impl Mounts {
    pub(super) fn new(proc_root: ProcRoot) -> Self {
        Self {
            proc_root,
            points: LruCache::new(FILE_SYSTEMS),
            allowance: Allowance::per_second(TABLES_PER_SECOND),
            tables: 0,
        }
    }

    /// Mount tables read so far.
    pub(super) fn tables(&self) -> u64 {
        self.tables
    }

    /// Opens an inode by its handle, by way of a mount of the sensor's or of the given process.
    pub(super) fn open_inode(
        &mut self,
        file: &FileIdentity,
        process: Option<u32>,
        now_ns: u64,
    ) -> Result<OwnedFd, &'static str> {
        if file.flags & (file_flag::OVERLAY_UNRESOLVED | file_flag::INTERNAL_MOUNT) != 0 {
            return Err(reason::FILE_GONE);
        }
        if let Some(point) = self.points.get(&file.dev).cloned()
            && let Ok(mount) = self.open_mount(&point, file)
        {
            return open_by(&mount, file);
        }
        self.points.remove(&file.dev);
        let mut failure = reason::FILE_GONE;
        for owner in [Some(Owner::Sensor), process.map(Owner::Process)].into_iter().flatten() {
            let table = self.table(owner, now_ns)?;
            for point in table.points(file.dev, owner) {
                let Ok(mount) = self.open_mount(&point, file) else { continue };
                self.points.insert(file.dev, point);
                match open_by(&mount, file) {
                    // Another mount may show the right subvolume.
                    Err(reason) if file.fs_magic == BTRFS => failure = reason,
                    answer => return answer,
                }
            }
        }
        Err(failure)
    }

    pub(super) fn table(&mut self, owner: Owner, now_ns: u64) -> Result<Table, &'static str> {
        if !self.allowance.take(now_ns) {
            return Err(reason::LOOKUPS_EXHAUSTED);
        }
        self.tables += 1;
        let path = match owner {
            Owner::Sensor => PathBuf::from("/proc/self/mountinfo"),
            Owner::Process(tgid) => self.proc_root.entry(tgid, "mountinfo"),
        };
        let mut bytes = Vec::new();
        // A process that is gone has no mounts; the others keep what could be read.
        if let Ok(file) = File::open(path) {
            let _ = file.take(mountinfo::LIMIT as u64).read_to_end(&mut bytes);
        }
        Ok(Table(bytes))
    }

    /// Opens a mount point, and makes sure that the file's own file system is still mounted there.
    fn open_mount(&self, point: &Point, file: &FileIdentity) -> Result<OwnedFd, &'static str> {
        let walk = Walk { symlinks: false, cached: point.cached };
        let found = walk.open(&point.owner.root(&self.proc_root), &point.path)?;
        let sight = Sight::of_any(&found)?;
        // A device or FIFO mounted by a container must not be opened.
        if !matches!(sight.kind(), FileType::Directory | FileType::RegularFile) {
            return Err(reason::NOT_REGULAR);
        }
        // Of btrfs, the mount table has the file system's device and `statx` the subvolume's.
        if sight.file.dev != file.dev && file.fs_magic != BTRFS {
            return Err(reason::REPLACED);
        }
        readable(&found)
    }
}

fn open_by(mount: &OwnedFd, file: &FileIdentity) -> Result<OwnedFd, &'static str> {
    let handle = Handle::of_inode(file, mount.as_fd()).ok_or(reason::FILE_GONE)?;
    handle.open(mount.as_fd(), OFlags::RDONLY | OFlags::NONBLOCK).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => reason::NO_ACCESS,
        _ => reason::FILE_GONE,
    })
}

impl Table {
    /// Whether a walk through these mounts can meet a file system that does not answer.
    pub(super) fn may_block(&self) -> bool {
        mountinfo::mounts(&self.0).any(|line| blocks(&line))
    }

    /// Whether the file system with this device may not answer.
    pub(super) fn device_may_block(&self, dev: u32) -> bool {
        mountinfo::mounts(&self.0).any(|line| device(&line) == dev && blocks(&line))
    }

    /// The file system of a mount, as a magic number, of those that show files under devices of their own.
    pub(super) fn magic(&self, mount: u64) -> Option<u32> {
        let line = mountinfo::mounts(&self.0).find(|line| u64::from(line.id) == mount)?;
        match line.fs_type {
            b"overlay" => Some(OVERLAYFS),
            b"btrfs" => Some(BTRFS),
            _ => None,
        }
    }

    /// Mounts of a device that no later mount on the same point hides; those of its root first.
    fn points(&self, dev: u32, owner: Owner) -> Vec<Point> {
        let cached = self.may_block();
        let mut lines: Vec<Line<'_>> = Vec::new();
        for line in mountinfo::mounts(&self.0) {
            lines.retain(|earlier| earlier.point != line.point);
            if device(&line) == dev && !blocks(&line) {
                lines.push(line);
            }
        }
        lines.sort_by_key(|line| (line.root != b"/", line.point.len()));
        lines.truncate(TRIES);
        let path = |line: &Line<'_>| mountinfo::unescape(line.point).into_owned();
        lines.iter().map(|line| Point { owner, path: path(line), cached }).collect()
    }
}

fn device(line: &Line<'_>) -> u32 {
    kernel_dev(line.major, line.minor)
}

fn blocks(line: &Line<'_>) -> bool {
    const NETWORK: [&[u8]; 9] =
        [b"afs", b"ceph", b"cifs", b"coda", b"lustre", b"nfs", b"nfs4", b"smb3", b"virtiofs"];
    line.fs_type.starts_with(b"fuse") || NETWORK.contains(&line.fs_type)
}
