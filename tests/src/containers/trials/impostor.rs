//! A container that takes the name of another wherever it can: its process, its arguments, a cgroup of its own.

use anyhow::{Context as _, Result};
use zastava_common::event::v1::{Event, event::Kind as EventKind};

use super::{PATIENCE, Setting, came, execs, executed};
use crate::{
    elf::Deed,
    expect::file_of,
    scenarios::unified_hierarchy,
    stage::{Stop, ensure_that},
};

pub(super) fn impostor(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let mut sensor = setting.sensor(&runtime)?;
    let honest = setting.own("honest", Deed::Exit(0))?;
    let victim = runtime.run(&setting.wish(&honest, &[]))?;
    // A program whose file, process and arguments are the other's id, in a container that is named so as well.
    let fake = setting.own(&victim.id, Deed::Exit(0))?;
    let inside = setting.own("inside", Deed::Exit(0))?;
    let mut wish = setting.wish(&fake, &[]);
    let place = format!("/inside-{}", std::process::id());
    let hidden = format!("{place}/inside");
    wish.mounts.push((inside.here.clone(), place));
    wish.writable.push((unified_hierarchy()?, "/cgroup".to_owned()));
    wish.labels.push(("io.kubernetes.container.hash".to_owned(), victim.id.clone()));
    let thief = runtime.run(&wish)?;
    runtime.exec(&thief, &[&fake.there, &victim.id])?;
    // Below its own cgroup it may make what it likes, also one that looks like the other's.
    let pid = runtime.pid(&thief)?;
    let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).context("no cgroup v2")?.to_owned();
    let nested = format!("{own}/docker/{}", victim.id);
    runtime.exec(&thief, &["/bin/tester", "cgroup", "/cgroup", &nested, &hidden])?;
    runtime.exec(&victim, &[&honest.there])?;
    let told = sensor.inbox.wait(PATIENCE, |events| {
        [&*fake.there, &*hidden, &honest.there].into_iter().all(|path| executed(events, path) == 1)
    })?;
    ensure_that(told, "not every exec was told once")?;
    for ran in [&victim, &thief] {
        runtime.remove(ran)?;
    }
    sensor.inbox.wait(PATIENCE, |events| {
        [&victim, &thief].into_iter().all(|ran| came(events, EventKind::ContainerStop, ran))
    })?;
    let inbox = sensor.stop()?;
    let events = inbox.events();
    execs(events, &fake.there, &setting.told(&thief))?;
    execs(events, &hidden, &setting.told(&thief))?;
    execs(events, &honest.there, &setting.told(&victim))?;
    let claim = |event: &&Event| file_of(event).path == hidden;
    let claim = events.iter().find(claim).and_then(|event| event.workload.clone()).unwrap_or_default();
    ensure_that(claim.nested_claim == victim.id, "the nested claim is not told as one")
}
