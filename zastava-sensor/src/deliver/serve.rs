//! The services on the unix socket: events as they come, and the containers that run.

#[cfg(test)]
mod tests;

use std::{io, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    net::UnixListener,
    sync::{mpsc, oneshot},
};
use tokio_stream::{Stream, StreamExt as _, wrappers::UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, transport::Server};
use zastava_common::event::v1::{
    ContainerStatus, ContainersRequest, Event, WatchRequest, WatchResponse,
    event_stream_server::{EventStream, EventStreamServer},
    watch_response::Message,
};

use super::{BootClock, Socket, SocketError, convert::status_of, filter::Filter, hub::Hub, queue::Item};
use crate::container::Question;

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

/// Serves consumers until `stop`; then they get what waits for them, and the end. `questions` reach the container
/// stage.
pub async fn serve(
    socket: Socket,
    hub: Arc<Hub>,
    questions: mpsc::Sender<Question>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let connections = UnixListenerStream::new(UnixListener::from_std(socket.listener()?)?);
    let service = EventStreamServer::new(Service { hub: Arc::clone(&hub), questions })
        .max_decoding_message_size(MAX_REQUEST);
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
    questions: mpsc::Sender<Question>,
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

    type ContainersStream = Pin<Box<dyn Stream<Item = Result<ContainerStatus, Status>> + Send>>;

    async fn containers(
        &self,
        request: Request<ContainersRequest>,
    ) -> Result<Response<Self::ContainersStream>, Status> {
        let ContainersRequest { containers } = request.into_inner();
        let filter = Filter::try_from(WatchRequest { containers, ..WatchRequest::default() })
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (question, answer) = oneshot::channel();
        // The stage is over, or still looks at what ran before and more ask than may wait.
        self.questions
            .try_send(question)
            .map_err(|_| Status::unavailable("the sensor is not ready; try again"))?;
        let listed = answer.await.map_err(|_| Status::unavailable("the sensor ends"))?;
        let clock = BootClock::read();
        let statuses = listed.into_iter().map(move |listed| status_of(listed, clock));
        let wanted = statuses.filter(move |status| filter.is_container(status.workload.as_ref()));
        Ok(Response::new(Box::pin(tokio_stream::iter(wanted.map(Ok)))))
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
