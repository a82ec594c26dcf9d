//! Bodies of requests: each has its bound, and so have all together.

use std::sync::Arc;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{review::MAX_BODY_BYTES, telemetry::Unanswered};

/// Bytes that one permit is for.
const PAGE: usize = 4096;
/// Bytes of all bodies that are in memory at once.
const MAX_TOGETHER: usize = 32 << 20;

/// Room for bodies.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// A body, and the room that it takes until it is dropped.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    _room: Vec<OwnedSemaphorePermit>,
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_TOGETHER / PAGE)))
    }
}

impl Room {
    /// Reads a body to its end. Waits for nobody: where there is no room the answer is at once that there is none.
    pub(super) async fn receive(&self, mut body: Body) -> Result<Received, Unanswered> {
        let mut bytes = Vec::new();
        let mut room = Vec::new();
        let mut held = 0;
        while let Some(frame) = body.frame().await {
            // The connection broke, or the client's framing did.
            let Ok(frame) = frame else { return Err(Unanswered::Malformed) };
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > MAX_BODY_BYTES {
                return Err(Unanswered::TooLarge);
            }
            let needed = (bytes.len() + data.len()).div_ceil(PAGE);
            if needed > held {
                let more = u32::try_from(needed - held).map_err(|_| Unanswered::TooLarge)?;
                room.push(Arc::clone(&self.0).try_acquire_many_owned(more).map_err(|_| Unanswered::Busy)?);
                held = needed;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Received { bytes, _room: room })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::{MAX_BODY_BYTES, MAX_TOGETHER, Room};
    use crate::telemetry::Unanswered;

    #[tokio::test]
    async fn a_body_at_the_bound_is_read_and_one_beyond_it_is_not() {
        let room = Room::default();
        let body = room.receive(Body::from(vec![b' '; MAX_BODY_BYTES])).await.unwrap();
        assert_eq!(body.bytes.len(), MAX_BODY_BYTES);
        drop(body);
        let refused = room.receive(Body::from(vec![b' '; MAX_BODY_BYTES + 1])).await;
        assert_eq!(refused.unwrap_err(), Unanswered::TooLarge);
    }

    #[tokio::test]
    async fn all_bodies_together_have_a_bound_and_give_their_room_back() {
        let room = Room::default();
        let mut held = Vec::new();
        for _ in 0..MAX_TOGETHER / MAX_BODY_BYTES {
            held.push(room.receive(Body::from(vec![b' '; MAX_BODY_BYTES])).await.unwrap());
        }
        assert_eq!(room.receive(Body::from("x")).await.unwrap_err(), Unanswered::Busy);
        held.pop();
        assert!(room.receive(Body::from("x")).await.is_ok());
    }
}
