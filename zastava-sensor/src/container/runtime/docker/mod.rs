//! Docker, and Podman by the same socket.
//!
//! Podman's own endpoints are used where it has them: its imitation of Docker's leaves out what a digest needs.

mod describe;
pub(super) mod event;
mod inspect;
mod pod;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use serde::Deserialize;
use tokio::sync::mpsc;

use super::{
    Engine, EngineKind, Settings,
    client::{Change, Client, Failure, Key, Told, What},
    http::{self, Lines},
    text::{bounded, id},
};

/// Of containers, without the comings and goings of execs and health checks.
const DOCKER_EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22create%22%2C\
    %22start%22%2C%22die%22%2C%22oom%22%2C%22rename%22%2C%22destroy%22%5D%7D";
/// Podman knows other names of events and refuses Docker's.
const PODMAN_EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D";
/// Those that live, also paused ones, which Podman leaves out unless they are asked for.
const DOCKER_LIVING: &str = "/containers/json";
const PODMAN_LIVING: &str =
    "/containers/json?filters=%7B%22status%22%3A%5B%22running%22%2C%22paused%22%5D%7D";
/// Podman's own, from version 4 on.
const LIBPOD: &str = "/v4.0.0/libpod";

#[derive(Clone, Debug)]
pub(super) struct Docker {
    engine: Arc<Engine>,
    settings: Arc<Settings>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: String,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
}

impl Docker {
    pub(super) async fn identify(socket: &Path, settings: &Arc<Settings>) -> Result<Self, Failure> {
        let Version { version, components } = http::get(socket, "/version").await?;
        let is_podman = components.iter().any(|component| component.name.contains("Podman"));
        let kind = if is_podman { EngineKind::Podman } else { EngineKind::Docker };
        let engine = Engine { kind, version: bounded(version)?, socket: socket.to_owned() };
        Ok(Self { engine: Arc::new(engine), settings: Arc::clone(settings) })
    }

    fn is_podman(&self) -> bool {
        self.engine.kind == EngineKind::Podman
    }

    async fn listed(&self, path: &str) -> Result<Vec<Listed>, Failure> {
        http::get(&self.engine.socket, &self.target(path)).await
    }

    /// An endpoint: Podman's own, where the two have the same name for it.
    fn target(&self, path: &str) -> String {
        if self.is_podman() { format!("{LIBPOD}{path}") } else { path.to_owned() }
    }
}

impl Client for Docker {
    fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    async fn alive(&self) -> Result<(), Failure> {
        http::get::<Version>(&self.engine.socket, "/version").await.map(drop)
    }

    async fn watch(&self, changes: mpsc::Sender<Change>) -> Failure {
        let target = if self.is_podman() { PODMAN_EVENTS } else { DOCKER_EVENTS };
        let mut lines = match Lines::open(&self.engine.socket, target).await {
            Ok(lines) => lines,
            Err(failure) => return failure,
        };
        loop {
            match lines.next().await.map(|line| event::change(&line)) {
                Ok(Ok(Some(change))) => {
                    // Whether memory ran out Podman tells only when it is asked. It may have begun anew by then, as its
                    // policy says, and is the next life then: the end itself is told by the event.
                    let asks = self.is_podman() && matches!(change.what, What::Stopped(_));
                    let ask = asks.then(|| Change { key: change.key.clone(), what: What::Changed });
                    for change in ask.into_iter().chain([change]) {
                        if changes.send(change).await.is_err() {
                            return Failure::Lost("nobody listens any more".to_owned());
                        }
                    }
                }
                Ok(Ok(None)) => {}
                Ok(Err(failure)) => tracing::debug!(%failure, "an event of Docker cannot be read"),
                Err(failure) => return failure,
            }
        }
    }

    async fn list(&self) -> Result<Vec<Key>, Failure> {
        let listed: Vec<Listed> = match self.listed("/containers/json?all=true").await {
            // Thousands that ended and were not removed: those that live are what counts.
            Err(failure @ Failure::TooLarge(_)) => {
                tracing::debug!(%failure, "only the containers that live are listed");
                self.listed(if self.is_podman() { PODMAN_LIVING } else { DOCKER_LIVING }).await?
            }
            other => other?,
        };
        let keys = listed.iter().filter_map(|one| id(one.id.as_bytes()).ok());
        Ok(keys.map(|id| Key { id: id.into(), namespace: None }).collect())
    }

    async fn describe(&self, key: &Key) -> Result<Told, Failure> {
        self.describe_one(key).await
    }
}
