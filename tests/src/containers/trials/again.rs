//! A container that its runtime starts again and again: one id, and several lives.

use std::time::Instant;

use zastava_common::event::v1::event::Kind as EventKind;

use super::{PATIENCE, Setting, execs};
use crate::{
    containers::{
        runtime::{Ran, Runtime, Wish},
        told::{End, Told},
    },
    elf::Deed,
    expect::id_of,
    runtimes::{docker::Docker, podman::Podman},
    sight::Sight,
    stage::{Stop, ensure_that, is_life},
};

/// One that was asked for, and its restarts.
const LIVES: usize = 3;
const RESTARTS: &str = "--restart=on-failure:2";
/// Milliseconds of each.
const LIFE: u32 = 100;
const CODE: u8 = 5;

pub(super) fn again(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let (Runtime::Docker(Docker { cli, .. }) | Runtime::Podman(Podman { cli, .. })) = &runtime else {
        return Err(Stop::Unable("in pods it is the kubelet that starts a container again".to_owned()));
    };
    let mut sensor = setting.sensor(&runtime)?;
    let own = setting.own("program", Deed::Sleep(LIFE, CODE))?;
    let (name, image) = ("again".to_owned(), setting.images.main.reference.clone());
    let begun = Instant::now();
    let mount = format!("--volume={}:{}:ro", own.here.display(), Setting::place());
    let words = ["run", "--detach", "--network=none", "--name", &name, RESTARTS, &mount, &image, &own.there];
    let id = cli.output(&words)?;
    let ran = Ran { id, name, pod: None, image, wish: Wish::default(), begun };
    let ended = sensor.inbox.wait(PATIENCE, |events| {
        let stops = events.iter().filter(|event| event.kind() == EventKind::ContainerStop);
        stops.filter(|event| id_of(event) == ran.id).count() == LIVES
    })?;
    cli.remove(&ran.id)?;
    let inbox = sensor.stop()?;
    let told = setting.told(&ran);
    let lives: Vec<_> =
        inbox.events().iter().filter(|event| is_life(event) && id_of(event) == ran.id).collect();
    let words: Vec<_> = lives.iter().map(|event| event.kind().as_str_name()).collect();
    ensure_that(ended, format!("{LIVES} lives were lived, and told was {words:?}"))?;
    let expected = [EventKind::ContainerStart, EventKind::ContainerStop].map(|kind| kind.as_str_name());
    ensure_that(words == expected.repeat(LIVES), format!("its lives are told as {words:?}"))?;
    for event in lives {
        let found = Told::by(event);
        ensure_that(found == told, format!("a life says {found:?}, not {told:?}"))?;
        if event.kind() == EventKind::ContainerStop {
            let end = End::of(event);
            // Where the kernel does not tell it, the next life may begin before the runtime does.
            let untold = end == End::Other && !Sight::Details.sees(setting.choice.tier);
            ensure_that(
                untold || end == End::Code(CODE.into()),
                format!("a life ended with {end:?}, not {CODE}"),
            )?;
        }
    }
    let execs = execs(inbox.events(), &own.there, &told)?;
    ensure_that(execs == LIVES, format!("its program was told {execs} times"))
}
