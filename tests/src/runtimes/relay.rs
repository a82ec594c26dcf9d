//! Stands before a containerd and hides all of it but the Container Runtime Interface: a real runtime for those who know
//! nothing else of it.
//!
//! What is let through is forwarded as it is, with its streams and trailers; the rest is answered as by a server that
//! does not have it.

use std::{
    collections::BTreeMap,
    fmt,
    os::unix::net::UnixStream as Waker,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use hyper::{Request, Response, body::Incoming, client, server, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{UnixListener, UnixStream},
    runtime::Builder,
};
use tonic::{Status, body::Body};

/// What is forwarded.
const CRI: [&str; 2] = ["/runtime.v1.RuntimeService/", "/runtime.v1.ImageService/"];
const PAUSE: Duration = Duration::from_millis(20);

/// Serves until it is dropped.
pub struct Relay {
    pub socket: PathBuf,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// How often each method was asked for, whether it is let through or not.
    asked: Mutex<BTreeMap<String, usize>>,
    closed: AtomicBool,
}

impl Relay {
    /// At `socket`, before whoever listens at `behind`.
    pub fn start(socket: PathBuf, behind: &Path) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let within = runtime.enter();
        let listener =
            UnixListener::bind(&socket).with_context(|| format!("cannot listen at {}", socket.display()))?;
        drop(within);
        let shared = Arc::new(Shared::default());
        let (behind, for_thread) = (Arc::from(behind), Arc::clone(&shared));
        // With the executor all its connections end.
        let serving = thread::spawn(move || runtime.block_on(serve(listener, behind, for_thread)));
        Ok(Self { socket, shared, serving: Some(serving) })
    }

    /// How often so far a method was asked for: `/runtime.v1.RuntimeService/ListContainers`.
    pub fn asked(&self, method: &str) -> usize {
        self.shared.asked().get(method).copied().unwrap_or_default()
    }

    /// Waits until a method was asked for so often.
    pub fn await_asked(&self, method: &str, times: usize, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while self.asked(method) < times {
            if Instant::now() > deadline {
                bail!("{method} was asked for {} times, not {times}: {self:?}", self.asked(method));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Relay");
        shown.field("socket", &self.socket).field("asked", &*self.shared.asked()).finish_non_exhaustive()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(Waker::connect(&self.socket));
        let _ = self.serving.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn asked(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: UnixListener, behind: Arc<Path>, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        if shared.closed.load(Ordering::Relaxed) {
            return;
        }
        // A runtime that is away is no more than a connection that ends.
        tokio::spawn(connection(stream, Arc::clone(&behind), Arc::clone(&shared)));
    }
}

/// One connection to the runtime for each connection here: if one ends, so does the other.
async fn connection(stream: UnixStream, behind: Arc<Path>, shared: Arc<Shared>) -> Result<()> {
    let (sender, driver) = client::conn::http2::handshake(
        TokioExecutor::new(),
        TokioIo::new(UnixStream::connect(behind).await?),
    )
    .await?;
    let service = service_fn(move |request: Request<Incoming>| {
        let mut sender = sender.clone();
        let path = request.uri().path().to_owned();
        let forwarded = CRI.iter().any(|service| path.starts_with(service));
        let service = path.split('/').nth(1).unwrap_or_default();
        let refused = Status::unimplemented(format!("unknown service {service}"));
        *shared.asked().entry(path).or_default() += 1;
        async move {
            if forwarded {
                sender.send_request(request).await.map(|answer| answer.map(Body::new))
            } else {
                Ok::<Response<Body>, hyper::Error>(refused.into_http())
            }
        }
    });
    let serving = server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service);
    let serving = tokio::spawn(serving);
    let ended = driver.await;
    serving.abort();
    Ok(ended?)
}
