//! What is due of it, and when.

use std::sync::Arc;

use super::{
    super::{
        super::{description::Role, reason},
        Shared,
        life::{Life, Stage},
    },
    Entry, Running, Waiting, is_of,
};
use crate::observation::Observed;

/// From the exec of a container that has ended already to the last of its mappings, nanoseconds.
const LATE_NS: u64 = 100_000_000;
/// How long the kernel may take to tell what the runtime told, nanoseconds.
const KERNEL_NS: u64 = 1_000_000_000;

/// The loss ledger is read each second; without it for so long, an end is told all the same. Nanoseconds.
const LEDGER_NS: u64 = 3_000_000_000;

impl Entry {
    /// Does what is due; returns when to look again.
    pub(in crate::container::containers) fn advance(&mut self, shared: &mut Shared, now: u64) -> Option<u64> {
        let mut again = Again(None);
        if let Waiting::Until(due) = self.waiting
            && self.names.value().is_none()
            && due <= now
        {
            self.give_up(reason::NOT_IN_TIME, shared);
        }
        self.begin_by_runtime(&mut again, shared, now);
        self.open(&mut again, shared, now);
        self.close(&mut again, shared, now);
        if let Waiting::Until(due) = self.waiting
            && self.names.value().is_none()
        {
            again.wait(due, now);
        }
        again.0
    }

    /// A container that runs by the runtime's word, and of which the kernel told nothing although it could.
    fn begin_by_runtime(&mut self, again: &mut Again, shared: &mut Shared, now: u64) {
        let Some(running) = self.running.filter(|_| self.life.is_none() && shared.enumerated) else { return };
        if self.is_told(running) {
            self.running = None;
            return;
        }
        let heard = running.heard;
        if again.wait(heard.now.saturating_add(KERNEL_NS.max(2 * shared.settings.hold_ns)), now) {
            return;
        }
        // What the kernel told before that may still be on its way here.
        if shared.ledger_readings < heard.ledger + 2 {
            again.wait(now.saturating_add(KERNEL_NS), now);
            return;
        }
        // Its cgroup was made before our eyes, and nothing was lost: nothing was executed in it yet, or ever.
        if self.made.is_some() && self.losses.execs() == 0 {
            if self.stopped.take().is_some() {
                self.running = None;
            }
            return;
        }
        let began_ns = running.since_ns.unwrap_or(heard.now);
        let mut life = Life::new(self.made.take().map(|(id, _)| id), false, began_ns, shared.unattributed);
        life.observed = Observed::ByRuntime;
        if let Some((_, at)) = self.stopped.as_ref().filter(|stopped| is_of(stopped, began_ns)) {
            life.ended(at.unwrap_or(now), None, shared.noticed(now));
        }
        self.life = Some(Box::new(life));
    }

    /// Whether the runtime speaks of the life that was told already. It may say of a short one that it began after the end
    /// that it told before.
    fn is_told(&self, running: Running) -> bool {
        self.last.is_some_and(|last| {
            // The kernel, which told that one, tells others too.
            let told_by_kernel = !last.by_runtime && self.losses.execs() == 0;
            told_by_kernel
                || running.since_ns.is_none_or(|since| since <= last.ended_ns.saturating_add(KERNEL_NS))
        })
    }

    /// The start is told when the container has its names and its first libraries, or ended.
    fn open(&mut self, again: &mut Again, shared: &mut Shared, now: u64) {
        let (pid, is_waiting) = (self.pid(), self.is_waiting());
        let is_sandbox = self.description().is_some_and(|description| description.role == Role::Sandbox);
        let Some(life) = &mut self.life else { return };
        if life.stage != Stage::Settling {
            return;
        }
        // One that was there before has processes that are still to be told.
        if is_waiting || (!life.watched && !shared.enumerated) {
            return;
        }
        if is_sandbox {
            life.settle_exit(pid);
            life.stage = Stage::Silent;
            return;
        }
        if life.is_existing(pid) {
            life.observed = Observed::Existing;
        } else if life.observed == Observed::Live {
            // Of a process that is gone only the kernel's records say what it had mapped; perf's come late.
            let settle_ns = shared.settings.settle_ns;
            let settle_ns = if life.is_over(pid) { settle_ns.max(LATE_NS) } else { settle_ns };
            if again.wait(life.began_ns.saturating_add(settle_ns), now) {
                return;
            }
        }
        life.stage = Stage::Opening;
        shared.opening.push_back(Arc::clone(&self.id));
    }

    /// The end is told when what was lost until then is known, and the runtime had time for its word.
    fn close(&mut self, again: &mut Again, shared: &mut Shared, now: u64) {
        let Some(life) = &self.life else { return };
        let Some(end) = life.end.filter(|_| matches!(life.stage, Stage::Told | Stage::Silent)) else {
            return;
        };
        let heard = self.stopped.is_some() || self.description().is_none() || !shared.engines.may_describe();
        if !heard && again.wait(end.seen_ns.saturating_add(shared.settings.hold_ns), now) {
            return;
        }
        // What the kernel told less of may be on its way: a reading that was made before is passed over.
        let readings = if end.exit.is_some() { 1 } else { 2 };
        let is_read = shared.ledger_readings >= end.ledger + readings;
        if !is_read && again.wait(end.seen_ns.saturating_add(LEDGER_NS), now) {
            return;
        }
        self.end(shared, now);
    }
}

/// The earliest time at which something more is due.
struct Again(Option<u64>);

impl Again {
    /// Whether it is too early; then it is looked at again.
    fn wait(&mut self, due: u64, now: u64) -> bool {
        if due > now {
            self.0 = Some(self.0.map_or(due, |at| at.min(due)));
        }
        due > now
    }
}
