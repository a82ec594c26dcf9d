//! One socket at which a runtime may answer: tried until it does, and again when it has gone.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{self, Instant},
};
use zastava_common::config;

use super::{
    Engine, EngineKind, News, Settings,
    backoff::Backoff,
    client::{Client, Failure},
    containerd::Containerd,
    counts::count,
    cri::Cri,
    docker::Docker,
    grpc,
    memory::Memory,
    session::{End, Session, away},
    shared::{Place, Shared},
};

/// Longest pause between two tries: a socket that comes into being is seen so soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that was lost sooner is tried again after a longer and longer pause.
const STABLE: Duration = Duration::from_secs(10);
/// Questions that wait for one runtime.
const QUESTIONS: usize = 64;

/// Where runtimes have their sockets. A sensor in a container has them under `/host` as well, as a rule.
const USUAL: [(&str, Speaks); 7] = [
    ("/run/containerd/containerd.sock", Speaks::Grpc),
    // RKE2 has it there too.
    ("/run/k3s/containerd/containerd.sock", Speaks::Grpc),
    ("/run/k0s/containerd.sock", Speaks::Grpc),
    ("/var/snap/microk8s/common/run/containerd.sock", Speaks::Grpc),
    ("/run/crio/crio.sock", Speaks::Grpc),
    ("/run/docker.sock", Speaks::Http),
    ("/run/podman/podman.sock", Speaks::Http),
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Speaks {
    Grpc,
    Http,
    /// Not known: both are tried.
    Either,
}

#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) socket: PathBuf,
    speaks: Speaks,
}

/// All sockets to be looked at.
pub(super) fn candidates(settings: &Settings) -> Vec<Candidate> {
    let own =
        settings.sockets.iter().map(|socket| Candidate { socket: socket.clone(), speaks: Speaks::Either });
    let usual = USUAL.iter().filter(|(path, speaks)| may_be(settings.engine, path, *speaks));
    let usual = usual.flat_map(|(path, speaks)| {
        [PathBuf::from(path), PathBuf::from(format!("/host{path}"))]
            .map(|socket| Candidate { socket, speaks: *speaks })
    });
    if settings.engine == config::Engine::None { Vec::new() } else { own.chain(usual).collect() }
}

fn may_be(engine: config::Engine, path: &str, speaks: Speaks) -> bool {
    match engine {
        config::Engine::Auto => true,
        config::Engine::Containerd => path.ends_with("containerd.sock"),
        config::Engine::CriO => path.ends_with("crio.sock"),
        config::Engine::Docker => speaks == Speaks::Http,
        config::Engine::None => false,
    }
}

/// What became of the first try.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum First {
    Found(Arc<Engine>),
    Left { socket: PathBuf, why: Left },
}

/// Why a socket was left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Left {
    Absent,
    NoSocket,
    Unreachable(io::ErrorKind),
    /// By another path.
    Known(PathBuf),
    /// Not the configured one.
    Unwanted(Arc<Engine>),
    Failed(Failure),
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("not there"),
            Self::NoSocket => f.write_str("no socket"),
            Self::Unreachable(kind) => write!(f, "{kind}"),
            Self::Known(other) => write!(f, "the same as {}", other.display()),
            Self::Unwanted(engine) => {
                write!(f, "{} {}, which the configuration does not name", engine.kind.word(), engine.version)
            }
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

/// Tries for as long as it is let. `first` hears of the first try, when what was found is listed.
pub(super) async fn keep_trying(candidate: Candidate, shared: Arc<Shared>, first: oneshot::Sender<First>) {
    let mut trial = Trial { candidate, shared, first: Some(first), memory: Memory::new(), told: None };
    let mut backoff = Backoff::up_to(LONGEST_PAUSE);
    loop {
        let began = Instant::now();
        match trial.once().await {
            Ok(End::Unheard) => return,
            Ok(End::Failed(_)) if began.elapsed() >= STABLE => backoff.reset(),
            Ok(End::Failed(_)) => {}
            Err(left) => trial.left(left),
        }
        time::sleep(backoff.pause()).await;
    }
}

