//! Measures what the sensor costs, beside others in the same run, and prints tables (Markdown, each line after
//! `bench: `).
//!
//! `zastava-bench machine|host|churn [--quick]`, as root. `machine` is for an emulated machine with one processor whose
//! time counts instructions; what it prints in nanoseconds are instructions then. `host` and `churn` are for any other
//! machine.
#![forbid(unsafe_code)]

mod build;
mod churn;
mod cost;
mod deed;
mod hashing;
mod host;
mod machine;
mod mapping;
mod table;
mod told;
mod tool;

use std::process::ExitCode;

use anyhow::{Result, bail};

use self::cost::Statistics;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zastava-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (place, quick) = match words.as_slice() {
        [place] => (*place, false),
        [place, "--quick"] => (*place, true),
        _ => bail!("zastava-bench machine|host|churn [--quick]"),
    };
    let _statistics = Statistics::on()?;
    let directory = tempfile::Builder::new().prefix("zastava-bench-").tempdir()?;
    match place {
        "machine" => machine::measure(directory.path(), quick),
        "host" => host::measure(directory.path(), quick),
        "churn" => churn::measure(directory.path(), quick),
        other => bail!("no place {other}: machine, host or churn"),
    }
}
