//! The containers that live, for who asks.

use std::sync::Arc;

use super::{entry::Entry, life::Stage, sums::Origins};
use crate::observation::{Container, Observed, Process};

/// A container that lives.
#[derive(Clone, Debug)]
pub struct Listed {
    pub container: Container,
    pub process: Option<Arc<Process>>,
    pub state: State,
    pub observed: Observed,
    pub since_boot_ns: u64,
    pub executions: Origins,
    pub libraries: Origins,
    pub lost: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Its start was not told yet.
    Starting,
    Running,
    /// Its end was not told yet.
    Ended,
}

impl Listed {
    /// `None`: it does not live, or is a sandbox.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let life = entry.life.as_ref()?;
        Some(Self {
            container: entry.container()?,
            process: life.first(entry.pid()).cloned(),
            state: match (life.stage, life.end) {
                (Stage::Silent, _) => return None,
                (Stage::Settling | Stage::Opening, _) => State::Starting,
                (Stage::Told, None) => State::Running,
                (Stage::Told, Some(_)) => State::Ended,
            },
            observed: life.observed,
            since_boot_ns: life.began_ns,
            executions: life.executions,
            libraries: life.mapped,
            lost: entry.lost(),
        })
    }
}
