//! The other end of the services on the socket.

use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;
use zastava_common::event::{
    json::MAX_JSON,
    v1::{
        ContainerStatus, ContainersRequest, WatchRequest, WatchResponse,
        event_stream_client::EventStreamClient, watch_response::Message,
    },
};

/// Messages taken at once.
const BATCH: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error("no sensor serves {path}: {reason}")]
    NotServed { path: PathBuf, reason: String },
    /// Asking again would not help.
    #[error("the sensor refused: {0}")]
    Refused(String),
    #[error("the sensor ended")]
    Ended,
    #[error("the connection to the sensor broke: {0}")]
    Broken(String),
}

/// Events of a sensor, from the moment of asking on.
#[derive(Debug)]
pub struct Feed {
    messages: Streaming<WatchResponse>,
    /// Why there are no more, once known.
    over: Option<FeedError>,
}

impl Feed {
    /// Asks the sensor that serves the socket.
    pub async fn open(path: &Path, request: WatchRequest) -> Result<Self, FeedError> {
        let response = connect(path).await?.watch(request).await.map_err(|status| from_status(&status))?;
        Ok(Self { messages: response.into_inner(), over: None })
    }

    /// Waits for a message, and takes what else is there already. Loses nothing when dropped before it is done.
    pub async fn next(&mut self) -> Result<Vec<Message>, FeedError> {
        if let Some(error) = self.over.take() {
            return Err(error);
        }
        let mut batch = Vec::new();
        while batch.is_empty() {
            batch.extend(self.message().await?);
        }
        while batch.len() < BATCH {
            let more = tokio::select! {
                biased;
                more = self.message() => more,
                () = std::future::ready(()) => break,
            };
            match more {
                Ok(more) => batch.extend(more),
                Err(error) => {
                    self.over = Some(error);
                    break;
                }
            }
        }
        Ok(batch)
    }

    /// `None`: one of a later version.
    async fn message(&mut self) -> Result<Option<Message>, FeedError> {
        let next = self.messages.message().await.map_err(|status| from_status(&status))?;
        Ok(next.ok_or(FeedError::Ended)?.message)
    }
}

/// The containers that run, by the word of the sensor that serves the socket.
pub async fn containers(path: &Path, request: ContainersRequest) -> Result<Vec<ContainerStatus>, FeedError> {
    let response = connect(path).await?.containers(request).await.map_err(|status| from_status(&status))?;
    let mut statuses = response.into_inner();
    let mut containers = Vec::new();
    while let Some(status) = statuses.message().await.map_err(|status| from_status(&status))? {
        containers.push(status);
    }
    Ok(containers)
}

async fn connect(path: &Path) -> Result<EventStreamClient<Channel>, FeedError> {
    let socket = path.to_owned();
    // The address is only what HTTP wants to have.
    let channel = Endpoint::from_static("http://sensor")
        .connect_with_connector(service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
        .map_err(|error| FeedError::NotServed { path: path.to_owned(), reason: innermost(&error) })?;
    // In protobuf an event is shorter than in JSON.
    Ok(EventStreamClient::new(channel).max_decoding_message_size(MAX_JSON))
}

fn from_status(status: &Status) -> FeedError {
    match status.code() {
        Code::InvalidArgument | Code::Unimplemented | Code::PermissionDenied => {
            FeedError::Refused(status.message().to_owned())
        }
        _ => FeedError::Broken(status.message().to_owned()),
    }
}

/// What went wrong in the end; what stands around it says "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
