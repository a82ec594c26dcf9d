//! Records of all CPUs in the order of their times.

use crate::kernel::sys::clock::boot_ns;

use super::reader::PerfReader;
use super::record::Record;

/// A record is visible at the latest this long after its time (it is stamped before it is written).
pub const SETTLE_NS: u64 = 1_000_000;

/// Holds back the newest records of a read, since another CPU may still write into that time.
#[derive(Debug, Default)]
pub struct InOrder {
    /// Bounded by the rings: each [`InOrder::read`] takes at most all of them once, and lets go what is old enough.
    held: Vec<Record<'static>>,
}

impl InOrder {
    /// Reads, and hands on everything that is old enough. Call again soon: what is held waits for the next call.
    /// `seen` gets each record at once.
    pub fn read(
        &mut self,
        reader: &mut PerfReader,
        mut seen: impl FnMut(&Record<'_>),
        sink: impl FnMut(Record<'static>),
    ) {
        let settled = boot_ns().saturating_sub(SETTLE_NS);
        reader.read(|record| {
            seen(&record);
            self.held.push(record.into_owned());
        });
        self.release(settled, sink);
    }

    /// Hands on all that is held up to `settled` (boot time, nanoseconds); at the end of all reading `u64::MAX`.
    pub fn release(&mut self, settled: u64, sink: impl FnMut(Record<'static>)) {
        self.held.sort_by_key(|record| record.time);
        let ready = self.held.partition_point(|record| record.time <= settled);
        self.held.drain(..ready).for_each(sink);
    }
}
