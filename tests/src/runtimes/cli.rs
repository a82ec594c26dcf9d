//! The words that the commands `docker` and `podman` share.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// How to call one of them.
#[derive(Clone, Debug)]
pub struct Cli {
    pub(super) program: PathBuf,
    /// Before each subcommand.
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// Where it is started: podman's monitor leaves a file there when memory runs out.
    pub(super) directory: PathBuf,
}

/// What a container is to be.
#[derive(Clone, Debug, Default)]
pub struct RunWish {
    pub name: String,
    pub image: String,
    /// Instead of the image's command.
    pub command: Vec<String>,
    /// Of this machine, and where in the container; read only.
    pub mounts: Vec<(PathBuf, String)>,
    /// The same, to write to.
    pub writable: Vec<(PathBuf, String)>,
    pub labels: Vec<(String, String)>,
    /// Bytes.
    pub memory: Option<u64>,
}

impl Cli {
    /// What it printed.
    pub fn output(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command();
        let output = command.args(arguments).output().with_context(|| format!("cannot start {command:?}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        ensure!(output.status.success(), "{command:?}: {}: {}", output.status, text(&output.stderr));
        Ok(text(&output.stdout))
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.directory).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Creates and starts a container without a network of its own; its id.
    pub fn run(&self, wish: &RunWish) -> Result<String> {
        let RunWish { name, image, command, mounts, writable, labels, memory } = wish;
        let mut words = vec!["run".to_owned(), "--detach".to_owned(), "--network=none".to_owned()];
        words.push(format!("--name={name}"));
        for (way, mounts) in [("ro", mounts), ("rw", writable)] {
            let volume = |(host, container): &(PathBuf, String)| {
                format!("--volume={}:{container}:{way}", host.display())
            };
            words.extend(mounts.iter().map(volume));
        }
        words.extend(labels.iter().map(|(key, value)| format!("--label={key}={value}")));
        words.extend(memory.map(|bytes| format!("--memory={bytes}")));
        words.push(image.clone());
        words.extend(command.iter().cloned());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.output(&words)
    }

    pub fn exec(&self, container: &str, command: &[&str]) -> Result<String> {
        self.output(&[&["exec", container], command].concat())
    }

    /// Waits for its end; its exit code as the command tells it (128 + signal).
    pub fn wait(&self, container: &str) -> Result<i32> {
        self.output(&["wait", container])?.parse().context("an exit code that is no number")
    }

    pub fn remove(&self, container: &str) -> Result<()> {
        self.output(&["rm", "--force", container])?;
        Ok(())
    }

    pub fn inspect(&self, container: &str) -> Result<Value> {
        let told = self.output(&["inspect", "--type=container", container])?;
        let mut told: Vec<Value> = serde_json::from_str(&told)?;
        told.pop().with_context(|| format!("nothing is told of {container}"))
    }

    /// Puts an image into its store without a registry.
    pub fn load(&self, archive: &[u8], file: &Path) -> Result<()> {
        fs::write(file, archive)?;
        let mut command = self.command();
        let output = command.args(["load", "--input"]).arg(file).output()?;
        ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(fs::remove_file(file)?)
    }
}
