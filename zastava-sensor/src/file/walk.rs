//! Paths of other processes, opened below their roots.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::reason;

/// How a path is walked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Follow symbolic links, below the root. The kernel's own paths have none left.
    pub(super) symlinks: bool,
    /// Only through what the kernel has in its cache: somewhere a file system is mounted that may not answer. A path
    /// that was just executed or mapped is in it.
    pub(super) cached: bool,
}

impl Walk {
    /// Opens `path` below `root` as `O_PATH`: nothing is read, no device or FIFO is touched.
    pub(super) fn open(self, root: &Path, path: &[u8]) -> Result<OwnedFd, &'static str> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, root, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::ACCESS | Errno::PERM => reason::NO_ACCESS,
            _ => reason::PROCESS_GONE,
        })?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let path = OsStr::from_bytes(path);
        rustix::fs::openat2(root, path, flags, Mode::empty(), self.resolve()).map_err(Self::reason)
    }

    fn resolve(self) -> ResolveFlags {
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        resolve.set(ResolveFlags::NO_SYMLINKS, !self.symlinks);
        resolve.set(ResolveFlags::CACHED, self.cached);
        resolve
    }

    fn reason(errno: Errno) -> &'static str {
        match errno {
            Errno::LOOP => reason::SYMLINK,
            // EINVAL: Linux before 5.12 has no RESOLVE_CACHED.
            Errno::AGAIN | Errno::INVAL => reason::WALK_MAY_BLOCK,
            Errno::ACCESS | Errno::PERM => reason::NO_ACCESS,
            _ => reason::FILE_GONE,
        }
    }
}

/// Opens for reading what an `O_PATH` descriptor of a regular file stands for.
pub(super) fn readable(fd: &OwnedFd) -> Result<OwnedFd, &'static str> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::ACCESS | Errno::PERM => reason::NO_ACCESS,
        _ => reason::READ_FAILED,
    })
}
