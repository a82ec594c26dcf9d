//! `bench`: what the sensor costs, beside others in the same run; the tables of docs/performance.md.

use std::{ffi::OsString, fs, process::Command};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use crate::{
    places, runtimes, setup,
    setup::packages,
    step,
    vm::{self, console::Verdict, kernels::Series},
};

/// Measures; tests/src/bin/bench.
const PROGRAM: &str = "zastava-bench";
/// What the program prints before each line of a table.
const PREFIX: &str = "bench: ";
/// Where Debian has what we compare with.
const REFERENCE: &str = "/usr/sbin/execsnoop";

const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- Written by `cargo xtask bench`. -->\n";
const END: &str = "<!-- End of what `cargo xtask bench` wrote. -->\n";

const BEGIN_WEBHOOK: &str = "<!-- Written by `cargo xtask bench webhook`. -->\n";
const END_WEBHOOK: &str = "<!-- End of what `cargo xtask bench webhook` wrote. -->\n";

/// Seconds. Instructions are counted at a fraction of the machine's speed.
const TIMEOUT: u64 = 3600;
/// MiB, as the title of the table says.
const MEMORY: u32 = 1024;

#[derive(Args)]
pub(crate) struct Options {
    /// Only this part
    #[arg(value_enum)]
    part: Option<Part>,
    /// Less of everything, for a first look; the document stays as it is
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Instructions, counted in an emulated machine: other load does not show in them
    Machine,
    /// Time, on this machine's kernel
    Host,
    /// Memory, through 20 minutes of programs that nobody saw before
    Churn,
    /// Time, with containers of a runtime on this machine
    Containers,
    /// What an answer of the admission webhook costs; not part of a run without a part
    Webhook,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { part, quick } = options;
    if *part == Some(Part::Webhook) {
        let text = webhook(*quick)?;
        println!("\n{text}");
        return if *quick { Ok(()) } else { write(&text, BEGIN_WEBHOOK, END_WEBHOOK) };
    }
    setup::bench()?;
    let mut sections = Vec::new();
    let wanted = |this: Part| part.is_none_or(|only| only == this);
    if wanted(Part::Machine) {
        sections.push(machine(*quick)?);
    }
    if wanted(Part::Host) {
        sections.push(here("Time", "host", *quick)?);
    }
    if wanted(Part::Churn) {
        sections.push(here("Memory", "churn", *quick)?);
    }
    if wanted(Part::Containers) {
        setup::containers()?;
        sections.push(here("Containers", "containers", *quick)?);
    }
    let text = sections.join("\n");
    println!("\n{text}");
    if part.is_some() || *quick {
        return Ok(());
    }
    write(&text, BEGIN, END)
}

/// Puts `text` into the document, between its marks.
fn write(text: &str, begin: &str, end: &str) -> Result<()> {
    let path = places::root().join(DOCUMENT);
    let document = fs::read_to_string(&path).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let document =
        replace(&document, text, begin, end).with_context(|| format!("{DOCUMENT} has lost its marks"))?;
    fs::write(&path, document).with_context(|| format!("cannot write {DOCUMENT}"))?;
    println!("{DOCUMENT} is up to date");
    Ok(())
}

fn webhook(quick: bool) -> Result<String> {
    let mut cargo = Command::new("cargo");
    let arguments = ["bench", "--locked", "--package", "zastava-webhook", "--bench", "webhook"];
    cargo.current_dir(places::root()).args(arguments);
    cargo.args(quick.then_some(["--", "--quick"]).into_iter().flatten());
    let mut tables = format!(
        "## Answers\n\n{}, {} GiB, not otherwise idle for certain; measured on {}.\n\n",
        processor()?,
        memory()?,
        today()?
    );
    step::watched("Measuring the webhook", &mut cargo, |line| collect(&mut tables, line))?;
    Ok(tables)
}

fn machine(quick: bool) -> Result<String> {
    let how = vm::How {
        icount: true,
        release: true,
        with: vec![REFERENCE.into()],
        timeout: TIMEOUT,
        memory: MEMORY,
    };
    let mut command: Vec<OsString> = vec![PROGRAM.into(), "machine".into()];
    command.extend(quick.then(|| "--quick".into()));
    let mut tables = String::new();
    let outcomes = vm::on_kernels(&[Series::V6_12], &how, &command, |_, line| collect(&mut tables, line))?;
    for vm::Outcome { version, verdict, .. } in outcomes {
        if let Verdict::Failure(why) = verdict {
            bail!("the machine with Linux {version}: {why}");
        }
        let title = format!(
            "## Instructions, Linux {version}\n\nEmulated, one processor, 1 GiB; measured on {}.\n\n",
            today()?
        );
        tables.insert_str(0, &title);
    }
    Ok(tables)
}

/// On this machine.
fn here(title: &str, place: &str, quick: bool) -> Result<String> {
    let program = vm::built(true)?.join(PROGRAM);
    let prefix = packages::as_root().with_context(|| format!("run {} as root", program.display()))?;
    let mut words = prefix.into_iter().map(OsString::from).chain([program.into_os_string()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).arg(place).args(quick.then_some("--quick"));
    command.env(runtimes::VARIABLE, runtimes::directory()?);
    let mut tables = format!(
        "## {title}, Linux {}\n\n{}, {} GiB, not otherwise idle for certain; measured on {}.\n\n",
        step::output(Command::new("uname").arg("-r"))?.trim(),
        processor()?,
        memory()?,
        today()?
    );
    step::watched("Measuring on this machine", &mut command, |line| collect(&mut tables, line))?;
    Ok(tables)
}

fn collect(tables: &mut String, line: &str) {
    // A console cuts spaces at the end of a line.
    if let Some(text) = line.strip_prefix(PREFIX.trim_end()) {
        tables.push_str(text.trim());
        tables.push('\n');
    }
}

/// Puts `text` between the marks.
fn replace(document: &str, text: &str, begin: &str, end: &str) -> Option<String> {
    let (head, rest) = document.split_once(begin)?;
    let (_, tail) = rest.split_once(end)?;
    Some(format!("{head}{begin}\n{}\n\n{end}{tail}", text.trim()))
}

fn processor() -> Result<String> {
    let text = fs::read_to_string("/proc/cpuinfo")?;
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("model name")).collect();
    let name =
        names.first().and_then(|name| name.split_once(':')).map_or("unknown processor", |(_, name)| name);
    Ok(format!("{} x {}", names.len(), name.trim()))
}

/// GiB, rounded.
fn memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    let kib: u64 = kib.and_then(|kib| kib.parse().ok()).context("/proc/meminfo names no MemTotal")?;
    Ok((kib + (1 << 19)) >> 20)
}

fn today() -> Result<String> {
    Ok(step::output(Command::new("date").args(["--utc", "+%Y-%m-%d"]))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, collect, replace};

    #[test]
    fn tables_are_found_among_other_lines() {
        let mut tables = String::new();
        for line in ["[    1.2] booted", "bench: | a | b |", "bench:", "bench: x"] {
            collect(&mut tables, line);
        }
        assert_eq!(tables, "| a | b |\n\nx\n");
    }

    #[test]
    fn what_stands_around_the_marks_stays() {
        let document = format!("# Title\n{BEGIN}old\n{END}end\n");
        assert_eq!(
            replace(&document, "new\n", BEGIN, END),
            Some(format!("# Title\n{BEGIN}\nnew\n\n{END}end\n"))
        );
        assert_eq!(replace("# Title\n", "new", BEGIN, END), None);
    }
}
