//! Looking into kernel structs: addresses in newtypes, fields by [`offset!`], every read checked.

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel};
use zastava_common::abi::{ABSENT, FileIdentity, file_flag};

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
    pub fn start_boottime(self) -> Option<u64> {
        read(self.0, offset!(task_start_boottime))
    }

    /// Inode number of the mount namespace; 0 where there is none (any more).
    #[inline(always)]
    pub fn mnt_ns(self) -> u32 {
        let nsproxy = value::<u64>(self.0, offset!(task_nsproxy));
        let mnt_ns = value::<u64>(nsproxy, offset!(nsproxy_mnt_ns));
        value(mnt_ns, offset!(mnt_namespace_inum))
    }

    #[inline(always)]
    pub fn mm(self) -> Option<u64> {
        pointer(self.0, offset!(task_mm))
    }

    /// Root and working directory.
    #[inline(always)]
    pub fn fs(self) -> Option<u64> {
        pointer(self.0, offset!(task_fs))
    }
}

/// `struct path`, copied out.
#[derive(Clone, Copy)]
pub struct Path {
    pub vfsmount: u64,
    pub dentry: u64,
}

impl Path {
    /// Reads a `struct path` that stands at `base + offset`.
    #[inline(always)]
    pub fn at(base: u64, offset: u32) -> Option<Self> {
        let base = base.wrapping_add(u64::from(offset));
        Some(Self {
            vfsmount: pointer(base, offset!(path_mnt))?,
            dentry: pointer(base, offset!(path_dentry))?,
        })
    }

    /// A mount of the kernel's own: memfd, overlayfs' private clones of its layers.
    #[inline(always)]
    pub fn is_internal(self) -> bool {
        /// `MNT_INTERNAL` (include/linux/mount.h).
        const MNT_INTERNAL: u32 = 0x4000;
        read::<u32>(self.vfsmount, offset!(vfsmount_mnt_flags)).is_some_and(|flags| flags & MNT_INTERNAL != 0)
    }
}

/// `struct file *`
#[derive(Clone, Copy)]
pub struct File(pub u64);

impl File {
    #[inline(always)]
    pub fn mode(self) -> Option<u32> {
        read(self.0, offset!(file_f_mode))
    }

    #[inline(always)]
    pub fn flags(self) -> Option<u32> {
        read(self.0, offset!(file_f_flags))
    }

    #[inline(always)]
    pub fn path(self) -> Option<Path> {
        Path::at(self.0, offset!(file_f_path))
    }

    #[inline(always)]
    pub fn inode(self) -> Option<Inode> {
        pointer(self.0, offset!(file_f_inode)).map(Inode)
    }
}

/// `struct inode *`
#[derive(Clone, Copy)]
pub struct Inode(pub u64);

/// `OVERLAYFS_SUPER_MAGIC` (include/uapi/linux/magic.h).
const OVERLAYFS: u32 = 0x794c_7630;

impl Inode {
    #[inline(always)]
    pub fn of_dentry(dentry: u64) -> Option<Self> {
        pointer(dentry, offset!(dentry_d_inode)).map(Self)
    }

    #[inline(always)]
    pub fn mode(self) -> Option<u16> {
        read(self.0, offset!(inode_i_mode))
    }

    #[inline(always)]
    pub fn magic(self) -> Option<u32> {
        let sb = pointer(self.0, offset!(inode_i_sb))?;
        read(sb, offset!(super_block_s_magic))
    }

    #[inline(always)]
    pub fn ino(self) -> Option<u64> {
        read(self.0, offset!(inode_i_ino))
    }

    #[inline(always)]
    pub fn generation(self) -> Option<u32> {
        read(self.0, offset!(inode_i_generation))
    }

    #[inline(always)]
    pub fn dev(self) -> Option<u32> {
        let sb = pointer(self.0, offset!(inode_i_sb))?;
        read(sb, offset!(super_block_s_dev))
    }

