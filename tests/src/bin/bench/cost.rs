//! What a process has cost so far, as the kernel counts it.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::Sub,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// Where the kernel is told to take the time of its programs.
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Time of the kernel's programs is taken as long as this lives.
pub(crate) struct Statistics {
    before: String,
}

impl Statistics {
    pub(crate) fn on() -> Result<Self> {
        let before = fs::read_to_string(STATISTICS).with_context(|| format!("cannot read {STATISTICS}"))?;
        fs::write(STATISTICS, "1").with_context(|| format!("cannot write {STATISTICS}"))?;
        Ok(Self { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        // It was writable a moment ago.
        let _ = fs::write(STATISTICS, &self.before);
    }
}

/// Runs of one kernel program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Runs {
    pub(crate) ns: u64,
    pub(crate) count: u64,
}

impl Sub for Runs {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { ns: self.ns - before.ns, count: self.count - before.count }
    }
}

/// Time of the processor, until now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cost {
    /// Of every thread, nanoseconds on a processor.
    threads: BTreeMap<u32, u64>,
    /// Of every kernel program that the process holds, by its id.
    programs: BTreeMap<u32, Runs>,
}

impl Cost {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mut cost = Self::default();
        for thread in numbers(&process(pid).join("task"))? {
            let path = process(pid).join(format!("task/{thread}/schedstat"));
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let first = text.split_whitespace().next().and_then(|word| word.parse().ok());
            cost.threads.insert(thread, first.with_context(|| format!("{}: {text:?}", path.display()))?);
        }
        for fields in descriptors(pid)? {
            if let (Some(id), Some(ns)) = (field(&fields, "prog_id"), field(&fields, "run_time_ns")) {
                let count = field(&fields, "run_cnt").unwrap_or_default();
                cost.programs.insert(id as u32, Runs { ns, count });
            }
        }
        Ok(cost)
    }

    /// Nanoseconds that the process itself ran since `before`. A thread that ended took its figure along.
    pub(crate) fn own_since(&self, before: &Self) -> Result<u64> {
        if let Some(gone) = before.threads.keys().find(|thread| !self.threads.contains_key(thread)) {
            bail!("thread {gone} ended while it was measured");
        }
        Ok(self.own() - before.own())
    }

    /// Nanoseconds that the process itself ran.
    pub(crate) fn own(&self) -> u64 {
        self.threads.values().sum()
    }

    /// Runs of all its kernel programs since `before`.
    pub(crate) fn kernel_since(&self, before: &Self) -> impl Iterator<Item = Runs> {
        self.programs.iter().map(|(id, runs)| *runs - before.programs.get(id).copied().unwrap_or_default())
    }
}

/// Memory of a process now, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// Of it, what stands in no file.
    pub(crate) anonymous: u64,
    /// Maps and programs in the kernel.
    pub(crate) kernel: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = fields(&fs::read_to_string(process(pid).join("status"))?);
        let kib = |name| field(&status, name).map(|kib| kib << 10).with_context(|| format!("no {name}"));
        // One map may be open more than once.
        let mut kernel = BTreeMap::new();
        for fields in descriptors(pid)? {
            let id = ["map_id", "prog_id"].into_iter().find_map(|id| Some((id, field(&fields, id)?)));
            if let (Some(id), Some(bytes)) = (id, field(&fields, "memlock")) {
                kernel.insert(id, bytes);
            }
        }
        Ok(Self { resident: kib("VmRSS")?, anonymous: kib("RssAnon")?, kernel: kernel.values().sum() })
    }
}

fn process(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

/// What the kernel tells of each open descriptor (Documentation/filesystems/proc.rst, section 3.8).
fn descriptors(pid: u32) -> Result<Vec<BTreeMap<String, String>>> {
    let directory = process(pid).join("fdinfo");
    let mut all = Vec::new();
    for number in numbers(&directory)? {
        match fs::read_to_string(directory.join(number.to_string())) {
            Ok(text) => all.push(fields(&text)),
            // Closed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("cannot read a descriptor"),
        }
    }
    Ok(all)
}

/// Names that are numbers, in a directory.
fn numbers(directory: &Path) -> Result<Vec<u32>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// Lines `name: value`.
fn fields(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// The number that a value begins with.
fn field(fields: &BTreeMap<String, String>, name: &str) -> Option<u64> {
    fields.get(name)?.split_whitespace().next()?.parse().ok()
}
