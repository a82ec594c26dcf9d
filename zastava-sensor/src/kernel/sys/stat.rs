//! From `statx(2)` to the identity that the kernel programs report.

use std::path::Path;

use hashlink::LruCache;
use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, StatxTimestamp};
use zastava_common::abi::{FileIdentity, file_flag};

/// `OVERLAYFS_SUPER_MAGIC` (include/uapi/linux/magic.h).
pub const OVERLAYFS: u32 = 0x794c_7630;
/// `TMPFS_MAGIC`.
pub const TMPFS: u32 = 0x0102_1994;
/// `BTRFS_SUPER_MAGIC`.
pub const BTRFS: u32 = 0x9123_683e;
/// `XFS_SUPER_MAGIC`.
pub const XFS: u32 = 0x5846_5342;

/// `super_block.s_dev` in the kernel's own encoding.
pub fn kernel_dev(major: u32, minor: u32) -> u32 {
    major << 20 | minor & 0xf_ffff
}

/// What `statx` tells of a file, with what it does not tell given beside it.
pub fn identity(stat: &Statx, generation: u32, fs_magic: u32) -> FileIdentity {
    FileIdentity {
        ino: stat.stx_ino,
        dev: kernel_dev(stat.stx_dev_major, stat.stx_dev_minor),
        generation,
        size: stat.stx_size,
        mtime_ns: nanoseconds(&stat.stx_mtime),
        ctime_ns: nanoseconds(&stat.stx_ctime),
        fs_magic,
        nlink: stat.stx_nlink,
        mode: u32::from(stat.stx_mode),
        flags: if fs_magic == OVERLAYFS { file_flag::OVERLAY | file_flag::OVERLAY_UNRESOLVED } else { 0 },
    }
}

/// `statx` of what `path` leads to, without asking a network server and without mounting anything.
pub fn statx_cached(path: &Path) -> rustix::io::Result<Statx> {
    rustix::fs::statx(CWD, path, AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS)
}

fn nanoseconds(time: &StatxTimestamp) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(time.tv_nsec))
}

/// `s_magic` by device: one `statfs` for each file system.
#[derive(Debug)]
pub struct Magics(LruCache<u32, u32>);

impl Magics {
    pub fn new() -> Self {
        const FILE_SYSTEMS: usize = 1024;
        Self(LruCache::new(FILE_SYSTEMS))
    }

    /// The magic number of `dev`, asked by `ask` the first time; 0 where it cannot be had.
    pub fn of(&mut self, dev: u32, ask: impl FnOnce() -> rustix::io::Result<rustix::fs::StatFs>) -> u32 {
        if let Some(magic) = self.0.get(&dev) {
            return *magic;
        }
        // The low 32 bits, as in `FileIdentity::fs_magic`.
        let Ok(magic) = ask().map(|stat| stat.f_type.cast_unsigned() as u32) else { return 0 };
        self.0.insert(dev, magic);
        magic
    }
}

impl Default for Magics {
    fn default() -> Self {
        Self::new()
    }
}
