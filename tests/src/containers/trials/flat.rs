//! Memory does not grow with the number of containers that came and went.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::{PATIENCE, Setting, many};
use crate::{containers::wish, stage::Stop};

/// Containers before the first look, by which every cache has its size, and before the second.
const WARM: usize = 500;
const MORE: usize = 1500;
/// KiB that the sensor may have grown by between the two: noise of the allocator.
const SLACK: u64 = 4 << 10;

pub(super) fn flat(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    // Short tombstones: what waits to be forgotten is not what may grow.
    let wish = wish(setting.choice, &runtime).setting("containers: { tombstoneSeconds: 5 }");
    let mut sensor = setting.sensor_as(&wish)?;
    let mut sizes = Vec::new();
    for (number, count) in [WARM, MORE].into_iter().enumerate() {
        let done = many::run(setting, &runtime, number * WARM, count)?;
        sensor.inbox.wait(PATIENCE, |events| many::ended(events, &done))?;
        sizes.push(resident(sensor.pid())?);
    }
    println!("memory after {WARM} and {} containers: {sizes:?} KiB", WARM + MORE);
    sensor.stop()?;
    Ok(is_flat(&sizes)?)
}

fn is_flat(sizes: &[u64]) -> Result<()> {
    let [first, second] = sizes else { return Ok(()) };
    ensure!(*second <= first + SLACK, "the sensor grew from {first} to {second} KiB");
    Ok(())
}

/// KiB, proc(5).
fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(kib.parse()?)
}
