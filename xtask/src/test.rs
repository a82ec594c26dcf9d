//! `test`: every test there is, with one table at the end.

mod tally;

use std::{
    env,
    ffi::OsString,
    io::{IsTerminal as _, stdout},
    iter,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use self::tally::Tally;
use crate::{
    build_ebpf, demo, places, runtimes,
    setup::{self, packages},
    step,
    vm::{self, kernels::Series},
};

/// The end-to-end tests: one program, for this kernel and for those in machines.
const END_TO_END: &str = "zastava-e2e";

#[derive(Args)]
pub(crate) struct Options {
    /// Only this part
    #[arg(value_enum)]
    part: Option<Part>,
    /// With the containers: as many as a release must stand, which takes half an hour
    #[arg(long)]
    full: bool,
    /// End-to-end tests without storms and restarts, which take most of their time in emulated machines
    #[arg(long)]
    scenarios: bool,
    /// Only these kernels; may be given more than once
    #[arg(long = "kernel", value_enum, default_values_t = Series::ALL)]
    kernels: Vec<Series>,
    #[command(flatten)]
    how: vm::How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Tests beside the code
    Unit,
    /// The webhook against a real registry
    Webhook,
    /// End-to-end tests on this machine's kernel
    Host,
    /// End-to-end tests on Debian's kernels
    Vm,
    /// End-to-end tests with container runtimes, on this machine's kernel
    Containers,
    /// The same with one of the runtimes, on two of Debian's kernels
    ContainersVm,
}

/// Kernels on which containers are tested as well, with nothing but cgroup v2.
const CONTAINER_KERNELS: [Series; 2] = [Series::V6_1, Series::V6_12];
/// MiB: the runtime's programs are in the machine's memory twice.
const CONTAINER_MEMORY: u32 = 2048;
/// Seconds: all of it takes a quarter of an hour there.
const CONTAINER_TIMEOUT: u64 = 1800;

/// One line of the table.
struct Row {
    part: String,
    tally: Tally,
    took: Duration,
    failure: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { part, full, scenarios, kernels, how } = options;
    let scenarios = scenarios.then_some("--scenarios");
    let wanted = |this: Part| part.is_none_or(|only| only == this);
    let container_kernels: Vec<Series> =
        CONTAINER_KERNELS.into_iter().filter(|kernel| kernels.contains(kernel)).collect();
    match part {
        None | Some(Part::Vm) => setup::test(kernels)?,
        Some(Part::ContainersVm) => setup::test(&container_kernels)?,
        Some(Part::Unit | Part::Webhook | Part::Host | Part::Containers) => setup::test(&[])?,
    }
    if wanted(Part::Containers) || wanted(Part::ContainersVm) {
        setup::containers()?;
    }
    build_ebpf::build()?;
    let mut rows = Vec::new();
    if wanted(Part::Unit) {
        rows.extend(unit());
    }
    if wanted(Part::Webhook) {
        rows.push(webhook());
    }
    if wanted(Part::Host) {
        rows.push(host(scenarios));
    }
    if wanted(Part::Vm) {
        let command: Vec<OsString> = iter::once(END_TO_END).chain(scenarios).map(OsString::from).collect();
        rows.extend(machines("vm", kernels, how, &command));
    }
    if wanted(Part::Containers) {
        rows.push(containers(*full));
    }
    if wanted(Part::ContainersVm) {
        rows.extend(containers_in_machines(&container_kernels, how));
    }
    print(&rows);
    match rows.iter().filter(|row| row.failure.is_some()).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} parts failed", rows.len()),
    }
}

