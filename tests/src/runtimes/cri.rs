//! Drives a runtime by the Container Runtime Interface, as the kubelet does.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Status, transport::Channel};

use self::v1::{
    Capability, ContainerConfig, ContainerMetadata, ContainerStatusRequest, CreateContainerRequest,
    ExecSyncRequest, ExecSyncResponse, ImageSpec, Int64Value, LinuxContainerConfig, LinuxContainerResources,
    LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, Mount,
    MountPropagation, NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata, PullImageRequest,
    RemoveContainerRequest, RemovePodSandboxRequest, RunPodSandboxRequest, SecurityProfile,
    StartContainerRequest, StopContainerRequest, StopPodSandboxRequest, VersionRequest, VersionResponse,
    image_service_client::ImageServiceClient, runtime_service_client::RuntimeServiceClient,
    security_profile::ProfileType,
};
pub use self::v1::{ContainerState, ContainerStatus};
use super::{reap::remove_cgroup, unix};

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
    tonic::include_proto!("runtime.v1");
}

/// One call; a busy machine may need seconds to begin a pod.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(5);
/// Characters of a container's name in that of its log.
const MOST_OF_NAME: usize = 50;

/// A connection.
pub struct Cri {
    runtime: Runtime,
    pods: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
}

/// What a pod is to be.
#[derive(Clone, Debug, Default)]
pub struct PodWish {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub labels: HashMap<String, String>,
    pub annotations: HashMap<String, String>,
    /// Empty: the runtime's own place.
    pub cgroup_parent: String,
    pub logs: PathBuf,
    /// In the pid namespace of this machine.
    pub host_pid: bool,
}

/// A pod that runs.
#[derive(Clone, Debug)]
pub struct Pod {
    pub id: String,
    config: PodSandboxConfig,
}

/// What a container is to be.
#[derive(Clone, Debug, Default)]
pub struct ContainerWish {
    pub name: String,
    pub image: String,
    /// Instead of the image's entrypoint.
    pub command: Vec<String>,
    pub args: Vec<String>,
    /// Of this machine, and where in the container; read only.
    pub mounts: Vec<(PathBuf, String)>,
    /// The same, to write to.
    pub writable: Vec<(PathBuf, String)>,
    pub labels: HashMap<String, String>,
    pub annotations: HashMap<String, String>,
    /// Bytes.
    pub memory: Option<i64>,
    /// `None`: as the runtime has it for everyone.
    pub security: Option<Security>,
}

/// What a container may, as a pod's securityContext says it.
#[derive(Clone, Debug, Default)]
pub struct Security {
    pub host_pid: bool,
    pub user: i64,
    pub add: Vec<String>,
    pub drop: Vec<String>,
    pub read_only_root: bool,
    pub no_new_privileges: bool,
    /// Under the runtime's own filter of system calls.
    pub default_seccomp: bool,
}

