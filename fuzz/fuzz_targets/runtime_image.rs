//! What an image brings along (its name, manifests, layers) is read or refused, and what is taken of it is within its
//! bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::container::runtime::foreign::{containerd_blob, image_name, lower_directories};

fuzz_target!(|text: &str| {
    assert!(containerd_blob(text.as_bytes()) <= 512);
    assert!(lower_directories(text).len() <= 512);
    assert!(image_name(text).is_none_or(|name| name.matches('@').count() < 2));
});
