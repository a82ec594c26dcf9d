//! What ran before the sensor looked: an exec record and mapping records for each process, from procfs.
//!
//! To be run after the hooks are attached, so that nothing falls between; its records go behind those of the hooks,
//! and [`super::ProcessTable::exec`] refuses the processes that had reported themselves meanwhile.

mod mappings;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::vec;

use zastava_common::abi::{Ancestor, COMM_LEN, MAX_ANCESTORS, Tier};

use super::proc::cgroupfs::Cgroupfs;
use super::proc::stat::{self, Stat};
use super::proc::{ProcRoot, processes};
use super::running::{Running, Unread, exe};
use crate::kernel::record::{Exec, KernelRecord, Mapping, Origin, ProcessKey, What};
use crate::kernel::sys::clock::boot_ns;
use mappings::MappedFiles;

/// A process and what it has mapped executable.
#[derive(Clone, Debug)]
pub struct Existing {
    pub exec: KernelRecord,
    /// Without those that an earlier process of the same cgroup has.
    pub mappings: Vec<KernelRecord>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    pub processes: u64,
    pub mappings: u64,
    /// Gone, or running another program, while they were read.
    pub vanished: u64,
    /// Refused by the kernel, for want of capabilities.
    pub refused: u64,
    /// Beyond the limit.
    pub left_out: u64,
}

/// Reads one process at each step, in the order of their starts: parents before children.
#[derive(Debug)]
pub struct Scan {
    proc: ProcRoot,
    unified: Option<Cgroupfs>,
    tier: Tier,
    waiting: vec::IntoIter<ProcessKey>,
    tree: HashMap<u32, Node>,
    files: MappedFiles,
    counts: Counts,
}

/// What the first look at a process told.
#[derive(Clone, Copy, Debug)]
struct Node {
    start_boot_ns: u64,
    ppid: u32,
    comm: [u8; COMM_LEN],
}

/// Looks at all processes once, cheaply, and prepares to read at most `limit` of them, the eldest first. `tier` is
/// the one that the records carry.
pub fn scan(proc: ProcRoot, unified: Option<Cgroupfs>, tier: Tier, limit: usize) -> Scan {
    let mut counts = Counts::default();
    let mut tree = HashMap::new();
    for tgid in processes(&proc) {
        let Ok(line) = proc.read(tgid, "stat", stat::LIMIT) else {
            counts.vanished += 1;
            continue;
        };
        if let Some(stat) = Stat::parse(&line).filter(|stat| !stat.is_kernel_thread() && !stat.is_gone()) {
            let mut comm = [0; COMM_LEN];
            let length = stat.comm.len().min(COMM_LEN - 1);
            comm[..length].copy_from_slice(&stat.comm[..length]);
            tree.insert(tgid, Node { start_boot_ns: stat.start_boot_ns(), ppid: stat.ppid, comm });
        }
    }
    let mut waiting: Vec<_> = tree
        .iter()
        .map(|(tgid, node)| ProcessKey { tgid: *tgid, start_boot_ns: node.start_boot_ns })
        .collect();
    waiting.sort_unstable_by_key(|key| (key.start_boot_ns, key.tgid));
    counts.left_out = waiting.len().saturating_sub(limit) as u64;
    waiting.truncate(limit);
    Scan { proc, unified, tier, waiting: waiting.into_iter(), tree, files: MappedFiles::new(), counts }
}

impl Iterator for Scan {
    type Item = Existing;

    fn next(&mut self) -> Option<Existing> {
        loop {
            let key = self.waiting.next()?;
            match self.read(key) {
                Ok(existing) => {
                    self.counts.processes += 1;
                    self.counts.mappings += existing.mappings.len() as u64;
                    return Some(existing);
                }
                Err(Unread::KernelThread) => {}
                Err(Unread::Gone) => self.counts.vanished += 1,
                Err(Unread::Refused(error)) => {
                    tracing::debug!(tgid = key.tgid, %error, "a running process could not be read");
                    self.counts.refused += 1;
                }
            }
        }
    }
}

/// Looks at what single processes have mapped.
#[derive(Debug)]
pub struct Mapped {
    proc: ProcRoot,
    files: MappedFiles,
}

impl Mapped {
    pub fn new(proc: ProcRoot) -> Self {
        Self { proc, files: MappedFiles::new() }
    }

    /// What the process has mapped executable, each file once, without those whose paths are known and without what
    /// another process that has the pid by now has.
    pub fn read(&mut self, process: ProcessKey, known: impl Fn(&[u8]) -> bool) -> io::Result<Vec<Mapping>> {
        let mappings = self.files.sample(&self.proc, process.tgid, known)?;
        let line = self.proc.read(process.tgid, "stat", stat::LIMIT)?;
        match Stat::parse(&line) {
            Some(stat) if process.is_same_start(stat.start_boot_ns()) => Ok(mappings),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Scan {
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn read(&mut self, expected: ProcessKey) -> Result<Existing, Unread> {
        let tgid = expected.tgid;
        let Running { key, exec, cgroup_id, mnt_ns } =
            Running::read(&self.proc, self.unified.as_ref(), tgid)?;
        if key != expected {
            return Err(Unread::Gone);
        }
        let file = self.files.program(&self.proc, tgid);
        let mappings = self.files.executable(&self.proc, tgid, cgroup_id);
        // An exec in between would mix two programs; its own record is on the way.
        if exe(&self.proc, tgid)? != exec.exe {
            return Err(Unread::Gone);
        }
        let origin = Origin {
            tier: self.tier,
            boot_ns: boot_ns(),
            process: key,
            tid: tgid,
            cgroup_id,
            mnt_ns,
            sequence: None,
        };
        let exec = Exec { file, ancestors: self.ancestors(exec.ppid), ..exec };
        let mappings =
            mappings.into_iter().map(|mapping| KernelRecord { origin, what: What::Mapping(mapping) });
        Ok(Existing {
            exec: KernelRecord { origin, what: What::Exec(Box::new(exec)) },
            mappings: mappings.collect(),
        })
    }

    fn ancestors(&self, parent: u32) -> Vec<Ancestor> {
        let mut tgid = parent;
        let mut ancestors = Vec::new();
        while let Some(node) = self.tree.get(&tgid)
            && ancestors.len() < MAX_ANCESTORS
        {
            let Node { start_boot_ns, ppid, comm } = *node;
            ancestors.push(Ancestor { start_boot_ns, tgid, reserved: 0, comm });
            tgid = ppid;
        }
        ancestors
    }
}
