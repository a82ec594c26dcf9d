//! On this machine as it is: time, which other load distorts. Rounds go in turn, and the middle one counts.

use std::{path::Path, thread, time::Duration};

use anyhow::Result;
use zastava_common::abi::Tier;

use crate::{
    build, deed, hashing,
    machine::sum,
    table::{Table, none, ratio, thousands},
    told::Told,
    tool::{Running, Tool},
};

const WARM_UP: u32 = 100;
/// Between rounds, so that what the last one left to do does not count in the next.
const PAUSE: Duration = Duration::from_millis(500);

/// One tool in one round, per exec in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    row: u64,
    kernel: u64,
    own: u64,
    told: Told,
}

pub(crate) fn measure(directory: &Path, quick: bool) -> Result<()> {
    let (rounds, execs) = if quick { (3, 1000) } else { (7, 5000) };
    // Not every kernel has the tracepoints that it needs.
    let reference = Tool::Execsnoop.start(directory, &[]).and_then(Running::end);
    let (reference, note) = match reference {
        Ok(_) => (Some(Some(Tool::Execsnoop)), ""),
        Err(_) => (None, " (execsnoop does not run on this kernel)"),
    };
    let tools: Vec<_> = [None, Some(Tool::Submit)]
        .into_iter()
        .chain(reference)
        .chain([Some(Tool::Sensor(Tier::Tracepoint))])
        .collect();
    let mut measured = vec![Vec::new(); tools.len()];
    for _ in 0..rounds {
        for (tool, rounds) in tools.iter().zip(&mut measured) {
            rounds.push(round(*tool, directory, execs)?);
            thread::sleep(PAUSE);
        }
    }
    let mut table = Table::new(
        &format!(
            "One exec and exit of a tiny static program, {execs} in a row on {} processors, {rounds} rounds in turn; \
             microseconds, the middle of the rounds{note}:",
            thread::available_parallelism()?
        ),
        ["", "BPF, us", "own CPU, us", "loop, us", "fastest", "slowest", "slow-down", "execs told", "lost"],
    );
    let nothing = middle(&measured[0], |round| round.row);
    for (tool, rounds) in tools.iter().zip(&measured) {
        let figure = |of: fn(&Round) -> u64| thousands(middle(rounds, of));
        let of_tool = |of: fn(&Round) -> u64| tool.map_or_else(none, |_| figure(of));
        let total = |of: fn(&Told) -> u64| match tool {
            None | Some(Tool::Submit) => none(),
            Some(_) => rounds.iter().map(|round| of(&round.told)).sum::<u64>().to_string(),
        };
        let sorted = sorted(rounds, |round| round.row);
        let end = |at: Option<&u64>| thousands(at.copied().unwrap_or_default());
        table.row([
            tool.map_or_else(|| "no tool".to_owned(), |tool| tool.to_string()),
            of_tool(|round| round.kernel),
            of_tool(|round| round.own),
            figure(|round| round.row),
            end(sorted.first()),
            end(sorted.last()),
            ratio(Duration::from_nanos(middle(rounds, |round| round.row)), Duration::from_nanos(nothing)),
            total(|told| told.execs),
            total(|told| told.lost_execs + told.lost_exits + told.lost),
        ]);
    }
    table.print();
    build::measure(directory, quick)?.print();
    hashing::measure(directory, quick)?.print();
    Ok(())
}

fn round(tool: Option<Tool>, directory: &Path, execs: u32) -> Result<Round> {
    let [warm, bench] = ["warm", "bench"].map(|name| deed::program(directory, name));
    let (warm, bench) = (warm?, bench?);
    let each = |sum: u64| sum / u64::from(execs);
    let Some(tool) = tool else {
        deed::in_a_row(&warm, WARM_UP)?;
        let row = each(deed::in_a_row(&bench, execs)?.as_nanos() as u64);
        return Ok(Round { row, ..Round::default() });
    };
    let running = tool.start(directory, &[])?;
    deed::in_a_row(&warm, WARM_UP)?;
    running.drained()?;
    let before = running.cost()?;
    let row = each(deed::in_a_row(&bench, execs)?.as_nanos() as u64);
    running.drained()?;
    let after = running.cost()?;
    let (kernel, own) = (each(sum(&after, &before)), each(after.own_since(&before)?));
    let told = running.end()?.told(&bench)?;
    Ok(Round { row, kernel, own, told })
}

fn middle(rounds: &[Round], of: impl Fn(&Round) -> u64) -> u64 {
    let sorted = sorted(rounds, of);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn sorted<T>(rounds: &[T], of: impl Fn(&T) -> u64) -> Vec<u64> {
    let mut figures: Vec<u64> = rounds.iter().map(of).collect();
    figures.sort_unstable();
    figures
}
