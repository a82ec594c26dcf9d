//! One file becomes executable memory again and again: what a repeat costs.

use std::{
    fmt,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use zastava_common::abi::Tier;
use zastava_tests::sensor::find;

use crate::{
    cost::{Cost, Runs},
    deed,
    table::{Table, none},
    tool::{Running, Tool},
};

/// Where the sensor's programs for mappings are attached.
const FUNCTION: &str = "security_mmap_file";

/// Who watches.
enum Watcher {
    Nobody,
    /// A program that does nothing, and the tester that holds it.
    Empty(Child),
    Tool(Tool, Box<Running>),
}

impl fmt::Display for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("no tool"),
            Self::Empty(_) => write!(f, "empty fentry on {FUNCTION}"),
            Self::Tool(tool, _) => tool.fmt(f),
        }
    }
}

/// Maps and unmaps `count` times before each watcher.
pub(crate) fn measure(directory: &Path, count: u32) -> Result<Table> {
    let mut table = Table::new(
        &format!(
            "One mmap (executable) and munmap of a file that was seen before, {count} in a row; instructions:"
        ),
        [
            "",
            "loop",
            "more than no tool",
            "own CPU",
            "BPF program on it",
            "runs of it",
            "times the empty one",
        ],
    );
    let file = deed::program(directory, "mapped")?;
    let each = |sum: u64| (sum / u64::from(count)).to_string();
    let mut nobody = 0;
    let mut empty = None;
    for step in 0..4 {
        let watcher = match step {
            0 => Watcher::Nobody,
            1 => Watcher::Empty(attach_empty()?),
            2 => tool(Tool::Sensor(Tier::Trampoline), directory)?,
            _ => tool(Tool::Sensor(Tier::Kprobe), directory)?,
        };
        let Seen { passed, own, runs } = loop_before(&watcher, &file, count)?;
        match watcher {
            Watcher::Nobody => nobody = passed,
            Watcher::Empty(_) => empty = runs,
            Watcher::Tool(..) => {}
        }
        let of_watcher = |figure: u64| if watcher.pid().is_some() { each(figure) } else { none() };
        table.row([
            watcher.to_string(),
            each(passed),
            of_watcher(passed.saturating_sub(nobody)),
            of_watcher(own),
            runs.map_or_else(none, |runs| each(runs.ns)),
            runs.map_or_else(none, |runs| runs.count.to_string()),
            runs.zip(empty).map_or_else(none, |(runs, empty)| tenths(runs.ns, empty.ns)),
        ]);
        watcher.end()?;
    }
    Ok(table)
}

/// What `count` times came to, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    passed: u64,
    /// Of the watcher, until the loop was over.
    own: u64,
    /// Of the kernel program that ran each time.
    runs: Option<Runs>,
}

fn loop_before(watcher: &Watcher, file: &Path, count: u32) -> Result<Seen> {
    let remap = |count: u32| -> Result<u64> {
        let printed = deed::tester(&["remap", &file.to_string_lossy(), &count.to_string()])?;
        printed.parse().with_context(|| format!("the tester's time: {printed}"))
    };
    // The first time is another matter: files are read then.
    remap(10)?;
    if let Watcher::Tool(_, running) = watcher {
        running.drained()?;
    }
    let Some(pid) = watcher.pid() else { return Ok(Seen { passed: remap(count)?, ..Seen::default() }) };
    let before = Cost::of(pid)?;
    let passed = remap(count)?;
    let after = Cost::of(pid)?;
    let each_time = after.kernel_since(&before).filter(|runs| runs.count >= u64::from(count));
    Ok(Seen { passed, own: after.own_since(&before)?, runs: each_time.max_by_key(|runs| runs.ns) })
}

fn tool(tool: Tool, directory: &Path) -> Result<Watcher> {
    Ok(Watcher::Tool(tool, Box::new(tool.start(directory, &[])?)))
}

fn attach_empty() -> Result<Child> {
    let mut command = Command::new(find("ZASTAVA_TESTER", "zastava-tester")?);
    let mut child = command.args(["empty", FUNCTION]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
    ensure!(line.trim() == "attached", "no empty fentry: {line}");
    Ok(child)
}

impl Watcher {
    fn pid(&self) -> Option<u32> {
        match self {
            Self::Nobody => None,
            Self::Empty(child) => Some(child.id()),
            Self::Tool(_, running) => Some(running.pid()),
        }
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Nobody => {}
            Self::Empty(mut child) => {
                drop(child.stdin.take());
                child.wait()?;
            }
            Self::Tool(_, running) => {
                running.end()?;
            }
        }
        Ok(())
    }
}

fn tenths(of: u64, to: u64) -> String {
    let tenths = of * 10 / to.max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}
