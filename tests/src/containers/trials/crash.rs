//! Runtime or sensor dies in the middle. Containers run on, and so must what is told of them.

use anyhow::Result;
use zastava_common::event::v1::event::Kind as EventKind;

use super::{PATIENCE, Setting, came, execs, executed, started, whole};
use crate::{
    containers::{init::Init, told::End, wish},
    elf::Deed,
    stage::{Stop, ensure_that},
};

/// The line of the log when a runtime was found.
const ANSWERS: &str = "a container runtime answers";
/// Milliseconds between two executions.
const PAUSE: &str = "50";

pub(super) fn of_runtime(setting: &Setting<'_>) -> Result<(), Stop> {
    let mut runtime = setting.runtime()?;
    let mut sensor = setting.sensor(&runtime)?;
    let [stays, ends, after] = ["stays", "ends", "after"].map(|name| setting.own(name, Deed::Exit(0)));
    let (stays, ends, after) = (stays?, ends?, after?);
    let lasting = runtime.run(&setting.wish(&stays, &["/bin/tester", "every", PAUSE, &stays.there]))?;
    // Ends while there is no runtime to notice.
    let ending = runtime.run(&setting.wish(&ends, &["/bin/tester", "live", "3000", "5"]))?;
    let begun = sensor.inbox.wait(PATIENCE, |events| {
        came(events, EventKind::ContainerStart, &lasting) && came(events, EventKind::ContainerStart, &ending)
    })?;
    ensure_that(begun, "the containers' starts were not told")?;
    runtime.kill()?;
    let before = executed(sensor.inbox.events(), &stays.there);
    let went_on = sensor.inbox.wait(PATIENCE, |events| executed(events, &stays.there) >= before + 20)?;
    ensure_that(went_on, "execs are not told while the runtime is away")?;
    let ended = sensor.inbox.wait(PATIENCE, |events| came(events, EventKind::ContainerStop, &ending))?;
    drop(sensor.log());
    runtime.revive()?;
    // Until it is asked again, containers have no names, for a reason that is told.
    sensor.await_log(ANSWERS)?;
    let next = runtime.run(&setting.wish(&after, &["/bin/tester", "live", "0", "6", &after.there]))?;
    runtime.wait(&next)?;
    let told = sensor.inbox.wait(PATIENCE, |events| {
        came(events, EventKind::ContainerStop, &next) && came(events, EventKind::ContainerStop, &ending)
    })?;
    ensure_that(told, format!("ends are not told after the runtime came back (before it did: {ended})"))?;
    runtime.remove(&lasting)?;
    sensor.inbox.wait(PATIENCE, |events| came(events, EventKind::ContainerStop, &lasting))?;
    let inbox = sensor.stop()?;
    let events = inbox.events();
    whole(events, &setting.told(&lasting), &lasting, End::Signal(9))?;
    whole(events, &setting.told(&ending), &ending, End::Code(5))?;
    whole(events, &setting.told(&next), &next, End::Code(6))?;
    execs(events, &stays.there, &setting.told(&lasting))?;
    ensure_that(execs(events, &after.there, &setting.told(&next))? == 1, "the exec after it came back")
}

pub(super) fn of_sensor(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let [stays, between] = ["stays", "between"].map(|name| setting.own(name, Deed::Exit(0)));
    let (stays, between) = (stays?, between?);
    let mut sensor = setting.sensor(&runtime)?;
    let before = runtime.run(&setting.wish(&stays, &["/bin/tester", "every", PAUSE, &stays.there]))?;
    let begun = sensor.inbox.wait(PATIENCE, |events| executed(events, &stays.there) >= 3)?;
    ensure_that(begun, "execs are not told")?;
    sensor.kill()?;
    let meanwhile = runtime.run(&setting.wish(&between, &["/bin/tester", "every", PAUSE, &between.there]))?;
    // Podman takes its time to describe what runs already; whether events wait as long as they may is not asked here.
    let patient = wish(setting.choice, &runtime).setting("containers: {holdMs: 10000}");
    let mut sensor = setting.sensor_as(&patient)?;
    let told = sensor.inbox.wait(PATIENCE, |events| {
        [&before, &meanwhile].into_iter().all(|ran| came(events, EventKind::ContainerStart, ran))
            && [&stays, &between].into_iter().all(|own| executed(events, &own.there) >= 3)
    })?;
    ensure_that(told, "what ran already and what it executes is not told")?;
    let mut starts = Vec::new();
    for ran in [&before, &meanwhile] {
        let start = setting.start(&runtime, ran)?.existing().lasting();
        starts.push(start.seen(Init::look(&runtime, ran)?));
        runtime.remove(ran)?;
    }
    sensor.inbox.wait(PATIENCE, |events| {
        [&before, &meanwhile].into_iter().all(|ran| came(events, EventKind::ContainerStop, ran))
    })?;
    let inbox = sensor.stop()?;
    for ((ran, own), start) in [(&before, &stays), (&meanwhile, &between)].into_iter().zip(&starts) {
        let told = start.told();
        whole(inbox.events(), told, ran, End::Signal(9))?;
        execs(inbox.events(), &own.there, told)?;
        started(inbox.events(), setting, start, ran)?;
    }
    Ok(())
}
