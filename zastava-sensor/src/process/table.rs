//! Processes by pid: the live ones, and the images that are no more for as long as records of them may come.

mod lineage;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hashlink::LruCache;

use super::describe;
use super::proc::ProcRoot;
use super::proc::allowance::Allowance;
use super::proc::cgroupfs::Cgroupfs;
use super::running::{Running, Unread, Whereabouts};
use crate::kernel::record::{Exec, Exit, Origin, ProcessKey};
use crate::observation::{AncestorName, Process};
use lineage::below;

/// For so many live processes, one image that ended is kept: by exit, or by another exec of the same process. Records
/// come in the order of their times, so one that asks for it is not far behind.
const LIVE_FOR_ONE_PAST: usize = 16;
/// Of a small table too.
const LEAST_PAST: usize = 256;

/// Processes asked of procfs in each second.
const READS_PER_SECOND: u32 = 2_000;

/// A record without a start time may be told so long after the end of its process: fanotify's has the time at which it
/// was read. The kernel hands out all other pids before it uses one again.
const LATE_NS: u64 = 1_000_000_000;

/// One entry for each pid, as one process at a time has it.
#[derive(Debug)]
pub struct ProcessTable {
    proc: ProcRoot,
    unified: Option<Cgroupfs>,
    capacity: usize,
    live: LruCache<u32, Image>,
    /// The latest ended image of each pid.
    past: LruCache<u32, Past>,
    reads: Allowance,
    counts: Counts,
}

/// A process between two execs.
#[derive(Clone, Debug)]
struct Image {
    process: Arc<Process>,
    source: Source,
    /// [`Exec::image`].
    number: u64,
    since_boot_ns: u64,
    cgroup_id: Option<u64>,
    mnt_ns: Option<u32>,
    /// The ancestors of its latest child: mostly those of the next one too.
    lineage: Option<Arc<[AncestorName]>>,
}

#[derive(Debug)]
struct Past {
    image: Image,
    until_boot_ns: u64,
}

/// How a process came to be known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// Its exec was reported.
    Exec,
    /// It ran before the sensor looked.
    Existing,
    /// No exec of it was reported (it forked and went on, or the record was lost): procfs was asked.
    Asked,
    /// It forked and ended without an exec: its parent's program, the name is its own.
    Parent,
}

#[derive(Clone, Debug)]
pub struct Found {
    pub process: Arc<Process>,
    pub source: Source,
}

#[derive(Clone, Debug)]
pub struct Exited {
    pub found: Option<Found>,
    /// From the start of the process; `None` where no source told it.
    pub duration_ns: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Live processes forgotten for want of room.
    pub evicted: u64,
    /// Pids in use again whose earlier process never reported its exit.
    pub missed_exits: u64,
    /// Processes that ran before the sensor looked and had reported themselves in between.
    pub duplicates: u64,
    /// Processes learned from procfs in between.
    pub asked: u64,
    /// Processes that procfs did not know any more.
    pub gone: u64,
    /// Processes not asked for, because there had been too many.
    pub refused: u64,
}

