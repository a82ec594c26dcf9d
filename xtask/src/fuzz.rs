//! `fuzz`: runs every target under fuzz/ for a while.

use std::{path::PathBuf, process::Command, str::FromStr};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{places, step};

#[derive(Args)]
pub(crate) struct Options {
    /// How long each target runs: 30s, 5m, 1h
    #[arg(long = "for", value_name = "TIME", default_value = "60s")]
    time: Seconds,
    /// Only this target
    target: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seconds(u64);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("s", 1), ("m", 60), ("h", 3600)];
        units
            .iter()
            .find_map(|(unit, seconds)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*seconds))
            .filter(|seconds| *seconds > 0)
            .map(Self)
            .ok_or_else(|| "expected a whole number and a unit: 30s, 5m, 1h".to_owned())
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { time: Seconds(seconds), target } = options;
    let cargo_fuzz = install()?;
    let list = step::output(fuzz(&cargo_fuzz).arg("list"))?;
    let targets: Vec<&str> = list
        .lines()
        .map(str::trim)
        .filter(|name| target.as_deref().is_none_or(|only| only == *name))
        .collect();
    if targets.is_empty() {
        bail!("no such fuzz target; there are: {}", list.lines().collect::<Vec<_>>().join(" "));
    }
    let mut build = fuzz(&cargo_fuzz);
    step::quiet("Building the fuzz targets with sanitizers", build.arg("build").args(target))?;
    let mut failed = Vec::new();
    for name in &targets {
        let mut run = fuzz(&cargo_fuzz);
        run.args([
            "run",
            name,
            "--",
            &format!("-max_total_time={seconds}"),
            "-timeout=10",
            "-print_final_stats=1",
        ]);
        if let Err(error) = step::quiet(&format!("Fuzzing {name} for {seconds} s"), &mut run) {
            eprintln!("{error:#}");
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        bail!(
            "{} of {} targets failed: {}; inputs are in fuzz/artifacts",
            failed.len(),
            targets.len(),
            failed.join(" ")
        );
    }
    println!("fuzz: {} targets, nothing found", targets.len());
    Ok(())
}

/// cargo-fuzz, from `PATH` or the cache, built if need be; it works with nightly alone.
fn install() -> Result<PathBuf> {
    step::output(Command::new("rustup").args(["run", "nightly", "rustc", "--version"]))
        .context("fuzzing needs sanitizers, which are in nightly alone: rustup toolchain install nightly")?;
    let root = places::cache()?.join("cargo-fuzz");
    let cached = root.join("bin/cargo-fuzz");
    if let Some(found) = places::on_path("cargo-fuzz").or_else(|| cached.is_file().then(|| cached.clone())) {
        return Ok(found);
    }
    let mut install = Command::new("cargo");
    install.args(["install", "cargo-fuzz", "--locked", "--root"]).arg(&root);
    step::quiet(&format!("Building cargo-fuzz into {}", root.display()), &mut install)?;
    Ok(cached)
}

/// `cargo fuzz` under nightly, without what the cargo around us has set.
fn fuzz(cargo_fuzz: &PathBuf) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly"]).arg(cargo_fuzz).arg("fuzz").current_dir(places::root());
    for variable in ["CARGO", "RUSTC", "RUSTFLAGS", "CARGO_TARGET_DIR", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(variable);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::Seconds;

    #[test]
    fn a_time_is_a_whole_number_and_a_unit() {
        assert_eq!("60s".parse(), Ok(Seconds(60)));
        assert_eq!("5m".parse(), Ok(Seconds(300)));
        assert!(
            ["", "60", "0s", "-1s", "99999999999999999999h"]
                .iter()
                .all(|text| text.parse::<Seconds>().is_err())
        );
    }
}
