//! Programs that nobody saw before, for a long time: what the sensor remembers must not grow.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use zastava_common::abi::Tier;

use crate::{
    cost::Memory,
    deed,
    table::{Table, mebibytes},
    tool::Tool,
};

/// Rows of the table.
const ROWS: u32 = 10;

/// Executes new programs, each once, and looks at the sensor's memory from time to time.
pub(crate) fn measure(directory: &Path, quick: bool) -> Result<()> {
    let whole = if quick { Duration::from_secs(30) } else { Duration::from_mins(20) };
    let tool = Tool::Sensor(Tier::Tracepoint);
    let running = tool.start(directory, &[])?;
    let mut table = Table::new(
        &format!(
            "{tool}, {} minutes of new programs, each written, executed once and removed:",
            whole.as_secs() / 60
        ),
        ["minute", "programs so far", "RSS, MiB", "of it anonymous", "BPF memory, MiB"],
    );
    let begun = Instant::now();
    let mut programs: u64 = 0;
    for row in 0..=ROWS {
        let until = whole * row / ROWS;
        while begun.elapsed() < until {
            let program = deed::program(directory, &format!("churn-{programs}"))?;
            ensure!(Command::new(&program).status()?.success(), "{} failed", program.display());
            fs::remove_file(&program)?;
            programs += 1;
        }
        // What was told is of no interest here, and the disk is not endless.
        fs::File::options().write(true).open(&running.output)?.set_len(0)?;
        let Memory { resident, anonymous, kernel } = Memory::of(running.pid())?;
        table.row([
            format!("{:.1}", begun.elapsed().as_secs_f64() / 60.0),
            programs.to_string(),
            mebibytes(resident),
            mebibytes(anonymous),
            mebibytes(kernel),
        ]);
    }
    running.end()?;
    table.print();
    Ok(())
}
