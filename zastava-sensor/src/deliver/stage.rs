//! The stage itself: observations become events, once, and only where someone wants them.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use metrics::{Counter, counter};
use tokio::sync::mpsc;
use zastava_common::{
    event::v1::{Event, event::Kind},
    metric,
};

use super::{
    Converter, Hub, KindSet, Output, OutputError, Summary,
    summary::{COUNTED, kind_of},
    telemetry::RecordsLost,
};
use crate::observation::{Fact, Observation};

/// The last stage: one writer, any number of watchers, and the sums for the end.
pub struct Deliver {
    converter: Converter,
    output: Option<Output>,
    /// Kinds that are written.
    kinds: KindSet,
    hub: Arc<Hub>,
    summary: Summary,
    told: [Counter; COUNTED.len()],
}

impl Deliver {
    /// `ledger_entries`: pairs of cgroup and kind whose losses are summed up apart.
    pub fn new(
        converter: Converter,
        output: Option<Output>,
        kinds: KindSet,
        hub: Arc<Hub>,
        ledger_entries: usize,
    ) -> Self {
        let told = COUNTED.map(|(kind, _)| counter!(metric::RUNTIME_EVENTS, "kind" => kind.as_str_name()));
        Self { converter, output, kinds, hub, summary: Summary::new(ledger_entries), told }
    }

    /// Runs until the stage before ends, or until nothing can be written any more. Waits for whoever reads the
    /// output, so it belongs on a thread of its own.
    pub fn run(
        mut self,
        mut batches: mpsc::Receiver<Vec<Observation>>,
    ) -> (Summary, Result<(), OutputError>) {
        while let Some(batch) = batches.blocking_recv() {
            if let Err(error) = self.batch(batch) {
                return (self.summary, Err(error));
            }
        }
        (self.summary, Ok(()))
    }

    /// One write and one turn to each watcher. Watchers come first: a slow reader of the output is not theirs.
    pub fn batch(&mut self, batch: Vec<Observation>) -> Result<(), OutputError> {
        let watched = self.hub.is_watched();
        let mut events = Vec::with_capacity(if watched { batch.len() } else { 0 });
        let mut counts = [0; COUNTED.len()];
        self.converter.follow_clock();
        for observation in batch {
            let kind = kind_of(&observation.fact);
            match &observation.fact {
                Fact::Loss(loss) => {
                    RecordsLost { loss }.emit();
                    self.summary.lost(loss);
                }
                _ => count(&mut counts, kind),
            }
            let written = self.output.is_some() && self.kinds.has(kind);
            if !written && !watched {
                continue;
            }
            let event = self.converter.convert(observation);
            if let (Some(output), true) = (&mut self.output, written) {
                output.push(&event)?;
            }
            if watched {
                events.push(Arc::new(event));
            }
        }
        self.summary.seen(&counts);
        for (counter, count) in self.told.iter().zip(counts) {
            counter.increment(count);
        }
        self.publish(&events);
        self.output.as_mut().map_or(Ok(()), Output::flush)
    }

    fn publish(&self, events: &[Arc<Event>]) {
        if !events.is_empty() {
            self.hub.publish(events);
        }
    }
}

fn count(counts: &mut [u64; COUNTED.len()], kind: Kind) {
    if let Some(place) = COUNTED.iter().position(|(counted, _)| *counted == kind) {
        counts[place] += 1;
    }
}
