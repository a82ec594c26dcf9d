//! What a node full of containers that do nothing costs.

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result};
use zastava_tests::{containers::runtime::Runtime, containers::runtime::in_pod, sensor::Sensor};

use super::{PATIENCE, Place};
use crate::{
    cost::Cost,
    table::{Table, mebibytes, thousands},
};

const WATCHED: Duration = Duration::from_secs(20);
/// Containers of one pod.
const IN_POD: usize = 20;

pub(super) fn measure(place: &Place<'_>, quick: bool) -> Result<Table> {
    let count = if quick { 20 } else { 200 };
    let mut sensor = place.sensor(&[])?;
    let mut table = Table::new(
        &format!("Containers that do nothing, over {} s:", WATCHED.as_secs()),
        ["containers", "own CPU per second, us", "resident, MiB"],
    );
    table.row(row(0, &sensor)?);
    let Runtime::Containerd(_, cri) = &place.runtime else { return Ok(table) };
    let mut pods = Vec::new();
    for number in 0..count {
        if number % IN_POD == 0 {
            pods.push(place.runtime.run(&place.wish(&[]))?);
        } else if let Some(pod) = pods.last().and_then(|ran| ran.pod.as_ref()) {
            in_pod(cri, pod, &place.wish(&[]))?;
        }
    }
    sensor.inbox.wait(PATIENCE, |_| false).map(drop)?;
    table.row(row(count, &sensor)?);
    sensor.stop()?;
    for pod in pods {
        place.runtime.remove(&pod)?;
    }
    Ok(table)
}

fn row(containers: usize, sensor: &Sensor) -> Result<[String; 3]> {
    let before = Cost::of(sensor.pid())?;
    thread::sleep(WATCHED);
    let own = Cost::of(sensor.pid())?.own_since(&before)? / WATCHED.as_secs();
    Ok([containers.to_string(), thousands(own), mebibytes(resident(sensor.pid())?)])
}

/// Bytes, proc(5).
fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(kib.parse::<u64>()? << 10)
}
