//! `bench`: what the sensor costs, beside others in the same run; the tables of docs/performance.md.

use std::{ffi::OsString, fs, process::Command};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use crate::{
    places, runtimes, setup,
    setup::packages,
    step,
    vm::{self, kernels::Series},
};

/// Measures the sensor; tests/src/bin/bench.
const PROGRAM: &str = "zastava-bench";
/// What the program prints before each line of a table.
const PREFIX: &str = "bench: ";
/// Where Debian has what we compare with.
const REFERENCE: &str = "/usr/sbin/execsnoop";

const DOCUMENT: &str = "docs/performance.md";

/// Seconds. Instructions are counted at a fraction of the machine's speed.
const TIMEOUT: u64 = 3600;
/// MiB, as the title of the table says.
const MEMORY: u32 = 1024;

#[derive(Args)]
pub(crate) struct Options {
    /// Only this part; without one, all of them one after the other
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
    /// Time and memory of the admission webhook's answers
    Webhook,
}

impl Part {
    /// Sets up what it takes, and measures.
    fn measure(self, quick: bool) -> Result<String> {
        match self {
            Self::Machine => machine(quick),
            Self::Host => here("Time", "host", quick),
            Self::Churn => here("Memory", "churn", quick),
            Self::Containers => {
                setup::containers()?;
                here("Containers", "containers", quick)
            }
            Self::Webhook => webhook(quick),
        }
    }

    /// Between which lines of the document its tables stand.
    fn marks(self) -> [String; 2] {
        let name = self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        ["Written by", "End of what is written by"]
            .map(|what| format!("<!-- {what} `cargo xtask bench {name}`. -->\n"))
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { part, quick } = options;
    let parts = part.as_ref().map_or(Part::value_variants(), std::slice::from_ref);
    for part in parts {
        let text = part.measure(*quick)?;
        println!("\n{text}");
        if !quick {
            write(*part, &text)?;
        }
    }
    Ok(())
}

/// Puts a part's tables into the document, between its marks.
fn write(part: Part, text: &str) -> Result<()> {
    let path = places::root().join(DOCUMENT);
    let document = fs::read_to_string(&path).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let [begin, end] = part.marks();
    let document = replace(&document, text, &begin, &end)
        .with_context(|| format!("{DOCUMENT} has lost its line {}", begin.trim()))?;
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
    setup::bench()?;
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
        if let Some(why) = verdict.failure() {
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
    setup::bench()?;
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
    use clap::ValueEnum as _;

    use super::{DOCUMENT, Part, collect, places, replace};

    #[test]
    fn tables_are_found_among_other_lines() {
        let mut tables = String::new();
        for line in ["[    1.2] booted", "bench: | a | b |", "bench:", "bench: x"] {
            collect(&mut tables, line);
        }
        assert_eq!(tables, "| a | b |\n\nx\n");
    }

    #[test]
    fn every_part_has_its_place_in_the_document() {
        let document = std::fs::read_to_string(places::root().join(DOCUMENT)).unwrap();
        for part in Part::value_variants() {
            let [begin, end] = part.marks();
            let written = replace(&document, "new\n", &begin, &end).unwrap();
            assert!(written.contains(&format!("{begin}\nnew\n\n{end}")), "{part:?}");
        }
        assert_eq!(replace("# Title\n", "new", "begin\n", "end\n"), None);
    }
}
