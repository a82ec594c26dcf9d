//! Looking into kernel structs: addresses in newtypes, fields by [`offset!`], every read checked.

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel};
use zastava_common::abi::{ABSENT, FileIdentity, INODE_BLOCK, file_flag};

use crate::maps::{FAILURES, offset};

/// Why a program gave up on a record; counted in [`FAILURES`].
#[derive(Clone, Copy)]
pub enum Fail {
    Scratch = 0,
    Task = 1,
    Bprm = 2,
    File = 3,
    Inode = 4,
    Cgroup = 5,
    Sock = 6,
}

impl Fail {
    pub const COUNT: u32 = 7;

    pub fn count(self) {
        if let Some(slot) = FAILURES.get_ptr_mut(self as u32) {
            // SAFETY: the slot is this CPU's own.
            unsafe { *slot += 1 };
        }
    }
}

pub type Try<T> = Result<T, Fail>;

/// Reads a `T` at `base + offset` in kernel memory.
#[inline(always)]
pub fn read<T: Copy>(base: u64, offset: u32) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the source and fills exactly the destination.
    let error = unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            (base.wrapping_add(u64::from(offset))) as *const core::ffi::c_void,
        )
    };
    if error == 0 {
        // SAFETY: filled above.
        Some(unsafe { value.assume_init() })
    } else {
        None
    }
}

/// As [`read`], zero where it fails: the helper clears its destination then.
#[inline(always)]
pub fn value<T: Copy>(base: u64, offset: u32) -> T {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the helper fills exactly the destination, with zeros on failure (kernel/trace/bpf_trace.c
    // bpf_probe_read_kernel_common); only integers are read.
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            (base.wrapping_add(u64::from(offset))) as *const core::ffi::c_void,
        );
        value.assume_init()
    }
}

/// As [`read`], for a pointer that must not be NULL.
#[inline(always)]
pub fn pointer(base: u64, offset: u32) -> Option<u64> {
    read::<u64>(base, offset).filter(|address| *address != 0)
}

/// `struct task_struct *`
#[derive(Clone, Copy)]
pub struct Task(pub u64);

impl Task {
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: no arguments, cannot fail.
        Self(unsafe { bpf_get_current_task() })
    }

    #[inline(always)]
    pub fn group_leader(self) -> Option<Self> {
        pointer(self.0, offset!(task_group_leader)).map(Self)
    }

    /// Start of this thread; of the process when asked of the group leader.
    #[inline(always)]
    pub fn start_boottime(self) -> u64 {
        value(self.0, offset!(task_start_boottime))
    }

    /// Inode number of the mount namespace; 0 where there is none (any more).
    #[inline(always)]
    pub fn mnt_ns(self) -> u32 {
        let nsproxy = value::<u64>(self.0, offset!(task_nsproxy));
        let mnt_ns = value::<u64>(nsproxy, offset!(nsproxy_mnt_ns));
        value(mnt_ns, offset!(mnt_namespace_inum))
    }

    #[inline(always)]
    pub fn mm(self) -> u64 {
        value(self.0, offset!(task_mm))
    }

    #[inline(always)]
    pub fn root(self) -> Path {
        value(value(self.0, offset!(task_fs)), offset!(fs_root))
    }
}

/// Neighbouring fields read in one go; `Layout::fits` has proved that they are neighbours.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Block<const LEN: usize>([u8; LEN]);

impl<const LEN: usize> Block<LEN> {
    /// Reads at `base + start` into `to`; zeros on failure.
    #[inline(always)]
    pub fn read(to: *mut Self, base: u64, start: u32) -> bool {
        // SAFETY: the helper fills exactly the destination, which callers own.
        unsafe {
            bpf_probe_read_kernel(to.cast(), LEN as u32, (base.wrapping_add(u64::from(start))) as *const _)
                == 0
        }
    }

    /// The field at `offset` of the block.
    #[inline(always)]
    pub fn get<T: Copy>(this: *const Self, offset: u32) -> T {
        // SAFETY: inside the block by `Layout::fits`, which the verifier proves again, and aligned by it.
        unsafe { this.cast::<u8>().add(offset as usize).cast::<T>().read() }
    }
}

/// `struct path`, copied out.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Path {
    pub vfsmount: u64,
    pub dentry: u64,
}

impl Path {
    /// Reads a `struct path` that stands at `base + offset`.
    #[inline(always)]
    pub fn at(base: u64, offset: u32) -> Option<Self> {
        let path: Self = value(base, offset);
        if path.vfsmount == 0 { None } else { Some(path) }
    }

