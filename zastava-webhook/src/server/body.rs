//! Bodies of requests: each has its bound and its time, and so have all together and those of one address.

use std::{net::IpAddr, time::Duration};

use axum::body::{Body, Bytes, HttpBody as _};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::shares::{Share, Shares};
use crate::{
    review::{BEGINNING, MAX_BODY_BYTES, uid_of},
    telemetry::Unanswered,
};

/// Bytes of a small body: a review of a pod has ten thousand, as a rule.
const SMALL: usize = 256 << 10;
/// Bytes of all small bodies that are in memory at once. One address has half of them, which is a thousand reviews of 12
/// KiB.
const MAX_SMALL: usize = 24 << 20;
/// The same of large ones. These keep no room from the small ones, and half of them is one of the longest that are read.
const MAX_LARGE: usize = 16 << 20;
/// Most bytes that are held of a small body in the room of small ones while its images are looked at. Names of images and
/// labels have a few hundred, as a rule.
const KEPT: usize = 8 << 10;
/// Bytes of a body that are read and thrown away, beyond those that were kept. The API server takes 3 MiB of an object and
/// keeps 1.5 MiB; six times both, which is the worst that JSON makes of them, is less.
const MAX_DISCARDED: usize = 32 << 20;
/// An API server sends a body at once. Who does not has no room for longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Room for bodies. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Room {
    small: Shares,
    large: Shares,
    patience: Duration,
}

/// A body, and the room that it takes until it is dropped.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    room: Share,
    is_large: bool,
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
        Self { small: Shares::new(MAX_SMALL), large: Shares::new(MAX_LARGE), patience: PATIENCE }
    }
}

impl Room {
    /// Reads a body to its end. Waits for nobody: where there is no room the answer is that there is none.
    pub(super) async fn receive(
        &self,
        mut body: Body,
        peer: IpAddr,
        deadline: Instant,
    ) -> Result<Received, Unread> {
        let until = deadline.min(Instant::now() + self.patience);
        let mut received = Received { bytes: Vec::new(), room: self.small.of(peer), is_large: false };
        let read = timeout_at(until, self.read(&mut body, peer, &mut received)).await;
        let cause = match read.unwrap_or(Err(Unanswered::Slow)) {
            Ok(()) => return Ok(received),
            Err(cause) => cause,
        };
        let Received { bytes: mut beginning, room, .. } = received;
        drop(room);
        beginning.truncate(BEGINNING);
        beginning.shrink_to_fit();
        if matches!(cause, Unanswered::TooLarge | Unanswered::Busy) {
            // Who still sends may not listen, and is told nothing by a connection that is closed meanwhile.
            let _ = timeout_at(until, discard(body, &mut beginning)).await;
        }
        Err(Unread { cause, uid: uid_of(&beginning) })
    }

    /// Drops a body and gives its room back, but for so many bytes that are held of it. Where these are many they take room
    /// of large bodies: otherwise whoever writes many labels would take that of everybody's small ones.
    pub(super) fn keep(&self, body: Received, bytes: usize) -> Result<Share, Unanswered> {
        let Received { mut room, is_large, .. } = body;
        if is_large || bytes <= KEPT {
            room.shrink_to(bytes);
            return Ok(room);
        }
        let mut large = self.large.of(room.peer());
        if large.grow_to(bytes) { Ok(large) } else { Err(Unanswered::Busy) }
    }

    async fn read(&self, body: &mut Body, peer: IpAddr, received: &mut Received) -> Result<(), Unanswered> {
        let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        while let Some(frame) = body.frame().await {
            // The connection broke, or the client's framing did.
            let Ok(frame) = frame else { return Err(Unanswered::Malformed) };
            let Ok(data) = frame.into_data() else { continue };
            let size = received.bytes.len() + data.len();
            let at_least = size.max(declared);
            if !received.is_large && at_least > SMALL {
                received.room = self.large.of(peer);
                received.is_large = true;
            }
            let cause = if at_least > MAX_BODY_BYTES {
                Some(Unanswered::TooLarge)
            } else if !received.room.grow_to(size) {
                Some(Unanswered::Busy)
            } else {
                None
            };
            if let Some(cause) = cause {
                fill(&mut received.bytes, &data);
                return Err(cause);
            }
            received.bytes.extend_from_slice(&data);
        }
        Ok(())
    }
}

/// Adds what is still missing of a body's beginning, which tells whom to answer.
fn fill(beginning: &mut Vec<u8>, data: &Bytes) {
    let rest = BEGINNING.saturating_sub(beginning.len());
    beginning.extend(data.iter().take(rest));
}

