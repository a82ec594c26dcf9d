//! Places for look-ups. These outlive the requests that began them, so that requests do not bound them.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

use crate::known::Missing;

/// Look-ups that may wait for each that is under way.
const WAITING: usize = 16;
/// A registry that takes its time with each of many answers must not keep the places of all others.
const LONGEST: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
pub(super) struct Lookups {
    /// Under way or waiting.
    begun: Arc<Semaphore>,
    under_way: Arc<Semaphore>,
    longest: Duration,
}

impl Lookups {
    /// `most`: at once.
    pub(super) fn new(most: usize) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { begun: places(most * (1 + WAITING)), under_way: places(most), longest: LONGEST }
    }

    pub(super) async fn run<T>(&self, load: impl Future<Output = T>) -> Result<T, Missing> {
        let _begun = self.begun.try_acquire().map_err(|_| Missing::Busy)?;
        let _under_way = self.under_way.acquire().await.map_err(|_| Missing::Busy)?;
        timeout(self.longest, load).await.map_err(|_| Missing::Deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::future::poll_immediate;

    use super::*;

    #[tokio::test]
    async fn more_look_ups_than_may_wait_are_refused_at_once() {
        let lookups = Lookups::new(1);
        let mut begun: Vec<_> = (0..=WAITING).map(|_| Box::pin(lookups.run(pending::<()>()))).collect();
        for one in &mut begun {
            assert!(poll_immediate(one).await.is_none());
        }
        assert_eq!(lookups.run(ready(())).await, Err(Missing::Busy));
        begun.pop();
        let waits = poll_immediate(Box::pin(lookups.run(ready(())))).await.is_none();
        assert!(waits, "there is a place again");
    }

    #[tokio::test]
    async fn a_look_up_without_end_gives_its_place_back() {
        let lookups = Lookups { longest: Duration::from_millis(20), ..Lookups::new(1) };
        let both = tokio::join!(lookups.run(pending::<()>()), lookups.run(ready(())));
        assert_eq!(both, (Err(Missing::Deadline), Ok(())));
    }
}
