//! `vm`: runs a command on Debian's kernels in emulated machines, with the sensor and the test programs inside.

pub(crate) mod console;
mod cpio;
mod initramfs;
pub(crate) mod kernels;
mod machine;
mod module;
mod programs;

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};

use self::{
    console::Verdict,
    initramfs::Contents,
    kernels::{Kernel, Series},
    machine::Clock,
};
use crate::{build_ebpf, places, setup, step};

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs a command in a machine and prints its console
    Run(Run),
}

/// For instance `cargo xtask vm run --kernel 6.12 -- zastava-sensor doctor`. In the machine are the sensor, all
/// programs of the tests crate (static), `true` and `sh` (dynamic, as on this machine); /proc, /sys, /dev, tracefs,
/// debugfs, bpffs, cgroup2 and securityfs are mounted, /tmp and /run are tmpfs.
#[derive(Args)]
struct Run {
    /// Which kernels; may be given more than once
    #[arg(long = "kernel", value_enum, default_values_t = [Series::V6_12])]
    kernels: Vec<Series>,
    #[command(flatten)]
    how: How,
    /// The command; its exit code decides
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// How the machines are built and run.
#[derive(Args)]
pub(crate) struct How {
    /// Guest time counts instructions (1 ns each, one CPU): figures that other load cannot distort
    #[arg(long)]
    pub(crate) icount: bool,
    /// Build what goes into the machine with optimisation
    #[arg(long)]
    pub(crate) release: bool,
    /// One more file into the machine's /bin, with the libraries it needs; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) with: Vec<PathBuf>,
    /// End a machine after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    pub(crate) timeout: u64,
    /// The machine's memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(crate) memory: u32,
}

/// What became of one kernel.
pub(crate) struct Outcome {
    pub(crate) series: Series,
    pub(crate) version: String,
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { command: Action::Run(Run { kernels, how, command }) } = options;
    let outcomes = on_kernels(kernels, how, command, |_, _| {})?;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Success).collect();
    match failed.first() {
        None => Ok(()),
        Some(Outcome { series, verdict, .. }) => {
            bail!("{} of {} kernels failed, first {series}: {verdict}", failed.len(), outcomes.len())
        }
    }
}

/// Builds the static programs that go into the machines, with optimisation if `release`; the directory they stand in.
pub(crate) fn built(release: bool) -> Result<PathBuf> {
    programs::check_architecture()?;
    build_ebpf::build()?;
    let programs = programs::build(release)?;
    let directory = programs.first().and_then(|program| program.path.parent());
    Ok(directory.context("the tests crate has no programs")?.to_owned())
}

/// Runs `command` on each kernel, one after the other, and tells of all. Lines of the consoles are printed, each after
/// the name of its kernel, and given to `watch`.
pub(crate) fn on_kernels(
    wanted: &[Series],
    how: &How,
    command: &[OsString],
    mut watch: impl FnMut(Series, &str),
) -> Result<Vec<Outcome>> {
    let How { icount, release, with, timeout, memory } = how;
    programs::check_architecture()?;
    setup::test(wanted)?;
    build_ebpf::build()?;
    let programs = programs::build(*release)?;
    let directory = places::target().join("vm/initramfs");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let clock = if *icount { Clock::Instructions } else { Clock::Wall };
    let mut outcomes = Vec::new();
    for series in wanted {
        let kernel = Kernel::cached(*series)?.with_context(|| format!("kernel {series} left the cache"))?;
        // By process, so that two runs at once do not write the same file.
        let image = directory.join(format!("{series}-{}.cpio", std::process::id()));
        initramfs::write(&image, &Contents { kernel: &kernel, programs: &programs, with, command })?;
        println!(
            "kernel {series} ({}): booting with {} MiB of programs",
            kernel.version,
            initramfs::size(&image)
        );
        let begun = Instant::now();
        let size = machine::Size { clock, memory: *memory };
        let mut boot = || {
            machine::boot(&kernel, &image, size, Duration::from_secs(*timeout), |line| {
                println!("[{series}] {line}");
                watch(*series, line);
            })
        };
        let mut verdict = boot();
        if let Ok(Verdict::Unbegun(why)) = &verdict {
            println!("kernel {series}: {why}: booting once more");
            verdict = boot();
        }
        drop(fs::remove_file(&image));
        let (verdict, took) = (verdict?, begun.elapsed());
        println!("kernel {series}: {verdict} in {}", step::seconds(took));
        outcomes.push(Outcome { series: *series, version: kernel.version, verdict, took });
    }
    Ok(outcomes)
}
