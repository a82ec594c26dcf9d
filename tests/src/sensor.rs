//! The real sensor as a child process.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write as _,
    fs::{self, Permissions},
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use zastava_common::abi::Tier;

use crate::{http, inbox::Inbox};

/// A slow machine with a debug build; a good one needs less than a second.
const START: Duration = Duration::from_mins(1);
/// What SIGTERM may take (the sensor's promise), and how long a test waits before it gives up.
const STOP: Duration = Duration::from_secs(5);
const GIVE_UP: Duration = Duration::from_secs(30);
/// The line of the log that says that everything is attached and known.
const READY: &str = " ready";

pub const HASH_BYTES_PER_SECOND: u64 = 64 << 30;

/// What a test wants of the sensor.
#[derive(Clone, Debug)]
#[must_use]
pub struct Wish {
    pub tier: Tier,
    /// Lines below `zastava.sensor` of the configuration.
    pub settings: Vec<&'static str>,
    /// Lines below `zastava.runtime` of the configuration.
    pub runtime: Vec<String>,
    /// Another sensor's socket, to come into its way.
    pub socket: Option<PathBuf>,
    /// User and group, without any capability.
    pub user: Option<u32>,
}

impl Wish {
    pub fn tier(tier: Tier) -> Self {
        Self { tier, settings: Vec::new(), runtime: Vec::new(), socket: None, user: None }
    }

    pub fn setting(mut self, line: &'static str) -> Self {
        self.settings.push(line);
        self
    }
}

/// A running sensor; killed when dropped.
#[derive(Debug)]
pub struct Sensor {
    child: Child,
    pub inbox: Inbox,
    log: Receiver<String>,
    pub metrics: SocketAddr,
    pub socket: PathBuf,
}

/// How a sensor ended that was not to run.
#[derive(Debug)]
pub struct Refusal {
    pub code: Option<i32>,
    pub log: String,
    pub took: Duration,
}

/// The sensor's program: `ZASTAVA_SENSOR`, else beside this one.
pub fn program() -> Result<PathBuf> {
    find("ZASTAVA_SENSOR", "zastava-sensor")
}

/// A program of the project: as the environment says, else beside this one.
pub fn find(variable: &str, name: &str) -> Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name(name);
    let path = std::env::var_os(variable).map_or(beside, PathBuf::from);
    path.canonicalize().with_context(|| format!("no {name} at {}; {variable} says where", path.display()))
}

impl Sensor {
    /// Starts the sensor and waits until it is ready. Its files stand in `directory`.
    pub fn start(wish: &Wish, directory: &Path) -> Result<Self> {
        let (mut command, metrics, socket) = command(wish, directory)?;
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let inbox = Inbox::new(child.stdout.take().context("no output")?);
        let log = follow(child.stderr.take().context("no log")?);
        let sensor = Self { child, inbox, log, metrics, socket };
        sensor.await_ready()?;
        Ok(sensor)
    }

    /// Starts a sensor that cannot run, and waits for its end.
    pub fn refused(wish: &Wish, directory: &Path) -> Result<Refusal> {
        let (mut command, ..) = command(wish, directory)?;
        Self::end_of(&mut command)
    }

