//! A registry whose answers are written by the test.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use tokio::{net::TcpListener, task::JoinHandle};
use zastava_common::evidence::{
    ImageReference, Source,
    registry::{Credentials, Endpoint, Registry, RegistryConfig},
};

use crate::made::{self, made};

type Answer = Box<dyn Fn(&Asked) -> Response + Send + Sync>;

/// One request, as far as tests look at it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// With the query.
    pub(super) path: String,
    pub(super) authorization: Option<String>,
}

#[derive(Default)]
struct Inside {
    /// By the beginning of a path; the longest that fits answers.
    answers: Mutex<BTreeMap<String, Answer>>,
    asked: Mutex<Vec<Asked>>,
    takes: Mutex<Duration>,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    now: usize,
    most: usize,
}

pub(super) struct Fake {
    pub(super) host: String,
    inside: Arc<Inside>,
    server: JoinHandle<()>,
}

impl Fake {
    /// Answers 404 to everything, at first.
    pub(super) async fn start() -> Self {
        let inside = Arc::new(Inside::default());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&inside));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { host, inside, server }
    }

    /// One that serves the image `app` and the pieces of evidence named, by the referrers API.
    pub(super) async fn with(pieces: &[&str]) -> Self {
        let fake = Self::start().await;
        let made = made();
        let content = made::blob(made.digest("app"));
        fake.on(&format!("/v2/team/app/manifests/{}", made.digest("app")), move |_| {
            ok(MANIFEST, content.clone())
        });
        let mut referrers = Vec::new();
        for piece in pieces {
            let piece = made.piece(piece);
            let digest = &piece.descriptor().digest;
            let image = piece.image();
            for blob in image.layers {
                let content = made::blob(&blob.digest);
                fake.on(&format!("/v2/team/app/blobs/{}", blob.digest), move |_| ok("", content.clone()));
            }
            let content = made::blob(digest);
            let reference = if let Some(suffix) = &piece.tag {
                format!("{}{suffix}", made.digest("app").fallback_tag())
            } else {
                let size = content.len();
                referrers.push(serde_json::json!({ "mediaType": MANIFEST, "digest": digest, "size": size }));
                digest.to_string()
            };
            fake.on(&format!("/v2/team/app/manifests/{reference}"), move |_| ok(MANIFEST, content.clone()));
        }
        let index =
            serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": referrers }).to_string();
        fake.on("/v2/team/app/referrers/", move |_| ok(INDEX, index.clone()));
        fake
    }

    pub(super) fn on(&self, path: &str, answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) {
        self.inside.answers.lock().unwrap().insert(path.to_owned(), Box::new(answer));
    }

    /// What was asked, in that order.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.inside.asked.lock().unwrap().clone()
    }

    /// Takes so long for each answer from now on.
    pub(super) fn take(&self, time: Duration) {
        *self.inside.takes.lock().unwrap() = time;
    }

    /// How many requests were under way at a time.
    pub(super) fn most_at_once(&self) -> usize {
        self.inside.under_way.lock().unwrap().most
    }

    pub(super) fn image(&self) -> ImageReference {
        format!("{}/team/app:1", self.host).parse().unwrap()
    }

    pub(super) fn config(&self) -> RegistryConfig {
        self.config_with(None)
    }

    pub(super) fn config_with(&self, credentials: Option<(&str, &str)>) -> RegistryConfig {
        let host = self.host.parse().unwrap();
        let credentials = credentials.map(|(username, password)| Credentials {
            username: username.to_owned(),
            password: password.to_owned(),
        });
        let endpoint = Endpoint { plain_http: true, credentials, ..Endpoint::new(host) };
        let registry = Registry::new(endpoint.host.clone(), vec![endpoint]);
        RegistryConfig { registries: vec![registry], ..RegistryConfig::default() }
    }

    pub(super) fn source(&self) -> Source {
        Source::new(&self.config()).unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(super) fn ok(content_type: &str, body: impl Into<Body>) -> Response {
    answer_with(200, &[("content-type", content_type)], body)
}

pub(super) fn answer_with(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

async fn answer(State(inside): State<Arc<Inside>>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let authorization =
        request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let asked = Asked { path, authorization };
    inside.asked.lock().unwrap().push(asked.clone());
    {
        let mut under_way = inside.under_way.lock().unwrap();
        under_way.now += 1;
        under_way.most = under_way.most.max(under_way.now);
    }
    let takes = *inside.takes.lock().unwrap();
    tokio::time::sleep(takes).await;
    inside.under_way.lock().unwrap().now -= 1;
    let answers = inside.answers.lock().unwrap();
    let fitting = answers.iter().filter(|(path, _)| asked.path.starts_with(path.as_str()));
    match fitting.max_by_key(|(path, _)| path.len()) {
        Some((_, answer)) => answer(&asked),
        None => answer_with(404, &[], "{}"),
    }
}
