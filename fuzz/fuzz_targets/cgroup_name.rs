//! A cgroup path names at most one container, and nothing made below a container changes that.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::container::{Where, place};

fuzz_target!(|bytes: &[u8]| {
    let Where::Container(outer) = place(bytes) else { return };
    assert_eq!(outer.id.len(), 64);
    let below = [
        bytes,
        b"/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope",
    ];
    let Where::Container(inner) = place(&below.concat()) else { panic!("no container any more") };
    assert_eq!((&inner.id, &inner.cgroup, &inner.pod_uid), (&outer.id, &outer.cgroup, &outer.pod_uid));
});
