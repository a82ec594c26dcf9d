//! A fake runtime that speaks the CRI in CRI-O's dialect, for CRI-O itself is in no distribution that the tests use.
//!
//! What it says is modelled on a private CRI-O 1.37: image references are repo digests, image ids have no `sha256:`,
//! `info` has a `runtimeSpec` and no `config`, sandboxes have no pid.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::json;
use tokio::{
    net::UnixListener,
    runtime::{self, Runtime},
    sync::{broadcast, watch},
    time::timeout,
};
use tokio_stream::{
    Stream, StreamExt,
    wrappers::{BroadcastStream, UnixListenerStream},
};
use tonic::{Request, Response, Status, transport::Server};

use super::api::{
    self, ContainerEventType, ContainerState,
    image_service_server::{ImageService, ImageServiceServer},
    runtime_service_server::{RuntimeService, RuntimeServiceServer},
};

pub(in super::super) const SANDBOX: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
pub(in super::super) const CONTAINER: &str =
    "c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0";
pub(in super::super) const CONFIG: &str = "1111111111111111111111111111111111111111111111111111111111111111";
pub(in super::super) const DIGEST: &str =
    "sha256:2222222222222222222222222222222222222222222222222222222222222222";
pub(in super::super) const LAYER: &str =
    "sha256:3333333333333333333333333333333333333333333333333333333333333333";
const POD: &str = "0c4a9d1e-6f0b-4c52-9d0a-2f6c1d7e8b90";

/// An id whose event is an error.
const BREAKS: &str = "";

/// What the runtime has. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(in super::super) struct FakeCri {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<(String, ContainerEventType)>,
    /// How often all containers were asked for.
    lists: watch::Sender<u32>,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<String, api::ContainerStatus>,
    sandboxes: BTreeMap<String, api::PodSandboxStatus>,
    /// Id to name of those that are there from the first question about them on, which has no answer yet.
    late: BTreeMap<String, String>,
    /// Answers UNIMPLEMENTED to who asks for events, as CRI-O does unless told otherwise.
    silent: bool,
}

/// A runtime that serves. Dropped, it is killed, with all its connections: it has an executor of its own.
pub(in super::super) struct Serving {
    pub(in super::super) socket: PathBuf,
    executor: Option<Runtime>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(executor) = self.executor.take() {
            executor.shutdown_background();
        }
    }
}

pub(in super::super) fn entries(all: &[(&str, &str)]) -> Vec<api::Entry> {
    all.iter().map(|(key, value)| api::Entry { key: (*key).into(), value: (*value).into() }).collect()
}

impl FakeCri {
    pub(in super::super) fn new() -> Self {
        Self { state: Arc::default(), events: broadcast::channel(64).0, lists: watch::Sender::default() }
    }

    pub(in super::super) fn without_events(self) -> Self {
        self.with(|state| state.silent = true);
        self
    }

    /// A container of its pod, made and not started.
    pub(in super::super) fn create(&self, id: &str, name: &str) {
        let metadata = api::ContainerMetadata { name: name.into(), attempt: 2 };
        let image = api::ImageSpec {
            image: b"other.example/first/name:9".to_vec(),
            user_specified_image: b"registry.example/team/app:1".to_vec(),
        };
        let status = api::ContainerStatus {
            id: id.into(),
            metadata: Some(metadata),
            state: ContainerState::ContainerCreated.into(),
            created_at: 1_000_000_000,
            image: Some(image),
            image_ref: format!("registry.example/team/app@{DIGEST}").into(),
            image_id: CONFIG.into(),
            labels: entries(&[("io.kubernetes.container.name", name), ("app", "own")]),
            annotations: entries(&[("io.kubernetes.container.restartCount", "2")]),
            mounts: vec![api::Mount {
                container_path: b"/data".to_vec(),
                host_path: b"/srv/data".to_vec(),
                readonly: true,
            }],
            ..api::ContainerStatus::default()
        };
        self.with(|state| {
            state.sandboxes.entry(SANDBOX.to_owned()).or_insert_with(sandbox);
            state.containers.insert(id.to_owned(), status);
        });
        self.tell(id, ContainerEventType::ContainerCreatedEvent);
    }

    /// Creates it as soon as it was asked about in vain.
    pub(in super::super) fn create_late(&self, id: &str, name: &str) {
        self.with(|state| state.late.insert(id.to_owned(), name.to_owned()));
    }

