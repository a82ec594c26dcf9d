//! Docker's engine, with its own containerd below it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{Series, cli::Cli, containerd::path_with, daemon::Daemon, home::Home, program};
use crate::stage::Stop;

/// Below `run` as a machine's own.
const SOCKET: &str = "run/docker.sock";

/// An engine of its own.
#[derive(Debug)]
pub struct Docker {
    pub socket: PathBuf,
    pub cli: Cli,
    program: PathBuf,
    path: String,
    /// `None`: killed.
    daemon: Option<Daemon>,
    home: Home,
}

impl Docker {
    pub fn start(scratch: &Path) -> Result<Self, Stop> {
        let found = program("docker", "dockerd")
            .zip(program("docker", "docker"))
            .zip(program(Series::V1_6.name(), "containerd").zip(program("runc", "runc")));
        let Some(((dockerd, docker), (containerd, runc))) = found else {
            return Err(Stop::Unable("no dockerd: `cargo xtask setup` gets it".to_owned()));
        };
        let home = Home::new(scratch)?;
        fs::create_dir(home.at("run"))?;
        let socket = home.at(SOCKET);
        fs::write(home.at("daemon.json"), config(&home).to_string())?;
        let cli = Cli {
            program: docker,
            arguments: vec!["--host".into(), format!("unix://{}", socket.display()).into()],
            environment: vec![("DOCKER_CONFIG", home.at("client").into())],
            directory: home.path().to_owned(),
        };
        // It finds containerd and runc on its PATH.
        let [containerd, runc] = [&containerd, &runc].map(|path| path.parent().unwrap_or(path));
        let path = format!("{}:{}", runc.display(), path_with(containerd));
        let mut this = Self { socket, cli, program: dockerd, path, daemon: None, home };
        this.run()?;
        Ok(this)
    }

    /// Starts it (again).
    pub fn run(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("--config-file").arg(self.home.at("daemon.json")).env("PATH", &self.path);
        // One that was killed leaves it.
        let _ = fs::remove_file(self.home.at("pid"));
        let daemon = Daemon::start(&mut command, &self.socket, &self.home.at("log"))?;
        // It listens before it answers; the client waits for the answer.
        let ready = self.cli.output(&["version", "--format={{.Server.Version}}"]);
        ready.with_context(|| format!("log of dockerd:\n{}", daemon.tail()))?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Ends the daemon without warning; containers run on.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.take().context("it runs no more")?.kill()
    }

    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.home.at(name)
    }
}

/// Nothing outside its directory is to change: no bridge, no rules, no forwarding.
fn config(home: &Home) -> serde_json::Value {
    json!({
        "data-root": home.at("root"),
        "exec-root": home.at("exec"),
        "pidfile": home.at("pid"),
        "hosts": [format!("unix://{}", home.at(SOCKET).display())],
        "iptables": false,
        "ip6tables": false,
        "bridge": "none",
        "ip-forward": false,
        "userland-proxy": false,
        "live-restore": true,
    })
}
