//! `test`: every test there is, with one table at the end.

mod tally;

use std::{
    env,
    ffi::OsString,
    io::{IsTerminal as _, stdout},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use self::tally::Tally;
use crate::{
    build_ebpf, demo, places,
    setup::{self, packages},
    step,
    vm::{self, console::Verdict, kernels::Series},
};

/// The end-to-end tests: one program, for this kernel and for those in machines.
const END_TO_END: &str = "zastava-e2e";

#[derive(Args)]
pub(crate) struct Options {
    /// Only this part
    #[arg(value_enum)]
    part: Option<Part>,
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
}

/// One line of the table.
struct Row {
    part: String,
    tally: Tally,
    took: Duration,
    failure: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { part, kernels, how } = options;
    let wanted = |this: Part| part.is_none_or(|only| only == this);
    setup::test(if wanted(Part::Vm) { kernels } else { &[] })?;
    build_ebpf::build()?;
    let mut rows = Vec::new();
    if wanted(Part::Unit) {
        rows.extend(unit());
    }
    if wanted(Part::Webhook) {
        rows.push(webhook());
    }
    if wanted(Part::Host) {
        rows.push(host());
    }
    if wanted(Part::Vm) {
        rows.extend(machines(kernels, how));
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

fn host() -> Row {
    let begun = Instant::now();
    let mut build = cargo();
    build.args(["build", "--workspace", "--bins", "--locked"]);
    let command = step::shown("Building the sensor and the end-to-end tests", &mut build).and_then(|()| {
        let program = places::target().join("debug").join(END_TO_END);
        let prefix = packages::as_root().with_context(|| format!("run {} as root", program.display()))?;
        let mut words = prefix.into_iter().map(OsString::from).chain([program.into_os_string()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        Ok(command)
    });
    match command {
        Ok(mut command) => part("host", &mut command),
        Err(error) => Row {
            part: "host".to_owned(),
            tally: Tally::default(),
            took: begun.elapsed(),
            failure: Some(format!("{error:#}")),
        },
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

fn machines(kernels: &[Series], how: &vm::How) -> Vec<Row> {
    let begun = Instant::now();
    let mut tallies = vec![Tally::default(); kernels.len()];
    let outcomes = vm::on_kernels(kernels, how, &[END_TO_END.into()], |series, line| {
        if let Some(at) = kernels.iter().position(|kernel| *kernel == series) {
            tallies[at].read(line);
        }
    });
    match outcomes {
        Ok(outcomes) => outcomes
            .into_iter()
            .zip(tallies)
            .map(|(vm::Outcome { series, version, verdict, took }, tally)| Row {
                part: format!("vm {series} ({version})"),
                tally,
                took,
                failure: match verdict {
                    Verdict::Success => None,
                    Verdict::Failure(why) => Some(why),
                },
            })
            .collect(),
        Err(error) => vec![Row {
            part: "vm".to_owned(),
            tally: Tally::default(),
            took: begun.elapsed(),
            failure: Some(format!("{error:#}")),
        }],
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
