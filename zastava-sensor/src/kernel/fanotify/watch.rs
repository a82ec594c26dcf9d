//! The watch: marks on file systems, events read and turned into records.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;
use thiserror::Error;
use zastava_common::abi::{FileIdentity, FileOp, LossKey, LossValue, RecordKind, Tier};

use crate::kernel::record::{FileChange, KernelPath, KernelRecord, Origin, ProcessKey, What};
use crate::kernel::sys::clock::boot_ns;
use crate::kernel::sys::fanotify::{init, mark_filesystem};
use crate::kernel::sys::handle::Handle;
use crate::kernel::sys::stat::{Magics, identity, kernel_dev};
use crate::process::proc::mountinfo;

use super::change::{Changes, Seen};
use super::event::{Entry, Event, decode};
use super::mounts::{Mount, to_watch};
use super::place::{Found, Places, Points, fsid_of, looks_like_a_program, open_mount, path_of};

/// File changes of the watched file systems.
#[derive(Debug)]
pub struct FileWatch {
    group: OwnedFd,
    tier: Tier,
    /// Whose mount table and root it is that are watched: its directory in procfs.
    owner: PathBuf,
    own_pid: u32,
    marks: HashMap<(u32, u32), Mark>,
    points: Points,
    changes: Changes,
    magics: Magics,
    counters: Counters,
    buffer: Vec<u8>,
    /// The mount table at the last look.
    table: Vec<u8>,
}

/// What became of one file system.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mark {
    pub point: PathBuf,
    pub fs_type: String,
    /// Why its changes are not seen: `EOPNOTSUPP` and `ENODEV` where it has no handles that can be opened again
    /// (overlayfs), `EXDEV` in a subvolume of btrfs before 6.8.
    pub watched: Result<(), Errno>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    pub events: u64,
    pub malformed: u64,
    /// Made by the sensor itself.
    pub own: u64,
    /// Events whose file was gone before it could be looked at: it cannot be executed by that name any more.
    pub gone: u64,
    /// Times that the kernel's queue was full (`fs.fanotify.max_queued_events`).
    pub overflows: u64,
    /// Mounts of file systems beyond the 1,024 that are watched.
    pub unwatched: u64,
}

#[derive(Debug, Error)]
pub enum FanotifyError {
    #[error("cannot make a fanotify group: {0}; it needs CAP_SYS_ADMIN and Linux 5.9")]
    Init(io::Error),
    #[error("cannot read {path}: {source}")]
    Mounts { path: PathBuf, source: io::Error },
    #[error("cannot read fanotify events: {0}")]
    Read(Errno),
}

const MASK: u64 = libc::FAN_CREATE | libc::FAN_MOVED_TO | libc::FAN_ATTRIB | libc::FAN_CLOSE_WRITE;
/// File systems that are watched at most.
const MOST_FILE_SYSTEMS: usize = 1024;
/// Files that each memory of [`Changes`] holds.
const REMEMBERED: usize = 8192;
const BUFFER: usize = 64 << 10;
/// Buffers that one call of [`FileWatch::read`] takes at most: some 10,000 events.
const MOST_BUFFERS: usize = 16;

impl FileWatch {
    /// Watches all file systems that can hold programs: those that the sensor has mounted or, where the host's procfs
    /// stands elsewhere and the sensor thus has a root of its own, those of the host's first process.
    pub fn open(tier: Tier, procfs: &Path) -> Result<Self, FanotifyError> {
        let owner = procfs.join(if procfs == Path::new("/proc") { "self" } else { "1" });
        let wanted = libc::FAN_REPORT_FID | libc::FAN_REPORT_DFID_NAME;
        // The object of each event: Linux 5.17.
        let group = init(wanted | libc::FAN_REPORT_TARGET_FID)
            .or_else(|_| init(wanted))
            .map_err(FanotifyError::Init)?;
        let mut watch = Self {
            group,
            tier,
            owner,
            own_pid: std::process::id(),
            marks: HashMap::new(),
            points: Points::new(),
            changes: Changes::new(REMEMBERED),
            magics: Magics::new(),
            counters: Counters::default(),
            buffer: vec![0; BUFFER],
            table: Vec::new(),
        };
        watch.refresh()?;
        Ok(watch)
    }

    /// Marks file systems that were mounted since and forgets those that are gone. Call when the owner's `mountinfo`
    /// becomes `POLLPRI`, and on a timer.
    pub fn refresh(&mut self) -> Result<(), FanotifyError> {
        let path = self.owner.join("mountinfo");
        let table = std::fs::read(&path).map_err(|source| FanotifyError::Mounts { path, source })?;
        if table == self.table {
            return Ok(());
        }
        let (mounts, beyond) = to_watch(table.get(..mountinfo::LIMIT).unwrap_or(&table), MOST_FILE_SYSTEMS);
        self.counters.unwatched = beyond as u64;
        let devices: HashSet<_> = mounts.iter().map(|mount| mount.device).collect();
        self.marks.retain(|device, _| devices.contains(device));
        self.points.clear();
        for mount in mounts {
            self.watch(mount);
        }
        self.table = table;
        Ok(())
    }

