//! Which image runs: what was asked for, and the digest that it truly was.

use anyhow::{Result, ensure};
use zastava_common::event::v1::{Event, event::Kind as EventKind};

use super::{PATIENCE, Setting, came, execs, executed, only};
use crate::{
    containers::{
        images::Named,
        runtime::{Ran, Runtime, Wish},
        told::Told,
    },
    elf::Deed,
    image::{Content, Image, Index, Packing},
    sensor::Sensor,
    stage::Stop,
};

/// An image of the registry with something of its own in it.
fn variant(setting: &Setting<'_>, name: &str) -> Content {
    setting.images.content.clone().label("org.example.variant", name)
}

/// Starts a container of an image that stays until it is removed.
fn stay(runtime: &Runtime, reference: &str) -> Result<Ran> {
    runtime.run(&Wish { image: reference.to_owned(), ..Wish::default() })
}

/// The start of a container, which must say `told`.
fn started(sensor: &mut Sensor, ran: &Ran, told: &Told) -> Result<Event> {
    let came = sensor.inbox.wait(PATIENCE, |events| came(events, EventKind::ContainerStart, ran))?;
    ensure!(came, "the start of {} is not told", ran.name);
    only(sensor.inbox.events(), EventKind::ContainerStart, told, ran)
}

/// The same contents, packed twice: what tells them apart is the digest of the manifest alone.
pub(super) fn twins(setting: &Setting<'_>) -> Result<(), Stop> {
    let content = variant(setting, "twins");
    let registry = &setting.images.registry;
    let [plain, gzip] = [(Packing::Plain, "plain"), (Packing::Gzip, "gzip")].map(|(packing, tag)| {
        let image = Image::new(&content, packing);
        Named { reference: registry.push("team/twins", tag, &image), image }
    });
    let runtime = setting.runtime()?;
    for one in [&plain, &gzip] {
        runtime.pull(&one.reference)?;
    }
    let mut sensor = setting.sensor(&runtime)?;
    let mut all = Vec::new();
    for one in [&plain, &gzip, &plain] {
        let ran = stay(&runtime, &one.reference)?;
        started(&mut sensor, &ran, &setting.told_with(&ran, one))?;
        all.push(ran);
    }
    for ran in &all {
        runtime.remove(ran)?;
    }
    sensor.stop()?;
    Ok(())
}

/// What runs keeps the digest that it was started from.
pub(super) fn moved(setting: &Setting<'_>) -> Result<(), Stop> {
    let registry = &setting.images.registry;
    let repository = format!("team/moved-{}", setting.kind);
    let push = |name: &str| {
        let image = Image::new(&variant(setting, name), Packing::Gzip);
        Named { reference: registry.push(&repository, "latest", &image), image }
    };
    let runtime = setting.runtime()?;
    let mut sensor = setting.sensor(&runtime)?;
    let own = setting.own("program", Deed::Exit(0))?;
    let before = push("before");
    runtime.pull(&before.reference)?;
    let wish = Wish { image: before.reference.clone(), ..setting.wish(&own, &[]) };
    let first = runtime.run(&wish)?;
    started(&mut sensor, &first, &setting.told_with(&first, &before))?;
    let after = push("after");
    runtime.pull(&after.reference)?;
    let second = runtime.run(&wish)?;
    started(&mut sensor, &second, &setting.told_with(&second, &after))?;
    runtime.exec(&first, &[&own.there])?;
    sensor.inbox.wait(PATIENCE, |events| executed(events, &own.there) > 0)?;
    execs(sensor.inbox.events(), &own.there, &setting.told_with(&first, &before))?;
    for ran in [&first, &second] {
        runtime.remove(ran)?;
    }
    sensor.stop()?;
    Ok(())
}

/// Imported from an archive: it has no digest in any repository, and a manifest all the same.
pub(super) fn imported(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let Runtime::Containerd(containerd, _) = &runtime else {
        return Err(Stop::Unable("only containerd keeps manifests of what it imports".to_owned()));
    };
    let image = Image::new(&variant(setting, "imported"), Packing::Gzip);
    let named = Named { reference: "e2e.invalid/team/imported:7".to_owned(), image };
    containerd.import(&named.image.oci_archive(&named.reference))?;
    let mut sensor = setting.sensor(&runtime)?;
    let ran = stay(&runtime, &named.reference)?;
    started(&mut sensor, &ran, &setting.told_with(&ran, &named))?;
    runtime.remove(&ran)?;
    sensor.stop()?;
    Ok(())
}

/// The digest stands once in the reference.
pub(super) fn by_digest(setting: &Setting<'_>) -> Result<(), Stop> {
    let image = Image::new(&variant(setting, "by-digest"), Packing::Gzip);
    let registry = &setting.images.registry;
    registry.push("team/by-digest", "1", &image);
    let repository = registry.repository("team/by-digest");
    let reference = format!("{repository}@{}", image.digest());
    let named = Named { reference: repository, image };
    let runtime = setting.runtime()?;
    runtime.pull(&reference)?;
    let mut sensor = setting.sensor(&runtime)?;
    let ran = stay(&runtime, &reference)?;
    // `repository@digest`: as asked for, which names the digest already.
    started(&mut sensor, &ran, &setting.told_with(&ran, &named))?;
    runtime.remove(&ran)?;
    sensor.stop()?;
    Ok(())
}

/// What runs is one of the index's manifests, not the index.
pub(super) fn index(setting: &Setting<'_>) -> Result<(), Stop> {
    let content = variant(setting, "index");
    let image = Image::new(&content, Packing::Gzip);
    let other = Image::on(&content, Packing::Gzip, "arm64");
    let index = Index::new(vec![(other, "arm64"), (image.clone(), "amd64")]);
    let named = Named { reference: setting.images.registry.push_index("team/index", "1", &index), image };
    let runtime = setting.runtime()?;
    runtime.pull(&named.reference)?;
    let mut sensor = setting.sensor(&runtime)?;
    let ran = stay(&runtime, &named.reference)?;
    let start = started(&mut sensor, &ran, &setting.told_with(&ran, &named))?;
    let found = start.workload.unwrap_or_default().image_index;
    if found != index.blob.digest {
        return Err(Stop::Failed(anyhow::anyhow!("imageIndex is {found:?}, not {}", index.blob.digest)));
    }
    runtime.remove(&ran)?;
    sensor.stop()?;
    Ok(())
}
