use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The beginning of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
pub struct RecordHeader {
    /// Length of the whole record in bytes, header and tail included.
    pub len: u32,
    /// A [`RecordKind`].
    pub kind: u8,
    /// A [`Tier`].
    pub tier: u8,
    /// A [`Lane`]: the hook that made the record.
    pub lane: u8,
    pub reserved: u8,
    /// The CPU that the hook ran on.
    pub cpu: u32,
    /// Inode number of the process's mount namespace.
    pub mnt_ns: u32,
    /// Number of the record in its (CPU, lane), from 1, taken before the reservation: a gap is a loss.
    pub seq: u64,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub boot_ns: u64,
    pub tgid: u32,
    pub tid: u32,
    /// Start of the process (of its group leader), `CLOCK_BOOTTIME` nanoseconds; with `tgid` the process's identity.
    pub start_boot_ns: u64,
    /// Identity of the process's cgroup v2 (the inode number of its directory in cgroupfs on 64-bit kernels).
    pub cgroup_id: u64,
}

/// What a record tells.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RecordKind {
    Exec = 1,
    Exit = 2,
    Mapping = 3,
    File = 4,
    Listen = 5,
    CgroupMkdir = 6,
    CgroupRmdir = 7,
}

impl RecordKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Exec,
        Self::Exit,
        Self::Mapping,
        Self::File,
        Self::Listen,
        Self::CgroupMkdir,
        Self::CgroupRmdir,
    ];

    pub fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == value)
    }
}

/// How far the kernel lets the sensor in; each event says which tier saw it.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Tier {
    /// perf and fanotify only, no BPF.
    Sideband = 1,
    /// BPF on tracepoints; mappings by perf, files by fanotify.
    Tracepoint = 2,
    /// BPF on raw tracepoints and kprobes.
    Kprobe = 3,
    /// BPF on BTF tracepoints, fentry and fexit.
    Trampoline = 4,
}

impl Tier {
    /// All tiers, the best first.
    pub const ALL: [Self; 4] = [Self::Trampoline, Self::Kprobe, Self::Tracepoint, Self::Sideband];

    pub fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| *tier as u8 == value)
    }

    /// The name in configuration, output and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sideband => "sideband",
            Self::Tracepoint => "tracepoint",
            Self::Kprobe => "kprobe",
            Self::Trampoline => "trampoline",
        }
    }
}

/// A hook with sequence numbers and scratch memory of its own.
///
/// Programs that can be pre-empted by one another must not share either; a program cannot interrupt itself on
/// one CPU (the kernel skips it and counts a recursion miss, `kernel/bpf/trampoline.c`).
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Lane {
    Exec = 0,
    Exit = 1,
    Mapping = 2,
    Protect = 3,
    Close = 4,
    Rename = 5,
    Link = 6,
    Chmod = 7,
    CgroupMkdir = 8,
    CgroupRmdir = 9,
    /// No record of its own: scratch memory for the hook before exec.
    Script = 10,
    /// Two renames at once.
    Exchange = 11,
    /// A link where the file system's tree is kept in memory alone.
    Persist = 12,
    Listen = 13,
}

impl Lane {
    pub const COUNT: usize = 14;
}
