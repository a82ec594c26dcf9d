//! Libraries that nobody has read yet: how fast the sensor knows their SHA-256, beside `sha256sum`.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use zastava_common::{
    abi::Tier,
    event::{
        json::from_json,
        v1::{Event, event::Kind},
    },
    metric::HASH_BYTES,
};
use zastava_tests::http;

use crate::{
    deed,
    table::{Table, mebibytes, millions, none},
    tool::{Running, Tool},
};

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";
/// Longer ones would make it a measure of the disk.
const MOST_BYTES: u64 = 16 << 20;
const LOOK: Duration = Duration::from_millis(5);
/// The sensor's own figures are a second old at most.
const REST: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn measure(directory: &Path, quick: bool) -> Result<Table> {
    let libraries = libraries(if quick { 64 } else { 256 })?;
    let bytes: u64 = libraries.values().sum();
    let paths: Vec<&PathBuf> = libraries.keys().collect();
    let mut table = Table::new(
        &format!("SHA-256 of {} libraries, {} MiB; milliseconds:", paths.len(), mebibytes(bytes)),
        ["", "passed", "own CPU", "bytes hashed, MiB", "digests told", "of them right"],
    );

    drop_caches()?;
    let begun = Instant::now();
    let mut command = Command::new("sha256sum");
    let output = command.args(&paths).output().context("cannot start sha256sum")?;
    let cold = begun.elapsed();
    let right: BTreeMap<String, String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(digest, path)| (path.to_owned(), digest.to_owned()))
        .collect();
    ensure!(right.len() == paths.len(), "sha256sum told {} digests", right.len());
    table.row([
        "sha256sum, cold".to_owned(),
        millions(cold.as_nanos() as u64),
        none(),
        mebibytes(bytes),
        right.len().to_string(),
        right.len().to_string(),
    ]);

    // What is measured is not the limit.
    let tool = Tool::Sensor(Tier::Tracepoint);
    let running = tool.start(directory, &["hashBytesPerSecond: 17179869184"])?;
    for name in ["cold", "known"] {
        running.drained()?;
        if name == "cold" {
            drop_caches()?;
        }
        let (before, hashed, seen) = (running.cost()?, hashed_bytes(running.metrics)?, running.output_len()?);
        let begun = Instant::now();
        for path in &paths {
            deed::tester(&["map", &path.to_string_lossy()])?;
        }
        let passed = last_change(&running, begun)?;
        let after = running.cost()?;
        let mut told = digests(&events(&running.output, seen)?);
        told.retain(|path, _| right.contains_key(path));
        table.row([
            format!("{tool}, {name}"),
            millions(passed.as_nanos() as u64),
            millions(after.own_since(&before)?),
            mebibytes(hashed_bytes(running.metrics)? - hashed),
            told.len().to_string(),
            told.iter().filter(|(path, digest)| right.get(*path) == Some(*digest)).count().to_string(),
        ]);
    }
    running.end()?;
    Ok(table)
}

/// Libraries and their sizes, the first by name, each inode once.
fn libraries(count: usize) -> Result<BTreeMap<PathBuf, u64>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(LIBRARIES).with_context(|| format!("cannot read {LIBRARIES}"))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let mut magic = [0; 4];
        let is_library = metadata.is_file()
            && metadata.nlink() == 1
            && metadata.len() <= MOST_BYTES
            && entry.file_name().to_string_lossy().contains(".so")
            && fs::File::open(entry.path())?.read_exact(&mut magic).is_ok_and(|()| &magic == b"\x7fELF");
        if is_library {
            files.insert(entry.path(), metadata.len());
        }
    }
    ensure!(files.len() >= count, "{LIBRARIES} has {} libraries, {count} are needed", files.len());
    Ok(files.into_iter().take(count).collect())
}

/// Makes the kernel forget the contents of files. Where it cannot be, nothing cold can be measured.
fn drop_caches() -> Result<()> {
    const SWITCH: &str = "/proc/sys/vm/drop_caches";
    rustix::fs::sync();
    fs::write(SWITCH, "3").with_context(|| format!("cannot write {SWITCH}"))
}

/// Waits until the sensor has told all; the time from `begun` until its last word, within [`LOOK`].
fn last_change(running: &Running, begun: Instant) -> Result<Duration> {
    let (mut len, mut last) = (running.output_len()?, Instant::now());
    while last.elapsed() < REST {
        thread::sleep(LOOK);
        let now = running.output_len()?;
        if now != len {
            (len, last) = (now, Instant::now());
        }
        ensure!(begun.elapsed() < PATIENCE, "the sensor does not come to rest");
    }
    Ok(last - begun)
}

/// What the sensor counts; it brings its figures up to date every second.
fn hashed_bytes(metrics: SocketAddr) -> Result<u64> {
    let (_, page) = http::get(metrics, "/metrics")?;
    let name = HASH_BYTES.replace('.', "_");
    let value = page.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse().ok());
    Ok(value.unwrap_or_default())
}

/// Events in a file behind that place.
fn events(output: &Path, from: u64) -> Result<Vec<Event>> {
    let mut file = fs::File::open(output)?;
    file.seek(SeekFrom::Start(from))?;
    BufReader::new(file).split(b'\n').map(|line| Ok(from_json(&line?)?)).collect()
}

/// Path and SHA-256 of each library.
fn digests(events: &[Event]) -> BTreeMap<String, String> {
    let files = events.iter().filter(|event| event.kind() == Kind::LibraryLoad);
    let files = files.filter_map(|event| event.file.as_ref()).filter(|file| !file.sha256.is_empty());
    files.map(|file| (file.path.clone(), file.sha256.clone())).collect()
}
