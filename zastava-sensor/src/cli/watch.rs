//! `zastava-sensor watch`: what a running sensor sees, live.

#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::{Args, ValueEnum};
use tokio::{
    signal::unix::{SignalKind, signal},
    time,
};
use zastava_common::{
    config::Sensor,
    event::v1::{WatchRequest, watch_response::Message},
};

use super::{duration::Span, exit, fail, log};
use crate::deliver::{Feed, FeedError, Filter, FilterError, Format, Named, Output, OutputError};

/// Show what a running sensor sees, from now on.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct WatchArgs {
    /// Unix socket of the sensor
    #[arg(long, value_name = "PATH", default_value_os_t = default_socket())]
    socket: PathBuf,
    /// These kinds alone: exec, exit, lib, file, listen, loss, start, stop, drift, violation, attestation.
    /// Losses of these kinds are always told
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<Named>,
    /// This container alone, by its name, pod/name, namespace/pod/name, its id or at least four characters of its id's
    /// beginning; `host` is what runs in no container. May be given several times
    #[arg(long, value_name = "CONTAINER")]
    container: Vec<String>,
    /// Files and programs at or below this path alone. May be given several times
    #[arg(long, value_name = "PATH")]
    path_prefix: Vec<String>,
    /// Readable lines, or the JSON envelope one per line
    #[arg(long, value_name = "FORM", default_value = "pretty")]
    output: OutputChoice,
    /// End after this time: 500ms, 10s, 5m, 2h
    #[arg(long = "for", value_name = "DURATION")]
    limit: Option<Span>,
    /// End when the sensor is not there or goes away, instead of waiting for it
    #[arg(long)]
    once: bool,
    /// No colours, as with the variable `NO_COLOR`
    #[arg(long)]
    no_color: bool,
}

const AFTER_HELP: &str = "\
Examples:
  zastava-sensor watch --container 3f2a9c --kind exec,exit  processes of one container
  zastava-sensor watch --path-prefix /usr/local/bin         whatever concerns these files
  zastava-sensor watch --output json --for 1m > minute.json
  zastava-sensor watch --once                               for scripts: code 4 when no sensor is there

A watcher that reads too slowly loses events of its own, and says how many on the standard error.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputChoice {
    Pretty,
    Json,
}

pub(super) fn default_socket() -> PathBuf {
    Sensor::default().watch_socket.as_path().to_owned()
}

/// From one attempt to reach the sensor to the next.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("no sensor answered at {0} in time")]
    NeverThere(PathBuf),
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

impl WatchError {
    fn code(&self) -> u8 {
        match self {
            Self::Filter(_) | Self::Feed(FeedError::Refused(_)) => exit::USAGE,
            Self::Feed(_) | Self::NeverThere(_) => exit::SENSOR,
            Self::Output(_) | Self::Signals(_) => exit::FAILED,
        }
    }
}

pub(super) fn run(arguments: WatchArgs) -> ExitCode {
    if let Err(error) = log::start(log::colour(arguments.no_color)) {
        return fail(exit::USAGE, &error);
    }
    // Two: one may be held up by a standard output that nobody reads, the other one still hears Ctrl-C.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(exit::FAILED, &format_args!("cannot start: {error}")),
    };
    let ended = runtime.block_on(watch(arguments));
    // Does not wait for who is held up.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.code(), &error),
    }
}

async fn watch(arguments: WatchArgs) -> Result<(), WatchError> {
    let WatchArgs { socket, kind, container, path_prefix, output, limit, once, no_color } = arguments;
    let request = WatchRequest {
        kinds: kind.into_iter().map(|Named(kind)| kind.into()).collect(),
        containers: container,
        path_prefixes: path_prefix,
    };
    // What the sensor would refuse needs no sensor to be refused.
    Filter::try_from(request.clone())?;
    let format = match output {
        OutputChoice::Pretty => Format::Pretty,
        OutputChoice::Json => Format::Json,
    };
    let output = Output::stdout(format, log::colour(no_color))?;
    let told = Arc::new(Told::default());
    let follower =
        Follower { socket: socket.clone(), request, once, told: Arc::clone(&told), notes: io::stderr() };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(WatchError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(WatchError::Signals)?;
    let following = tokio::spawn(follower.follow(output));
    let ended = tokio::select! {
        // A panic was printed by itself.
        ended = following => ended.unwrap_or(Ok(())),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        () = time::sleep(limit.map_or(Duration::MAX, |Span(limit)| limit)) => {
            if told.connected.load(Ordering::Relaxed) { Ok(()) } else { Err(WatchError::NeverThere(socket)) }
        }
    };
    let missed = told.missed.load(Ordering::Relaxed);
    if missed > 0 {
        eprintln!("missed in all: {missed} events");
    }
    match ended {
        Err(WatchError::Output(OutputError::ReaderGone)) => Ok(()),
        ended => ended,
    }
}

/// What one end of the watch knows of the other.
#[derive(Debug, Default)]
struct Told {
    connected: AtomicBool,
    missed: AtomicU64,
}

/// Stays with a sensor, also over its restarts.
struct Follower<W> {
    socket: PathBuf,
    request: WatchRequest,
    once: bool,
    told: Arc<Told>,
    /// For what is not an event.
    notes: W,
}

impl<W: Write> Follower<W> {
    /// Ends only by an error.
    async fn follow(mut self, mut output: Output) -> Result<(), WatchError> {
        let mut pause = FIRST_PAUSE;
        let mut away = false;
        loop {
            let error = match Feed::open(&self.socket, self.request.clone()).await {
                Ok(feed) => {
                    self.told.connected.store(true, Ordering::Relaxed);
                    if std::mem::take(&mut away) {
                        self.note(format_args!("the sensor is there: events from now on"));
                    }
                    pause = FIRST_PAUSE;
                    self.pass_on(feed, &mut output).await?
                }
                Err(error) => error,
            };
            if self.once || matches!(error, FeedError::Refused(_)) {
                return Err(error.into());
            }
            if !std::mem::replace(&mut away, true) {
                self.note(format_args!("{error}; waiting for a sensor"));
            }
            time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Returns why there are no more.
    async fn pass_on(&mut self, mut feed: Feed, output: &mut Output) -> Result<FeedError, OutputError> {
        loop {
            let messages = match feed.next().await {
                Ok(messages) => messages,
                Err(error) => return Ok(error),
            };
            let mut missed = 0;
            for message in messages {
                match message {
                    Message::Event(event) => output.push(&event)?,
                    Message::Missed(count) => missed += count,
                }
            }
            output.flush()?;
            if missed > 0 {
                self.told.missed.fetch_add(missed, Ordering::Relaxed);
                self.note(format_args!("missed {missed} events: this watcher reads too slowly"));
            }
        }
    }

    fn note(&mut self, note: std::fmt::Arguments<'_>) {
        // Who closed the standard error does not want to know.
        let _ = writeln!(self.notes, "zastava-sensor: {note}");
    }
}
