//! Ends all that was started below a directory, whoever its parent is by now, and puts the machine back as it was:
//! processes, mounts, cgroups and the sockets that shims leave elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    mount::{UnmountFlags, unmount},
    process::{Pid, Signal, kill_process},
};

/// What the kernel may take to end a process, and how long to wait before looking again.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);
/// Where containerd's shims listen, whatever containerd's own state is.
const SHIM_SOCKETS: &str = "/run/containerd/s/";

/// Waits until whoever holds the other end of the standard input is gone, then ends everything below `directory`.
pub fn when_left(directory: &Path) -> Result<()> {
    let mut nothing = Vec::new();
    std::io::stdin().read_to_end(&mut nothing)?;
    everything(directory)
}

/// Ends everything below `directory` and removes it.
pub fn everything(directory: &Path) -> Result<()> {
    let mut found = Found::default();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let processes = found.processes(directory);
        if processes.is_empty() {
            break;
        }
        ensure!(Instant::now() < deadline, "processes {processes:?} of {} do not end", directory.display());
        for pid in processes {
            // One that has ended meanwhile is what was wanted.
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        }
        thread::sleep(PAUSE);
    }
    for point in mounts_below(directory)? {
        unmount(&point, UnmountFlags::DETACH)
            .with_context(|| format!("cannot unmount {}", point.display()))?;
    }
    found.remove_cgroups()?;
    for socket in &found.sockets {
        let _ = fs::remove_file(socket);
    }
    match fs::remove_dir_all(directory) {
        Err(error) if directory.exists() => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// What was seen of the processes before they were ended.
#[derive(Debug, Default)]
struct Found {
    /// Below the mounts of the cgroup hierarchies. Never the root's.
    cgroups: BTreeSet<PathBuf>,
    sockets: BTreeSet<PathBuf>,
}

impl Found {
    /// Those that name the directory in their arguments, and all below them or in their containers' cgroups.
    fn processes(&mut self, directory: &Path) -> BTreeSet<i32> {
        let mut parents = BTreeMap::new();
        let mut own = BTreeSet::new();
        for pid in pids() {
            let Some((parent, state)) = parent_and_state(pid) else { continue };
            if state == 'Z' || pid == std::process::id().cast_signed() {
                continue;
            }
            parents.insert(pid, parent);
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let names_it = arguments
                .windows(directory.as_os_str().len())
                .any(|part| part == directory.as_os_str().as_bytes());
            if names_it || cgroups(pid).iter().any(|cgroup| self.cgroups.contains(cgroup)) {
                own.insert(pid);
            }
        }
        // Children have no order by number: look until there is nothing new.
        loop {
            let before = own.len();
            own.extend(
                parents
                    .iter()
                    .filter(|(_, parent)| own.contains(parent))
                    .map(|(pid, _)| *pid)
                    .collect::<Vec<_>>(),
            );
            if own.len() == before {
                break;
            }
        }
        for pid in &own {
            // Only a container's cgroup ends with its id; others hold who is no concern of ours.
            self.cgroups.extend(cgroups(*pid).into_iter().filter(|path| is_container(path)));
            self.sockets.extend(shim_sockets(*pid));
        }
        own
    }

    fn remove_cgroups(&self) -> Result<()> {
        for hierarchy in hierarchies()? {
            for cgroup in &self.cgroups {
                let place = hierarchy.join(cgroup);
                remove_tree(&place);
                // A pod's, which is empty now; the uppermost is shared with others.
                for above in cgroup.ancestors().skip(1).filter(|above| above.components().count() > 1) {
                    let _ = fs::remove_dir(hierarchy.join(above));
                }
            }
        }
        Ok(())
    }
}

/// Removes the empty cgroup of a pod from every hierarchy, as the kubelet does. `path` begins with a slash.
pub(super) fn remove_cgroup(path: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let _ = fs::remove_dir(hierarchy.join(path.trim_start_matches('/')));
    }
    Ok(())
}

fn remove_tree(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}

fn is_container(cgroup: &Path) -> bool {
    cgroup.iter().any(|name| {
        let name = name.to_string_lossy();
        name.split(['-', '.'])
            .any(|part| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    })
}

pub(crate) fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn parent_and_state(pid: i32) -> Option<(i32, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything.
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    let state = words.next()?.chars().next()?;
    Some((words.next()?.parse().ok()?, state))
}

/// Of all hierarchies, without the leading slash.
fn cgroups(pid: i32) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2)?.strip_prefix('/'));
    paths.filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

/// What a process listens on below [`SHIM_SOCKETS`].
fn shim_sockets(pid: i32) -> Vec<PathBuf> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inodes: Vec<String> = links
        .filter_map(|entry| {
            let link = fs::read_link(entry.path()).ok()?;
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let paths = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(6);
        let (inode, path) = (words.next()?, words.next()?);
        (path.starts_with(SHIM_SOCKETS) && inodes.iter().any(|own| own == inode)).then(|| PathBuf::from(path))
    });
    paths.collect()
}

/// The last mounted first.
fn mounts_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mount table")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut points: Vec<_> = points.filter(|point| point.starts_with(directory)).collect();
    points.reverse();
    Ok(points)
}

/// Where the cgroup hierarchies are mounted.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mount table")?;
    let points =
        table.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    Ok(points.map(PathBuf::from).collect())
}
