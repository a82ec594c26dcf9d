//! `status` is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::process::proc::status::Status;

fuzz_target!(|bytes: &[u8]| {
    let _ = Status::parse(bytes);
});
