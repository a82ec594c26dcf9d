//! A scripted kernel and a scripted runtime, and a clock that the script sets.

mod anew;
mod churn;
mod claim;
mod holding;
mod hostile;
mod identity;
mod life;
mod orders;

use std::sync::OnceLock;

use zastava_common::abi::MAX_ANCESTORS;

use super::{super::runtime::Stop as Stopped, *};
use crate::{
    container::{
        description::{Description, Entrypoint, Labels, Mounts, Platform, Role, State as Described},
        place,
        runtime::{Engine, EngineKind},
    },
    kernel::record::{Exit, Listen, ProcessKey},
    observation::{AncestorName, Content, Entered, FileOrigin, HowEnded, Loss, Observed, Start, Stop},
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
/// `CLOCK_BOOTTIME` when a script begins.
const BEGIN: u64 = 1000 * SECOND;

fn settings() -> Settings {
    Settings {
        hold_ns: 500 * MS,
        hold_events: 64,
        hold_bytes: 1 << 20,
        tombstone_ns: 60 * SECOND,
        entries: 1024,
        settle_ns: 10 * MS,
        max_libs: Some(256),
        asked: true,
        tier: Tier::Trampoline,
    }
}

fn id(number: u64) -> Arc<str> {
    format!("{number:064x}").into()
}

/// The container in its own cgroup, as the name of that tells.
fn kernel_id(number: u64) -> Arc<ContainerId> {
    match place(format!("/docker/{}", id(number)).as_bytes()) {
        Where::Container(id) => id,
        other => panic!("{other:?}"),
    }
}

fn engine() -> Arc<Engine> {
    Arc::new(Engine { kind: EngineKind::Docker, version: "20.10".to_owned(), socket: "/d.sock".into() })
}

fn description(number: u64) -> Description {
    Description {
        engine: engine(),
        id: id(number),
        role: Role::Workload,
        platform: Platform::Engine,
        state: Described::Running,
        name: format!("name-{number}"),
        attempt: 0,
        pod: None,
        image: None,
        labels: Labels::default(),
        annotations: Labels::default(),
        owner: None,
        entrypoint: Entrypoint::default(),
        mounts: Mounts::default(),
        rootfs: None,
        pid: None,
        cgroup: None,
        created: None,
        started: None,
    }
}

/// A process with its parents' pids, the nearest first.
fn process(tgid: u32, parents: &[u32]) -> Arc<Process> {
    Arc::new(Process {
        key: key(tgid),
        ppid: parents.first().copied().unwrap_or(0),
        comm: "a".to_owned(),
        exe: "/bin/a".to_owned(),
        cwd: "/".to_owned(),
        uid: 0,
        gid: 0,
        argc: 1,
        args_len: 2,
        argv: None,
        ancestors: parents
            .iter()
            .map(|tgid| AncestorName { key: key(*tgid), comm: "p".to_owned(), exe: None })
            .collect(),
        existing: false,
        entered: OnceLock::new(),
    })
}

/// The higher the pid, the later the start.
fn key(tgid: u32) -> ProcessKey {
    ProcessKey { tgid, start_boot_ns: 900 * SECOND + u64::from(tgid) * SECOND / 1000 }
}

fn artifact(path: &str) -> Artifact {
    Artifact {
        path: path.to_owned(),
        raw_path: None,
        path_truncated: false,
        identity: None,
        build_id: Known::Not("not ELF"),
        sha256: Known::Not("file gone"),
        content: Content::Unknown,
        origin: FileOrigin::OverlayLower,
    }
}

fn exit_of(status: u32) -> Fact {
    Fact::Exit { exit: Exit { status: Some(status), ppid: 1, comm: Vec::new() }, duration_ns: None }
}

fn library(path: &str) -> Fact {
    Fact::Library { artifact: artifact(path), by_protect: false }
}

fn listen() -> Fact {
    Fact::Listen(Listen { address: "0.0.0.0:80".parse().unwrap(), protocol: 6 })
}

/// What a script does, and what came of it.
struct Script {
    containers: Containers,
    now: u64,
    out: Vec<Observation>,
}

impl Script {
    /// A sensor that has told what ran before it, with a runtime that answers.
    fn new(settings: Settings) -> Self {
        let mut script = Self::unconnected(settings);
        script.hear(News::Connected(engine()));
        script.hear(News::Listed { engine: engine() });
        script.hear(News::Searched);
        script.containers.enumerated(script.now);
        script
    }

    fn unconnected(settings: Settings) -> Self {
        Self { containers: Containers::new(settings), now: BEGIN, out: Vec::new() }
    }

    /// Time passes, and what is due in it is done at its time.
    fn pass(&mut self, ns: u64) {
        let end = self.now + ns;
        while let Some(due) = self.containers.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.containers.tick(self.now);
            self.settle();
        }
        self.now = end;
        self.containers.tick(end);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(opening) = self.containers.next_start() {
            self.containers.start(&opening.id, Sample::default(), self.now);
        }
        self.out.extend(self.containers.take_out());
    }

    fn hear(&mut self, news: News) {
        let system = SystemTime::UNIX_EPOCH + Duration::from_nanos(self.now);
        self.containers.hear(news, Now { boot_ns: self.now, system });
        self.settle();
    }

    fn described(&mut self, description: Description) {
        self.hear(News::Described(Arc::new(description)));
    }

    fn stopped(&mut self, number: u64, code: u32, at: u64) {
        let at = Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(at));
        let exit = Stopped { code: Some(code), oom: Some(false), at, ..Stopped::default() };
        self.hear(News::Stopped { id: id(number), exit });
    }

    fn made(&mut self, number: u64, cgroup_id: u64) {
        self.containers.made(&kernel_id(number), cgroup_id, self.now);
        self.settle();
    }

    fn removed(&mut self, number: u64, cgroup_id: u64) {
        self.containers.removed(&kernel_id(number), cgroup_id, self.now, self.now);
        self.settle();
    }

    fn seen(&mut self, place: Where, cgroup_id: u64, process: &Arc<Process>, at: u64, fact: Fact) {
        let origin = Origin {
            tier: Tier::Trampoline,
            boot_ns: at,
            process: process.key,
            tid: process.key.tgid,
            cgroup_id: Some(cgroup_id),
            mnt_ns: None,
            sequence: None,
        };
        let seen = Seen { origin, process: Some(Arc::clone(process)), place, fact };
        self.containers.take(seen, self.now);
        self.settle();
    }

    /// In the container, now.
    fn fact(&mut self, number: u64, cgroup_id: u64, process: &Arc<Process>, fact: Fact) {
        self.seen(Where::Container(kernel_id(number)), cgroup_id, process, self.now, fact);
    }

    fn exec(&mut self, number: u64, cgroup_id: u64, process: &Arc<Process>) {
        let exec = Fact::Exec { program: artifact(&process.exe), script: None };
        self.fact(number, cgroup_id, process, exec);
    }

    fn read_ledger(&mut self) {
        self.containers.ledger_read(self.now);
        self.settle();
    }

    /// Time passes as on an idle machine, with a reading of the ledger in each second.
    fn idle(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(SECOND);
            self.read_ledger();
        }
    }

    fn starts(&self) -> Vec<(&Observation, &Start)> {
        let start = |observation| match observation {
            &Observation { fact: Fact::Start(ref start), .. } => Some((observation, &**start)),
            _ => None,
        };
        self.out.iter().filter_map(start).collect()
    }

    fn stops(&self) -> Vec<(&Observation, &Stop)> {
        let stop = |observation| match observation {
            &Observation { fact: Fact::Stop(ref stop), .. } => Some((observation, &**stop)),
            _ => None,
        };
        self.out.iter().filter_map(stop).collect()
    }

    /// One letter for each thing that went on: `x`ec, e`X`it, `l`ibrary, liste`n`, `S`tart, `E`nd, l`o`ss.
    fn told(&self) -> String {
        self.out
            .iter()
            .map(|observation| match observation.fact {
                Fact::Exec { .. } => 'x',
                Fact::Exit { .. } => 'X',
                Fact::Library { .. } => 'l',
                Fact::Listen(_) => 'n',
                Fact::Loss(_) => 'o',
                Fact::Start(_) => 'S',
                Fact::Stop(_) => 'E',
                Fact::FileCreate { .. } => 'f',
            })
            .collect()
    }
}

/// The container's name, or why it has none.
fn name(observation: &Observation) -> &str {
    match &observation.container {
        Place::Container(Container { names: Known::Is(description), .. }) => &description.name,
        Place::Container(Container { names: Known::Not(reason), .. }) => reason,
        other => panic!("{other:?}"),
    }
}
