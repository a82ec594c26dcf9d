//! The `Watch` service on the unix socket.

#[cfg(test)]
mod tests;

use std::{io, pin::Pin, sync::Arc, time::Duration};

use tokio::net::UnixListener;
use tokio_stream::{Stream, StreamExt as _, wrappers::UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, transport::Server};
use zastava_common::event::v1::{
    Event, WatchRequest, WatchResponse,
    event_stream_server::{EventStream, EventStreamServer},
    watch_response::Message,
};

use super::{Socket, SocketError, filter::Filter, hub::Hub, queue::Item};

/// Bytes of a request: more than any filter within its bounds.
const MAX_REQUEST: usize = 1 << 20;
/// How long consumers may take at the end to read what waits for them.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("cannot wait for consumers: {0}")]
    Listen(#[from] io::Error),
    #[error("the service for consumers ended: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// Serves consumers until `stop`; then they get what waits for them, and the end.
pub async fn serve(socket: Socket, hub: Arc<Hub>, stop: CancellationToken) -> Result<(), ServeError> {
    let connections = UnixListenerStream::new(UnixListener::from_std(socket.listener()?)?);
    let service =
        EventStreamServer::new(Service { hub: Arc::clone(&hub) }).max_decoding_message_size(MAX_REQUEST);
    let serving = Server::builder()
        .add_service(service)
        .serve_with_incoming_shutdown(connections, stop.clone().cancelled_owned());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        () = stop.cancelled() => hub.close(),
    }
    // Who does not read does not keep the sensor from ending.
    tokio::time::timeout(GRACE, serving).await.unwrap_or(Ok(()))?;
    Ok(())
}

struct Service {
    hub: Arc<Hub>,
}

#[tonic::async_trait]
impl EventStream for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let filter = Filter::try_from(request.into_inner())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let events =
            self.hub.subscribe(filter).map_err(|error| Status::resource_exhausted(error.to_string()))?;
        Ok(Response::new(Box::pin(events.map(|item| Ok(response(item))))))
    }
}

fn response(item: Item<Arc<Event>>) -> WatchResponse {
    WatchResponse {
        message: Some(match item {
            // The last consumer takes the event itself.
            Item::Value(event) => Message::Event(Arc::unwrap_or_clone(event)),
            Item::Missed(count) => Message::Missed(count),
        }),
    }
}
