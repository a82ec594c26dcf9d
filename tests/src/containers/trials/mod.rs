//! What sensor and runtime must stand together: each trial starts both for itself.

mod again;
mod crash;
mod cri;
mod deployed;
mod flat;
mod hostile;
mod identity;
mod impostor;
mod listed;
mod many;
mod plain;
mod silent;
mod stale;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use zastava_common::event::v1::{Event, event::Kind as EventKind};

use super::{
    Choice,
    images::{Images, Named},
    patient,
    runtime::{Kind, Ran, Runtime, Wish},
    start::Start,
    told::{End, Told},
};
use crate::{
    elf::{Deed, Program},
    expect::{file_of, id_of},
    fixture::Fixture,
    runtimes::Series,
    sensor::{self, Sensor},
    stage::Stop,
};

/// What is awaited comes within this, or never.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at what tells nobody when it changes.
const PAUSE: Duration = Duration::from_millis(50);

const OLDEST: Kind = Kind::Containerd(Series::V1_6);
const NEWEST: Kind = Kind::Containerd(Series::V2);
/// With events of the CRI, and without.
const CRI: Kind = Kind::Cri(Series::V2);
const POLLED: Kind = Kind::Cri(Series::V1_6);

/// One of them, on some runtimes, in a directory of its own.
#[derive(Clone, Copy)]
pub(super) struct Trial {
    pub(super) name: &'static str,
    pub(super) on: &'static [Kind],
    /// Takes so long that it is played only when everything is.
    pub(super) long: bool,
    pub(super) run: fn(&Setting<'_>) -> Result<(), Stop>,
}

/// What a trial has to do with.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) choice: &'a Choice,
    pub(super) kind: Kind,
    pub(super) images: &'a Images,
    pub(super) directory: &'a Path,
}

