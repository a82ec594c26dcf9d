//! A consumer of a sensor's `Watch` service, which notes when each event came.

use std::{
    path::Path,
    sync::mpsc::{Receiver, channel},
    thread,
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use tokio::runtime::Builder;
use zastava_common::event::{
    json::MAX_JSON,
    v1::{Event, WatchRequest, event::Kind, event_stream_client::EventStreamClient, watch_response::Message},
};

use crate::runtimes::unix;

/// An event and when it was here.
#[derive(Clone, Debug)]
pub struct Came {
    pub event: Event,
    pub at: SystemTime,
}

/// Follows these kinds on a thread of its own. What happens after this returned comes.
pub fn follow(socket: &Path, kinds: &[Kind]) -> Result<Receiver<Came>> {
    let (sender, came) = channel();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let channel = runtime.block_on(unix::connect(socket, None)).context("no sensor")?;
    let request = WatchRequest {
        kinds: kinds.iter().map(|kind| i32::from(*kind)).collect(),
        ..WatchRequest::default()
    };
    let mut client = EventStreamClient::new(channel).max_decoding_message_size(MAX_JSON);
    let answer = runtime.block_on(client.watch(request)).context("Watch")?;
    thread::spawn(move || {
        runtime.block_on(async move {
            let mut messages = answer.into_inner();
            while let Ok(Some(answer)) = messages.message().await {
                let at = SystemTime::now();
                let Some(Message::Event(event)) = answer.message else { continue };
                if sender.send(Came { event, at }).is_err() {
                    return;
                }
            }
        });
    });
    Ok(came)
}
