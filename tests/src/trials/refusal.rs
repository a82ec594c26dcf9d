//! Sensors that cannot run say why, and end.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use zastava_common::abi::Tier;

use crate::{
    sensor::{Refusal, Sensor, Wish, program},
    sight::Sight,
    stage::Stop,
};

/// Exit codes of `run`.
const USAGE: i32 = 2;
const NO_TIER: i32 = 3;
/// A refusal is no search.
const SOON: Duration = Duration::from_secs(10);
const NOBODY: u32 = 65_534;

/// The error names the file, and the key that was meant.
pub(super) fn configuration(tier: Tier, directory: &Path) -> Result<(), Stop> {
    let wish = Wish::tier(tier).setting("flushIntervallMs: 20");
    let refusal = Sensor::refused(&wish, directory)?;
    Ok(says(&refusal, USAGE, &["config.yaml", "flushIntervallMs", "flushIntervalMs"])?)
}

/// As where a kernel lets nobody in.
pub(super) fn capabilities(tier: Tier, directory: &Path) -> Result<(), Stop> {
    let wish = Wish { user: Some(NOBODY), ..Wish::tier(tier) };
    let refusal = Sensor::refused(&wish, directory)?;
    Ok(says(&refusal, NO_TIER, &["no tier works", tier.name(), "doctor"])?)
}

fn says(refusal: &Refusal, code: i32, words: &[&str]) -> Result<()> {
    let Refusal { code: found, log, took } = refusal;
    ensure!(*found == Some(code), "ended with {found:?}, not {code}:\n{log}");
    ensure!(*took < SOON, "took {took:?}:\n{log}");
    for word in words {
        ensure!(log.contains(word), "does not say {word:?}:\n{log}");
    }
    Ok(())
}

/// What these tests excuse in a tier is what `doctor` says that it cannot see.
pub(super) fn blind_spots(tier: Tier, _: &Path) -> Result<(), Stop> {
    let output = Command::new(program()?).args(["doctor", "--output", "json"]).output()?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let tiers = report["tiers"].as_array().context("doctor names no tiers")?;
    let found = tiers.iter().find(|found| found["tier"] == tier.name()).context("doctor does not know it")?;
    let spots: Vec<&str> =
        found["blindSpots"].as_array().into_iter().flatten().filter_map(|it| it.as_str()).collect();
    for spot in Sight::ALL.into_iter().filter_map(|sight| sight.blind_spot(tier)) {
        says_so(&spots, spot)?;
    }
    Ok(())
}

fn says_so(spots: &[&str], spot: &str) -> Result<()> {
    ensure!(spots.contains(&spot), "doctor does not say {spot:?}, but {spots:?}");
    Ok(())
}