    /// Runs the sensor with other arguments to its end.
    pub fn end_of(command: &mut Command) -> Result<Refusal> {
        let begun = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let log = follow(child.stderr.take().context("no log")?);
        let mut text = String::new();
        loop {
            match log.recv_timeout(GIVE_UP.saturating_sub(begun.elapsed())) {
                Ok(line) => text += &line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    child.kill()?;
                    bail!("still running after {GIVE_UP:?}; log:\n{text}");
                }
            }
        }
        Ok(Refusal { code: child.wait()?.code(), log: text, took: begun.elapsed() })
    }

    fn await_ready(&self) -> Result<()> {
        let begun = Instant::now();
        let mut text = String::new();
        loop {
            match self.log.recv_timeout(START.saturating_sub(begun.elapsed())) {
                Ok(line) => {
                    let ready = line.trim_end().ends_with(READY);
                    text += &line;
                    if ready {
                        let (status, body) = http::get(self.metrics, "/readyz?verbose")?;
                        ensure!(status == 200, "says that it is ready, but /readyz: {status} {body}");
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the sensor ended before it was ready:\n{text}"),
                Err(RecvTimeoutError::Timeout) => bail!("the sensor was not ready after {START:?}:\n{text}"),
            }
        }
    }

    /// What the sensor says that it does without: part to reason.
    pub fn degraded(&self) -> Result<BTreeMap<String, String>> {
        let (_, body) = http::get(self.metrics, "/readyz?verbose")?;
        let report: serde_json::Value = serde_json::from_str(&body).context("/readyz?verbose is no JSON")?;
        Ok(serde_json::from_value(report["degraded"].clone())?)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the sensor as a service manager does; it must be done in time, and successfully.
    pub fn stop(mut self) -> Result<Inbox> {
        let begun = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.inbox.finish(GIVE_UP)?;
        let status = self.child.wait()?;
        let log: String = self.log.try_iter().collect();
        ensure!(status.success(), "ended by SIGTERM with {status}:\n{log}");
        ensure!(begun.elapsed() < STOP, "took {:?} to end:\n{log}", begun.elapsed());
        Ok(std::mem::replace(&mut self.inbox, Inbox::new(std::io::empty())))
    }

    /// Ends the sensor without a word of warning.
    pub fn kill(mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Waits for a line of the log that holds `text`, from now on.
    pub fn await_log(&self, text: &str) -> Result<()> {
        let begun = Instant::now();
        while let Ok(line) = self.log.recv_timeout(GIVE_UP.saturating_sub(begun.elapsed())) {
            if line.contains(text) {
                return Ok(());
            }
        }
        bail!("the sensor does not say {text:?} within {GIVE_UP:?}")
    }

    /// The log since it was last asked for.
    pub fn log(&self) -> String {
        self.log.try_iter().collect()
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(wish: &Wish, directory: &Path) -> Result<(Command, SocketAddr, PathBuf)> {
    fs::create_dir_all(directory)?;
    let metrics = free_address()?;
    let socket = wish.socket.clone().unwrap_or_else(|| directory.join("run/sensor.sock"));
    let config = directory.join("config.yaml");
    let mut text = "zastava:\n  runtime:\n    tenant: e2e\n".to_owned();
    for line in &wish.runtime {
        writeln!(text, "    {line}")?;
    }
    text += "  sensor:\n";
    writeln!(text, "    watchSocket: {}\n    metricsAddress: \"{metrics}\"", socket.display())?;
    // What else runs on the machine must not use up what the scenarios need.
    writeln!(text, "    hashBytesPerSecond: {HASH_BYTES_PER_SECOND}")?;
    for line in &wish.settings {
        writeln!(text, "    {line}")?;
    }
    fs::write(&config, text)?;
    let mut program = program()?;
    if wish.user.is_some() {
        // Whoever it is must find everything, and may write here.
        let open = directory.join("zastava-sensor");
        fs::copy(&program, &open).context("cannot copy the sensor")?;
        program = open;
        fs::set_permissions(directory, Permissions::from_mode(0o777))?;
    }
    let mut command = Command::new(program);
    let arguments: [OsString; 7] = [
        "run".into(),
        "--config".into(),
        config.into(),
        "--tier".into(),
        wish.tier.name().into(),
        "--output".into(),
        "json".into(),
    ];
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("NO_COLOR", "1").env_remove("ZASTAVA_LOG");
    if let Some(user) = wish.user {
        command.uid(user).gid(user);
    }
    Ok((command, metrics, socket))
}

/// Those that `doctor` says work here, the best first.
pub fn working_tiers() -> Result<Vec<Tier>> {
    let output = Command::new(program()?).args(["doctor", "--output", "json"]).output()?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("doctor: {}", String::from_utf8_lossy(&output.stderr)))?;
    let tiers = report["tiers"].as_array().context("doctor names no tiers")?;
    tiers
        .iter()
        .filter(|found| found["works"] == true)
        .map(|found| tier(found["tier"].as_str().unwrap_or_default()))
        .collect()
}

/// The tier of that name.
pub fn tier(name: &str) -> Result<Tier> {
    Tier::ALL.into_iter().find(|tier| tier.name() == name).with_context(|| format!("no tier {name}"))
}

/// A port that nobody uses now.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Reads a log on a thread of its own, line by line.
pub fn follow(log: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut log = BufReader::new(log);
        let mut line = Vec::new();
        while log.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    lines
}
