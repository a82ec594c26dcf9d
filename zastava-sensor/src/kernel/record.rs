//! What the kernel stage hands on: owned, checked, the same in every tier.

use zastava_common::abi::{Ancestor, FileIdentity, FileOp, LossKey, LossValue, Tier};

/// One thing that the kernel told.
#[derive(Clone, Debug)]
pub struct KernelRecord {
    pub origin: Origin,
    pub what: What,
}

/// Who, where, when and by which hook.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    pub tier: Tier,
    /// `CLOCK_BOOTTIME` nanoseconds.
    pub boot_ns: u64,
    pub process: ProcessKey,
    pub tid: u32,
    /// `None` where the tier cannot tell (perf, fanotify): the process stage fills it in.
    pub cgroup_id: Option<u64>,
    /// Inode number of the mount namespace; `None` where the tier cannot tell.
    pub mnt_ns: Option<u32>,
    /// CPU, lane and sequence number; `None` outside BPF.
    pub sequence: Option<Sequence>,
}

impl Origin {
    /// Of the machine: no process did it.
    pub fn of_machine(tier: Tier, boot_ns: u64) -> Self {
        Self {
            tier,
            boot_ns,
            process: ProcessKey { tgid: 0, start_boot_ns: 0 },
            tid: 0,
            cgroup_id: None,
            mnt_ns: None,
            sequence: None,
        }
    }
}

/// A process for as long as the machine runs: pids are reused, start times are not.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ProcessKey {
    pub tgid: u32,
    /// `CLOCK_BOOTTIME` nanoseconds; 0 where the tier cannot tell.
    pub start_boot_ns: u64,
}

/// Place of a record in its (CPU, lane).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sequence {
    pub cpu: u32,
    pub lane: u8,
    pub number: u64,
}

#[derive(Clone, Debug)]
pub enum What {
    Exec(Box<Exec>),
    Exit(Exit),
    Mapping(Mapping),
    File(FileChange),
    Listen(Listen),
    CgroupMkdir(Cgroup),
    CgroupRmdir(Cgroup),
    /// Records that did not reach user space.
    Loss {
        key: LossKey,
        value: LossValue,
    },
}

/// A path as the kernel has it: bytes, absolute in the process's root unless it says otherwise.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KernelPath {
    pub bytes: Vec<u8>,
    /// Cut on the root's side; the bytes then begin with the first component that fitted, without `/`.
    pub truncated: bool,
}

#[derive(Clone, Debug)]
pub struct Exec {
    /// The program that runs: of a script, its interpreter. `None` where the tier cannot tell.
    pub file: Option<FileIdentity>,
    /// Names the program image among the records of one process; 0 where the tier cannot tell.
    pub image: u64,
    pub exe: KernelPath,
    pub cwd: KernelPath,
    /// As given to `execve`: may be relative to `cwd`.
    pub filename: Vec<u8>,
    /// The file executed was a `#!` script (or a binfmt_misc match) and `filename` names it.
    pub is_script: bool,
    pub script: Option<FileIdentity>,
    pub comm: Vec<u8>,
    pub uid: u32,
    pub gid: u32,
    pub ppid: u32,
    pub args: Arguments,
    /// The parent first.
    pub ancestors: Vec<Ancestor>,
    /// Build-id of the program as the kernel read it (perf MMAP2), raw bytes.
    pub build_id: Option<Vec<u8>>,
    /// It ran before the sensor looked.
    pub existing: bool,
}

/// Argument bytes, never exported outside diagnostics.
#[derive(Clone, Default)]
pub struct Arguments {
    /// NUL-terminated arguments, cut at [`zastava_common::abi::MAX_ARGV`].
    pub bytes: Vec<u8>,
    pub count: u32,
    /// Bytes that the process has.
    pub total: u32,
}

impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arguments")
            .field("count", &self.count)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub struct Exit {
    /// As `wait(2)` gives it; `None` where the tier cannot tell.
    pub status: Option<u32>,
    pub ppid: u32,
    pub comm: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Mapping {
    pub file: Option<FileIdentity>,
    /// As [`Exec::image`].
    pub image: u64,
    pub path: KernelPath,
    pub build_id: Option<Vec<u8>>,
    /// An existing mapping became executable (`mprotect`).
    pub by_protect: bool,
}

#[derive(Clone, Debug)]
pub struct FileChange {
    pub op: FileOp,
    pub file: Option<FileIdentity>,
    pub path: KernelPath,
}

#[derive(Clone, Debug)]
pub struct Listen {
    pub address: std::net::SocketAddr,
    /// `IPPROTO_*`.
    pub protocol: u32,
}

#[derive(Clone, Debug)]
pub struct Cgroup {
    pub id: u64,
    /// 0 is the v2 hierarchy.
    pub hierarchy: u32,
    /// Root first, as the kernel gives it.
    pub path: Vec<u8>,
}
