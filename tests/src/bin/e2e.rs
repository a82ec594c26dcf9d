//! Plays all scenarios and trials in the tiers that are asked for, and ends with 0 when none failed.
//!
//! `zastava-e2e [--tier NAME]... [--scratch DIRECTORY] [--scenarios] [FILTER]`: without `--tier` every tier that works on
//! this kernel according to `zastava-sensor doctor`, with FILTER only what has it in its name, with `--scenarios` without
//! the trials. The sensor and the tester stand beside this program, or where `ZASTAVA_SENSOR` and `ZASTAVA_TESTER` say.
//!
//! `zastava-e2e containers [--runtime NAME]... [--tier NAME] [--scratch DIRECTORY] [--full] [FILTER]`: the part with
//! container runtimes, in the best tier. `zastava-e2e reap DIRECTORY` is what it starts to clear away after itself.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;
use zastava_common::abi::Tier;
use zastava_tests::{
    containers::{self, Choice, Kind},
    play,
    report::Sums,
    runtimes::reap,
    sensor,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let played = match words.as_slice() {
        ["reap", directory] => reap::when_left(directory.as_ref()).map(|()| None),
        ["containers", rest @ ..] => Options::parse(rest).and_then(with_containers).map(Some),
        all => Options::parse(all).and_then(run).map(Some),
    };
    match played {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(sums)) if sums == Sums::default() => {
            eprintln!("zastava-e2e: nothing was tried: no scenario and no trial has such a name");
            ExitCode::from(2)
        }
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

fn with_containers(options: Options) -> Result<Sums> {
    let Options { tiers, scratch, filter, mut runtimes, full, scenarios } = options;
    ensure!(!scenarios, "--scenarios is not for `containers`");
    if runtimes.is_empty() {
        runtimes = Kind::ALL.to_vec();
    }
    let tier = tiers.first().copied().map_or_else(best_tier, Ok)?;
    let scratch = directory(&scratch)?;
    let mut sums = Sums::default();
    containers::play(&Choice { runtimes, tier, full, filter }, scratch.path(), &mut sums);
    Ok(sums)
}

fn directory(scratch: &Path) -> Result<TempDir> {
    let mut directory = tempfile::Builder::new();
    directory.prefix("zastava-e2e-").permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755));
    Ok(directory.tempdir_in(scratch)?)
}

fn run(options: Options) -> Result<Sums> {
    let Options { mut tiers, scratch, filter, runtimes, full, scenarios } = options;
    ensure!(runtimes.is_empty() && !full, "--runtime and --full are for `containers`");
    if tiers.is_empty() {
        tiers = sensor::working_tiers()?;
    }
    let scratch = directory(&scratch)?;
    let mut sums = Sums::default();
    for tier in tiers {
        play::scenarios(tier, scratch.path(), &filter, &mut sums);
        if !scenarios {
            play::trials(tier, scratch.path(), &filter, &mut sums);
        }
    }
    Ok(sums)
}

struct Options {
    tiers: Vec<Tier>,
    scratch: PathBuf,
    filter: String,
    runtimes: Vec<Kind>,
    full: bool,
    scenarios: bool,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            tiers: Vec::new(),
            scratch: std::env::temp_dir(),
            filter: String::new(),
            runtimes: Vec::new(),
            full: false,
            scenarios: false,
        };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "--tier" => options.tiers.push(sensor::tier(words.next().context("--tier: which?")?)?),
                "--scratch" => options.scratch = words.next().context("--scratch: where?")?.into(),
                "--runtime" => options.runtimes.push(kind(words.next().context("--runtime: which?")?)?),
                "--full" => options.full = true,
                "--scenarios" => options.scenarios = true,
                unknown if unknown.starts_with('-') => bail!("no option {unknown}"),
                filter => filter.clone_into(&mut options.filter),
            }
        }
        Ok(options)
    }
}

fn kind(name: &str) -> Result<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.name() == name).with_context(|| format!("no runtime {name}"))
}

fn best_tier() -> Result<Tier> {
    sensor::working_tiers()?.first().copied().context("no tier works on this kernel")
}
