//! One stream of events to many consumers, none of which can slow it down.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use zastava_common::event::v1::Event;

use super::{
    filter::Filter,
    queue::{Receiver, Sender, queue},
    telemetry::{EventsMissed, WatcherRefused, WatchersChanged},
};

/// The consumers that watch.
#[derive(Debug)]
pub struct Hub {
    watchers: Mutex<Vec<Watcher>>,
    /// Length of `watchers`, to be read without the lock.
    count: AtomicUsize,
    queue: usize,
    max: usize,
}

#[derive(Debug)]
struct Watcher {
    filter: Filter,
    events: Sender<Arc<Event>>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0} consumers watch already; raise zastava.sensor.maxWatchers")]
pub(super) struct TooMany(usize);

impl Hub {
    /// `queue`: events that may wait for one consumer; `max`: consumers at a time.
    pub fn new(queue: usize, max: usize) -> Self {
        Self { watchers: Mutex::default(), count: AtomicUsize::new(0), queue, max }
    }

    /// Whether anyone watches: events that nobody wants need not be made.
    pub fn is_watched(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Hands events to those who asked for them. A consumer whose queue is full misses them, and will be told.
    pub fn publish(&self, events: &[Arc<Event>]) {
        let mut watchers = self.watchers();
        let mut missed = 0;
        for Watcher { filter, events: to } in &*watchers {
            missed += to.send(events.iter().filter(|event| filter.matches(event)).cloned());
        }
        self.forget_gone(&mut watchers);
        drop(watchers);
        if missed > 0 {
            EventsMissed { count: missed }.emit();
        }
    }

    pub(super) fn subscribe(&self, filter: Filter) -> Result<Receiver<Arc<Event>>, TooMany> {
        let mut watchers = self.watchers();
        self.forget_gone(&mut watchers);
        if watchers.len() >= self.max {
            WatcherRefused { max: self.max }.emit();
            return Err(TooMany(self.max));
        }
        let (sender, receiver) = queue(self.queue);
        watchers.push(Watcher { filter, events: sender });
        self.changed(watchers.len());
        Ok(receiver)
    }

    /// Ends all streams, each after what still waits for its consumer.
    pub fn close(&self) {
        self.watchers().clear();
        self.changed(0);
    }

    fn forget_gone(&self, watchers: &mut Vec<Watcher>) {
        let before = watchers.len();
        watchers.retain(|watcher| !watcher.events.is_abandoned());
        if watchers.len() != before {
            self.changed(watchers.len());
        }
    }

    fn changed(&self, count: usize) {
        self.count.store(count, Ordering::Relaxed);
        WatchersChanged { count }.emit();
    }

    /// Nothing under the lock panics; were it to, the list is whole.
    fn watchers(&self) -> MutexGuard<'_, Vec<Watcher>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::deliver::queue::Item;

    fn events(count: usize) -> Vec<Arc<Event>> {
        (0..count)
            .map(|number| Arc::new(Event { event_id: number.to_string(), ..Event::default() }))
            .collect()
    }

    #[tokio::test]
    async fn a_slow_consumer_loses_its_own_events_only() {
        let hub = Hub::new(4, 2);
        let slow = hub.subscribe(Filter::default()).unwrap();
        let mut quick = hub.subscribe(Filter::default()).unwrap();
        for event in events(10) {
            hub.publish(std::slice::from_ref(&event));
            assert_eq!(quick.next().await, Some(Item::Value(event)));
        }
        hub.close();
        assert_eq!(quick.next().await, None);
        let slow: Vec<_> = slow.collect().await;
        assert_eq!(slow.len(), 5);
        assert_eq!(slow[4], Item::Missed(6));
    }

    #[test]
    fn a_consumer_beyond_the_limit_is_refused_until_one_leaves() {
        let hub = Hub::new(4, 1);
        assert!(!hub.is_watched());
        let first = hub.subscribe(Filter::default()).unwrap();
        assert!(hub.is_watched());
        assert!(hub.subscribe(Filter::default()).is_err());
        drop(first);
        let _second = hub.subscribe(Filter::default()).unwrap();
    }

    #[test]
    fn the_hub_forgets_who_left() {
        let hub = Hub::new(4, 1);
        drop(hub.subscribe(Filter::default()).unwrap());
        hub.publish(&events(1));
        assert!(!hub.is_watched());
    }
}
