//! What containerd sends is read or refused, and what is taken of it is within its bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::container::runtime::foreign::{containerd_container, containerd_event};

fuzz_target!(|bytes: &[u8]| {
    if let Some(id) = containerd_event(bytes) {
        assert!(!id.is_empty() && id.len() <= 255 && !id.contains('/'));
    }
    if let Some(name) = containerd_container(bytes) {
        assert!(name.len() <= 4096);
    }
});
