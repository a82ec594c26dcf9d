use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::Path,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{name}";

/// An API server that has the secret `shop/pull` with a registry's password, in every namespace `wrong` with another,
/// `elsewhere` for another registry, `forbidden` that may not be read and `silent` that never comes, and perhaps a
/// ValidatingWebhookConfiguration.
pub(crate) struct Api {
    asked: Arc<Mutex<Vec<String>>>,
    folder: TempDir,
}

impl Api {
    /// `registry`: the one that the secrets are for.
    pub(crate) async fn start(registry: &str, hooks: Option<Value>) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, registry) = (Arc::clone(&asked), registry.to_owned());
        let read = move |Path((namespace, name)): Path<(String, String)>| async move {
            seen.lock().unwrap().push(format!("{namespace}/{name}"));
            let (registry, password) = match (namespace.as_str(), name.as_str()) {
                ("shop", "pull") => (registry.as_str(), "word"),
                (_, "wrong") => (registry.as_str(), "guess"),
                (_, "elsewhere") => ("elsewhere.test", "word"),
                (_, "silent") => std::future::pending().await,
                (_, "forbidden") => return refused(StatusCode::FORBIDDEN, "Forbidden"),
                _ => return missing(),
            };
            let auths = json!({ "auths": { registry: { "username": "user", "password": password } } });
            Json(json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
                "type": "kubernetes.io/dockerconfigjson",
                "data": { ".dockerconfigjson": ByteString(auths.to_string().into_bytes()) },
            }))
            .into_response()
        };
        let router = Router::new()
            .route("/api/v1/namespaces/{namespace}/secrets/{name}", get(read))
            .route(HOOKS, get(async move || hooks.map_or_else(missing, |hooks| Json(hooks).into_response())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{ "name": "lab", "cluster": { "server": format!("http://{address}") } }],
            "users": [{ "name": "lab", "user": {} }],
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab", "namespace": "zastava" } }],
        });
        fs::write(folder.path().join("config"), config.to_string()).unwrap();
        Self { asked, folder }
    }

    /// The file that says how it is spoken to.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// Secrets that were asked for since the last look.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn missing() -> Response {
    refused(StatusCode::NOT_FOUND, "NotFound")
}

fn refused(code: StatusCode, reason: &str) -> Response {
    let status = json!({ "kind": "Status", "status": "Failure", "code": code.as_u16(), "reason": reason, "message": "no" });
    (code, Json(status)).into_response()
}
