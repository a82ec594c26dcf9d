//! The stages' thread: start-up enumeration first, then every batch that the kernel stage hands on.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{figures, observer::Observer};
use crate::{
    health::{Readiness, Step},
    kernel::{
        source::{Batch, KernelCounters},
        sys::memory::give_back,
    },
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
    pub(super) seen: usize,
    pub(super) seen_forgotten: u64,
}

/// The stages with what comes in and where it goes.
pub(super) struct Stages {
    pub(super) observer: Observer,
    pub(super) input: mpsc::Receiver<Batch>,
    pub(super) output: mpsc::Sender<Vec<Observation>>,
}

/// The stage behind has hung up.
struct Over;

impl Stages {
    /// Runs until the kernel stage is over or nobody receives.
    ///
    /// The hooks are attached before `scan` looks: a process that executes in between is told by both, and the hooks'
    /// records, which wait in the rings for up to `flush`, are walked first so that the process stage can drop the
    /// double.
    pub(super) fn run(mut self, scan: Scan, flush: Duration, readiness: &Readiness) {
        // Nobody is left to tell why it ended.
        let _ = self.enumerate(scan, flush).and_then(|()| {
            give_back();
            readiness.reached(Step::Enumerated);
            tracing::info!("ready");
            while let Some(batch) = self.input.blocking_recv() {
                let observations = walk(&mut self.observer, batch);
                self.hand_on(observations)?;
            }
            Ok(())
        });
    }

    fn enumerate(&mut self, scan: Scan, flush: Duration) -> Result<(), Over> {
        self.observer.container.scan();
        let existing: Vec<Existing> = scan.collect();
        let settled = Instant::now() + flush * 2;
        while Instant::now() < settled {
            self.live()?;
            std::thread::sleep(BETWEEN_LOOKS);
        }
        // Reading what runs takes its time; what happens meanwhile does not wait for it.
        for existing in existing {
            let observations = tell(&mut self.observer, existing);
            self.hand_on(observations)?;
            self.live()?;
        }
        Ok(())
    }

    /// Walks the batches that wait.
    fn live(&mut self) -> Result<(), Over> {
        while let Ok(batch) = self.input.try_recv() {
            let observations = walk(&mut self.observer, batch);
            self.hand_on(observations)?;
        }
        Ok(())
    }

    fn hand_on(&self, observations: Vec<Observation>) -> Result<(), Over> {
        if observations.is_empty() {
            return Ok(());
        }
        self.output.blocking_send(observations).map_err(|_| Over)
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
            seen: observer.told.len(),
            seen_forgotten: observer.told.forgotten(),
        });
    }
    observations
}

fn tell(observer: &mut Observer, existing: Existing) -> Vec<Observation> {
    let Existing { exec, mappings } = existing;
    let Some(observation) = observer.observe(exec) else { return Vec::new() };
    let mut observations = vec![observation];
    observations.extend(mappings.into_iter().filter_map(|mapping| observer.observe(mapping)));
    observations
}
