//! The Container Runtime Interface: CRI-O, and whatever else speaks it.

mod describe;
#[cfg(test)]
pub(super) mod fake;
pub(super) mod info;
mod poll;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tonic::transport::Channel;

use super::{
    Engine, EngineKind, Settings, Stop,
    client::{Change, Client, Failure, Key, Told, What, in_time},
    grpc::MAX_MESSAGE,
    labels::Texts,
    proto::runtime::v1::{
        self as api, ContainerEventType as Event, image_service_client::ImageServiceClient,
        runtime_service_client::RuntimeServiceClient,
    },
    text::{id, nanoseconds, text},
};

/// Between two looks at the list, where there is no stream of events. A container that starts in between is asked
/// about by the stage.
const POLL: Duration = Duration::from_secs(1);
/// A stream that ends sooner, without any event, was none: it is not offered, or CRI-O's with pod events switched off.
const STREAM_AT_LEAST: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Cri {
    channel: Channel,
    engine: Arc<Engine>,
    settings: Arc<Settings>,
}

/// What the CRI knows of a container's life.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) started: Option<SystemTime>,
    pub(super) stop: Option<Stop>,
}

impl Cri {
    pub(super) fn new(channel: Channel, engine: Arc<Engine>, settings: Arc<Settings>) -> Self {
        Self { channel, engine, settings }
    }

    /// `Unimplemented`: no CRI, or that of a runtime whose containers have no known names.
    pub(super) async fn identify(
        channel: Channel,
        socket: &Path,
        settings: &Arc<Settings>,
    ) -> Result<Self, Failure> {
        let answer = version(&channel).await?;
        let kind = match answer.runtime_name.as_slice() {
            b"cri-o" => EngineKind::CriO,
            b"containerd" => EngineKind::Containerd,
            other => {
                let name = super::grpc::plain(&String::from_utf8_lossy(other));
                return Err(Failure::Unimplemented(format!("the runtime calls itself {name}")));
            }
        };
        let version = text(&answer.runtime_version)?.to_owned();
        let engine = Engine { kind, version, socket: socket.to_owned() };
        Ok(Self::new(channel, Arc::new(engine), Arc::clone(settings)))
    }

    pub(super) async fn life(&self, id: &str) -> Result<Life, Failure> {
        let status = self.container(id, false).await?.status.ok_or(NO_STATUS)?;
        Ok(Life { started: nanoseconds(status.started_at), stop: stop(&status) })
    }

    /// Labels and annotations of a pod, by its sandbox.
    pub(super) async fn texts_of_pod(&self, sandbox: &str) -> Result<(Texts, Texts), Failure> {
        let status = self.sandbox(sandbox, false).await?.status.ok_or(NO_STATUS)?;
        Ok((texts(status.labels), texts(status.annotations)))
    }

    fn runtime(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    async fn container(&self, id: &str, verbose: bool) -> Result<api::ContainerStatusResponse, Failure> {
        let request = api::ContainerStatusRequest { container_id: id.to_owned(), verbose };
        in_time(async { Ok(self.runtime().container_status(request).await?.into_inner()) }).await
    }

    async fn sandbox(&self, id: &str, verbose: bool) -> Result<api::PodSandboxStatusResponse, Failure> {
        let request = api::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose };
        in_time(async { Ok(self.runtime().pod_sandbox_status(request).await?.into_inner()) }).await
    }

    async fn image(&self, image: &[u8]) -> Result<api::ImageStatusResponse, Failure> {
        let mut client = ImageServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let image = api::ImageSpec { image: image.to_owned(), ..api::ImageSpec::default() };
        let request = api::ImageStatusRequest { image: Some(image), verbose: true };
        in_time(async { Ok(client.image_status(request).await?.into_inner()) }).await
    }

    /// All containers and sandboxes, each with whether it runs or has ended.
    async fn states(&self) -> Result<HashMap<Arc<str>, poll::State>, Failure> {
        let containers = in_time(async {
            Ok(self.runtime().list_containers(api::ListContainersRequest {}).await?.into_inner().containers)
        });
        let sandboxes = in_time(async {
            Ok(self.runtime().list_pod_sandbox(api::ListPodSandboxRequest {}).await?.into_inner().items)
        });
        let (containers, sandboxes) = tokio::try_join!(containers, sandboxes)?;
        let containers = containers.iter().map(|one| (&one.id, poll::State::of_container(one.state())));
        let sandboxes = sandboxes.iter().map(|one| (&one.id, poll::State::of_sandbox(one.state())));
        let named =
            containers.chain(sandboxes).filter_map(|(own, state)| Some((id(own).ok()?.into(), state)));
        Ok(named.collect())
    }