/// Reads on and keeps nothing but the beginning, of which the first frames may have only a part.
async fn discard(mut body: Body, beginning: &mut Vec<u8>) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        fill(beginning, data);
        read += data.len();
        if read > MAX_DISCARDED {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::pending,
        pin::Pin,
        task::{Context, Poll},
        time::Duration,
    };

    use axum::body::HttpBody;
    use futures_util::{StreamExt as _, stream};
    use hyper::body::{Frame, SizeHint};

    use super::*;

    const REVIEW: &[u8] = include_bytes!("../../tests/data/admission-reviews/pod-create.json");

    /// A body that comes a few bytes at a time, and of which so much was said to come.
    struct Dripping {
        rest: &'static [u8],
        declared: u64,
    }

    impl HttpBody for Dripping {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let (next, rest) = self.rest.split_at(self.rest.len().min(7));
            self.rest = rest;
            Poll::Ready((!next.is_empty()).then(|| Ok(Frame::data(Bytes::from_static(next)))))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.declared)
        }
    }

    fn peer(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    async fn receive(room: &Room, last: u8, body: impl Into<Body>) -> Result<Received, Unread> {
        room.receive(body.into(), peer(last), Instant::now() + Duration::from_mins(1)).await
    }

    fn filled(size: usize) -> Vec<u8> {
        vec![b' '; size]
    }

    #[tokio::test]
    async fn a_body_at_the_bound_is_read_and_one_beyond_it_is_not() {
        let room = Room::default();
        let body = receive(&room, 1, filled(MAX_BODY_BYTES)).await.unwrap();
        assert_eq!(body.bytes.len(), MAX_BODY_BYTES);
        drop(body);
        let refused = receive(&room, 1, filled(MAX_BODY_BYTES + 1)).await;
        assert_eq!(refused.unwrap_err(), Unread { cause: Unanswered::TooLarge, uid: None });
    }

    #[tokio::test]
    async fn large_bodies_have_a_bound_and_leave_the_room_of_small_ones() {
        let room = Room::default();
        let mut held = Vec::new();
        for last in 0..100 {
            for size in [MAX_BODY_BYTES, 1 << 20, SMALL + 1] {
                while let Ok(body) = receive(&room, last, filled(size)).await {
                    held.push(body);
                }
            }
        }
        assert!(held.iter().map(|body| body.bytes.len()).sum::<usize>() <= MAX_LARGE);
        assert_eq!(receive(&room, 200, filled(SMALL + 1)).await.unwrap_err().cause, Unanswered::Busy);
        assert!(receive(&room, 200, filled(SMALL)).await.is_ok());
        drop(held);
        assert!(receive(&room, 200, filled(MAX_BODY_BYTES)).await.is_ok(), "they give it back");
    }

    #[tokio::test]
    async fn one_address_has_room_for_a_thousand_reviews_and_leaves_some_to_others() {
        let room = Room::default();
        let mut held = Vec::new();
        while let Ok(body) = receive(&room, 1, filled(12 << 10)).await {
            held.push(body);
        }
        assert!(held.len() >= 1_000, "{}", held.len());
        for _ in 0..200 {
            held.push(receive(&room, 2, filled(12 << 10)).await.unwrap());
        }
        assert!(receive(&room, 3, filled(12 << 10)).await.is_ok());
    }

    #[tokio::test]
    async fn a_large_body_leaves_the_next_address_a_large_one() {
        let room = Room::default();
        let _held = receive(&room, 1, filled(MAX_BODY_BYTES)).await.unwrap();
        assert_eq!(receive(&room, 1, filled(SMALL + 1)).await.unwrap_err().cause, Unanswered::Busy);
        assert!(receive(&room, 2, filled(4 << 20)).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_held_of_a_body_is_little_and_much_of_it_takes_no_room_of_small_bodies() {
        let room = Room::default();
        let mut held = Vec::new();
        for _ in 0..1_000 {
            let body = receive(&room, 1, filled(250 << 10)).await.unwrap();
            held.push(room.keep(body, KEPT).unwrap());
        }
        let mut refused = None;
        while refused.is_none() {
            let body = receive(&room, 1, filled(250 << 10)).await.unwrap();
            match room.keep(body, 250 << 10) {
                Ok(share) => held.push(share),
                Err(cause) => refused = Some(cause),
            }
        }
        assert_eq!(refused, Some(Unanswered::Busy));
        let body = receive(&room, 1, filled(12 << 10)).await.unwrap();
        assert!(room.keep(body, 1_000).is_ok());
        held.clear();
        let body = receive(&room, 1, filled(MAX_BODY_BYTES)).await.unwrap();
        let _held = room.keep(body, KEPT).unwrap();
        assert!(receive(&room, 1, filled(7 << 20)).await.is_ok(), "a large one gives back what it had");
    }

    #[tokio::test]
    async fn whom_to_answer_is_known_however_little_of_it_comes_at_once() {
        let uid = uid_of(REVIEW);
        assert!(uid.is_some());
        let room = Room::default();
        let large = Dripping { rest: REVIEW, declared: MAX_BODY_BYTES as u64 + 1 };
        let refused = receive(&room, 1, Body::new(large)).await.unwrap_err();
        assert_eq!(refused, Unread { cause: Unanswered::TooLarge, uid: uid.clone() });

        let mut full = room.small.of(peer(1));
        assert!(full.grow_to(MAX_SMALL / 2));
        let small = Dripping { rest: REVIEW, declared: REVIEW.len() as u64 };
        let refused = receive(&room, 1, Body::new(small)).await.unwrap_err();
        assert_eq!(refused, Unread { cause: Unanswered::Busy, uid });
    }

    #[tokio::test]
    async fn who_sends_slowly_has_no_room_for_long() {
        let room = Room { patience: Duration::from_millis(20), ..Room::default() };
        let begun = stream::iter([Ok::<_, Infallible>(filled(SMALL + 1))]).chain(stream::once(pending()));
        let slow = receive(&room, 1, Body::from_stream(begun)).await;
        assert_eq!(slow.unwrap_err().cause, Unanswered::Slow);
        assert!(receive(&room, 1, filled(MAX_BODY_BYTES)).await.is_ok());
    }
}
