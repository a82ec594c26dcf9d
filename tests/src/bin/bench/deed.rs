//! What happens on the machine while tools watch.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use zastava_tests::{
    elf::{Deed, Program},
    fixture::Fixture,
    sensor::find,
};

/// A program that ends at once: about 300 bytes, static, without a library. It takes the place of an earlier one, as a
/// new file that nobody has seen.
pub(crate) fn program(directory: &Path, name: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(Fixture::program(path, &Program::new(name, Deed::Exit(0)))?.path)
}

/// Executes the program so often, one after the other (`posix_spawn` and `waitpid`); how long that took.
pub(crate) fn in_a_row(program: &Path, count: u32) -> Result<Duration> {
    let begun = Instant::now();
    for _ in 0..count {
        ensure!(Command::new(program).status()?.success(), "{} failed", program.display());
    }
    Ok(begun.elapsed())
}

/// Executes the program so often from so many parents at once.
pub(crate) fn burst(program: &Path, count: u32, parents: u32) -> Result<()> {
    let told = tester(&["storm", &program.to_string_lossy(), &count.to_string(), &parents.to_string()])?;
    ensure!(told == count.to_string(), "the burst was one of {told}");
    Ok(())
}

/// Lets the tester do a thing, and gives what it printed.
pub(crate) fn tester(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(find("ZASTAVA_TESTER", "zastava-tester")?);
    let output = command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
