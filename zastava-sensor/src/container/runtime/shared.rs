//! What all sockets share: the way out for news, and who of them answers.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;

use super::{News, Settings, candidate::Left, counts::Counters, kubernetes::Kubernetes, session::Question};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Arc<Settings>,
    pub(super) counters: Arc<Counters>,
    pub(super) news: mpsc::Sender<News>,
    /// `None`: is not to be asked, or not there.
    pub(super) kubernetes: Option<Arc<Kubernetes>>,
    sockets: Mutex<Sockets>,
}

#[derive(Debug, Default)]
struct Sockets {
    /// By device and inode: one socket may have several paths, and must not be told twice.
    taken: HashMap<(u64, u64), Taken>,
    /// Take connections and do not answer.
    silent: BTreeSet<PathBuf>,
}

#[derive(Debug)]
struct Taken {
    socket: PathBuf,
    /// `None`: still to be found out who is there.
    questions: Option<mpsc::Sender<Question>>,
}

impl Shared {
    pub(super) fn new(settings: Settings, counters: Arc<Counters>, news: mpsc::Sender<News>) -> Self {
        let kubernetes = if settings.kubernetes { Kubernetes::in_cluster().map(Arc::new) } else { None };
        Self { settings: Arc::new(settings), counters, news, kubernetes, sockets: Mutex::default() }
    }

    /// Whom to ask.
    pub(super) fn live(&self) -> Vec<mpsc::Sender<Question>> {
        self.sockets().taken.values().filter_map(|taken| taken.questions.clone()).collect()
    }

    /// Whether somebody takes connections and has not said who it is.
    pub(super) fn any_silent(&self) -> bool {
        let sockets = self.sockets();
        !sockets.silent.is_empty() || sockets.taken.values().any(|taken| taken.questions.is_none())
    }

    pub(super) fn is_silent(&self, socket: &Path) {
        self.sockets().silent.insert(socket.to_owned());
    }

    pub(super) fn answers(&self, socket: &Path) {
        self.sockets().silent.remove(socket);
    }

    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket taken by one path; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    inode: (u64, u64),
}

impl Place {
    pub(super) fn of(socket: &Path, shared: &Arc<Shared>) -> Result<Self, Left> {
        let file = std::fs::metadata(socket).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Left::Absent,
            other => Left::Unreachable(other),
        })?;
        if !file.file_type().is_socket() {
            return Err(Left::NoSocket);
        }
        let inode = (file.dev(), file.ino());
        let mut sockets = shared.sockets();
        if let Some(other) = sockets.taken.get(&inode) {
            return Err(Left::Known(other.socket.clone()));
        }
        sockets.taken.insert(inode, Taken { socket: socket.to_owned(), questions: None });
        Ok(Self { shared: Arc::clone(shared), inode })
    }

    /// From now on it takes questions.
    pub(super) fn open(&self, questions: mpsc::Sender<Question>) {
        if let Some(taken) = self.shared.sockets().taken.get_mut(&self.inode) {
            taken.questions = Some(questions);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.sockets().taken.remove(&self.inode);
    }
}
