//! All automation of the project: `cargo xtask --help`.
#![forbid(unsafe_code)]

mod bench;
mod build_ebpf;
mod demo;
mod fuzz;
mod lint;
mod mirror;
mod places;
mod run;
mod runtimes;
mod setup;
mod step;
mod test;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs and tests Zastava.
///
/// On a fresh Debian machine with Rust: `cargo xtask run` shows what this machine executes, `cargo xtask test`
/// runs every test. Both install what is missing and say so before they do.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what building and testing need; a second run finds all in place
    Setup(setup::Options),
    /// Compiles the kernel programs into target/bpf
    BuildEbpf,
    /// Builds everything and runs the sensor on this machine
    Run(run::Options),
    /// Checks form, lints and the rules of the house
    Lint,
    /// Runs every test: unit, on this kernel, on Debian's kernels
    Test(test::Options),
    /// Measures what the sensor costs, beside others
    Bench(bench::Options),
    /// Shows a part at work, with real parts around it
    Demo(demo::Options),
    /// Runs every fuzz target
    Fuzz(fuzz::Options),
    /// Runs a command on Debian's kernels in emulated machines
    Vm(vm::Options),
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let result = match command {
        Command::Setup(options) => setup::run(&options),
        Command::BuildEbpf => build_ebpf::run(),
        Command::Run(options) => run::run(&options),
        Command::Lint => lint::run(),
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Vm(options) => vm::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
