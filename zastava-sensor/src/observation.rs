//! What the stages add to a kernel record, and their sum.

use std::sync::{Arc, OnceLock};

use crate::{
    container::description::Description,
    kernel::record::{Exit, FileChange, Listen, Origin, ProcessKey},
};

/// A kernel record with everything that the house knows about it: input of the consumers behind the file stage.
#[derive(Clone, Debug)]
pub struct Observation {
    pub origin: Origin,
    pub process: Option<Arc<Process>>,
    pub container: Place,
    pub fact: Fact,
}

/// Who did it (process stage).
#[derive(Clone, Debug)]
pub struct Process {
    pub key: ProcessKey,
    pub ppid: u32,
    pub comm: String,
    /// Path of the running program, lossy UTF-8 (see [`Name`]).
    pub exe: String,
    pub cwd: String,
    pub uid: u32,
    pub gid: u32,
    pub argc: u32,
    /// Bytes of argument text.
    pub args_len: u32,
    /// Only with `--diagnostics`.
    pub argv: Option<Vec<String>>,
    /// The parent first: what ran above it when it was executed. Shared between siblings.
    pub ancestors: Arc<[AncestorName]>,
    pub existing: bool,
    /// Set by the container stage when the process is executed in a container.
    pub entered: OnceLock<Entered>,
}

/// How a process came into its container.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entered {
    /// The container's first process, or below it when executed.
    ByEntrypoint,
    /// Brought in from outside (`docker exec`, `kubectl exec`, a probe), or below such a process.
    ByExec,
}

#[derive(Clone, Debug)]
pub struct AncestorName {
    pub key: ProcessKey,
    pub comm: String,
    /// Path of its program, where the sensor knew the process.
    pub exe: Option<String>,
}

/// Where it happened (container stage).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    Host,
    Container(Container),
    /// Not known, and why (`cgroup gone`, `cgroup unknown`).
    Unknown(&'static str),
}

/// A container: which one it is, by the kernel's word, and what its runtime says of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Container {
    pub id: Arc<ContainerId>,
    pub names: Known<Arc<Description>>,
}

/// A container as its cgroup names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContainerId {
    /// 64 hex digits as a rule.
    pub id: String,
    /// The runtime as far as the cgroup's form tells: `containerd`, `docker`, `cri-o`, `podman`.
    pub runtime: Option<&'static str>,
    pub pod_uid: Option<String>,
    /// Path of the cgroup.
    pub cgroup: String,
    /// The cgroup stands in `user.slice`, where a user of the host without privileges may give it any name.
    pub by_user: bool,
    /// The innermost id that the cgroup's path shows *below* this container: a container of a runtime inside it
    /// (kind, Docker in Docker), or a name that a process inside made up. Never used as an identity.
    pub nested_claim: Option<String>,
}

/// What happened, with its files named (file stage).
#[derive(Clone, Debug)]
pub enum Fact {
    Exec { program: Artifact, script: Option<Artifact> },
    Exit { exit: Exit, duration_ns: Option<u64> },
    Library { artifact: Artifact, by_protect: bool },
    FileCreate { change: FileChange, artifact: Artifact },
    Listen(Listen),
    Loss(Loss),
    Start(Box<Start>),
    Stop(Box<Stop>),
}

/// A container began, or ran already.
#[derive(Clone, Debug)]
pub struct Start {
    pub observed: Observed,
    /// What the entrypoint's exec ran. `None` where that exec was not told.
    pub program: Option<Artifact>,
    pub script: Option<Artifact>,
    pub libraries: Vec<Artifact>,
    /// Libraries beyond the configured number.
    pub left_out: u32,
    /// Why there may be more.
    pub libraries_reason: Option<&'static str>,
}

/// How a container's start came to be known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Observed {
    /// The kernel told the exec of its entrypoint.
    Live,
    /// It ran before the sensor looked.
    Existing,
    /// Only the runtime told of it.
    ByRuntime,
}

/// A container ended.
#[derive(Clone, Debug)]
pub struct Stop {
    pub how: Known<HowEnded>,
    pub oom: Known<bool>,
    pub duration_ns: Known<u64>,
    /// One of each kind that can be lost, also where none was; more where the cgroup of some is not known.
    pub losses: Vec<Loss>,
    /// The runtime's own word: `Completed`, `OOMKilled`.
    pub word: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HowEnded {
    /// As `wait(2)` gives it: the kernel's record of the first process's exit.
    Status(u32),
    /// By the runtime's word.
    Code(u32),
    Signal(u32),
}

/// Records that did not arrive, as far as the ledger knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loss {
    /// `None`: the ledger was full and only the sum is known.
    pub cgroup_id: Option<u64>,
    /// `exec`, `exit`, `mapping`, `file`, `listen`, `cgroup_mkdir`, `cgroup_rmdir` or [`Self::OF_UNKNOWN_KIND`].
    pub kind: &'static str,
    pub count: u64,
    pub first_boot_ns: u64,
    pub last_boot_ns: u64,
}

impl Loss {
    /// The kind of losses of which the kernel gives only a sum.
    pub const OF_UNKNOWN_KIND: &str = "unknown";
}

/// A file, named as well as can be proved.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// As the process sees it, lossy UTF-8.
    pub path: String,
    /// The path's bytes, where they are not UTF-8.
    pub raw_path: Option<Vec<u8>>,
    pub path_truncated: bool,
    pub identity: Option<zastava_common::abi::FileIdentity>,
    /// Lower-case hex.
    pub build_id: Known<Arc<str>>,
    pub sha256: Known<Digest>,
    pub content: Content,
    pub origin: FileOrigin,
}

/// A value, or why there is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Known<T> {
    Is(T),
    Not(&'static str),
}

impl<T> Known<T> {
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Not(_) => None,
        }
    }

    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Is(_) => None,
            Self::Not(reason) => Some(reason),
        }
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Digest {
    /// Lower-case hex.
    pub sha256: Arc<str>,
    pub strength: Strength,
}

/// How the bytes behind a digest were reached.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Strength {
    /// By the inode's own handle, or by what the process itself runs or has mapped: the very file.
    Inode,
    /// By `/proc/<pid>/exe` of the process that still runs it: the very file, with size and modification time as
    /// reported, but its status changed since (unlinked, renamed, chmod). Nobody can write to a running program.
    Running,
    /// By path, and the opened file has the inode, generation, size and times that the kernel reported.
    PathChecked,
    /// By path, with nothing from the kernel to check it against.
    Path,
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content {
    Elf,
    Script,
    Other,
    /// Not read.
    Unknown,
}

/// Where the file came from, as far as the kernel alone tells.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FileOrigin {
    /// A file system of the host or a volume.
    Plain,
    /// A layer of the image.
    OverlayLower,
    /// The container's writable layer.
    OverlayUpper,
    /// A memfd or other anonymous memory file.
    Memory,
    /// A tmpfs.
    Tmpfs,
    Unknown,
}
