//! From side-band records to [`KernelRecord`]s.
//!
//! The order within an exec (`begin_new_exec`, fs/exec.c; `load_elf_binary`, fs/binfmt_elf.c): COMM with the exec mark,
//! then the program's own segments, then its ELF interpreter's. So the first executable file mapping after the COMM is
//! the program. Records must come in order of time (see [`super::InOrder`]).
//!
//! Between the two, an exec that gains rights (set-user-id, file capabilities) tells of an EXIT: the kernel takes the
//! events of the old program's user away by `perf_event_exit_task` (`begin_new_exec`), which says so although the process
//! lives on.

use std::path::{Path, PathBuf};

use hashlink::LruCache;
use zastava_common::abi::{LossKey, LossValue, Tier};

use crate::kernel::record::{
    Arguments, Exec, Exit, KernelPath, KernelRecord, Mapping, Origin, ProcessKey, What,
};

use super::identity::Identities;
use super::loading::Loading;
use super::record::{Kind, Mmap, Record, Task};
use super::threads::Threads;

/// What stands in `uid` and `gid` of an exec that perf saw: the kernel's own "no such id", `(uid_t)-1`.
pub const NO_ID: u32 = u32::MAX;

/// `LossKey.kind` of lost perf records: their kinds are not known, so it is none of `RecordKind`.
pub const LOSS_OF_UNKNOWN_KIND: u32 = 0;

/// An exec without an executable file mapping goes out after this time without a path, a mapping without its exec as one
/// of the program before.
const EXEC_WAIT_NS: u64 = 1_000_000_000;

/// Which records to make of what perf tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Make {
    /// Mappings alone, BPF tells of processes (tier `tracepoint`).
    Mappings,
    /// Exec, exit and mappings (tier `sideband`).
    Everything,
}

/// State of the tier: what is known of living processes, at most `capacity` of them.
#[derive(Debug)]
pub struct SidebandAssembler {
    make: Make,
    proc_root: PathBuf,
    identities: Identities,
    processes: LruCache<u32, Process>,
    /// Processes whose program is not mapped yet.
    waiting: LruCache<u32, Waiting>,
    /// Where others tell of the exec: programs that are mapped, but not announced.
    loading: Loading,
    counters: Counters,
    last_loss: u64,
}

#[derive(Clone, Debug)]
struct Process {
    ppid: u32,
    comm: Vec<u8>,
    threads: Threads,
}

#[derive(Clone, Debug)]
struct Waiting {
    time: u64,
    tid: u32,
    comm: Vec<u8>,
    /// An EXIT since: the process's, unless its program is mapped after all.
    exit: Option<(Task, Origin)>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Execs that went out without a path.
    pub execs_without_program: u64,
    /// Processes forgotten for want of room.
    pub evicted: u64,
}

impl SidebandAssembler {
    /// `proc_root` is where the host's /proc stands.
    pub fn new(make: Make, proc_root: &Path, capacity: usize) -> Self {
        Self {
            make,
            proc_root: proc_root.to_path_buf(),
            identities: Identities::new(proc_root),
            processes: LruCache::new(capacity.max(1)),
            waiting: LruCache::new(capacity.clamp(1, 4096)),
            loading: Loading::new(capacity.clamp(1, 4096)),
            counters: Counters::default(),
            last_loss: 0,
        }
    }

