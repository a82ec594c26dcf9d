//! How its observations wait for its names.

use std::sync::Arc;

use super::{
    super::{
        super::{reason, runtime::Ask},
        Shared,
    },
    Entry, Waiting,
};
use crate::observation::{Known, Observation, Place};

impl Entry {
    /// Nobody describes it, for this reason: what waits goes on.
    pub(in crate::container::containers) fn give_up(&mut self, reason: &'static str, shared: &mut Shared) {
        if self.names.value().is_none() {
            self.names = Known::Not(reason);
            self.waiting = Waiting::Over;
            let released = self.release(shared);
            shared.counts.gave_up(reason, released);
        }
    }

    /// What waits goes on as it is named now.
    pub(in crate::container::containers) fn let_go(&mut self, shared: &mut Shared) -> u64 {
        if self.names.value().is_none() {
            self.names = Known::Not(reason::NOT_IN_TIME);
            self.waiting = Waiting::Over;
        }
        self.release(shared)
    }

    pub(in crate::container::containers) fn is_waiting(&self) -> bool {
        matches!(self.waiting, Waiting::Until(_)) && self.names.value().is_none()
    }

    /// Puts an observation out, with the container's names, or where it waits for them.
    pub(in crate::container::containers) fn pass(
        &mut self,
        mut observation: Observation,
        shared: &mut Shared,
        now: u64,
    ) {
        if self.names.value().is_none() && self.waiting == Waiting::NotYet && shared.engines.may_describe() {
            self.waiting = Waiting::Until(now.saturating_add(shared.settings.hold_ns));
            let by_user = matches!(&observation.container, Place::Container(own) if own.id.by_user);
            shared.asks.push(Ask { id: Arc::clone(&self.id), by_user });
        }
        if self.is_waiting() {
            match shared.room.hold(&mut self.queue, observation) {
                None => return,
                Some(back) => observation = back,
            }
            self.give_up(reason::NO_ROOM, shared);
            shared.counts.refused += 1;
        }
        let names = match &self.names {
            Known::Not(_) if self.waiting == Waiting::NotYet => Known::Not(shared.engines.reason()),
            names => names.clone(),
        };
        shared.put(observation, names);
    }

    pub(super) fn release(&mut self, shared: &mut Shared) -> u64 {
        let held = shared.room.release(&mut self.queue);
        let count = held.len() as u64;
        for observation in held {
            shared.put(observation, self.names.clone());
        }
        count
    }
}
