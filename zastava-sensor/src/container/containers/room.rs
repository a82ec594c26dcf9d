//! The waiting room: observations whose container is not described yet.
//!
//! Each container has a queue of its own, so that the order of its events stays and other containers' events go on. The
//! room is one for all, and no container may fill more than a quarter of it.

use std::{collections::VecDeque, mem::size_of};

use crate::observation::{Artifact, Fact, Observation};

/// The part of the room that one container may fill.
const SHARE: usize = 4;

/// What of one container waits, in the order in which it came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Observation>,
    bytes: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// How much waits in all, and may.
#[derive(Debug)]
pub(super) struct Room {
    events: usize,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
    /// Observations that had to wait, in all.
    held: u64,
}

impl Room {
    pub(super) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self { events: 0, bytes: 0, max_events, max_bytes, held: 0 }
    }

    /// Puts an observation behind the others of its container; gives it back where there is no room.
    pub(super) fn hold(&mut self, queue: &mut Queue, observation: Observation) -> Option<Observation> {
        let bytes = weight(&observation);
        let fits = self.events < self.max_events
            && self.bytes + bytes <= self.max_bytes
            && queue.waiting.len() < self.max_events.div_ceil(SHARE)
            && queue.bytes + bytes <= self.max_bytes.div_ceil(SHARE);
        if !fits {
            return Some(observation);
        }
        self.events += 1;
        self.bytes += bytes;
        self.held += 1;
        queue.bytes += bytes;
        queue.waiting.push_back(observation);
        None
    }

    /// Takes all that waits for one container.
    pub(super) fn release(&mut self, queue: &mut Queue) -> VecDeque<Observation> {
        self.events -= queue.waiting.len();
        self.bytes -= queue.bytes;
        std::mem::take(queue).waiting
    }

    pub(super) fn waiting(&self) -> usize {
        self.events
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn held(&self) -> u64 {
        self.held
    }
}

/// Bytes that an observation holds and shares with no other, nearly.
fn weight(observation: &Observation) -> usize {
    let own = match &observation.fact {
        Fact::Exec { program, script } => artifact(program) + script.as_ref().map_or(0, artifact),
        Fact::Library { artifact: library, .. } => artifact(library),
        Fact::FileCreate { change, artifact: file } => artifact(file) + change.path.bytes.len(),
        Fact::Exit { exit, .. } => exit.comm.len(),
        Fact::Start(start) => {
            size_of_val(&**start)
                + start
                    .libraries
                    .iter()
                    .map(|library| size_of::<Artifact>() + artifact(library))
                    .sum::<usize>()
        }
        Fact::Stop(stop) => size_of_val(&**stop),
        Fact::Listen(_) | Fact::Loss(_) => 0,
    };
    // The process is the table's too until it ends; what is of it counts as if it were held here alone.
    let process = observation.process.as_ref().map_or(0, |process| {
        let argv = process.argv.iter().flatten().map(String::len).sum::<usize>();
        size_of_val(&**process) + process.exe.len() + process.cwd.len() + argv
    });
    size_of::<Observation>() + own + process
}

fn artifact(artifact: &Artifact) -> usize {
    artifact.path.len() + artifact.raw_path.as_ref().map_or(0, Vec::len)
}
