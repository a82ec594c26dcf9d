//! What is told of its start and its end.

use std::sync::Arc;

use super::{
    super::{
        super::{description::Role, runtime::Stop as Stopped},
        Opening, Sample, Shared,
        life::{Life, Stage},
        sums::Losses,
    },
    Entry, Last, is_of,
};
use crate::{
    kernel::record::{Origin, ProcessKey},
    observation::{
        Container, ContainerId, Fact, HowEnded, Known, Observation, Observed, Place, Process, Stop,
    },
};

/// Why it is not known how a container ended.
const EXIT_NOT_TOLD: &str = "the exit of its first process was not told";
const OOM_NOT_TOLD: &str = "the runtime does not say";
const BEGAN_BEFORE: &str = "its beginning is not known";

impl Entry {
    /// What of the container's first process is to be looked at before its start is told.
    pub(in crate::container::containers) fn opening(&self, shared: &Shared) -> Option<Opening> {
        let life = self.life.as_ref().filter(|life| life.stage == Stage::Opening)?;
        Some(Opening {
            id: Arc::clone(&self.id),
            kernel: self.kernel.clone(),
            process: life.first_exec(self.pid()).filter(|_| !life.is_over(self.pid())),
            known: life.libraries().iter().map(|library| library.path.clone()).collect(),
            most: shared.settings.max_libs,
        })
    }

    /// Tells the start.
    pub(in crate::container::containers) fn start(&mut self, sample: Sample, shared: &mut Shared, now: u64) {
        let pid = self.pid();
        let Some(life) = self.life.as_mut().filter(|life| life.stage == Stage::Opening) else { return };
        let Sample { libraries, left_out, reason } = sample;
        let mut start = life.tell(pid, &libraries, shared.settings.max_libs.unwrap_or(0));
        start.left_out += left_out;
        start.libraries_reason = reason;
        let (boot_ns, process) = (life.began_ns, life.first(pid).cloned());
        let origin = origin(life, pid, boot_ns, shared);
        self.tell(origin, process, Fact::Start(Box::new(start)), shared, now);
    }

    /// Tells start and end at once: the next life has begun, or the sensor ends.
    pub(in crate::container::containers) fn finish(&mut self, at_ns: u64, shared: &mut Shared, now: u64) {
        let noticed = shared.noticed(now);
        let Some(life) = &mut self.life else { return };
        life.ended(at_ns, None, noticed);
        self.finish_start(shared, now);
        self.end(shared, now);
    }

    /// Tells a start that waits, without looking at processes.
    pub(in crate::container::containers) fn finish_start(&mut self, shared: &mut Shared, now: u64) {
        let is_sandbox = self.description().is_some_and(|description| description.role == Role::Sandbox);
        let Some(life) = &mut self.life else { return };
        match life.stage {
            Stage::Settling | Stage::Opening if is_sandbox => life.stage = Stage::Silent,
            Stage::Settling | Stage::Opening => {
                life.stage = Stage::Opening;
                self.start(Sample::default(), shared, now);
            }
            Stage::Told | Stage::Silent => {}
        }
    }

    pub(super) fn end(&mut self, shared: &mut Shared, now: u64) {
        let pid = self.pid();
        let Some(life) = self.life.take() else { return };
        let Some(end) = life.end else { return };
        let stopped =
            self.stopped.take().filter(|stopped| is_of(stopped, life.began_ns)).map(|(stopped, _)| stopped);
        if life.stage == Stage::Told {
            let stop =
                self.stop(&life, stopped, end.exit.and_then(|exited| exited.status), end.boot_ns, shared);
            let origin = origin(&life, pid, end.boot_ns, shared);
            self.tell(origin, life.first(pid).cloned(), Fact::Stop(Box::new(stop)), shared, now);
        }
        self.last = Some(Last {
            cgroup_id: life.cgroup_id,
            watched: life.watched,
            by_runtime: life.observed == Observed::ByRuntime,
            ended_ns: end.boot_ns,
        });
        // What the runtime said of a life that began meanwhile stays.
        self.running =
            self.running.filter(|running| running.since_ns.is_some_and(|since| since > end.boot_ns));
        self.oom = false;
        self.losses = Losses::default();
        self.early.clear();
    }

    pub(super) fn stop(
        &self,
        life: &Life,
        stopped: Option<Stopped>,
        status: Option<u32>,
        end_ns: u64,
        shared: &Shared,
    ) -> Stop {
        let word = stopped.as_ref().and_then(|stopped| stopped.reason.clone());
        let told = stopped.as_ref().and_then(|stopped| stopped.oom);
        let how = match (status, stopped) {
            (Some(status), _) => Known::Is(HowEnded::Status(status)),
            (None, Some(Stopped { signal: Some(signal), .. })) => Known::Is(HowEnded::Signal(signal)),
            (None, Some(Stopped { code: Some(code), .. })) => Known::Is(HowEnded::Code(code)),
            (None, _) => Known::Not(EXIT_NOT_TOLD),
        };
        let oom = match told {
            _ if self.oom => Known::Is(true),
            Some(oom) => Known::Is(oom),
            None => Known::Not(self.names.reason().unwrap_or(OOM_NOT_TOLD)),
        };
        let duration_ns = match life.began_ns {
            0 => Known::Not(BEGAN_BEFORE),
            began_ns => Known::Is(end_ns.saturating_sub(began_ns)),
        };
        let losses = self.losses.told(life.cgroup_id).chain(shared.unattributed.since(&life.unattributed));
        Stop { how, oom, duration_ns, losses: losses.collect(), word }
    }

    pub(super) fn tell(
        &mut self,
        origin: Origin,
        process: Option<Arc<Process>>,
        fact: Fact,
        shared: &mut Shared,
        now: u64,
    ) {
        let id = self.identity();
        let container = Place::Container(Container { id, names: self.names.clone() });
        self.pass(Observation { origin, process, container, fact }, shared, now);
    }

    /// As the kernel names it; of what only the runtime told, as that does.
    pub(super) fn identity(&mut self) -> Arc<ContainerId> {
        let Self { kernel, names, id, .. } = self;
        let description = names.value();
        let made = kernel.get_or_insert_with(|| {
            Arc::new(ContainerId {
                id: id.to_string(),
                runtime: description.map(|description| description.engine.kind.word()),
                pod_uid: description.and_then(|description| Some(description.pod.as_ref()?.uid.clone())),
                cgroup: description.and_then(|description| description.cgroup.clone()).unwrap_or_default(),
                by_user: false,
                nested_claim: None,
            })
        });
        Arc::clone(made)
    }
}

/// That of the entrypoint's exec, at another time; of one that was not told, what can be said.
fn origin(life: &Life, pid: Option<u32>, boot_ns: u64, shared: &Shared) -> Origin {
    match life.origin() {
        Some(origin) => Origin { boot_ns, ..*origin },
        None => Origin {
            tier: shared.settings.tier,
            boot_ns,
            process: ProcessKey { tgid: life.pid(pid).unwrap_or(0), start_boot_ns: 0 },
            tid: 0,
            cgroup_id: life.cgroup_id,
            mnt_ns: None,
            sequence: None,
        },
    }
}
