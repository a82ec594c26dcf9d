//! Any challenge of a registry is read to its end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_common::evidence::registry::challenge::{Challenge, parse};

fuzz_target!(|headers: Vec<String>| {
    if let Some(Challenge::Bearer { realm, service }) = parse(headers.iter().map(String::as_str)) {
        let all = headers.concat();
        assert!(realm.len() <= all.len() && service.is_none_or(|service| service.len() <= all.len()));
    }
});
