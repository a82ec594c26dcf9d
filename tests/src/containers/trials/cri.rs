//! A runtime of which the sensor sees the Container Runtime Interface alone, as it is with CRI-O: its events, or its list
//! where it has none.

use anyhow::{Context as _, Result};
use zastava_common::event::v1::event::Kind as EventKind;

use super::{PATIENCE, Setting, came, execs, executed, only, whole};
use crate::{
    containers::{runtime::Runtime, told::End},
    elf::Deed,
    runtimes::relay::Relay,
    stage::{Stop, ensure_that},
};

const LIST: &str = "/runtime.v1.RuntimeService/ListContainers";
const EVENTS: &str = "/runtime.v1.RuntimeService/GetContainerEvents";
const VERSION: &str = "/containerd.services.version.v1.Version/Version";
/// What the sensor's log says where there are no events.
const POLLED: &str = "no stream of events";
/// Milliseconds that a container may live and must be known for all that.
const SHORT: u32 = 50;

fn relay(runtime: &Runtime) -> Result<&Relay> {
    let Runtime::Containerd(containerd, _) = runtime else { anyhow::bail!("a runtime without CRI") };
    containerd.relay().context("the runtime shows more than its CRI")
}

/// Containers that are gone before anybody could ask for them: the CRI's events tell of them in time, and how they ended.
pub(super) fn events(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let mut sensor = setting.sensor(&runtime)?;
    let relay = relay(&runtime)?;
    relay.await_asked(EVENTS, 1, PATIENCE)?;
    let own = setting.own("short", Deed::Sleep(SHORT, 9))?;
    let ran = runtime.run(&setting.wish(&own, &[&own.there]))?;
    runtime.wait(&ran)?;
    let ended = sensor.inbox.wait(PATIENCE, |events| came(events, EventKind::ContainerStop, &ran))?;
    ensure_that(ended, "the end of a short life is not told")?;
    runtime.remove(&ran)?;
    let told = setting.told(&ran);
    let events = sensor.inbox.events();
    whole(events, &told, &ran, End::Code(9))?;
    ensure_that(execs(events, &own.there, &told)? == 1, "its program was not told once")?;
    // The CRI's words, which come when it says that the container ended.
    let exit = only(events, EventKind::ContainerStop, &told, &ran)?.exit.unwrap_or_default();
    ensure_that(
        exit.reason == "Error" && exit.oom == Some(false),
        format!("the end by the CRI's word is {exit:?}"),
    )?;
    ensure_that(relay.asked(VERSION) > 0, "nobody asked whether it is containerd")?;
    ensure_that(!sensor.log().contains(POLLED), "the list is polled although there are events")?;
    sensor.stop()?;
    Ok(())
}

/// No events at all: the kernel tells that there is a container, and the list what becomes of those that stay.
pub(super) fn polled(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let relay = relay(&runtime)?;
    let own = setting.own("program", Deed::Exit(0))?;
    let before = runtime.run(&setting.wish(&own, &[]))?;
    let mut sensor = setting.sensor(&runtime)?;
    let polls = |more: usize| relay.await_asked(LIST, relay.asked(LIST) + more, PATIENCE);
    polls(2)?;
    ensure_that(relay.asked(EVENTS) == 1, "its events were asked for again and again, or never")?;
    let ran = runtime.run(&setting.wish(&own, &[]))?;
    // One look may have begun before the container did.
    polls(2)?;
    for ran in [&before, &ran] {
        runtime.exec(ran, &[&own.there])?;
    }
    let told = sensor.inbox.wait(PATIENCE, |events| {
        executed(events, &own.there) == 2
            && [&before, &ran].into_iter().all(|ran| came(events, EventKind::ContainerStart, ran))
    })?;
    ensure_that(told, "starts and execs are not told")?;
    for ran in [&before, &ran] {
        runtime.remove(ran)?;
    }
    let ended = sensor.inbox.wait(PATIENCE, |events| {
        [&before, &ran].into_iter().all(|ran| came(events, EventKind::ContainerStop, ran))
    })?;
    ensure_that(ended, "ends are not told")?;
    let inbox = sensor.stop()?;
    for ran in [&before, &ran] {
        whole(inbox.events(), &setting.told(ran), ran, End::Signal(9))?;
    }
    Ok(())
}
