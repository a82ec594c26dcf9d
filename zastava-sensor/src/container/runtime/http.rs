//! HTTP/1.1, one request for each connection, with every answer bounded.

use std::path::Path;

use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
};

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
    let body = in_time(async { exchange(connect(socket).await?, "localhost", target, []).await });
    json(&body.await?)
}

pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|_| Failure::Malformed("a body of JSON"))
}

/// One question and its answer, over a connection of its own.
pub(super) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: &str,
    target: &str,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Result<Bytes, Failure> {
    let response = send(stream, host, target, headers).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    let bytes = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => Failure::TooLarge("a body of more than 16 MiB"),
        None => Failure::Lost(plain(&error.to_string())),
    })?;
    checked(status, bytes.to_bytes())
}

/// Lines of an answer that does not end. Of one that is too long nothing is kept: who made a container's image may have
/// given it labels of any size, and the events of the others are not to be lost by that.
pub(super) struct Lines {
    body: Incoming,
    rest: Vec<u8>,
    /// So much of it has no line's end.
    searched: usize,
    /// The line that comes is too long, and so many were.
    passing_over: bool,
    passed_over: u64,
}

impl Lines {
    pub(super) async fn open(socket: &Path, target: &str) -> Result<Self, Failure> {
        let response = in_time(async { send(connect(socket).await?, "localhost", target, []).await }).await?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(Failure::Refused(format!("{status} for its events")));
        }
        Ok(Self {
            body: response.into_body(),
            rest: Vec::new(),
            searched: 0,
            passing_over: false,
            passed_over: 0,
        })
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
                if std::mem::take(&mut self.passing_over) {
                    continue;
                }
                return Ok(line);
            }
            if self.rest.len() > MAX_LINE && !self.passing_over {
                self.passing_over = true;
                self.passed_over += 1;
                self.tell_of_one_passed_over();
            }
            if self.passing_over {
                self.rest = Vec::new();
            }
            self.searched = self.rest.len();
            match self.body.frame().await {
                Some(Ok(frame)) => self.rest.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(Failure::Lost(plain(&error.to_string()))),
                None => return Err(Failure::Lost("the stream of events ended".to_owned())),
            }
        }
    }

    fn tell_of_one_passed_over(&self) {
        let count = self.passed_over;
        if count == 1 {
            tracing::warn!(
                "an event of more than 4 MiB is passed over, and its container told by the kernel alone: give no \
                 container labels of megabytes"
            );
        } else {
            tracing::debug!(count, "events of more than 4 MiB were passed over");
        }
    }
}

async fn connect(socket: &Path) -> Result<UnixStream, Failure> {
    UnixStream::connect(socket).await.map_err(|error| Failure::Lost(plain(&error.to_string())))
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: &str,
    target: &str,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Result<Response<Incoming>, Failure> {
    let lost = |error: hyper::Error| Failure::Lost(plain(&error.to_string()));
    let (mut sender, connection) =
        http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(lost)?;
    // Ends with the body, or when the body is dropped.
    tokio::spawn(connection);
    let request = Request::get(target).header(HOST, host).body(Empty::new());
    let mut request = request.map_err(|_| Failure::Malformed("a request"))?;
    request.headers_mut().extend(headers);
    sender.send_request(request).await.map_err(lost)
}

fn checked(status: StatusCode, body: Bytes) -> Result<Bytes, Failure> {
    match status {
        StatusCode::OK => Ok(body),
        StatusCode::NOT_FOUND => Err(Failure::Unknown),
        other => Err(Failure::Refused(plain(&format!("{other} {}", String::from_utf8_lossy(&body))))),
    }
}