    /// Takes the next record in order of time.
    pub fn push(&mut self, record: Record<'_>, mut sink: impl FnMut(KernelRecord)) {
        let origin = self.origin(&record);
        let everything = self.make == Make::Everything;
        match record.kind {
            Kind::Mmap(mmap) if mmap.is_executable_file() => {
                if let Some(waiting) = self.waiting.remove(&record.pid) {
                    sink(self.exec(record.pid, waiting, Some(&mmap)));
                } else {
                    let what = What::Mapping(self.mapping(record.pid, &mmap));
                    self.loading.mapping(record.pid, KernelRecord { origin, what }, &mut sink);
                }
            }
            Kind::Comm { exec: true, .. } if !everything => {
                self.loading.begin(record.pid, record.time, &mut sink);
            }
            Kind::Comm { comm, exec: true } if everything => {
                let waiting = Waiting { time: record.time, tid: record.tid, comm, exit: None };
                if let Some(before) = self.waiting.remove(&record.pid) {
                    self.without_program(record.pid, before, &mut sink);
                }
                self.make_room_for_waiting(&mut sink);
                let process = self.process(record.pid);
                process.comm.clone_from(&waiting.comm);
                process.threads.exec();
                self.waiting.insert(record.pid, waiting);
            }
            Kind::Comm { comm, exec: false } if everything && record.pid == record.tid => {
                self.process(record.pid).comm = comm;
            }
            Kind::Fork(task) if everything => self.fork(task, &mut sink),
            Kind::Exit(task) if everything => self.exit(task, origin, &mut sink),
            Kind::Lost(count) => self.lost(count, origin, sink),
            Kind::Mmap(_) | Kind::Comm { .. } | Kind::Fork(_) | Kind::Exit(_) => {}
        }
    }

    /// Records were lost; 0: their number is told elsewhere.
    pub fn lost(&mut self, count: u64, origin: Origin, mut sink: impl FnMut(KernelRecord)) {
        self.processes.iter_mut().for_each(|(_, process)| process.threads.doubt());
        if count > 0 {
            sink(self.loss(origin, count));
        }
    }

    /// Another source told of an exec of `pid` at `time`.
    pub fn announced(&mut self, pid: u32, time: u64, mut sink: impl FnMut(KernelRecord)) {
        self.loading.announced(pid, time, &mut sink);
    }