impl ProcessTable {
    /// `capacity`: live processes. `unified`: the cgroup v2 file system, for tiers that do not tell the cgroup.
    pub fn new(proc: ProcRoot, unified: Option<Cgroupfs>, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            proc,
            unified,
            capacity,
            live: LruCache::new(capacity),
            past: LruCache::new((capacity / LIVE_FOR_ONE_PAST).max(LEAST_PAST)),
            reads: Allowance::per_second(READS_PER_SECOND),
            counts: Counts::default(),
        }
    }

    /// A process runs a new program. Completes the record's origin where its tier could not.
    ///
    /// `None`: the record is of a process that existed at start-up ([`Exec::existing`]), and that has reported itself
    /// already. Its mappings have been reported too.
    pub fn exec(&mut self, origin: &mut Origin, exec: &Exec, diagnostics: bool) -> Option<Arc<Process>> {
        let tgid = origin.process.tgid;
        if exec.existing && self.has_reported(origin.process) {
            self.counts.duplicates += 1;
            return None;
        }
        self.end_image(origin);
        self.complete(origin);
        let ancestors = self.ancestors(origin.process, exec);
        let process = Arc::new(describe::process(origin.process, exec, ancestors, diagnostics));
        let image = Image {
            process: Arc::clone(&process),
            source: if exec.existing { Source::Existing } else { Source::Exec },
            number: exec.image,
            since_boot_ns: origin.boot_ns,
            cgroup_id: origin.cgroup_id,
            mnt_ns: origin.mnt_ns,
            lineage: None,
        };
        self.insert(tgid, image);
        Some(process)
    }

    /// A process ended.
    pub fn exit(&mut self, origin: &mut Origin, exit: &Exit) -> Exited {
        let tgid = origin.process.tgid;
        let found = if self.live.peek(&tgid).is_some_and(|image| is_of(image, origin.process)) {
            self.live.remove(&tgid).map(|image| {
                adopt(origin, &image);
                self.retire(image, origin.boot_ns)
            })
        } else if let Some(past) = self.past.peek(&tgid).filter(|past| is_past(past, origin)) {
            adopt(origin, &past.image);
            Some(found(&past.image))
        } else {
            self.of_parent(origin, exit).map(|image| self.retire(image, origin.boot_ns))
        };
        let start = origin.process.start_boot_ns;
        let duration_ns = (start != 0).then(|| origin.boot_ns.saturating_sub(start));
        Exited { found, duration_ns }
    }

    /// The process of any other record. Completes the record's origin where its tier could not.
    ///
    /// `image`: the record's image number, 0 where it has none. `None`: no exec of the process was reported, and it
    /// was gone when procfs was asked, or too many had been asked for (see [`Counts`]).
    pub fn look_up(&mut self, origin: &mut Origin, image: u64) -> Option<Found> {
        let tgid = origin.process.tgid;
        let past = self.past.peek(&tgid).filter(|past| is_past(past, origin));
        if let Some(live) = self.live.get(&tgid).filter(|live| is_of(live, origin.process)) {
            let chosen = past.map(|past| &past.image).filter(|past| {
                if image != 0 && live.number != 0 {
                    past.number == image && live.number != image
                } else {
                    origin.boot_ns < live.since_boot_ns
                }
            });
            let chosen = chosen.unwrap_or(live);
            adopt(origin, chosen);
            return Some(found(chosen));
        }
        if let Some(past) = past {
            adopt(origin, &past.image);
            return Some(found(&past.image));
        }
        if let Some(past) = self.past.peek(&tgid).filter(|past| has_just_ended(past, origin)) {
            adopt(origin, &past.image);
            return Some(found(&past.image));
        }
        self.ask(origin)
    }

    /// Live processes remembered.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether the process's own records, not procfs alone, have told of it.
    fn has_reported(&self, key: ProcessKey) -> bool {
        let told =
            |image: &Image| matches!(image.source, Source::Exec | Source::Existing) && is_of(image, key);
        self.live.peek(&key.tgid).is_some_and(told)
            || self.past.peek(&key.tgid).is_some_and(|past| told(&past.image))
    }

    /// What the pid ran until now is no more: the process calls exec again, or it is another process.
    fn end_image(&mut self, origin: &mut Origin) {
        let tgid = origin.process.tgid;
        let Some(image) = self.live.remove(&tgid) else { return };
        if is_of(&image, origin.process) {
            // The process is the same, so its start is; where it is may have changed in between.
            if origin.process.start_boot_ns == 0 {
                origin.process.start_boot_ns = image.process.key.start_boot_ns;
            }
        } else {
            self.counts.missed_exits += 1;
        }
        self.retire(image, origin.boot_ns);
    }

    fn retire(&mut self, image: Image, until_boot_ns: u64) -> Found {
        let found = found(&image);
        self.past.insert(image.process.key.tgid, Past { image, until_boot_ns });
        found
    }

    fn insert(&mut self, tgid: u32, image: Image) {
        if self.live.len() >= self.capacity && self.live.peek(&tgid).is_none() {
            self.counts.evicted += 1;
        }
        self.live.insert(tgid, image);
    }

    /// Asks procfs for what the record's tier does not tell; what it cannot tell either stays unknown.
    fn complete(&mut self, origin: &mut Origin) {
        let whole =
            origin.process.start_boot_ns != 0 && origin.cgroup_id.is_some() && origin.mnt_ns.is_some();
        if whole || !self.may_ask(origin.boot_ns) {
            return;
        }
        let asked = Whereabouts::of(&self.proc, self.unified.as_ref(), origin.process);
        // A start after the record is that of another process which has the pid by now.
        let Some((whereabouts, start)) = asked.filter(|(_, start)| *start <= origin.boot_ns) else {
            self.counts.gone += 1;
            return;
        };
        self.counts.asked += 1;
        if origin.process.start_boot_ns == 0 {
            origin.process.start_boot_ns = start;
        }
        origin.cgroup_id = origin.cgroup_id.or(whereabouts.cgroup_id);
        origin.mnt_ns = origin.mnt_ns.or(whereabouts.mnt_ns);
    }

    /// A process that no record told of.
    fn ask(&mut self, origin: &mut Origin) -> Option<Found> {
        if !self.may_ask(origin.boot_ns) {
            return None;
        }
        let read = Running::read(&self.proc, self.unified.as_ref(), origin.process.tgid);
        let Running { key, exec, cgroup_id, mnt_ns } = match read {
            Ok(running)
                if origin.process.is_same_start(running.key.start_boot_ns)
                    && running.key.start_boot_ns <= origin.boot_ns =>
            {
                running
            }
            Ok(_) | Err(Unread::Gone | Unread::KernelThread) => {
                self.counts.gone += 1;
                return None;
            }
            Err(Unread::Refused(error)) => {
                tracing::debug!(tgid = origin.process.tgid, %error, "a process could not be read");
                self.counts.gone += 1;
                return None;
            }
        };
        self.counts.asked += 1;
        if origin.process.start_boot_ns == 0 {
            origin.process = key;
        }
        let ancestors = self.ancestors(origin.process, &exec);
        let process = describe::process(origin.process, &Exec { existing: false, ..exec }, ancestors, false);
        // Its number is not known: no record with another one is of an earlier image that the table knows.
        let image = Image {
            process: Arc::new(process),
            source: Source::Asked,
            number: 0,
            since_boot_ns: origin.boot_ns,
            cgroup_id: origin.cgroup_id.or(cgroup_id),
            mnt_ns: origin.mnt_ns.or(mnt_ns),
            lineage: None,
        };
        adopt(origin, &image);
        let found = found(&image);
        self.insert(origin.process.tgid, image);
        Some(found)
    }

    fn may_ask(&mut self, boot_ns: u64) -> bool {
        let may = self.reads.take(boot_ns);
        self.counts.refused += u64::from(!may);
        may
    }

    /// A process that forked and ended without exec: it ran its parent's program.
    fn of_parent(&self, origin: &mut Origin, exit: &Exit) -> Option<Image> {
        let parent = self.any(exit.ppid).filter(|parent| started_before(parent, origin.process))?;
        let process = Process {
            key: origin.process,
            ppid: exit.ppid,
            comm: describe::text(&exit.comm),
            argv: None,
            ancestors: below(&parent.process),
            existing: false,
            ..Process::clone(&parent.process)
        };
        // Where it was is its own; a record that does not tell leaves it unknown.
        Some(Image {
            process: Arc::new(process),
            source: Source::Parent,
            number: 0,
            since_boot_ns: origin.process.start_boot_ns,
            cgroup_id: origin.cgroup_id,
            mnt_ns: origin.mnt_ns,
            lineage: None,
        })
    }

    fn any(&self, tgid: u32) -> Option<&Image> {
        self.live.peek(&tgid).or_else(|| self.past.peek(&tgid).map(|past| &past.image))
    }
}

