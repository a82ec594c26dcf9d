use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{Method, Uri, header},
    middleware::{self, Next},
    response::Response,
};
use ferro_blob_store::InMemoryBlobStore;
use ferro_oci_server::{AppState, InMemoryRegistryMeta, router};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// A registry with the referrers API, which answers page by page.
pub(crate) struct Ferro {
    pub(crate) host: String,
    server: JoinHandle<()>,
}

impl Ferro {
    pub(crate) async fn start() -> Self {
        let state = AppState::new(Arc::new(InMemoryBlobStore::new()), Arc::new(InMemoryRegistryMeta::new()));
        let app = router(state).layer(middleware::from_fn(by_page));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { host, server }
    }
}

impl Drop for Ferro {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One referrer to a page; the first page is empty, which is allowed too.
async fn by_page(request: Request, next: Next) -> Response {
    let uri: Uri = request.uri().clone();
    if request.method() != Method::GET || !uri.path().contains("/referrers/") {
        return next.run(request).await;
    }
    let page: usize = uri.query().and_then(|query| query.strip_prefix("page=")?.parse().ok()).unwrap_or(0);
    let (mut head, body) = next.run(request).await.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut index: Value = serde_json::from_slice(&body).unwrap();
    let all = index["manifests"].as_array().cloned().unwrap_or_default();
    let shown: Vec<Value> =
        all.iter().skip(page.wrapping_sub(1)).take(usize::from(page > 0)).cloned().collect();
    index["manifests"] = Value::Array(shown);
    head.headers.remove(header::CONTENT_LENGTH);
    if page < all.len() {
        let link = format!("<{}?page={}>; rel=\"next\"", uri.path(), page + 1);
        head.headers.insert(header::LINK, link.parse().unwrap());
    }
    Response::from_parts(head, Body::from(index.to_string()))
}
