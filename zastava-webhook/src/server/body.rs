//! Bodies of requests: each has its bound, and so have all together.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _};
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::{
    review::{BEGINNING, MAX_BODY_BYTES, uid_of},
    telemetry::Unanswered,
};

/// Bytes that one permit is for.
const PAGE: usize = 4096;
/// Bytes of all bodies that are in memory at once.
const MAX_TOGETHER: usize = 32 << 20;
/// Bytes of a body that are read and thrown away, beyond those that were kept. The API server takes 3 MiB of an object and
/// keeps 1.5 MiB; six times both, which is the worst that JSON makes of them, is less.
const MAX_DISCARDED: usize = 32 << 20;

/// Room for bodies.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// A body, and the room that it takes until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    room: Vec<OwnedSemaphorePermit>,
}

/// A body that could not be had.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Unread {
    pub(super) cause: Unanswered,
    /// Whom to answer all the same.
    pub(super) uid: Option<String>,
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_TOGETHER / PAGE)))
    }
}

impl Room {
    /// Reads a body to its end. Waits for nobody: where there is no room the answer is that there is none.
    pub(super) async fn receive(&self, mut body: Body, until: Instant) -> Result<Received, Unread> {
        let mut received = Received::default();
        let read = timeout_at(until, self.read(&mut body, &mut received)).await;
        let cause = match read.unwrap_or(Err(Unanswered::Slow)) {
            Ok(()) => return Ok(received),
            Err(cause) => cause,
        };
        let uid = uid_of(&received.bytes);
        drop(received);
        if matches!(cause, Unanswered::TooLarge | Unanswered::Busy) {
            // Who still sends may not listen, and is told nothing by a connection that is closed meanwhile.
            let _ = timeout_at(until, discard(body)).await;
        }
        Err(Unread { cause, uid })
    }

    async fn read(&self, body: &mut Body, received: &mut Received) -> Result<(), Unanswered> {
        let declared = body.size_hint().lower();
        while let Some(frame) = body.frame().await {
            // The connection broke, or the client's framing did.
            let Ok(frame) = frame else { return Err(Unanswered::Malformed) };
            let Ok(data) = frame.into_data() else { continue };
            let size = received.bytes.len() + data.len();
            let fits = if size.max(usize::try_from(declared).unwrap_or(usize::MAX)) > MAX_BODY_BYTES {
                Err(Unanswered::TooLarge)
            } else {
                self.enlarge(received, size)
            };
            if let Err(cause) = fits {
                // Its beginning tells whom to answer.
                let rest = BEGINNING.saturating_sub(received.bytes.len()).min(data.len());
                received.bytes.extend(data.iter().take(rest));
                return Err(cause);
            }
            received.bytes.extend_from_slice(&data);
        }
        Ok(())
    }

    fn enlarge(&self, received: &mut Received, size: usize) -> Result<(), Unanswered> {
        let (held, needed) = (received.bytes.len().div_ceil(PAGE), size.div_ceil(PAGE));
        if needed == held {
            return Ok(());
        }
        let more = u32::try_from(needed - held).map_err(|_| Unanswered::TooLarge)?;
        let room = Arc::clone(&self.0).try_acquire_many_owned(more).map_err(|_| Unanswered::Busy)?;
        received.room.push(room);
        Ok(())
    }
}

/// Reads on and keeps nothing.
async fn discard(mut body: Body) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > MAX_DISCARDED {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use tokio::time::Instant;

    use super::{MAX_BODY_BYTES, MAX_TOGETHER, Received, Room, Unread};
    use crate::telemetry::Unanswered;

    async fn receive(room: &Room, body: impl Into<Body>) -> Result<Received, Unread> {
        room.receive(body.into(), Instant::now() + Duration::from_mins(1)).await
    }

    #[tokio::test]
    async fn a_body_at_the_bound_is_read_and_one_beyond_it_is_not() {
        let room = Room::default();
        let body = receive(&room, vec![b' '; MAX_BODY_BYTES]).await.unwrap();
        assert_eq!(body.bytes.len(), MAX_BODY_BYTES);
        drop(body);
        let refused = receive(&room, vec![b' '; MAX_BODY_BYTES + 1]).await;
        assert_eq!(refused.unwrap_err(), Unread { cause: Unanswered::TooLarge, uid: None });
    }

    #[tokio::test]
    async fn all_bodies_together_have_a_bound_and_give_their_room_back() {
        let room = Room::default();
        let mut held = Vec::new();
        for _ in 0..MAX_TOGETHER / MAX_BODY_BYTES {
            held.push(receive(&room, vec![b' '; MAX_BODY_BYTES]).await.unwrap());
        }
        assert_eq!(receive(&room, "x").await.unwrap_err().cause, Unanswered::Busy);
        held.pop();
        assert!(receive(&room, "x").await.is_ok());
    }
}
