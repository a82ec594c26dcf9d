//! One connection, from its first byte to its last. None is kept for a client that asks nothing.

use std::{
    net::IpAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::Router;
use hyper::{
    server::conn::{http1, http2},
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Certificates, accept::refused};

/// Requests of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 256;
/// Bytes of headers.
const MAX_HEAD: u32 = 16 << 10;
/// Bytes that are read of an HTTP/1 connection before somebody looks at them: what a head may have at most.
const MAX_BUFFER: usize = 64 << 10;

/// How long a connection may do nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) handshake: Duration,
    /// Until the head of the first request is there. Kubernetes' own servers have 32 s.
    pub(super) first: Duration,
    /// Between the end of a request and the head of the next. Go's clients, the API server among them, close what they
    /// have not used for 90 s: whoever waits longer never closes what a client is about to use.
    pub(super) idle: Duration,
    /// After so much silence an HTTP/2 client is asked whether it is there, and given up when it does not say so
    /// `pong` later: as Kubernetes' clients do it (`ReadIdleTimeout` and `PingTimeout` in apimachinery's `net/http.go`).
    pub(super) ping: Duration,
    pub(super) pong: Duration,
    /// For the last bytes, once a connection is to end. No webhook has a longer timeout.
    pub(super) last: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            first: Duration::from_secs(30),
            idle: Duration::from_mins(2),
            ping: Duration::from_secs(30),
            pong: Duration::from_secs(15),
            last: Duration::from_secs(30),
        }
    }
}

/// Who is at the other end, as every request of a connection has it among its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// What every connection is served with.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) router: Router,
    /// `None`: plain text.
    pub(super) certificates: Option<Certificates>,
    pub(super) limits: Limits,
    pub(super) stop: CancellationToken,
}

impl Serving {
    pub(super) async fn connection(self, stream: TcpStream, peer: Peer) {
        // An answer is one small write; there is nothing to gather.
        let _ = stream.set_nodelay(true);
        let Some(certificates) = &self.certificates else { return self.http1(stream, peer).await };
        let handshake = TlsAcceptor::from(certificates.config()).accept(stream);
        match timeout(self.limits.handshake, handshake).await {
            // Over TLS the protocol is agreed on before (RFC 9113, section 3.2), so that nothing has to be guessed.
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                self.http2(stream, peer).await;
            }
            Ok(Ok(stream)) => self.http1(stream, peer).await,
            Ok(Err(error)) => {
                refused("handshake");
                tracing::debug!("no TLS with a client: {error}");
            }
            Err(_) => refused("handshake_timeout"),
        }
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, peer: Peer) {
        let activity = Activity::default();
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // `attend` knows an idle connection from a slow head; this would not.
            .header_read_timeout(None)
            .max_buf_size(MAX_BUFFER)
            .serve_connection(TokioIo::new(stream), activity.counts(self.router.clone(), peer));
        self.attend(connection, &activity).await;
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, peer: Peer) {
        let activity = Activity::default();
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD)
            .keep_alive_interval(self.limits.ping)
            .keep_alive_timeout(self.limits.pong)
            .serve_connection(TokioIo::new(stream), activity.counts(self.router.clone(), peer));
        self.attend(connection, &activity).await;
    }

    /// Keeps a connection as long as it is used. Its end is announced before (GOAWAY, `Connection: close`), and what is
    /// under way then is answered.
    async fn attend<C: GracefulConnection<Error = hyper::Error>>(self, connection: C, activity: &Activity) {
        let Self { limits, stop, .. } = self;
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = stop.cancelled() => None,
            served = activity.quiet(limits.first, limits.idle) => {
                if !served {
                    refused("silent");
                }
                None
            }
        };
        let ended = if let Some(ended) = ended {
            ended
        } else {
            connection.as_mut().graceful_shutdown();
            activity.rest();
            tokio::select! {
                ended = connection => ended,
                _ = activity.quiet(limits.last, limits.last) => Ok(()),
            }
        };
        if let Err(error) = ended {
            refused("http");
            tracing::debug!("a connection broke: {error}");
        }
    }
}

/// Whether requests of one connection are under way.
#[derive(Clone, Debug, Default)]
struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    under_way: usize,
    /// There was a request.
    served: bool,
    /// When the last of those under way ended; before the first, since when there is a connection.
    since: Instant,
}

impl Default for State {
    fn default() -> Self {
        Self { under_way: 0, served: false, since: Instant::now() }
    }
}

/// A request under way, until it is dropped.
struct UnderWay(Activity);

impl Activity {
    /// The router, with an eye on what it has to do.
    fn counts(
        &self,
        router: Router,
        peer: Peer,
    ) -> impl hyper::service::HttpService<
        hyper::body::Incoming,
        ResBody = axum::body::Body,
        Error = std::convert::Infallible,
        Future: Send,
    > + use<> {
        let (activity, router) = (self.clone(), TowerToHyperService::new(router));
        service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer);
            let under_way = activity.begin();
            let answer = router.call(request);
            async move {
                let answer = answer.await;
                drop(under_way);
                answer
            }
        })
    }

    fn begin(&self) -> UnderWay {
        let mut state = self.state();
        state.under_way += 1;
        state.served = true;
        UnderWay(self.clone())
    }

    /// What was idle until now begins to be so.
    fn rest(&self) {
        self.state().since = Instant::now();
    }

    /// Until nothing has been under way for so long: `first` before there was a request, else `idle`. Whether there was
    /// one.
    async fn quiet(&self, first: Duration, idle: Duration) -> bool {
        loop {
            let now = Instant::now();
            let (until, served) = {
                let State { under_way, served, since } = *self.state();
                let limit = if served { idle } else { first };
                // What is under way now ends no earlier.
                (if under_way == 0 { since + limit } else { now + limit }, served)
            };
            if until <= now {
                return served;
            }
            // The first request may change the limit meanwhile.
            sleep_until(until.min(now + first.min(idle))).await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way -= 1;
        state.since = Instant::now();
    }
}
