use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tower::Service;

use super::guard::Guard;

/// Per address.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

/// Opens TCP connections to addresses that the guard allows.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    guard: Arc<Guard>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the URL has no host")]
    NoHost,
    #[error("its name has no address: {0}")]
    Name(io::Error),
    #[error("its address {0} is not allowed")]
    Refused(IpAddr),
    #[error("no connection: {0}")]
    Tcp(io::Error),
}

impl Connector {
    pub(super) fn new(guard: Arc<Guard>) -> Self {
        Self { guard }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let guard = Arc::clone(&self.guard);
        Box::pin(async move { connect(&guard, &uri).await.map(TokioIo::new) })
    }
}

async fn connect(guard: &Guard, uri: &Uri) -> Result<TcpStream, ConnectError> {
    let host = uri.host().ok_or(ConnectError::NoHost)?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = lookup_host((bare, port)).await.map_err(ConnectError::Name)?;
    let (allowed, refused): (Vec<SocketAddr>, Vec<SocketAddr>) =
        found.partition(|found| guard.allows(host, port, found.ip()));
    let mut last = match refused.first() {
        Some(refused) => ConnectError::Refused(refused.ip()),
        None => ConnectError::Name(io::ErrorKind::NotFound.into()),
    };
    for address in allowed.into_iter().take(MAX_ADDRESSES) {
        match tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // An answer is small and waited for.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = ConnectError::Tcp(error),
            Err(_) => last = ConnectError::Tcp(io::ErrorKind::TimedOut.into()),
        }
    }
    Err(last)
}