    /// Each file system and whether its changes are seen.
    pub fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.marks.values()
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Turns the events that wait into records; never blocks. They carry the time of reading: fanotify has none.
    pub fn read(&mut self, mut sink: impl FnMut(KernelRecord)) -> Result<(), FanotifyError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut result = Ok(());
        for _ in 0..MOST_BUFFERS {
            match rustix::io::read(&self.group, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(read) => self.take(&buffer[..read], &mut sink),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    result = Err(FanotifyError::Read(errno));
                    break;
                }
            }
        }
        self.buffer = buffer;
        result
    }

    /// The tests change files themselves.
    #[cfg(test)]
    pub(super) fn include_own(&mut self) {
        self.own_pid = 0;
    }

    fn watch(&mut self, mount: Mount) {
        let Mount { device, point, fs_type, .. } = mount;
        let reached = self.owner.join("root").join(point.strip_prefix("/").unwrap_or(&point));
        let opened = open_mount(&reached).and_then(|fd| fsid_of(&fd));
        // A mark stays with its file system: adding it again changes nothing, and a new file system may have come
        // under an old number.
        let watched = opened.and_then(|fsid| {
            mark_filesystem(self.group.as_fd(), MASK, &reached)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            self.points.insert(fsid, reached);
            Ok(())
        });
        self.marks.insert(device, Mark { point, fs_type, watched });
    }

    fn take(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(KernelRecord)) {
        let points = std::mem::take(&mut self.points);
        let mut places = Places::new(&points);
        while !bytes.is_empty() {
            let (event, rest) = decode(bytes);
            bytes = rest;
            match event {
                Ok(event) => self.take_event(&event, &mut places, sink),
                Err(error) => {
                    self.counters.malformed += 1;
                    tracing::debug!(%error, "fanotify event refused");
                }
            }
        }
        drop(places);
        self.points = points;
    }

    fn take_event(
        &mut self,
        event: &Event<'_>,
        places: &mut Places<'_>,
        sink: &mut impl FnMut(KernelRecord),
    ) {
        self.counters.events += 1;
        if event.mask & libc::FAN_Q_OVERFLOW != 0 {
            self.counters.overflows += 1;
            return sink(self.overflow());
        }
        if event.pid == self.own_pid {
            self.counters.own += 1;
            return;
        }
        let Some(entry) = &event.entry else {
            if let Some((_, handle)) = event.object {
                self.changes.count_changed(handle);
            }
            return;
        };
        let Some(found) = places.find(event, entry) else {
            self.counters.gone += 1;
            return;
        };
        if FileType::from_raw_mode(u32::from(found.stat.stx_mode)) == FileType::RegularFile {
            self.take_file(event, entry, found, sink);
        }
    }

    fn take_file(
        &mut self,
        event: &Event<'_>,
        entry: &Entry<'_>,
        found: Found,
        sink: &mut impl FnMut(KernelRecord),
    ) {
        let stat = &found.stat;
        let dev = kernel_dev(stat.stx_dev_major, stat.stx_dev_minor);
        let magic = self.magics.of(dev, || rustix::fs::fstatfs(&found.fd));
        let handle = Handle::of(found.fd.as_fd()).ok();
        let generation = handle.and_then(|handle| handle.generation(magic)).unwrap_or(0);
        let file = identity(stat, generation, magic);
        let seen = Seen { file: &file, handle, name: entry.name };
        let ops = self.changes.judge(event.mask, &seen);
        if ops.is_empty() || !(file.mode & 0o111 != 0 || looks_like_a_program(&found.fd)) {
            return;
        }
        let path = if seen.is_nameless() { path_of(&found.fd).unwrap_or_default() } else { found.path };
        for op in ops {
            sink(self.record(event.pid, op, file, path.clone()));
        }
    }

    fn record(&self, pid: u32, op: FileOp, file: FileIdentity, path: Vec<u8>) -> KernelRecord {
        let path = KernelPath { bytes: path, truncated: false };
        KernelRecord { origin: self.origin(pid), what: What::File(FileChange { op, file: Some(file), path }) }
    }

    /// The kernel does not say how many events it dropped: at least one.
    fn overflow(&self) -> KernelRecord {
        let origin = self.origin(0);
        let key = LossKey { cgroup_id: 0, kind: RecordKind::File as u32, reserved: 0 };
        let value = LossValue { count: 1, first_ns: origin.boot_ns, last_ns: origin.boot_ns };
        KernelRecord { origin, what: What::Loss { key, value } }
    }

    fn origin(&self, pid: u32) -> Origin {
        Origin {
            tier: self.tier,
            boot_ns: boot_ns(),
            process: ProcessKey { tgid: pid, start_boot_ns: 0 },
            tid: pid,
            cgroup_id: None,
            mnt_ns: None,
            sequence: None,
        }
    }
}

impl AsFd for FileWatch {
    /// Readable when events wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }
}
