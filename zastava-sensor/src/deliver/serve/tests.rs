use std::{path::PathBuf, time::Duration};

use tempfile::TempDir;
use tokio::task::JoinHandle;
use zastava_common::event::v1::event::Kind;

use super::*;
use crate::deliver::{Feed, FeedError};

struct Serving {
    hub: Arc<Hub>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServeError>>,
    path: PathBuf,
    _root: TempDir,
}

fn start(queue: usize, max: usize) -> Serving {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("sensor.sock");
    let hub = Arc::new(Hub::new(queue, max));
    let stop = CancellationToken::new();
    let socket = Socket::bind(&path).unwrap();
    let task = tokio::spawn(serve(socket, Arc::clone(&hub), mpsc::channel(1).0, stop.clone()));
    Serving { hub, stop, task, path, _root: root }
}

fn event(number: usize, padding: usize) -> Arc<Event> {
    let kind = if number.is_multiple_of(2) { Kind::ProcessExec } else { Kind::ProcessExit };
    Arc::new(Event {
        event_id: number.to_string(),
        kind: kind as i32,
        node: "x".repeat(padding),
        ..Event::default()
    })
}

#[tokio::test]
async fn a_consumer_gets_what_it_asked_for_until_the_sensor_ends() {
    let serving = start(16, 4);
    let request = WatchRequest { kinds: vec![Kind::ProcessExit as i32], ..WatchRequest::default() };
    let mut feed = Feed::open(&serving.path, request).await.unwrap();
    let events: Vec<_> = (0..6).map(|number| event(number, 0)).collect();
    serving.hub.publish(&events);
    serving.stop.cancel();
    let mut ids = Vec::new();
    loop {
        match feed.next().await {
            Ok(batch) => ids.extend(batch.into_iter().map(|message| match message {
                Message::Event(event) => event.event_id,
                Message::Missed(count) => panic!("missed {count}"),
            })),
            Err(FeedError::Ended) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(ids, ["1", "3", "5"]);
    serving.task.await.unwrap().unwrap();
    assert!(!serving.path.exists());
}

#[tokio::test]
async fn what_a_slow_consumer_receives_and_misses_is_what_was_sent() {
    const SENT: usize = 3000;
    let serving = start(64, 4);
    let mut slow = Feed::open(&serving.path, WatchRequest::default()).await.unwrap();
    // It does not read: the windows of the connection fill, then its queue.
    for number in 0..SENT {
        serving.hub.publish(&[event(number, 2000)]);
        tokio::task::yield_now().await;
    }
    serving.stop.cancel();
    let (mut received, mut missed) = (0, 0);
    while let Ok(batch) = slow.next().await {
        for message in batch {
            match message {
                Message::Event(_) => received += 1,
                Message::Missed(count) => missed += count as usize,
            }
        }
    }
    assert!(missed > 0);
    assert!(received >= 64);
    assert_eq!(received + missed, SENT);
}

#[tokio::test]
async fn a_consumer_that_never_reads_does_not_keep_the_sensor_from_ending() {
    let serving = start(1024, 4);
    let _silent = Feed::open(&serving.path, WatchRequest::default()).await.unwrap();
    for number in 0..1000 {
        serving.hub.publish(&[event(number, 2000)]);
        tokio::task::yield_now().await;
    }
    serving.stop.cancel();
    tokio::time::timeout(Duration::from_secs(4), serving.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn requests_that_cannot_be_met_are_refused_with_the_reason() {
    let serving = start(16, 1);
    let request = WatchRequest { path_prefixes: vec!["usr".to_owned()], ..WatchRequest::default() };
    let refused = Feed::open(&serving.path, request).await.unwrap_err();
    assert!(matches!(refused, FeedError::Refused(_)));
    assert!(refused.to_string().contains("a path prefix begins with /"), "{refused}");
    let first = Feed::open(&serving.path, WatchRequest::default()).await.unwrap();
    let second = Feed::open(&serving.path, WatchRequest::default()).await.unwrap_err();
    assert!(second.to_string().contains("1 consumers watch already"), "{second}");
    drop(first);
}

#[tokio::test]
async fn without_a_sensor_the_error_says_so() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("sensor.sock");
    let error = Feed::open(&path, WatchRequest::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("no sensor serves {}: No such file or directory (os error 2)", path.display())
    );
}
