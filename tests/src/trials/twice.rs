//! Two sensors on one machine.

use std::{path::Path, time::SystemTime};

use anyhow::{Result, ensure};
use zastava_common::abi::Tier;

use crate::{
    elf::Deed,
    expect::Expected,
    sensor::{Sensor, Wish},
    stage::{Stage, Stop},
};

/// What `run` ends with when another sensor serves its socket.
const ANOTHER_SENSOR: i32 = 4;

/// With sockets of their own they do not know of each other, also when one ends.
pub(super) fn side_by_side(tier: Tier, directory: &Path) -> Result<(), Stop> {
    let wish = Wish::tier(tier);
    let mut one = Sensor::start(&wish, &directory.join("one"))?;
    let mut two = Sensor::start(&wish, &directory.join("two"))?;
    seen_by(tier, directory, &mut [&mut one, &mut two])?;
    one.stop()?;
    seen_by(tier, directory, &mut [&mut two])?;
    two.stop()?;
    Ok(())
}

fn seen_by(tier: Tier, directory: &Path, sensors: &mut [&mut Sensor]) -> Result<(), Stop> {
    let stage = Stage::new(tier, directory)?;
    let since = SystemTime::now();
    let mut expected = Vec::new();
    for number in 0..20 {
        let program = stage.program(&format!("program-{number}"), Deed::Exit(0))?;
        stage.tester(["parent".as_ref(), program.path.as_os_str(), "1".as_ref()])?;
        expected.push(Expected::exec(tier, &program));
        expected.push(Expected::exit(tier, &program.path).with_code(0));
    }
    for sensor in sensors {
        stage.compare(sensor, since, &expected)?;
    }
    Ok(())
}

/// The first one goes on.
pub(super) fn same_socket(tier: Tier, directory: &Path) -> Result<(), Stop> {
    let mut one = Sensor::start(&Wish::tier(tier), &directory.join("one"))?;
    let wish = Wish { socket: Some(one.socket.clone()), ..Wish::tier(tier) };
    let refusal = Sensor::refused(&wish, &directory.join("two"))?;
    ensure_refused(refusal.code == Some(ANOTHER_SENSOR), &refusal.log)?;
    ensure_refused(refusal.log.contains(&*one.socket.to_string_lossy()), &refusal.log)?;
    seen_by(tier, directory, &mut [&mut one])?;
    one.stop()?;
    Ok(())
}

fn ensure_refused(holds: bool, log: &str) -> Result<()> {
    ensure!(holds, "the second sensor ended otherwise than it should:\n{log}");
    Ok(())
}
