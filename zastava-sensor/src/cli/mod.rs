//! Command line: one file per subcommand.
#![forbid(unsafe_code)]

pub mod config;
pub mod containers;
pub mod doctor;
pub mod duration;
pub mod exit;
pub mod log;
pub mod run;
pub mod watch;

use std::{fmt::Display, io, process::ExitCode};

use clap::{Parser, Subcommand};

use config::{ConfigCommand, ConfigCommandError};
use containers::ContainersArgs;
use doctor::{DoctorArgs, DoctorError};
use run::RunArgs;
use watch::WatchArgs;

use crate::{
    kernel::source::KernelError,
    pipeline::{self, PipelineError},
};

/// Names what ran in containers and on their host, with proof: who executed, mapped or made which file, with its
/// build-id and SHA-256.
#[derive(Debug, Parser)]
#[command(name = "zastava-sensor", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(RunArgs),
    Doctor(DoctorArgs),
    Watch(WatchArgs),
    Containers(ContainersArgs),
    Config(ConfigCommand),
}

const AFTER_HELP: &str = "\
Examples:
  zastava-sensor doctor                           what this kernel lets the sensor see, and why not more
  zastava-sensor run                              observe this machine; readable lines until Ctrl-C
  zastava-sensor watch                            what a running sensor sees, live
  zastava-sensor watch --kind exec --output json  the same as JSON, programs only
  zastava-sensor containers                       the containers that run, as the sensor knows them
  zastava-sensor config check zastava.yaml        whether a configuration can be used

Exit codes:
  0  ended as asked
  1  failed while running; the last line on the standard error says why
  2  arguments or configuration cannot be used
  3  this kernel lets no sensor in
  4  `watch`, `containers`: no sensor there; `run`: another sensor serves the socket

ZASTAVA_LOG says what is logged to the standard error: `debug`, or `warn,zastava_sensor::kernel=trace`.";

/// The program: takes the arguments of the process, and gives its exit code.
pub fn main() -> ExitCode {
    // Says what is wrong, or what help was asked for, by itself.
    let Cli { command } = Cli::parse();
    match command {
        Command::Run(arguments) => observe(arguments),
        Command::Doctor(arguments) => match arguments.run(&mut io::stdout().lock()) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(exit::NO_TIER),
            Err(error @ DoctorError::Config(_)) => fail(exit::USAGE, &error),
            Err(error @ DoctorError::Write(_)) => fail(exit::FAILED, &error),
        },
        Command::Watch(arguments) => watch::run(arguments),
        Command::Containers(arguments) => containers::run(arguments),
        Command::Config(command) => match command.run(&mut io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(ConfigCommandError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                ExitCode::SUCCESS
            }
            Err(error @ ConfigCommandError::Write(_)) => fail(exit::FAILED, &error),
            Err(error @ ConfigCommandError::Config(_)) => fail(exit::USAGE, &error),
        },
    }
}

/// The sensor itself; the summary goes to the standard error, where it is in nobody's way.
fn observe(arguments: RunArgs) -> ExitCode {
    let options = match arguments.options() {
        Ok(options) => options,
        Err(error) => return fail(exit::USAGE, &error),
    };
    if let Err(error) = log::start(options.colour) {
        return fail(exit::FAILED, &error);
    }
    match pipeline::run(&options) {
        Ok(summary) => {
            eprintln!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error @ PipelineError::Kernel(KernelError::NoTier(_))) => fail(exit::NO_TIER, &error),
        Err(error @ PipelineError::Socket(_)) => fail(exit::SENSOR, &error),
        Err(error) => fail(exit::FAILED, &error),
    }
}

/// Says why, and with which code the process ends.
fn fail(code: u8, error: &dyn Display) -> ExitCode {
    eprintln!("zastava-sensor: {error}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_its_examples_are_accepted() {
        Cli::command().debug_assert();
        for line in AFTER_HELP.lines().filter(|line| line.starts_with("  zastava-sensor")) {
            let example = line.trim_start().split("  ").next().unwrap();
            Cli::try_parse_from(example.split(' ')).unwrap();
        }
    }
}
