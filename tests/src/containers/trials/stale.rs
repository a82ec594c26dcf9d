//! Cgroups that a crashed runtime left behind, with the names of containers that are long gone.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use zastava_common::event::v1::event::Kind as EventKind;

use super::{PATIENCE, Setting, came, execs, whole};
use crate::{
    containers::told::End, elf::Deed, expect::id_of, image::digest, scenarios::unified_hierarchy, stage::Stop,
};

const COUNT: usize = 10_000;
const START: Duration = Duration::from_secs(30);

pub(super) fn stale(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let cgroups = Stale::new(&unified_hierarchy()?)?;
    let begun = Instant::now();
    let mut sensor = setting.sensor(&runtime)?;
    ready_soon(begun)?;
    let own = setting.own("program", Deed::Exit(0))?;
    let ran = runtime.run(&setting.wish(&own, &["/bin/tester", "live", "0", "4", &own.there]))?;
    runtime.wait(&ran)?;
    sensor.inbox.wait(PATIENCE, |events| came(events, EventKind::ContainerStop, &ran))?;
    drop(cgroups);
    let inbox = sensor.stop()?;
    let told = setting.told(&ran);
    whole(inbox.events(), &told, &ran, End::Code(4))?;
    execs(inbox.events(), &own.there, &told)?;
    // Nothing ever ran in them.
    let stale: HashSet<String> = (0..COUNT).map(id).collect();
    Ok(none(inbox.events().iter().filter(|event| stale.contains(&id_of(event))).count())?)
}

/// Of the container that is long gone.
fn id(number: usize) -> String {
    digest(format!("stale/{number}").as_bytes()).trim_start_matches("sha256:").to_owned()
}

fn none(others: usize) -> Result<()> {
    ensure!(others == 0, "{others} events of cgroups in which nothing ran");
    Ok(())
}

fn ready_soon(begun: Instant) -> Result<()> {
    ensure!(begun.elapsed() < START, "was ready only after {:?}", begun.elapsed());
    Ok(())
}

/// Removed when dropped.
struct Stale {
    parent: PathBuf,
}

impl Stale {
    fn new(hierarchy: &Path) -> Result<Self> {
        let this = Self { parent: hierarchy.join(format!("e2e-stale-{}", std::process::id())) };
        fs::create_dir(&this.parent)?;
        for number in 0..COUNT {
            fs::create_dir(this.parent.join(format!("docker-{}.scope", id(number))))?;
        }
        Ok(this)
    }
}

impl Drop for Stale {
    fn drop(&mut self) {
        for entry in fs::read_dir(&self.parent).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        let _ = fs::remove_dir(&self.parent);
    }
}
