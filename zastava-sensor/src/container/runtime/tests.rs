//! Sessions with a runtime that plays a script, and whole searches with a fake CRI-O and with what is no runtime.

mod claims;
pub(super) mod http;
mod memory;
mod search;
mod session;

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use super::{Engine, EngineKind, News};
use crate::{
    container::description::{
        Description, DigestOf, Entrypoint, Image, Labels, Mounts, Platform, Role, State,
    },
    observation::Known,
};

async fn next(news: &mut mpsc::Receiver<News>) -> News {
    timeout(Duration::from_secs(20), news.recv()).await.unwrap().unwrap()
}

/// What comes until one that is looked for, that one included.
async fn until(news: &mut mpsc::Receiver<News>, found: impl Fn(&News) -> bool) -> Vec<News> {
    let mut all = Vec::new();
    loop {
        all.push(next(news).await);
        if found(all.last().unwrap()) {
            return all;
        }
    }
}

/// In short: what happened to which container.
fn short(news: &[News]) -> Vec<String> {
    let short = |news: &News| match news {
        News::Connected(_) => "connected".to_owned(),
        News::Described(description) => format!("described {}", description.id),
        News::Started { id, .. } => format!("started {id}"),
        News::Stopped { id, .. } => format!("stopped {id}"),
        News::Removed { id } => format!("removed {id}"),
        News::OutOfMemory { id } => format!("oom {id}"),
        News::Listed { .. } => "listed".to_owned(),
        News::Refused { id, reason } => format!("refused {id}: {reason}"),
        News::Disconnected { reason, .. } => format!("disconnected: {reason}"),
        News::Searched => "searched".to_owned(),
    };
    news.iter().map(short).collect()
}

fn engine() -> Arc<Engine> {
    Arc::new(Engine { kind: EngineKind::Containerd, version: "1".to_owned(), socket: "/c.sock".into() })
}

pub(in crate::container) fn description(id: &str) -> Description {
    Description {
        engine: engine(),
        id: id.into(),
        role: Role::Workload,
        platform: Platform::Engine,
        state: State::Running,
        name: id.to_owned(),
        attempt: 0,
        pod: None,
        image: Some(image("app:1", Some("1"), "c")),
        labels: Labels::default(),
        annotations: Labels::default(),
        owner: None,
        entrypoint: Entrypoint::default(),
        mounts: Mounts::default(),
        rootfs: None,
        pid: Some(7),
        cgroup: None,
        created: None,
        started: None,
    }
}

fn image(requested: &str, digest: Option<&str>, config: &str) -> Image {
    Image {
        requested: requested.to_owned(),
        digest: digest
            .map_or(Known::Not(crate::container::reason::IMAGE_GONE), |digest| Known::Is(digest.into())),
        digest_of: DigestOf::Manifest,
        index: None,
        config_digest: Some(config.into()),
        reference: String::new(),
    }
}
