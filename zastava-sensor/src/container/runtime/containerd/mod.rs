//! containerd, by its own API: all its namespaces, and from `/containers/create` on, when its CRI does not yet know
//! the container.

mod describe;
pub(super) mod event;
pub(super) mod image;
pub(super) mod record;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use image::Store;
use tokio::sync::mpsc;
use tonic::{Request, transport::Channel};

use super::{
    Engine, EngineKind, Settings,
    client::{Change, Client, Failure, Key, Told, What, in_time},
    cri::Cri,
    grpc::MAX_MESSAGE,
    proto::{
        containerd::services::{
            containers::v1::containers_client::ContainersClient, events::v1::events_client::EventsClient,
            namespaces::v1::namespaces_client::NamespacesClient,
            snapshots::v1::snapshots_client::SnapshotsClient, tasks::v1::tasks_client::TasksClient,
            version::v1::version_client::VersionClient,
        },
        zastava::containerd as api,
    },
    text::text,
};

/// Docker's own: it describes its containers better, and one container must not be told twice.
const DOCKER_NAMESPACE: &str = "moby";
/// Most namespaces looked into.
const MAX_NAMESPACES: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Containerd {
    channel: Channel,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    settings: Arc<Settings>,
    store: Store,
    /// For how a container of Kubernetes ended while nobody listened.
    cri: Cri,
    /// Where tasks have their bundles: `<state>/io.containerd.runtime.v2.task`. Learned from the first one.
    bundles: Mutex<Option<PathBuf>>,
}

impl Containerd {
    /// `Unimplemented`: something else that speaks gRPC.
    pub(super) async fn identify(
        channel: Channel,
        socket: &Path,
        settings: &Arc<Settings>,
    ) -> Result<Self, Failure> {
        let version = version(&channel).await?;
        let engine = Arc::new(Engine { kind: EngineKind::Containerd, version, socket: socket.to_owned() });
        let shared = Shared {
            store: Store::new(channel.clone()),
            cri: Cri::new(channel.clone(), Arc::clone(&engine), Arc::clone(settings)),
            engine,
            settings: Arc::clone(settings),
            bundles: Mutex::default(),
        };
        Ok(Self { channel, shared: Arc::new(shared) })
    }

    async fn namespaces(&self) -> Result<Vec<Arc<str>>, Failure> {
        let mut client = NamespacesClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let answer = in_time(async { Ok(client.list(api::ListNamespacesRequest {}).await?) }).await?;
        let mut namespaces: Vec<Arc<str>> = Vec::new();
        for namespace in answer.into_inner().namespaces.iter().take(MAX_NAMESPACES) {
            match text(&namespace.name) {
                Ok(DOCKER_NAMESPACE) | Err(_) => {}
                Ok("k8s.io") => namespaces.insert(0, "k8s.io".into()),
                Ok(other) => namespaces.push(other.into()),
            }
        }
        Ok(namespaces)
    }

    async fn container(&self, namespace: &str, id: &str) -> Result<api::Container, Failure> {
        let mut client = ContainersClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let request = within(namespace, api::GetContainerRequest { id: id.to_owned() })?;
        let answer = in_time(async { Ok(client.get(request).await?) }).await?;
        answer.into_inner().container.ok_or(Failure::Malformed("an answer without a container"))
    }

    async fn task(&self, namespace: &str, id: &str) -> Result<api::Process, Failure> {
        let mut client = TasksClient::new(self.channel.clone());
        let request = within(namespace, api::GetTaskRequest { container_id: id.to_owned() })?;
        let answer = in_time(async { Ok(client.get(request).await?) }).await?;
        answer.into_inner().process.ok_or(Failure::Malformed("an answer without a task"))
    }

    async fn mounts(
        &self,
        namespace: &str,
        snapshotter: &str,
        key: &str,
    ) -> Result<Vec<api::Mount>, Failure> {
        let mut client = SnapshotsClient::new(self.channel.clone());
        let request = api::MountsRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        let request = within(namespace, request)?;
        let answer = in_time(async { Ok(client.mounts(request).await?) }).await?;
        Ok(answer.into_inner().mounts)
    }

