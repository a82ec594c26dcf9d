//! Accepts connections up to a number, and ends without anybody losing a request.

use std::{io, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zastava_common::metric;

use super::{
    Certificates,
    connection::{Limits, Peer, Serving},
    places::Places,
};

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
    pub(super) limits: Limits,
}

impl Listener {
    pub async fn bind(
        address: SocketAddr,
        router: Router,
        max_connections: usize,
    ) -> Result<Self, ServerError> {
        let socket =
            TcpListener::bind(address).await.map_err(|source| ServerError::Bind { address, source })?;
        Ok(Self { socket, router, max_connections, limits: Limits::default() })
    }

    /// Where it listens, also when the port was left to the kernel.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop`; then what was begun is ended. `certificates`: absent, it is plain text.
    pub async fn run(self, certificates: Option<Certificates>, stop: CancellationToken) {
        let Self { socket, router, max_connections, limits } = self;
        let places = Places::new(max_connections);
        let serving = Serving { router, certificates, limits, stop: stop.clone() };
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
                Err(error) => {
                    refused("accept");
                    tracing::warn!("cannot accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // More than are served are closed at once, so that none waits in our memory.
            let Some(place) = places.take(peer) else {
                refused("too_many");
                continue;
            };
            let serving = serving.clone();
            connections.spawn(async move {
                metrics::gauge!(metric::ADMISSION_CONNECTIONS).increment(1);
                tokio::select! {
                    () = serving.connection(stream, Peer(peer)) => {}
                    () = place.lost() => refused("displaced"),
                }
                metrics::gauge!(metric::ADMISSION_CONNECTIONS).decrement(1);
                drop(place);
            });
        }
        drop(socket);
        connections.close();
        if timeout(limits.last, connections.wait()).await.is_err() {
            tracing::warn!("connections were still open when the time to end was over");
        }
    }
}

pub(super) fn refused(cause: &'static str) {
    metrics::counter!(metric::ADMISSION_CONNECTION_FAILURES, "cause" => cause).increment(1);
}
