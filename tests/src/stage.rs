//! Where a scenario plays: a directory of its own, a running sensor, and the comparison of what was told with what
//! was done.

use std::{
    cell::RefCell,
    ffi::{OsStr, OsString},
    fmt::Display,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use zastava_common::{
    abi::Tier,
    event::v1::{Event, event::Kind},
};

use crate::{
    elf::{Deed, Program},
    expect::{Expected, file_of, id_of, process},
    fixture::Fixture,
    sensor::{Sensor, find},
};

/// How long an event may take: the machine may be slow and busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Faults and events that a failure shows.
const MOST: usize = 12;
/// How long one may come after a later one.
const LATE: Duration = Duration::from_secs(6);
/// Exit code of a tester whose kernel cannot do the thing.
const UNABLE: i32 = 77;

/// Why a scenario did not come to its end.
#[derive(Debug)]
pub enum Stop {
    /// This machine cannot do the thing, and this is what it says.
    Unable(String),
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// `anyhow::ensure` for what ends with a [`Stop`].
pub(crate) fn ensure_that(holds: bool, otherwise: impl Display) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::Failed(anyhow!("{otherwise}"))) }
}

/// One scenario's place.
#[derive(Debug)]
pub struct Stage {
    pub tier: Tier,
    /// Below it stands all that the scenario does; its last component is [`Self::token`].
    pub directory: PathBuf,
    /// Every path of the scenario holds it, and no other path does.
    pub token: String,
    /// `None`: file changes are not told on this file system, for this reason.
    pub unwatched: Option<String>,
    /// Children that live as long as the scenario.
    kept: RefCell<Vec<Child>>,
    /// Ids of the scenario's containers: what is told of their lives is its concern, too.
    containers: RefCell<Vec<String>>,
}

