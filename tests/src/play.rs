//! Plays the scenarios of one tier before one sensor, and the trials, each with sensors of its own.

use std::{path::Path, time::SystemTime};

use anyhow::Result;
use zastava_common::abi::Tier;

use crate::{
    report::Sums,
    scenarios::{self, Scenario},
    sensor::{Sensor, Wish},
    stage::{Stage, Stop},
    trials,
};

/// All scenarios whose name holds `filter`, in this tier.
pub fn scenarios(tier: Tier, scratch: &Path, filter: &str, sums: &mut Sums) {
    let chosen: Vec<_> = scenarios::ALL.iter().filter(|scenario| scenario.name.contains(filter)).collect();
    if !chosen.is_empty() {
        let begun = Sensor::start(&Wish::tier(tier), &scratch.join(format!("sensor-{}", tier.name())));
        match begun {
            Ok(sensor) => perform(tier, scratch, &chosen, sensor, sums),
            Err(error) => sums.tell(tier, "start", Err(Stop::Failed(error))),
        }
    }
}

/// All trials whose name holds `filter`, in this tier.
pub fn trials(tier: Tier, scratch: &Path, filter: &str, sums: &mut Sums) {
    for (number, trial) in trials::ALL.iter().enumerate().filter(|(_, trial)| trial.name.contains(filter)) {
        // A socket's path has room for 107 bytes.
        let directory = scratch.join(format!("{}-{number}", tier.name()));
        sums.tell(tier, trial.name, (trial.run)(tier, &directory));
    }
}

fn perform(tier: Tier, scratch: &Path, chosen: &[&Scenario], mut sensor: Sensor, sums: &mut Sums) {
    let unwatched = match unwatched(&sensor, scratch) {
        Ok(unwatched) => unwatched,
        Err(error) => return sums.tell(tier, "what the sensor does without", Err(Stop::Failed(error))),
    };
    for scenario in chosen {
        let outcome = one(tier, scratch, scenario, unwatched.clone(), &mut sensor);
        sums.tell(tier, scenario.name, outcome);
    }
    sums.tell(tier, "SIGTERM ends the sensor in order", sensor.stop().map(drop).map_err(Stop::Failed));
}

fn one(
    tier: Tier,
    scratch: &Path,
    scenario: &Scenario,
    unwatched: Option<String>,
    sensor: &mut Sensor,
) -> Result<(), Stop> {
    sensor.inbox.forget();
    let since = SystemTime::now();
    let mut stage = Stage::new(tier, scratch)?;
    stage.unwatched = unwatched;
    let expected = (scenario.act)(&stage)?;
    Ok(stage.compare(sensor, since, &expected)?)
}

/// Why the sensor does not see file changes on the file system of `scratch`, as it says itself.
fn unwatched(sensor: &Sensor, scratch: &Path) -> Result<Option<String>> {
    let degraded = sensor.degraded()?;
    let of_scratch = |part: &str| {
        part.strip_prefix("fanotify on ").is_some_and(|point| point != "/" && scratch.starts_with(point))
    };
    let found = degraded.iter().find(|(part, _)| of_scratch(part) || part.as_str() == "fanotify");
    Ok(found.map(|(part, reason)| format!("{part}: {reason}")))
}
