//! Whether an open file is the one that the kernel reported, in the state that it reported.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, StatxFlags};
use zastava_common::abi::{FileIdentity, file_flag};

use crate::kernel::sys::handle::Handle;
use crate::kernel::sys::stat::{BTRFS, OVERLAYFS, identity};

use super::reason;

/// What stands behind a descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// `generation` and `fs_magic` are 0 until they are asked for, and where they cannot be had.
    pub(super) file: FileIdentity,
    /// Number of the mount in the mount table.
    pub(super) mount: u64,
}

/// How near the file is to the one reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Likeness {
    /// The same inode in the same state.
    Same,
    /// The same inode with size and modification time as reported, but its status changed since: renamed, linked,
    /// unlinked, chmod, or written with the modification time set back.
    StatusChanged,
    /// The same inode, written since.
    Written,
    /// Another inode.
    Other,
}

impl Sight {
    /// Looks through an `O_PATH` descriptor at a regular file; asks no server and no user-space file system.
    pub(super) fn of(fd: &OwnedFd) -> Result<Self, &'static str> {
        let sight = Self::of_any(fd)?;
        if sight.kind() == FileType::RegularFile { Ok(sight) } else { Err(reason::NOT_REGULAR) }
    }

    /// As [`Sight::of`], at anything.
    pub(super) fn of_any(fd: &OwnedFd) -> Result<Self, &'static str> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let stat = rustix::fs::statx(fd, "", flags, wanted).map_err(|_| reason::READ_FAILED)?;
        Ok(Self { file: identity(&stat, 0, 0), mount: stat.stx_mnt_id })
    }

    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.file.mode)
    }

    /// With the generation, asked of a file system that answers.
    pub(super) fn on(mut self, fd: &OwnedFd, fs_magic: u32) -> Self {
        self.file.fs_magic = fs_magic;
        let handle = Handle::of(fd.as_fd()).ok();
        self.file.generation = handle.and_then(|handle| handle.generation(fs_magic)).unwrap_or(0);
        self
    }

    /// Compares with the identity that the kernel reported.
    ///
    /// An overlay shows the real inode's number, size and times under a device of its own (up to a copy-up, which
    /// then counts as another file); btrfs shows a device for each subvolume while the kernel reports the file
    /// system's. In both the device is not compared, and everything else is.
    pub(super) fn likeness(&self, reported: &FileIdentity) -> Likeness {
        const OVERLAID: u32 = file_flag::OVERLAY | file_flag::OVERLAY_UNRESOLVED;
        let seen = &self.file;
        let through_overlay = reported.flags & OVERLAID != 0 && seen.fs_magic == OVERLAYFS;
        let subvolume = reported.fs_magic == BTRFS && seen.fs_magic == BTRFS;
        if seen.ino != reported.ino || !(seen.dev == reported.dev || through_overlay || subvolume) {
            return Likeness::Other;
        }
        let generations = (seen.generation, reported.generation);
        if !through_overlay && generations.0 != generations.1 && generations.0 != 0 && generations.1 != 0 {
            return Likeness::Other;
        }
        if seen.size != reported.size || seen.mtime_ns != reported.mtime_ns {
            return Likeness::Written;
        }
        if seen.ctime_ns == reported.ctime_ns { Likeness::Same } else { Likeness::StatusChanged }
    }
}

/// Whether reading from such a file system can hang for as long as somebody else likes.
///
/// FUSE servers belong to anybody; network servers go away. The numbers: include/uapi/linux/magic.h.
pub(super) fn may_block(fs_magic: u32) -> bool {
    const FUSE: u32 = 0x6573_5546;
    const NFS: u32 = 0x6969;
    const SMB: u32 = 0x517b;
    const CIFS: u32 = 0xff53_4d42;
    const SMB2: u32 = 0xfe53_4d42;
    const CEPH: u32 = 0x00c3_6400;
    const AFS: u32 = 0x5346_414f;
    const KAFS: u32 = 0x6b41_4653;
    const CODA: u32 = 0x7375_7245;
    matches!(fs_magic, FUSE | NFS | SMB | CIFS | SMB2 | CEPH | AFS | KAFS | CODA)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported() -> FileIdentity {
        FileIdentity {
            ino: 5,
            dev: 7,
            generation: 9,
            size: 11,
            mtime_ns: 13,
            ctime_ns: 17,
            ..FileIdentity::default()
        }
    }

    fn likeness(change: impl FnOnce(&mut FileIdentity)) -> Likeness {
        let mut file = reported();
        change(&mut file);
        Sight { file, mount: 0 }.likeness(&reported())
    }

    #[test]
    fn each_part_of_the_identity_counts() {
        assert_eq!(likeness(|_| ()), Likeness::Same);
        assert_eq!(likeness(|file| file.ino = 6), Likeness::Other);
        assert_eq!(likeness(|file| file.dev = 6), Likeness::Other);
        assert_eq!(likeness(|file| file.generation = 6), Likeness::Other);
        assert_eq!(likeness(|file| file.size = 6), Likeness::Written);
        assert_eq!(likeness(|file| file.mtime_ns = 6), Likeness::Written);
        assert_eq!(likeness(|file| file.ctime_ns = 18), Likeness::StatusChanged);
    }

    #[test]
    fn a_generation_that_nobody_knows_does_not_tell_files_apart() {
        assert_eq!(likeness(|file| file.generation = 0), Likeness::Same);
    }

    #[test]
    fn the_device_is_passed_over_only_for_what_an_overlay_and_btrfs_show() {
        let overlaid = FileIdentity { flags: file_flag::OVERLAY, ..reported() };
        let seen = |fs_magic| {
            let file = FileIdentity { dev: 1, generation: 0, fs_magic, ..reported() };
            Sight { file, mount: 0 }
        };
        assert_eq!(seen(OVERLAYFS).likeness(&overlaid), Likeness::Same);
        assert_eq!(seen(BTRFS).likeness(&overlaid), Likeness::Other);
        assert_eq!(seen(OVERLAYFS).likeness(&reported()), Likeness::Other);
        let on_btrfs = FileIdentity { fs_magic: BTRFS, ..reported() };
        assert_eq!(seen(BTRFS).likeness(&on_btrfs), Likeness::Same);
        assert_eq!(seen(OVERLAYFS).likeness(&on_btrfs), Likeness::Other);
    }
}
