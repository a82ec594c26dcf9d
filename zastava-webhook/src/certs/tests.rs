//! Against a fake API server: it keeps objects and their versions, and knows nothing else of Kubernetes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use kube::{Client, Config};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use serde_json::{Value, json};

use super::{CertsError, Cluster, Done, make, not_after};

const SECRET: &str = "secrets/tls";
const HOOKS: &str = "hooks/zastava-webhook";
const HOOK: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{name}";
const DAY: Duration = Duration::from_hours(24);

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State_>>);

#[derive(Default)]
struct State_ {
    objects: BTreeMap<String, Value>,
    version: u64,
    /// What was written, in order.
    writes: Vec<String>,
    /// Writes to this object meet somebody who was faster, once.
    contended: Option<String>,
}

fn failure(code: StatusCode, reason: &str) -> Response {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code.as_u16() });
    (code, Json(status)).into_response()
}

impl Fake {
    fn read(&self, key: &str) -> Response {
        match self.0.lock().unwrap().objects.get(key) {
            Some(object) => Json(object.clone()).into_response(),
            None => failure(StatusCode::NOT_FOUND, "NotFound"),
        }
    }

    fn write(&self, key: &str, mut object: Value, create: bool) -> Response {
        let mut state = self.0.lock().unwrap();
        if state.contended.as_deref() == Some(key) {
            state.contended = None;
            return failure(StatusCode::CONFLICT, "Conflict");
        }
        let is = state.objects.get(key).map(|object| object["metadata"]["resourceVersion"].clone());
        if create != is.is_none() || (!create && is.as_ref() != Some(&object["metadata"]["resourceVersion"]))
        {
            return failure(StatusCode::CONFLICT, "Conflict");
        }
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        state.objects.insert(key.to_owned(), object.clone());
        state.writes.push(key.to_owned());
        Json(object).into_response()
    }

    fn object(&self, key: &str) -> Value {
        self.0.lock().unwrap().objects[key].clone()
    }

    fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().writes)
    }

    /// The PEM under a key of the Secret.
    fn secret(&self, key: &str) -> String {
        decode(&self.object(SECRET)["data"][key])
    }

    fn bundles(&self) -> Vec<String> {
        let hooks = self.object(HOOKS);
        hooks["webhooks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hook| decode(&hook["clientConfig"]["caBundle"]))
            .collect()
    }
}

fn decode(value: &Value) -> String {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(value.clone()).unwrap();
    String::from_utf8(bytes.0).unwrap()
}

async fn start(with_hooks: bool) -> (Fake, Cluster) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let fake = Fake::default();
    if with_hooks {
        let hook = json!({ "name": "closed.admission.zastava", "clientConfig": {}, "sideEffects": "None", "admissionReviewVersions": ["v1"] });
        let hooks = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": "zastava-webhook", "resourceVersion": "0" }, "webhooks": [hook.clone(), hook],
        });
        fake.0.lock().unwrap().objects.insert(HOOKS.to_owned(), hooks);
    }
    let router = Router::new()
        .route(
            "/api/v1/namespaces/zastava/secrets",
            post(|State(fake): State<Fake>, Json(object): Json<Value>| async move {
                fake.write(SECRET, object, true)
            }),
        )
        .route(
            "/api/v1/namespaces/zastava/secrets/{name}",
            get(|State(fake): State<Fake>, Path(name): Path<String>| async move {
                fake.read(&format!("secrets/{name}"))
            })
            .put(|State(fake): State<Fake>, Json(object): Json<Value>| async move {
                fake.write(SECRET, object, false)
            }),
        )
        .route(
            HOOK,
            get(|State(fake): State<Fake>, Path(name): Path<String>| async move {
                fake.read(&format!("hooks/{name}"))
            })
            .put(|State(fake): State<Fake>, Json(object): Json<Value>| async move {
                fake.write(HOOKS, object, false)
            }),
        )
        .with_state(fake.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = Client::try_from(config).unwrap();
    (fake, Cluster::new(client, "zastava", "tls", "zastava-webhook", "zastava-webhook"))
}

/// Whether who trusts `bundle` believes `certificate` to be the webhook's, at that time.
fn trusts(bundle: &str, certificate: &str, at: SystemTime) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(bundle.as_bytes()).map(Result::unwrap));
    let verifier = WebPkiServerVerifier::builder(Arc::new(roots)).build().unwrap();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let name = ServerName::try_from("zastava-webhook.zastava.svc").unwrap();
    let at = UnixTime::since_unix_epoch(at.duration_since(SystemTime::UNIX_EPOCH).unwrap());
    verifier.verify_server_cert(&certificate, &[], &name, &[], at).is_ok()
}

