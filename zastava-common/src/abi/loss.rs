use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Whom a loss hit.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, FromBytes, Hash, Immutable, IntoBytes, KnownLayout, PartialEq)]
pub struct LossKey {
    /// 0: the ledger itself was full and the cgroup is not known.
    pub cgroup_id: u64,
    /// A [`super::RecordKind`].
    pub kind: u32,
    pub reserved: u32,
}

/// What was lost.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
pub struct LossValue {
    pub count: u64,
    /// `CLOCK_BOOTTIME` nanoseconds of the first and the last loss.
    pub first_ns: u64,
    pub last_ns: u64,
}
