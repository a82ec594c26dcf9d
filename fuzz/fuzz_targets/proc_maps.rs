//! Every line of `maps` that is taken is a file with a range.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::process::proc::maps::files;

fuzz_target!(|bytes: &[u8]| {
    for line in files(bytes) {
        assert!(line.start < line.end && line.ino != 0 && line.path.starts_with(b"/"));
    }
});
