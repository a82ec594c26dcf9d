//! One container: the kernel's word, the runtime's word, and what waits for the latter.

mod claim;
mod due;
mod telling;
mod waiting;

use std::{collections::VecDeque, sync::Arc};

use super::{
    super::{
        description::{Description, State as Described},
        reason,
        runtime::Stop as Stopped,
    },
    Seen, Shared,
    life::{Exited, Life, Noticed, Stage},
    room::Queue,
    sums::Losses,
};
use crate::{
    kernel::record::Origin,
    observation::{Container, ContainerId, Fact, Known, Observed, Process},
};

/// Exits kept that came before any exec.
const EARLY: usize = 4;
/// The runtime's clock and ours, and its way of telling a time: nanoseconds.
const SLOP_NS: u64 = 20_000_000;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Arc<str>,
    /// As its cgroup names it.
    kernel: Option<Arc<ContainerId>>,
    names: Known<Arc<Description>>,
    waiting: Waiting,
    queue: Queue,
    pub(super) life: Option<Box<Life>>,
    /// The life before.
    last: Option<Last>,
    /// Its cgroup that was made and had no exec yet: id and time.
    made: Option<(u64, u64)>,
    /// Its cgroup that was removed last: id and time.
    gone: Option<(u64, u64)>,
    early: VecDeque<Exited>,
    /// The runtime says that it runs.
    running: Option<Running>,
    /// What the runtime says of its end, and when that was (boot time, nanoseconds).
    stopped: Option<(Stopped, Option<u64>)>,
    oom: bool,
    losses: Losses,
    /// The runtime's connection that described it.
    pub(super) generation: u64,
    /// The runtime does not have it any more.
    forgotten: bool,
    pub(super) queued: Option<u64>,
    pub(super) buried_until: Option<u64>,
}

/// Whether its events wait to be named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Waiting {
    /// None had to so far.
    NotYet,
    Until(u64),
    /// They waited, or had not to: further ones go on without names.
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    cgroup_id: Option<u64>,
    watched: bool,
    /// The kernel told nothing of it.
    by_runtime: bool,
    ended_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    pid: Option<u32>,
    heard: Noticed,
    /// Boot time, nanoseconds.
    since_ns: Option<u64>,
}

impl Entry {
    pub(super) fn new(id: Arc<str>) -> Self {
        Self {
            id,
            kernel: None,
            names: Known::Not(reason::NO_RUNTIME),
            waiting: Waiting::NotYet,
            queue: Queue::default(),
            life: None,
            last: None,
            made: None,
            gone: None,
            early: VecDeque::new(),
            running: None,
            stopped: None,
            oom: false,
            losses: Losses::default(),
            generation: 0,
            forgotten: false,
            queued: None,
            buried_until: None,
        }
    }

    pub(super) fn description(&self) -> Option<&Arc<Description>> {
        self.names.value()
    }

    /// Its cgroup was made.
    pub(super) fn made(&mut self, id: &Arc<ContainerId>, cgroup_id: u64, boot_ns: u64) {
        self.kernel = Some(Arc::clone(id));
        if self.last.is_some_and(|last| last.cgroup_id == Some(cgroup_id)) {
            return;
        }
        self.buried_until = None;
        match &mut self.life {
            Some(life) if life.cgroup_id == Some(cgroup_id) => life.watched = true,
            Some(life) if life.cgroup_id.is_none() && life.end.is_none() => {
                life.cgroup_id = Some(cgroup_id);
                life.watched = true;
            }
            _ => self.made = Some((cgroup_id, boot_ns)),
        }
    }

    /// Its cgroup was removed: nothing runs in it any more.
    pub(super) fn removed(&mut self, cgroup_id: u64, boot_ns: u64, noticed: Noticed) {
        self.gone = Some((cgroup_id, boot_ns));
        let Some(life) = &mut self.life else { return };
        // The cgroup of one that was there before is not known; it has only one at a time.
        if life.cgroup_id == Some(cgroup_id) || (!life.watched && boot_ns >= life.began_ns) {
            life.ended(boot_ns, None, noticed);
        }
    }

