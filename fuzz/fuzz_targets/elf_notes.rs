//! Any bytes have a build-id or a reason, and no build-id is longer than linkers write.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::file::elf::build_id;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(found) = build_id(&bytes) {
        assert!((1..=64).contains(&found.len()));
    }
});
