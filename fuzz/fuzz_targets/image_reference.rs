//! A text names an image or none, and what it names reads the same when it is written out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_common::evidence::ImageReference;

fuzz_target!(|text: &str| {
    let Ok(image) = text.parse::<ImageReference>() else { return };
    let written = image.to_string();
    assert_eq!(written.parse::<ImageReference>().as_ref(), Ok(&image));
    assert!(image.repository().segments().all(|segment| !segment.is_empty()));
    assert!(written.is_ascii() && !written.contains(char::is_whitespace));
});
