//! The stages' thread: start-up enumeration first, then every batch that the kernel stage hands on.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, error::TryRecvError};

use super::{figures, observer::Observer};
use crate::{
    health::{Readiness, Step},
    kernel::source::{Batch, KernelCounters},
    observation::Observation,
    process::{Existing, Scan},
};

/// Start-up only: how often to look for records while the first ones settle.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Counters of all stages.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) kernel: KernelCounters,
    pub(super) process: crate::process::Counts,
    pub(super) processes: usize,
    pub(super) container: crate::container::Counts,
    pub(super) cgroups: usize,
    pub(super) file: crate::file::Counters,
}

/// Runs until the kernel stage is over or nobody receives.
///
/// The hooks are attached before `scan` looks: a process that executes in between is told by both, and the hooks'
/// records, which wait in `input`, are walked first so that the process stage can drop the double.
pub(super) fn run(
    mut observer: Observer,
    scan: Scan,
    flush: Duration,
    mut input: mpsc::Receiver<Batch>,
    output: &mpsc::Sender<Vec<Observation>>,
    readiness: &Readiness,
) {
    observer.container.scan();
    let existing: Vec<Existing> = scan.collect();
    // What happened until now has left the rings two flushes from now.
    let settled = Instant::now() + flush * 2;
    while Instant::now() < settled {
        match input.try_recv() {
            Ok(batch) => {
                if output.blocking_send(walk(&mut observer, batch)).is_err() {
                    return;
                }
            }
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => std::thread::sleep(BETWEEN_LOOKS),
        }
    }
    let mut next = Some(tell(&mut observer, existing));
    readiness.reached(Step::Enumerated);
    while let Some(observations) = next {
        if !observations.is_empty() && output.blocking_send(observations).is_err() {
            return;
        }
        next = input.blocking_recv().map(|batch| walk(&mut observer, batch));
    }
}

fn walk(observer: &mut Observer, batch: Batch) -> Vec<Observation> {
    let Batch { records, counters } = batch;
    let observations = records.into_iter().filter_map(|record| observer.observe(record)).collect();
    if let Some(kernel) = counters {
        figures::emit(&Figures {
            kernel,
            process: observer.process.counts(),
            processes: observer.process.len(),
            container: observer.container.counts(),
            cgroups: observer.container.len(),
            file: observer.file.counters(),
        });
    }
    observations
}

fn tell(observer: &mut Observer, existing: Vec<Existing>) -> Vec<Observation> {
    let mut observations = Vec::new();
    for Existing { exec, mappings } in existing {
        if let Some(observation) = observer.observe(exec) {
            observations.push(observation);
            observations.extend(mappings.into_iter().filter_map(|mapping| observer.observe(mapping)));
        }
    }
    observations
}
