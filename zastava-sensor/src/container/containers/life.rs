//! One life of a container: from its entrypoint's exec to its end.

use std::{collections::VecDeque, sync::Arc};

use zastava_common::abi::MAX_ANCESTORS;

use super::sums::{Losses, Origins};
use crate::{
    kernel::record::{Origin, ProcessKey},
    observation::{Artifact, Entered, Observed, Process, Start},
};

/// Execs of which one may be the entrypoint's, kept until that is settled.
const CANDIDATES: usize = 4;
/// Processes brought in from outside that are remembered.
const ROOTS: usize = 64;
/// The ancestor at which a chain is known to be whole.
const INIT: u32 = 1;

#[derive(Debug)]
pub(super) struct Life {
    /// Its own v2 cgroup; where that was made before the sensor looked, the one of its first exec.
    pub(super) cgroup_id: Option<u64>,
    /// The cgroup was made while the sensor looked: what was not told did not happen, or is in the loss ledger.
    pub(super) watched: bool,
    pub(super) stage: Stage,
    pub(super) observed: Observed,
    /// Of its first exec, or the runtime's word for it; boot time, nanoseconds.
    pub(super) began_ns: u64,
    pub(super) end: Option<End>,
    pub(super) executions: Origins,
    pub(super) mapped: Origins,
    /// Losses without a cgroup, of all, when it began.
    pub(super) unattributed: Losses,
    /// Mapped before the start was told.
    libraries: Vec<Artifact>,
    left_out: u32,
    candidates: Vec<Candidate>,
    first: Option<First>,
    roots: VecDeque<ProcessKey>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Waits for its first libraries and its names.
    Settling,
    /// Its first process is being looked at.
    Opening,
    /// Its start was told.
    Told,
    /// A sandbox: neither start nor end are told.
    Silent,
}

/// The container's first process.
#[derive(Clone, Debug)]
struct First {
    /// The start is 0 where only its pid is known.
    key: ProcessKey,
    process: Option<Arc<Process>>,
    origin: Option<Origin>,
}

/// An exec that may be the entrypoint's.
#[derive(Debug)]
struct Candidate {
    origin: Origin,
    process: Arc<Process>,
    program: Artifact,
    script: Option<Artifact>,
    exit: Option<(Exited, Noticed)>,
}

/// The exit of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exited {
    pub(super) key: ProcessKey,
    pub(super) boot_ns: u64,
    pub(super) status: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) boot_ns: u64,
    /// The first process's exit, by the kernel; else the cgroup's removal or the runtime's word.
    pub(super) exit: Option<Exited>,
    pub(super) seen_ns: u64,
    /// Readings of the loss ledger before it.
    pub(super) ledger: u64,
}

/// When something was noticed: the time, and the readings of the loss ledger so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noticed {
    pub(super) now: u64,
    pub(super) ledger: u64,
}

impl Life {
    pub(super) fn new(cgroup_id: Option<u64>, watched: bool, began_ns: u64, unattributed: Losses) -> Self {
        Self {
            cgroup_id,
            watched,
            stage: Stage::Settling,
            observed: Observed::Live,
            began_ns,
            end: None,
            executions: Origins::default(),
            mapped: Origins::default(),
            unattributed,
            libraries: Vec::new(),
            left_out: 0,
            candidates: Vec::new(),
            first: None,
            roots: VecDeque::new(),
        }
    }

    /// A program was executed in it. `pid`: of its first process, by the runtime's word.
    pub(super) fn exec(
        &mut self,
        origin: &Origin,
        process: &Arc<Process>,
        program: &Artifact,
        script: Option<&Artifact>,
        pid: Option<u32>,
    ) {
        self.executions.add(program.origin);
        let known = self.candidates.iter().any(|candidate| candidate.is(process.key));
        if self.stage == Stage::Settling && !known {
            self.candidates.push(Candidate {
                origin: *origin,
                process: Arc::clone(process),
                program: program.clone(),
                script: script.cloned(),
                exit: None,
            });
            self.drop_latest(pid);
        }
        if let Some(entered) = self.entered(process, pid) {
            // Set where the process executes another program.
            let _ = process.entered.set(entered);
        }
    }

