//! What all containers share.

use std::{collections::VecDeque, sync::Arc};

use super::{
    super::{description::Description, reason, runtime::Ask},
    Counts, Seen, Settings,
    deadlines::Deadlines,
    engines::Engines,
    entry::Entry,
    life::Noticed,
    room::Room,
    sums::Losses,
};
use crate::observation::{Fact, Known, Observation, Place};

/// Bounds, what waits, what goes out, and what is to be done.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) room: Room,
    pub(super) engines: Engines,
    pub(super) deadlines: Deadlines,
    pub(super) out: Vec<Observation>,
    /// Their starts are due.
    pub(super) opening: VecDeque<Arc<str>>,
    /// To be asked of the runtimes.
    pub(super) asks: Vec<Ask>,
    pub(super) ledger_readings: u64,
    /// What ran before was told.
    pub(super) enumerated: bool,
    /// Losses without a cgroup.
    pub(super) unattributed: Losses,
    pub(super) counts: Counts,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            room: Room::new(settings.hold_events, settings.hold_bytes),
            engines: Engines::new(settings.asked),
            deadlines: Deadlines::default(),
            out: Vec::new(),
            opening: VecDeque::new(),
            asks: Vec::new(),
            ledger_readings: 0,
            enumerated: false,
            unattributed: Losses::default(),
            counts: Counts::default(),
        }
    }

    pub(super) fn noticed(&self, now: u64) -> Noticed {
        Noticed { now, ledger: self.ledger_readings }
    }

    pub(super) fn put(&mut self, mut observation: Observation, names: Known<Arc<Description>>) {
        if let Place::Container(container) = &mut observation.container {
            container.names = names;
        }
        self.out.push(observation);
    }

    pub(super) fn unknown(&mut self, seen: Seen, reason: &'static str) {
        self.counts.without_container(reason);
        if let Fact::Loss(loss) = &seen.fact
            && (loss.cgroup_id.is_none() || reason == reason::CGROUP_GONE)
        {
            self.unattributed.add(loss);
        }
        self.out.push(seen.at(Place::Unknown(reason)));
    }

    /// What waits for a container that is forgotten goes on.
    pub(super) fn forget(&mut self, mut entry: Entry) {
        entry.give_up(reason::NO_ROOM, self);
    }
}