const fn trial(name: &'static str, on: &'static [Kind], run: fn(&Setting<'_>) -> Result<(), Stop>) -> Trial {
    Trial { name, on, long: false, run }
}

pub(super) const ALL: &[Trial] = &[
    trial("many containers, eight at a time", &[OLDEST, NEWEST, CRI, POLLED], many::many),
    trial("a runtime that speaks the CRI alone", &[Kind::Cri(Series::V1_7), CRI], cri::events),
    trial("a list that is polled, for want of events", &[POLLED], cri::polled),
    trial("a runtime that dies and comes back", &[OLDEST, NEWEST, CRI, Kind::Docker], crash::of_runtime),
    trial(
        "a sensor that dies and comes back",
        &[OLDEST, CRI, POLLED, Kind::Docker, Kind::Podman],
        crash::of_sensor,
    ),
    trial("a container that its runtime starts again", &[Kind::Docker, Kind::Podman], again::again),
    trial("a socket that accepts and never answers", &[OLDEST], silent::silent),
    trial("ten thousand cgroups that nobody needs", &[OLDEST], stale::stale),
    trial("hostile names", &[OLDEST, NEWEST, CRI], hostile::in_pods),
    trial("names at the bound and over it", &[OLDEST, NEWEST, CRI, Kind::Docker], hostile::long),
    trial("hostile labels", &[Kind::Docker], hostile::in_engine),
    trial("two images with one config", &[OLDEST, NEWEST, CRI, Kind::Docker, Kind::Podman], identity::twins),
    trial(
        "a tag that was moved between two starts",
        &[OLDEST, NEWEST, CRI, Kind::Docker, Kind::Podman],
        identity::moved,
    ),
    trial(
        "an image that no registry gave",
        &[OLDEST, NEWEST, Kind::Docker, Kind::Podman],
        identity::imported,
    ),
    trial(
        "an image asked for by digest",
        &[OLDEST, NEWEST, CRI, Kind::Docker, Kind::Podman],
        identity::by_digest,
    ),
    trial(
        "an image of several platforms",
        &[OLDEST, NEWEST, CRI, Kind::Docker, Kind::Podman],
        identity::index,
    ),
    trial(
        "a container with an id of its own",
        &[OLDEST, Kind::Containerd(Series::V1_7), NEWEST],
        plain::plain,
    ),
    trial("a container that names itself as another", &[OLDEST, Kind::Docker], impostor::impostor),
    trial("the list of what runs", &[OLDEST, CRI, Kind::Docker, Kind::Podman], listed::containers),
    trial("whoever watches one container", &[OLDEST, CRI, Kind::Docker, Kind::Podman], listed::watch),
    trial("the sensor as the DaemonSet deploys it", &[OLDEST, NEWEST], deployed::kubernetes::trial),
    trial("the sensor as the compose file deploys it", &[Kind::Docker], deployed::docker::trial),
    Trial { long: true, ..trial("memory over two thousand containers", &[OLDEST], flat::flat) },
];

impl Setting<'_> {
    fn runtime(&self) -> Result<Runtime, Stop> {
        let runtime = Runtime::start(self.kind, self.images, self.directory)?;
        runtime.pull(&self.images.main.reference)?;
        Ok(runtime)
    }

    fn sensor(&self, runtime: &Runtime) -> Result<Sensor> {
        self.sensor_as(&patient(self.choice, runtime))
    }

    /// A sensor that is not as all are.
    fn sensor_as(&self, wish: &sensor::Wish) -> Result<Sensor> {
        Sensor::start(wish, &self.directory.join("sensor"))
    }

    /// A program that only the container with this name sees.
    fn own(&self, name: &str, deed: Deed) -> Result<Own> {
        let here = self.directory.join(format!("own-{name}"));
        fs::create_dir(&here)?;
        Fixture::program(
            here.join(name),
            &Program::new(&format!("{}/{name}", self.directory.display()), deed),
        )?;
        Ok(Own { here, there: format!("{}/{name}", Self::place()) })
    }

    /// Where containers see their own programs; tests of others on this machine have another place.
    fn place() -> String {
        format!("/own-{}", std::process::id())
    }

    fn wish(&self, own: &Own, command: &[&str]) -> Wish {
        Wish {
            image: self.images.main.reference.clone(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            mounts: vec![(own.here.clone(), Self::place())],
            ..Wish::default()
        }
    }

    fn told(&self, ran: &Ran) -> Told {
        self.told_with(ran, &self.images.main)
    }

    fn start(&self, runtime: &Runtime, ran: &Ran) -> Result<Start> {
        Start::of(runtime, self.images, &self.images.main, ran)
    }

    fn told_with(&self, ran: &Ran, image: &Named) -> Told {
        Told::of(self.kind, ran, image)
    }
}

/// A directory that one container sees, with one program.
struct Own {
    here: PathBuf,
    /// Path of the program in the container.
    there: String,
}

/// How often a program was executed by its path, all of it in the right place.
fn execs(events: &[Event], path: &str, told: &Told) -> Result<usize> {
    let execs =
        events.iter().filter(|event| event.kind() == EventKind::ProcessExec && file_of(event).path == path);
    let mut count = 0;
    for event in execs {
        let found = Told::by(event);
        ensure!(found == *told, "an exec of {path} says {found:?}, not {told:?}");
        count += 1;
    }
    Ok(count)
}

/// The one event of this kind that tells of a container.
fn only(events: &[Event], kind: EventKind, told: &Told, ran: &Ran) -> Result<Event> {
    let matching: Vec<&Event> =
        events.iter().filter(|event| event.kind() == kind && id_of(event) == ran.id).collect();
    let [event] = matching.as_slice() else {
        bail!("{} of {} was told {} times", kind.as_str_name(), ran.name, matching.len())
    };
    let found = Told::by(event);
    ensure!(found == *told, "{} says {found:?}, not {told:?}", kind.as_str_name());
    Ok((*event).clone())
}

/// Began once, ended once, as it did.
fn whole(events: &[Event], told: &Told, ran: &Ran, end: End) -> Result<()> {
    only(events, EventKind::ContainerStart, told, ran)?;
    let found = End::of(&only(events, EventKind::ContainerStop, told, ran)?);
    ensure!(found == end, "{} ended with {found:?}, not {end:?}", ran.name);
    Ok(())
}

/// Its start was told once, with all that is known of it.
fn started(events: &[Event], setting: &Setting<'_>, start: &Start, ran: &Ran) -> Result<()> {
    start.compare(setting.choice.tier, &only(events, EventKind::ContainerStart, start.told(), ran)?)
}

/// Whether an event of this kind has come for a container.
pub(super) fn came(events: &[Event], kind: EventKind, ran: &Ran) -> bool {
    events.iter().any(|event| event.kind() == kind && id_of(event) == ran.id)
}

fn executed(events: &[Event], path: &str) -> usize {
    events
        .iter()
        .filter(|event| event.kind() == EventKind::ProcessExec && file_of(event).path == path)
        .count()
}
