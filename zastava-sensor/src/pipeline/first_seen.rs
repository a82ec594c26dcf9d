//! Mappings that were told already: a file is told once in each cgroup.
//!
//! In the tiers `trampoline` and `kprobe` the kernel keeps such a set of its own, so that a repetition makes no record;
//! perf tells every mapping, and so does the enumeration at the start.

use hashlink::LruCache;
use zastava_common::abi::FileIdentity;

use crate::kernel::record::{Mapping, Origin};

/// A bounded set; what fell out is told again.
pub(super) struct FirstSeen {
    seen: LruCache<Key, ()>,
    forgotten: u64,
}

#[derive(Eq, Hash, PartialEq)]
struct Key {
    /// `None`: not known.
    cgroup_id: Option<u64>,
    file: File,
    by_protect: bool,
}

#[derive(Eq, Hash, PartialEq)]
enum File {
    Inode {
        dev: u32,
        ino: u64,
        generation: u32,
        /// What is written anew in place is another file.
        ctime_ns: i64,
    },
    /// Where the inode is not known, one file cannot be told from another of its name but by its build-id.
    Named { path: Box<[u8]>, build_id: Option<Box<[u8]>> },
}

impl FirstSeen {
    pub(super) fn new(capacity: usize) -> Self {
        Self { seen: LruCache::new(capacity.max(1)), forgotten: 0 }
    }

    /// Whether this mapping is the first one of its file in its cgroup. The origin must have been completed.
    pub(super) fn is_first(&mut self, origin: &Origin, mapping: &Mapping) -> bool {
        let Mapping { file, path, build_id, by_protect, image: _ } = mapping;
        let file = match *file {
            Some(FileIdentity { dev, ino, generation, ctime_ns, .. }) => {
                File::Inode { dev, ino, generation, ctime_ns }
            }
            None => File::Named {
                path: path.bytes.as_slice().into(),
                build_id: build_id.as_deref().map(Into::into),
            },
        };
        let key = Key { cgroup_id: origin.cgroup_id, file, by_protect: *by_protect };
        if self.seen.get(&key).is_some() {
            return false;
        }
        self.forgotten += u64::from(self.seen.len() == self.seen.capacity());
        self.seen.insert(key, ());
        true
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Files forgotten for want of room.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use zastava_common::abi::Tier;

    use super::*;
    use crate::kernel::record::{KernelPath, ProcessKey};

    fn origin(cgroup_id: u64) -> Origin {
        Origin {
            tier: Tier::Tracepoint,
            boot_ns: 1,
            process: ProcessKey { tgid: 1, start_boot_ns: 1 },
            tid: 1,
            cgroup_id: Some(cgroup_id),
            mnt_ns: None,
            sequence: None,
        }
    }

    fn mapping(path: &str, ino: Option<u64>) -> Mapping {
        Mapping {
            file: ino.map(|ino| FileIdentity { ino, ..FileIdentity::default() }),
            image: 0,
            path: KernelPath { bytes: path.into(), truncated: false },
            build_id: None,
            by_protect: false,
        }
    }

    #[test]
    fn a_file_is_told_once_in_each_cgroup() {
        let mut told = FirstSeen::new(10);
        assert!(told.is_first(&origin(1), &mapping("/a", Some(7))));
        // Another name of the same file.
        assert!(!told.is_first(&origin(1), &mapping("/b", Some(7))));
        assert!(told.is_first(&origin(2), &mapping("/a", Some(7))));
        assert!(told.is_first(&origin(1), &Mapping { by_protect: true, ..mapping("/a", Some(7)) }));
    }

    #[test]
    fn a_file_that_changed_is_told_again() {
        let mut told = FirstSeen::new(10);
        let before = mapping("/a", Some(7));
        let file = before.file.map(|file| FileIdentity { ctime_ns: 1, ..file });
        assert!(told.is_first(&origin(1), &before));
        assert!(told.is_first(&origin(1), &Mapping { file, ..before }));
    }

    #[test]
    fn without_inodes_the_name_and_the_build_id_tell_files_apart() {
        let mut told = FirstSeen::new(10);
        assert!(told.is_first(&origin(1), &mapping("/a", None)));
        assert!(!told.is_first(&origin(1), &mapping("/a", None)));
        assert!(told.is_first(&origin(1), &Mapping { build_id: Some(vec![1]), ..mapping("/a", None) }));
    }

    #[test]
    fn the_set_forgets_what_was_not_mapped_for_longest() {
        let mut told = FirstSeen::new(2);
        for ino in [1, 2, 1, 3] {
            told.is_first(&origin(1), &mapping("/a", Some(ino)));
        }
        assert_eq!((told.len(), told.forgotten()), (2, 1));
        assert!(!told.is_first(&origin(1), &mapping("/a", Some(1))));
        assert!(told.is_first(&origin(1), &mapping("/a", Some(2))));
    }
}
