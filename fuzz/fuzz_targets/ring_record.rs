//! Any bytes in a ring are a record or refused with a reason.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::kernel::decode::decode;

fuzz_target!(|bytes: &[u8]| {
    // As it stands, and with a length that fits, for the checks behind that of the length.
    let _ = decode(bytes);
    let mut record = bytes.to_vec();
    if let (Ok(len), Some(place)) = (u32::try_from(bytes.len()), record.get_mut(..4)) {
        place.copy_from_slice(&len.to_ne_bytes());
        let _ = decode(&record);
    }
});
