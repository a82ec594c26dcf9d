//! What happens in this stage, told to log and metrics together.

use metrics::{counter, gauge};
use zastava_common::metric;

use crate::observation::Loss;

/// The number of consumers is another one.
pub(super) struct WatchersChanged {
    pub(super) count: usize,
}

impl WatchersChanged {
    pub(super) fn emit(self) {
        tracing::debug!(watchers = self.count, "the number of watchers changed");
        // Exact up to 2^53.
        #[allow(clippy::cast_precision_loss, reason = "there are at most a thousand")]
        gauge!(metric::WATCH_CLIENTS).set(self.count as f64);
    }
}

/// A consumer came that there is no room for.
pub(super) struct WatcherRefused {
    pub(super) max: usize,
}

impl WatcherRefused {
    pub(super) fn emit(self) {
        tracing::warn!(max = self.max, "a watcher was refused: raise zastava.sensor.maxWatchers");
        counter!(metric::WATCH_REFUSALS).increment(1);
    }
}

/// Consumers were too slow for events that they had asked for.
pub(super) struct EventsMissed {
    pub(super) count: u64,
}

impl EventsMissed {
    pub(super) fn emit(self) {
        tracing::debug!(events = self.count, "watchers were too slow");
        counter!(metric::WATCH_MISSED).increment(self.count);
    }
}

/// The kernel's ledger says that records did not arrive.
pub(super) struct RecordsLost<'a> {
    pub(super) loss: &'a Loss,
}

impl RecordsLost<'_> {
    pub(super) fn emit(self) {
        let Loss { cgroup_id, kind, count, .. } = *self.loss;
        tracing::warn!(cgroup_id, kind, count, "records of the kernel were lost");
        counter!(metric::KERNEL_LOST, "kind" => kind).increment(count);
    }
}
