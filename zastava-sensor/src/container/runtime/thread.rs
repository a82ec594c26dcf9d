//! The thread on which all clients run.

use std::{
    io,
    sync::Arc,
    thread::{Builder, JoinHandle},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Ask, Counts, News, Settings,
    counts::{Counters, count},
    hub,
    shared::Shared,
};

/// News that wait for the stage; then the runtimes' streams wait.
const NEWS: usize = 1024;
/// Questions that wait for the clients.
const ASKS: usize = 1024;

#[derive(Debug, thiserror::Error)]
pub enum RuntimesError {
    #[error("cannot start the thread of the container runtimes: {0}")]
    Thread(#[from] io::Error),
}

/// The clients of all runtimes.
#[derive(Debug)]
pub struct Runtimes {
    thread: JoinHandle<()>,
    stop: CancellationToken,
    asker: Asker,
}

/// Asks about containers that nobody described.
#[derive(Clone, Debug)]
pub struct Asker {
    asks: mpsc::Sender<Ask>,
    counters: Arc<Counters>,
}

impl Runtimes {
    /// Looks for runtimes from now on. The news end when it is stopped.
    pub fn start(settings: Settings) -> Result<(Self, mpsc::Receiver<News>), RuntimesError> {
        let (sender, news) = mpsc::channel(NEWS);
        let (asks, asked) = mpsc::channel(ASKS);
        let counters = Arc::new(Counters::default());
        let shared = Shared::new(settings, Arc::clone(&counters), sender);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = Builder::new().name("runtimes".to_owned()).spawn(move || {
            // What is under way ends where it waits: all of it is reading.
            runtime.block_on(stopped.run_until_cancelled(hub::run(shared, asked)));
        })?;
        Ok((Self { thread, stop, asker: Asker { asks, counters } }, news))
    }

    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    pub fn counts(&self) -> Counts {
        self.asker.counters.counts()
    }

    /// Ends the thread and waits for it: a moment, whatever the runtimes do.
    pub fn stop(self) {
        self.stop.cancel();
        // A panic was printed by itself.
        let _ = self.thread.join();
    }
}

impl Asker {
    /// `Described` or `Refused` is the answer. Does not wait: `false` is over the bound, and nothing will come.
    pub fn ask(&self, id: Arc<str>) -> bool {
        self.send(Ask { id, by_user: false })
    }

    /// As [`Self::ask`], about what only a user's cgroup claims to be there.
    pub fn ask_of_claim(&self, id: Arc<str>) -> bool {
        self.send(Ask { id, by_user: true })
    }

    fn send(&self, ask: Ask) -> bool {
        let has_room = !ask.by_user || self.asks.capacity() > ASKS / 2;
        let sent = has_room && self.asks.try_send(ask).is_ok();
        if !sent {
            count(&self.counters.asks_refused);
        }
        sent
    }

    /// What the clients did.
    pub fn counts(&self) -> Counts {
        self.counters.counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_claim_leaves_half_of_the_room_to_the_others() {
        let (asks, _asked) = mpsc::channel(ASKS);
        let asker = Asker { asks, counters: Arc::default() };
        let claims = (0..ASKS).filter(|number| asker.ask_of_claim(number.to_string().into())).count();
        let others = (0..ASKS).filter(|number| asker.ask(number.to_string().into())).count();
        assert_eq!((claims, others), (ASKS / 2, ASKS / 2));
        assert_eq!(asker.counts().asks_refused, ASKS as u64);
    }
}
