//! A parallel C build: many programs, each with libraries, files and a parent that waits.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use zastava_common::abi::Tier;

use crate::{
    host::sorted,
    table::{Table, none, ratio, thousands},
    tool::Tool,
};

/// Compilers at once.
const JOBS: usize = 2;
/// Functions in each file: a tenth of a second of work for the compiler.
const FUNCTIONS: usize = 150;

/// Compiles the same files in turn with and without the sensor.
pub(crate) fn measure(directory: &Path, quick: bool) -> Result<Table> {
    let (rounds, files) = if quick { (3, 20) } else { (9, 60) };
    let sources = sources(directory, files)?;
    compile(&sources)?;
    let tools = [None, Some(Tool::Sensor(Tier::Tracepoint))];
    let mut measured: [Vec<u64>; 2] = Default::default();
    for _ in 0..rounds {
        for (tool, rounds) in tools.iter().zip(&mut measured) {
            let running = tool.map(|tool| tool.start(directory, &[])).transpose()?;
            rounds.push(compile(&sources)?.as_nanos() as u64);
            if let Some(running) = running {
                running.end()?;
            }
        }
    }
    let mut table = Table::new(
        &format!(
            "A C build, {files} files, {JOBS} compilers at once, {rounds} rounds in turn; milliseconds:"
        ),
        ["", "the middle", "fastest", "slowest", "slow-down, middle", "slow-down, fastest"],
    );
    let figures = measured.map(|rounds| sorted(&rounds, |ns| ns / 1000));
    let [nothing, _] = figures.each_ref().map(|sorted| (middle(sorted), first(sorted)));
    for (tool, sorted) in tools.iter().zip(&figures) {
        let against = |of: u64, to: u64| {
            tool.map_or_else(none, |_| ratio(Duration::from_micros(of), Duration::from_micros(to)))
        };
        table.row([
            tool.map_or_else(|| "no tool".to_owned(), |tool| tool.to_string()),
            thousands(middle(sorted)),
            thousands(first(sorted)),
            thousands(sorted.last().copied().unwrap_or_default()),
            against(middle(sorted), nothing.0),
            against(first(sorted), nothing.1),
        ]);
    }
    Ok(table)
}

fn first(sorted: &[u64]) -> u64 {
    sorted.first().copied().unwrap_or_default()
}

fn middle(sorted: &[u64]) -> u64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn sources(directory: &Path, files: usize) -> Result<Vec<PathBuf>> {
    let directory = directory.join("build");
    fs::create_dir_all(&directory)?;
    (0..files)
        .map(|file| {
            let mut text = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n".to_owned();
            for function in 0..FUNCTIONS {
                writeln!(
                    text,
                    "int f{function}(int n) {{ int s = {file}; for (int i = 0; i < n; i++) s = s * 31 + (i ^ {function}); \
                     return s; }}"
                )?;
            }
            let path = directory.join(format!("{file}.c"));
            fs::write(&path, text)?;
            Ok(path)
        })
        .collect()
}

fn compile(sources: &[PathBuf]) -> Result<Duration> {
    let begun = Instant::now();
    let shares = sources.chunks(sources.len().div_ceil(JOBS));
    thread::scope(|scope| {
        let jobs: Vec<_> = shares.map(|share| scope.spawn(|| share.iter().try_for_each(object))).collect();
        jobs.into_iter().try_for_each(|job| job.join().map_err(|_| anyhow::anyhow!("a job panicked"))?)
    })?;
    Ok(begun.elapsed())
}

fn object(source: &PathBuf) -> Result<()> {
    let mut command = Command::new("cc");
    command.args(["-O1", "-c", "-o"]).arg(source.with_extension("o")).arg(source);
    let status = command.status().context("cannot start cc")?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
