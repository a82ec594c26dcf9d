//! A buffer of fanotify events is read to its end, whatever it holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::kernel::fanotify::event::decode;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (event, behind) = decode(rest);
        assert!(behind.len() < rest.len());
        if let Ok(event) = event
            && let Some((_, handle)) = event.object
        {
            let _ = handle.generation(0xef53);
        }
        rest = behind;
    }
});
