//! Looking into structs whose types the verifier knows: the arguments of `tp_btf`, fentry and fexit programs, and what is
//! reached through them.
//!
//! Such a read is a few machine instructions instead of a call of a helper, which is ten times as many. A pointer that is
//! not valid gives zero (`BPF_PROBE_MEM`, kernel/bpf/verifier.c). The verifier checks each offset against the type, so a
//! read is of one field and no more. What went through a map is a number again, and is read by [`crate::kernel`].

use zastava_common::abi::{COMM_LEN, FileIdentity};

use crate::{
    kernel::{Mount, Path, Seen, Version, View, is_overlay, nanoseconds},
    maps::{Recent, offset},
};

/// Reads a field.
#[inline(always)]
pub fn field<T: Copy>(base: u64, offset: u32) -> T {
    // SAFETY: the verifier knows the type at `base`, or refuses the program.
    unsafe { (base.wrapping_add(u64::from(offset)) as *const T).read_volatile() }
}

/// A `struct path` inside a struct.
#[inline(always)]
pub fn path(base: u64, offset: u32) -> Path {
    Path { vfsmount: field(base, offset), dentry: field(base, offset + 8) }
}

/// A `struct vfsmount *`.
#[inline(always)]
pub fn mount(vfsmount: u64) -> Mount {
    Mount {
        root: field(vfsmount, offset!(vfsmount_mnt_root)),
        flags: field(vfsmount, offset!(vfsmount_mnt_flags)),
    }
}

/// The name of a `struct task_struct *`, in words: bytes would be copied one by one.
#[inline(always)]
pub fn comm(task: u64) -> [u64; COMM_LEN / 8] {
    [field(task, offset!(task_comm)), field(task, offset!(task_comm) + 8)]
}

/// Inode number of a task's mount namespace.
#[inline(always)]
pub fn mnt_ns(task: u64) -> u32 {
    let mnt_ns = field(field(task, offset!(task_nsproxy)), offset!(nsproxy_mnt_ns));
    field(mnt_ns, offset!(mnt_namespace_inum))
}

/// Which version of which file an inode is; `None` for an overlay's, which says nothing of the real one below.
#[inline(always)]
pub fn version(inode: u64) -> Option<Version> {
    let sb: u64 = field(inode, offset!(inode_i_sb));
    if is_overlay(field(sb, offset!(super_block_s_magic))) {
        return None;
    }
    Some(Version {
        ino: field(inode, offset!(inode_i_ino)),
        dev: field(sb, offset!(super_block_s_dev)),
        generation: field(inode, offset!(inode_i_generation)),
        ctime_ns: nanoseconds(
            field(inode, offset!(inode_ctime_sec)),
            field(inode, offset!(inode_ctime_nsec)),
        ),
    })
}

/// The version that an inode is, for [`is_still`]. Whether it is an overlay's is not looked at.
#[inline(always)]
pub fn recent(inode: u64, ino: u64, cgroup_id: u64) -> Recent {
    Recent {
        inode,
        ino,
        generation: field(inode, offset!(inode_i_generation)),
        ctime_nsec: field(inode, offset!(inode_ctime_nsec)),
        ctime_sec: field(inode, offset!(inode_ctime_sec)),
        cgroup_id,
    }
}

/// Whether an inode with that number is what `recent` was made of; at its address may be another one by now. Field by
/// field, so that nothing need be kept.
#[inline(always)]
pub fn is_still(inode: u64, recent: &Recent) -> bool {
    recent.inode == inode
        && recent.ctime_nsec == field::<u32>(inode, offset!(inode_ctime_nsec))
        && recent.ctime_sec == field::<i64>(inode, offset!(inode_ctime_sec))
        && recent.generation == field::<u32>(inode, offset!(inode_i_generation))
}

/// Writes which file an inode is: of an overlay's, the real one below.
#[inline(always)]
pub fn identify(inode: u64, view: *mut View, to: *mut FileIdentity) -> Option<()> {
    let sb: u64 = field(inode, offset!(inode_i_sb));
    let magic = field(sb, offset!(super_block_s_magic));
    if is_overlay(magic) {
        Seen::real(view, inode)?.identify(to);
        return Some(());
    }
    // SAFETY: callers pass a place in scratch memory.
    unsafe {
        (*to).ino = field(inode, offset!(inode_i_ino));
        (*to).dev = field(sb, offset!(super_block_s_dev));
        (*to).generation = field(inode, offset!(inode_i_generation));
        (*to).size = field(inode, offset!(inode_i_size));
        (*to).mtime_ns =
            nanoseconds(field(inode, offset!(inode_mtime_sec)), field(inode, offset!(inode_mtime_nsec)));
        (*to).ctime_ns =
            nanoseconds(field(inode, offset!(inode_ctime_sec)), field(inode, offset!(inode_ctime_nsec)));
        (*to).fs_magic = magic;
        (*to).nlink = field(inode, offset!(inode_i_nlink));
        (*to).mode = u32::from(field::<u16>(inode, offset!(inode_i_mode)));
        (*to).flags = 0;
    }
    Some(())
}
