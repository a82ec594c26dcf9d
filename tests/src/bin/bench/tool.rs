//! The tools that are measured, as child processes that write to files.

use std::{
    fmt,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use zastava_common::abi::Tier;
use zastava_tests::sensor;

use crate::cost::Cost;

/// The log's line by which the sensor says that everything is attached and known.
const READY: &str = " ready";
/// The tester's word for the same.
const ATTACHED: &str = "attached";
const PATIENCE: Duration = Duration::from_mins(2);
/// execsnoop does not say when it is attached; loading its two programs takes far less.
const EXECSNOOP_START: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(5);
/// A tool that writes nothing for so long has told all. The sensor gathers for 20 ms, execsnoop does not.
const QUIET: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Execsnoop,
    /// No tool: a program that submits 40 bytes for each exec, and nobody who reads them.
    Submit,
    Sensor(Tier),
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Execsnoop => f.write_str("execsnoop"),
            Self::Submit => f.write_str("40 bytes submitted, unread"),
            Self::Sensor(tier) => write!(f, "Zastava, {}", tier.name()),
        }
    }
}

/// What it took to start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// Until it said that it was ready, as time passed.
    pub(crate) passed: Duration,
    /// Nanoseconds on a processor until then.
    pub(crate) own: u64,
}

/// A tool at work; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    tool: Tool,
    child: Child,
    pub(crate) output: PathBuf,
    /// Lines of its standard error.
    log: Receiver<String>,
    /// `None`: it does not say when it is ready.
    pub(crate) start: Option<Start>,
    /// Where the sensor's metrics are.
    pub(crate) metrics: SocketAddr,
}

impl Tool {
    /// Starts it and waits until it sees what happens. Its files stand in `directory`; `settings` are lines below
    /// `zastava.sensor` of the configuration.
    pub(crate) fn start(self, directory: &Path, settings: &[&str]) -> Result<Running> {
        let metrics = sensor::free_address()?;
        let output = directory.join("output");
        // The sensor appends.
        drop(fs::remove_file(&output));
        let mut command = match self {
            Self::Execsnoop => {
                let mut command = Command::new("execsnoop");
                command.stdout(File::create(&output)?).stdin(Stdio::null());
                command
            }
            Self::Submit => {
                let mut command = Command::new(sensor::find("ZASTAVA_TESTER", "zastava-tester")?);
                // It ends with its standard input.
                command.arg("submit").stdout(File::create(&output)?).stdin(Stdio::piped());
                command
            }
            Self::Sensor(tier) => {
                let mut command = Command::new(sensor::program()?);
                let config = directory.join("config.yaml");
                let settings = settings.join("\n    ");
                let tier = tier.name();
                let text = format!("tier: {tier}\n    metricsAddress: \"{metrics}\"\n    {settings}");
                fs::write(&config, format!("zastava:\n  sensor:\n    {text}\n"))?;
                command.args(["run", "--output", "json", "--socket"]);
                command.arg(directory.join("socket")).arg("--config").arg(config);
                command.arg("--output-file").arg(&output).stdout(Stdio::null()).stdin(Stdio::null());
                command
            }
        };
        command.env("NO_COLOR", "1").env_remove("ZASTAVA_LOG").stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let log = sensor::follow(child.stderr.take().context("no log")?);
        let mut running = Running { tool: self, child, output, log, start: None, metrics };
        match self {
            Self::Execsnoop => {
                thread::sleep(EXECSNOOP_START);
                if running.child.try_wait()?.is_some() {
                    bail!("{self} does not run here:\n{}", running.log());
                }
            }
            Self::Submit => running.await_attached(begun)?,
            Self::Sensor(_) => running.await_ready(begun)?,
        }
        Ok(running)
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn cost(&self) -> Result<Cost> {
        Cost::of(self.pid()).with_context(|| format!("{}; log:\n{}", self.tool, self.log()))
    }

    /// Waits until it has told all that happened so far.
    pub(crate) fn drained(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = self.output_len()?;
        while Instant::now() < deadline {
            thread::sleep(QUIET);
            let now = self.output_len()?;
            if before == now {
                return Ok(());
            }
            before = now;
        }
        bail!("{} does not come to rest", self.tool)
    }

    /// Ends it; then all that it told is written.
    pub(crate) fn end(mut self) -> Result<Output> {
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        let status = self.child.wait()?;
        if matches!(self.tool, Tool::Sensor(_)) && !status.success() {
            bail!("{} ended with {status}; log:\n{}", self.tool, self.log());
        }
        Ok(Output { tool: self.tool, path: self.output.clone(), log: self.log() })
    }

    pub(crate) fn output_len(&self) -> Result<u64> {
        Ok(fs::metadata(&self.output)?.len())
    }

    fn await_ready(&mut self, begun: Instant) -> Result<()> {
        let mut text = String::new();
        loop {
            match self.log.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(line) if line.contains(READY) => {
                    self.start = Some(Start { passed: begun.elapsed(), own: self.cost()?.own() });
                    return Ok(());
                }
                Ok(line) => text += &line,
                Err(RecvTimeoutError::Disconnected) => bail!("{} ended:\n{text}", self.tool),
                Err(RecvTimeoutError::Timeout) => bail!("{} is not ready:\n{text}", self.tool),
            }
        }
    }

    fn await_attached(&mut self, begun: Instant) -> Result<()> {
        while !fs::read_to_string(&self.output)?.contains(ATTACHED) {
            if self.child.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                bail!("{} is not attached:\n{}", self.tool, self.log());
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn log(&self) -> String {
        self.log.try_iter().collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a tool wrote.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) tool: Tool,
    pub(crate) path: PathBuf,
    pub(crate) log: String,
}
