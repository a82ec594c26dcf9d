//! The cgroups that exist, from their file system.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Walked {
    pub(super) directories: usize,
    /// There were more than the limit.
    pub(super) cut: bool,
}

/// Calls `each` with the id (the directory's inode number) and the path of every cgroup below the root of a mount;
/// of not more than `limit`. What vanishes on the way is passed over.
pub(super) fn walk(mount: &Path, limit: usize, mut each: impl FnMut(u64, &[u8])) -> Walked {
    let mut walked = Walked::default();
    // Relative to the mount.
    let mut waiting = vec![PathBuf::new()];
    while let Some(parent) = waiting.pop() {
        let Ok(entries) = fs::read_dir(mount.join(&parent)) else { continue };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if walked.directories == limit {
                walked.cut = true;
                return walked;
            }
            walked.directories += 1;
            let path = parent.join(entry.file_name());
            each(entry.ino(), &[b"/", path.as_os_str().as_bytes()].concat());
            waiting.push(path);
        }
    }
    walked
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn every_directory_is_told_with_its_inode_and_its_path() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::create_dir(root.path().join("c")).unwrap();
        fs::write(root.path().join("a/cgroup.procs"), "").unwrap();
        let mut found = Vec::new();
        let walked = walk(root.path(), 10, |id, path| found.push((path.to_vec(), id)));
        found.sort();
        let expected = ["/a", "/a/b", "/c"].map(|path| {
            (path.as_bytes().to_vec(), fs::metadata(root.path().join(&path[1..])).unwrap().ino())
        });
        assert_eq!(found, expected);
        assert_eq!(walked, Walked { directories: 3, cut: false });
    }

    #[test]
    fn a_walk_ends_at_its_limit_and_says_so() {
        let root = tempfile::tempdir().unwrap();
        for name in 0..5 {
            fs::create_dir(root.path().join(name.to_string())).unwrap();
        }
        assert_eq!(walk(root.path(), 3, |_, _| {}), Walked { directories: 3, cut: true });
    }

    #[test]
    fn a_mount_that_is_not_there_has_no_cgroups() {
        assert_eq!(walk(Path::new("/nonexistent"), 3, |_, _| {}), Walked::default());
    }
}
