//! Memory that must not grow with what comes and goes.

use std::{env, fs, process::Command, thread};

use crate::kernel::sys::memory::give_back;

/// KiB by which the process may grow between a tenth of the turns and the last: noise of the allocator.
const SLACK: u64 = 1024;
const ALONE: &str = "ZASTAVA_TEST_ALONE";

/// Turns, in a process of its own, whose memory no other test fills. Returns whether this is that process.
pub(super) fn stays_flat(turns: u64, mut turn: impl FnMut(u64)) -> bool {
    if env::var_os(ALONE).is_none() {
        let test = thread::current().name().unwrap().to_owned();
        let status =
            Command::new(env::current_exe().unwrap()).args(["--exact", &test]).env(ALONE, "1").status();
        assert!(status.unwrap().success(), "in a process of its own");
        return false;
    }
    let mut early = 0;
    for number in 0..turns {
        if number == turns / 10 {
            early = resident();
        }
        turn(number);
    }
    let late = resident();
    assert!(late <= early + SLACK, "it grew from {early} to {late} KiB");
    true
}

/// KiB, proc(5).
fn resident() -> u64 {
    give_back();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
