//! The runtimes behind one face: what a test asks of each of them.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    containers::images::Images,
    runtimes::{
        Series,
        cli::{Cli, RunWish},
        containerd::Containerd,
        cri::{ContainerWish, Cri, Pod, PodWish},
        docker::Docker,
        podman::Podman,
    },
    stage::Stop,
};

/// Labels and annotations that begin so are told, and no others.
pub const TELLABLE: &str = "org.example/";
/// Of a pod's template, as a Deployment writes it.
pub(super) const HASH: &str = "5d4f8c9b7";

/// Which runtime.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Containerd(Series),
    /// The same, of which the sensor sees nothing but the CRI.
    Cri(Series),
    Docker,
    Podman,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Containerd(Series::V1_6),
        Self::Containerd(Series::V1_7),
        Self::Containerd(Series::V2),
        Self::Cri(Series::V1_6),
        Self::Cri(Series::V1_7),
        Self::Cri(Series::V2),
        Self::Docker,
        Self::Podman,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Containerd(series) => series.name(),
            Self::Cri(Series::V1_6) => "cri-1.6",
            Self::Cri(Series::V1_7) => "cri-1.7",
            Self::Cri(Series::V2) => "cri-2",
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    /// As events name it.
    pub const fn engine(self) -> &'static str {
        match self {
            Self::Containerd(_) | Self::Cri(_) => "containerd",
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A runtime that runs.
pub enum Runtime {
    Containerd(Box<Containerd>, Cri),
    Docker(Docker),
    Podman(Podman),
}

/// What a container is to be, in any of them.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Of the container; empty: one that nobody else has.
    pub name: String,
    pub image: String,
    /// Empty: the image's own.
    pub command: Vec<String>,
    /// Of this machine, and where in the container; read only.
    pub mounts: Vec<(PathBuf, String)>,
    /// The same, to write to.
    pub writable: Vec<(PathBuf, String)>,
    pub labels: Vec<(String, String)>,
    /// Bytes.
    pub memory: Option<u64>,
}

/// A container that was started, and what the test knows of it from its own doing.
#[derive(Clone, Debug)]
pub struct Ran {
    pub id: String,
    pub name: String,
    /// `None`: the runtime knows no pods.
    pub pod: Option<InPod>,
    pub image: String,
    /// As it was started.
    pub wish: Wish,
    /// Before anything of it was begun.
    pub begun: Instant,
}

#[derive(Clone, Debug)]
pub struct InPod {
    pub pod: Pod,
    pub wish: PodWish,
}