impl Cri {
    pub fn connect(socket: &Path) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let channel = runtime
            .block_on(unix::connect(socket, Some(PATIENCE)))
            .with_context(|| format!("cannot connect to {}", socket.display()))?;
        let cri = Self {
            runtime,
            pods: RuntimeServiceClient::new(channel.clone()),
            images: ImageServiceClient::new(channel),
        };
        cri.await_ready()?;
        Ok(cri)
    }

    /// The socket is there before its services are.
    fn await_ready(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.runtime.block_on(self.pods.clone().version(VersionRequest::default())) {
                Ok(_) => return Ok(()),
                Err(status) if is_starting(&status) && Instant::now() < deadline => {}
                Err(status) => return Err(status).context("Version"),
            }
            std::thread::sleep(PAUSE);
        }
    }

    pub fn version(&self) -> Result<VersionResponse> {
        let answer = self.runtime.block_on(self.pods.clone().version(VersionRequest::default()));
        Ok(answer.context("Version")?.into_inner())
    }

    /// What the runtime calls the image.
    pub fn pull(&self, reference: &str) -> Result<String> {
        let request = PullImageRequest { image: Some(image(reference)) };
        let answer = self.runtime.block_on(self.images.clone().pull_image(request));
        Ok(answer.with_context(|| format!("PullImage {reference}"))?.into_inner().image_ref)
    }

    /// A pod in the network of this machine, which needs no plugin.
    pub fn run_pod(&self, wish: &PodWish) -> Result<Pod> {
        let PodWish { name, namespace, uid, labels, annotations, cgroup_parent, logs, host_pid } =
            wish.clone();
        let pid = if host_pid { NamespaceMode::Node } else { NamespaceMode::Pod };
        let options = NamespaceOption {
            network: NamespaceMode::Node.into(),
            pid: pid.into(),
            ..NamespaceOption::default()
        };
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata { name, uid, namespace, attempt: 0 }),
            hostname: String::new(),
            log_directory: logs.to_string_lossy().into_owned(),
            labels,
            annotations,
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent,
                security_context: Some(LinuxSandboxSecurityContext { namespace_options: Some(options) }),
            }),
        };
        let request = RunPodSandboxRequest { config: Some(config.clone()) };
        let answer = self.runtime.block_on(self.pods.clone().run_pod_sandbox(request));
        Ok(Pod { id: answer.context("RunPodSandbox")?.into_inner().pod_sandbox_id, config })
    }

    pub fn create(&self, pod: &Pod, wish: &ContainerWish) -> Result<String> {
        let ContainerWish {
            name,
            image: reference,
            command,
            args,
            mounts,
            writable,
            labels,
            annotations,
            memory,
            security,
        } = wish.clone();
        let mount = |((host, container), readonly): ((PathBuf, String), bool)| Mount {
            container_path: container,
            host_path: host.to_string_lossy().into_owned(),
            readonly,
            propagation: MountPropagation::PropagationPrivate.into(),
        };
        let mounts = mounts.into_iter().map(|mount| (mount, true));
        let mounts = mounts.chain(writable.into_iter().map(|mount| (mount, false)));
        let config = ContainerConfig {
            log_path: log_of(&name),
            metadata: Some(ContainerMetadata { name, attempt: 0 }),
            image: Some(image(&reference)),
            command,
            args,
            envs: Vec::new(),
            mounts: mounts.map(mount).collect(),
            labels,
            annotations,
            linux: Some(LinuxContainerConfig {
                resources: memory.map(|bytes| LinuxContainerResources { memory_limit_in_bytes: bytes }),
                security_context: Some(security.unwrap_or_default().context()),
            }),
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let answer = self.runtime.block_on(self.pods.clone().create_container(request));
        Ok(answer.context("CreateContainer")?.into_inner().container_id)
    }

    pub fn start(&self, container: &str) -> Result<()> {
        let request = StartContainerRequest { container_id: container.to_owned() };
        self.runtime.block_on(self.pods.clone().start_container(request)).context("StartContainer")?;
        Ok(())
    }

    /// Creates and starts a container; its id.
    pub fn run(&self, pod: &Pod, wish: &ContainerWish) -> Result<String> {
        let container = self.create(pod, wish)?;
        self.start(&container)?;
        Ok(container)
    }

    pub fn exec(&self, container: &str, command: &[&str]) -> Result<ExecSyncResponse> {
        let request = ExecSyncRequest {
            container_id: container.to_owned(),
            cmd: command.iter().map(|word| (*word).to_owned()).collect(),
            timeout: PATIENCE.as_secs().cast_signed(),
        };
        let answer = self.runtime.block_on(self.pods.clone().exec_sync(request));
        Ok(answer.with_context(|| format!("ExecSync {command:?}"))?.into_inner())
    }

    pub fn status(&self, container: &str) -> Result<ContainerStatus> {
        self.verbose(container, false)?.status.context("a status without one")
    }

    /// The first process of a container, in the pid namespace of this machine.
    pub fn pid(&self, container: &str) -> Result<u32> {
        let info = self.verbose(container, true)?.info;
        let info: serde_json::Value =
            serde_json::from_str(info.get("info").context("a status without info")?)?;
        let pid = info["pid"].as_u64().context("an info without pid")?;
        Ok(u32::try_from(pid)?)
    }

    fn verbose(&self, container: &str, verbose: bool) -> Result<v1::ContainerStatusResponse> {
        let request = ContainerStatusRequest { container_id: container.to_owned(), verbose };
        let answer = self.runtime.block_on(self.pods.clone().container_status(request));
        Ok(answer.context("ContainerStatus")?.into_inner())
    }

    /// Waits for its end.
    pub fn ended(&self, container: &str) -> Result<ContainerStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(container)?;
            if status.state() == ContainerState::ContainerExited {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("container {container} does not end: {status:?}");
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// SIGTERM, and SIGKILL after so many seconds.
    pub fn stop(&self, container: &str, timeout: i64) -> Result<()> {
        let request = StopContainerRequest { container_id: container.to_owned(), timeout };
        self.runtime.block_on(self.pods.clone().stop_container(request)).context("StopContainer")?;
        Ok(())
    }

    pub fn remove(&self, container: &str) -> Result<()> {
        let request = RemoveContainerRequest { container_id: container.to_owned() };
        self.runtime.block_on(self.pods.clone().remove_container(request)).context("RemoveContainer")?;
        Ok(())
    }

    /// Stops and removes a pod with all that is in it.
    pub fn remove_pod(&self, pod: &Pod) -> Result<()> {
        let mut pods = self.pods.clone();
        let stop = StopPodSandboxRequest { pod_sandbox_id: pod.id.clone() };
        self.runtime.block_on(pods.stop_pod_sandbox(stop)).context("StopPodSandbox")?;
        let remove = RemovePodSandboxRequest { pod_sandbox_id: pod.id.clone() };
        self.runtime.block_on(pods.remove_pod_sandbox(remove)).context("RemovePodSandbox")?;
        let parent = pod.config.linux.as_ref().map_or("", |linux| &linux.cgroup_parent);
        if parent.is_empty() { Ok(()) } else { remove_cgroup(parent) }
    }
}

impl Security {
    fn context(self) -> LinuxContainerSecurityContext {
        let Self { host_pid, user, add, drop, read_only_root, no_new_privileges, default_seccomp } = self;
        let pid = if host_pid { NamespaceMode::Node } else { NamespaceMode::Container };
        let seccomp = if default_seccomp { ProfileType::RuntimeDefault } else { ProfileType::Unconfined };
        LinuxContainerSecurityContext {
            capabilities: Some(Capability { add_capabilities: add, drop_capabilities: drop }),
            namespace_options: Some(NamespaceOption {
                network: NamespaceMode::Node.into(),
                pid: pid.into(),
                ..NamespaceOption::default()
            }),
            run_as_user: Some(Int64Value { value: user }),
            readonly_rootfs: read_only_root,
            no_new_privs: no_new_privileges,
            seccomp: Some(SecurityProfile { profile_type: seccomp.into() }),
        }
    }
}

/// A file's name has room for 255 bytes.
fn log_of(container: &str) -> String {
    format!("{}.log", container.chars().take(MOST_OF_NAME).collect::<String>())
}

fn image(reference: &str) -> ImageSpec {
    ImageSpec { image: reference.to_owned(), annotations: HashMap::new() }
}

/// containerd 1.6 answers so until its plugin is up.
fn is_starting(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unimplemented | Code::Unknown | Code::DeadlineExceeded)
}
