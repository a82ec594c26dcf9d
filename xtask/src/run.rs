//! `run`: from a fresh machine to live events in one command.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Result, bail};
use clap::Args;

use crate::{build_ebpf, places, setup::packages, step};

#[derive(Args)]
pub(crate) struct Options {
    /// Arguments of the sensor, for instance `-- --output json --for 10s`
    #[arg(last = true)]
    sensor: Vec<OsString>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { sensor } = options;
    build_ebpf::build()?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(places::root()).args(["build", "--release", "--locked", "--package", "zastava-sensor"]);
    step::shown("Building the sensor", &mut cargo)?;
    let binary = places::target().join("release/zastava-sensor");
    let mut command = match packages::as_root() {
        Some(prefix) if prefix.is_empty() => Command::new(&binary),
        Some(_) => {
            println!("The sensor must be root to load kernel programs: sudo may ask for your password");
            let mut sudo = Command::new("sudo");
            sudo.arg(&binary);
            sudo
        }
        None => bail!("the sensor must be root to load kernel programs: run {} as root", binary.display()),
    };
    // Ctrl-C then reaches the sensor alone, and its exit code is ours.
    let error = command.arg("run").args(sensor).exec();
    bail!("cannot start {}: {error}", binary.display())
}
