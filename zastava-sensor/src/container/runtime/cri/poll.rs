//! What changed between two looks at the list of containers.

use std::{collections::HashMap, sync::Arc};

use super::api::{ContainerState, PodSandboxState};
use crate::container::runtime::client::{Change, Key, What};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Created,
    Running,
    Ended,
    Unknown,
}

impl State {
    pub(super) fn of_container(state: ContainerState) -> Self {
        match state {
            ContainerState::ContainerCreated => Self::Created,
            ContainerState::ContainerRunning => Self::Running,
            ContainerState::ContainerExited => Self::Ended,
            ContainerState::ContainerUnknown => Self::Unknown,
        }
    }

    pub(super) fn of_sandbox(state: PodSandboxState) -> Self {
        match state {
            PodSandboxState::SandboxReady => Self::Running,
            PodSandboxState::SandboxNotready => Self::Ended,
        }
    }
}

/// A container that began and ended between the looks is described and told to have stopped; one that also was removed
/// leaves no trace here.
pub(super) fn changes(
    before: &HashMap<Arc<str>, State>,
    now: &HashMap<Arc<str>, State>,
) -> impl Iterator<Item = Change> {
    let change = |id: &Arc<str>, what| Change { key: Key { id: Arc::clone(id), namespace: None }, what };
    let there = now.iter().filter_map(move |(id, state)| {
        let what = match (before.get(id), state) {
            (Some(before), state) if before == state => return None,
            (_, State::Created | State::Unknown) => What::Changed,
            (_, State::Running) => What::Started { pid: None, rootfs: None, at: None },
            (_, State::Ended) => What::Stopped(None),
        };
        Some(change(id, what))
    });
    let gone = before.keys().filter(|id| !now.contains_key(*id));
    there.chain(gone.map(move |id| change(id, What::Removed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_a_change_and_sameness_is_none() {
        let list = |all: &[(&str, State)]| all.iter().map(|(id, state)| ((*id).into(), *state)).collect();
        let before = list(&[
            ("a", State::Created),
            ("b", State::Running),
            ("c", State::Ended),
            ("d", State::Running),
            ("g", State::Running),
        ]);
        let now = list(&[
            ("a", State::Running),
            ("b", State::Ended),
            ("d", State::Running),
            ("e", State::Created),
            ("f", State::Ended),
            ("g", State::Unknown),
        ]);
        let mut told: Vec<_> =
            changes(&before, &now).map(|change| (change.key.id.to_string(), change.what)).collect();
        told.sort_by(|one, other| one.0.cmp(&other.0));
        let started = What::Started { pid: None, rootfs: None, at: None };
        let expected = [
            ("a", started),
            ("b", What::Stopped(None)),
            ("c", What::Removed),
            ("e", What::Changed),
            ("f", What::Stopped(None)),
            ("g", What::Changed),
        ];
        assert_eq!(told, expected.map(|(id, what)| (id.to_owned(), what)));
    }
}
