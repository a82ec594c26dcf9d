//! In a machine whose time counts instructions: what an exec and its exit cost.

use std::{iter, path::Path, thread, time::Duration};

use anyhow::Result;
use zastava_common::abi::Tier;

use crate::{
    cost::{Cost, Memory, Runs},
    deed, mapping,
    table::{Table, mebibytes, millions, none, ratio, thousands},
    told::Told,
    tool::{Start, Tool},
};

const PARENTS: u32 = 4;

/// A kernel that has just booted still has things to do. Time in which nothing runs costs nothing here.
const BOOT: Duration = Duration::from_secs(10);

/// How much is done.
#[derive(Clone, Copy, Debug)]
struct Amount {
    warm_up: u32,
    row: u32,
    burst: u32,
    mappings: u32,
}

const FULL: Amount = Amount { warm_up: 100, row: 2000, burst: 8000, mappings: 10_000 };
const QUICK: Amount = Amount { warm_up: 50, row: 500, burst: 2000, mappings: 2000 };

/// What one tool came to.
struct Measured {
    start: Option<Start>,
    /// The programs in a row, as time passed.
    row: Duration,
    /// The same, and what the tool did about them afterwards.
    whole: Duration,
    kernel: u64,
    own: u64,
    memory: Memory,
    told: Told,
    told_of_burst: Told,
}

pub(crate) fn measure(directory: &Path, quick: bool) -> Result<()> {
    let amount = if quick { QUICK } else { FULL };
    let Amount { row: execs, burst, mappings, .. } = amount;
    thread::sleep(BOOT);
    let nothing = no_tool(directory, amount)?;

    let mut row = Table::new(
        &format!("One exec and exit of a tiny static program, {execs} in a row; k = 1,000 instructions:"),
        [
            "",
            "BPF, k",
            "own CPU, k",
            "loop, k",
            "loop and aftermath, k",
            "slow-down",
            "RSS, MiB",
            "of it anonymous",
            "BPF memory, MiB",
            "start to ready: own CPU, M",
            "as time passed, M",
            "execs told",
            "exits told",
            "lost",
        ],
    );
    let each = |passed: Duration| thousands(passed.as_nanos() as u64 / u64::from(execs));
    let dashes = |count| iter::repeat_with(none).take(count);
    let without = |name: &str, passed| {
        let figures = [each(passed), each(passed), ratio(passed, nothing)];
        [name.to_owned()].into_iter().chain(dashes(2)).chain(figures).chain(dashes(8)).collect::<Vec<_>>()
    };
    row.row(without("no tool", nothing));
    let mut bursts = Table::new(
        &format!("A burst of {burst} execs from {PARENTS} parents:"),
        [
            "",
            "execs told",
            "execs lost",
            "exits told",
            "exits lost",
            "lost, kind unknown",
            "execs accounted for",
        ],
    );
    let tools = [Tool::Execsnoop].into_iter().chain(Tier::ALL.into_iter().map(Tool::Sensor));
    for tool in tools {
        let measured = one(tool, directory, amount)?;
        let Measured { start, row: passed, whole, kernel, own, memory, told, told_of_burst } = measured;
        row.row([
            tool.to_string(),
            thousands(kernel / u64::from(execs)),
            thousands(own / u64::from(execs)),
            each(passed),
            each(whole),
            ratio(whole, nothing),
            mebibytes(memory.resident),
            mebibytes(memory.anonymous),
            mebibytes(memory.kernel),
            start.map_or_else(none, |start| millions(start.own)),
            start.map_or_else(none, |start| millions(start.passed.as_nanos() as u64)),
            told.execs.to_string(),
            told.exits.map_or_else(none, |exits| exits.to_string()),
            (told.lost_execs + told.lost_exits + told.lost).to_string(),
        ]);
        let Told { execs, exits, lost_execs, lost_exits, lost } = told_of_burst;
        bursts.row([
            tool.to_string(),
            execs.to_string(),
            lost_execs.to_string(),
            exits.map_or_else(none, |exits| exits.to_string()),
            lost_exits.to_string(),
            lost.to_string(),
            format!("{} of {burst}", execs + lost_execs),
        ]);
    }
    row.row(without("no tool, at the end", no_tool(directory, amount)?));
    row.print();
    bursts.print();
    mapping::measure(directory, mappings)?.print();
    Ok(())
}

/// The same programs before nobody's eyes.
fn no_tool(directory: &Path, Amount { warm_up, row, .. }: Amount) -> Result<Duration> {
    let [warm, bench] = ["warm", "bench"].map(|name| deed::program(directory, name));
    deed::in_a_row(&warm?, warm_up)?;
    deed::in_a_row(&bench?, row)
}

fn one(tool: Tool, directory: &Path, amount: Amount) -> Result<Measured> {
    let Amount { warm_up, row: execs, burst, .. } = amount;
    // Each tool sees its programs for the first time.
    let [warm, bench, storm] = ["warm", "bench", "storm"].map(|name| deed::program(directory, name));
    let (warm, bench, storm) = (warm?, bench?, storm?);
    let running = tool.start(directory, &[])?;
    deed::in_a_row(&warm, warm_up)?;
    running.drained()?;

    let before = running.cost()?;
    let row = deed::in_a_row(&bench, execs)?;
    let at_end = running.cost()?;
    running.drained()?;
    let after = running.cost()?;
    let own = after.own_since(&before)?;
    let kernel = sum(&after, &before);
    let whole = row + Duration::from_nanos(after.own_since(&at_end)?);

    deed::burst(&storm, burst, PARENTS)?;
    running.drained()?;
    let memory = Memory::of(running.pid())?;
    let start = running.start;
    let output = running.end()?;
    let told = output.told(&bench)?;
    let told_of_burst = output.told(&storm)?;
    Ok(Measured { start, row, whole, kernel, own, memory, told, told_of_burst })
}

/// Nanoseconds of all kernel programs.
pub(crate) fn sum(after: &Cost, before: &Cost) -> u64 {
    after.kernel_since(before).map(|Runs { ns, .. }| ns).sum()
}
