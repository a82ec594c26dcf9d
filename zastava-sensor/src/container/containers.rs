//! Containers: the kernel's word joined with the runtime's.
//!
//! The cgroup says *which* container an observation is of; the runtime says what that one is called. Where it has not said
//! so yet, the observation waits for it, for a bounded time, in a bounded room. From what both tell follow a
//! container's start and its end, each told once for each of its lives. See docs/containers.md.
//!
//! Times are `CLOCK_BOOTTIME` in nanoseconds and come from outside; nothing here asks the machine.

mod counts;
mod deadlines;
mod engines;
mod entry;
mod life;
mod list;
mod room;
mod shared;
mod sums;
mod table;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use zastava_common::abi::Tier;

pub use self::{
    counts::Counts,
    list::{Listed, State},
    sums::Origins,
};
use self::{entry::Entry, shared::Shared, table::Table};
use super::{
    Where, reason,
    runtime::{Ask, News},
};
use crate::{
    kernel::record::Origin,
    observation::{Artifact, Container, ContainerId, Fact, Known, Observation, Place, Process},
};

/// Bounds and times.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long an observation waits for its container to be described.
    pub hold_ns: u64,
    pub hold_events: usize,
    pub hold_bytes: usize,
    /// How long a container that is gone is remembered.
    pub tombstone_ns: u64,
    /// Containers in mind, gone ones included.
    pub entries: usize,
    /// From a container's first exec to its start being told.
    pub settle_ns: u64,
    /// Libraries named with a start; `None`: none are.
    pub max_libs: Option<usize>,
    /// Runtimes are asked.
    pub asked: bool,
    /// That of the kernel stage.
    pub tier: Tier,
}

/// What the kernel told, on its way to become an [`Observation`].
#[derive(Debug)]
pub struct Seen {
    pub origin: Origin,
    pub process: Option<Arc<Process>>,
    pub place: Where,
    pub fact: Fact,
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub boot_ns: u64,
    pub system: SystemTime,
}

/// A container whose start is about to be told, once its first process was looked at.
#[derive(Debug)]
pub struct Opening {
    pub id: Arc<str>,
    /// As its cgroup names it; `None`: only the runtime did.
    pub kernel: Option<Arc<ContainerId>>,
    /// With its exec's origin. `None`: not known, or gone.
    pub process: Option<(Arc<Process>, Origin)>,
    /// Paths of the libraries that the kernel told of.
    pub known: Vec<String>,
    pub most: Option<usize>,
}

/// What the first process has mapped beyond that.
#[derive(Debug, Default)]
pub struct Sample {
    pub libraries: Vec<Artifact>,
    /// More than may be named.
    pub left_out: u32,
    /// Why there may be more.
    pub reason: Option<&'static str>,
}

/// The container stage's second half.
#[derive(Debug)]
pub struct Containers {
    table: Table,
    shared: Shared,
}

impl Containers {
    pub fn new(settings: Settings) -> Self {
        Self { table: Table::new(settings.entries, settings.tombstone_ns), shared: Shared::new(settings) }
    }

    /// A cgroup was made; that of a container itself counts, not what stands below.
    pub fn made(&mut self, id: &Arc<ContainerId>, cgroup_id: u64, boot_ns: u64) {
        let Self { table, shared } = self;
        table.ensure(&id.id, |entry| shared.forget(entry));
        if let Some(entry) = table.get(&id.id)
            && entry.owns(id, shared)
        {
            entry.made(id, cgroup_id, boot_ns);
        }
    }

    /// A container's cgroup was removed.
    pub fn removed(&mut self, id: &ContainerId, cgroup_id: u64, boot_ns: u64, now: u64) {
        let Self { table, shared } = self;
        // Records of what ran in it may come later.
        table.ensure(&id.id, |entry| shared.forget(entry));
        if let Some(entry) = table.get(&id.id)
            && entry.owns(id, shared)
        {
            entry.removed(cgroup_id, boot_ns, shared.noticed(now));
            self.advance(&id.id, now);
        }
    }

