//! Reviews of which not everything is read: whoever asked is told no, and not nothing.

use http_body_util::channel::{Channel, Sender};
use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinHandle;

use super::*;
use crate::review::MAX_BODY_BYTES;

const UID: &str = "5bdfae87-925e-4a39-af8c-6466379566f0";

/// A recorded review of a pod with this annotation, as Go writes it.
fn annotated(text: &str) -> Vec<u8> {
    let recorded = include_str!("../../../tests/data/admission-reviews/pod-create.json");
    let annotations = format!("\"object\":{{\"annotations\":{{\"a\":\"{text}\"}},");
    recorded.replacen("\"object\":{", &annotations, 1).into_bytes()
}

/// What becomes of a text with so many `<` in it.
fn escaped(count: usize) -> String {
    "\\u003c".repeat(count)
}

async fn post_http2(address: SocketAddr, tls: &TlsConnector, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let stream = connect(address, tls).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("https://webhook.test/validate?timeout=30s");
    said(sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap()).await
}

/// Begins a request whose body is sent piece by piece, and its answer.
async fn begin(
    address: SocketAddr,
    tls: &TlsConnector,
    timeout: &str,
) -> (Sender<Bytes>, JoinHandle<(StatusCode, Vec<u8>)>) {
    let stream = connect(address, tls).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (body, channel) = Channel::new(8);
    let request = Request::post(format!("/validate?timeout={timeout}")).header("host", NAME).body(channel);
    let answer =
        tokio::spawn(async move { said(sender.send_request(request.unwrap()).await.unwrap()).await });
    (body, answer)
}

fn is_refused((status, body): &(StatusCode, Vec<u8>), reason: &str) {
    assert_eq!(*status, StatusCode::OK);
    let answer: Value = serde_json::from_slice(body).unwrap();
    let response = &answer["response"];
    assert_eq!((&response["uid"], &response["allowed"]), (&json!(UID), &json!(false)));
    assert_eq!(response["auditAnnotations"]["reasons"], reason, "{answer}");
    assert_eq!(response["auditAnnotations"]["decision"], "deny");
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains(reason), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let running = start(app(), &certificates).await;
    let (h1, h2) = (client(&[&made.authority], None), silence::speaking(&made, b"h2"));
    // The object alone, with 1.4 MiB of `<`; and the most of an update.
    for count in [1_400 << 10, 4_500 << 10] {
        let body = annotated(&escaped(count));
        assert!(body.len() > MAX_BODY_BYTES);
        is_refused(&post_http2(running.address, &h2, body.clone()).await, "review_too_large");

        let stream = connect(running.address, &h1).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for body in [body.clone(), body, annotated("")] {
            let is_large = body.len() > MAX_BODY_BYTES;
            let request = Request::post("/validate?timeout=30s").header("host", NAME);
            let request = request.body(Full::new(Bytes::from(body))).unwrap();
            sender.ready().await.unwrap();
            let answer = said(sender.send_request(request).await.unwrap()).await;
            if is_large {
                is_refused(&answer, "review_too_large");
            } else {
                let answer: Value = serde_json::from_slice(&answer.1).unwrap();
                assert_eq!(answer["response"]["allowed"], true);
            }
        }
    }
}

#[tokio::test]
async fn a_review_at_the_bound_is_judged() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let running = start(app_that_denies("*"), &certificates).await;
    let tls = client(&[&made.authority], None);
    let body = annotated(&"a".repeat(MAX_BODY_BYTES - annotated("").len()));
    assert_eq!(body.len(), MAX_BODY_BYTES);
    is_refused(&post(running.address, &tls, body).await, "tag_denied");
}

#[tokio::test]
async fn a_body_whose_length_is_not_said_is_refused_as_soon_as_it_is_too_large() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let running = start(app(), &certificates).await;
    let (mut body, answer) = begin(running.address, &client(&[&made.authority], None), "10s").await;
    for piece in annotated(&escaped(1_400 << 10)).chunks(64 << 10) {
        body.send_data(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    drop(body);
    is_refused(&answer.await.unwrap(), "review_too_large");
}

#[tokio::test]
async fn an_object_that_is_not_as_kubernetes_writes_it_is_refused() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let running = start(app(), &certificates).await;
    let tls = client(&[&made.authority], None);
    let mut bad_object: Value = serde_json::from_slice(&review("reg.test/web:1")).unwrap();
    bad_object["request"]["object"]["spec"] = json!("a text");
    is_refused(&post(running.address, &tls, bad_object.to_string().into_bytes()).await, "review_unreadable");
    let bad_request = String::from_utf8(annotated("")).unwrap();
    let bad_request = bad_request.replacen("\"operation\":\"CREATE\"", "\"operation\":\"PATCH\"", 1);
    is_refused(&post(running.address, &tls, bad_request.into_bytes()).await, "review_unreadable");
    // Half of one is no JSON, which no API server sends.
    let (status, _) = post(running.address, &tls, annotated("")[..500].to_vec()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_review_that_comes_slowly_is_refused_in_time() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let running = start(app(), &certificates).await;
    let (mut body, answer) = begin(running.address, &client(&[&made.authority], None), "1s").await;
    body.send_data(Bytes::copy_from_slice(&annotated("")[..1_000])).await.unwrap();
    is_refused(&answer.await.unwrap(), "review_slow");
}
