//! A server that answers for paths and knows nothing else.

use std::{collections::HashMap, sync::Arc};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What is said for each path; for others: not found.
pub(in super::super) type Answers = Arc<HashMap<String, String>>;

pub(in super::super) fn answers(all: &[(&str, String)]) -> Answers {
    Arc::new(all.iter().map(|(path, body)| ((*path).to_owned(), body.clone())).collect())
}

/// One question, whose head has to have this in it.
pub(in super::super) async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: Answers,
    needed: &str,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let body = head.split(' ').nth(1).and_then(|path| answers.get(path));
    let answer = match body {
        _ if !head.contains(needed) => "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        Some(body) => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        None => "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
    };
    // Who takes no more than it wants closes before the end.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