    /// A file was mapped in it, for the first time.
    pub(super) fn library(&mut self, library: &Artifact, most: usize) {
        self.mapped.add(library.origin);
        if matches!(self.stage, Stage::Settling | Stage::Opening) {
            self.collect(library, most);
        }
    }

    /// One of its processes ended; whether that changes anything.
    pub(super) fn exit(&mut self, exited: Exited, noticed: Noticed) -> bool {
        if let Some(first) = &self.first {
            let is_first = first.key.is(exited.key);
            if is_first {
                self.ended(exited.boot_ns, Some(exited), noticed);
            }
            return is_first;
        }
        let candidate = self
            .candidates
            .iter_mut()
            .find(|candidate| candidate.is(exited.key) && candidate.origin.boot_ns <= exited.boot_ns);
        candidate.map(|candidate| candidate.exit = Some((exited, noticed))).is_some()
    }

    /// It is over. The exit of its first process says most, and may come after less.
    pub(super) fn ended(&mut self, boot_ns: u64, exit: Option<Exited>, noticed: Noticed) {
        let Noticed { now, ledger } = noticed;
        match &mut self.end {
            None => self.end = Some(End { boot_ns, exit, seen_ns: now, ledger }),
            Some(end) if exit.is_some() && end.exit.is_none() => {
                end.exit = exit;
                end.boot_ns = boot_ns;
            }
            Some(_) => {}
        }
    }

    /// Whether it is over, if the first process is the one that is so as far as is known now.
    pub(super) fn is_over(&self, pid: Option<u32>) -> bool {
        self.end.is_some() || self.candidate(pid).is_some_and(|candidate| candidate.exit.is_some())
    }

    /// Whether it was over, and in another cgroup than a program that is executed at that time. Where nobody tells that
    /// cgroups are made, this is how the next life is known.
    pub(super) fn was_elsewhere(&self, at: u64, cgroup_id: Option<u64>) -> bool {
        !self.watched && self.cgroup_id != cgroup_id && self.end.is_some_and(|end| end.boot_ns < at)
    }

    /// Whether it was over at that time, as far as is known now, and this one's exec was not told in it.
    pub(super) fn was_over(&self, pid: u32, at: u64) -> bool {
        let exit = || self.candidate(None).and_then(|candidate| candidate.exit);
        let over = self.end.map(|end| end.boot_ns).or_else(|| exit().map(|(exited, _)| exited.boot_ns));
        over.is_some_and(|over| over < at) && self.candidate(Some(pid)).is_none()
    }

    /// It will not be known better which process is the first: its exit is the end.
    pub(super) fn settle_exit(&mut self, pid: Option<u32>) {
        if let Some((exited, noticed)) = self.candidate(pid).and_then(|candidate| candidate.exit) {
            self.ended(exited.boot_ns, Some(exited), noticed);
        }
    }

    /// Whether it ran before the sensor looked.
    pub(super) fn is_existing(&self, pid: Option<u32>) -> bool {
        let enumerated = self.candidates.iter().any(|candidate| candidate.process.existing);
        // Its first process was there before as well if only others' execs were told.
        enumerated || (!self.watched && !self.candidates.is_empty() && self.best(pid).is_none())
    }

    /// Its first process, as far as is known.
    pub(super) fn first(&self, pid: Option<u32>) -> Option<&Arc<Process>> {
        match &self.first {
            Some(first) => first.process.as_ref(),
            None => self.candidate(pid).map(|candidate| &candidate.process),
        }
    }

    /// Its first process before the start is told, with the origin of its exec.
    pub(super) fn first_exec(&self, pid: Option<u32>) -> Option<(Arc<Process>, Origin)> {
        let Candidate { process, origin, .. } = self.candidate(pid)?;
        Some((Arc::clone(process), *origin))
    }

    /// Its first process's pid, whatever else is known of it.
    pub(super) fn pid(&self, pid: Option<u32>) -> Option<u32> {
        self.first.as_ref().map(|first| first.key.tgid).or(pid)
    }

    pub(super) fn origin(&self) -> Option<&Origin> {
        self.first.as_ref().and_then(|first| first.origin.as_ref())
    }

    pub(super) fn libraries(&self) -> &[Artifact] {
        &self.libraries
    }