    /// Waits until somebody has looked at the list.
    pub(in super::super) async fn listed(&self) {
        let mut lists = self.lists.subscribe();
        timeout(Duration::from_secs(20), lists.wait_for(|lists| *lists > 0)).await.unwrap().unwrap();
    }

    pub(in super::super) fn change(&self, id: &str, change: impl FnOnce(&mut api::ContainerStatus)) {
        self.with(|state| state.containers.get_mut(id).map(change));
    }

    pub(in super::super) fn start(&self, id: &str) {
        self.change(id, |status| {
            status.set_state(ContainerState::ContainerRunning);
            status.started_at = 2_000_000_000;
        });
        self.tell(id, ContainerEventType::ContainerStartedEvent);
    }

    pub(in super::super) fn end(&self, id: &str, code: i32, reason: &str) {
        self.change(id, |status| {
            status.set_state(ContainerState::ContainerExited);
            status.finished_at = 3_000_000_000;
            status.exit_code = code;
            status.reason = reason.into();
        });
        self.tell(id, ContainerEventType::ContainerStoppedEvent);
    }

    pub(in super::super) fn remove(&self, id: &str) {
        self.with(|state| state.containers.remove(id));
        self.tell(id, ContainerEventType::ContainerDeletedEvent);
    }

    /// An error comes out of every stream of events.
    pub(in super::super) fn break_streams(&self) {
        self.tell(BREAKS, ContainerEventType::ContainerDeletedEvent);
    }

    /// Forgets it without a word.
    pub(in super::super) fn forget(&self, id: &str) {
        self.with(|state| state.containers.remove(id));
    }

    pub(in super::super) fn serve(&self, socket: &Path) -> Serving {
        let _ = std::fs::remove_file(socket);
        self.serve_on(std::os::unix::net::UnixListener::bind(socket).unwrap(), socket)
    }

    /// At a socket at which somebody may be waiting.
    pub(in super::super) fn serve_on(
        &self,
        listener: std::os::unix::net::UnixListener,
        socket: &Path,
    ) -> Serving {
        listener.set_nonblocking(true).unwrap();
        let executor = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let within = executor.enter();
        let listener = UnixListenerStream::new(UnixListener::from_std(listener).unwrap());
        let server = Server::builder()
            .add_service(RuntimeServiceServer::new(self.clone()))
            .add_service(ImageServiceServer::new(self.clone()))
            .serve_with_incoming(listener);
        executor.spawn(server);
        drop(within);
        Serving { socket: socket.to_owned(), executor: Some(executor) }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, id: &str, event: ContainerEventType) {
        // Nobody may listen.
        let _ = self.events.send((id.to_owned(), event));
    }
}

fn sandbox() -> api::PodSandboxStatus {
    let metadata = api::PodSandboxMetadata {
        name: b"web-7c9fbbd8b7-ktd84".to_vec(),
        uid: POD.into(),
        namespace: b"production".to_vec(),
        attempt: 0,
    };
    api::PodSandboxStatus {
        id: SANDBOX.into(),
        metadata: Some(metadata),
        created_at: 500_000_000,
        labels: entries(&[("app", "web"), ("pod-template-hash", "7c9fbbd8b7")]),
        annotations: entries(&[("team", "a")]),
        ..api::PodSandboxStatus::default()
    }
}

/// As CRI-O has it.
fn info(id: &str, pid: u32) -> Vec<api::Entry> {
    let info = json!({
        "sandboxID": SANDBOX,
        "pid": pid,
        "privileged": false,
        "runtimeSpec": {
            "ociVersion": "1.2.1",
            "process": {"args": ["/bin/app", "--serve"], "env": ["SECRET=x"]},
            "root": {"path": format!("/var/lib/containers/storage/overlay/{id}/merged")},
            "linux": {"cgroupsPath": format!("kubepods-burstable-pod1.slice:crio:{id}")},
            "annotations": {
                "io.kubernetes.cri-o.MountPoint": format!("/var/lib/containers/storage/overlay/{id}/merged"),
                "io.kubernetes.cri-o.ImageName": "other.example/first/name:9",
            },
        },
    });
    entries(&[("info", &info.to_string())])
}

