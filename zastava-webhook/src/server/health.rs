//! Whether the webhook answers, and whether it should be asked: `/healthz`, `/readyz`, `/metrics`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::exposition::Exposition;

/// Ready from the first moment on (a server that is not ready does not listen) until the end begins.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<AtomicBool>);

impl Health {
    pub(super) fn stopping(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The pages of the plain port.
    pub fn router(&self, exposition: Exposition) -> Router {
        Router::new()
            .route("/healthz", get(healthz))
            .route(
                "/readyz",
                get(|State((health, _)): State<(Self, Exposition)>| async move { readyz(&health) }),
            )
            .route("/metrics", get(metrics))
            .with_state((self.clone(), exposition))
    }
}

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

pub(super) fn readyz(health: &Health) -> Response {
    if health.is_stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response()
    } else {
        "ready\n".into_response()
    }
}

async fn metrics(State((_, exposition)): State<(Health, Exposition)>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], exposition.render()).into_response()
}
