use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use hyper::body::Bytes;
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, time::sleep};

/// A registry without referrers API that holds the images which were made for the tests of evidence, all signatures of
/// `app` by the key `p256`, and nothing about `other`. It behaves as its mood is, and counts what it was asked.
#[derive(Clone)]
pub(crate) struct Registry {
    pub(crate) host: String,
    state: Arc<Shelf>,
}

struct Shelf {
    folder: PathBuf,
    /// Tag to digest.
    tags: BTreeMap<String, String>,
    mood: Mutex<Mood>,
    /// How often a tag was asked for while tags were moving.
    turns: AtomicUsize,
    asked: Mutex<BTreeMap<String, u32>>,
    /// Answers wait until it is true.
    open: watch::Sender<bool>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    Good,
    Slow(Duration),
    Status(u16),
    /// Bodies never end.
    Endless,
    RedirectLoop,
    /// Other bytes than the digest says.
    Wrong,
    /// Every tag of an image is `app` and `other` in turn.
    Moving,
}

/// Where the images, keys and evidence are.
pub(crate) fn made() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../zastava-common/tests/evidence/made")
}

fn json(file: &str) -> Value {
    serde_json::from_slice(&fs::read(made().join(file)).unwrap()).unwrap()
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let mut tags = BTreeMap::new();
        for manifest in json("image/index.json")["manifests"].as_array().unwrap() {
            let tag = manifest["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap();
            tags.insert(tag.to_owned(), manifest["digest"].as_str().unwrap().to_owned());
        }
        let signature = &json("made.json")["evidence"]["p256.sig"];
        let signed = tags["app"].replace(':', "-") + signature["tag"].as_str().unwrap();
        tags.insert(signed, signature["manifest"]["digest"].as_str().unwrap().to_owned());
        let state = Arc::new(Shelf {
            folder: made().join("image/blobs/sha256"),
            tags,
            mood: Mutex::new(Mood::Good),
            turns: AtomicUsize::new(0),
            asked: Mutex::default(),
            open: watch::Sender::new(true),
        });
        let router = Router::new()
            .route("/v2/team/{name}/{what}/{reference}", get(serve))
            .fallback(async || StatusCode::NOT_FOUND)
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { host, state }
    }

    pub(crate) fn mood(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    /// Nothing is answered until it is opened again.
    pub(crate) fn close(&self) {
        self.state.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.state.open.send_replace(true);
    }

    /// How often each thing was asked for since the last look.
    pub(crate) fn asked(&self) -> BTreeMap<String, u32> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }

    pub(crate) fn image(&self, name: &str, reference: &str) -> String {
        format!("{}/team/{name}{reference}", self.host)
    }

    pub(crate) fn digest(&self, tag: &str) -> String {
        self.state.tags[tag].clone()
    }
}

async fn serve(
    State(shelf): State<Arc<Shelf>>,
    Path((name, what, reference)): Path<(String, String, String)>,
) -> Response {
    *shelf.asked.lock().unwrap().entry(format!("{name}/{what}/{reference}")).or_default() += 1;
    let mut open = shelf.open.subscribe();
    let _ = open.wait_for(|open| *open).await;
    let mood = *shelf.mood.lock().unwrap();
    match mood {
        Mood::Good | Mood::Wrong | Mood::Moving => {}
        Mood::Slow(time) => sleep(time).await,
        Mood::Status(status) => return StatusCode::from_u16(status).unwrap().into_response(),
        Mood::Endless => {
            let chunk = Bytes::from(vec![b' '; 64 << 10]);
            let chunks =
                futures_util::stream::repeat_with(move || Ok::<_, std::convert::Infallible>(chunk.clone()));
            return Body::from_stream(chunks).into_response();
        }
        Mood::RedirectLoop => {
            return (StatusCode::FOUND, [(header::LOCATION, format!("/v2/team/{name}/{what}/{reference}"))])
                .into_response();
        }
    }
    if !matches!(what.as_str(), "manifests" | "blobs") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut digest = shelf.tags.get(&reference).unwrap_or(&reference);
    if mood == Mood::Moving && matches!(reference.as_str(), "app" | "other") {
        let turn = shelf.turns.fetch_add(1, Ordering::Relaxed);
        digest = &shelf.tags[["app", "other"][turn % 2]];
    }
    let Some(Ok(mut content)) = digest.strip_prefix("sha256:").map(|hex| fs::read(shelf.folder.join(hex)))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if mood == Mood::Wrong {
        content.push(b' ');
    }
    let media_type = serde_json::from_slice::<Value>(&content).ok();
    let media_type = media_type.and_then(|json| Some(json["mediaType"].as_str()?.to_owned()));
    let media_type = media_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    (
        [
            (header::CONTENT_TYPE, media_type),
            (header::HeaderName::from_static("docker-content-digest"), digest.clone()),
        ],
        content,
    )
        .into_response()
}