impl Runtime {
    pub fn start(kind: Kind, images: &Images, scratch: &Path) -> Result<Self, Stop> {
        Ok(match kind {
            Kind::Containerd(series) | Kind::Cri(series) => {
                let mut containerd = Containerd::start(series, &images.pause, scratch)?;
                if let Kind::Cri(_) = kind {
                    containerd.hide_all_but_cri()?;
                }
                let cri = containerd.cri()?;
                Self::Containerd(Box::new(containerd), cri)
            }
            Kind::Docker => Self::Docker(Docker::start(scratch)?),
            Kind::Podman => Self::Podman(Podman::start(scratch)?),
        })
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Containerd(containerd, _) if containerd.relay().is_some() => Kind::Cri(containerd.series),
            Self::Containerd(containerd, _) => Kind::Containerd(containerd.series),
            Self::Docker(_) => Kind::Docker,
            Self::Podman(_) => Kind::Podman,
        }
    }

    /// Where a sensor asks.
    pub fn socket(&self) -> &Path {
        match self {
            Self::Containerd(containerd, _) => containerd.shown(),
            Self::Docker(docker) => &docker.socket,
            Self::Podman(podman) => &podman.socket,
        }
    }

    pub fn pull(&self, reference: &str) -> Result<()> {
        match self {
            Self::Containerd(_, cri) => drop(cri.pull(reference)?),
            Self::Docker(Docker { cli, .. }) | Self::Podman(Podman { cli, .. }) => {
                cli.output(&["pull", "--quiet", reference])?;
            }
        }
        Ok(())
    }

    /// As the runtime itself says it.
    pub fn version(&self) -> Result<String> {
        match self {
            Self::Containerd(_, cri) => Ok(cri.version()?.runtime_version),
            Self::Docker(Docker { cli, .. }) => cli.output(&["version", "--format={{.Server.Version}}"]),
            Self::Podman(Podman { cli, .. }) => cli.output(&["version", "--format={{.Client.Version}}"]),
        }
    }

    /// Starts a container, in a pod of its own where there are pods, as a Deployment makes them.
    pub fn run(&self, wish: &Wish) -> Result<Ran> {
        let begun = Instant::now();
        let mut wish = Wish { name: named(&wish.name), ..wish.clone() };
        wish.labels.extend(texts("container"));
        match self {
            Self::Containerd(containerd, cri) => {
                let pod = PodWish {
                    name: format!("{}-{HASH}-x7k2p", wish.name),
                    namespace: "zastava-e2e".to_owned(),
                    labels: texts("pod").chain([("pod-template-hash".to_owned(), HASH.to_owned())]).collect(),
                    annotations: texts("note").collect(),
                    uid: uid(&wish.name),
                    cgroup_parent: format!("/kubepods/besteffort/pod{}", uid(&wish.name)),
                    logs: containerd.logs(),
                    ..PodWish::default()
                };
                let pod = InPod { pod: cri.run_pod(&pod)?, wish: pod };
                in_pod(cri, &pod, &wish)
            }
            Self::Docker(Docker { cli, .. }) | Self::Podman(Podman { cli, .. }) => {
                let Wish { name, image, command, mounts, writable, labels, memory } = wish.clone();
                let (called, from) = (name.clone(), image.clone());
                let run = RunWish { name: called, image: from, command, mounts, writable, labels, memory };
                Ok(Ran { id: cli.run(&run)?, name, pod: None, image, wish, begun })
            }
        }
    }

    /// Runs another program in it to its end.
    pub fn exec(&self, ran: &Ran, command: &[&str]) -> Result<()> {
        match self {
            Self::Containerd(_, cri) => {
                let answer = cri.exec(&ran.id, command)?;
                anyhow::ensure!(
                    answer.exit_code == 0,
                    "{command:?} ended with {}: {}",
                    answer.exit_code,
                    String::from_utf8_lossy(&answer.stderr)
                );
            }
            Self::Docker(Docker { cli, .. }) | Self::Podman(Podman { cli, .. }) => {
                cli.exec(&ran.id, command)?;
            }
        }
        Ok(())
    }

    /// Its first process, in the pid namespace of this machine.
    pub fn pid(&self, ran: &Ran) -> Result<u32> {
        match self {
            Self::Containerd(_, cri) => cri.pid(&ran.id),
            Self::Docker(Docker { cli, .. }) | Self::Podman(Podman { cli, .. }) => {
                let pid = cli.inspect(&ran.id)?["State"]["Pid"].as_u64().context("no State.Pid")?;
                Ok(u32::try_from(pid)?)
            }
        }
    }

    /// Sends its first process a signal from outside, which it cannot ignore as it could from within.
    pub fn signal(&self, ran: &Ran, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid(ran)?.cast_signed()).context("it runs no more")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits for its end; the exit code as runtimes tell it (128 + signal).
    pub fn wait(&self, ran: &Ran) -> Result<i32> {
        match self {
            Self::Containerd(_, cri) => Ok(cri.ended(&ran.id)?.exit_code),
            Self::Docker(Docker { cli, .. }) | Self::Podman(Podman { cli, .. }) => cli.wait(&ran.id),
        }
    }

    /// Whether the runtime says that it ended for want of memory.
    pub fn was_out_of_memory(&self, ran: &Ran) -> Result<bool> {
        match self {
            Self::Containerd(_, cri) => Ok(cri.ended(&ran.id)?.reason == "OOMKilled"),
            Self::Docker(Docker { cli, .. }) | Self::Podman(Podman { cli, .. }) => {
                cli.inspect(&ran.id)?["State"]["OOMKilled"].as_bool().context("no State.OOMKilled")
            }
        }
    }

    /// Ends and removes it, with its pod.
    pub fn remove(&self, ran: &Ran) -> Result<()> {
        match self {
            Self::Containerd(_, cri) => {
                cri.stop(&ran.id, 0)?;
                cri.remove(&ran.id)?;
                ran.pod.as_ref().map_or(Ok(()), |pod| cri.remove_pod(&pod.pod))
            }
            Self::Docker(Docker { cli, .. }) | Self::Podman(Podman { cli, .. }) => cli.remove(&ran.id),
        }
    }

    /// Ends the daemon without warning; containers run on.
    pub fn kill(&mut self) -> Result<(), Stop> {
        match self {
            Self::Containerd(containerd, _) => Ok(containerd.kill()?),
            Self::Docker(docker) => Ok(docker.kill()?),
            Self::Podman(_) => Err(Stop::Unable("podman has no daemon".to_owned())),
        }
    }

    /// Starts the daemon that was killed.
    pub fn revive(&mut self) -> Result<()> {
        match self {
            Self::Containerd(containerd, cri) => {
                containerd.run()?;
                *cri = containerd.cri()?;
                Ok(())
            }
            Self::Docker(docker) => docker.run(),
            Self::Podman(_) => Ok(()),
        }
    }

    /// `docker` or `podman`.
    pub fn cli(&self) -> Option<&Cli> {
        match self {
            Self::Containerd(..) => None,
            Self::Docker(Docker { cli, .. }) | Self::Podman(Podman { cli, .. }) => Some(cli),
        }
    }
}

/// Starts a container in a pod that runs.
pub fn in_pod(cri: &Cri, pod: &InPod, wish: &Wish) -> Result<Ran> {
    let begun = Instant::now();
    let asked = Wish { name: named(&wish.name), ..wish.clone() };
    let Wish { name, image, command, mounts, writable, labels, memory } = asked.clone();
    let wish = ContainerWish {
        name: name.clone(),
        image: image.clone(),
        command,
        args: Vec::new(),
        mounts,
        writable,
        labels: labels.into_iter().collect(),
        annotations: HashMap::new(),
        memory: memory.map(u64::cast_signed),
        security: None,
    };
    Ok(Ran { id: cri.run(&pod.pod, &wish)?, name, pod: Some(pod.clone()), image, wish: asked, begun })
}

/// Labels or annotations, of which the sensor may tell one.
fn texts(of: &str) -> impl Iterator<Item = (String, String)> {
    let secret = (format!("secret.example/{of}"), "never told".to_owned());
    [(format!("{TELLABLE}{of}"), format!("\"of\" the\n{of}")), secret].into_iter()
}

fn named(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if name.is_empty() {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("main-{}-{number}", std::process::id())
    } else {
        name.to_owned()
    }
}

/// The uid of a pod follows from its name.
fn uid(name: &str) -> String {
    let hash = crate::image::digest(name.as_bytes());
    let hex = hash.trim_start_matches("sha256:");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-")
}