    /// What the kernel told goes on, or waits for its names.
    pub fn take(&mut self, seen: Seen, now: u64) {
        let Self { table, shared } = self;
        let id = match seen.place {
            Where::Host => return shared.out.push(seen.at(Place::Host)),
            Where::Unknown(reason) => return shared.unknown(seen, reason),
            Where::Container(ref id) => Arc::clone(id),
        };
        table.ensure(&id.id, |entry| shared.forget(entry));
        let Some(entry) = table.get(&id.id) else { return };
        if !entry.owns(&id, shared) {
            return shared.unknown(seen, reason::CLAIMED_BY_USER);
        }
        let was_waiting = entry.is_waiting();
        let changed = entry.see(&id, &seen, shared, now);
        let names = Known::Not(reason::NO_RUNTIME);
        entry.pass(seen.at(Place::Container(Container { id: Arc::clone(&id), names })), shared, now);
        if changed || was_waiting != entry.is_waiting() {
            self.advance(&id.id, now);
        }
    }

    /// The loss ledger was read: what was lost until now has been told.
    pub fn ledger_read(&mut self, now: u64) {
        self.shared.ledger_readings += 1;
        let ended = |entry: &&Entry| entry.life.as_ref().is_some_and(|life| life.end.is_some());
        let ids: Vec<_> = self.table.iter().filter(ended).map(|entry| Arc::clone(&entry.id)).collect();
        self.advance_all(ids, now);
    }

    /// What ran before the sensor looked was told.
    pub fn enumerated(&mut self, now: u64) {
        self.shared.enumerated = true;
        self.advance_all(self.table.ids(), now);
    }

    /// Nobody else will answer; who answered was heard.
    pub fn searched(&mut self, now: u64) {
        self.shared.engines.searched();
        self.give_up_if_alone(now);
    }

    pub fn is_searched(&self) -> bool {
        self.shared.engines.is_searched()
    }

    /// What a runtime told.
    pub fn hear(&mut self, news: News, now: Now) {
        let boot_ns = now.boot_ns;
        let Self { table, shared } = self;
        match news {
            News::Connected(engine) => shared.engines.connect(engine),
            News::Disconnected { engine, reason } => {
                shared.engines.disconnect(&engine, reason);
                self.give_up_if_alone(boot_ns);
            }
            News::Described(description) => {
                let id = Arc::clone(&description.id);
                let since_ns = description.started.map(|at| now.boot_at(at));
                table.ensure(&id, |entry| shared.forget(entry));
                let Some(entry) = table.get(&id) else { return };
                entry.described(description, since_ns, shared, boot_ns);
                self.advance(&id, boot_ns);
            }
            News::Started { id, pid, at } => {
                table.ensure(&id, |entry| shared.forget(entry));
                let Some(entry) = table.get(&id) else { return };
                entry.started(pid, at.map(|at| now.boot_at(at)), shared.noticed(boot_ns));
                self.advance(&id, boot_ns);
            }
            News::Stopped { id, exit } => {
                let at_ns = exit.at.map(|at| now.boot_at(at));
                table.ensure(&id, |entry| shared.forget(entry));
                let Some(entry) = table.get(&id) else { return };
                entry.stopped(exit, at_ns, shared, boot_ns);
                self.advance(&id, boot_ns);
            }
            News::OutOfMemory { id } => {
                if let Some(entry) = table.get(&id) {
                    entry.out_of_memory();
                }
            }
            News::Removed { id } => {
                let Some(entry) = table.get(&id) else { return };
                entry.forgotten(shared, boot_ns);
                self.advance(&id, boot_ns);
            }
            News::Refused { id, reason } => {
                let Some(entry) = table.get(&id) else { return };
                // It is among those that the runtime has.
                entry.generation = shared.engines.latest();
                entry.give_up(reason, shared);
                self.advance(&id, boot_ns);
            }
            News::Searched => self.searched(boot_ns),
            News::Listed { engine } => {
                let generation = shared.engines.generation(&engine);
                let ids: Vec<_> = table
                    .iter()
                    .filter(|entry| {
                        entry.generation < generation
                            && entry.description().is_some_and(|of| of.engine.socket == engine.socket)
                    })
                    .map(|entry| Arc::clone(&entry.id))
                    .collect();
                for id in &ids {
                    if let Some(entry) = self.table.get(id) {
                        entry.forgotten(&self.shared, boot_ns);
                    }
                }
                self.advance_all(ids, boot_ns);
            }
        }
    }

