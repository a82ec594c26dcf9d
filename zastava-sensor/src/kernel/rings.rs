//! Reading the BPF rings: decode, notice gaps, count what is not believed.

use std::collections::HashMap;

use aya::maps::{MapData, RingBuf};

use super::{
    decode::{DecodeError, decode},
    record::{KernelRecord, Sequence},
};

/// Most records taken in one go: bounds a batch's memory, the rest waits in the ring.
const MAX_BATCH: usize = 8192;

/// What came out of the rings, and what did not.
#[derive(Clone, Debug, Default)]
pub struct RingCounters {
    pub records: u64,
    /// Sequence numbers that never arrived: equals the ledger's sum, or the ledger is wrong.
    pub gaps: u64,
    /// Records not believed, by reason.
    pub refused: HashMap<DecodeError, u64>,
}

/// Both rings.
pub struct Rings {
    process: RingBuf<MapData>,
    files: RingBuf<MapData>,
    last: HashMap<(u32, u8), u64>,
    pub counters: RingCounters,
}

impl Rings {
    pub fn new(process: RingBuf<MapData>, files: RingBuf<MapData>) -> Self {
        Self { process, files, last: HashMap::new(), counters: RingCounters::default() }
    }

    /// Descriptors that become readable by the first record after a drain and by the watermark.
    pub fn fds(&self) -> [std::os::fd::BorrowedFd<'_>; 2] {
        use std::os::fd::AsFd as _;
        [self.process.as_fd(), self.files.as_fd()]
    }

    /// Appends what stands in the rings; `true` when more is waiting.
    ///
    /// Files come first: the exec that explains a mapping is in the other ring and later.
    pub fn drain(&mut self, into: &mut Vec<KernelRecord>) -> bool {
        let Self { process, files, last, counters } = self;
        let full = into.len() + MAX_BATCH;
        for ring in [files, process] {
            while into.len() < full {
                let Some(item) = ring.next() else { break };
                match decode(&item) {
                    Ok(record) => {
                        counters.records += 1;
                        if let Some(sequence) = record.origin.sequence {
                            counters.gaps += gap(last, sequence);
                        }
                        into.push(record);
                    }
                    Err(error) => *counters.refused.entry(error).or_default() += 1,
                }
            }
        }
        into.len() >= full
    }
}

/// How many numbers were skipped. Two hooks of one lane on one CPU cannot overtake each other.
fn gap(last: &mut HashMap<(u32, u8), u64>, sequence: Sequence) -> u64 {
    let Sequence { cpu, lane, number } = sequence;
    let before = last.insert((cpu, lane), number).unwrap_or(0);
    number.saturating_sub(before + 1)
}
