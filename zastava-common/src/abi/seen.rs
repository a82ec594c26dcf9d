use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A file in executable use in a cgroup: the key of the first-seen map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, FromBytes, Hash, Immutable, IntoBytes, KnownLayout, PartialEq)]
pub struct SeenKey {
    pub cgroup_id: u64,
    pub ino: u64,
    pub dev: u32,
    pub generation: u32,
    /// 0: mapped executable; 1: an existing mapping made executable.
    pub kind: u32,
    pub reserved: u32,
}

/// How often and when the file was mapped.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
pub struct SeenValue {
    pub count: u64,
    /// `CLOCK_BOOTTIME` nanoseconds.
    pub first_ns: u64,
    pub last_ns: u64,
}