    /// When something is due.
    pub fn due(&self) -> Option<u64> {
        self.shared.deadlines.first()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: u64) {
        while let Some((at, id)) = self.shared.deadlines.take(now) {
            let Some(entry) = self.table.get(&id) else { continue };
            if entry.queued == Some(at) {
                entry.queued = None;
                self.advance(&id, now);
            }
        }
        let Self { table, shared } = self;
        table.expire(now, |entry| shared.forget(entry));
    }

    /// A container whose start is due. Its process may be looked at before [`Self::start`].
    pub fn next_start(&mut self) -> Option<Opening> {
        loop {
            let id = self.shared.opening.pop_front()?;
            if let Some(opening) = self.table.get(&id).and_then(|entry| entry.opening(&self.shared)) {
                return Some(opening);
            }
        }
    }

    /// Tells a start.
    pub fn start(&mut self, id: &str, sample: Sample, now: u64) {
        if let Some(entry) = self.table.get(id) {
            entry.start(sample, &mut self.shared, now);
            self.advance(id, now);
        }
    }

    /// What goes on, in its order.
    pub fn take_out(&mut self) -> Vec<Observation> {
        std::mem::take(&mut self.shared.out)
    }

    /// Containers that the runtimes have to be asked about.
    pub fn take_asks(&mut self) -> Vec<Ask> {
        std::mem::take(&mut self.shared.asks)
    }

    /// There was no room to ask about it.
    pub fn not_asked(&mut self, id: &str, now: u64) {
        if let Some(entry) = self.table.get(id) {
            entry.give_up(reason::ASKS_EXHAUSTED, &mut self.shared);
            self.advance(id, now);
        }
    }

    /// The sensor ends: what waits goes on, starts are told, and the ends that were seen.
    pub fn close(&mut self, now: u64) {
        for id in self.table.ids() {
            let Some(entry) = self.table.get(&id) else { continue };
            self.shared.counts.at_end += entry.let_go(&mut self.shared);
            entry.finish_start(&mut self.shared, now);
            if let Some(end) = entry.life.as_ref().and_then(|life| life.end) {
                entry.finish(end.boot_ns, &mut self.shared, now);
            }
        }
    }

    /// The containers that live, sandboxes left out.
    pub fn list(&self) -> Vec<Listed> {
        self.table.iter().filter_map(Listed::of).collect()
    }

    pub fn counts(&self) -> Counts {
        let Self { table, shared } = self;
        Counts {
            held: shared.room.held(),
            waiting: shared.room.waiting(),
            waiting_bytes: shared.room.waiting_bytes(),
            entries: table.len(),
            tombstones_cut: table.cut(),
            evicted: table.evicted(),
            ..shared.counts
        }
    }

    fn give_up_if_alone(&mut self, now: u64) {
        if self.shared.engines.may_describe() {
            return;
        }
        let reason = self.shared.engines.reason();
        let waiting = self.table.iter().filter(|entry| entry.is_waiting());
        let ids: Vec<_> = waiting.map(|entry| Arc::clone(&entry.id)).collect();
        for id in &ids {
            if let Some(entry) = self.table.get(id) {
                entry.give_up(reason, &mut self.shared);
            }
        }
        self.advance_all(ids, now);
    }

    fn advance_all(&mut self, ids: Vec<Arc<str>>, now: u64) {
        for id in ids {
            self.advance(&id, now);
        }
    }

    fn advance(&mut self, id: &str, now: u64) {
        let Self { table, shared } = self;
        let Some(entry) = table.get(id) else { return };
        if let Some(again) = entry.advance(shared, now) {
            shared.deadlines.put(&mut entry.queued, again, &entry.id);
        }
        if entry.is_over() {
            let id = Arc::clone(&entry.id);
            table.bury(&id, now, |entry| shared.forget(entry));
        }
    }
}

impl Seen {
    fn at(self, container: Place) -> Observation {
        let Self { origin, process, fact, place: _ } = self;
        Observation { origin, process, container, fact }
    }
}

impl Now {
    /// The boot time at which the system's clock showed this; 0 for what was before.
    fn boot_at(self, at: SystemTime) -> u64 {
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        match self.system.duration_since(at) {
            Ok(ago) => self.boot_ns.saturating_sub(ns(ago)),
            Err(ahead) => self.boot_ns.saturating_add(ns(ahead.duration())),
        }
    }
}
