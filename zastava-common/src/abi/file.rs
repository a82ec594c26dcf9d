use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Which file it is: the *real* inode (below overlayfs) as it was when the hook ran.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, FromBytes, Hash, Immutable, IntoBytes, KnownLayout, PartialEq)]
pub struct FileIdentity {
    pub ino: u64,
    /// `super_block.s_dev` in the kernel's own encoding: major << 20 | minor (include/linux/kdev_t.h).
    pub dev: u32,
    /// `inode.i_generation`.
    pub generation: u32,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Nanoseconds since 1970.
    pub ctime_ns: i64,
    /// `super_block.s_magic`, low 32 bits.
    pub fs_magic: u32,
    /// `inode.i_nlink`; 0: unlinked.
    pub nlink: u32,
    /// `inode.i_mode`.
    pub mode: u32,
    /// See [`file_flag`].
    pub flags: u32,
}

impl FileIdentity {
    /// No file.
    pub const NONE: Self = Self {
        ino: 0,
        dev: 0,
        generation: 0,
        size: 0,
        mtime_ns: 0,
        ctime_ns: 0,
        fs_magic: 0,
        nlink: 0,
        mode: 0,
        flags: 0,
    };
}

/// Bits of [`FileIdentity::flags`].
pub mod file_flag {
    /// The file was reached through overlayfs.
    pub const OVERLAY: u32 = 1;
    /// It stands in the overlay's upper (writable) layer.
    pub const OVERLAY_UPPER: u32 = 1 << 1;
    /// Reached through overlayfs, but the real inode could not be read: the identity is the overlay's own inode.
    pub const OVERLAY_UNRESOLVED: u32 = 1 << 2;
    /// A memfd or other file of the kernel's internal tmpfs mount.
    pub const INTERNAL_MOUNT: u32 = 1 << 3;
}

/// Lengths of a path in a record's tail.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout)]
pub struct PathLens {
    /// Bytes in the tail: components, leaf first, a NUL after each.
    pub len: u16,
    /// Components walked.
    pub components: u16,
    /// 1: cut at the root's side, by [`super::MAX_PATH`] or [`super::MAX_COMPONENTS`].
    pub truncated: u32,
}

/// Fixed part of a [`super::RecordKind::Mapping`]; the tail is the path.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
pub struct MappingBody {
    pub file: FileIdentity,
    /// As [`super::ExecBody::image`]: a program's loader is mapped before its exec is told.
    pub image: u64,
    pub path: PathLens,
    /// `PROT_*` bits.
    pub prot: u32,
    /// 1: an existing mapping became executable (`mprotect`).
    pub by_protect: u32,
}

/// Fixed part of a [`super::RecordKind::File`]; the tail is the path.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
pub struct FileBody {
    pub file: FileIdentity,
    pub path: PathLens,
    /// A [`FileOp`].
    pub op: u32,
    pub reserved: u32,
}

/// How a file may have become executable.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FileOp {
    /// Created and closed after writing.
    Create = 1,
    /// An existing file closed after writing.
    Write = 2,
    /// Renamed into place.
    Rename = 3,
    /// Linked into place.
    Link = 4,
    /// chmod to executable.
    Chmod = 5,
}

impl FileOp {
    pub fn from_u32(value: u32) -> Option<Self> {
        [Self::Create, Self::Write, Self::Rename, Self::Link, Self::Chmod]
            .into_iter()
            .find(|op| *op as u32 == value)
    }
}

/// Fixed part of a [`super::RecordKind::Listen`]; no tail.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
pub struct ListenBody {
    /// Network byte order; IPv4 in the first four bytes.
    pub address: [u8; 16],
    /// Host byte order.
    pub port: u16,
    /// `AF_INET` 2 or `AF_INET6` 10.
    pub family: u16,
    /// `IPPROTO_*`.
    pub protocol: u32,
}

/// Fixed part of [`super::RecordKind::CgroupMkdir`] and `CgroupRmdir`; the tail is the cgroup's path, root first,
/// as the tracepoint gives it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
pub struct CgroupBody {
    /// The cgroup made or removed (the header's is that of the process which did it).
    pub cgroup_id: u64,
    /// Hierarchy number; 0 is the v2 hierarchy.
    pub hierarchy: u32,
    /// Bytes in the tail.
    pub path_len: u32,
}
