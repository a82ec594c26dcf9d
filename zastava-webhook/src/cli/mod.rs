//! Command line: one file per subcommand.
#![forbid(unsafe_code)]

mod certs;
mod config;
mod log;
mod serve;
mod test;

use std::{
    fmt::Display,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

/// Asks of every image of a workload what the policy asks, before a pod may start.
#[derive(Debug, Parser)]
#[command(name = "zastava-webhook", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Test(test::TestArgs),
    Certs(certs::CertsArgs),
    Config(config::ConfigCommand),
}

const AFTER_HELP: &str = "\
Examples:
  zastava-webhook serve --config zastava.yaml              answer the API server
  zastava-webhook test --config zastava.yaml app.yaml      what it would answer about a manifest
  zastava-webhook test --config zastava.yaml --output json --namespace prod app.yaml review.json
  zastava-webhook certs --namespace zastava                make or renew the cluster's own certificates
  zastava-webhook config schema                            what may stand in the configuration

Exit codes:
  0  ended as asked; `test`: everything would be let through
  1  `test`: something would be refused; else failed while running
  2  arguments, configuration or a file that it names cannot be used; `test`: there is no answer, whatever the reason

ZASTAVA_LOG says what is logged to the standard error: `debug`, or `warn,zastava_webhook::gather=trace`.";

/// `test` has an answer, and it is no.
const REFUSED: u8 = 1;
/// It failed while running.
const FAILED: u8 = 1;
/// Arguments, configuration or manifests cannot be used, or `test` has no answer; clap ends with it too.
const USAGE: u8 = 2;

/// The program: takes the arguments of the process, and gives its exit code.
pub fn main() -> ExitCode {
    // Says what is wrong, or what help was asked for, by itself.
    let Cli { command } = Cli::parse();
    // The only provider that is compiled in; where it is set already it is this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Certs(arguments) => certs::run(&arguments),
        Command::Config(command) => config::run(&command),
    }
}

/// Says why, and with which code the process ends.
fn fail(code: u8, error: &dyn Display) -> ExitCode {
    // A closed standard error is nobody's to tell.
    let _ = writeln!(io::stderr(), "zastava-webhook: {error}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_its_examples_are_accepted() {
        Cli::command().debug_assert();
        for line in AFTER_HELP.lines().filter(|line| line.starts_with("  zastava-webhook")) {
            let example = line.trim_start().split("  ").next().unwrap();
            Cli::try_parse_from(example.split(' ')).unwrap();
        }
    }
}
