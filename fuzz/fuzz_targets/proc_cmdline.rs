//! Counting arguments in pieces and at once gives the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::process::proc::cmdline::ArgumentSize;

fuzz_target!(|bytes: &[u8]| {
    let whole = ArgumentSize::of(bytes);
    assert_eq!(whole.bytes as usize, bytes.len());
    assert_eq!(ArgumentSize::read(bytes).ok(), Some(whole));
});
