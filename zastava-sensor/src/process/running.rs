//! A process as procfs tells it now.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use thiserror::Error;

use super::proc::cgroupfs::Cgroupfs;
use super::proc::cmdline::ArgumentSize;
use super::proc::stat::{self, Stat};
use super::proc::status::{self, Status};
use super::proc::{ProcRoot, cgroup};
use crate::kernel::record::{Arguments, Exec, KernelPath, ProcessKey};

#[derive(Debug, Error)]
pub(super) enum Unread {
    #[error("the process is gone")]
    Gone,
    #[error("a kernel thread runs no program")]
    KernelThread,
    #[error("procfs does not tell: {0}; the sensor needs CAP_SYS_PTRACE and the host's pid namespace")]
    Refused(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Gone,
            _ if error.raw_os_error() == Some(libc::ESRCH) => Self::Gone,
            _ => Self::Refused(error),
        }
    }
}

/// A process that has a program, in the words of an exec record.
#[derive(Debug)]
pub(super) struct Running {
    /// The start is rounded down to a tick.
    pub(super) key: ProcessKey,
    /// Without identity, ancestors and argument text.
    pub(super) exec: Exec,
    pub(super) cgroup_id: Option<u64>,
    pub(super) mnt_ns: Option<u32>,
}

impl Running {
    /// Reads six files; what changes in between (an exec, a new process with the same pid) is found by reading
    /// `stat` again at the end.
    pub(super) fn read(proc: &ProcRoot, unified: Option<&Cgroupfs>, tgid: u32) -> Result<Self, Unread> {
        let line = proc.read(tgid, "stat", stat::LIMIT)?;
        let before = Stat::parse(&line).ok_or(Unread::Gone)?;
        if before.is_kernel_thread() {
            return Err(Unread::KernelThread);
        }
        if before.is_gone() {
            return Err(Unread::Gone);
        }
        // Missing where the process has just begun to exit.
        let exe = exe(proc, tgid)?;
        let cwd = link(proc, tgid, "cwd")?;
        let status = Status::parse(&proc.read(tgid, "status", status::LIMIT)?).ok_or(Unread::Gone)?;
        let size = ArgumentSize::read(File::open(proc.entry(tgid, "cmdline"))?)?;
        let whereabouts = Whereabouts::read(proc, unified, tgid);
        let again = proc.read(tgid, "stat", stat::LIMIT)?;
        let after = Stat::parse(&again).ok_or(Unread::Gone)?;
        if (after.start_boot_ns(), after.comm) != (before.start_boot_ns(), before.comm) {
            return Err(Unread::Gone);
        }
        let exec = Exec {
            file: None,
            image: 0,
            exe,
            cwd,
            filename: Vec::new(),
            is_script: false,
            script: None,
            comm: after.comm.to_vec(),
            uid: status.uid,
            gid: status.gid,
            ppid: after.ppid,
            args: Arguments { bytes: Vec::new(), count: size.count, total: size.bytes },
            ancestors: Vec::new(),
            build_id: None,
            existing: true,
        };
        let key = ProcessKey { tgid, start_boot_ns: after.start_boot_ns() };
        Ok(Self { key, exec, cgroup_id: whereabouts.cgroup_id, mnt_ns: whereabouts.mnt_ns })
    }
}

/// Where a process is now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Whereabouts {
    pub(super) cgroup_id: Option<u64>,
    pub(super) mnt_ns: Option<u32>,
}

impl Whereabouts {
    pub(super) fn read(proc: &ProcRoot, unified: Option<&Cgroupfs>, tgid: u32) -> Self {
        let cgroup_id = unified.and_then(|unified| {
            let bytes = proc.read(tgid, "cgroup", cgroup::LIMIT).ok()?;
            unified.id(cgroup::unified(&bytes)?.path).ok()
        });
        let mnt_ns = std::fs::metadata(proc.entry(tgid, "ns/mnt")).ok();
        // Numbers of name spaces have 32 bits (include/linux/ns_common.h).
        Self { cgroup_id, mnt_ns: mnt_ns.and_then(|namespace| u32::try_from(namespace.ino()).ok()) }
    }

    /// Of a process that started then (0: whenever), and when that was in ticks.
    pub(super) fn of(proc: &ProcRoot, unified: Option<&Cgroupfs>, key: ProcessKey) -> Option<(Self, u64)> {
        let whereabouts = Self::read(proc, unified, key.tgid);
        let line = proc.read(key.tgid, "stat", stat::LIMIT).ok()?;
        let start = Stat::parse(&line)?.start_boot_ns();
        key.is_same_start(start).then_some((whereabouts, start))
    }
}

/// The program's path.
pub(super) fn exe(proc: &ProcRoot, tgid: u32) -> io::Result<KernelPath> {
    link(proc, tgid, "exe")
}

/// The path that a link of procfs names. Behind the name of an unlinked file the kernel puts a mark.
fn link(proc: &ProcRoot, tgid: u32, name: &str) -> io::Result<KernelPath> {
    let entry = proc.entry(tgid, name);
    let mut bytes = std::fs::read_link(&entry)?.into_os_string().into_vec();
    if let Some(plain) = bytes.strip_suffix(DELETED)
        && std::fs::metadata(&entry).is_ok_and(|file| file.nlink() == 0)
    {
        bytes.truncate(plain.len());
    }
    Ok(KernelPath { bytes, truncated: false })
}

const DELETED: &[u8] = b" (deleted)";
