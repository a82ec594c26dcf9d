//! Which image runs: what was asked for, and the digest that it truly was.

use anyhow::{Context as _, Result, ensure};
use zastava_common::event::v1::{Event, event::Kind as EventKind, workload::DigestOf};

use super::{PATIENCE, Setting, came, execs, executed, only};
use crate::{
    containers::{
        images::Named,
        runtime::{Kind, Ran, Runtime, Wish},
        told::Told,
    },
    elf::Deed,
    expect::id_of,
    image::{Content, Image, Index, Packing},
    runtimes::{docker::Docker, podman::Podman},
    sensor::Sensor,
    stage::{Stop, ensure_that},
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

/// The same, but that the digest may be any of these.
fn one_of(sensor: &mut Sensor, ran: &Ran, told: &Told, digests: &[String]) -> Result<()> {
    let of_it = |event: &&Event| event.kind() == EventKind::ContainerStart && id_of(event) == ran.id;
    sensor.inbox.wait(PATIENCE, |events| came(events, EventKind::ContainerStart, ran))?;
    let start = sensor.inbox.events().iter().find(of_it).context("no start")?;
    let found = start.workload.clone().unwrap_or_default().image_digest;
    ensure!(digests.contains(&found), "the digest {found} is none of {digests:?}");
    let told = with_digest(told.clone(), &ran.image, &found);
    only(sensor.inbox.events(), EventKind::ContainerStart, &told, ran).map(drop)
}

fn with_digest(told: Told, reference: &str, digest: &str) -> Told {
    Told { image_digest: digest.to_owned(), image_ref: format!("{reference}@{digest}"), ..told }
}

/// As `told`, but that no digest is told.
fn without_digest(told: Told, image: &Named) -> Told {
    Told { image_digest: String::new(), image_ref: image.reference.clone(), ..told }
}

/// Why there is none.
fn ensure_reason(start: &Event, reason: &str) -> Result<()> {
    let found = start.workload.clone().unwrap_or_default().image_digest_reason;
    ensure!(found == reason, "imageDigestReason is {found:?}, not {reason:?}");
    Ok(())
}

/// The same contents, packed twice: what tells them apart is the digest of the manifest alone. Docker, which keeps no
/// manifests, knows that there are two; Podman and the CRI have one of them for both (docs/runtimes.md).
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
        let told = setting.told_with(&ran, one);
        match setting.kind {
            Kind::Docker => {
                let start = started(&mut sensor, &ran, &without_digest(told, one))?;
                ensure_reason(&start, "several manifests have this image config")?;
            }
            Kind::Cri(_) | Kind::Podman => {
                let either = [&plain, &gzip].map(|one| one.image.digest().to_owned());
                one_of(&mut sensor, &ran, &told, &either)?;
            }
            Kind::Containerd(_) => drop(started(&mut sensor, &ran, &told)?),
        }
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

/// Imported from an archive: it has no digest in any repository, but where the runtime keeps it a manifest all the same.
pub(super) fn imported(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let content = variant(setting, "imported");
    let image = Image::new(&content, Packing::Gzip);
    let named = Named { reference: "e2e.invalid/team/imported:7".to_owned(), image };
    match &runtime {
        Runtime::Containerd(containerd, _) => {
            containerd.import(&named.image.oci_archive(&named.reference))?;
        }
        Runtime::Docker(Docker { cli, .. }) | Runtime::Podman(Podman { cli, .. }) => {
            let archive = named.image.docker_archive(&named.reference, &content);
            cli.load(&archive, &setting.directory.join("archive.tar"))?;
        }
    }
    let mut sensor = setting.sensor(&runtime)?;
    let ran = stay(&runtime, &named.reference)?;
    let told = setting.told_with(&ran, &named);
    match &runtime {
        Runtime::Containerd(..) => drop(started(&mut sensor, &ran, &told)?),
        Runtime::Docker(_) => {
            let start = started(&mut sensor, &ran, &without_digest(told, &named))?;
            ensure_reason(&start, "image without repo digest")?;
        }
        // It makes a manifest of its own.
        Runtime::Podman(Podman { cli, .. }) => {
            let own = cli.output(&["image", "inspect", "--format={{.Digest}}", &named.reference])?;
            started(&mut sensor, &ran, &with_digest(told, &named.reference, &own))?;
        }
    }
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

/// What runs is one of the index's manifests, not the index. Where the runtime keeps no manifests, what was pulled is
/// told, which is the index, and told to be that.
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
    let mut told = setting.told_with(&ran, &named);
    let digest = index.blob.digest.clone();
    let expected = match setting.kind {
        Kind::Containerd(_) => (digest, DigestOf::Manifest),
        Kind::Cri(_) | Kind::Docker | Kind::Podman => {
            told = with_digest(told, &named.reference, &digest);
            (String::new(), DigestOf::Pulled)
        }
    };
    let workload = started(&mut sensor, &ran, &told)?.workload.unwrap_or_default();
    let found = (workload.image_index.clone(), workload.image_digest_of());
    ensure_that(found == expected, format!("imageIndex and imageDigestOf are {found:?}, not {expected:?}"))?;
    runtime.remove(&ran)?;
    sensor.stop()?;
    Ok(())
}
