//! The cgroup v2 file system: where it is mounted, and which id a path has.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{ProcRoot, mountinfo};

/// Inode number, and so id, of the root cgroup (fs/kernfs/dir.c hands out numbers from 1).
pub const ROOT_ID: u64 = 1;

#[derive(Debug, Error)]
pub enum MountError {
    #[error("cannot read {path}: {source}; is procfs mounted there?")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "no cgroup2 file system with the host's root in it is mounted here (tried {tried}); mount the host's /sys/fs/cgroup, or share the host's cgroup and pid namespaces"
    )]
    NotFound { tried: usize },
}

/// Mount points of the v1 hierarchies, as the sensor sees them; none where it cannot look.
pub fn v1_mounts() -> Vec<PathBuf> {
    let bytes = super::read_capped(Path::new("/proc/self/mountinfo"), mountinfo::LIMIT).unwrap_or_default();
    mountinfo::mounts(&bytes)
        .filter(|mount| mount.fs_type == b"cgroup" && mount.root == b"/")
        .map(|mount| Path::new("/").join(relative(&mountinfo::unescape(mount.point))))
        .collect()
}

/// A cgroup2 mount whose root directory is the host's root cgroup.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cgroupfs {
    root: PathBuf,
}

impl Cgroupfs {
    /// Looks in the mounts of the sensor itself, then in those of the host's first process.
    pub fn find(proc: &ProcRoot) -> Result<Self, MountError> {
        let mut tried = 0;
        let own = PathBuf::from("/proc/self/mountinfo");
        let host = proc.entry(1, "mountinfo");
        let host_root = proc.entry(1, "root");
        for (source, below, needed) in [(own, PathBuf::from("/"), true), (host, host_root, false)] {
            let bytes = match super::read_capped(&source, mountinfo::LIMIT) {
                Ok(bytes) => bytes,
                Err(source_error) if needed => {
                    return Err(MountError::Unreadable { path: source, source: source_error });
                }
                Err(_) => continue,
            };
            for mount in mountinfo::mounts(&bytes).filter(|mount| mount.fs_type == b"cgroup2") {
                tried += 1;
                let point = mountinfo::unescape(mount.point);
                let root = below.join(relative(&point));
                // In a cgroup namespace or a bind mount of a part, the root directory is another cgroup.
                if fs::metadata(&root).is_ok_and(|directory| directory.ino() == ROOT_ID) {
                    return Ok(Self { root });
                }
            }
        }
        Err(MountError::NotFound { tried })
    }

    /// A directory taken as the mount without looking.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The id of a cgroup by its path from the root: the inode number of its directory.
    pub fn id(&self, path: &[u8]) -> io::Result<u64> {
        if path.split(|byte| *byte == b'/').any(|component| component == b"..") {
            // Seen from a cgroup namespace: it would lead out of the mount.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        fs::symlink_metadata(self.root.join(relative(path))).map(|directory| directory.ino())
    }
}

fn relative(path: &[u8]) -> &Path {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    Path::new(OsStr::from_bytes(&path[start..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_this_machine_is_found_and_its_root_has_the_first_id() {
        match Cgroupfs::find(&ProcRoot::default()) {
            Ok(found) => assert_eq!(found.id(b"/").unwrap(), ROOT_ID),
            Err(error) => eprintln!("skipped: {error}"),
        }
    }

    #[test]
    fn a_path_cannot_lead_out_of_the_mount() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("inside")).unwrap();
        let mount = Cgroupfs::at(directory.path().join("inside"));
        assert!(mount.id(b"/").is_ok());
        assert_eq!(mount.id(b"/../inside").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(mount.id(b"//..").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
