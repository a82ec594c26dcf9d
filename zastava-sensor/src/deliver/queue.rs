//! A queue that never makes the sender wait: what finds no room is counted, and the receiver is told.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio_stream::Stream;

/// What the receiver gets, in the order of what happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Item<T> {
    Value(T),
    /// So many values were sent at this point for which there was no room.
    Missed(u64),
}

/// A queue for at most `capacity` values.
pub(super) fn queue<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            items: VecDeque::new(),
            values: 0,
            missed: 0,
            ended: false,
            receiver: None,
        }),
        capacity,
        abandoned: AtomicBool::new(false),
    });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    /// The receiver is gone.
    abandoned: AtomicBool,
}

#[derive(Debug)]
struct State<T> {
    /// Before each [`Item::Missed`] but the first stands a value: at most twice as many as there is room for.
    items: VecDeque<Item<T>>,
    values: usize,
    /// Missed after the last item.
    missed: u64,
    ended: bool,
    /// Waits for a change.
    receiver: Option<Waker>,
}

/// Ends the queue when dropped: the receiver gets what is in it, and then the end.
#[derive(Debug)]
pub(super) struct Sender<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
pub(super) struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Shared<T> {
    /// No panic happens under the lock; were there one, counts and items would still agree within one value.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// Sends what there is room for; returns how many found none.
    pub(super) fn send(&self, values: impl IntoIterator<Item = T>) -> u64 {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return 0;
        }
        let mut refused = 0;
        let mut state = self.shared.state();
        for value in values {
            if state.values >= self.shared.capacity {
                state.missed += 1;
                refused += 1;
                continue;
            }
            if state.missed > 0 {
                let missed = std::mem::take(&mut state.missed);
                state.items.push_back(Item::Missed(missed));
            }
            state.values += 1;
            state.items.push_back(Item::Value(value));
        }
        wake(state);
        refused
    }

    /// Whether nobody will receive any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.shared.abandoned.load(Ordering::Relaxed)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.ended = true;
        wake(state);
    }
}

/// Outside the lock: the receiver may run at once.
fn wake<T>(mut state: MutexGuard<'_, State<T>>) {
    let receiver = state.receiver.take();
    drop(state);
    if let Some(receiver) = receiver {
        receiver.wake();
    }
}

impl<T> Stream for Receiver<T> {
    type Item = Item<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item<T>>> {
        let mut state = self.shared.state();
        if let Some(item) = state.items.pop_front() {
            state.values -= usize::from(matches!(item, Item::Value(_)));
            return Poll::Ready(Some(item));
        }
        if state.missed > 0 {
            return Poll::Ready(Some(Item::Missed(std::mem::take(&mut state.missed))));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.receiver = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Relaxed);
        // What is left holds memory that nobody will ask for.
        self.shared.state().items.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_receiver_that_keeps_up_gets_everything() {
        let (sender, mut receiver) = queue(2);
        for value in 0..10 {
            assert_eq!(sender.send([value]), 0);
            assert_eq!(receiver.next().await, Some(Item::Value(value)));
        }
        drop(sender);
        assert_eq!(receiver.next().await, None);
    }

    #[tokio::test]
    async fn what_found_no_room_is_told_where_it_is_missing() {
        let (sender, mut receiver) = queue(2);
        assert_eq!(sender.send(0..5), 3);
        assert_eq!(receiver.next().await, Some(Item::Value(0)));
        sender.send([5]);
        for expected in [Item::Value(1), Item::Missed(3), Item::Value(5)] {
            assert_eq!(receiver.next().await, Some(expected));
        }
        sender.send(6..9);
        drop(sender);
        for expected in [Some(Item::Value(6)), Some(Item::Value(7)), Some(Item::Missed(1)), None] {
            assert_eq!(receiver.next().await, expected);
        }
    }

    #[tokio::test]
    async fn a_waiting_receiver_is_woken() {
        let (sender, mut receiver) = queue(2);
        let waiting = tokio::spawn(async move { receiver.next().await });
        tokio::task::yield_now().await;
        sender.send([1]);
        assert_eq!(waiting.await.unwrap(), Some(Item::Value(1)));
        assert!(sender.is_abandoned());
    }

    proptest! {
        #[test]
        fn received_and_missed_are_what_was_sent(capacity in 1usize..8, steps in prop::collection::vec((0u64..12, 0usize..12), 0..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (sender, mut receiver) = queue(capacity);
                let (mut sent, mut refused, mut seen) = (0, 0, 0);
                let mut take = |item| match item {
                    // The value is its number: what came before it was received or missed.
                    Item::Value(value) => { assert_eq!(value, seen); seen += 1; }
                    Item::Missed(count) => seen += count,
                };
                for (values, reads) in steps {
                    refused += sender.send(sent..sent + values);
                    sent += values;
                    assert!(receiver.shared.state().items.len() <= 2 * capacity);
                    for _ in 0..reads {
                        let empty = { let state = receiver.shared.state(); state.items.is_empty() && state.missed == 0 };
                        if !empty {
                            take(receiver.next().await.unwrap());
                        }
                    }
                }
                drop(sender);
                while let Some(item) = receiver.next().await {
                    take(item);
                }
                assert_eq!(seen, sent);
                assert!(refused <= sent);
            });
        }
    }
}
