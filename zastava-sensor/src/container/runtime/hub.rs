//! All sockets together: the search at the start, and questions that any of them may answer.

use std::{fmt::Write as _, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use super::{
    Ask, News,
    candidate::{Candidate, First, candidates, keep_trying},
    counts::count,
    session::Question,
    shared::Shared,
};
use crate::{container::reason, process::proc::allowance::Allowance};

/// How long the start waits for the sockets that there are.
const SEARCH: Duration = Duration::from_secs(2);
/// Questions of the stage in each second, and at once.
const ASKS_PER_SECOND: u32 = 500;
const ASKS_AT_ONCE: usize = 128;
/// Of these, questions about what only a user's cgroup claims, in each second and at once: one of them takes 0.4 s where
/// nobody knows it, and is not to keep the others waiting.
const CLAIMS_PER_SECOND: u32 = 50;
const CLAIMS_AT_ONCE: usize = 16;
/// Between the tries to find a container that no runtime knows: the kernel sees its cgroup before some of them have
/// entered it.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(30), Duration::from_millis(100), Duration::from_millis(250)];
/// Between further tries, as long as somebody may be about to say who it is.
const WHILE_SEARCHING: Duration = Duration::from_millis(50);

/// Until nobody asks any more.
pub(super) async fn run(shared: Shared, mut asks: mpsc::Receiver<Ask>) {
    let shared = Arc::new(shared);
    let mut sockets = JoinSet::new();
    let mut firsts = Vec::new();
    for candidate in candidates(&shared.settings) {
        let (sender, receiver) = oneshot::channel();
        firsts.push((candidate.clone(), receiver));
        sockets.spawn(keep_trying(candidate, Arc::clone(&shared), sender));
    }
    let searched = CancellationToken::new();
    let mut searching = JoinSet::new();
    searching.spawn(search(firsts, Arc::clone(&shared), searched.clone()));
    let mut questions = JoinSet::new();
    let mut claims = JoinSet::new();
    let mut allowance = Allowance::per_second(ASKS_PER_SECOND);
    let mut of_claims = Allowance::per_second(CLAIMS_PER_SECOND);
    let began = Instant::now();
    loop {
        tokio::select! {
            // Those of the search wait for room: who answers them all is yet to be found.
            ask = asks.recv(), if questions.len() < ASKS_AT_ONCE || searched.is_cancelled() => {
                let Some(Ask { id, by_user }) = ask else { return };
                count(&shared.counters.asks);
                let now = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                let (under_way, at_once, allowance) = if by_user {
                    (&mut claims, CLAIMS_AT_ONCE, &mut of_claims)
                } else {
                    (&mut questions, ASKS_AT_ONCE, &mut allowance)
                };
                if under_way.len() < at_once && allowance.take(now) {
                    under_way.spawn(ask_all(id, Arc::clone(&shared), searched.clone()));
                    continue;
                }
                count(&shared.counters.asks_refused);
                let refused = News::Refused { id, reason: reason::ASKS_EXHAUSTED };
                if shared.news.send(refused).await.is_err() {
                    return;
                }
            }
            Some(_) = questions.join_next() => {}
            Some(_) = claims.join_next() => {}
            Some(_) = searching.join_next() => {}
        }
    }
}

/// Waits for the first try of each, and says what came of it.
async fn search(
    firsts: Vec<(Candidate, oneshot::Receiver<First>)>,
    shared: Arc<Shared>,
    searched: CancellationToken,
) {
    let until = Instant::now() + SEARCH;
    let mut found = Vec::new();
    let mut left: Vec<(PathBuf, String)> = Vec::new();
    for (Candidate { socket, .. }, first) in firsts {
        match time::timeout_at(until, first).await {
            Ok(Ok(First::Found(engine))) => found.push(engine),
            Ok(Ok(First::Left { socket, why })) => left.push((socket, why.to_string())),
            Ok(Err(_)) => left.push((socket, "lost at once".to_owned())),
            Err(_) => left.push((socket, "no answer so far".to_owned())),
        }
    }
    searched.cancel();
    let left = list(&left);
    if found.is_empty() {
        tracing::warn!(left, "no container runtime answers: containers have no names until one does");
    } else {
        for engine in found {
            let (kind, version, socket) = (engine.kind.word(), &engine.version, engine.socket.display());
            tracing::info!(engine = kind, version, %socket, "containers are described");
        }
        tracing::info!(left, "other sockets of container runtimes");
    }
    // Nobody may listen any more.
    let _ = shared.news.send(News::Searched).await;
}

fn list(left: &[(PathBuf, String)]) -> String {
    let mut list = String::new();
    for (socket, why) in left {
        let comma = if list.is_empty() { "" } else { ", " };
        // To a string.
        let _ = write!(list, "{comma}{}: {why}", socket.display());
    }
    list
}

/// Asks every runtime, and again while none of them knows it.
async fn ask_all(id: Arc<str>, shared: Arc<Shared>, searched: CancellationToken) {
    let mut pauses = PAUSES.into_iter();
    let reason = loop {
        let live = shared.live();
        // Before the answer: who is found meanwhile has not been asked.
        let searching = !searched.is_cancelled();
        let reason = match (live.is_empty(), shared.any_silent()) {
            (true, false) => break reason::NO_RUNTIME,
            // May be about to say who it is.
            (true, true) => reason::RUNTIME_SILENT,
            (false, _) => match ask_once(&id, live).await {
                Ok(()) => return,
                Err(reason::RUNTIME_UNKNOWN) => reason::RUNTIME_UNKNOWN,
                Err(reason) => break reason,
            },
        };
        match pauses.next() {
            Some(pause) => time::sleep(pause).await,
            None if searching => time::sleep(WHILE_SEARCHING).await,
            None => break reason,
        }
    };
    let _ = shared.news.send(News::Refused { id, reason }).await;
}

async fn ask_once(id: &Arc<str>, live: Vec<mpsc::Sender<Question>>) -> Result<(), &'static str> {
    let mut answers = JoinSet::new();
    for runtime in live {
        let (answer, receiver) = oneshot::channel();
        let question = Question { id: Arc::clone(id), answer };
        answers.spawn(async move {
            if runtime.send(question).await.is_err() {
                return Err(reason::RUNTIME_LOST);
            }
            receiver.await.unwrap_or(Err(reason::RUNTIME_LOST))
        });
    }
    let mut told = reason::RUNTIME_UNKNOWN;
    while let Some(answer) = answers.join_next().await {
        match answer {
            Ok(Ok(())) => return Ok(()),
            // One that does not know it says less than one that could not answer.
            Ok(Err(reason)) if reason != reason::RUNTIME_UNKNOWN => told = reason,
            Ok(Err(_)) | Err(_) => {}
        }
    }
    Err(told)
}