    /// In a mount that stands in no namespace: overlayfs' own way to its layers (fs/namespace.c clone_private_mount).
    #[inline(always)]
    pub fn is_private(self) -> bool {
        /// `MAX_ERRNO` (include/linux/err.h); `MNT_NS_INTERNAL` (fs/mount.h) is an error in a pointer's place.
        const MAX_ERRNO: u64 = 4095;
        let mount = self.vfsmount.wrapping_sub(u64::from(offset!(mount_mnt)));
        value::<u64>(mount, offset!(mount_mnt_ns)) >= MAX_ERRNO.wrapping_neg()
    }

    #[inline(always)]
    pub fn mount(self) -> Mount {
        // mnt_root, mnt_sb, mnt_flags: side by side (`Layout::fits`).
        let [root, _, flags] = value::<[u64; 3]>(self.vfsmount, offset!(vfsmount_mnt_root));
        Mount { root, flags: flags as u32 }
    }
}

/// What the programs want of a `struct vfsmount`.
#[derive(Clone, Copy)]
pub struct Mount {
    /// The dentry at its root.
    pub root: u64,
    pub flags: u32,
}

impl Mount {
    /// A mount of the kernel's own: memfd, overlayfs' private clones of its layers.
    #[inline(always)]
    pub fn is_internal(self) -> bool {
        /// `MNT_INTERNAL` (include/linux/mount.h).
        const MNT_INTERNAL: u32 = 0x4000;
        self.flags & MNT_INTERNAL != 0
    }
}

/// `struct file *`
#[derive(Clone, Copy)]
pub struct File(pub u64);

impl File {
    #[inline(always)]
    pub fn mode(self) -> u32 {
        value(self.0, offset!(file_f_mode))
    }

    #[inline(always)]
    pub fn flags(self) -> u32 {
        value(self.0, offset!(file_f_flags))
    }

    #[inline(always)]
    pub fn path(self) -> Option<Path> {
        Path::at(self.0, offset!(file_f_path))
    }

    #[inline(always)]
    pub fn inode(self) -> u64 {
        value(self.0, offset!(file_f_inode))
    }
}

/// The inode of a `struct dentry *`; 0 for a negative one.
#[inline(always)]
pub fn inode_of(dentry: u64) -> u64 {
    value(dentry, offset!(dentry_d_inode))
}

/// What the programs copy out of the kernel's structs. Lives in scratch memory, for BPF stacks are small.
#[repr(C)]
pub struct View {
    inode: Block<{ INODE_BLOCK as usize }>,
    dev: u32,
    magic: u32,
    generation: u32,
    flags: u32,
}

const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;

/// Whether a file system of that type is an overlay.
#[inline(always)]
pub fn is_overlay(magic: u32) -> bool {
    /// `OVERLAYFS_SUPER_MAGIC` (include/uapi/linux/magic.h).
    const OVERLAYFS: u32 = 0x794c_7630;
    magic == OVERLAYFS
}

/// A file as it was at a time.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Version {
    pub ino: u64,
    pub dev: u32,
    pub generation: u32,
    /// What is written anew in place is another file to whoever asks what ran; nobody can set this time.
    pub ctime_ns: i64,
}

/// Access to a [`View`].
#[derive(Clone, Copy)]
pub struct Seen(*mut View);

impl Seen {
    /// Looks at an inode; of an overlay's file, at the real one below.
    #[inline(always)]
    pub fn real(to: *mut View, inode: u64) -> Option<Self> {
        let seen = Self::plain(to, inode)?;
        if is_overlay(seen.magic()) { seen.below(inode) } else { Some(seen) }
    }

    /// Looks at an inode as it is.
    #[inline(always)]
    pub fn plain(to: *mut View, inode: u64) -> Option<Self> {
        // SAFETY: callers pass scratch memory.
        unsafe {
            if !Block::read(&raw mut (*to).inode, inode, 0) {
                return None;
            }
            let sb = Block::get::<u64>(&raw const (*to).inode, offset!(inode_i_sb));
            // Not neighbours in every kernel.
            (*to).dev = value(sb, offset!(super_block_s_dev));
            (*to).magic = value(sb, offset!(super_block_s_magic));
            (*to).generation = if offset!(inode_i_generation) <= INODE_BLOCK - 4 {
                Block::get(&raw const (*to).inode, offset!(inode_i_generation))
            } else {
                value(inode, offset!(inode_i_generation))
            };
            (*to).flags = 0;
        }
        Some(Self(to))
    }

