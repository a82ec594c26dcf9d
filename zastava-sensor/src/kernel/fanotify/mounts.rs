//! Which file systems to watch: one mount of each that can hold programs.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::process::proc::mountinfo::{Line, mounts, unescape};

/// A mount point of a file system.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Mount {
    /// Major and minor number of the file system.
    pub(super) device: (u32, u32),
    pub(super) point: PathBuf,
    pub(super) fs_type: String,
    /// The file system's own root is mounted here, so that every directory of it has a path.
    pub(super) whole: bool,
}

/// File systems on which files are made that run. Not those of the kernel (proc, sysfs, cgroup), which hold no
/// programs, nor those of a network or of user space (nfs, fuse), where a look-up can hang.
const WATCHED: [&[u8]; 13] = [
    b"bcachefs",
    b"btrfs",
    b"devtmpfs",
    b"exfat",
    b"ext2",
    b"ext3",
    b"ext4",
    b"f2fs",
    b"overlay",
    b"tmpfs",
    b"vfat",
    b"xfs",
    b"zfs",
];

/// The mounts to watch among those of a mount table: one for each device, at most `most`. Also how many mounts found
/// no room.
pub(super) fn to_watch(mountinfo: &[u8], most: usize) -> (Vec<Mount>, usize) {
    // The last mount on a point hides those before it.
    let last: HashMap<_, _> = mounts(mountinfo).map(|line| (line.point, line.id)).collect();
    let seen = mounts(mountinfo).filter(|line| last[line.point] == line.id);
    let mut chosen: Vec<Mount> = Vec::new();
    let mut beyond = 0;
    for line in seen.filter(|line| WATCHED.contains(&line.fs_type)) {
        let mount = mount(&line);
        match chosen.iter().position(|known| known.device == mount.device) {
            Some(known) if mount.whole || !chosen[known].whole => chosen[known] = mount,
            Some(_) => {}
            None if chosen.len() < most => chosen.push(mount),
            None => beyond += 1,
        }
    }
    (chosen, beyond)
}

fn mount(line: &Line<'_>) -> Mount {
    Mount {
        device: (line.major, line.minor),
        point: PathBuf::from(OsString::from_vec(unescape(line.point).into_owned())),
        fs_type: String::from_utf8_lossy(line.fs_type).into_owned(),
        whole: line.root == b"/",
    }
}
