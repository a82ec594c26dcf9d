//! How long to wait before the next try.

use std::{hash::BuildHasher, hash::RandomState, time::Duration};

const FIRST: Duration = Duration::from_millis(100);

/// Doubles with each failure, and varies by a quarter so that the sensors of many nodes do not move in step.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
    seed: RandomState,
    tries: u64,
}

impl Backoff {
    pub(super) fn up_to(longest: Duration) -> Self {
        Self { next: FIRST, longest, seed: RandomState::new(), tries: 0 }
    }

    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.longest);
        self.tries += 1;
        // Of 256 parts, 192 to 319.
        let parts = 192 + u32::try_from(self.seed.hash_one(self.tries) % 128).unwrap_or(64);
        pause * parts / 256
    }

    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_vary_by_a_quarter() {
        let mut backoff = Backoff::up_to(Duration::from_secs(1));
        for whole in [100, 200, 400, 800, 1000, 1000] {
            let pause = u64::try_from(backoff.pause().as_millis()).unwrap();
            assert!((whole * 3 / 4..=whole * 5 / 4).contains(&pause), "{pause} for {whole}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(125));
    }
}
