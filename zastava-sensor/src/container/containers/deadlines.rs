//! What has to be looked at again, and when.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    sync::Arc,
};

/// Container ids by time (`CLOCK_BOOTTIME`, nanoseconds).
///
/// A container keeps the earliest of its times that are in here (`queued`): only that one counts, later ones are passed
/// over when they come up. A time is put in only where it is earlier, so one container has few of them.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<(u64, Arc<str>)>>);

impl Deadlines {
    pub(super) fn put(&mut self, queued: &mut Option<u64>, at: u64, id: &Arc<str>) {
        if queued.is_none_or(|earlier| at < earlier) {
            *queued = Some(at);
            self.0.push(Reverse((at, Arc::clone(id))));
        }
    }

    /// The earliest.
    pub(super) fn first(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// One that has come.
    pub(super) fn take(&mut self, now: u64) -> Option<(u64, Arc<str>)> {
        let first = self.0.peek_mut()?;
        (first.0.0 <= now).then(|| PeekMut::pop(first).0)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_time_of_a_container_counts() {
        let mut deadlines = Deadlines::default();
        let (a, b) = (Arc::from("a"), Arc::from("b"));
        let (mut of_a, mut of_b) = (None, None);
        deadlines.put(&mut of_a, 20, &a);
        deadlines.put(&mut of_b, 15, &b);
        deadlines.put(&mut of_a, 30, &a);
        deadlines.put(&mut of_a, 10, &a);
        assert_eq!((of_a, deadlines.len()), (Some(10), 3));
        assert_eq!(deadlines.take(9), None);
        assert_eq!(deadlines.take(15), Some((10, Arc::clone(&a))));
        assert_eq!(deadlines.take(15), Some((15, b)));
        assert_eq!((deadlines.take(15), deadlines.first()), (None, Some(20)));
    }
}