#[tonic::async_trait]
impl RuntimeService for FakeCri {
    async fn version(
        &self,
        _: Request<api::VersionRequest>,
    ) -> Result<Response<api::VersionResponse>, Status> {
        let answer =
            api::VersionResponse { runtime_name: b"cri-o".to_vec(), runtime_version: b"1.37.0".to_vec() };
        Ok(Response::new(answer))
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<api::PodSandboxStatusRequest>,
    ) -> Result<Response<api::PodSandboxStatusResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        let status = self.with(|state| state.sandboxes.get(&id).cloned());
        let status = status.ok_or_else(|| Status::not_found("could not find pod sandbox"))?;
        Ok(Response::new(api::PodSandboxStatusResponse { status: Some(status), info: info(&id, 0) }))
    }

    async fn list_pod_sandbox(
        &self,
        _: Request<api::ListPodSandboxRequest>,
    ) -> Result<Response<api::ListPodSandboxResponse>, Status> {
        let one =
            |status: &api::PodSandboxStatus| api::PodSandbox { id: status.id.clone(), state: status.state };
        let items = self.with(|state| state.sandboxes.values().map(one).collect());
        Ok(Response::new(api::ListPodSandboxResponse { items }))
    }

    async fn list_containers(
        &self,
        _: Request<api::ListContainersRequest>,
    ) -> Result<Response<api::ListContainersResponse>, Status> {
        let one = |status: &api::ContainerStatus| api::Container {
            id: status.id.clone(),
            pod_sandbox_id: SANDBOX.into(),
            state: status.state,
        };
        let containers = self.with(|state| state.containers.values().map(one).collect());
        self.lists.send_modify(|lists| *lists += 1);
        Ok(Response::new(api::ListContainersResponse { containers }))
    }

    async fn container_status(
        &self,
        request: Request<api::ContainerStatusRequest>,
    ) -> Result<Response<api::ContainerStatusResponse>, Status> {
        let id = request.into_inner().container_id;
        let status = self.with(|state| state.containers.get(&id).cloned());
        if let Some(name) = self.with(|state| state.late.remove(&id)) {
            self.create(&id, &name);
        }
        let status = status.ok_or_else(|| Status::not_found("could not find container"))?;
        let runs = status.state() == ContainerState::ContainerRunning;
        let info = info(&id, if runs { 4242 } else { 0 });
        Ok(Response::new(api::ContainerStatusResponse { status: Some(status), info }))
    }

    type GetContainerEventsStream =
        Pin<Box<dyn Stream<Item = Result<api::ContainerEventResponse, Status>> + Send>>;

    async fn get_container_events(
        &self,
        _: Request<api::GetEventsRequest>,
    ) -> Result<Response<Self::GetContainerEventsStream>, Status> {
        if self.with(|state| state.silent) {
            return Err(Status::unimplemented("method GetContainerEvents not implemented"));
        }
        let events = BroadcastStream::new(self.events.subscribe()).filter_map(Result::ok);
        let events = events.map(|(id, event)| match id.as_str() {
            BREAKS => Err(Status::internal("no more events")),
            _ => Ok(api::ContainerEventResponse {
                container_id: id.into_bytes(),
                container_event_type: event.into(),
                created_at: 0,
            }),
        });
        Ok(Response::new(Box::pin(events)))
    }
}

#[tonic::async_trait]
impl ImageService for FakeCri {
    async fn image_status(
        &self,
        request: Request<api::ImageStatusRequest>,
    ) -> Result<Response<api::ImageStatusResponse>, Status> {
        let asked = request.into_inner().image.unwrap_or_default().image;
        if asked != CONFIG.as_bytes() {
            return Ok(Response::new(api::ImageStatusResponse::default()));
        }
        // Two names with one config.
        let image = api::Image {
            id: CONFIG.into(),
            repo_tags: vec![b"other.example/first/name:9".to_vec()],
            repo_digests: vec![
                format!("other.example/first/name@sha256:{}", "9".repeat(64)).into_bytes(),
                format!("registry.example/team/app@{DIGEST}").into_bytes(),
            ],
        };
        let spec: HashMap<&str, _> =
            [("imageSpec", json!({"rootfs": {"type": "layers", "diff_ids": [LAYER]}}))].into();
        let info = entries(&[("info", &json!(spec).to_string())]);
        Ok(Response::new(api::ImageStatusResponse { image: Some(image), info }))
    }
}
