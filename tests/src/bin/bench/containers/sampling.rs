//! What a container has mapped: how long the sensor takes to name it all, and to hash it, beside `sha256sum`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};
use zastava_common::event::v1::{Event, event::Kind};
use zastava_tests::{
    containers::runtime::Wish,
    elf::{Deed, Program},
    expect::{file_of, id_of},
    sensor::Sensor,
    watch::{self, Came},
};

use super::{PATIENCE, Place, milliseconds, percentile, when};
use crate::table::{Table, none};

/// The advisory's numbers: a first sampling, and a full set.
const SETS: [usize; 3] = [0, 64, 256];
/// Where the container has them.
const FILES: &str = "/files/";
/// Bytes of one file: 256 of them are what is hashed of a container at most.
const BYTES: usize = 240_000;
/// How long the container has to map them before its start is told.
const SETTLE: Duration = Duration::from_millis(300);
const SETTLE_SETTING: &str = "containers: { startSettleMs: 300 }";

pub(super) fn measure(place: &Place<'_>, quick: bool) -> Result<Table> {
    let rounds = if quick { 2 } else { 7 };
    let sensor = place.sensor(&[SETTLE_SETTING])?;
    let mut table = Table::new(
        &format!(
            "{rounds} containers each; files of {BYTES} bytes, just written, so that none is read from a disk; \
             milliseconds. CONTAINER_START at a watcher, from the end of the time in which libraries gather, during \
             which they are hashed: the middle and the slowest. The last of them at a watcher with its digest, from the \
             kernel's time of the first: the middle. `sha256sum` reads the same files.",
        ),
        [
            "mapped files",
            "start: known before",
            "",
            "start: never read",
            "",
            "digests: known before",
            "digests: never read",
            "sha256sum",
            "of them named",
        ],
    );
    for files in SETS {
        let [mut cold, mut warm] = [Times::default(), Times::default()];
        let mut reference = Vec::new();
        let mut named = usize::MAX;
        for round in 0..rounds {
            let directory = place.directory.join(format!("files-{files}-{round}"));
            let paths = libraries(&directory, files)?;
            for times in [&mut cold, &mut warm] {
                let Told { start, digests, count } = start(place, &sensor, &directory)?;
                times.start.push(start);
                times.digests.extend(digests);
                named = named.min(count);
            }
            if files > 0 {
                reference.push(sha256sum(&paths)?);
            }
            fs::remove_dir_all(&directory)?;
        }
        let figure = |times: &mut Vec<Duration>, percent| {
            times.sort_unstable();
            if times.is_empty() { none() } else { milliseconds(percentile(times, percent)) }
        };
        table.row([
            files.to_string(),
            figure(&mut warm.start, 50),
            figure(&mut warm.start, 100),
            figure(&mut cold.start, 50),
            figure(&mut cold.start, 100),
            figure(&mut warm.digests, 50),
            figure(&mut cold.digests, 50),
            figure(&mut reference, 50),
            named.to_string(),
        ]);
    }
    sensor.stop()?;
    Ok(table)
}

/// Of all rounds.
#[derive(Default)]
struct Times {
    start: Vec<Duration>,
    digests: Vec<Duration>,
}

/// Of one container.
struct Told {
    /// From the end of its settling to its start.
    start: Duration,
    /// From the first file mapped to the last one told. `None`: there is none.
    digests: Option<Duration>,
    /// Files named with their digest in the start.
    count: usize,
}

/// So many files that nobody has read.
fn libraries(directory: &Path, count: usize) -> Result<Vec<PathBuf>> {
    fs::create_dir(directory)?;
    (0..count)
        .map(|number| {
            let path = directory.join(format!("lib-{number}.so"));
            let mut bytes = Program::shared(&path.to_string_lossy(), Deed::Exit(0)).bytes;
            bytes.resize(BYTES, number as u8);
            fs::write(&path, bytes)?;
            Ok(path)
        })
        .collect()
}

/// One container that maps them.
fn start(place: &Place<'_>, sensor: &Sensor, directory: &Path) -> Result<Told> {
    let watched = watch::follow(&sensor.socket, &[Kind::ContainerStart, Kind::LibraryLoad])?;
    let wish = place.wish(&["/bin/tester", "maps", "/files"]);
    let wish = Wish { mounts: vec![(directory.to_owned(), "/files".to_owned())], ..wish };
    let ran = place.runtime.run(&wish)?;
    let deadline = Instant::now() + PATIENCE;
    let mut mapped = None;
    let Came { event, at } = loop {
        let came = watched.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let came = came.context("a container's start is not told")?;
        if id_of(&came.event) != ran.id {
            continue;
        }
        if came.event.kind() == Kind::ContainerStart {
            break came;
        }
        if file_of(&came.event).path.starts_with(FILES) {
            let (first, _) = mapped.unwrap_or((when(&came.event)?, came.at));
            mapped = Some((first, came.at));
        }
    };
    place.runtime.remove(&ran)?;
    let digests = mapped.map(|(first, last)| last.duration_since(first).unwrap_or_default());
    Ok(Told { start: since_settled(&event, at)?, digests, count: hashed(&event)? })
}

fn since_settled(event: &Event, at: SystemTime) -> Result<Duration> {
    let exec = when(event)?;
    match at.duration_since(exec + SETTLE) {
        Ok(time) => Ok(time),
        Err(early) => bail!("the start was told {:?} before its libraries had gathered", early.duration()),
    }
}

/// Libraries of the set that stand in the event with their digest.
fn hashed(event: &Event) -> Result<usize> {
    let ours = event.loaded_libs.iter().filter(|library| library.path.starts_with(FILES));
    let mut count = 0;
    for library in ours {
        ensure!(
            !library.sha256.is_empty() || !library.sha256_reason.is_empty(),
            "{} has neither digest nor reason",
            library.path
        );
        count += usize::from(!library.sha256.is_empty());
    }
    Ok(count)
}

fn sha256sum(paths: &[PathBuf]) -> Result<Duration> {
    let begun = Instant::now();
    let output = Command::new("sha256sum").args(paths).output().context("cannot start sha256sum")?;
    ensure!(output.status.success(), "sha256sum ended with {}", output.status);
    Ok(begun.elapsed())
}
