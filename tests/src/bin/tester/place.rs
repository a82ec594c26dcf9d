//! A process in a cgroup that has a container's name.

use std::{ffi::OsStr, fs, io, path::Path, process::Command};

use super::{Outcome, exec::expect_success};

/// Makes the cgroup `path` below `mount` (cgroup v2), runs `command` there and removes the cgroup again.
pub(super) fn cgroup(mount: &OsStr, path: &OsStr, command: &mut Command) -> io::Result<Outcome> {
    let mount = Path::new(mount);
    let cgroup = mount.join(path.to_string_lossy().trim_start_matches('/'));
    fs::create_dir_all(&cgroup)?;
    let me = std::process::id().to_string();
    fs::write(cgroup.join("cgroup.procs"), &me)?;
    let status = command.status();
    fs::write(mount.join("cgroup.procs"), &me)?;
    // What others still use stays.
    for empty in cgroup.ancestors().take_while(|above| *above != mount) {
        if fs::remove_dir(empty).is_err() {
            break;
        }
    }
    expect_success(status?)
}
