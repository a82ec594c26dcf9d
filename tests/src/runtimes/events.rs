//! A bare client of containerd's events: what a program hears that asks nothing else.

use std::{
    path::Path,
    sync::mpsc::{Receiver, channel},
    thread,
    time::SystemTime,
};

use anyhow::Result;
use prost::Message as _;
use tokio::runtime::Builder;

use self::v1::{SubscribeRequest, TaskStart, events_client::EventsClient};
use super::unix;

/// Messages and clients, as `build.rs` generates them.
#[allow(
    clippy::allow_attributes_without_reason,
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    missing_docs,
    unreachable_pub,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("containerd.services.events.v1");
}

/// A task's start, and when it was heard of.
#[derive(Clone, Debug)]
pub struct Heard {
    pub container: String,
    pub at: SystemTime,
}

/// Follows `/tasks/start` on a thread of its own. The subscription is there when the first event is: containerd answers
/// with it, and not before.
pub fn task_starts(socket: &Path) -> Result<Receiver<Heard>> {
    let (sender, heard) = channel();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let channel = runtime.block_on(unix::connect(socket, None))?;
    thread::spawn(move || {
        runtime.block_on(async move {
            let filters = vec!["topic==\"/tasks/start\"".to_owned()];
            let request = SubscribeRequest { filters };
            let Ok(answer) = EventsClient::new(channel).subscribe(request).await else { return };
            let mut envelopes = answer.into_inner();
            while let Ok(Some(envelope)) = envelopes.message().await {
                let at = SystemTime::now();
                let start = envelope.event.and_then(|event| TaskStart::decode(&*event.value).ok());
                let Some(TaskStart { container_id, .. }) = start else { continue };
                if sender.send(Heard { container: container_id, at }).is_err() {
                    return;
                }
            }
        });
    });
    Ok(heard)
}
