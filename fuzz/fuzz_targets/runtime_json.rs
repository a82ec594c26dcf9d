//! JSON of runtimes is read or refused, an id taken from it is a plain one, and a cgroup of a bounded length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::container::runtime::foreign::{cri_info, docker_event, oci_specification};

fuzz_target!(|bytes: &[u8]| {
    cri_info(bytes);
    assert!(oci_specification(bytes).is_none_or(|cgroup| cgroup.len() < 1 << 16));
    if let Some(id) = docker_event(bytes) {
        assert!(!id.is_empty() && id.len() <= 255 && !id.contains('/'));
    }
});
