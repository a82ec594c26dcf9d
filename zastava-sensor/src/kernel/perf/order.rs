//! Records of all CPUs in the order of their times.

use super::reader::PerfReader;
use super::record::Record;

/// A record is visible at the latest this long after its time (it is stamped before it is written).
pub const SETTLE_NS: u64 = 1_000_000;

/// Holds back the newest records of a read, since another CPU may still write into that time.
#[derive(Debug, Default)]
pub struct InOrder {
    /// Bounded by the rings, and by how far others' rings lag behind: each [`InOrder::read`] takes at most all of them
    /// once, and lets go what is settled.
    held: Vec<Record<'static>>,
}

impl InOrder {
    /// Reads, and hands on everything up to `settled` (boot time, nanoseconds): [`SETTLE_NS`] ago, or at the end of all
    /// reading `u64::MAX`. Call again soon: what is held waits for the next call. `seen` gets each record at once.
    pub fn read(
        &mut self,
        reader: &mut PerfReader,
        settled: u64,
        mut seen: impl FnMut(&Record<'_>),
        sink: impl FnMut(Record<'static>),
    ) {
        reader.read(|record| {
            seen(&record);
            self.held.push(record.into_owned());
        });
        self.held.sort_by_key(|record| record.time);
        let ready = self.held.partition_point(|record| record.time <= settled);
        self.held.drain(..ready).for_each(sink);
    }
}
