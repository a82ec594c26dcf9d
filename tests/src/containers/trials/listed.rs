//! What the sensor tells whoever asks it: which containers run, and what happens in one of them.

use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use zastava_common::{
    abi::Tier,
    event::v1::{ContainerStatus, Origins},
};

use super::{PATIENCE, Setting, executed};
use crate::{
    containers::{
        asked::{Watch, listed, table},
        images::DYNAMIC,
        init::Init,
        runtime::{Ran, Runtime},
    },
    elf::Deed,
    expect::id_of,
    fixture::on_tmpfs,
    sensor::Sensor,
    stage::{Stop, ensure_that},
};

/// In the container's writable layer.
const MADE: &str = "/bin/made";

/// The values of the list, as JSON and as a table, of a container of which every execution is known.
pub(super) fn containers(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let sensor = setting.sensor(&runtime)?;
    let own = setting.own("program", Deed::Exit(0))?;
    let before = SystemTime::now();
    let ran = runtime.run(&setting.wish(&own, &[DYNAMIC]))?;
    let other = runtime.run(&setting.wish(&own, &[]))?;
    let start = setting.start(&runtime, &ran)?.seen(Init::look(&runtime, &ran)?);
    for command in [
        &[&*own.there][..],
        &[&own.there],
        &["/bin/tester", "memfd", "copy", &own.there],
        &["/bin/tester", "create", "openat", &own.there, MADE],
        &[MADE],
    ] {
        runtime.exec(&ran, command)?;
    }
    // The entrypoint and twice the tester are of the image.
    let of_image = Origins { overlay_lower: 3, overlay_upper: 1, memory: 1, ..Origins::default() };
    let executions = if on_tmpfs(&own.here)? {
        Origins { tmpfs: 2, ..of_image }
    } else {
        Origins { plain: 2, ..of_image }
    };
    let status = settled(&sensor, &ran, executions)?;
    start.listed(&status, before)?;
    let (libraries, loader) = (status.libraries.unwrap_or_default(), loader(setting.choice.tier));
    ensure_that(libraries == loader, format!("libraries is {libraries:?}, not {loader:?}"))?;
    ensure_that(status.lost == 0, format!("{} records are lost", status.lost))?;
    row(setting, &sensor, &ran, executions)?;
    names(&sensor, &ran, &other)?;
    for ran in [&ran, &other] {
        runtime.remove(ran)?;
    }
    sensor.stop()?;
    Ok(())
}

/// The one library, of which perf does not know the layer.
fn loader(tier: Tier) -> Origins {
    match tier {
        Tier::Sideband | Tier::Tracepoint => Origins { unknown: 1, ..Origins::default() },
        Tier::Kprobe | Tier::Trampoline => Origins { overlay_lower: 1, ..Origins::default() },
    }
}

/// The container as soon as that was executed in it, and no more.
fn settled(sensor: &Sensor, ran: &Ran, executions: Origins) -> Result<ContainerStatus> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut listed = listed(&sensor.socket, &[&ran.id])?;
        let status = listed.pop().context("it is not listed")?;
        ensure!(listed.is_empty(), "it is listed more than once");
        let found = status.executions.unwrap_or_default();
        if found == executions {
            return Ok(status);
        }
        if Instant::now() > deadline {
            bail!("executions is {found:?}, not {executions:?}");
        }
        std::thread::sleep(super::PAUSE);
    }
}

fn row(setting: &Setting<'_>, sensor: &Sensor, ran: &Ran, executions: Origins) -> Result<()> {
    let rows = table(&sensor.socket, &[&ran.name])?;
    let [row] = rows.as_slice() else { bail!("{} rows for one container", rows.len()) };
    let name = match &ran.pod {
        Some(pod) => format!("{}/{}/{}", pod.wish.namespace, pod.wish.name, ran.name),
        None => ran.name.clone(),
    };
    let digest = setting.images.main.image.digest().trim_start_matches("sha256:");
    let unknown = if loader(setting.choice.tier).unknown > 0 { ", 1 ?" } else { "" };
    let programs = if executions.tmpfs > 0 { "2 tmpfs, 1 memfd" } else { "1 memfd, 2 mount" };
    let elsewhere = format!("1 upper, {programs}{unknown}");
    let expected = [&name, &ran.id[..12], &ran.image, &digest[..12], DYNAMIC, "7", "1", &elsewhere, "0"];
    let (state, cells) = row.split_last().context("an empty row")?;
    ensure!(cells == expected, "the row is {cells:?}, not {expected:?}");
    ensure!(state.starts_with("running "), "the state is {state:?}");
    Ok(())
}

/// By each of its names it is found, and it alone.
fn names(sensor: &Sensor, ran: &Ran, other: &Ran) -> Result<()> {
    for name in all_names(ran) {
        let found: Vec<_> = listed(&sensor.socket, &[&name])?.iter().map(id).collect();
        ensure!(found == [ran.id.as_str()], "{name} finds {found:?}");
    }
    let mut both: Vec<_> = listed(&sensor.socket, &[&ran.name, &other.name])?.iter().map(id).collect();
    both.sort();
    let mut expected = [ran.id.clone(), other.id.clone()];
    expected.sort();
    ensure!(both == expected, "two names find {both:?}");
    Ok(())
}

fn id(status: &ContainerStatus) -> String {
    let id = status.workload.clone().unwrap_or_default().container_id;
    id.split_once("://").map_or(id.clone(), |(_, id)| id.to_owned())
}

fn all_names(ran: &Ran) -> Vec<String> {
    let mut names = vec![ran.name.clone(), ran.id.clone(), ran.id[..12].to_owned()];
    if let Some(pod) = &ran.pod {
        let (namespace, pod) = (&pod.wish.namespace, &pod.wish.name);
        names.extend([format!("{pod}/{}", ran.name), format!("{namespace}/{pod}/{}", ran.name)]);
    }
    names
}

/// Whoever watches one container hears of it and of no other.
pub(super) fn watch(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let sensor = setting.sensor(&runtime)?;
    let own = setting.own("program", Deed::Exit(0))?;
    let ran = runtime.run(&setting.wish(&own, &[]))?;
    let other = runtime.run(&setting.wish(&own, &[]))?;
    for name in all_names(&ran) {
        hears(&runtime, &sensor, &name, (&ran, &other), &own.there)
            .with_context(|| format!("watch --container {name}"))?;
    }
    for ran in [&ran, &other] {
        runtime.remove(ran)?;
    }
    sensor.stop()?;
    Ok(())
}

fn hears(
    runtime: &Runtime,
    sensor: &Sensor,
    name: &str,
    (ran, other): (&Ran, &Ran),
    program: &str,
) -> Result<()> {
    let mut watch = Watch::start(&sensor.socket, &[name])?;
    let deadline = Instant::now() + PATIENCE;
    // Until it is there; after that nothing is missed.
    loop {
        runtime.exec(ran, &[program])?;
        if watch.inbox.wait(super::PAUSE * 20, |events| executed(events, program) > 0)? {
            break;
        }
        ensure!(Instant::now() < deadline, "it hears nothing");
    }
    let before = executed(watch.inbox.events(), program);
    runtime.exec(other, &[program])?;
    runtime.exec(ran, &[program])?;
    let heard = watch.inbox.wait(PATIENCE, |events| executed(events, program) > before)?;
    ensure!(heard, "it does not hear what follows");
    let others: Vec<_> = watch.inbox.events().iter().map(id_of).filter(|heard| *heard != ran.id).collect();
    ensure!(others.is_empty(), "it hears of {others:?}");
    Ok(())
}