    /// What the kernel told of it; whether anything has to be looked at again.
    pub(super) fn see(&mut self, id: &Arc<ContainerId>, seen: &Seen, shared: &mut Shared, now: u64) -> bool {
        let Seen { origin, process, fact, .. } = seen;
        match fact {
            Fact::Exec { program, script } => {
                let Some(process) = process else { return false };
                if is_runtime(process) {
                    return false;
                }
                self.exec(id, origin, process, shared, now);
                let pid = self.pid();
                let Some(life) = &mut self.life else { return false };
                life.exec(origin, process, program, script.as_ref(), pid);
                let early = self
                    .early
                    .iter()
                    .find(|exited| exited.boot_ns >= origin.boot_ns && exited.key.tgid == process.key.tgid);
                if let Some(exited) = early.copied() {
                    life.exit(exited, shared.noticed(now));
                }
                life.stage == Stage::Settling
            }
            Fact::Exit { exit, .. } => {
                let exited = Exited { key: origin.process, boot_ns: origin.boot_ns, status: exit.status };
                if let Some(life) = &mut self.life {
                    return life.exit(exited, shared.noticed(now));
                }
                if self.early.len() == EARLY {
                    self.early.pop_front();
                }
                self.early.push_back(exited);
                false
            }
            Fact::Library { artifact, .. } => {
                if let Some(life) = &mut self.life {
                    life.library(artifact, shared.settings.max_libs.unwrap_or(0));
                }
                false
            }
            Fact::Loss(loss) => {
                self.losses.add(loss);
                false
            }
            _ => false,
        }
    }

    /// Begins a life where the exec is the first one of it.
    fn exec(
        &mut self,
        id: &Arc<ContainerId>,
        origin: &Origin,
        process: &Process,
        shared: &mut Shared,
        now: u64,
    ) {
        let at = origin.boot_ns;
        let has_new_cgroup = self.made.is_some_and(|(_, made_ns)| made_ns <= at);
        let begins = match (&self.life, self.last) {
            (Some(life), _) => has_new_cgroup || life.was_elsewhere(at, origin.cgroup_id),
            (None, None) => true,
            // A late word of the life before.
            (None, Some(last)) if last.cgroup_id.is_some() && last.cgroup_id == origin.cgroup_id => false,
            (None, Some(last)) => has_new_cgroup || (!last.watched && at > last.ended_ns),
        };
        if !begins {
            return;
        }
        if self.life.is_some() {
            self.finish(at, shared, now);
        }
        self.kernel = Some(Arc::clone(id));
        self.buried_until = None;
        let made = self.made.take();
        let cgroup_id = made.map(|(cgroup_id, _)| cgroup_id).or(origin.cgroup_id);
        let began_ns = if process.existing { process.key.start_boot_ns } else { at };
        let mut life = Life::new(cgroup_id, made.is_some(), began_ns, shared.unattributed);
        // What the runtime said of a life before is no word of this one.
        self.stopped = self.stopped.take().filter(|stopped| is_of(stopped, began_ns));
        if let Some((_, gone_ns)) = self.gone.filter(|(gone, at)| Some(*gone) == cgroup_id && *at >= began_ns)
        {
            life.ended(gone_ns, None, shared.noticed(now));
        }
        if let Some((_, at)) = &self.stopped {
            life.ended(at.unwrap_or(now), None, shared.noticed(now));
        }
        self.life = Some(Box::new(life));
    }

    /// The runtime described it.
    pub(super) fn described(
        &mut self,
        description: Arc<Description>,
        since_ns: Option<u64>,
        shared: &mut Shared,
        now: u64,
    ) {
        self.generation = shared.engines.generation(&description.engine);
        self.forgotten = false;
        if description.state != Described::Exited {
            self.buried_until = None;
        }
        if description.state == Described::Running {
            self.started(description.pid, since_ns, shared.noticed(now));
        }
        self.names = Known::Is(description);
        self.waiting = Waiting::NotYet;
        self.expose(shared);
        shared.counts.described += self.release(shared);
    }