    /// The chain id of the image layers below a container's own.
    async fn chain_id(&self, namespace: &str, snapshotter: &str, key: &str) -> Result<String, Failure> {
        let mut client = SnapshotsClient::new(self.channel.clone());
        let request = api::StatSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        let request = within(namespace, request)?;
        let answer = in_time(async { Ok(client.stat(request).await?) }).await?;
        let info = answer.into_inner().info.ok_or(Failure::Malformed("an answer without a snapshot"))?;
        Ok(text(&info.parent)?.to_owned())
    }

    /// Where a container's task has its root, once one bundle was seen.
    fn root_of(&self, namespace: &str, id: &str) -> Option<PathBuf> {
        let bundles = self.shared.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        bundles.as_deref().map(|bundles| bundles.join(namespace).join(id).join("rootfs"))
    }

    /// Learns where bundles are from where one of them has its root.
    fn learn_bundles(&self, root: &Path, key: &Key) {
        let mut ends = root.ancestors().skip(1);
        let id = ends.next().and_then(Path::file_name);
        let namespace = ends.next().and_then(Path::file_name);
        let fits = id.is_some_and(|id| *id == *key.id)
            && key.namespace.as_ref().is_some_and(|own| namespace.is_some_and(|found| *found == **own));
        if let (true, Some(bundles)) = (fits, ends.next()) {
            let mut known = self.shared.bundles.lock().unwrap_or_else(PoisonError::into_inner);
            *known = Some(bundles.to_owned());
        }
    }
}

async fn version(channel: &Channel) -> Result<String, Failure> {
    let mut client = VersionClient::new(channel.clone());
    let answer = in_time(async { Ok(client.version(api::VersionRequest {}).await?) }).await?;
    Ok(text(&answer.into_inner().version)?.to_owned())
}

/// A request that concerns one namespace.
fn within<T>(namespace: &str, message: T) -> Result<Request<T>, Failure> {
    let namespace = namespace.parse().map_err(|_| Failure::Malformed("a namespace's name"))?;
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", namespace);
    Ok(request)
}

impl Client for Containerd {
    fn engine(&self) -> &Arc<Engine> {
        &self.shared.engine
    }

    async fn alive(&self) -> Result<(), Failure> {
        version(&self.channel).await.map(drop)
    }

    async fn watch(&self, changes: mpsc::Sender<Change>) -> Failure {
        let mut client = EventsClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        // Without a time limit: containerd sends the headers of its answer with the first event.
        let mut events = match client.subscribe(api::SubscribeRequest { filters: event::filters() }).await {
            Ok(events) => events.into_inner(),
            Err(status) => return status.into(),
        };
        loop {
            match events.message().await {
                Ok(Some(envelope)) => match event::change(&envelope) {
                    Ok(Some(change)) => {
                        if let What::Started { rootfs: Some(root), .. } = &change.what {
                            self.learn_bundles(root, &change.key);
                        }
                        if changes.send(change).await.is_err() {
                            return Failure::Lost("nobody listens any more".to_owned());
                        }
                    }
                    Ok(None) => {}
                    Err(failure) => tracing::debug!(%failure, "an event of containerd cannot be read"),
                },
                Ok(None) => return Failure::Lost("the stream of events ended".to_owned()),
                Err(status) => return status.into(),
            }
        }
    }

    async fn list(&self) -> Result<Vec<Key>, Failure> {
        let mut keys = Vec::new();
        for namespace in self.namespaces().await? {
            let mut client =
                ContainersClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
            let request = within(&namespace, api::ListContainersRequest::default())?;
            let mut answers = in_time(async { Ok(client.list_stream(request).await?) }).await?.into_inner();
            while let Some(answer) = in_time(async { Ok(answers.message().await?) }).await? {
                let container = answer.container.unwrap_or_default();
                // Others cannot be the name of a cgroup that the kernel tells.
                if let Ok(id) = super::text::id(&container.id) {
                    keys.push(Key { id: id.into(), namespace: Some(Arc::clone(&namespace)) });
                }
            }
        }
        Ok(keys)
    }

    async fn describe(&self, key: &Key) -> Result<Told, Failure> {
        if key.namespace.is_some() {
            return Box::pin(self.describe_one(key)).await;
        }
        for namespace in self.namespaces().await? {
            let within = Key { namespace: Some(namespace), ..key.clone() };
            match Box::pin(self.describe_one(&within)).await {
                Err(Failure::Unknown) => {}
                answered => return answered,
            }
        }
        Err(Failure::Unknown)
    }
}
