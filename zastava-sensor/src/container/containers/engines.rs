//! Which runtimes answer.

use std::sync::Arc;

use super::super::{reason, runtime::Engine};

/// Engines kept apart; a node has one or two.
const ENGINES: usize = 16;

#[derive(Debug)]
pub(super) struct Engines {
    /// The configuration wants runtimes asked.
    asked: bool,
    connected: Vec<Connected>,
    /// Counts connections.
    generation: u64,
    /// Every socket was tried once.
    searched: bool,
    /// Why the latest one that was lost is.
    lost: Option<&'static str>,
}

#[derive(Debug)]
struct Connected {
    engine: Arc<Engine>,
    generation: u64,
}

impl Engines {
    pub(super) fn new(asked: bool) -> Self {
        Self { asked, connected: Vec::new(), generation: 0, searched: !asked, lost: None }
    }

    pub(super) fn connect(&mut self, engine: Arc<Engine>) {
        self.connected.retain(|known| known.engine.socket != engine.socket);
        if self.connected.len() < ENGINES {
            self.generation += 1;
            self.connected.push(Connected { engine, generation: self.generation });
        }
    }

    pub(super) fn disconnect(&mut self, engine: &Engine, reason: &'static str) {
        self.connected.retain(|known| known.engine.socket != engine.socket);
        self.lost = Some(reason);
    }

    pub(super) fn searched(&mut self) {
        self.searched = true;
    }

    pub(super) fn is_searched(&self) -> bool {
        self.searched
    }

    /// Number of the connection that an engine's word now comes by; what has a lower one was told before it.
    pub(super) fn generation(&self, engine: &Engine) -> u64 {
        let found = self.connected.iter().find(|known| known.engine.socket == engine.socket);
        found.map_or(self.generation, |known| known.generation)
    }

    /// Number of the latest connection.
    pub(super) fn latest(&self) -> u64 {
        self.generation
    }

    /// Whether a container may yet be described: somebody answers, or it is not known yet that nobody does.
    pub(super) fn may_describe(&self) -> bool {
        !self.connected.is_empty() || !self.searched
    }

    /// Why nobody describes containers.
    pub(super) fn reason(&self) -> &'static str {
        match self.lost {
            _ if !self.asked => reason::NOT_ASKED,
            Some(reason) if self.connected.is_empty() => reason,
            _ => reason::NO_RUNTIME,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::runtime::EngineKind;

    fn engine(socket: &str) -> Arc<Engine> {
        Arc::new(Engine { kind: EngineKind::Docker, version: "1".to_owned(), socket: socket.into() })
    }

    #[test]
    fn who_is_not_asked_describes_nothing() {
        let engines = Engines::new(false);
        assert!(!engines.may_describe());
        assert_eq!(engines.reason(), reason::NOT_ASKED);
    }

    #[test]
    fn until_every_socket_was_tried_somebody_may_answer() {
        let mut engines = Engines::new(true);
        assert!(engines.may_describe());
        engines.searched();
        assert!(!engines.may_describe());
        assert_eq!(engines.reason(), reason::NO_RUNTIME);
    }

    #[test]
    fn a_new_connection_is_told_from_the_one_before() {
        let mut engines = Engines::new(true);
        let (a, b) = (engine("/a"), engine("/b"));
        engines.connect(Arc::clone(&a));
        engines.connect(Arc::clone(&b));
        let before = engines.generation(&a);
        engines.disconnect(&a, reason::RUNTIME_LOST);
        assert!(engines.may_describe());
        engines.connect(Arc::clone(&a));
        assert!(engines.generation(&a) > before.max(engines.generation(&b)));
        engines.searched();
        engines.disconnect(&a, reason::RUNTIME_LOST);
        engines.disconnect(&b, reason::RUNTIME_SILENT);
        assert_eq!((engines.may_describe(), engines.reason()), (false, reason::RUNTIME_SILENT));
    }
}
