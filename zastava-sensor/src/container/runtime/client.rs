//! What all runtimes have in common: a few questions, and why one was not answered.

use std::{
    future::Future,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{sync::mpsc, time};

use super::{Engine, Stop};
use crate::container::{description::Description, reason};

/// How long one question may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// A container in its runtime's terms.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Key {
    pub(super) id: Arc<str>,
    /// containerd's namespace. `None`: any, or the runtime has none.
    pub(super) namespace: Option<Arc<str>>,
}

/// A runtime's event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) what: What,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum What {
    /// Made, or changed: to be described.
    Changed,
    /// Without a pid, the description tells it.
    Started {
        pid: Option<u32>,
        rootfs: Option<PathBuf>,
        at: Option<SystemTime>,
    },
    /// Without an exit, the description tells it.
    Stopped(Option<Stop>),
    Removed,
    OutOfMemory,
}

/// A description, and how the container ended, if it did.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) description: Description,
    pub(super) stop: Option<Stop>,
}

/// A runtime at a socket. Cheap to clone; every question has its time limit, and no answer is larger than what the
/// runtime itself takes.
pub(super) trait Client: Clone + Send + Sync + 'static {
    fn engine(&self) -> &Arc<Engine>;

    /// Whether it still answers.
    fn alive(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Sends what changes, in order, until the stream breaks. Waits while nobody receives.
    fn watch(&self, changes: mpsc::Sender<Change>) -> impl Future<Output = Failure> + Send;

    /// All that there are. Where they are too many or too large to be told ([`Failure::TooLarge`]), each can be asked
    /// about all the same.
    fn list(&self) -> impl Future<Output = Result<Vec<Key>, Failure>> + Send;

    fn describe(&self, key: &Key) -> impl Future<Output = Result<Told, Failure>> + Send;
}

/// Why a runtime did not tell.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Failure {
    #[error("no connection: {0}")]
    Lost(String),
    #[error("no answer within {} s", CALL_TIMEOUT.as_secs())]
    Silent,
    #[error("it does not know the container")]
    Unknown,
    #[error("it does not offer this: {0}")]
    Unimplemented(String),
    #[error("it refused: {0}")]
    Refused(String),
    #[error("its answer is malformed: {0}")]
    Malformed(&'static str),
    #[error("its answer is too large: {0}")]
    TooLarge(&'static str),
}

impl Failure {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Lost(_) => reason::RUNTIME_LOST,
            Self::Silent => reason::RUNTIME_SILENT,
            Self::Unknown => reason::RUNTIME_UNKNOWN,
            Self::Unimplemented(_) | Self::Refused(_) => reason::RUNTIME_REFUSED,
            Self::Malformed(_) => reason::ANSWER_MALFORMED,
            Self::TooLarge(_) => reason::ANSWER_TOO_LARGE,
        }
    }
}

/// The answer, or [`Failure::Silent`] after [`CALL_TIMEOUT`].
pub(super) async fn in_time<T>(call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    time::timeout(CALL_TIMEOUT, call).await.unwrap_or(Err(Failure::Silent))
}
