//! A line of `stat` is read or refused; a name in it shifts no field.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_sensor::process::proc::stat::Stat;

fuzz_target!(|bytes: &[u8]| {
    let Some(stat) = Stat::parse(bytes) else { return };
    assert!(stat.comm.len() < bytes.len());
    let _ = (stat.start_boot_ns(), stat.is_kernel_thread(), stat.is_gone());
});
