//! Short names of the kinds of events, for command lines and readable lines.

use std::str::FromStr;

use zastava_common::event::v1::event::Kind;

/// Each kind that has a name, in the order of the numbers.
pub(super) const KINDS: [(Kind, &str); 11] = [
    (Kind::ContainerStart, "start"),
    (Kind::ContainerStop, "stop"),
    (Kind::Drift, "drift"),
    (Kind::PolicyViolation, "violation"),
    (Kind::AttestationStatus, "attestation"),
    (Kind::ProcessExec, "exec"),
    (Kind::ProcessExit, "exit"),
    (Kind::LibraryLoad, "lib"),
    (Kind::FileCreate, "file"),
    (Kind::Listen, "listen"),
    (Kind::Loss, "loss"),
];

/// A set of kinds; the empty one means all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KindSet(u32);

impl KindSet {
    pub fn has(self, kind: Kind) -> bool {
        self.0 == 0 || self.0 & bit(kind) != 0
    }
}

impl FromIterator<Kind> for KindSet {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | bit(kind)))
    }
}

fn bit(kind: Kind) -> u32 {
    1 << kind as u32
}

/// The short name.
pub(super) fn name(kind: Kind) -> &'static str {
    KINDS.iter().find(|(of, _)| *of == kind).map_or("unknown", |(_, name)| name)
}

/// A kind by its short name or by its name in events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Named(pub Kind);

#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected one of {}", KINDS.map(|(_, name)| name).join(", "))]
pub struct UnknownKind;

impl FromStr for Named {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let found = KINDS.iter().find(|(kind, name)| *name == text || kind.as_str_name() == text);
        found.map(|(kind, _)| Self(*kind)).ok_or(UnknownKind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_known_by_both_of_its_names() {
        for (kind, name) in KINDS {
            assert_eq!(name.parse(), Ok(Named(kind)));
            assert_eq!(kind.as_str_name().parse(), Ok(Named(kind)));
            assert_eq!(super::name(kind), name);
        }
        let last = i32::try_from(KINDS.len()).unwrap();
        assert_eq!(Kind::try_from(last), Ok(Kind::Loss));
        assert!(Kind::try_from(last + 1).is_err(), "a new kind needs a name");
        assert_eq!("KIND_UNSPECIFIED".parse::<Named>(), Err(UnknownKind));
    }

    #[test]
    fn the_empty_set_means_all_kinds() {
        assert!(KindSet::default().has(Kind::Loss));
        let some = KindSet::from_iter([Kind::ProcessExec, Kind::Loss]);
        assert!(some.has(Kind::Loss) && !some.has(Kind::Listen));
    }
}
