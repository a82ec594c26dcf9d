//! Real time of what the kernel stamps with `CLOCK_BOOTTIME`.

use prost_types::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::kernel::record::ProcessKey;

const SECOND: u64 = 1_000_000_000;
/// Two readings of an unchanged pair of clocks differ by less.
const STEP_NS: u64 = 1_000_000;
/// Readings of which the quickest counts: a preempted one is off by the time it lay still.
const READINGS: usize = 5;

/// How far the real-time clock is ahead of the boot-time clock.
///
/// Both run at the same pace (NTP slews both), so their distance is the same until somebody *sets* the time. Within
/// that span a process keeps one start time, which is part of its identity.
#[derive(Clone, Copy, Debug)]
pub struct BootClock {
    ahead_ns: u64,
}

impl BootClock {
    pub fn read() -> Self {
        let best = (0..READINGS).map(|_| reading()).min_by_key(|(width, _)| *width);
        Self { ahead_ns: best.map_or(0, |(_, ahead_ns)| ahead_ns) }
    }

    pub(super) fn follow(&mut self) {
        let (width, ahead_ns) = reading();
        if width < STEP_NS && ahead_ns.abs_diff(self.ahead_ns) > STEP_NS {
            *self = Self::read();
        }
    }

    /// Nanoseconds since 1970.
    pub(super) fn unix_ns(self, boot_ns: u64) -> u64 {
        self.ahead_ns.saturating_add(boot_ns)
    }

    /// When the process began; `None` where the tier cannot tell.
    pub(super) fn start(self, process: ProcessKey) -> Option<Timestamp> {
        (process.start_boot_ns != 0).then(|| timestamp(self.unix_ns(process.start_boot_ns)))
    }

    #[cfg(test)]
    pub(super) fn ahead_by(ahead_ns: u64) -> Self {
        Self { ahead_ns }
    }
}

pub(super) fn timestamp(unix_ns: u64) -> Timestamp {
    Timestamp { seconds: (unix_ns / SECOND).cast_signed(), nanos: (unix_ns % SECOND) as i32 }
}

/// How long the reading took, and the distance at its middle.
fn reading() -> (u64, u64) {
    let before = nanoseconds(ClockId::Boottime);
    let real = nanoseconds(ClockId::Realtime);
    let width = nanoseconds(ClockId::Boottime).saturating_sub(before);
    (width, real.saturating_sub(before + width / 2))
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec.cast_unsigned().saturating_mul(SECOND) + now.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn boot_time_now_is_the_time_of_day() {
        let real = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let before = real();
        let clock = BootClock::read();
        let now = Duration::from_nanos(clock.unix_ns(nanoseconds(ClockId::Boottime)));
        let after = real();
        let apart = before.saturating_sub(now).max(now.saturating_sub(after));
        assert!(apart < Duration::from_secs(1), "{before:?} {now:?} {after:?}");
    }

    #[test]
    fn a_clock_that_nobody_set_is_left_alone() {
        let mut clock = BootClock::read();
        let before = clock.ahead_ns;
        clock.follow();
        assert_eq!(clock.ahead_ns, before);
    }

    #[test]
    fn a_clock_that_was_set_is_followed() {
        let mut clock = BootClock::ahead_by(0);
        while clock.ahead_ns == 0 {
            clock.follow();
        }
        assert!(clock.ahead_ns.abs_diff(BootClock::read().ahead_ns) < STEP_NS);
    }

    #[test]
    fn a_time_beyond_the_clock_stops_at_its_end() {
        assert_eq!(BootClock::ahead_by(5).unix_ns(u64::MAX), u64::MAX);
        assert_eq!(timestamp(u64::MAX), Timestamp { seconds: 18_446_744_073, nanos: 709_551_615 });
    }
}
