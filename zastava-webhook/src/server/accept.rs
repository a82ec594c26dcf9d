//! Connections: accepted up to a number, each with a bound on its handshake and its headers, and ended without anybody
//! losing a request.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zastava_common::metric;

use super::Certificates;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest timeout that a webhook can have.
const LAST_REQUEST: Duration = Duration::from_secs(30);
/// Requests of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 256;
/// Bytes of headers.
const MAX_HEAD: u32 = 16 << 10;
/// After an error of `accept` (no file descriptors left, as a rule).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot listen on {address}: {source}; zastava.admission.server says where")]
    Bind { address: SocketAddr, source: io::Error },
}

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    router: Router,
    max_connections: usize,
}

impl Listener {
    pub async fn bind(
        address: SocketAddr,
        router: Router,
        max_connections: usize,
    ) -> Result<Self, ServerError> {
        let socket =
            TcpListener::bind(address).await.map_err(|source| ServerError::Bind { address, source })?;
        Ok(Self { socket, router, max_connections })
    }

    /// Where it listens, also when the port was left to the kernel.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop`; then what was begun is ended. `certificates`: absent, it is plain text.
    pub async fn run(self, certificates: Option<Certificates>, stop: CancellationToken) {
        let Self { socket, router, max_connections } = self;
        let slots = Arc::new(Semaphore::new(max_connections));
        let graceful = GracefulShutdown::new();
        let handshakes = TaskTracker::new();
        // A handshake that is under way at the end gets its watcher from here.
        let (watchers, mut served) = tokio::sync::mpsc::channel(1);
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = socket.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    refused("accept");
                    tracing::warn!("cannot accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // More than are served wait in the kernel's queue and not in our memory.
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                refused("too_many");
                continue;
            };
            let (router, certificates, watcher) = (router.clone(), certificates.clone(), graceful.watcher());
            let alive = watchers.clone();
            handshakes.spawn(async move {
                metrics::gauge!(metric::ADMISSION_CONNECTIONS).increment(1);
                serve(stream, router, certificates, watcher).await;
                metrics::gauge!(metric::ADMISSION_CONNECTIONS).decrement(1);
                drop((slot, alive));
            });
        }
        drop((socket, watchers));
        let ended = timeout(LAST_REQUEST, async {
            graceful.shutdown().await;
            let _: Option<()> = served.recv().await;
        });
        if ended.await.is_err() {
            tracing::warn!("connections were still open when the time to end was over");
        }
    }
}

async fn serve(
    stream: TcpStream,
    router: Router,
    certificates: Option<Certificates>,
    watcher: hyper_util::server::graceful::Watcher,
) {
    // An answer is one small write; there is nothing to gather.
    let _ = stream.set_nodelay(true);
    let Some(certificates) = certificates else { return connection(stream, router, watcher).await };
    let handshake = TlsAcceptor::from(certificates.config()).accept(stream);
    match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => connection(stream, router, watcher).await,
        Ok(Err(error)) => {
            refused("handshake");
            tracing::debug!("no TLS with a client: {error}");
        }
        Err(_) => refused("handshake_timeout"),
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        refused("http");
        tracing::debug!("a connection broke: {error}");
    }
}

fn refused(cause: &'static str) {
    metrics::counter!(metric::ADMISSION_CONNECTION_FAILURES, "cause" => cause).increment(1);
}
