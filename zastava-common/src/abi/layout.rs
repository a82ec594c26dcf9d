//! Where the fields of kernel structs stand: filled in user space from the kernel's BTF, frozen read-only before
//! the programs load, so that the verifier sees constants.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A field that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// One row per field: where the programs look, and the names it has had. The first path that the kernel's BTF
/// knows is taken; a path names members through anonymous structs and unions as C does.
macro_rules! layout {
    ($($(#[$doc:meta])* $need:ident $field:ident: $($path:literal)|+;)+) => {
        /// Offsets in bytes from the beginning of the struct; [`ABSENT`] where the kernel has no such field.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
        pub struct Layout {
            $($(#[$doc])* pub $field: u32,)+
        }

        impl Layout {
            /// Nothing known.
            pub const UNKNOWN: Self = Self { $($field: ABSENT,)+ };

            /// Name, whether the programs cannot do without it, and the BTF paths to try; in the order of the fields.
            pub const FIELDS: &[Field] = &[
                $(Field { name: stringify!($field), required: need!($need), paths: &[$($path),+] },)+
            ];
        }
    };
}

macro_rules! need {
    (required) => {
        true
    };
    (optional) => {
        false
    };
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub required: bool,
    /// `struct.member.member`, tried in order.
    pub paths: &'static [&'static str],
}

layout! {
    required task_tgid: "task_struct.tgid";
    required task_real_parent: "task_struct.real_parent";
    required task_group_leader: "task_struct.group_leader";
    /// `start_boottime` since 5.5, `real_start_time` before.
    required task_start_boottime: "task_struct.start_boottime" | "task_struct.real_start_time";
    required task_cred: "task_struct.cred";
    required task_comm: "task_struct.comm";
    required task_mm: "task_struct.mm";
    required task_fs: "task_struct.fs";
    required task_nsproxy: "task_struct.nsproxy";
    required task_signal: "task_struct.signal";
    required task_exit_code: "task_struct.exit_code";
    required signal_live: "signal_struct.live";
    required cred_euid: "cred.euid";
    required cred_egid: "cred.egid";
    required nsproxy_mnt_ns: "nsproxy.mnt_ns";
    required mnt_namespace_inum: "mnt_namespace.ns.inum";
    required mm_arg_start: "mm_struct.arg_start";
    required mm_arg_end: "mm_struct.arg_end";
    required mm_exe_file: "mm_struct.exe_file";
    required fs_root: "fs_struct.root";
    required fs_pwd: "fs_struct.pwd";
    required path_mnt: "path.mnt";
    required path_dentry: "path.dentry";
    required bprm_file: "linux_binprm.file";
    required bprm_filename: "linux_binprm.filename";
    required bprm_interp: "linux_binprm.interp";
    required bprm_argc: "linux_binprm.argc";
    required bprm_buf: "linux_binprm.buf";
    required file_f_path: "file.f_path";
    required file_f_inode: "file.f_inode";
    required file_f_mode: "file.f_mode";
    required file_f_flags: "file.f_flags";
    required dentry_d_parent: "dentry.d_parent";
    required dentry_d_name: "dentry.d_name";
    required dentry_d_inode: "dentry.d_inode";
    required qstr_len: "qstr.len";
    required qstr_name: "qstr.name";
    required inode_i_mode: "inode.i_mode";
    required inode_i_sb: "inode.i_sb";
    required inode_i_ino: "inode.i_ino";
    required inode_i_nlink: "inode.i_nlink";
    required inode_i_size: "inode.i_size";
    /// A `timespec64` up to 6.10 (renamed in 6.6 and 6.7), then two fields.
    required inode_mtime_sec: "inode.i_mtime_sec" | "inode.i_mtime.tv_sec" | "inode.__i_mtime.tv_sec";
    required inode_mtime_nsec: "inode.i_mtime_nsec" | "inode.i_mtime.tv_nsec" | "inode.__i_mtime.tv_nsec";
    required inode_ctime_sec: "inode.i_ctime_sec" | "inode.i_ctime.tv_sec" | "inode.__i_ctime.tv_sec";
    required inode_ctime_nsec: "inode.i_ctime_nsec" | "inode.i_ctime.tv_nsec" | "inode.__i_ctime.tv_nsec";
    required inode_i_generation: "inode.i_generation";
    required super_block_s_dev: "super_block.s_dev";
    required super_block_s_magic: "super_block.s_magic";
    required mount_mnt: "mount.mnt";
    required mount_mnt_parent: "mount.mnt_parent";
    required mount_mnt_mountpoint: "mount.mnt_mountpoint";
    required mount_mnt_ns: "mount.mnt_ns";
    required vfsmount_mnt_root: "vfsmount.mnt_root";
    required vfsmount_mnt_flags: "vfsmount.mnt_flags";
    required vma_vm_file: "vm_area_struct.vm_file";
    required vma_vm_flags: "vm_area_struct.vm_flags";
    required cgroup_kn: "cgroup.kn";
    required cgroup_root: "cgroup.root";
    required cgroup_root_hierarchy_id: "cgroup_root.hierarchy_id";
    required kernfs_node_id: "kernfs_node.id";
    required sock_family: "sock.__sk_common.skc_family";
    required sock_num: "sock.__sk_common.skc_num";
    required sock_rcv_saddr: "sock.__sk_common.skc_rcv_saddr";
    /// Absent without `CONFIG_IPV6`.
    optional sock_v6_rcv_saddr: "sock.__sk_common.skc_v6_rcv_saddr";
    required sock_protocol: "sock.sk_protocol";
    /// overlayfs: in the BTF of its module where it is one. Absent: the identity is the overlay's own inode.
    optional ovl_inode_vfs_inode: "ovl_inode.vfs_inode";
    optional ovl_inode_upperdentry: "ovl_inode.__upperdentry";
    /// Up to 5.18.
    optional ovl_inode_lower: "ovl_inode.lower";
    /// 5.19 to 6.4.
    optional ovl_inode_lowerpath_dentry: "ovl_inode.lowerpath.dentry";
    /// Since 6.5: the first `ovl_path` of the entry's stack.
    optional ovl_inode_oe: "ovl_inode.oe";
    optional ovl_entry_lowerstack: "ovl_entry.__lowerstack";
    optional ovl_path_dentry: "ovl_path.dentry";
}

/// Bytes from the beginning of a `struct inode` that hold its mode, numbers, size and times.
pub const INODE_BLOCK: u32 = 144;
impl Layout {
    /// The programs read neighbouring fields in one go: whether they are neighbours here, else what is not.
    pub fn fits(&self) -> Result<(), &'static str> {
        // And aligned: else each would be read byte by byte.
        let within = |field: u32, len: u32| field <= INODE_BLOCK - len && field.is_multiple_of(len);
        let inode = [
            (self.inode_i_mode, 2),
            (self.inode_i_sb, 8),
            (self.inode_i_ino, 8),
            (self.inode_i_nlink, 4),
            (self.inode_i_size, 8),
            (self.inode_mtime_sec, 8),
            (self.inode_mtime_nsec, 4),
            (self.inode_ctime_sec, 8),
            (self.inode_ctime_nsec, 4),
        ];
        let is_whole = self.inode_i_generation.is_multiple_of(4);
        if !(is_whole && inode.into_iter().all(|(field, len)| within(field, len))) {
            return Err("struct inode");
        }
        if (self.path_mnt, self.path_dentry) != (0, 8) {
            return Err("struct path");
        }
        if (self.vfsmount_mnt_root, self.vfsmount_mnt_flags) != (0, 16) {
            return Err("struct vfsmount");
        }
        if self.mount_mnt_mountpoint != self.mount_mnt_parent + 8 {
            return Err("struct mount");
        }
        // d_parent, then d_name: hash, len, name (include/linux/dcache.h).
        if (self.dentry_d_name, self.qstr_len, self.qstr_name) != (self.dentry_d_parent + 8, 4, 8) {
            return Err("struct dentry");
        }
        Ok(())
    }
}

/// What the programs need to know of the sensor that loads them; frozen with [`Layout`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
pub struct Settings {
    /// The sensor's own process, whose file changes are not reported.
    pub own_tgid: u32,
    /// A [`super::Tier`].
    pub tier: u32,
    /// Bytes waiting in a ring from which on user space is woken without waiting for its timer.
    pub process_watermark: u32,
    pub files_watermark: u32,
}
