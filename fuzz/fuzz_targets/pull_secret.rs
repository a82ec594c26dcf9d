//! Any pull secret is read or refused, and gives its credentials to no other host than it names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_common::evidence::registry::PullSecrets;

fuzz_target!(|bytes: &[u8]| {
    let mut secrets = PullSecrets::default();
    if secrets.add(bytes).is_ok() && !bytes.iter().any(|byte| b"*\\".contains(byte)) {
        let image = "nowhere-else.test/app".parse().expect("a reference");
        assert!(
            secrets.find(&image).is_none()
                || String::from_utf8_lossy(bytes).to_lowercase().contains("nowhere-else.test")
        );
    }
});
