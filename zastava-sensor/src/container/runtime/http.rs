//! HTTP/1.1 over a unix socket, one request for each connection, with every answer bounded.

use std::path::Path;

use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::HOST,
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::{
    client::{Failure, in_time},
    grpc::plain,
};

/// Largest answer, in bytes: a list of a thousand containers has one or two.
const MAX_BODY: usize = 16 << 20;
/// Longest line of a stream, in bytes. Docker puts a container's labels into its events.
const MAX_LINE: usize = 4 << 20;

/// An object of JSON.
pub(super) async fn get<T: DeserializeOwned>(socket: &Path, target: &str) -> Result<T, Failure> {
    let bytes = in_time(async {
        let response = send(socket, target).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
        let bytes = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => Failure::TooLarge("a body of more than 16 MiB"),
            None => Failure::Lost(plain(&error.to_string())),
        })?;
        checked(status, &bytes.to_bytes())
    });
    serde_json::from_slice(&bytes.await?).map_err(|_| Failure::Malformed("a body of JSON"))
}

/// Lines of an answer that does not end.
pub(super) struct Lines {
    body: Incoming,
    rest: Vec<u8>,
    /// So much of it has no line's end.
    searched: usize,
}

impl Lines {
    pub(super) async fn open(socket: &Path, target: &str) -> Result<Self, Failure> {
        let response = in_time(send(socket, target)).await?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(Failure::Refused(format!("{status} for its events")));
        }
        Ok(Self { body: response.into_body(), rest: Vec::new(), searched: 0 })
    }

    /// The next line; waits as long as there is none.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(at) = self.rest[self.searched..].iter().position(|byte| *byte == b'\n') {
                let end = self.searched + at;
                self.searched = 0;
                let behind = self.rest.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.rest, behind);
                line.truncate(end);
                return Ok(line);
            }
            self.searched = self.rest.len();
            if self.rest.len() > MAX_LINE {
                return Err(Failure::TooLarge("a line of more than 4 MiB"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.rest.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(Failure::Lost(plain(&error.to_string()))),
                None => return Err(Failure::Lost("the stream of events ended".to_owned())),
            }
        }
    }
}

async fn send(socket: &Path, target: &str) -> Result<Response<Incoming>, Failure> {
    let lost = |error: &dyn std::error::Error| Failure::Lost(plain(&error.to_string()));
    let stream = UnixStream::connect(socket).await.map_err(|error| lost(&error))?;
    let (mut sender, connection) =
        http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    // Ends with the body, or when the body is dropped.
    tokio::spawn(connection);
    let request = Request::get(target).header(HOST, "localhost").body(Empty::new());
    let request = request.map_err(|_| Failure::Malformed("a request"))?;
    sender.send_request(request).await.map_err(|error| lost(&error))
}

fn checked(status: StatusCode, body: &Bytes) -> Result<Bytes, Failure> {
    match status {
        StatusCode::OK => Ok(body.clone()),
        StatusCode::NOT_FOUND => Err(Failure::Unknown),
        other => Err(Failure::Refused(plain(&format!("{other} {}", String::from_utf8_lossy(body))))),
    }
}