    /// The inode below overlayfs, if it stands in one, with the flags that say how it went.
    #[inline(always)]
    pub fn real(self) -> (Self, u32) {
        if self.magic() != Some(OVERLAYFS) {
            return (self, 0);
        }
        match self.overlay_upper() {
            Some(upper) => (upper, file_flag::OVERLAY | file_flag::OVERLAY_UPPER),
            None => match self.overlay_lower() {
                Some(lower) => (lower, file_flag::OVERLAY),
                None => (self, file_flag::OVERLAY | file_flag::OVERLAY_UNRESOLVED),
            },
        }
    }

    /// `container_of(inode, struct ovl_inode, vfs_inode)` (fs/overlayfs/ovl_entry.h).
    #[inline(always)]
    fn overlay(self) -> Option<u64> {
        let vfs_inode = offset!(ovl_inode_vfs_inode);
        if vfs_inode == ABSENT { None } else { Some(self.0.wrapping_sub(u64::from(vfs_inode))) }
    }

    #[inline(always)]
    fn overlay_upper(self) -> Option<Self> {
        Self::of_dentry(pointer(self.overlay()?, offset!(ovl_inode_upperdentry))?)
    }

    #[inline(always)]
    fn overlay_lower(self) -> Option<Self> {
        let overlay = self.overlay()?;
        if offset!(ovl_inode_oe) != ABSENT {
            let entry = pointer(overlay, offset!(ovl_inode_oe))?;
            let stack = entry.wrapping_add(u64::from(offset!(ovl_entry_lowerstack)));
            return Self::of_dentry(pointer(stack, offset!(ovl_path_dentry))?);
        }
        if offset!(ovl_inode_lowerpath_dentry) != ABSENT {
            return Self::of_dentry(pointer(overlay, offset!(ovl_inode_lowerpath_dentry))?);
        }
        if offset!(ovl_inode_lower) != ABSENT {
            return pointer(overlay, offset!(ovl_inode_lower)).map(Self);
        }
        None
    }

    /// Writes everything that says which file it is; of an overlay's file, of the real one below.
    #[inline(always)]
    pub fn identify(self, to: *mut FileIdentity) -> Option<()> {
        let (real, flags) = self.real();
        real.identify_real(flags, to)
    }

    /// As [`Self::identify`], for what [`Self::real`] gave. Straight into the record: BPF stacks are small.
    #[inline(always)]
    pub fn identify_real(self, flags: u32, to: *mut FileIdentity) -> Option<()> {
        let sb = pointer(self.0, offset!(inode_i_sb))?;
        let ino = self.ino().filter(|ino| *ino != 0)?;
        // SAFETY: callers pass a place in scratch memory. The remaining reads are of the same two objects.
        unsafe {
            (*to).ino = ino;
            (*to).dev = value(sb, offset!(super_block_s_dev));
            (*to).generation = value(self.0, offset!(inode_i_generation));
            (*to).size = value(self.0, offset!(inode_i_size));
            (*to).mtime_ns = nanoseconds(
                value(self.0, offset!(inode_mtime_sec)),
                value(self.0, offset!(inode_mtime_nsec)),
            );
            (*to).ctime_ns = nanoseconds(
                value(self.0, offset!(inode_ctime_sec)),
                value(self.0, offset!(inode_ctime_nsec)),
            );
            (*to).fs_magic = value(sb, offset!(super_block_s_magic));
            (*to).nlink = value(self.0, offset!(inode_i_nlink));
            (*to).mode = u32::from(value::<u16>(self.0, offset!(inode_i_mode)));
            (*to).flags = flags;
        }
        Some(())
    }
}

#[inline(always)]
fn nanoseconds(seconds: i64, nanoseconds: u32) -> i64 {
    /// `I_CTIME_QUERIED` (include/linux/fs.h), since 6.13 in the top bit of the nanoseconds.
    const QUERIED: u32 = 1 << 31;
    seconds.wrapping_mul(1_000_000_000).wrapping_add(i64::from(nanoseconds & !QUERIED))
}
