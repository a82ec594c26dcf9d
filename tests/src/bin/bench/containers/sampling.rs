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
    expect::id_of,
    sensor::Sensor,
    watch::{self, Came},
};

use super::{PATIENCE, Place, milliseconds, percentile};
use crate::table::{Table, none};

/// The advisory's numbers: a first sampling, and a full set.
const SETS: [usize; 3] = [0, 64, 256];
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
            "From the end of the time in which libraries gather to CONTAINER_START at a watcher, {rounds} containers \
             each; files of {BYTES} bytes; milliseconds, the middle and the slowest. `sha256sum` reads the same files.",
        ),
        ["mapped files", "known before", "", "never read", "", "sha256sum", "of them named"],
    );
    for files in SETS {
        let [mut cold, mut warm, mut reference] = [Vec::new(), Vec::new(), Vec::new()];
        let mut named = usize::MAX;
        for round in 0..rounds {
            let directory = place.directory.join(format!("files-{files}-{round}"));
            let paths = libraries(&directory, files)?;
            for times in [&mut cold, &mut warm] {
                let (time, count) = start(place, &sensor, &directory)?;
                times.push(time);
                named = named.min(count);
            }
            if files > 0 {
                reference.push(sha256sum(&paths)?);
            }
            fs::remove_dir_all(&directory)?;
        }
        let figures = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            [50, 100].map(|percent| milliseconds(percentile(times, percent)))
        };
        let [warm_middle, warm_most] = figures(&mut warm);
        let [cold_middle, cold_most] = figures(&mut cold);
        let reference = if files > 0 { figures(&mut reference)[0].clone() } else { none() };
        let row =
            [files.to_string(), warm_middle, warm_most, cold_middle, cold_most, reference, named.to_string()];
        table.row(row);
    }
    sensor.stop()?;
    Ok(table)
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

/// One container that maps them: from the end of its settling to its start, and how many libraries that names.
fn start(place: &Place<'_>, sensor: &Sensor, directory: &Path) -> Result<(Duration, usize)> {
    let watched = watch::follow(&sensor.socket, &[Kind::ContainerStart])?;
    let wish = place.wish(&["/bin/tester", "maps", "/files"]);
    let wish = Wish { mounts: vec![(directory.to_owned(), "/files".to_owned())], ..wish };
    let ran = place.runtime.run(&wish)?;
    let deadline = Instant::now() + PATIENCE;
    let Came { event, at } = loop {
        let came = watched.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let came = came.context("a container's start is not told")?;
        if id_of(&came.event) == ran.id {
            break came;
        }
    };
    place.runtime.remove(&ran)?;
    Ok((since_settled(&event, at)?, hashed(&event)?))
}

fn since_settled(event: &Event, at: SystemTime) -> Result<Duration> {
    let exec = SystemTime::try_from(event.when.context("an event without time")?)?;
    match at.duration_since(exec + SETTLE) {
        Ok(time) => Ok(time),
        Err(early) => bail!("the start was told {:?} before its libraries had gathered", early.duration()),
    }
}

/// Libraries of the set that stand in the event with their digest.
fn hashed(event: &Event) -> Result<usize> {
    let ours = event.loaded_libs.iter().filter(|library| library.path.starts_with("/files/"));
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
