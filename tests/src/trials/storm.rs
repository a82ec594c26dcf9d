//! Many programs at once: each is told, or its loss is.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, thread, time::Duration};

use anyhow::{Context as _, Result};
use zastava_common::{
    abi::Tier,
    event::v1::{Event, event::Kind},
};

use crate::{
    elf::Deed,
    expect::{Expected, process},
    scenarios::unified_hierarchy,
    sensor::{Sensor, Wish, find},
    stage::{Stage, Stop, ensure_that},
};

const EXECS: u64 = 5000;
const TESTER: &str = "zastava-tester";
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn storm(tier: Tier, directory: &Path) -> Result<(), Stop> {
    accounted_for(&Wish::tier(tier), directory)
}

pub(super) fn small_rings(tier: Tier, directory: &Path) -> Result<(), Stop> {
    let wish = Wish::tier(tier).setting("rings: { processBytes: 4096, filesBytes: 4096 }");
    accounted_for(&wish, directory)
}

fn accounted_for(wish: &Wish, directory: &Path) -> Result<(), Stop> {
    let mut sensor = Sensor::start(wish, &directory.join("sensor"))?;
    let stage = Stage::new(wish.tier, directory)?;
    // Where the exec is lost, the exit is known by this name alone, of which the kernel keeps 15 bytes.
    let name = format!("storm-{}", std::process::id());
    let program = stage.program(&name, Deed::Exit(0))?;
    // A cgroup of its own, so that the ledger tells its losses from all others.
    let mount = unified_hierarchy()?;
    let cgroup = format!("{}.slice", stage.token);
    fs::create_dir(mount.join(&cgroup)).context("cannot make a cgroup")?;
    let cgroup_id = fs::metadata(mount.join(&cgroup))?.ino();
    let parents = thread::available_parallelism()?.get() as u64 * 2;
    let (count, how_many) = (EXECS.to_string(), parents.to_string());
    let tester = find("ZASTAVA_TESTER", TESTER)?;
    let told = stage.tester([
        "cgroup".as_ref(),
        mount.as_os_str(),
        cgroup.as_ref(),
        tester.as_os_str(),
        "storm".as_ref(),
        program.path.as_os_str(),
        count.as_ref(),
        how_many.as_ref(),
    ])?;
    let told: u64 = told.parse().context("the tester's count")?;
    // The storm itself and its parents are programs in that cgroup, too.
    let oracle = told + 1 + parents;
    sensor.inbox.wait(PATIENCE, |events| Sums::of(events, &name, cgroup_id).reach(oracle))?;
    let inbox = sensor.stop()?;
    let exec = Expected::exec(wish.tier, &program);
    for event in inbox.events().iter().filter(|event| exec.matches(event)) {
        let faults = exec.faults(event).join(", ");
        ensure_that(faults.is_empty(), format!("an exec was told wrongly: {faults}"))?;
    }
    let sums = Sums::of(inbox.events(), &name, cgroup_id);
    ensure_that(sums.add_up_to(oracle), format!("{sums:?} of {oracle} execs and exits"))
}

/// What was told of the storm.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    execs: u64,
    exits: u64,
    lost_execs: u64,
    lost_exits: u64,
    /// Losses whose kind or cgroup is not known: perf's.
    lost: u64,
}

impl Sums {
    fn of(events: &[Event], name: &str, cgroup_id: u64) -> Self {
        let mut sums = Self::default();
        for event in events {
            match event.kind() {
                Kind::ProcessExec => sums.execs += u64::from(is_of_storm(event, name)),
                Kind::ProcessExit => sums.exits += u64::from(is_of_storm(event, name)),
                Kind::Loss => sums.add_loss(event, cgroup_id),
                _ => {}
            }
        }
        sums
    }

    fn add_loss(&mut self, event: &Event, cgroup_id: u64) {
        let loss = event.loss.clone().unwrap_or_default();
        let count = loss.count.unwrap_or_default();
        match (loss.cgroup_id, loss.kind.as_str()) {
            (Some(id), "exec") if id == cgroup_id => self.lost_execs += count,
            (Some(id), "exit") if id == cgroup_id => self.lost_exits += count,
            (None, "exec" | "exit" | "unknown") => self.lost += count,
            _ => {}
        }
    }

    /// All has been told that can be.
    fn reach(self, oracle: u64) -> bool {
        let [execs, exits] = [self.execs + self.lost_execs, self.exits + self.lost_exits];
        (execs >= oracle && exits >= oracle) || (self.lost > 0 && execs + exits + self.lost >= 2 * oracle)
    }

    /// Nothing is missing, and nothing is told twice.
    fn add_up_to(self, oracle: u64) -> bool {
        let [execs, exits] = [self.execs + self.lost_execs, self.exits + self.lost_exits];
        if self.lost == 0 {
            return [execs, exits] == [oracle, oracle];
        }
        execs <= oracle && exits <= oracle && execs + exits + self.lost >= 2 * oracle
    }
}

/// A program of the storm, or a tester in its cgroup (the one that this process started moved there later).
fn is_of_storm(event: &Event, name: &str) -> bool {
    let process = process(event);
    process.comm == name
        || (process.comm == TESTER && !process.existing && process.ppid != Some(std::process::id()))
}
