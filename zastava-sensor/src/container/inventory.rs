//! Which cgroup id has which name.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use hashlink::LruCache;

use super::{Where, description::Description, legacy, named::NamedCgroups, reason, walk};
use crate::kernel::record::{Cgroup, Origin};
use crate::observation::ContainerId;
use crate::process::proc::allowance::Allowance;
use crate::process::proc::cgroupfs::{Cgroupfs, ROOT_ID};
use crate::process::proc::{ProcRoot, cgroup, stat};

/// Cgroups remembered: a node of 250 pods has some 2,000.
pub const DEFAULT_CAPACITY: usize = 16_384;

/// Reads of procfs for cgroups not known, in each second.
const READS_PER_SECOND: u32 = 2_000;

/// Walks through the whole file system for cgroups not known, in each second.
const WALKS_PER_SECOND: u32 = 1;

/// Cgroups by id. Fed by the kernel's mkdir and rmdir records and the walk at start-up; asks procfs and the cgroup
/// file system for what these missed.
#[derive(Debug)]
pub struct CgroupInventory {
    proc: ProcRoot,
    unified: Option<Cgroupfs>,
    known: LruCache<u64, Known>,
    capacity: usize,
    /// A removed cgroup keeps its name for so long, because records of its processes may still be on the way.
    tombstone_ns: u64,
    /// Removed cgroups, the earliest first: when and which.
    tombstones: VecDeque<(u64, u64)>,
    legacy: legacy::LegacyContainers,
    named: NamedCgroups,
    reads: Allowance,
    walks: Allowance,
    counts: Counts,
}

#[derive(Debug)]
struct Known {
    place: Where,
    removed: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Cgroups that no record had announced.
    pub misses: u64,
    pub found_by_process: u64,
    pub found_by_walk: u64,
    /// Misses that were not looked up, because there had been too many.
    pub refused: u64,
    /// Walks that ended at the capacity.
    pub walks_cut: u64,
    /// Existing cgroups forgotten for want of room; they cost a miss when they come again.
    pub evicted: u64,
    /// Removed cgroups forgotten before their time for want of room.
    pub tombstones_cut: u64,
}

impl CgroupInventory {
    /// `unified`: the cgroup v2 file system, where one is to be had ([`Cgroupfs::find`]). `tombstone_ns`: for how long
    /// a removed cgroup keeps its name.
    pub fn new(proc: ProcRoot, unified: Option<Cgroupfs>, capacity: usize, tombstone_ns: u64) -> Self {
        let capacity = capacity.max(2);
        let legacy = legacy::LegacyContainers::new(unified.as_ref());
        Self {
            proc,
            unified,
            // The bound is kept in `insert`, which prefers to forget the removed.
            known: LruCache::new_unbounded(),
            capacity,
            tombstone_ns,
            tombstones: VecDeque::new(),
            legacy,
            named: NamedCgroups::new(),
            reads: Allowance::per_second(READS_PER_SECOND),
            walks: Allowance::per_second(WALKS_PER_SECOND),
            counts: Counts::default(),
        }
    }

    /// Learns the cgroups that exist; to be called once the mkdir records flow, so that none is missed between.
    pub fn scan(&mut self) {
        self.walk();
        self.legacy.scan(self.unified.as_ref(), self.capacity);
    }

    /// A cgroup was made. Returns the container where it is that one's own, not one below it.
    pub fn made(&mut self, made: &Cgroup, boot_ns: u64) -> Option<Arc<ContainerId>> {
        if made.hierarchy != 0 {
            self.legacy.made(&made.path, self.unified.as_ref());
            return None;
        }
        self.expire(boot_ns);
        let place = match self.known.peek(&made.id) {
            // Its rmdir record came first, from another CPU; ids are not used twice.
            Some(known) if known.removed && known.place != Where::Unknown(reason::CGROUP_GONE) => {
                known.place.clone()
            }
            _ => self.insert(made.id, self.named.place(&made.path)),
        };
        own(place, &made.path)
    }

    /// A cgroup was removed. Returns the container as [`Self::made`] does.
    pub fn removed(&mut self, removed: &Cgroup, boot_ns: u64) -> Option<Arc<ContainerId>> {
        if removed.hierarchy != 0 {
            self.legacy.removed(&removed.path);
            return None;
        }
        self.expire(boot_ns);
        let place = match self.known.peek(&removed.id) {
            Some(known) => known.place.clone(),
            None => self.insert(removed.id, self.named.place(&removed.path)),
        };
        self.bury(removed.id, boot_ns);
        own(place, &removed.path)
    }

    /// A runtime says where a container is; counts where the cgroup's name does not.
    pub fn described(&mut self, description: &Description) {
        let Some(path) = self.named.learn(description) else { return };
        // The cgroup may have been there before the runtime spoke.
        let id = self.unified.as_ref().and_then(|unified| unified.id(path.as_bytes()).ok());
        if let Some(id) = id.filter(|id| self.known.peek(id).is_some()) {
            self.insert(id, self.named.place(path.as_bytes()));
        }
    }

    /// A runtime has a container no more: what it named, it does not name any more.
    pub fn forgotten(&mut self, id: &str) {
        self.named.forget(id);
    }

