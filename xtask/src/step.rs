//! One step of work: a child process with one line of what it does, and how long it took.

use std::{
    collections::VecDeque,
    env,
    io::{BufRead as _, BufReader, IsTerminal as _, Read, stderr},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use indicatif::ProgressBar;

/// Lines of a failed step's output that are shown.
const SHOWN_ON_FAILURE: usize = 60;

/// Runs `command` with its own output on the terminal, which is what a developer wants of cargo.
pub(crate) fn shown(what: &str, command: &mut Command) -> Result<()> {
    println!("{what}");
    let begun = Instant::now();
    let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{what}: {status} after {}; the command was: {}", seconds(begun.elapsed()), line(command));
    }
    Ok(())
}

/// Runs `command` behind a progress line: on a terminal a spinner with the newest line of output, elsewhere one line
/// at the start and one at the end. The output itself is shown only when the command fails.
pub(crate) fn quiet(what: &str, command: &mut Command) -> Result<()> {
    let progress = progress(what);
    let begun = Instant::now();
    let mut last = VecDeque::with_capacity(SHOWN_ON_FAILURE);
    let status = piped(command, |text| {
        progress.set_message(format!("{what}: {}", text.chars().take(90).collect::<String>()));
        if last.len() == SHOWN_ON_FAILURE {
            last.pop_front();
        }
        last.push_back(text);
    })?;
    progress.finish_and_clear();
    if !status.success() {
        for text in last {
            eprintln!("  {text}");
        }
        bail!("{what}: {status}; the command was: {}", line(command));
    }
    println!("{what}: done in {}", seconds(begun.elapsed()));
    Ok(())
}

/// Runs `command` with its output on the terminal and each line given to `watch` as well.
pub(crate) fn watched(what: &str, command: &mut Command, mut watch: impl FnMut(&str)) -> Result<()> {
    println!("{what}");
    let begun = Instant::now();
    let status = piped(command, |text| {
        println!("{text}");
        watch(&text);
    })?;
    if !status.success() {
        bail!("{status} after {}; the command was: {}", seconds(begun.elapsed()), line(command));
    }
    Ok(())
}

/// Standard output of `command` as text.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", line(command)))?;
    if !output.status.success() {
        bail!("{}: {}: {}", line(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn progress(what: &str) -> ProgressBar {
    if stderr().is_terminal() && env::var_os("CI").is_none() {
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    } else {
        println!("{what} ...");
        ProgressBar::hidden()
    }
}

/// Runs `command` and gives each line of both its outputs to `each`.
fn piped(command: &mut Command, mut each: impl FnMut(String)) -> Result<ExitStatus> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", line(command)))?;
    let (sender, lines) = channel();
    if let Some(pipe) = child.stdout.take() {
        forward(pipe, sender.clone());
    }
    if let Some(pipe) = child.stderr.take() {
        forward(pipe, sender);
    }
    // Ends when both outputs have.
    lines.into_iter().for_each(&mut each);
    Ok(child.wait()?)
}

fn forward(pipe: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for bytes in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&bytes);
            // Progress bars of other programs overwrite themselves by carriage returns.
            let newest = text.trim_end().rsplit('\r').next().unwrap_or_default();
            if !newest.is_empty() && to.send(newest.to_owned()).is_err() {
                return;
            }
        }
    });
}
