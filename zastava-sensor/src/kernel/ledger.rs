//! Reading the kernel's ledger: totals per (cgroup, kind) become increments, so that no loss is told twice.

use std::collections::HashMap;

use aya::maps::{HashMap as BpfHashMap, MapData};
use zastava_common::abi::{LossKey, LossValue, RecordKind};

use super::{
    hooks::Hook,
    load::{LossKeyPod, LossValuePod},
};

/// The ledger map and what was told of it.
pub struct KernelLedger {
    map: BpfHashMap<MapData, LossKeyPod, LossValuePod>,
    /// Bounded by the map.
    told: HashMap<LossKey, LossValue>,
}

impl KernelLedger {
    pub fn new(map: BpfHashMap<MapData, LossKeyPod, LossValuePod>) -> Self {
        Self { map, told: HashMap::new() }
    }

    /// Losses since the last call.
    pub fn read(&mut self) -> Vec<(LossKey, LossValue)> {
        let Self { map, told } = self;
        let mut news = Vec::new();
        for (LossKeyPod(key), LossValuePod(value)) in map.iter().filter_map(Result::ok) {
            let before = told.get(&key).copied().unwrap_or_default();
            if value.count > before.count {
                let first_ns = if before.count == 0 { value.first_ns } else { before.last_ns };
                news.push((
                    key,
                    LossValue { count: value.count - before.count, first_ns, last_ns: value.last_ns },
                ));
                told.insert(key, value);
            }
        }
        news
    }
}

/// Runs of programs that the kernel skipped, because the program was running already on that CPU: no program, no entry
/// in the ledger. The kernel counts them for each program.
///
/// It happens where programs can be preempted: those of fentry since 5.11, those of tracepoints since about 7.0. Each
/// skipped run counts as a lost record, though it may have had nothing to tell.
#[derive(Debug, Default)]
pub struct SkippedRuns {
    /// What was told of each kind; few.
    told: HashMap<RecordKind, LossValue>,
}

impl SkippedRuns {
    /// Losses since the last call, from the programs' totals.
    pub fn read(
        &mut self,
        totals: impl Iterator<Item = (&'static Hook, u64)>,
        now: u64,
    ) -> Vec<(LossKey, LossValue)> {
        let mut sums: HashMap<RecordKind, u64> = HashMap::new();
        for (hook, skipped) in totals {
            if let Some(kind) = hook.record() {
                *sums.entry(kind).or_default() += skipped;
            }
        }
        let mut news = Vec::new();
        for (kind, count) in sums {
            let before = self.told.entry(kind).or_insert(LossValue { count: 0, first_ns: now, last_ns: now });
            if count > before.count {
                let key = LossKey { cgroup_id: 0, kind: kind as u32, reserved: 0 };
                let value = LossValue { count: count - before.count, first_ns: before.last_ns, last_ns: now };
                news.push((key, value));
            }
            *before = LossValue { count, first_ns: now, last_ns: now };
        }
        news.sort_unstable_by_key(|(key, _)| key.kind);
        news
    }
}

#[cfg(test)]
mod tests {
    use zastava_common::abi::Tier;

    use super::*;
    use crate::kernel::hooks::hooks;

    #[test]
    fn skipped_runs_are_told_once_by_what_they_would_have_told() {
        let totals = |exec, close, rename, script| {
            hooks(Tier::Trampoline).map(move |hook| {
                let skipped = match hook.program {
                    "exec" => exec,
                    "close_fentry" => close,
                    "rename_fentry" => rename,
                    "script_fentry" => script,
                    _ => 0,
                };
                (hook, skipped)
            })
        };
        let key = |kind: RecordKind| LossKey { cgroup_id: 0, kind: kind as u32, reserved: 0 };
        let mut runs = SkippedRuns::default();
        assert_eq!(runs.read(totals(0, 0, 0, 0), 100), []);
        let [exec, file] = [key(RecordKind::Exec), key(RecordKind::File)];
        let lost = |count, first_ns, last_ns| LossValue { count, first_ns, last_ns };
        assert_eq!(
            runs.read(totals(3, 1, 4, 9), 200),
            [(exec, lost(3, 100, 200)), (file, lost(5, 100, 200))]
        );
        assert_eq!(runs.read(totals(3, 1, 5, 9), 300), [(file, lost(1, 200, 300))]);
        assert_eq!(runs.read(totals(3, 1, 5, 9), 400), []);
    }
}