    /// Where a record's process is.
    pub fn place(&mut self, origin: &Origin) -> Where {
        let Some(id) = origin.cgroup_id else { return self.by_process(origin) };
        let place = match self.known.get(&id) {
            Some(known) => known.place.clone(),
            None => self.look_up(id, origin),
        };
        if place == Where::Host && self.legacy.possible() { self.by_process(origin) } else { place }
    }

    /// Cgroups remembered, removed ones included.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn look_up(&mut self, id: u64, origin: &Origin) -> Where {
        if id == ROOT_ID {
            return self.insert(ROOT_ID, Where::Host);
        }
        self.counts.misses += 1;
        self.expire(origin.boot_ns);
        if !self.reads.take(origin.boot_ns) {
            self.counts.refused += 1;
            return Where::Unknown(reason::LOOKUPS_EXHAUSTED);
        }
        let Some(unified) = &self.unified else {
            return self.read(origin).unwrap_or(Where::Unknown(reason::NO_CGROUP2));
        };
        let bytes = self.proc.read(origin.process.tgid, "cgroup", cgroup::LIMIT).unwrap_or_default();
        // The id proves the path, so it does not matter whose process that is by now.
        if let Some(membership) = cgroup::unified(&bytes)
            && unified.id(membership.path).is_ok_and(|found| found == id)
        {
            self.counts.found_by_process += 1;
            return self.insert(id, self.named.place(membership.path));
        }
        if !self.walks.take(origin.boot_ns) {
            self.counts.refused += 1;
            return Where::Unknown(reason::LOOKUPS_EXHAUSTED);
        }
        self.walk();
        if let Some(known) = self.known.get(&id) {
            self.counts.found_by_walk += 1;
            return known.place.clone();
        }
        // Remembered for a while, so that many records of a cgroup that is gone cost one search.
        let gone = self.insert(id, Where::Unknown(reason::CGROUP_GONE));
        self.bury(id, origin.boot_ns);
        gone
    }

    /// By the process's own word, every hierarchy considered.
    fn by_process(&mut self, origin: &Origin) -> Where {
        if !self.reads.take(origin.boot_ns) {
            self.counts.refused += 1;
            return Where::Unknown(reason::LOOKUPS_EXHAUSTED);
        }
        self.read(origin).unwrap_or(Where::Unknown(reason::PROCESS_GONE))
    }

    fn read(&self, origin: &Origin) -> Option<Where> {
        let tgid = origin.process.tgid;
        let bytes = self.proc.read(tgid, "cgroup", cgroup::LIMIT).ok()?;
        // Read afterwards: a process that has the pid now had it before.
        let line = self.proc.read(tgid, "stat", stat::LIMIT).ok()?;
        let start = stat::Stat::parse(&line)?.start_boot_ns();
        origin.process.is_same_start(start).then(|| legacy::by_all_hierarchies(&bytes))?
    }

    fn walk(&mut self) {
        let Some(unified) = self.unified.clone() else { return };
        let walked = walk::walk(unified.root(), self.capacity, |id, path| {
            if self.known.peek(&id).is_none() {
                self.insert(id, self.named.place(path));
            }
        });
        self.counts.walks_cut += u64::from(walked.cut);
    }

    fn insert(&mut self, id: u64, place: Where) -> Where {
        if let Where::Container(container) = &place {
            self.legacy.is_unified(container);
        }
        if self.known.len() >= self.capacity && self.known.peek(&id).is_none() {
            self.make_room();
        }
        self.known.insert(id, Known { place: place.clone(), removed: false });
        place
    }

    fn make_room(&mut self) {
        while let Some((_, id)) = self.tombstones.pop_front() {
            if self.forget(id) {
                self.counts.tombstones_cut += 1;
                return;
            }
        }
        if self.known.remove_lru().is_some() {
            self.counts.evicted += 1;
        }
    }

    fn bury(&mut self, id: u64, boot_ns: u64) {
        let Some(known) = self.known.peek_mut(&id) else { return };
        if known.removed {
            return;
        }
        known.removed = true;
        if self.tombstones.len() >= self.capacity
            && let Some((_, oldest)) = self.tombstones.pop_front()
        {
            self.counts.tombstones_cut += u64::from(self.forget(oldest));
        }
        self.tombstones.push_back((boot_ns, id));
    }

    fn expire(&mut self, boot_ns: u64) {
        while let Some((removed, id)) = self.tombstones.front().copied() {
            if boot_ns.saturating_sub(removed) < self.tombstone_ns {
                return;
            }
            self.tombstones.pop_front();
            self.forget(id);
        }
    }

    /// Forgets a removed cgroup; one that has come to life (its mkdir record came late) stays.
    fn forget(&mut self, id: u64) -> bool {
        self.known.peek(&id).is_some_and(|known| known.removed) && self.known.remove(&id).is_some()
    }
}

/// The container whose own cgroup has this path.
fn own(place: Where, path: &[u8]) -> Option<Arc<ContainerId>> {
    match place {
        Where::Container(container) if container.cgroup.as_bytes() == path => Some(container),
        _ => None,
    }
}
