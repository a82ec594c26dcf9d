use std::{path::Path, sync::Mutex};

use clap::Parser;
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use zastava_common::event::v1::{Event, event::Kind};

use super::*;
use crate::deliver::{Hub, Socket, serve};

/// A sensor as far as a watcher can tell.
struct Sensor {
    hub: Arc<Hub>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Sensor {
    fn start(path: &Path) -> Self {
        let hub = Arc::new(Hub::new(64, 4));
        let stop = CancellationToken::new();
        let socket = Socket::bind(path).unwrap();
        let serving = serve(socket, Arc::clone(&hub), mpsc::channel(1).0, stop.clone());
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self { hub, stop, task }
    }

    async fn watched(&self) {
        while !self.hub.is_watched() {
            time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn publish(&self, id: &str) {
        self.hub.publish(&[Arc::new(Event { event_id: id.to_owned(), ..Event::default() })]);
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Text {
    fn get(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    async fn wait_for(&self, part: &str) {
        while !self.get().contains(part) {
            time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Watching {
    lines: Text,
    notes: Text,
    told: Arc<Told>,
    task: JoinHandle<Result<(), WatchError>>,
}

fn follow(path: &Path, once: bool) -> Watching {
    let (lines, notes, told) = (Text::default(), Text::default(), Arc::new(Told::default()));
    let follower = Follower {
        socket: path.to_owned(),
        request: WatchRequest::default(),
        once,
        told: Arc::clone(&told),
        notes: notes.clone(),
    };
    let output = Output::new(Format::Json, false, Box::new(lines.clone()), "a test".to_owned());
    let task = tokio::spawn(follower.follow(output));
    Watching { lines, notes, told, task }
}

fn place() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("sensor.sock");
    (root, path)
}

async fn within_seconds<T>(done: impl Future<Output = T>) -> T {
    time::timeout(Duration::from_secs(20), done).await.unwrap()
}

#[tokio::test]
async fn a_watcher_stays_over_restarts_of_the_sensor_and_says_so_once() {
    let (_root, path) = place();
    let watching = follow(&path, false);
    within_seconds(watching.notes.wait_for("waiting for a sensor")).await;
    // Several attempts, one note.
    time::sleep(Duration::from_millis(350)).await;
    for id in ["first", "second"] {
        let sensor = Sensor::start(&path);
        within_seconds(sensor.watched()).await;
        sensor.publish(id);
        within_seconds(watching.lines.wait_for(id)).await;
        sensor.end().await;
    }
    within_seconds(watching.notes.wait_for("the sensor ended; waiting for a sensor")).await;
    assert_eq!(watching.lines.get(), "{\"eventId\":\"first\"}\n{\"eventId\":\"second\"}\n");
    let notes = watching.notes.get();
    assert_eq!(notes.matches("the sensor is there").count(), 2, "{notes}");
    assert_eq!(notes.matches("no sensor serves").count(), 1, "{notes}");
    assert!(watching.told.connected.load(Ordering::Relaxed));
    watching.task.abort();
}

#[tokio::test]
async fn with_once_a_watcher_ends_with_the_sensor() {
    let (_root, path) = place();
    let nobody = within_seconds(follow(&path, true).task).await.unwrap().unwrap_err();
    assert_eq!(nobody.code(), exit::SENSOR);
    let sensor = Sensor::start(&path);
    let watching = follow(&path, true);
    within_seconds(sensor.watched()).await;
    sensor.end().await;
    let ended = within_seconds(watching.task).await.unwrap().unwrap_err();
    assert!(matches!(ended, WatchError::Feed(FeedError::Ended)), "{ended}");
}

#[tokio::test]
async fn a_watcher_that_nobody_reads_ends() {
    let (_root, path) = place();
    let sensor = Sensor::start(&path);
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let follower = Follower {
        socket: path.clone(),
        request: WatchRequest::default(),
        once: false,
        told: Arc::default(),
        notes: io::sink(),
    };
    let output = Output::new(Format::Json, false, Box::new(writer), "a pipe".to_owned());
    let task = tokio::spawn(follower.follow(output));
    within_seconds(sensor.watched()).await;
    sensor.publish("x");
    let ended = within_seconds(task).await.unwrap();
    assert!(matches!(ended, Err(WatchError::Output(OutputError::ReaderGone))));
}

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    watch: WatchArgs,
}

fn arguments(line: &str) -> WatchArgs {
    Cli::try_parse_from(["watch"].into_iter().chain(line.split_whitespace())).unwrap().watch
}

#[tokio::test]
async fn a_filter_that_cannot_be_met_is_refused_without_a_sensor() {
    let error = watch(arguments("--path-prefix usr")).await.unwrap_err();
    assert_eq!(error.code(), exit::USAGE);
}

#[tokio::test]
async fn a_limit_that_ends_before_a_sensor_came_is_a_failure() {
    let (_root, path) = place();
    let never = watch(arguments(&format!("--for 50ms --socket {}", path.display()))).await.unwrap_err();
    assert_eq!(never.code(), exit::SENSOR);
    let _sensor = Sensor::start(&path);
    watch(arguments(&format!("--for 2s --output json --socket {}", path.display()))).await.unwrap();
}

#[test]
fn examples_in_the_help_are_accepted() {
    for line in AFTER_HELP.lines().filter_map(|line| line.strip_prefix("  zastava-sensor watch ")) {
        let example = line.split("  ").next().unwrap().split(" > ").next().unwrap();
        arguments(example);
    }
    assert_eq!(arguments("--kind exec,LOSS").kind, [Named(Kind::ProcessExec), Named(Kind::Loss)]);
}
