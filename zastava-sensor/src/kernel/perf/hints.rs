//! Build-ids by (process, path, time), for tiers whose hooks name the file but cannot read its notes.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use hashlink::LinkedHashMap;

use super::record::{BuildId, Kind, Record, strip_deleted};

/// The newest executable mappings of the machine, a fixed number of them.
#[derive(Debug)]
pub struct BuildIdHints {
    recent: LinkedHashMap<Key, Hint>,
    capacity: usize,
    /// Keyed at random for each sensor: a container cannot make two paths collide.
    hasher: RandomState,
    dropped_unused: u64,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Key {
    tgid: u32,
    path_len: u32,
    path_hash: u64,
}

#[derive(Clone, Copy, Debug)]
struct Hint {
    time: u64,
    build_id: BuildId,
    used: bool,
}

/// A mapping and the record that asks for its build-id are microseconds apart, or a scheduler's delay on a full machine.
const WINDOW_NS: u64 = 1_000_000_000;

impl BuildIdHints {
    /// Room for `capacity` mappings (64 bytes or so each).
    pub fn new(capacity: usize) -> Self {
        let recent = LinkedHashMap::with_capacity(capacity);
        Self { recent, capacity, hasher: RandomState::new(), dropped_unused: 0 }
    }

    /// Remembers an executable mapping that has a build-id; any other record is no business of this.
    pub fn learn(&mut self, record: &Record<'_>) {
        let Kind::Mmap(mmap) = &record.kind else { return };
        let Some(build_id) = mmap.build_id.filter(|_| mmap.is_executable_file()) else { return };
        let key = self.key(record.pid, &mmap.path);
        self.recent.insert(key, Hint { time: record.time, build_id, used: false });
        while self.recent.len() > self.capacity {
            if let Some((_, hint)) = self.recent.pop_front() {
                self.dropped_unused += u64::from(!hint.used);
            }
        }
    }

    /// The build-id of what `tgid` mapped from `path` within a second of `boot_ns`.
    ///
    /// At exec the program's mapping comes first; at a library's mapping the hook may run before the record is made.
    pub fn look_up(&mut self, tgid: u32, path: &[u8], boot_ns: u64) -> Option<BuildId> {
        let key = self.key(tgid, path);
        let hint = self.recent.get_mut(&key).filter(|hint| hint.time.abs_diff(boot_ns) <= WINDOW_NS)?;
        hint.used = true;
        Some(hint.build_id)
    }

    /// Hints that made room for newer ones and were never asked for: a hint that comes too late for its question
    /// counts here, so does every repeated mapping.
    pub fn dropped_unused(&self) -> u64 {
        self.dropped_unused
    }

    /// An unlinked file has a mark behind its name here and none in a hook's record; a memfd's name has a `/` before
    /// it here and may have none there.
    fn key(&self, tgid: u32, path: &[u8]) -> Key {
        let path = strip_deleted(path);
        let path = path.strip_prefix(b"/").unwrap_or(path);
        Key { tgid, path_len: path.len() as u32, path_hash: self.hasher.hash_one(path) }
    }
}
