//! gRPC over a unix socket.

use std::{error::Error as _, path::Path, sync::Arc};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tower::service_fn;

use super::client::{Failure, in_time};

/// Largest message, in bytes: what containerd and CRI-O send at most.
pub(super) const MAX_MESSAGE: usize = 16 << 20;
/// Most of a runtime's error text that is repeated, in characters.
const MAX_COMPLAINT: usize = 200;

/// Connects, which says nothing about whether anyone will answer.
pub(super) async fn connect(socket: &Path) -> Result<Channel, Failure> {
    let socket: Arc<Path> = socket.into();
    let connector = service_fn(move |_| {
        let socket = Arc::clone(&socket);
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // The address is the :authority of the requests; containerd refuses odd ones.
    let endpoint = Endpoint::from_static("http://localhost");
    let connecting = endpoint.connect_with_connector(connector);
    in_time(async { connecting.await.map_err(|error| Failure::Lost(root_cause(&error))) }).await
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let complaint = || plain(status.message());
        match status.code() {
            Code::NotFound => Self::Unknown,
            Code::Unimplemented => Self::Unimplemented(complaint()),
            Code::Unavailable | Code::Cancelled => Self::Lost(complaint()),
            Code::DeadlineExceeded => Self::Silent,
            // tonic's own, on reading; and grpc-go's, on sending.
            Code::OutOfRange | Code::ResourceExhausted => Self::TooLarge("a message of more than 16 MiB"),
            // tonic's own: what arrived was no such message.
            Code::Internal if status.message().contains("decode") => Self::Malformed("a message"),
            // A connection that broke in the middle.
            _ if status.source().is_some() => Self::Lost(complaint()),
            _ => Self::Refused(complaint()),
        }
    }
}

/// The innermost error: that no file is there, or nobody listens.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    plain(&innermost.to_string())
}

/// Fit for a log: no control characters, not long.
pub(super) fn plain(text: &str) -> String {
    text.chars().take(MAX_COMPLAINT).flat_map(char::escape_debug).collect()
}
