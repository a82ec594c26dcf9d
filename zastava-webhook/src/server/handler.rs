//! `POST /validate`: from bytes to bytes. Whatever goes wrong here is a refusal where it is known whom to answer, else no
//! answer, and never an allow.

use std::{
    net::IpAddr,
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
    Extension, Router,
    body::Body,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{
    body::{Room, Unread},
    connection::Peer,
    deadline,
    health::Health,
};
use crate::{
    decision::Decision,
    engine::{Engine, Outcome},
    images::{Found, find},
    reason::Reason,
    respond,
    review::{self, MAX_BODY_BYTES, Subject},
    telemetry::{Answered, Refused, Unanswered},
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

async fn validate(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Response {
    let begun = Instant::now();
    let deadline = begun + deadline::until(query.as_deref(), app.margin);
    let mut answer = match caught(answer(&app, peer, body, begun, deadline)).await {
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
    peer: IpAddr,
    body: Body,
    begun: Instant,
    deadline: Instant,
) -> Result<Vec<u8>, (Unanswered, String)> {
    let Unjudged { cause, why, uid } = match judge(app, peer, body, begun, deadline).await {
        Ok(answer) => return Ok(answer),
        Err(unjudged) => unjudged,
    };
    match (reason(cause), uid) {
        // Without an answer it would be let through where the API server is to ignore us.
        (Some(reason), Some(uid)) => {
            let policy = app.engine().policy().hash();
            let decision = Decision::unread(reason, why);
            let bytes = written(&respond::answer(&uid, &decision, policy))?;
            Refused { uid: &uid, decision: &decision, policy, took: begun.elapsed() }.tell();
            Ok(bytes)
        }
        _ => Err((cause, why)),
    }
}

/// A request that was not judged, and whose it was if that is known.
struct Unjudged {
    cause: Unanswered,
    why: String,
    uid: Option<String>,
}

async fn judge(
    app: &App,
    peer: IpAddr,
    body: Body,
    begun: Instant,
    deadline: Instant,
) -> Result<Vec<u8>, Unjudged> {
    let unread = |Unread { cause, uid }| {
        let why = match cause {
            Unanswered::TooLarge => format!("the request's body has more than {MAX_BODY_BYTES} bytes"),
            Unanswered::Slow => "the request's body did not come in time".to_owned(),
            Unanswered::Busy => "there is no room for the request's body".to_owned(),
            Unanswered::Malformed | Unanswered::Panic => "the request's body broke off".to_owned(),
        };
        Unjudged { cause, why, uid }
    };
    let body = app.room.receive(body, peer, deadline.into()).await.map_err(unread)?;
    let (subject, found) = read(&body.bytes)?;
    let engine = app.engine();
    let outcome = match found {
        Found::Nothing(why) => Outcome::Nothing(why),
        Found::Workload(workload) => {
            // Others may take as long as there is for an answer: what they are not asked about is gone by then.
            let room = app.room.keep(body, subject.size() + workload.size());
            let _room = room.map_err(|cause| unread(Unread { cause, uid: Some(subject.uid.clone()) }))?;
            engine.admit(&workload, &subject.namespace, deadline).await
        }
    };
    let policy = engine.policy().hash();
    let review = match &outcome {
        Outcome::Nothing(_) | Outcome::Ignored => respond::allow(&subject.uid),
        Outcome::Decided { decision, .. } => respond::answer(&subject.uid, decision, policy),
    };
    let bytes = written(&review).map_err(|(cause, why)| Unjudged { cause, why, uid: None })?;
    Answered { subject: &subject, outcome: &outcome, policy, took: begun.elapsed() }.tell();
    Ok(bytes)
}

/// What is needed of a body.
fn read(body: &[u8]) -> Result<(Subject, Found), Unjudged> {
    let unreadable = |why: String, uid| Unjudged { cause: Unanswered::Malformed, why, uid };
    let request = review::parse(body).map_err(|error| {
        let uid = if error.is_no_json() { None } else { review::uid_of(body) };
        unreadable(error.to_string(), uid)
    })?;
    let found =
        find(&request).map_err(|error| unreadable(error.to_string(), Some(request.uid.to_string())))?;
    Ok((request.subject(), found))
}

fn written(review: &respond::Review<'_>) -> Result<Vec<u8>, (Unanswered, String)> {
    serde_json::to_vec(review).map_err(|error| (Unanswered::Panic, error.to_string()))
}

/// What a refusal says, where one can be given.
fn reason(cause: Unanswered) -> Option<Reason> {
    match cause {
        Unanswered::Malformed => Some(Reason::ReviewUnreadable),
        Unanswered::TooLarge => Some(Reason::ReviewTooLarge),
        Unanswered::Slow => Some(Reason::ReviewSlow),
        Unanswered::Busy => Some(Reason::WebhookBusy),
        Unanswered::Panic => None,
    }
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
