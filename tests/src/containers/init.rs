//! What the kernel says of a container's first process while it runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use zastava_common::event::v1::Event;

use super::runtime::{Ran, Runtime};
use crate::expect::process;

/// Of a container that runs.
#[derive(Clone, Debug)]
pub struct Init {
    pid: u32,
    /// Of the unified hierarchy.
    cgroup: String,
    /// `None`: its root is no overlay.
    overlay: Option<Overlay>,
}

/// Directories of an overlay, without symbolic links.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Overlay {
    lower: Vec<PathBuf>,
    upper: PathBuf,
    work: PathBuf,
}

impl Init {
    pub fn look(runtime: &Runtime, ran: &Ran) -> Result<Self> {
        let pid = runtime.pid(ran)?;
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let cgroup = cgroups.lines().find_map(|line| line.strip_prefix("0::")).context("no cgroup v2")?;
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
        Ok(Self { pid, cgroup: cgroup.to_owned(), overlay: overlay(&mounts)? })
    }

    /// What an event says otherwise.
    pub(super) fn faults(&self, event: &Event) -> Vec<String> {
        let Self { pid, cgroup, overlay } = self;
        let workload = event.workload.clone().unwrap_or_default();
        let mut faults = Vec::new();
        let found = process(event).pid;
        if found != *pid {
            faults.push(format!("process.pid is {found}, not {pid}"));
        }
        if workload.cgroup != *cgroup {
            faults.push(format!("workload.cgroup is {:?}, not {cgroup:?}", workload.cgroup));
        }
        let rootfs = workload.rootfs.unwrap_or_default();
        // Where a runtime does not tell them there are none.
        if let Some(overlay) = overlay.as_ref().filter(|_| !rootfs.upper.is_empty()) {
            let told = Overlay {
                lower: rootfs.lower.iter().map(|path| plain(path)).collect(),
                upper: plain(&rootfs.upper),
                work: plain(&rootfs.work),
            };
            if told != *overlay {
                faults.push(format!("workload.rootfs is {told:?}, not {overlay:?}"));
            }
        }
        faults
    }
}

/// Of the root's line in a mount table (proc_pid_mountinfo(5)).
fn overlay(mounts: &str) -> Result<Option<Overlay>> {
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/"));
    let (_, root) = root.and_then(|line| line.split_once(" - ")).context("a mount table without a root")?;
    let mut words = root.split(' ');
    let (kind, _, options) = (words.next(), words.next(), words.next().unwrap_or_default());
    if kind != Some("overlay") {
        return Ok(None);
    }
    let option = |name: &str| {
        let found = options.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
        found.with_context(|| format!("an overlay without {name}: {options}"))
    };
    Ok(Some(Overlay {
        lower: option("lowerdir")?.split(':').map(plain).collect(),
        upper: plain(option("upperdir")?),
        work: plain(option("workdir")?),
    }))
}

/// Without symbolic links, where it is still there.
fn plain(path: &str) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| Path::new(path).to_owned())
}
