//! From an [`Observation`] to the event that leaves the house.
//!
//! This runs once per event: it moves what the observation owns, formats nothing and asks the kernel nothing.

mod artifact;
mod clock;
mod life;
mod place;
mod status;
mod text;

#[cfg(test)]
mod tests;

use zastava_common::{
    abi::Tier,
    event::{
        id::EventIdSource,
        v1::{self, Ancestor, Event, event::Kind, file::Op, process, sensor},
    },
};

pub use clock::BootClock;
pub(super) use status::status_of;

use crate::{
    kernel::record::{self, Origin, ProcessKey},
    observation::{self, Entered, Fact, Observation, Place, Process},
};

const TIER_CANNOT_TELL: &str = "the tier cannot tell";
const PROCESS_GONE: &str = "process gone before it was read";
const START_NOT_SEEN: &str = "start of the process not seen";
const CGROUP_NOT_TOLD: &str = "the kernel counts this loss without its cgroup";

/// `(uid_t)-1`, the kernel's own "no such id": the tier told none.
const NO_ID: u32 = u32::MAX;

/// What every event of this sensor has in common.
#[derive(Debug)]
pub struct Converter {
    tenant: String,
    node: String,
    clock: BootClock,
    ids: EventIdSource,
    diagnostics: bool,
}

impl Converter {
    /// Argument texts are left out of events without `diagnostics`, whatever observations hold.
    pub fn new(
        tenant: String,
        node: String,
        clock: BootClock,
        ids: EventIdSource,
        diagnostics: bool,
    ) -> Self {
        Self { tenant, node, clock, ids, diagnostics }
    }

    /// Follows the real-time clock where somebody set it. Worth calling once per batch.
    pub fn follow_clock(&mut self) {
        self.clock.follow();
    }

    pub fn convert(&mut self, observation: Observation) -> Event {
        let Observation { origin, process, container, fact } = observation;
        let unix_ns = self.clock.unix_ns(origin.boot_ns);
        let (runtime, workload) = place::describe(&container);
        let with_ancestors = !matches!(fact, Fact::Exit { .. } | Fact::Stop(_));
        let process = process.map(|process| self.process(&process, with_ancestors));
        let mut event = Event {
            event_id: text::uuid(self.ids.next_id(unix_ns / 1_000_000)),
            when: Some(clock::timestamp(unix_ns)),
            tenant: self.tenant.clone(),
            node: self.node.clone(),
            runtime,
            workload: Some(workload),
            // What the sensor concluded was seen nowhere.
            sensor: (!matches!(fact, Fact::Start(_) | Fact::Stop(_))).then(|| sensor(&origin)),
            ..Event::default()
        };
        let unknown = || self.unknown_process(origin.process);
        match fact {
            Fact::Exec { program, script } => {
                event.set_kind(Kind::ProcessExec);
                let program = artifact::file(program, Op::Unspecified);
                event.process = Some(v1::Process {
                    build_id: program.build_id.clone(),
                    script: script.map(|script| artifact::file(script, Op::Unspecified)),
                    ..process.unwrap_or_else(unknown)
                });
                event.file = Some(program);
            }
            Fact::Exit { exit, duration_ns } => {
                event.set_kind(Kind::ProcessExit);
                event.process = process.or_else(|| {
                    Some(v1::Process {
                        ppid: (exit.ppid != 0).then_some(exit.ppid),
                        comm: String::from_utf8_lossy(&exit.comm).into_owned(),
                        ..unknown()
                    })
                });
                event.exit = Some(ended(&exit, duration_ns));
            }
            Fact::Library { artifact, by_protect } => {
                event.set_kind(Kind::LibraryLoad);
                event.process = process.or_else(|| Some(unknown()));
                event.file = Some(artifact::file(artifact, if by_protect { Op::Protect } else { Op::Map }));
            }
            Fact::FileCreate { change, artifact } => {
                event.set_kind(Kind::FileCreate);
                event.process = process.or_else(|| Some(unknown()));
                event.file = Some(artifact::file(artifact, artifact::op(change.op)));
            }
            Fact::Listen(listen) => {
                event.set_kind(Kind::Listen);
                event.process = process.or_else(|| Some(unknown()));
                event.listen = Some(v1::Listen {
                    address: listen.address.ip().to_string(),
                    port: listen.address.port().into(),
                    protocol: protocol(listen.protocol),
                });
            }
            Fact::Loss(loss) => {
                event.set_kind(Kind::Loss);
                event.process = process;
                event.loss = Some(self.loss(&loss));
            }
            Fact::Start(start) => {
                let description = match &container {
                    Place::Container(container) => container.names.value(),
                    _ => None,
                };
                life::start(&mut event, *start, origin.process.tgid, process, description.map(|of| &**of));
            }
            Fact::Stop(stop) => life::stop(self, &mut event, *stop, origin.process.tgid, process),
        }
        event
    }

