//! `mountinfo` is read, and unescaping lengthens nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::process::proc::mountinfo::{mounts, unescape};

fuzz_target!(|bytes: &[u8]| {
    for mount in mounts(bytes) {
        assert!(unescape(mount.root).len() <= mount.root.len());
        assert!(unescape(mount.point).len() <= mount.point.len());
    }
    let _ = unescape(bytes);
});
