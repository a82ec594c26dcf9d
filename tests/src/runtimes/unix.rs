//! gRPC over a unix socket.

use std::{path::Path, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Error, Uri};
use tower::service_fn;

/// A connection to whoever serves the socket. Each answer must begin within `patience`, if there is one.
pub async fn connect(socket: &Path, patience: Option<Duration>) -> Result<Channel, Error> {
    let path = socket.to_owned();
    // The address is that of a local client: only the connector knows the socket.
    let endpoint = Endpoint::from_static("http://localhost");
    let endpoint = match patience {
        Some(patience) => endpoint.timeout(patience),
        None => endpoint,
    };
    endpoint
        .connect_with_connector(service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        }))
        .await
}
