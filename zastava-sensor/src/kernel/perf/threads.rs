//! Which threads of a process live: perf tells the end of each thread, a process ends with its last.

use std::collections::HashSet;
use std::path::Path;

/// The living threads of one process. A process of one thread costs no allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct Threads {
    leader_gone: bool,
    others: HashSet<u32>,
    /// More than [`MOST`] at once: from then on the leader's end is taken for the process's.
    uncounted: bool,
}

/// Threads of one process that are kept by name.
const MOST: usize = 16_384;

impl Threads {
    pub(super) fn begin(&mut self, tid: u32) {
        if self.others.len() < MOST {
            self.others.insert(tid);
        } else {
            self.uncounted = true;
        }
    }

    /// Whether the process has ended with this thread.
    pub(super) fn end(&mut self, pid: u32, tid: u32) -> bool {
        if tid == pid {
            self.leader_gone = true;
        } else {
            self.others.remove(&tid);
        }
        self.leader_gone && (self.uncounted || self.others.is_empty())
    }

    /// exec leaves one thread, which then is the leader (`de_thread`, fs/exec.c).
    pub(super) fn exec(&mut self) {
        *self = Self::default();
    }

    /// Records were lost, an end may have been among them: believe the leader alone.
    pub(super) fn doubt(&mut self) {
        self.uncounted = true;
    }

    /// The threads of a process that already runs.
    pub(super) fn of_running(proc_root: &Path, pid: u32) -> Self {
        let mut threads = Self::default();
        let Ok(tasks) = std::fs::read_dir(proc_root.join(pid.to_string()).join("task")) else {
            return threads;
        };
        for tid in tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse::<u32>().ok()) {
            if tid != pid {
                threads.begin(tid);
            }
        }
        threads
    }
}
