//! From handles to open files and paths.
//!
//! An open file of a mount keeps it from being unmounted: nothing here outlives the reading of one buffer.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags};

use crate::kernel::sys::handle::Handle;

use super::event::{Entry, Event, Fsid};

/// A mount point of each watched file system, from the sensor's own root.
pub(super) type Points = HashMap<Fsid, PathBuf>;

/// What one buffer of events names, while it is looked at.
#[derive(Debug)]
pub(super) struct Places<'a> {
    points: &'a Points,
    mounts: HashMap<Fsid, Option<OwnedFd>>,
    directories: HashMap<(Fsid, Handle), Option<Directory>>,
}

#[derive(Debug)]
struct Directory {
    fd: OwnedFd,
    path: Vec<u8>,
}

/// A file that an event names, open as `O_PATH`.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) fd: OwnedFd,
    pub(super) stat: Statx,
    /// As the event named it, below the root of whose mount it was found by.
    pub(super) path: Vec<u8>,
}

/// Directories of one buffer that are kept open.
const MOST_DIRECTORIES: usize = 64;

impl<'a> Places<'a> {
    pub(super) fn new(points: &'a Points) -> Self {
        Self { points, mounts: HashMap::new(), directories: HashMap::new() }
    }

    /// `None`: the file or its directory is gone, or the file system is none of ours.
    pub(super) fn find(&mut self, event: &Event<'_>, entry: &Entry<'_>) -> Option<Found> {
        let Directory { fd: directory, path } = self.directory(entry)?;
        let mut path = path.clone();
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(entry.name);
        let fd = if let Some((_, handle)) = &event.object {
            handle.open(self.mount(entry.fsid)?.as_fd(), OFlags::PATH).ok()?
        } else {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(directory, OsStr::from_bytes(entry.name), flags, Mode::empty()).ok()?
        };
        let stat = rustix::fs::statx(&fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).ok()?;
        Some(Found { fd, stat, path })
    }

    fn directory(&mut self, entry: &Entry<'_>) -> Option<&Directory> {
        let key = (entry.fsid, entry.directory);
        if !self.directories.contains_key(&key) {
            if self.directories.len() == MOST_DIRECTORIES {
                self.directories.clear();
            }
            let opened = self.open_directory(entry);
            self.directories.insert(key, opened);
        }
        self.directories.get(&key)?.as_ref()
    }

    fn open_directory(&mut self, entry: &Entry<'_>) -> Option<Directory> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let fd = entry.directory.open(self.mount(entry.fsid)?.as_fd(), flags).ok()?;
        let path = path_of(&fd).ok()?;
        Some(Directory { fd, path })
    }

    fn mount(&mut self, fsid: Fsid) -> Option<&OwnedFd> {
        let points = self.points;
        self.mounts
            .entry(fsid)
            .or_insert_with(|| points.get(&fsid).and_then(|point| open_mount(point).ok()))
            .as_ref()
            .filter(|mount| fsid_of(mount).is_ok_and(|now| now == fsid))
    }
}

pub(super) fn open_mount(point: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, point, flags, Mode::empty())
}

pub(super) fn fsid_of(file: &OwnedFd) -> rustix::io::Result<Fsid> {
    // statvfs puts the two words of `f_fsid` side by side, the first one low.
    Ok(rustix::fs::fstatvfs(file)?.f_fsid.to_le_bytes())
}

/// The path that an open file has now.
pub(super) fn path_of(file: &OwnedFd) -> io::Result<Vec<u8>> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(link.into_os_string().into_encoded_bytes())
}

/// Whether the kernel would take a regular file's first bytes for a program's: ELF or `#!`.
///
/// The file is opened anew through its descriptor: regular files only, so that nothing blocks and no device is touched.
pub(super) fn looks_like_a_program(file: &OwnedFd) -> bool {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(readable) = rustix::fs::openat(CWD, path, flags, Mode::empty()) else { return false };
    let mut head = [0; 4];
    let Ok(read) = rustix::io::pread(readable, &mut head, 0) else { return false };
    head[..read].starts_with(b"\x7fELF") || head[..read].starts_with(b"#!")
}
