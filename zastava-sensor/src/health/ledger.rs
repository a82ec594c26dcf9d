//! What was lost in all, by cgroup and kind.

use std::collections::{BTreeMap, HashMap};

use crate::observation::Loss;

/// Sums of the losses that the kernel stage told. When full, further cgroups share the entry of the unknown one:
/// which cgroup it was is then not known, how many records is.
#[derive(Clone, Debug)]
pub struct Ledger {
    entries: HashMap<(Option<u64>, &'static str), Loss>,
    capacity: usize,
    folded: u64,
}

impl Ledger {
    /// `capacity`: pairs of cgroup and kind.
    pub fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity, folded: 0 }
    }

    /// Adds an increment.
    pub fn add(&mut self, loss: &Loss) {
        let mut key = (loss.cgroup_id, loss.kind);
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.folded += 1;
            key.0 = None;
        }
        self.entries
            .entry(key)
            .and_modify(|sum| {
                sum.count = sum.count.saturating_add(loss.count);
                sum.first_boot_ns = sum.first_boot_ns.min(loss.first_boot_ns);
                sum.last_boot_ns = sum.last_boot_ns.max(loss.last_boot_ns);
            })
            .or_insert_with(|| Loss { cgroup_id: key.0, ..loss.clone() });
    }

    /// Records lost in all.
    pub fn total(&self) -> u64 {
        self.entries.values().map(|loss| loss.count).sum()
    }

    /// Records lost of each kind.
    pub fn by_kind(&self) -> BTreeMap<&'static str, u64> {
        let mut kinds = BTreeMap::new();
        for loss in self.entries.values() {
            *kinds.entry(loss.kind).or_default() += loss.count;
        }
        kinds
    }

    /// All sums, the largest first.
    pub fn losses(&self) -> Vec<Loss> {
        let mut losses: Vec<_> = self.entries.values().cloned().collect();
        losses.sort_by_key(|loss| (std::cmp::Reverse(loss.count), loss.cgroup_id, loss.kind));
        losses
    }

    /// Increments whose cgroup was not kept, because the ledger was full.
    pub fn folded(&self) -> u64 {
        self.folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(cgroup_id: Option<u64>, kind: &'static str, count: u64, at: u64) -> Loss {
        Loss { cgroup_id, kind, count, first_boot_ns: at, last_boot_ns: at + 1 }
    }

    #[test]
    fn increments_of_one_cgroup_and_kind_become_one_sum() {
        let mut ledger = Ledger::new(8);
        ledger.add(&loss(Some(7), "exec", 3, 50));
        ledger.add(&loss(Some(7), "exec", 2, 10));
        ledger.add(&loss(Some(7), "exit", 1, 20));
        assert_eq!(ledger.by_kind(), BTreeMap::from([("exec", 5), ("exit", 1)]));
        assert_eq!(
            ledger.losses()[0],
            Loss { cgroup_id: Some(7), kind: "exec", count: 5, first_boot_ns: 10, last_boot_ns: 51 }
        );
    }

    #[test]
    fn a_full_ledger_keeps_the_sum_exact_and_forgets_the_cgroup() {
        let mut ledger = Ledger::new(2);
        for cgroup in 0..100 {
            ledger.add(&loss(Some(cgroup), "exec", 1, cgroup));
        }
        assert_eq!(ledger.total(), 100);
        assert_eq!(ledger.folded(), 98);
        assert_eq!(ledger.losses().len(), 3);
        assert_eq!(ledger.losses()[0].cgroup_id, None);
    }
}
