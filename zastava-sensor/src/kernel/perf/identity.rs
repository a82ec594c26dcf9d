//! A mapping's record names device, inode and generation; size and times are asked of the file itself, if it can still
//! be found, and believed only if it is that very inode.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use zastava_common::abi::{FileIdentity, file_flag};

use crate::kernel::sys::stat::{Magics, TMPFS, identity, kernel_dev, statx_cached};

use super::record::Mmap;

#[derive(Debug)]
pub(super) struct Identities {
    proc_root: PathBuf,
    magics: Magics,
}

impl Identities {
    pub(super) fn new(proc_root: &Path) -> Self {
        Self { proc_root: proc_root.to_path_buf(), magics: Magics::new() }
    }

    /// The whole identity of a mapped file: by the mapping itself, else by its path in the process's root, else in
    /// ours. `None`: the record has no inode, the file is gone, or `stat` names another device than the kernel does
    /// (btrfs, overlayfs before 6.8).
    pub(super) fn of(&mut self, pid: u32, mmap: &Mmap<'_>) -> Option<FileIdentity> {
        let inode = mmap.inode?;
        let process = self.proc_root.join(pid.to_string());
        let range = format!("map_files/{:x}-{:x}", mmap.addr, mmap.addr.checked_add(mmap.len)?);
        let name = Path::new(OsStr::from_bytes(mmap.name()));
        let below = name.strip_prefix("/").ok()?;
        let places = [process.join(range), process.join("root").join(below), name.to_path_buf()];
        let dev = kernel_dev(inode.major, inode.minor);
        places.into_iter().find_map(|place| {
            let stat = statx_cached(&place).ok()?;
            if stat.stx_ino != inode.ino || kernel_dev(stat.stx_dev_major, stat.stx_dev_minor) != dev {
                return None;
            }
            let magic = self.magics.of(dev, || rustix::fs::statfs(&place));
            let mut identity = identity(&stat, inode.generation as u32, magic); // i_generation has 32 bits
            if magic == TMPFS && mmap.path.starts_with(b"/memfd:") {
                identity.flags |= file_flag::INTERNAL_MOUNT;
            }
            Some(identity)
        })
    }
}
