//! Operations of which the kernel programs must keep something until their end.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use zastava_common::{
    abi::Tier,
    event::v1::{Event, event::Kind, file::Op},
};

use crate::{
    elf::Deed,
    expect::file_of,
    scenarios::unified_hierarchy,
    sensor::{Sensor, Wish, find},
    stage::{Stage, Stop, ensure_that},
};

/// More than the map `KEPT` holds (zastava-ebpf/src/maps.rs).
const THREADS: u32 = 4500;
const PATIENCE: Duration = Duration::from_secs(30);

/// A rename that could not be kept in mind is a loss that is told; when those in the way are gone, all is as before.
pub(super) fn renames(tier: Tier, directory: &Path) -> Result<(), Stop> {
    if !matches!(tier, Tier::Trampoline | Tier::Kprobe) {
        return Err(Stop::Unable("keeps nothing in mind: file changes come from fanotify".to_owned()));
    }
    let mut sensor = Sensor::start(&Wish::tier(tier), &directory.join("sensor"))?;
    let stage = Stage::new(tier, directory)?;
    let [from, to] = [stage.program("before", Deed::Exit(0))?.path, stage.at("after")];
    let over = stage.at("directory");
    fs::create_dir(&over)?;
    // A cgroup of its own, so that the ledger tells its losses from all others.
    let mount = unified_hierarchy()?;
    let cgroup = format!("{}.slice", stage.token);
    fs::create_dir(mount.join(&cgroup)).context("cannot make a cgroup")?;
    let cgroup_id = fs::metadata(mount.join(&cgroup))?.ino();
    let tester = find("ZASTAVA_TESTER", "zastava-tester")?;
    stage.tester([
        "cgroup".as_ref(),
        mount.as_os_str(),
        cgroup.as_ref(),
        tester.as_os_str(),
        "unfinished".as_ref(),
        from.as_os_str(),
        over.as_os_str(),
        to.as_os_str(),
        THREADS.to_string().as_ref(),
    ])?;
    let tally = move |events: &[Event]| Told {
        lost: events.iter().map(|event| lost_of(event, cgroup_id)).sum(),
        there: renamed(events, &to),
        back: renamed(events, &from),
    };
    let whole = |told: &Told| told.lost > 0 && told.back == 1 && told.there == 1;
    sensor.inbox.wait(PATIENCE, |events| whole(&tally(events)))?;
    let inbox = sensor.stop()?;
    let told = tally(inbox.events());
    // The first one there was not told; some of those that failed count as losses as well.
    ensure_that(whole(&told), format!("{told:?}"))
}

/// What was told of the renames.
#[derive(Clone, Copy, Debug)]
struct Told {
    lost: u64,
    there: usize,
    back: usize,
}

fn lost_of(event: &Event, cgroup_id: u64) -> u64 {
    match &event.loss {
        Some(loss) if loss.cgroup_id == Some(cgroup_id) && loss.kind == "file" => {
            loss.count.unwrap_or_default()
        }
        _ => 0,
    }
}

fn renamed(events: &[Event], to: &Path) -> usize {
    let is_it = |event: &&Event| {
        let file = file_of(event);
        event.kind() == Kind::FileCreate && file.op() == Op::Rename && file.path == to.to_string_lossy()
    };
    events.iter().filter(is_it).count()
}
