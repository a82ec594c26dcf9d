//! A handler that panics is answered, with what the API server takes for no answer.

use std::{fs, time::Duration};

use hyper::body::Bytes;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tokio_util::sync::CancellationToken;
use zastava_common::{config::Server, metric};
use zastava_webhook::{
    assemble::Assembled,
    policy::Disk,
    server::{App, Certificates, Health, Listener, router},
};

use crate::lab::{Client, ask, made_here, review};

/// Panics where a decision is counted, which is in the middle of the handler.
struct Broken;

impl Recorder for Broken {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        assert_ne!(key.name(), metric::ADMISSION_DECISIONS, "as if it were a fault of ours");
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

// One thread, whose metrics go to the recorder above.
#[tokio::test(flavor = "current_thread")]
async fn a_panic_is_answered_with_500_and_the_connection_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let made = made_here();
    let path = |file: &str| folder.path().join(file);
    fs::write(path("tls.crt"), &made.certificate).unwrap();
    fs::write(path("tls.key"), &made.key).unwrap();
    fs::write(
        path("zastava.yaml"),
        "zastava: {admission: {verify: {imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}}}",
    )
    .unwrap();
    let of = |file: &str| serde_json::from_value(serde_json::json!(path(file))).unwrap();
    let server = Server { certificate_file: of("tls.crt"), key_file: of("tls.key"), ..Server::default() };
    let certificates = Certificates::load(&server, &Disk).unwrap();
    let assembled = Assembled::load(&path("zastava.yaml"), &Disk, None).unwrap();
    let app = App::new(assembled.engine, Health::default(), Duration::from_millis(300));
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), router(app), 16).await.unwrap();
    let client = Client::new(listener.address().unwrap(), &made.authority);
    tokio::spawn(listener.run(Some(certificates), CancellationToken::new()));
    let mut connection = client.connect().await.unwrap();
    let body: Bytes = review("registry.example/app:1").to_string().into();
    let (status, answer) = ask(&mut connection, "/validate", body.clone(), "10s").await.unwrap();
    let answer = String::from_utf8(answer.to_vec()).unwrap();
    assert!(status == 200 && answer.contains("\"allowed\":true"), "{answer}");

    {
        let _broken = metrics::set_default_local_recorder(&Broken);
        for _ in 0..3 {
            let (status, answer) = ask(&mut connection, "/validate", body.clone(), "10s").await.unwrap();
            let answer = String::from_utf8(answer.to_vec()).unwrap();
            assert_eq!(status, 500);
            assert!(!answer.contains("allowed"), "{answer}");
        }
    }
    let (status, _) = ask(&mut connection, "/validate", body, "10s").await.unwrap();
    assert_eq!(status, 200, "the same connection serves what comes behind it");
}
