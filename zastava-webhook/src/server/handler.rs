//! `POST /validate`: from bytes to bytes. Whatever goes wrong here is no answer, and never an allow.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::Body,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::time::timeout_at;

use super::{body::Room, deadline, health::Health};
use crate::{
    engine::{Engine, Outcome},
    respond, review,
    telemetry::{Answered, Unanswered},
};

/// What requests are answered with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    engine: Arc<ArcSwap<Engine>>,
    health: Health,
    room: Room,
    /// The program is about to end: connections are asked to go elsewhere.
    leaving: Arc<AtomicBool>,
    margin: Duration,
}

impl App {
    /// `margin`: how long before the API server's timeout an answer leaves.
    pub fn new(engine: Engine, health: Health, margin: Duration) -> Self {
        Self {
            engine: Arc::new(ArcSwap::from_pointee(engine)),
            health,
            room: Room::default(),
            leaving: Arc::default(),
            margin,
        }
    }

    pub fn engine(&self) -> Arc<Engine> {
        self.engine.load_full()
    }

    /// From the next request on.
    pub fn replace(&self, engine: Engine) {
        self.engine.store(Arc::new(engine));
    }

    /// From here on answers ask their connections to close.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.health.stopping();
    }
}

/// Everything that is served over TLS.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/validate", post(validate))
        .route("/healthz", get(super::health::healthz))
        .route("/readyz", get(|State(app): State<App>| async move { super::health::readyz(&app.health) }))
        .with_state(app)
}

async fn validate(State(app): State<App>, RawQuery(query): RawQuery, body: Body) -> Response {
    let begun = Instant::now();
    let deadline = begun + deadline::until(query.as_deref(), app.margin);
    let mut answer = match caught(answer(&app, body, begun, deadline)).await {
        Some(Ok(bytes)) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Some(Err((unanswered, why))) => {
            unanswered.tell(&why);
            (status(unanswered), why).into_response()
        }
        None => {
            Unanswered::Panic.tell("the handler panicked, which is a fault of this program");
            status(Unanswered::Panic).into_response()
        }
    };
    if app.leaving.load(Ordering::Relaxed) {
        // HTTP/1.1 alone; with HTTP/2 the connection itself says goodbye.
        answer.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    answer
}

async fn answer(
    app: &App,
    body: Body,
    begun: Instant,
    deadline: Instant,
) -> Result<Vec<u8>, (Unanswered, String)> {
    let body = match timeout_at(deadline.into(), app.room.receive(body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(unanswered)) => return Err((unanswered, format!("the body: {}", unanswered.name()))),
        Err(_) => return Err((Unanswered::Slow, "the body did not come in time".to_owned())),
    };
    let malformed = |error: &dyn std::fmt::Display| (Unanswered::Malformed, error.to_string());
    let request = review::parse(&body.bytes).map_err(|error| malformed(&error))?;
    let engine = app.engine();
    let outcome = engine.admit(&request, deadline).await.map_err(|error| malformed(&error))?;
    let policy = engine.policy().hash();
    let review = match &outcome {
        Outcome::Nothing(_) | Outcome::Ignored => respond::allow(&request.uid),
        Outcome::Decided { decision, .. } => respond::answer(&request.uid, decision, policy),
    };
    let bytes = serde_json::to_vec(&review).map_err(|error| (Unanswered::Panic, error.to_string()))?;
    Answered { request: &request, outcome: &outcome, policy, took: begun.elapsed() }.tell();
    Ok(bytes)
}

fn status(unanswered: Unanswered) -> StatusCode {
    match unanswered {
        Unanswered::Malformed => StatusCode::BAD_REQUEST,
        Unanswered::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Unanswered::Slow => StatusCode::REQUEST_TIMEOUT,
        Unanswered::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Unanswered::Panic => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// `None` when it panicked. The future is dropped then; what it shared with others is whole, because every shared value
/// here is replaced at once or not at all.
async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[tokio::test]
    async fn a_panic_is_caught_where_it_happens_and_later() {
        assert_eq!(caught(async { 1 }).await, Some(1));
        assert_eq!(caught::<()>(async { panic!("at once") }).await, None);
        let later = async {
            tokio::task::yield_now().await;
            panic!("later")
        };
        assert_eq!(caught::<()>(later).await, None);
    }
}
