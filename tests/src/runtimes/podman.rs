//! Podman, which has no daemon: its service answers as Docker's engine does.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{cli::Cli, daemon::Daemon, home::Home, on_path, program};
use crate::stage::Stop;

/// A store of its own, and a service for it.
#[derive(Debug)]
pub struct Podman {
    pub socket: PathBuf,
    pub cli: Cli,
    _service: Daemon,
    home: Home,
}

impl Podman {
    pub fn start(scratch: &Path) -> Result<Self, Stop> {
        let Some((podman, runc)) = on_path("podman").zip(program("runc", "runc")) else {
            return Err(Stop::Unable("no podman or no runc: `cargo xtask setup` gets them".to_owned()));
        };
        let home = Home::new(scratch)?;
        fs::write(home.at("containers.conf"), config(&runc, &home))?;
        fs::write(home.at("registries.conf"), INSECURE)?;
        let mut arguments = Vec::new();
        for (option, value) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            arguments.extend([option.into(), home.at(value).into()]);
        }
        arguments
            .extend(["--cgroup-manager=cgroupfs", "--events-backend=file", "--runtime=runc"].map(Into::into));
        let cli = Cli {
            program: podman,
            arguments,
            directory: home.path().to_owned(),
            environment: vec![
                ("CONTAINERS_CONF", home.at("containers.conf").into()),
                ("CONTAINERS_REGISTRIES_CONF", home.at("registries.conf").into()),
            ],
        };
        let socket = home.at("p.sock");
        let mut service = cli.command();
        service.args(["system", "service", "--time=0"]).arg(format!("unix://{}", socket.display()));
        let service = Daemon::start(&mut service, &socket, &home.at("log"))?;
        Ok(Self { socket, cli, _service: service, home })
    }

    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.home.at(name)
    }
}

/// The registry of the tests speaks no TLS.
const INSECURE: &str = "[[registry]]\nlocation = \"127.0.0.1\"\ninsecure = true\n";

/// A machine without CAP_SYS_RESOURCE cannot raise limits, which podman does unless told otherwise. Locks in a file are
/// its own; those in shared memory are the machine's.
fn config(runc: &Path, home: &Home) -> String {
    format!(
        "[containers]\ndefault_ulimits = [\"nofile=1024:20000\", \"nproc=1024:32768\"]\n\
         [engine]\nlock_type = \"file\"\nnetwork_cmd_path = \"\"\ntmp_dir = \"{}\"\n\
         [engine.runtimes]\nrunc = [\"{}\"]\n[network]\nnetwork_config_dir = \"{}\"\n",
        home.at("tmp").display(),
        runc.display(),
        home.at("networks").display()
    )
}
