//! Maps and frozen globals. Sizes here are defaults; user space sets them from its configuration at load.

use crate::{
    kernel::{Version, View},
    walk::Walk,
};
use aya_ebpf::{
    macros::map,
    maps::{HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use zastava_common::abi::{FileIdentity, Lane, Layout, LossKey, LossValue, Settings};

/// Where the kernel's fields stand. In `.rodata`: the verifier reads them as constants.
#[unsafe(no_mangle)]
pub static LAYOUT: Layout = Layout::UNKNOWN;

#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings { own_tgid: 0, tier: 0, process_watermark: 0, files_watermark: 0 };

/// A field of [`LAYOUT`].
macro_rules! offset {
    ($field:ident) => {
        $crate::maps::frozen(&$crate::maps::LAYOUT.$field)
    };
}
pub(crate) use offset;

/// A field of [`SETTINGS`].
macro_rules! setting {
    ($field:ident) => {
        $crate::maps::frozen(&$crate::maps::SETTINGS.$field)
    };
}
pub(crate) use setting;

/// Reads a global so that the compiler cannot take its initial value for granted: user space replaces it.
#[inline(always)]
pub fn frozen(field: &'static u32) -> u32 {
    // SAFETY: a valid reference.
    unsafe { core::ptr::read_volatile(field) }
}

/// Exec, exit, listen and cgroups: a flood of files cannot displace them.
#[map]
pub static PROCESS_RING: RingBuf = RingBuf::with_byte_size(2 << 20, 0);

/// Mappings and file changes.
#[map]
pub static FILES_RING: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// What is in executable use, per cgroup, and was told. The values say nothing.
#[map]
pub static SEEN: LruHashMap<SeenKey, u8> = LruHashMap::with_max_entries(16384, 0);

/// A file in executable use in a cgroup.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SeenKey {
    pub cgroup_id: u64,
    pub file: Version,
    /// 0: mapped executable; 1: an existing mapping made executable.
    pub by_protect: u64,
}

/// What a CPU found in [`SEEN`] last, each at the place that its file and cgroup give: to compare is a quarter of what it
/// takes to hash a key and to walk a bucket. Of files whose own inode is the real one.
#[map]
pub static RECENT: PerCpuArray<Recent> = PerCpuArray::with_max_entries(Recent::PLACES, 0);

/// A version of an inode that was told in a cgroup, as the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Recent {
    /// Its address.
    pub inode: u64,
    pub ino: u64,
    pub generation: u32,
    pub ctime_nsec: u32,
    pub ctime_sec: i64,
    pub cgroup_id: u64,
}

impl Recent {
    /// A power of two.
    const PLACES: u32 = 256;

    #[inline(always)]
    pub fn place(ino: u64, cgroup_id: u64) -> u32 {
        (ino ^ cgroup_id) as u32 & (Self::PLACES - 1)
    }
}

/// The loss ledger. User space puts in the rows for cgroup 0, which take what does not fit.
#[map]
pub static LOSS: HashMap<LossKey, LossValue> = HashMap::with_max_entries(4096, 0);

/// Records made per (CPU, lane), lost ones included.
#[map]
pub static SEQUENCE: PerCpuArray<u64> = PerCpuArray::with_max_entries(Lane::COUNT as u32, 0);

/// Failed reads by [`crate::kernel::Fail`].
#[map]
pub static FAILURES: PerCpuArray<u64> = PerCpuArray::with_max_entries(crate::kernel::Fail::COUNT, 0);

/// Room to build an exec record in.
#[repr(C, align(8))]
pub struct ExecScratch {
    pub view: View,
    pub walk: Walk,
    pub bytes: [u8; 28 << 10],
}

/// Room to build a record with one path in.
#[repr(C, align(8))]
pub struct PathScratch {
    pub view: View,
    pub walk: Walk,
    pub bytes: [u8; 8448],
}

#[map]
pub static EXEC_SCRATCH: PerCpuArray<ExecScratch> = PerCpuArray::with_max_entries(1, 0);

/// Indexed by lane less [`Lane::Mapping`].
#[map]
pub static PATH_SCRATCH: PerCpuArray<PathScratch> =
    PerCpuArray::with_max_entries(Lane::Persist as u32 - Lane::Mapping as u32 + 1, 0);

/// What a thread keeps from one hook to the next, keyed by its id. Not an LRU map, which would give up what is in use
/// without a word. A thread has one row at most; it goes with the operation, the next one or the thread.
#[map]
pub static KEPT: HashMap<u64, Kept> = HashMap::with_max_entries(4096, 0);

/// Addresses of kernel objects are valid for as long as the system call that put them here runs.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Kept {
    /// An [`Of`](crate::kept::Of).
    pub of: u64,
    /// The dentry that says that the operation is the one meant (overlayfs repeats it on its layers).
    pub dentry: u64,
    /// The mount that the path is in.
    pub vfsmount: u64,
    pub script: FileIdentity,
}

/// Rows that [`KEPT`] had no room for.
#[map]
pub static REFUSED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