struct Trial {
    candidate: Candidate,
    shared: Arc<Shared>,
    first: Option<oneshot::Sender<First>>,
    memory: Memory,
    /// Why it was left the last time, so that it is told once.
    told: Option<Left>,
}

impl Trial {
    /// From the connection to its end.
    async fn once(&mut self) -> Result<End, Left> {
        let socket = self.candidate.socket.clone();
        let place = Place::of(&socket, &self.shared)?;
        let settings = Arc::clone(&self.shared.settings);
        let speaks = self.candidate.speaks;
        if speaks != Speaks::Grpc {
            match Docker::identify(&socket, &settings).await {
                Ok(docker) => return self.session(docker, place).await,
                // Nor will it answer in another way.
                Err(failure) if speaks == Speaks::Http || failure == Failure::Silent => {
                    return Err(Left::Failed(failure));
                }
                Err(_) => {}
            }
        }
        let channel = grpc::connect(&socket).await.map_err(Left::Failed)?;
        match Containerd::identify(channel.clone(), &socket, &settings).await {
            Ok(containerd) => self.session(containerd, place).await,
            Err(Failure::Unimplemented(_)) => {
                let cri = Cri::identify(channel, &socket, &settings).await.map_err(Left::Failed)?;
                self.session(cri, place).await
            }
            Err(failure) => Err(Left::Failed(failure)),
        }
    }

    async fn session<C: Client>(&mut self, client: C, place: Place) -> Result<End, Left> {
        let engine = Arc::clone(client.engine());
        if !wanted(self.shared.settings.engine, engine.kind) {
            return Err(Left::Unwanted(engine));
        }
        let (questions, mut asked) = mpsc::channel(QUESTIONS);
        place.open(questions);
        self.shared.answers(&self.candidate.socket);
        self.told = None;
        count(&self.shared.counters.connections);
        let (kind, version, socket) = (engine.kind.word(), &engine.version, engine.socket.display());
        tracing::info!(engine = kind, version, %socket, "a container runtime answers");
        let first = self.first.take();
        let found = First::Found(Arc::clone(&engine));
        let complete = || {
            if let Some(first) = first {
                // Whoever waited for it may have waited long enough.
                let _ = first.send(found);
            }
        };
        let session = Session::new(client, &self.shared, &mut self.memory);
        let end = session.run(&mut asked, complete).await;
        drop(place);
        if let End::Failed(failure) = &end {
            count(&self.shared.counters.disconnections);
            tracing::warn!(engine = kind, %socket, %failure, "a container runtime is lost: trying again");
            let reason = away(&end);
            let lost = News::Disconnected { engine: Arc::clone(&engine), reason };
            if self.shared.news.send(lost).await.is_err() {
                return Ok(End::Unheard);
            }
        }
        Ok(end)
    }

    fn left(&mut self, why: Left) {
        let socket = &self.candidate.socket;
        if why == Left::Failed(Failure::Silent) {
            self.shared.is_silent(socket);
        } else {
            self.shared.answers(socket);
        }
        if let Some(first) = self.first.take() {
            let _ = first.send(First::Left { socket: socket.clone(), why: why.clone() });
        } else if self.told.as_ref() != Some(&why) {
            tracing::debug!(socket = %socket.display(), %why, "no container runtime there");
        }
        self.told = Some(why);
    }
}

fn wanted(engine: config::Engine, kind: EngineKind) -> bool {
    match engine {
        config::Engine::Auto => true,
        config::Engine::Containerd => kind == EngineKind::Containerd,
        config::Engine::CriO => kind == EngineKind::CriO,
        config::Engine::Docker => matches!(kind, EngineKind::Docker | EngineKind::Podman),
        config::Engine::None => false,
    }
}