    /// Whoever is told of an exit was told of the exec: what was above the process is not repeated.
    fn process(&self, process: &Process, with_ancestors: bool) -> v1::Process {
        let Process {
            key,
            ppid,
            comm,
            exe,
            cwd,
            uid,
            gid,
            argc,
            args_len,
            argv,
            ancestors,
            existing,
            entered,
        } = process;
        // A program always has its name as an argument.
        let arguments = *argc != 0;
        v1::Process {
            pid: key.tgid,
            start_time: self.clock.start(*key),
            ppid: (*ppid != 0).then_some(*ppid),
            comm: comm.clone(),
            exe: exe.clone(),
            cwd: cwd.clone(),
            uid: (*uid != NO_ID).then_some(*uid),
            gid: (*gid != NO_ID).then_some(*gid),
            argc: arguments.then_some(*argc),
            args_len: arguments.then_some(*args_len),
            argv: argv.as_ref().filter(|_| self.diagnostics).cloned().unwrap_or_default(),
            ancestors: if with_ancestors {
                ancestors.iter().map(|ancestor| self.ancestor(ancestor)).collect()
            } else {
                Vec::new()
            },
            existing: *existing,
            entered: match entered.get() {
                Some(Entered::ByEntrypoint) => process::Entered::ByEntrypoint.into(),
                Some(Entered::ByExec) => process::Entered::ByExec.into(),
                None => 0,
            },
            ..v1::Process::default()
        }
    }

    fn ancestor(&self, ancestor: &observation::AncestorName) -> Ancestor {
        let observation::AncestorName { key, comm, exe } = ancestor;
        Ancestor {
            pid: key.tgid,
            start_time: self.clock.start(*key),
            comm: comm.clone(),
            exe: exe.clone().unwrap_or_default(),
        }
    }

    fn unknown_process(&self, key: ProcessKey) -> v1::Process {
        v1::Process {
            pid: key.tgid,
            start_time: self.clock.start(key),
            unknown_reason: PROCESS_GONE.to_owned(),
            ..v1::Process::default()
        }
    }

    fn loss(&self, loss: &observation::Loss) -> v1::Loss {
        let observation::Loss { cgroup_id, kind, count, first_boot_ns, last_boot_ns } = *loss;
        // Where none was lost there is no time either.
        let time = |boot_ns| (count > 0).then(|| clock::timestamp(self.clock.unix_ns(boot_ns)));
        v1::Loss {
            cgroup_id,
            kind: kind.to_owned(),
            count: Some(count),
            first: time(first_boot_ns),
            last: time(last_boot_ns),
            cgroup_id_reason: text::reason(cgroup_id.is_none().then_some(CGROUP_NOT_TOLD)),
        }
    }
}

fn sensor(origin: &Origin) -> v1::Sensor {
    let tier = match origin.tier {
        Tier::Sideband => sensor::Tier::Sideband,
        Tier::Tracepoint => sensor::Tier::Tracepoint,
        Tier::Kprobe => sensor::Tier::Kprobe,
        Tier::Trampoline => sensor::Tier::Trampoline,
    };
    v1::Sensor {
        tier: tier.into(),
        cpu: origin.sequence.map(|sequence| sequence.cpu),
        lane: origin.sequence.map(|sequence| sequence.lane.into()),
        sequence: origin.sequence.map(|sequence| sequence.number),
    }
}

/// Takes the status of `wait(2)` apart.
fn ended(exit: &record::Exit, duration_ns: Option<u64>) -> v1::Exit {
    let (code, signal, core_dumped) = exit.status.map(status).unwrap_or_default();
    v1::Exit {
        code,
        signal,
        core_dumped,
        duration_ns,
        reason: text::reason(exit.status.is_none().then_some(TIER_CANNOT_TELL)),
        duration_reason: text::reason(duration_ns.is_none().then_some(START_NOT_SEEN)),
        ..v1::Exit::default()
    }
}

/// Code, signal, and whether a core was dumped.
fn status(status: u32) -> (Option<u32>, Option<u32>, bool) {
    let signal = Some(status & 0x7f).filter(|signal| *signal != 0);
    (signal.is_none().then_some((status >> 8) & 0xff), signal, status & 0x80 != 0)
}

/// `IPPROTO_*` (include/uapi/linux/in.h) of the protocols that can listen.
fn protocol(number: u32) -> String {
    match number {
        6 => "tcp".to_owned(),
        33 => "dccp".to_owned(),
        132 => "sctp".to_owned(),
        262 => "mptcp".to_owned(),
        other => other.to_string(),
    }
}
