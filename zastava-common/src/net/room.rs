use std::{ops::Deref, sync::Arc};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory for answers, in bytes: what whoever shares it holds of answers at one time is no more than that. Cheap to
/// clone.
///
/// An answer's place is taken in one go, before its first byte is read, and given back when its body is dropped. Who
/// holds a body must not ask for another: two that did would wait for one another.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    all: Arc<Semaphore>,
    /// Of `all`, what these few may have of it.
    part: Arc<Semaphore>,
    most: usize,
}

/// The body of an answer, with its place.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: Bytes,
    _taken: Option<Taken>,
}

/// A place: of a body, or of one that is about to come.
#[derive(Debug)]
pub(super) struct Taken {
    permits: [OwnedSemaphorePermit; 2],
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        let all = Arc::new(Semaphore::new(bytes));
        Self { part: Arc::clone(&all), all, most: bytes }.part(bytes)
    }

    /// A part of it, for some who must leave the rest to others. Parts may come to more than the whole.
    pub(crate) fn part(&self, bytes: usize) -> Self {
        let most = bytes.min(self.most);
        Self { all: Arc::clone(&self.all), part: Arc::new(Semaphore::new(most)), most }
    }

    /// Waits until there are so many bytes. `None`: there never are.
    pub(super) async fn take(&self, bytes: usize) -> Option<Taken> {
        let count = u32::try_from(bytes).ok().filter(|_| bytes <= self.most)?;
        // The part first: those who wait for it keep nothing from others.
        let part = Arc::clone(&self.part).acquire_many_owned(count).await.ok()?;
        let all = Arc::clone(&self.all).acquire_many_owned(count).await.ok()?;
        Some(Taken { permits: [part, all] })
    }
}

impl Held {
    /// `taken` is for as many bytes at least; what is beyond them is given back.
    pub(super) fn new(bytes: Bytes, mut taken: Option<Taken>) -> Self {
        for permit in taken.iter_mut().flat_map(|Taken { permits }| permits) {
            drop(permit.split(permit.num_permits().saturating_sub(bytes.len())));
        }
        Self { bytes, _taken: taken }
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};

    use super::*;

    /// What the future has come to by now.
    async fn now<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn what_is_held_is_waited_for_and_what_is_not_needed_is_given_back() {
        let room = Room::new(100);
        let taken = room.take(100).await;
        let mut second = pin!(room.take(60));
        assert!(now(second.as_mut()).await.is_none());
        let body = Held::new(Bytes::from_static(&[0; 50]), taken);
        assert!(now(second.as_mut()).await.is_none(), "50 are left");
        drop(body);
        assert!(second.await.is_some());
        assert!(room.take(101).await.is_none(), "it would be waited for in vain");
    }

    #[tokio::test]
    async fn a_part_that_is_full_leaves_the_rest_to_others() {
        let room = Room::new(100);
        let (slow, other) = (room.part(60), room.part(60));
        let held = slow.take(60).await;
        let mut waits = pin!(slow.take(1));
        assert!(now(waits.as_mut()).await.is_none());
        assert!(now(pin!(other.take(40))).await.flatten().is_some());
        assert!(now(pin!(other.take(41))).await.is_none(), "the whole has no more");
        drop(held);
        assert!(waits.await.is_some());
    }
}
