//! Plays all scenarios and trials in the tiers that are asked for, and ends with 0 when none failed.
//!
//! `zastava-e2e [--tier NAME]... [--scratch DIRECTORY] [FILTER]`: without `--tier` every tier that works on this kernel
//! according to `zastava-sensor doctor`, with FILTER only what has it in its name. The sensor and the tester stand
//! beside this program, or where `ZASTAVA_SENSOR` and `ZASTAVA_TESTER` say.
//!
//! `zastava-e2e reap DIRECTORY` is what a test with a container runtime starts to clear away after itself.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use zastava_common::abi::Tier;
use zastava_tests::{play, report::Sums, runtimes::reap, sensor};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let played = match words.as_slice() {
        ["reap", directory] => reap::when_left(directory.as_ref()).map(|()| None),
        _ => run().map(Some),
    };
    match played {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(sums)) => {
            println!("{sums}");
            ExitCode::from(u8::from(sums.failed > 0))
        }
        Err(error) => {
            eprintln!("zastava-e2e: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<Sums> {
    let Options { mut tiers, scratch, filter } = Options::parse()?;
    if tiers.is_empty() {
        tiers = working_tiers()?;
    }
    let scratch = tempfile::Builder::new()
        .prefix("zastava-e2e-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in(scratch)?;
    let mut sums = Sums::default();
    for tier in tiers {
        play::tier(tier, scratch.path(), &filter, &mut sums);
    }
    Ok(sums)
}

struct Options {
    tiers: Vec<Tier>,
    scratch: PathBuf,
    filter: String,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self { tiers: Vec::new(), scratch: std::env::temp_dir(), filter: String::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--tier" => options.tiers.push(tier(&arguments.next().context("--tier: which?")?)?),
                "--scratch" => options.scratch = arguments.next().context("--scratch: where?")?.into(),
                unknown if unknown.starts_with('-') => bail!("no option {unknown}"),
                _ => options.filter = argument,
            }
        }
        Ok(options)
    }
}

fn tier(name: &str) -> Result<Tier> {
    Tier::ALL.into_iter().find(|tier| tier.name() == name).with_context(|| format!("no tier {name}"))
}

/// Those that `doctor` says work here.
fn working_tiers() -> Result<Vec<Tier>> {
    let output = Command::new(sensor::program()?).args(["doctor", "--output", "json"]).output()?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("doctor: {}", String::from_utf8_lossy(&output.stderr)))?;
    let tiers = report["tiers"].as_array().context("doctor names no tiers")?;
    tiers
        .iter()
        .filter(|found| found["works"] == true)
        .map(|found| tier(found["tier"].as_str().unwrap_or_default()))
        .collect()
}
