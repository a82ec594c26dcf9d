//! Real runtimes with real containers before the real sensor.

pub mod asked;
pub mod images;
pub mod init;
mod made;
mod rootfs;
pub mod runtime;
mod scenarios;
pub mod start;
pub mod told;
mod trials;

use std::{fs, path::Path, time::SystemTime};

use zastava_common::abi::Tier;

pub use self::runtime::Kind;
use self::{
    images::Images,
    runtime::{Runtime, TELLABLE},
    scenarios::{Scenario, Scene},
    trials::Setting,
};
use crate::{
    report::Sums,
    sensor::{Sensor, Wish},
    stage::{Stage, Stop},
};

/// What to play.
#[derive(Clone, Debug)]
pub struct Choice {
    pub runtimes: Vec<Kind>,
    pub tier: Tier,
    /// As many containers as a release must stand.
    pub full: bool,
    /// Only what has this in its name.
    pub filter: String,
}

/// Plays all that is chosen.
pub fn play(choice: &Choice, scratch: &Path, sums: &mut Sums) {
    let images = match Images::new() {
        Ok(images) => images,
        Err(error) => return sums.tell_in("containers", "images", Err(Stop::Failed(error))),
    };
    for kind in &choice.runtimes {
        let chosen: Vec<_> =
            scenarios::ALL.iter().filter(|scenario| scenario.name.contains(&choice.filter)).collect();
        if !chosen.is_empty() {
            match Runtime::start(*kind, &images, scratch) {
                Ok(runtime) => perform(choice, &chosen, &runtime, &images, scratch, sums),
                Err(stop) => sums.tell_in(kind.name(), "start", Err(stop)),
            }
        }
        for (number, trial) in trials::ALL.iter().enumerate() {
            let here = trial.on.contains(kind) && (choice.full || !trial.long);
            if here && trial.name.contains(&choice.filter) {
                // Short, for sockets' paths.
                let directory = scratch.join(format!("{number}-{kind}"));
                let setting = Setting { choice, kind: *kind, images: &images, directory: &directory };
                let outcome =
                    fs::create_dir(&directory).map_err(Stop::from).and_then(|()| (trial.run)(&setting));
                sums.tell_in(kind.name(), trial.name, outcome);
            }
        }
    }
}

fn perform(
    choice: &Choice,
    chosen: &[&Scenario],
    runtime: &Runtime,
    images: &Images,
    scratch: &Path,
    sums: &mut Sums,
) {
    let place = runtime.kind().name();
    let started = runtime
        .pull(&images.main.reference)
        .and_then(|()| Sensor::start(&patient(choice, runtime), &scratch.join(format!("sensor-{place}"))));
    let mut sensor = match started {
        Ok(sensor) => sensor,
        Err(error) => return sums.tell_in(place, "sensor", Err(Stop::Failed(error))),
    };
    for scenario in chosen {
        sums.tell_in(place, scenario.name, one(choice, scenario, runtime, images, scratch, &mut sensor));
    }
    sums.tell_in(place, "SIGTERM ends the sensor in order", sensor.stop().map(drop).map_err(Stop::Failed));
}

fn one(
    choice: &Choice,
    scenario: &Scenario,
    runtime: &Runtime,
    images: &Images,
    scratch: &Path,
    sensor: &mut Sensor,
) -> Result<(), Stop> {
    sensor.inbox.forget();
    let since = SystemTime::now();
    let stage = Stage::new(choice.tier, scratch)?;
    let expected = (scenario.act)(&mut Scene { stage: &stage, runtime, images, sensor })?;
    Ok(stage.compare(sensor, since, &expected)?)
}

/// A sensor that waits for the word of a runtime which is slow on a busy machine; whether it comes within the time that
/// events wait by default is asked where runtimes tell of their containers at once.
fn patient(choice: &Choice, runtime: &Runtime) -> Wish {
    let wish = wish(choice, runtime);
    match runtime.kind() {
        Kind::Cri(_) | Kind::Podman => wish.setting("containers: {holdMs: 4000}"),
        Kind::Containerd(_) | Kind::Docker => wish,
    }
}

/// A sensor that knows this runtime.
pub fn wish(choice: &Choice, runtime: &Runtime) -> Wish {
    let mut wish = Wish::tier(choice.tier);
    let [labels, annotations] = ["labels", "annotations"].map(|what| format!("{what}: ['{TELLABLE}*']"));
    wish.runtime = vec![format!("sockets: [{:?}]", runtime.socket()), labels, annotations];
    wish
}