    /// Lets execs go that have waited too long for a mapping, and mappings for their exec. Call with each read.
    pub fn expire(&mut self, boot_ns: u64, mut sink: impl FnMut(KernelRecord)) {
        let limit = boot_ns.saturating_sub(EXEC_WAIT_NS);
        self.loading.expire(limit, &mut sink);
        while self.waiting.iter().next().is_some_and(|(_, oldest)| oldest.time <= limit)
            && let Some((pid, waiting)) = self.waiting.remove_lru()
        {
            self.without_program(pid, waiting, &mut sink);
        }
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn origin(&self, record: &Record<'_>) -> Origin {
        let tier = match self.make {
            Make::Mappings => Tier::Tracepoint,
            Make::Everything => Tier::Sideband,
        };
        let process = ProcessKey { tgid: record.pid, start_boot_ns: 0 };
        Origin {
            tier,
            boot_ns: record.time,
            process,
            tid: record.tid,
            cgroup_id: None,
            mnt_ns: None,
            sequence: None,
        }
    }

    fn mapping(&mut self, pid: u32, mmap: &Mmap<'_>) -> Mapping {
        Mapping {
            file: self.identities.of(pid, mmap),
            image: 0,
            path: path_of(mmap),
            build_id: mmap.build_id.map(|id| id.bytes().to_vec()),
            by_protect: false,
        }
    }

    fn exec(&mut self, pid: u32, waiting: Waiting, program: Option<&Mmap<'_>>) -> KernelRecord {
        if program.is_none() {
            self.counters.execs_without_program += 1;
        }
        let exec = Exec {
            file: program.and_then(|mmap| self.identities.of(pid, mmap)),
            image: 0,
            exe: program.map(path_of).unwrap_or_default(),
            cwd: KernelPath::default(),
            filename: Vec::new(),
            is_script: false,
            script: None,
            comm: waiting.comm,
            uid: NO_ID,
            gid: NO_ID,
            ppid: self.processes.peek(&pid).map_or(0, |process| process.ppid),
            args: Arguments::default(),
            ancestors: Vec::new(),
            build_id: program.and_then(|mmap| mmap.build_id).map(|id| id.bytes().to_vec()),
            existing: false,
        };
        let process = ProcessKey { tgid: pid, start_boot_ns: 0 };
        let origin = Origin {
            tier: Tier::Sideband,
            boot_ns: waiting.time,
            process,
            tid: waiting.tid,
            cgroup_id: None,
            mnt_ns: None,
            sequence: None,
        };
        KernelRecord { origin, what: What::Exec(Box::new(exec)) }
    }

    /// The oldest waiting exec goes out without its program rather than not at all.
    fn make_room_for_waiting(&mut self, sink: &mut impl FnMut(KernelRecord)) {
        if self.waiting.len() == self.waiting.capacity()
            && let Some((pid, waiting)) = self.waiting.remove_lru()
        {
            self.without_program(pid, waiting, sink);
        }
    }

    /// No mapping came; if an end did, it was the process's.
    fn without_program(&mut self, pid: u32, mut waiting: Waiting, sink: &mut impl FnMut(KernelRecord)) {
        let exit = waiting.exit.take();
        sink(self.exec(pid, waiting, None));
        if let Some((task, origin)) = exit {
            self.exit(task, origin, sink);
        }
    }

    fn fork(&mut self, task: Task, sink: &mut impl FnMut(KernelRecord)) {
        // A new process with that number: the one before has ended.
        if task.pid == task.tid
            && let Some(waiting) = self.waiting.remove(&task.pid)
        {
            self.without_program(task.pid, waiting, sink);
        }
        if task.pid == task.tid {
            let comm = self.process(task.ppid).comm.clone();
            self.make_room(task.pid);
            self.processes.insert(task.pid, Process { ppid: task.ppid, comm, threads: Threads::default() });
        } else {
            self.process(task.pid).threads.begin(task.tid);
        }
    }

    fn exit(&mut self, task: Task, origin: Origin, sink: &mut impl FnMut(KernelRecord)) {
        if let Some(waiting) = self.waiting.peek_mut(&task.pid) {
            // A process between exec and program has one thread.
            waiting.exit = Some((task, origin));
            return;
        }
        let process = self.process(task.pid);
        process.ppid = task.ppid;
        if !process.threads.end(task.pid, task.tid) {
            return;
        }
        let comm = self.processes.remove(&task.pid).map(|process| process.comm).unwrap_or_default();
        sink(KernelRecord { origin, what: What::Exit(Exit { status: None, ppid: task.ppid, comm }) });
    }

    /// What is known of `pid`; of one that ran before the sensor, what /proc tells now.
    fn process(&mut self, pid: u32) -> &mut Process {
        if self.processes.peek(&pid).is_none() {
            self.make_room(pid);
        }
        let proc_root = &self.proc_root;
        self.processes.entry(pid).or_insert_with(|| {
            let mut comm = std::fs::read(proc_root.join(pid.to_string()).join("comm")).unwrap_or_default();
            comm.pop_if(|last| *last == b'\n');
            Process { ppid: 0, comm, threads: Threads::of_running(proc_root, pid) }
        })
    }

    fn make_room(&mut self, pid: u32) {
        if self.processes.peek(&pid).is_none() && self.processes.len() == self.processes.capacity() {
            self.processes.remove_lru();
            self.counters.evicted += 1;
        }
    }

    fn loss(&mut self, origin: Origin, count: u64) -> KernelRecord {
        let first_ns = if self.last_loss == 0 { origin.boot_ns } else { self.last_loss };
        self.last_loss = origin.boot_ns;
        let key = LossKey { cgroup_id: 0, kind: LOSS_OF_UNKNOWN_KIND, reserved: 0 };
        let value = LossValue { count, first_ns, last_ns: origin.boot_ns };
        KernelRecord { origin, what: What::Loss { key, value } }
    }
}

fn path_of(mmap: &Mmap<'_>) -> KernelPath {
    KernelPath { bytes: mmap.name().to_vec(), truncated: false }
}