    /// Replaces the view of an overlay's inode by that of the real one, where that can be found.
    #[inline(always)]
    fn below(self, inode: u64) -> Option<Self> {
        let (real, flags) = match overlay_upper(inode) {
            0 => match overlay_lower(inode) {
                0 => (inode, file_flag::OVERLAY | file_flag::OVERLAY_UNRESOLVED),
                lower => (lower, file_flag::OVERLAY),
            },
            upper => (upper, file_flag::OVERLAY | file_flag::OVERLAY_UPPER),
        };
        let seen = Self::plain(self.0, real)?;
        // SAFETY: scratch memory.
        unsafe { (*self.0).flags = flags };
        Some(seen)
    }

    #[inline(always)]
    fn inode<T: Copy>(self, offset: u32) -> T {
        // SAFETY: scratch memory.
        unsafe { Block::get(&raw const (*self.0).inode, offset) }
    }

    #[inline(always)]
    pub fn magic(self) -> u32 {
        // SAFETY: scratch memory.
        unsafe { (*self.0).magic }
    }

    #[inline(always)]
    pub fn mode(self) -> u16 {
        self.inode(offset!(inode_i_mode))
    }

    #[inline(always)]
    pub fn is_regular(self) -> bool {
        self.mode() & S_IFMT == S_IFREG
    }

    #[inline(always)]
    pub fn ino(self) -> u64 {
        self.inode(offset!(inode_i_ino))
    }

    #[inline(always)]
    pub fn dev(self) -> u32 {
        // SAFETY: scratch memory.
        unsafe { (*self.0).dev }
    }

    #[inline(always)]
    pub fn generation(self) -> u32 {
        // SAFETY: scratch memory.
        unsafe { (*self.0).generation }
    }

    #[inline(always)]
    pub fn version(self) -> Version {
        Version {
            ino: self.inode(offset!(inode_i_ino)),
            dev: self.dev(),
            generation: self.generation(),
            ctime_ns: nanoseconds(
                self.inode(offset!(inode_ctime_sec)),
                self.inode(offset!(inode_ctime_nsec)),
            ),
        }
    }

    /// Writes everything that says which file it is; straight into the record, for BPF stacks are small.
    #[inline(always)]
    pub fn identify(self, to: *mut FileIdentity) {
        // SAFETY: callers pass a place in scratch memory.
        unsafe {
            (*to).ino = self.ino();
            (*to).dev = self.dev();
            (*to).generation = self.generation();
            (*to).size = self.inode(offset!(inode_i_size));
            (*to).mtime_ns =
                nanoseconds(self.inode(offset!(inode_mtime_sec)), self.inode(offset!(inode_mtime_nsec)));
            (*to).ctime_ns =
                nanoseconds(self.inode(offset!(inode_ctime_sec)), self.inode(offset!(inode_ctime_nsec)));
            (*to).fs_magic = self.magic();
            (*to).nlink = self.inode(offset!(inode_i_nlink));
            (*to).mode = u32::from(self.mode());
            (*to).flags = (*self.0).flags;
        }
    }
}

/// The upper file's inode of an overlay's inode; 0 where there is none.
/// `container_of(inode, struct ovl_inode, vfs_inode)` (fs/overlayfs/ovl_entry.h).
#[inline(always)]
fn overlay_upper(inode: u64) -> u64 {
    let vfs_inode = offset!(ovl_inode_vfs_inode);
    if vfs_inode == ABSENT {
        return 0;
    }
    inode_of(value(inode.wrapping_sub(u64::from(vfs_inode)), offset!(ovl_inode_upperdentry)))
}

/// The topmost lower file's inode of an overlay's inode; 0 where it cannot be found.
#[inline(always)]
fn overlay_lower(inode: u64) -> u64 {
    let vfs_inode = offset!(ovl_inode_vfs_inode);
    if vfs_inode == ABSENT {
        return 0;
    }
    let overlay = inode.wrapping_sub(u64::from(vfs_inode));
    if offset!(ovl_inode_oe) != ABSENT {
        let entry = value::<u64>(overlay, offset!(ovl_inode_oe));
        let stack = entry.wrapping_add(u64::from(offset!(ovl_entry_lowerstack)));
        return inode_of(value(stack, offset!(ovl_path_dentry)));
    }
    if offset!(ovl_inode_lowerpath_dentry) != ABSENT {
        return inode_of(value(overlay, offset!(ovl_inode_lowerpath_dentry)));
    }
    if offset!(ovl_inode_lower) != ABSENT {
        return value(overlay, offset!(ovl_inode_lower));
    }
    0
}

#[inline(always)]
pub fn nanoseconds(seconds: i64, nanoseconds: u32) -> i64 {
    /// `I_CTIME_QUERIED` (include/linux/fs.h), since 6.13 in the top bit of the nanoseconds.
    const QUERIED: u32 = 1 << 31;
    seconds.wrapping_mul(1_000_000_000).wrapping_add(i64::from(nanoseconds & !QUERIED))
}