fn is_of(image: &Image, key: ProcessKey) -> bool {
    image.process.key.is_same_start(key.start_boot_ns)
}

/// Whether a record may be of an image that ended: without a start time, it must be older than the end.
fn is_past(past: &Past, origin: &Origin) -> bool {
    is_of(&past.image, origin.process)
        && (origin.process.start_boot_ns != 0 || origin.boot_ns <= past.until_boot_ns)
}

fn has_just_ended(past: &Past, origin: &Origin) -> bool {
    is_of(&past.image, origin.process) && origin.boot_ns.saturating_sub(past.until_boot_ns) <= LATE_NS
}

fn started_before(parent: &Image, child: ProcessKey) -> bool {
    let parent = parent.process.key.start_boot_ns;
    parent == 0 || child.start_boot_ns == 0 || parent <= child.start_boot_ns
}

fn found(image: &Image) -> Found {
    Found { process: Arc::clone(&image.process), source: image.source }
}

/// Gives a record what is known of its process.
fn adopt(origin: &mut Origin, image: &Image) {
    if origin.process.start_boot_ns == 0 {
        origin.process.start_boot_ns = image.process.key.start_boot_ns;
    }
    origin.cgroup_id = origin.cgroup_id.or(image.cgroup_id);
    origin.mnt_ns = origin.mnt_ns.or(image.mnt_ns);
}
