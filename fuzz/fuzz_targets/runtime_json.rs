//! JSON of CRI-O and Docker is read or refused, and an id taken from it is a plain one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::container::runtime::foreign::{cri_info, docker_event};

fuzz_target!(|bytes: &[u8]| {
    cri_info(bytes);
    if let Some(id) = docker_event(bytes) {
        assert!(!id.is_empty() && id.len() <= 255 && !id.contains('/'));
    }
});