    /// The runtime says that it runs, since then.
    pub(super) fn started(&mut self, pid: Option<u32>, since_ns: Option<u64>, noticed: Noticed) {
        self.buried_until = None;
        let known = self.running;
        self.running = Some(Running {
            pid: pid.or(known.and_then(|known| known.pid)),
            heard: known.map_or(noticed, |known| known.heard),
            since_ns: since_ns.or(known.and_then(|known| known.since_ns)),
        });
    }

    /// The runtime says that its init ended.
    pub(super) fn stopped(&mut self, stopped: Stopped, at_ns: Option<u64>, shared: &Shared, now: u64) {
        let stopped = (stopped, at_ns);
        match &mut self.life {
            Some(life) if is_of(&stopped, life.began_ns) => {
                life.ended(at_ns.unwrap_or(now), None, shared.noticed(now));
                self.stopped = Some(stopped);
            }
            // Of a life before this one.
            Some(_) => {}
            None => {
                let told = self.last.is_some() && self.running.is_none();
                let before =
                    self.description().is_some_and(|of| of.state == Described::Exited) && at_ns.is_none();
                if !told && !before {
                    self.stopped = Some(stopped);
                }
            }
        }
    }

    pub(super) fn out_of_memory(&mut self) {
        // Else it is late, of a life whose end was told: the next one's is not to have it.
        if self.life.is_some() || self.running.is_some() {
            self.oom = true;
        }
    }

    /// The runtime does not have it any more. Where the kernel told its start, the kernel tells its end.
    pub(super) fn forgotten(&mut self, shared: &Shared, now: u64) {
        self.forgotten = true;
        self.running = None;
        if let Some(life) = self.life.as_mut().filter(|life| life.observed == Observed::ByRuntime) {
            life.ended(now, None, shared.noticed(now));
        }
    }

    /// Whether it may be forgotten after a while.
    pub(super) fn is_over(&self) -> bool {
        let lives = match &self.names {
            _ if self.forgotten => false,
            Known::Is(description) => {
                self.last.is_none() && self.gone.is_none() && description.state != Described::Exited
            }
            Known::Not(_) => false,
        };
        let has_cgroup = self.made.is_some_and(|(made, _)| self.gone.is_none_or(|(gone, _)| gone != made));
        self.life.is_none() && self.queue.is_empty() && self.running.is_none() && !lives && !has_cgroup
    }

    pub(super) fn container(&self) -> Option<Container> {
        Some(Container { id: self.kernel.clone()?, names: self.names.clone() })
    }

    pub(super) fn lost(&self) -> u64 {
        self.losses.total()
    }

    /// Of its init, by the runtime's word; not the next life's, of which that may tell before this one's start is told.
    pub(super) fn pid(&self) -> Option<u32> {
        let Running { pid, since_ns, .. } = self.running?;
        let life = self.life.as_ref().zip(since_ns);
        let is_next =
            |pid: u32| life.is_some_and(|(life, since)| life.was_over(pid, since.saturating_sub(SLOP_NS)));
        pid.filter(|pid| !is_next(*pid))
    }
}

/// Whether an OCI runtime executes itself anew, which it may do when it has entered the container's cgroup already (runc:
/// `/proc/self/exe init`, and libcontainer/nsenter, `ensure_cloned_binary`): no program of the container's. The
/// entrypoint's parent is the shim or the monitor by the time of its exec, or it is another file than its parent.
fn is_runtime(process: &Process) -> bool {
    const RUNTIMES: [&str; 3] = ["runc", "crun", "youki"];
    // The name that runc and crun give to a memfd with a copy of themselves.
    const COPY: &str = "_cloned:/proc/self/exe";
    process.ancestors.first().is_some_and(|parent| {
        let is_parents = parent.comm == process.comm || parent.exe.as_ref() == Some(&process.exe);
        let is_copy = process.exe.starts_with("/memfd:") && process.exe.contains(COPY);
        RUNTIMES.contains(&parent.comm.as_str()) && (is_parents || is_copy)
    })
}

/// Whether the end that a runtime told is that of the life that began then.
fn is_of((_, at_ns): &(Stopped, Option<u64>), began_ns: u64) -> bool {
    at_ns.is_none_or(|at| at.saturating_add(SLOP_NS) >= began_ns)
}
