use std::collections::BTreeMap;

/// Whether a field is left out: proto3 cannot tell an empty value from an absent one, and `optional` fields are
/// `None` when absent.
pub(crate) trait Absent {
    fn absent(&self) -> bool;
}

impl Absent for String {
    fn absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Absent for Vec<T> {
    fn absent(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Absent for BTreeMap<K, V> {
    fn absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Absent for Option<T> {
    fn absent(&self) -> bool {
        self.is_none()
    }
}

impl Absent for bool {
    fn absent(&self) -> bool {
        !self
    }
}

/// An enum value.
impl Absent for i32 {
    fn absent(&self) -> bool {
        *self == 0
    }
}

impl Absent for u32 {
    fn absent(&self) -> bool {
        *self == 0
    }
}

impl Absent for u64 {
    fn absent(&self) -> bool {
        *self == 0
    }
}