#[tokio::test]
async fn what_is_missing_is_made_and_the_api_server_trusts_it() {
    let (fake, cluster) = start(true).await;
    let now = SystemTime::now();

    assert_eq!(cluster.ensure(now).await.unwrap(), Done::Renewed);

    assert_eq!(fake.writes(), [HOOKS, SECRET]);
    assert_eq!(fake.object(SECRET)["type"], "kubernetes.io/tls");
    let certificate = fake.secret("tls.crt");
    for bundle in fake.bundles() {
        assert!(trusts(&bundle, &certificate, now));
    }
    assert_eq!(cluster.ensure(now).await.unwrap(), Done::Nothing);
    assert!(fake.writes().is_empty());
}

#[tokio::test]
async fn a_new_certificate_is_made_in_time_and_both_are_trusted_meanwhile() {
    let (fake, cluster) = start(true).await;
    let now = SystemTime::now();
    cluster.ensure(now).await.unwrap();
    let old = fake.secret("tls.crt");
    assert_eq!(cluster.ensure(now + 59 * DAY).await.unwrap(), Done::Nothing);
    fake.writes();

    let later = now + 61 * DAY;
    assert_eq!(cluster.ensure(later).await.unwrap(), Done::Renewed);

    // The API server knows before any pod serves it.
    assert_eq!(fake.writes(), [HOOKS, SECRET]);
    let new = fake.secret("tls.crt");
    assert_ne!(old, new);
    for bundle in fake.bundles() {
        assert!(trusts(&bundle, &old, later) && trusts(&bundle, &new, later));
    }

    // The next one but one forgets the first.
    let much_later = later + 61 * DAY;
    cluster.ensure(much_later).await.unwrap();
    for bundle in fake.bundles() {
        assert!(!trusts(&bundle, &old, later) && trusts(&bundle, &new, later));
        assert_eq!(bundle.matches("BEGIN").count(), 2);
    }
}

#[tokio::test]
async fn an_authority_that_somebody_took_away_is_told_again() {
    let (fake, cluster) = start(true).await;
    let now = SystemTime::now();
    cluster.ensure(now).await.unwrap();
    fake.writes();
    fake.0.lock().unwrap().objects.get_mut(HOOKS).unwrap()["webhooks"][1]["clientConfig"] = json!({});

    assert_eq!(cluster.ensure(now).await.unwrap(), Done::Told);

    assert_eq!(fake.writes(), [HOOKS]);
    assert!(fake.bundles().iter().all(|bundle| trusts(bundle, &fake.secret("tls.crt"), now)));
}

#[tokio::test]
async fn of_two_at_once_one_wins_and_both_end_with_its_certificate() {
    let (fake, cluster) = start(true).await;
    let now = SystemTime::now();
    fake.0.lock().unwrap().contended = Some(HOOKS.to_owned());
    let (one, other) = tokio::join!(cluster.ensure(now), cluster.ensure(now));

    assert!([one.unwrap(), other.unwrap()].contains(&Done::Renewed));
    cluster.ensure(now).await.unwrap();
    assert!(fake.bundles().iter().all(|bundle| trusts(bundle, &fake.secret("tls.crt"), now)));
}

#[tokio::test]
async fn a_secret_with_something_else_in_it_is_made_anew() {
    let (fake, cluster) = start(true).await;
    let now = SystemTime::now();
    let other = make(&["other.zastava.svc".to_owned()], now).unwrap();
    for data in [json!({ "tls.crt": "Z2FyYmFnZQ==", "tls.key": "", "ca.crt": "" }), json!({})] {
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "tls", "resourceVersion": "7" }, "type": "kubernetes.io/tls", "data": data });
        fake.0.lock().unwrap().objects.insert(SECRET.to_owned(), secret);
        assert_eq!(cluster.ensure(now).await.unwrap(), Done::Renewed);
    }
    let bytes = |text: &str| serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap();
    let data = json!({ "tls.crt": bytes(&other.certificate), "tls.key": bytes(&other.key), "ca.crt": bytes(&other.authority) });
    fake.0.lock().unwrap().objects.get_mut(SECRET).unwrap()["data"] = data;
    assert_eq!(cluster.ensure(now).await.unwrap(), Done::Renewed);
    assert!(trusts(&fake.bundles()[0], &fake.secret("tls.crt"), now));
}

#[tokio::test]
async fn without_a_configuration_nothing_is_made() {
    let (fake, cluster) = start(false).await;

    assert!(matches!(cluster.ensure(SystemTime::now()).await, Err(CertsError::NoConfiguration(_))));
    assert!(fake.writes().is_empty());
}

#[test]
fn a_certificate_holds_for_ninety_days() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let made = make(&["a.b.svc".to_owned()], now).unwrap();
    let der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap();

    assert_eq!(not_after(&der).unwrap(), 1_700_000_000 + 90 * 86_400);
}
