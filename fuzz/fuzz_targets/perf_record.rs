//! Any perf record is decoded or refused, and what is decoded can be assembled.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use zastava_sensor::kernel::perf::assembler::Make;
use zastava_sensor::kernel::perf::record::decode;
use zastava_sensor::kernel::perf::{BuildIdHints, SidebandAssembler};

fuzz_target!(|bytes: &[u8]| {
    let mut hints = BuildIdHints::new(8);
    let mut assembler = SidebandAssembler::new(Make::Everything, Path::new("/nonexistent"), 8);
    let mut rest = bytes;
    // The input is a series of records, each behind its length.
    while let Some((len, behind)) = rest.split_first() {
        let Some((record, behind)) = behind.split_at_checked(usize::from(*len)) else { break };
        rest = behind;
        for inode_event in [None, Some(0)] {
            if let Ok(record) = decode(record, inode_event) {
                hints.learn(&record);
                assembler.push(record.into_owned(), drop);
            }
        }
    }
    assembler.expire(u64::MAX, drop);
});