    /// Settles which process is the first, and makes the start's fact.
    pub(super) fn tell(&mut self, pid: Option<u32>, sampled: &[Artifact], most: usize) -> Start {
        for library in sampled {
            self.collect(library, most);
        }
        self.settle_exit(pid);
        let best = self.best(pid).map(|place| self.candidates.swap_remove(place));
        self.candidates = Vec::new();
        self.stage = Stage::Told;
        let (key, program, script) = match best {
            Some(Candidate { origin, process, program, script, exit: _ }) => {
                let key = process.key;
                if process.existing {
                    self.began_ns = key.start_boot_ns;
                }
                self.first = Some(First { key, process: Some(process), origin: Some(origin) });
                (key, Some(program), script)
            }
            None => (ProcessKey { tgid: pid.unwrap_or(0), start_boot_ns: 0 }, None, None),
        };
        self.first.get_or_insert(First { key, process: None, origin: None });
        Start {
            observed: self.observed,
            program,
            script,
            libraries: std::mem::take(&mut self.libraries),
            left_out: self.left_out,
            libraries_reason: None,
        }
    }

    fn collect(&mut self, library: &Artifact, most: usize) {
        let same = |known: &Artifact| match (&known.identity, &library.identity) {
            (Some(known), Some(new)) if (known.dev, known.ino) == (new.dev, new.ino) => true,
            // One file can have an overlay's numbers and its own.
            _ => known.path == library.path,
        };
        if self.libraries.iter().any(same) {
            return;
        }
        if self.libraries.len() < most {
            self.libraries.push(library.clone());
        } else {
            self.left_out += 1;
        }
    }

    /// The runtime's pid decides; without it, the process that started first. `None`: the runtime named one whose exec
    /// was not told.
    fn best(&self, pid: Option<u32>) -> Option<usize> {
        if let Some(pid) = pid {
            return self.candidates.iter().position(|candidate| candidate.process.key.tgid == pid);
        }
        let starts = self.candidates.iter().map(|candidate| candidate.process.key.start_boot_ns);
        // Of equal ones the one that was executed first.
        starts.enumerate().min_by_key(|(_, start)| *start).map(|(place, _)| place)
    }

    fn candidate(&self, pid: Option<u32>) -> Option<&Candidate> {
        self.best(pid).map(|place| &self.candidates[place])
    }

    /// Keeps as many candidates as may be: what started latest is the first process least likely.
    fn drop_latest(&mut self, pid: Option<u32>) {
        if self.candidates.len() <= CANDIDATES {
            return;
        }
        let others = self.candidates.iter().enumerate().filter(|(_, of)| Some(of.process.key.tgid) != pid);
        if let Some((latest, _)) = others.max_by_key(|(_, of)| of.process.key.start_boot_ns) {
            self.candidates.remove(latest);
        }
    }

    fn entered(&mut self, process: &Process, pid: Option<u32>) -> Option<Entered> {
        let first = match (&self.first, self.best(pid)) {
            (Some(first), _) => Some(first.key),
            (None, Some(place)) => Some(self.candidates[place].process.key),
            (None, None) => pid.map(|tgid| ProcessKey { tgid, start_boot_ns: 0 }),
        };
        let line = std::iter::once(process.key).chain(process.ancestors.iter().map(|ancestor| ancestor.key));
        for key in line {
            if first.is_some_and(|first| first.is(key)) {
                return Some(Entered::ByEntrypoint);
            }
            if self.roots.iter().any(|root| root.is(key)) {
                return Some(Entered::ByExec);
            }
        }
        // A chain that was cut may have lost the very ancestor.
        let is_whole = process.ancestors.last().is_some_and(|last| last.key.tgid == INIT)
            && process.ancestors.len() < MAX_ANCESTORS;
        if !is_whole || first.is_none() {
            return None;
        }
        if self.roots.len() == ROOTS {
            self.roots.pop_front();
        }
        self.roots.push_back(process.key);
        Some(Entered::ByExec)
    }
}

impl Candidate {
    fn is(&self, key: ProcessKey) -> bool {
        self.process.key.is(key)
    }
}

impl ProcessKey {
    fn is(self, other: Self) -> bool {
        self.tgid == other.tgid && self.is_same_start(other.start_boot_ns)
    }
}
