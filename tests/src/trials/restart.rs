//! A sensor that died without a word.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Result;
use zastava_common::abi::Tier;

use crate::{
    elf::Deed,
    expect::Expected,
    sensor::{Sensor, Wish},
    stage::{Stage, Stop, ensure_that},
};

/// The kernel frees programs some time after their last user is gone (RCU).
const FREED: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// After SIGKILL nothing of the sensor is left in the kernel, and the next one finds its place free.
pub(super) fn killed(tier: Tier, directory: &Path) -> Result<(), Stop> {
    let wish = Wish::tier(tier);
    let sensor = Sensor::start(&wish, &directory.join("sensor"))?;
    let stage = Stage::new(tier, directory)?;
    let own = programs_of(sensor.pid())?;
    ensure_that(own.is_empty() == (tier == Tier::Sideband), format!("holds the programs {own:?}"))?;
    sensor.kill()?;
    let deadline = Instant::now() + FREED;
    loop {
        let left: Vec<_> = loaded(&stage)?.intersection(&own).copied().collect();
        if left.is_empty() {
            break;
        }
        ensure_that(Instant::now() < deadline, format!("programs {left:?} are still loaded"))?;
        thread::sleep(PAUSE);
    }
    let mut next = Sensor::start(&wish, &directory.join("sensor"))?;
    let since = SystemTime::now();
    let program = stage.program("program", Deed::Exit(0))?;
    stage.tester(["parent".as_ref(), program.path.as_os_str(), "1".as_ref()])?;
    let expected = [Expected::exec(tier, &program), Expected::exit(tier, &program.path).with_code(0)];
    stage.compare(&mut next, since, &expected)?;
    next.stop()?;
    Ok(())
}

/// Kernel programs that a process holds.
fn programs_of(pid: u32) -> Result<BTreeSet<u32>> {
    let mut programs = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // A descriptor may be closed meanwhile.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        for line in text.lines() {
            if let Some(id) = line.strip_prefix("prog_id:") {
                programs.insert(id.trim().parse()?);
            }
        }
    }
    Ok(programs)
}

/// Kernel programs of this machine.
fn loaded(stage: &Stage) -> Result<BTreeSet<u32>, Stop> {
    let mut programs = BTreeSet::new();
    for line in stage.tester(["programs"])?.lines() {
        programs.insert(line.parse::<u32>()?);
    }
    Ok(programs)
}
