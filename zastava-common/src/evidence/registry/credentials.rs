//! Credentials for registries: those of the configuration, and pull secrets as Kubernetes keeps them.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::evidence::reference::{Host, ImageReference};

/// A name and a password, for this registry alone.
#[derive(Clone, Eq, PartialEq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

/// The secrets that a pod may pull with. Empty by default.
#[derive(Clone, Debug, Default)]
pub struct PullSecrets {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    host: String,
    path: Vec<String>,
    credentials: Credentials,
}

/// The most of one secret that is read (the API server's own limit for a secret).
const MAX_SECRET_BYTES: usize = 1 << 20;

/// The most entries that are kept of all secrets of a pod.
const MAX_ENTRIES: usize = 256;

/// A secret that cannot be read. Says nothing of what is in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadPullSecret {
    #[error("the pull secret is larger than {MAX_SECRET_BYTES} bytes")]
    TooLarge,
    #[error("the pull secret is no Docker configuration in JSON")]
    Json,
    #[error("the pull secrets have more than {MAX_ENTRIES} entries")]
    TooMany,
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    username: Option<String>,
    password: Option<String>,
    /// Both in one, in base64.
    #[serde(rename = "auth")]
    both: Option<String>,
}

impl PullSecrets {
    /// Adds what stands in a secret of the type `kubernetes.io/dockerconfigjson`. An entry without a usable name and
    /// password is passed over.
    pub fn add(&mut self, docker_config_json: &[u8]) -> Result<(), BadPullSecret> {
        if docker_config_json.len() > MAX_SECRET_BYTES {
            return Err(BadPullSecret::TooLarge);
        }
        let config: DockerConfig =
            serde_json::from_slice(docker_config_json).map_err(|_| BadPullSecret::Json)?;
        for (place, auth) in config.auths {
            let Some(credentials) = auth.credentials() else { continue };
            if self.entries.len() == MAX_ENTRIES {
                return Err(BadPullSecret::TooMany);
            }
            let place = place.trim_start_matches("https://").trim_start_matches("http://");
            let (host, path) = place.split_once('/').unwrap_or((place, ""));
            // Docker writes its own registry as `https://index.../v1/`.
            let path = path.trim_end_matches('/');
            let path = if matches!(path, "v1" | "v2") { "" } else { path };
            let host = host.to_ascii_lowercase();
            let host = host.parse::<Host>().map_or(host, |host| host.as_str().to_owned());
            let path = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
            self.entries.push(Entry { host, path, credentials });
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Those for this image: as the kubelet looks for them, the longest path first; of equals the first.
    pub fn find(&self, image: &ImageReference) -> Option<&Credentials> {
        let fitting = self.entries.iter().filter(|entry| entry.covers(image));
        fitting.rev().max_by_key(|entry| entry.path.len()).map(|entry| &entry.credentials)
    }

    /// Equal for equal secrets alone: what was fetched with one must not be told to who has another.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        let mut part = |text: &str| {
            context.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            context.update(text.as_bytes());
        };
        for Entry { host, path, credentials: Credentials { username, password } } in &self.entries {
            part(host);
            part(&path.join("/"));
            part(username);
            part(password);
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.finish().as_ref());
        fingerprint
    }
}

impl Auth {
    fn credentials(&self) -> Option<Credentials> {
        let Self { username, password, both } = self;
        if let (Some(username), Some(password)) = (username, password) {
            return Some(Credentials { username: username.clone(), password: password.clone() });
        }
        let decoded = STANDARD.decode(both.as_ref()?.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (username, password) = text.trim_end_matches('\0').split_once(':')?;
        Some(Credentials { username: username.to_owned(), password: password.to_owned() })
    }
}

impl Entry {
    fn covers(&self, image: &ImageReference) -> bool {
        let mut segments = image.repository().segments();
        host_matches(&self.host, image.host().as_str())
            && self.path.iter().all(|wanted| segments.next() == Some(wanted))
    }
}

/// Label by label; `*` stands for one label or a part of one, as in the kubelet.
fn host_matches(pattern: &str, host: &str) -> bool {
    let mut labels = host.split('.');
    let all =
        pattern.split('.').all(|pattern| labels.next().is_some_and(|label| label_matches(pattern, label)));
    all && labels.next().is_none()
}

fn label_matches(pattern: &str, label: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == label,
        Some((start, end)) => {
            !end.contains('*')
                && label.len() >= start.len() + end.len()
                && label.starts_with(start)
                && label.ends_with(end)
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
