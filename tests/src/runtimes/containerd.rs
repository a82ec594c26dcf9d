//! containerd with runc, as Kubernetes uses it.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Series, cri::Cri, daemon::Daemon, home::Home, program, reap::remove_cgroup, relay::Relay};
use crate::stage::Stop;

/// The namespace of what comes by way of the CRI.
pub const NAMESPACE: &str = "k8s.io";

const SOCKET: &str = "run/containerd/containerd.sock";
const RELAY: &str = "run/containerd/cri.sock";

/// A containerd of its own.
#[derive(Debug)]
pub struct Containerd {
    pub series: Series,
    /// Where it listens.
    pub socket: PathBuf,
    programs: PathBuf,
    /// What a sensor sees of it, if that is not all.
    relay: Option<Relay>,
    /// `None`: killed.
    daemon: Option<Daemon>,
    /// Last: what it holds ends after the daemon.
    home: Home,
}

impl Containerd {
    /// Starts one whose sandboxes run the image `pause`.
    pub fn start(series: Series, pause: &str, scratch: &Path) -> Result<Self, Stop> {
        let Some(containerd) = program(series.name(), "containerd") else {
            return Err(Stop::Unable(format!("no {series}: `cargo xtask setup` gets it")));
        };
        let Some(runc) = program("runc", "runc") else {
            return Err(Stop::Unable("no runc: `cargo xtask setup` gets it".to_owned()));
        };
        let home = Home::new(scratch)?;
        // Its socket stands below `run` as a node's own does.
        for directory in ["logs", "cni", "run/containerd"] {
            fs::create_dir_all(home.at(directory))?;
        }
        fs::write(home.at("config.toml"), config(series, &home, pause, &runc))?;
        let socket = home.at(SOCKET);
        let programs = containerd.parent().context("a program without a directory")?.to_owned();
        let mut this = Self { series, socket, programs, relay: None, daemon: None, home };
        this.run()?;
        Ok(this)
    }

    /// From now on a sensor sees nothing of it but the CRI.
    pub fn hide_all_but_cri(&mut self) -> Result<()> {
        self.relay = Some(Relay::start(self.home.at(RELAY), &self.socket)?);
        Ok(())
    }

    pub fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    /// Where a sensor asks.
    pub fn shown(&self) -> &Path {
        self.relay.as_ref().map_or(&self.socket, |relay| &relay.socket)
    }

    /// Starts it (again).
    pub fn run(&mut self) -> Result<()> {
        let mut command = Command::new(self.programs.join("containerd"));
        command.arg("--config").arg(self.home.at("config.toml"));
        // Shims are looked for beside it.
        command.env("PATH", path_with(&self.programs)).env_remove("NOTIFY_SOCKET");
        self.daemon = Some(Daemon::start(&mut command, &self.socket, &self.home.at("log"))?);
        Ok(())
    }

    /// Ends the daemon without warning; containers run on.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.take().context("it runs no more")?.kill()
    }

    pub fn cri(&self) -> Result<Cri> {
        Cri::connect(&self.socket).with_context(|| format!("log of {}:\n{}", self.series, self.log()))
    }

    /// Where logs of containers go.
    pub fn logs(&self) -> PathBuf {
        self.home.at("logs")
    }

    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.home.at(name)
    }

    /// `ctr` in the namespace of the CRI; what it printed.
    pub fn ctr(&self, arguments: &[&str]) -> Result<String> {
        self.ctr_in(NAMESPACE, arguments)
    }

    /// `ctr` in any namespace.
    pub fn ctr_in(&self, namespace: &str, arguments: &[impl AsRef<OsStr>]) -> Result<String> {
        let output = Command::new(self.programs.join("ctr"))
            .arg("--address")
            .arg(&self.socket)
            .args(["--namespace", namespace])
            .args(arguments)
            .output()
            .context("cannot start ctr")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let words: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        ensure!(output.status.success(), "ctr {words:?}: {}", text(&output.stderr).trim());
        Ok(text(&output.stdout))
    }

    /// Puts an image into its store without a registry, as an air-gapped machine does.
    pub fn import(&self, archive: &[u8]) -> Result<()> {
        self.import_in(NAMESPACE, archive)
    }

    pub fn import_in(&self, namespace: &str, archive: &[u8]) -> Result<()> {
        let file = self.home.at("import.tar");
        fs::write(&file, archive)?;
        let Some(path) = file.to_str() else { bail!("{} is not UTF-8", file.display()) };
        self.ctr_in(namespace, &["images", "import", path])?;
        Ok(fs::remove_file(&file)?)
    }

    /// Removes the empty cgroup of a namespace's containers.
    pub fn forget_namespace(&self, namespace: &str) -> Result<()> {
        remove_cgroup(&format!("/{namespace}"))
    }

    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::tail).unwrap_or_default()
    }

    /// Of the daemon.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::pid)
    }
}

pub(super) fn path_with(directory: &Path) -> String {
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", directory.display())
}

/// A machine without CAP_SYS_RESOURCE cannot lower its oom scores: containerd must not try. Without AppArmor in the
/// machine nothing is lost by not asking for it.
fn config(series: Series, home: &Home, pause: &str, runc: &Path) -> String {
    let home = home.path().display();
    let runc = runc.display();
    let common =
        format!("root = '{home}/root'\nstate = '{home}/state'\n[grpc]\naddress = '{home}/{SOCKET}'\n");
    // A machine whose root is an initramfs has nothing to pivot away from.
    match series {
        Series::V1_6 | Series::V1_7 => format!(
            "version = 2\n{common}\
             [plugins.'io.containerd.internal.v1.opt']\npath = '{home}/opt'\n\
             [plugins.'io.containerd.grpc.v1.cri']\n\
             sandbox_image = '{pause}'\ndisable_apparmor = true\nrestrict_oom_score_adj = true\n\
             [plugins.'io.containerd.grpc.v1.cri'.cni]\nconf_dir = '{home}/cni'\n\
             [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n\
             [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]\nBinaryName = '{runc}'\n"
        ),
        Series::V2 => format!(
            "version = 3\n{common}\
             [plugins.'io.containerd.internal.v1.opt']\npath = '{home}/opt'\n\
             [plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = '{pause}'\n\
             [plugins.'io.containerd.cri.v1.runtime']\ndisable_apparmor = true\nrestrict_oom_score_adj = true\n\
             [plugins.'io.containerd.cri.v1.runtime'.cni]\nconf_dir = '{home}/cni'\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nBinaryName = '{runc}'\n"
        ),
    }
}