fn unit() -> Vec<Row> {
    if places::on_path("cargo-nextest").is_none() {
        let mut cargo = cargo();
        cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
        return vec![part("unit", &mut cargo)];
    }
    let mut nextest = cargo();
    nextest.args(["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]);
    // nextest leaves the examples in the documentation to cargo.
    let mut examples = cargo();
    examples.args(["test", "--doc", "--workspace", "--locked", "--no-fail-fast"]);
    vec![part("unit", &mut nextest), part("doc", &mut examples)]
}

fn host(scenarios: Option<&str>) -> Row {
    let begun = Instant::now();
    let mut build = cargo();
    build.args(["build", "--workspace", "--bins", "--locked"]);
    let command = step::shown("Building the sensor and the end-to-end tests", &mut build)
        .and_then(|()| as_root(places::target().join("debug").join(END_TO_END)));
    match command {
        Ok(mut command) => part("host", command.args(scenarios)),
        Err(error) => broken("host", begun, &error),
    }
}

/// What `cargo xtask demo webhook` shows is what must hold.
fn webhook() -> Row {
    let begun = Instant::now();
    let failure = demo::webhook().err().map(|error| format!("{error:#}"));
    let (passed, failed) = (u64::from(failure.is_none()), u64::from(failure.is_some()));
    let tally = Tally { passed, failed, skipped: 0 };
    Row { part: "webhook".to_owned(), tally, took: begun.elapsed(), failure }
}

/// The programs are static ones, as those in the machines are: a container's image holds one of them.
fn containers(full: bool) -> Row {
    let begun = Instant::now();
    let command = vm::built(false).and_then(|directory| {
        let mut command = as_root(directory.join(END_TO_END))?;
        command.arg("containers").args(full.then_some("--full"));
        command.env(runtimes::VARIABLE, runtimes::directory()?);
        Ok(command)
    });
    match command {
        Ok(mut command) => part("containers", &mut command),
        Err(error) => broken("containers", begun, &error),
    }
}

fn containers_in_machines(kernels: &[Series], how: &vm::How) -> Vec<Row> {
    let begun = Instant::now();
    let programs = [
        ("containerd-1.6", "containerd"),
        ("containerd-1.6", "containerd-shim-runc-v2"),
        ("containerd-1.6", "ctr"),
        ("runc", "runc"),
    ];
    let with: Result<Vec<_>> = programs.iter().map(|(deb, name)| runtimes::program(deb, name)).collect();
    match with {
        Ok(mut with) => {
            with.extend(how.with.iter().cloned());
            let how = vm::How {
                with,
                memory: how.memory.max(CONTAINER_MEMORY),
                timeout: how.timeout.max(CONTAINER_TIMEOUT),
                ..*how
            };
            let command = [END_TO_END, "containers", "--runtime", "containerd-1.6"].map(OsString::from);
            machines("containers", kernels, &how, &command)
        }
        Err(error) => vec![broken("containers in machines", begun, &error)],
    }
}

fn as_root(program: PathBuf) -> Result<Command> {
    let prefix = packages::as_root().with_context(|| format!("run {} as root", program.display()))?;
    // sudo forgets the environment, unless it is told.
    let keep = if prefix.is_empty() { None } else { Some(OsString::from("--preserve-env")) };
    let mut words = prefix.into_iter().map(OsString::from).chain(keep).chain([program.into_os_string()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    Ok(command)
}

/// A part that could not begin.
fn broken(part: &str, begun: Instant, error: &anyhow::Error) -> Row {
    Row {
        part: part.to_owned(),
        tally: Tally::default(),
        took: begun.elapsed(),
        failure: Some(format!("{error:#}")),
    }
}

fn machines(part: &str, kernels: &[Series], how: &vm::How, command: &[OsString]) -> Vec<Row> {
    let begun = Instant::now();
    let mut tallies = vec![Tally::default(); kernels.len()];
    let outcomes = vm::on_kernels(kernels, how, command, |series, line| {
        if let Some(at) = kernels.iter().position(|kernel| *kernel == series) {
            tallies[at].read(line);
        }
    });
    match outcomes {
        Ok(outcomes) => outcomes
            .into_iter()
            .zip(tallies)
            .map(|(vm::Outcome { series, version, verdict, took }, tally)| Row {
                part: format!("{part} {series} ({version})"),
                tally,
                took,
                failure: verdict.failure(),
            })
            .collect(),
        Err(error) => vec![broken(part, begun, &error)],
    }
}

fn part(name: &str, command: &mut Command) -> Row {
    let begun = Instant::now();
    let mut tally = Tally::default();
    let result = step::watched(&format!("Testing: {name}"), command, |line| tally.read(line));
    let failure = result.err().map(|error| format!("{error:#}"));
    Row { part: name.to_owned(), tally, took: begun.elapsed(), failure }
}

/// cargo for tests: they read the kernel, so they run as root where we are allowed to.
fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(places::root());
    if stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    if packages::as_root().is_some_and(|prefix| !prefix.is_empty()) {
        let target = format!("{}_UNKNOWN_LINUX_GNU", env::consts::ARCH.to_uppercase());
        command.env(format!("CARGO_TARGET_{target}_RUNNER"), "sudo --preserve-env");
    }
    command
}

fn print(rows: &[Row]) {
    let width = rows.iter().map(|row| row.part.len()).max().unwrap_or_default();
    println!("\n{:width$}  result  passed  failed  skipped     time", "part");
    for Row { part, tally: Tally { passed, failed, skipped }, took, failure } in rows {
        let result = if failure.is_some() { "FAILED" } else { "ok" };
        let time = step::seconds(*took);
        println!("{part:width$}  {result:6}  {passed:6}  {failed:6}  {skipped:7}  {time:>7}");
        if let Some(why) = failure {
            println!("{:width$}  {why}", "");
        }
    }
}
