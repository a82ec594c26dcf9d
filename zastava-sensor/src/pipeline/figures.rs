//! Counters of the stages, told as metrics with each reading of the ledger.

use metrics::{counter, gauge};
use zastava_common::metric;

use super::stages::Figures;
use crate::file::reason;

/// Totals that the stages keep; `absolute` makes telling them again harmless.
pub(super) fn emit(figures: &Figures) {
    let Figures { kernel, process, processes, container, cgroups, file, seen, seen_forgotten } = figures;
    counter!(metric::KERNEL_GAPS).absolute(kernel.rings.gaps);
    counter!(metric::KERNEL_READ_FAILURES).absolute(kernel.read_failures);
    counter!(metric::KERNEL_KEPT_REFUSALS).absolute(kernel.kept_refusals);
    for (error, count) in &kernel.rings.refused {
        counter!(metric::KERNEL_DECODE_ERRORS, "reason" => error.to_string()).absolute(*count);
    }
    for (program, misses) in &kernel.recursion_misses {
        counter!(metric::KERNEL_RECURSION_MISSES, "program" => *program).absolute(*misses);
    }
    counter!(metric::PERF_LOST).absolute(kernel.perf.lost);
    counter!(metric::PERF_DECODE_ERRORS).absolute(kernel.perf.malformed);
    counter!(metric::PERF_RESETS).absolute(kernel.perf.resets);
    counter!(metric::FANOTIFY_OVERFLOWS).absolute(kernel.fanotify.overflows);
    counter!(metric::FANOTIFY_DECODE_ERRORS).absolute(kernel.fanotify.malformed);
    counter!(metric::FANOTIFY_GONE).absolute(kernel.fanotify.gone);
    counter!(metric::FANOTIFY_UNWATCHED).absolute(kernel.fanotify.unwatched);
    gauge!(metric::PROCESS_TABLE_SIZE).set(lossy(*processes));
    counter!(metric::PROCESS_TABLE_REFUSALS).absolute(process.evicted);
    gauge!(metric::CGROUP_TABLE_SIZE).set(lossy(*cgroups));
    counter!(metric::CGROUP_TABLE_REFUSALS, "reason" => "room").absolute(container.evicted);
    counter!(metric::CGROUP_TABLE_REFUSALS, "reason" => "tombstone").absolute(container.tombstones_cut);
    gauge!(metric::FILE_CACHE_SIZE).set(lossy(file.remembered));
    counter!(metric::FILE_CACHE_HITS).absolute(file.hits);
    counter!(metric::FILE_CACHE_MISSES).absolute(file.misses);
    counter!(metric::FILE_CACHE_REFUSALS).absolute(file.evictions);
    gauge!(metric::SEEN_TABLE_SIZE).set(lossy(*seen));
    counter!(metric::SEEN_TABLE_REFUSALS).absolute(*seen_forgotten);
    counter!(metric::HASH_BYTES).absolute(file.hashed_bytes);
    for (reason, count) in reason::ALL.iter().zip(file.refusals) {
        if count > 0 {
            counter!(metric::HASH_SKIPS, "reason" => *reason).absolute(count);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "capacities are far below 2^53")]
fn lossy(count: usize) -> f64 {
    count as f64
}