    /// Until it ends; `worked` once something came of it.
    async fn stream(&self, changes: &mpsc::Sender<Change>, worked: &mut bool) -> Failure {
        // Without a time limit: the headers of the answer come with the first event.
        let mut events = match self.runtime().get_container_events(api::GetEventsRequest {}).await {
            Ok(events) => events.into_inner(),
            Err(status) => return status.into(),
        };
        loop {
            match events.message().await {
                Ok(Some(event)) => {
                    *worked = true;
                    let key = match id(&event.container_id) {
                        Ok(own) => Key { id: own.into(), namespace: None },
                        Err(failure) => {
                            tracing::debug!(%failure, "an event of the CRI cannot be read");
                            continue;
                        }
                    };
                    let change = Change { key, what: what(event.container_event_type()) };
                    if changes.send(change).await.is_err() {
                        return Failure::Lost("nobody listens any more".to_owned());
                    }
                }
                Ok(None) => return Failure::Lost("the stream of events ended".to_owned()),
                Err(status) => return status.into(),
            }
        }
    }

    async fn poll(&self, changes: &mpsc::Sender<Change>) -> Failure {
        // What changed since the session's own list is among all that the first look finds.
        let mut before = HashMap::new();
        loop {
            let now = match self.states().await {
                Ok(states) => states,
                Err(failure) => return failure,
            };
            for change in poll::changes(&before, &now) {
                if changes.send(change).await.is_err() {
                    return Failure::Lost("nobody listens any more".to_owned());
                }
            }
            before = now;
            time::sleep(POLL).await;
        }
    }
}

const NO_STATUS: Failure = Failure::Malformed("an answer without a status");

async fn version(channel: &Channel) -> Result<api::VersionResponse, Failure> {
    let mut client = RuntimeServiceClient::new(channel.clone());
    let request = api::VersionRequest { version: "0.1.0".to_owned() };
    in_time(async { Ok(client.version(request).await?.into_inner()) }).await
}

fn what(event: Event) -> What {
    match event {
        Event::ContainerCreatedEvent => What::Changed,
        Event::ContainerStartedEvent => What::Started { pid: None, rootfs: None, at: None },
        Event::ContainerStoppedEvent => What::Stopped(None),
        Event::ContainerDeletedEvent => What::Removed,
    }
}

/// How it ended, if it did.
fn stop(status: &api::ContainerStatus) -> Option<Stop> {
    if status.state() != api::ContainerState::ContainerExited {
        return None;
    }
    let reason = text(&status.reason).ok().filter(|reason| !reason.is_empty()).map(str::to_owned);
    let code = u32::try_from(status.exit_code).ok();
    Some(Stop {
        oom: reason.as_deref().map(|reason| reason == "OOMKilled"),
        at: nanoseconds(status.finished_at),
        reason,
        ..code.map(Stop::with_code).unwrap_or_default()
    })
}

/// Those that are UTF-8.
fn texts(entries: Vec<api::Entry>) -> Texts {
    let both =
        |api::Entry { key, value }| Some((String::from_utf8(key).ok()?, String::from_utf8(value).ok()?));
    entries.into_iter().filter_map(both).collect()
}

impl Client for Cri {
    fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    async fn alive(&self) -> Result<(), Failure> {
        version(&self.channel).await.map(drop)
    }

    async fn watch(&self, changes: mpsc::Sender<Change>) -> Failure {
        let began = Instant::now();
        let mut worked = false;
        let ended = self.stream(&changes, &mut worked).await;
        worked |= began.elapsed() >= STREAM_AT_LEAST;
        // One that worked is begun anew, with a list of what happened meanwhile.
        let is_none = match &ended {
            Failure::Unimplemented(_) => true,
            Failure::Refused(_) => !worked,
            Failure::Lost(_) => !worked && self.alive().await.is_ok(),
            _ => false,
        };
        if !is_none {
            return ended;
        }
        let engine = self.engine.kind.word();
        tracing::info!(engine, why = %ended, "no stream of events: the list is polled");
        self.poll(&changes).await
    }

    async fn list(&self) -> Result<Vec<Key>, Failure> {
        let states = self.states().await?;
        Ok(states.into_keys().map(|id| Key { id, namespace: None }).collect())
    }

    async fn describe(&self, key: &Key) -> Result<Told, Failure> {
        match self.container(&key.id, true).await {
            Ok(answer) => self.describe_container(key, answer).await,
            Err(Failure::Unknown) => self.describe_sandbox(key).await,
            Err(failure) => Err(failure),
        }
    }
}
