//! How often something costly may be asked.

const SECOND_NS: u64 = 1_000_000_000;

/// So many times in each second of the records' own clock.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    per_second: u32,
    second: u64,
    left: u32,
}

impl Allowance {
    pub fn per_second(times: u32) -> Self {
        Self { per_second: times, second: 0, left: times }
    }

    /// Whether one more is allowed at this `CLOCK_BOOTTIME`. Records of several CPUs come a little out of order:
    /// an earlier second takes from what the latest one has left.
    pub fn take(&mut self, boot_ns: u64) -> bool {
        let second = boot_ns / SECOND_NS;
        if second > self.second {
            self.second = second;
            self.left = self.per_second;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_own_share_and_time_going_back_gives_none() {
        let mut allowance = Allowance::per_second(2);
        assert_eq!([1, 2, 3].map(|at| allowance.take(at)), [true, true, false]);
        assert_eq!([SECOND_NS, 5, SECOND_NS + 1].map(|at| allowance.take(at)), [true, true, false]);
        assert!(allowance.take(7 * SECOND_NS));
    }
}
