//! When two sources speak of the same process.

use super::proc::stat::TICK_NS;
use crate::kernel::record::ProcessKey;

impl ProcessKey {
    /// Whether a process with this pid that started then is this one.
    ///
    /// BPF tells the start in nanoseconds, procfs in ticks rounded down, perf not at all (0, which fits any start):
    /// so starts less than a tick apart are the same. A pid would have to be used twice within a tick to be
    /// mistaken, and the kernel hands out all others first (kernel/pid.c, `idr_alloc_cyclic`).
    pub fn is_same_start(&self, start_boot_ns: u64) -> bool {
        self.start_boot_ns == 0 || start_boot_ns == 0 || self.start_boot_ns.abs_diff(start_boot_ns) < TICK_NS
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(start_boot_ns: u64) -> ProcessKey {
        ProcessKey { tgid: 7, start_boot_ns }
    }

    #[test]
    fn an_unknown_start_fits_any() {
        assert!(key(0).is_same_start(5));
        assert!(key(5 * TICK_NS).is_same_start(0));
    }

    proptest! {
        #[test]
        fn a_start_fits_itself_as_procfs_rounds_it(start in 1_u64..u64::MAX / 2) {
            let rounded = start / TICK_NS * TICK_NS;
            prop_assert!(key(start).is_same_start(rounded));
            prop_assert!(key(rounded).is_same_start(start));
        }

        #[test]
        fn a_start_a_tick_or_more_away_is_another_process(start in 1_u64..u64::MAX / 2, further in TICK_NS..u64::MAX / 2) {
            prop_assert!(!key(start).is_same_start(start + further));
        }
    }
}