impl Stage {
    pub fn new(tier: Tier, scratch: &Path) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let token = format!("e2e-{}-{number:04}", std::process::id());
        let directory = scratch.join(&token);
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self {
            tier,
            directory,
            token,
            unwatched: None,
            kept: RefCell::default(),
            containers: RefCell::default(),
        })
    }

    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.join(name)
    }

    /// A program of this scenario; its build-id is like no other's.
    pub fn program(&self, name: &str, deed: Deed) -> Result<Fixture> {
        Fixture::program(self.at(name), &Program::new(&self.unique(name), deed))
    }

    /// A library of this scenario, or an interpreter.
    pub fn library(&self, name: &str) -> Result<Fixture> {
        Fixture::program(self.at(name), &Program::shared(&self.unique(name), Deed::Exit(0)))
    }

    pub fn unique(&self, name: &str) -> String {
        format!("{}/{name}", self.token)
    }

    /// A command in the scenario's directory, with nothing to read.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.directory).stdin(Stdio::null());
        command
    }

    /// Lets the tester do a thing, and gives what it printed.
    pub fn tester<A: Into<OsString>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String, Stop> {
        let tester = find("ZASTAVA_TESTER", "zastava-tester")?;
        let output = self
            .command(tester)
            .args(arguments.into_iter().map(Into::into))
            .stderr(Stdio::piped())
            .output()?;
        let Output { status, stdout, stderr } = output;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match status.code() {
            Some(0) => Ok(text(&stdout)),
            Some(UNABLE) => Err(Stop::Unable(text(&stdout))),
            _ => Err(Stop::Failed(anyhow!("{status}: {}", text(&stderr)))),
        }
    }

    /// Lets a child live until all is compared; then its input ends.
    pub fn keep(&self, child: Child) {
        self.kept.borrow_mut().push(child);
    }

    /// The life of this container must be told here.
    pub fn owns(&self, container: &str) {
        self.containers.borrow_mut().push(container.to_owned());
    }

    /// File changes must be told here, or the sensor must have said why not.
    pub fn needs_file_changes(&self) -> Result<(), Stop> {
        match &self.unwatched {
            Some(reason) => Err(Stop::Unable(reason.clone())),
            None => Ok(()),
        }
    }

    /// Waits until the sensor has told everything that happened so far, and compares.
    pub fn compare(&self, sensor: &mut Sensor, since: SystemTime, expected: &[Expected]) -> Result<()> {
        self.catch_up(sensor)?;
        let all = |events: &[Event]| {
            let mut needed = expected.iter().filter(|expected| !expected.is_optional());
            needed.all(|expected| events.iter().any(|event| expected.matches(event)))
        };
        sensor.inbox.wait(LATE, all)?;
        let mine: Vec<&Event> = sensor.inbox.events().iter().filter(|event| self.concerns(event)).collect();
        let mut faults = Vec::new();
        for expected in expected {
            let matching: Vec<_> = mine.iter().filter(|event| expected.matches(event)).collect();
            match matching.as_slice() {
                _ if expected.is_optional() => {}
                [] => faults.push(format!("not told: {}", expected.label())),
                [event] => {
                    let wrong = expected.faults(event);
                    faults.extend(wrong.into_iter().map(|fault| format!("{}: {fault}", expected.label())));
                }
                more => faults.push(format!("told {} times: {}", more.len(), expected.label())),
            }
        }
        for event in &mine {
            if !expected.iter().any(|expected| expected.matches(event)) {
                faults.push(format!("not done, but told: {}", name_of(event)));
            }
            faults.extend(
                self.envelope(event, since).err().map(|fault| format!("{}: {fault}", name_of(event))),
            );
        }
        if faults.is_empty() {
            return Ok(());
        }
        faults.truncate(MOST);
        let told: Vec<String> = mine.iter().take(MOST).map(|event| in_short(event)).collect();
        bail!("{}\n  told was:\n    {}", faults.join("\n  "), told.join("\n    "))
    }

    /// Records are told in order: when a program that is executed now has ended, all before it was told.
    fn catch_up(&self, sensor: &mut Sensor) -> Result<()> {
        let path = self.directory.with_extension("marker");
        let marker = Fixture::program(path, &Program::new(&format!("marker/{}", self.token), Deed::Exit(0)))?;
        ensure!(Command::new(&marker.path).status()?.success(), "the marker failed");
        let end = Expected::exit(self.tier, &marker.path);
        let caught_up =
            sensor.inbox.wait(PATIENCE, |events| events.iter().any(|event| end.matches(event)))?;
        fs::remove_file(&marker.path)?;
        ensure!(
            caught_up,
            "the sensor did not tell the end of a program within {PATIENCE:?}:\n{}",
            sensor.log()
        );
        Ok(())
    }

    /// What this process did itself was preparation.
    fn concerns(&self, event: &Event) -> bool {
        if is_life(event) && self.containers.borrow().contains(&id_of(event)) {
            return true;
        }
        let process = process(event);
        let paths = match &event.file {
            // What else a process of the scenario maps is not the scenario's.
            Some(file) => [file.path.clone(), process.script.unwrap_or_default().path],
            None => [process.exe, String::new()],
        };
        process.pid != std::process::id()
            && paths.iter().any(|path| path.contains(&self.token) && !path.ends_with(".marker"))
    }

    /// What holds for every event.
    fn envelope(&self, event: &Event, since: SystemTime) -> Result<()> {
        let when = SystemTime::try_from(event.when.context("no time")?)?;
        // The clocks of the kernel and of this process are read apart.
        let slack = Duration::from_millis(200);
        ensure!(when + slack >= since && when <= SystemTime::now() + slack, "time {when:?} is not its own");
        ensure!(!event.event_id.is_empty() && !event.node.is_empty(), "no eventId or no node");
        ensure!(event.tenant == "e2e", "tenant {:?}", event.tenant);
        if is_life(event) {
            ensure!(event.sensor.is_none(), "a conclusion that says who saw it");
            return Ok(());
        }
        let tier = event.sensor.unwrap_or_default().tier().as_str_name();
        ensure!(tier == self.tier.name(), "says that tier {tier} saw it");
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for mut child in self.kept.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A container's start or end.
pub(crate) fn is_life(event: &Event) -> bool {
    matches!(event.kind(), Kind::ContainerStart | Kind::ContainerStop)
}

/// The event without the processes above, which are long and nobody's concern here.
fn in_short(event: &Event) -> String {
    let mut event = event.clone();
    if let Some(process) = &mut event.process {
        process.ancestors.clear();
    }
    serde_json::to_string(&event).unwrap_or_default()
}

/// Kind and path.
fn name_of(event: &Event) -> String {
    let file = file_of(event);
    let path = if file.path.is_empty() { process(event).exe } else { file.path.clone() };
    match event.kind() {
        Kind::FileCreate => format!("FILE_CREATE {path} ({})", file.op().as_str_name()),
        kind => format!("{} {path}", kind.as_str_name()),
    }
}

/// A child that ended as a scenario wants it.
pub fn ended_with(mut child: Child, code: Option<i32>, signal: Option<i32>) -> Result<u32> {
    let pid = child.id();
    let status = child.wait()?;
    ensure!(status.code() == code && status.signal() == signal, "ended with {status}");
    Ok(pid)
}
