//! Every membership in `cgroup` is an absolute path out of the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::process::proc::cgroup::memberships;

fuzz_target!(|bytes: &[u8]| {
    for membership in memberships(bytes) {
        assert!(membership.path.starts_with(b"/") || membership.removed);
        assert!(!membership.path.contains(&b'\n'));
    }
});
