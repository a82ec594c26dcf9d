//! Reading the kernel's ledger: totals per (cgroup, kind) become increments, so that no loss is told twice.

use std::collections::HashMap;

use aya::maps::{HashMap as BpfHashMap, MapData};
use zastava_common::abi::{LossKey, LossValue};

use super::load::{LossKeyPod, LossValuePod};

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
