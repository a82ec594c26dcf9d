//! Mappings of programs that are being loaded, where BPF tells the exec (tier `tracepoint`).
//!
//! The kernel maps a program and its loader before it announces the exec, and a process may lose its processor between
//! the two for as long as its cgroup allows. So the mappings wait, from perf's COMM with the exec mark on, for the exec.

use hashlink::LruCache;

use crate::kernel::record::KernelRecord;

/// A program and its loader have fewer.
const MOST_MAPPINGS: usize = 64;

/// At most `capacity` programs that are being loaded.
#[derive(Debug)]
pub(super) struct Loading {
    programs: LruCache<u32, Program>,
    /// Perf may tell of an exec later than BPF.
    announced: LruCache<u32, Announced>,
}

#[derive(Debug)]
struct Program {
    since: u64,
    mappings: Vec<KernelRecord>,
}

#[derive(Clone, Copy, Debug)]
struct Announced {
    at: u64,
    /// As far as perf has told of it.
    since: Option<u64>,
}

impl Loading {
    pub(super) fn new(capacity: usize) -> Self {
        Self { programs: LruCache::new(capacity), announced: LruCache::new(capacity) }
    }

    /// An exec of `pid` began.
    pub(super) fn begin(&mut self, pid: u32, time: u64, sink: &mut impl FnMut(KernelRecord)) {
        if let Some(before) = self.programs.remove(&pid) {
            before.mappings.into_iter().for_each(&mut *sink);
        }
        if let Some(announced) = self.announced.peek_mut(&pid).filter(|announced| announced.at >= time) {
            announced.since = Some(time);
            return;
        }
        if self.programs.len() == self.programs.capacity()
            && let Some((_, oldest)) = self.programs.remove_lru()
        {
            oldest.mappings.into_iter().for_each(&mut *sink);
        }
        self.programs.insert(pid, Program { since: time, mappings: Vec::new() });
    }

    /// A mapping of `pid`: told now, or when the exec is announced. One of the new program is never older than the exec.
    pub(super) fn mapping(
        &mut self,
        pid: u32,
        mut record: KernelRecord,
        sink: &mut impl FnMut(KernelRecord),
    ) {
        if let Some(&Announced { at, since: Some(since) }) = self.announced.peek(&pid)
            && since <= record.origin.boot_ns
        {
            record.origin.boot_ns = record.origin.boot_ns.max(at);
        }
        match self.programs.peek_mut(&pid) {
            Some(program) if program.mappings.len() < MOST_MAPPINGS => program.mappings.push(record),
            _ => sink(record),
        }
    }

    /// The exec of `pid` was announced at `time`, as which time its mappings are told now.
    pub(super) fn announced(&mut self, pid: u32, time: u64, sink: &mut impl FnMut(KernelRecord)) {
        let program = self.programs.peek(&pid).filter(|program| program.since <= time);
        let since = program.map(|program| program.since);
        self.announced.insert(pid, Announced { at: time, since });
        if since.is_some()
            && let Some(program) = self.programs.remove(&pid)
        {
            for mut record in program.mappings {
                record.origin.boot_ns = record.origin.boot_ns.max(time);
                sink(record);
            }
        }
    }

    /// Mappings of execs that began before `limit` and were not announced: they failed, or their records were lost.
    pub(super) fn expire(&mut self, limit: u64, sink: &mut impl FnMut(KernelRecord)) {
        while self.programs.iter().next().is_some_and(|(_, oldest)| oldest.since <= limit)
            && let Some((_, program)) = self.programs.remove_lru()
        {
            program.mappings.into_iter().for_each(&mut *sink);
        }
    }
}
