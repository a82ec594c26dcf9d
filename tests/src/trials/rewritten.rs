//! What is told once must be told again when it is another.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use zastava_common::{
    abi::Tier,
    event::v1::{Event, event::Kind},
};

use crate::{
    elf::{Deed, Program},
    expect::{file_of, lossy},
    fixture::Fixture,
    sensor::{Sensor, Wish},
    stage::{Stage, Stop, ensure_that},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// As `cp` writes over a file: the inode stays.
pub(super) fn library(tier: Tier, directory: &Path) -> Result<(), Stop> {
    let mut sensor = Sensor::start(&Wish::tier(tier), &directory.join("sensor"))?;
    let stage = Stage::new(tier, directory)?;
    let first = stage.library("library.so")?;
    map(&stage, &mut sensor, &first)?;
    fs::write(&first.path, Program::shared("other bytes", Deed::Exit(1)).bytes)?;
    let second = Fixture::of(first.path.clone())?;
    ensure_that(first.inode == second.inode, "written to another inode")?;
    map(&stage, &mut sensor, &second)?;
    let inbox = sensor.stop()?;
    let told = inbox.events().iter().filter(|event| is_load_of(event, &first.path)).count();
    ensure_that(told == 2, format!("told {told} times"))
}

/// Until it is told with these very bytes.
fn map(stage: &Stage, sensor: &mut Sensor, library: &Fixture) -> Result<(), Stop> {
    stage.tester(["map".as_ref(), library.path.as_os_str()])?;
    let is_told = |event: &Event| is_load_of(event, &library.path) && file_of(event).sha256 == library.sha256;
    let told = sensor.inbox.wait(PATIENCE, |events| events.iter().any(is_told))?;
    ensure_that(told, format!("sha256 {} was not told", library.sha256))
}

fn is_load_of(event: &Event, path: &Path) -> bool {
    event.kind() == Kind::LibraryLoad && file_of(event).path == lossy(path)
}
