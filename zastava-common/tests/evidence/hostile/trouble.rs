//! Registries that are slow, overloaded, broken or gone: a clear reason in time, and no request too many.

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use zastava_common::evidence::{
    Digest, Evidence, Fault, Outcome, Source, Wanted,
    registry::{Endpoint, PullSecrets, Registry, RegistryConfig},
};

use super::fake::{Fake, INDEX, MANIFEST, answer_with, ok};
use crate::{
    lab::signed_by,
    made::{any, key, made},
};

async fn gather(source: &Source, fake: &Fake) -> Result<Evidence, Fault> {
    let wanted = signed_by(any(vec![key("p256")]));
    source.gather(&fake.image(), made().digest("app"), &wanted, &PullSecrets::default()).await
}

#[tokio::test]
async fn too_many_requests_stop_further_ones() {
    let fake = Fake::start().await;
    fake.on("/", |_| answer_with(429, &[("retry-after", "30")], ""));
    let source = fake.source();
    for _ in 0..20 {
        let fault = gather(&source, &fake).await.unwrap_err();
        assert!(
            matches!(fault, Fault::RateLimited { wait, .. } if wait == Duration::from_secs(30)),
            "{fault}"
        );
        assert!(fault.is_outage() && !fault.is_definitive());
    }
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn a_broken_registry_is_asked_once_in_a_second() {
    for status in [500, 502, 503] {
        let fake = Fake::start().await;
        fake.on("/", move |_| answer_with(status, &[], "sorry"));
        let source = fake.source();
        for _ in 0..20 {
            let fault = gather(&source, &fake).await.unwrap_err();
            assert!(matches!(fault, Fault::Failing { status: found, .. } if found == status), "{fault}");
        }
        assert_eq!(fake.asked().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_make_no_storm_of_a_broken_registry() {
    let fake = Arc::new(Fake::start().await);
    fake.on("/", |_| answer_with(500, &[], ""));
    let source = fake.source();
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let (source, fake) = (source.clone(), Arc::clone(&fake));
            tokio::spawn(async move { gather(&source, &fake).await.unwrap_err() })
        })
        .collect();
    for task in tasks {
        assert!(matches!(task.await.unwrap(), Fault::Failing { status: 500, .. }));
    }
    // Those that were under way before the first answer came.
    assert!(fake.asked().len() <= 16, "{}", fake.asked().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_answers_at_once_are_all_read() {
    // More than all of them may take of memory together.
    let content = vec![b' '; 6 << 20];
    let layer = Digest::sha256(&content);
    let made = made();
    let fake = Arc::new(Fake::with(&[]).await);
    let entry = serde_json::json!({ "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "digest": layer, "size": content.len() });
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": entry, "layers": [entry],
        "subject": { "mediaType": MANIFEST, "digest": made.digest("app"), "size": 1 },
    });
    let manifest = manifest.to_string();
    let digest = Digest::sha256(manifest.as_bytes());
    let entry = serde_json::json!({ "mediaType": MANIFEST, "digest": digest, "size": manifest.len() });
    let list = serde_json::json!({ "mediaType": INDEX, "manifests": [entry] }).to_string();
    fake.on("/v2/team/app/referrers/", move |_| ok(INDEX, list.clone()));
    fake.on(&format!("/v2/team/app/manifests/{digest}"), move |_| ok(MANIFEST, manifest.clone()));
    let content = Bytes::from(content);
    fake.on(&format!("/v2/team/app/blobs/{layer}"), move |_| ok("", content.clone()));
    let source = fake.source();
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let (source, image) = (source.clone(), fake.image());
            tokio::spawn(async move {
                let wanted = Wanted { sbom: Some(any(vec![key("p256")])), ..Wanted::default() };
                let digest = crate::made::made().digest("app").clone();
                source.gather(&image, &digest, &wanted, &PullSecrets::default()).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        let sbom = task.await.unwrap().sbom.unwrap();
        assert_eq!((sbom.found, sbom.unknown), (vec![], None));
    }
    assert!(fake.asked().iter().filter(|asked| asked.path.contains("/blobs/")).count() == 12);
}

#[tokio::test]
async fn what_could_not_be_looked_at_leaves_the_answer_open() {
    let fake = Fake::with(&[]).await;
    fake.on("/v2/team/app/referrers/", |_| answer_with(503, &[], ""));
    let evidence = gather(&fake.source(), &fake).await.unwrap();
    assert!(matches!(evidence.signatures[0].outcome, Outcome::Unknown(Fault::Failing { status: 503, .. })));
    // A signature that was found holds all the same.
    let fake = Fake::with(&["p256.sig"]).await;
    fake.on("/v2/team/app/referrers/", |_| answer_with(503, &[], ""));
    assert!(gather(&fake.source(), &fake).await.unwrap().signatures[0].is_verified());
}

#[tokio::test]
async fn a_configuration_that_only_others_may_read_leaves_the_base_open() {
    let base = async |status, of_referrers| {
        let fake = Fake::with(&[]).await;
        fake.on("/v2/team/app/blobs/", move |_| answer_with(status, &[], ""));
        fake.on("/v2/team/app/referrers/", move |_| answer_with(of_referrers, &[], ""));
        let wanted = Wanted { base: Some(any(vec![key("p256")])), ..Wanted::default() };
        let (image, secrets) = (fake.image(), PullSecrets::default());
        fake.source().gather(&image, made().digest("app"), &wanted, &secrets).await.unwrap().base.unwrap()
    };
    // An outage beside it excuses nothing.
    for (status, of_referrers) in [(401, 404), (403, 404), (403, 503)] {
        let base = base(status, of_referrers).await;
        assert!(matches!(base.unknown, Some(Fault::Denied { status: found, .. }) if found == status));
        assert_eq!(base.refused, None);
    }
    let base = base(404, 404).await;
    assert!(matches!(base.refused, Some(Fault::NotFound { .. })) && base.unknown.is_none());
}

#[tokio::test]
async fn only_answers_that_mean_no_such_api_lead_to_the_tag() {
    for status in [400, 404, 405, 406, 501] {
        let fake = Fake::with(&[]).await;
        fake.on("/v2/team/app/referrers/", move |_| answer_with(status, &[], ""));
        let evidence = gather(&fake.source(), &fake).await.unwrap();
        assert!(matches!(evidence.signatures[0].outcome, Outcome::Refused(_)), "{status}");
        let tag = made().digest("app").fallback_tag();
        assert!(fake.asked().iter().any(|asked| asked.path.ends_with(&tag)), "{status}");
    }
    for status in [401, 403, 429, 500, 502] {
        let fake = Fake::with(&[]).await;
        fake.on("/v2/team/app/referrers/", move |_| answer_with(status, &[], ""));
        let evidence = gather(&fake.source(), &fake).await.unwrap();
        assert!(
            matches!(evidence.signatures[0].outcome, Outcome::Unknown(_)),
            "{status}: never 'no referrers'"
        );
    }
}

fn at(host: &str, plain_http: bool, within: Duration) -> Source {
    let endpoint = Endpoint { plain_http, ..Endpoint::new(host.parse().unwrap()) };
    let registry = Registry::new(endpoint.host.clone(), vec![endpoint]);
    Source::new(&RegistryConfig { registries: vec![registry], within, ..RegistryConfig::default() }).unwrap()
}

/// Ample for who answers at all, be it with a refusal.
const LONG: Duration = Duration::from_mins(1);

async fn resolve(source: &Source, host: &str) -> Fault {
    let image = format!("{host}/team/app:1").parse().unwrap();
    source.resolve(&image, &PullSecrets::default()).await.unwrap_err()
}

#[tokio::test]
async fn a_registry_that_says_nothing_or_a_byte_at_a_time_is_not_waited_for() {
    for dripping in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                if dripping {
                    // The request comes first.
                    assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
                    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
                    stream.write_all(head.as_bytes()).await.unwrap();
                    tokio::spawn(async move {
                        while stream.write_all(b" ").await.is_ok() {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    });
                } else {
                    open.push(stream);
                }
            }
        });
        let source = at(&host, true, Duration::from_millis(300));
        let image = format!("{host}/team/app").parse().unwrap();
        let digest = made().digest("app").clone();
        let fault =
            source.gather(&image, &digest, &Wanted::default(), &PullSecrets::default()).await.unwrap_err();
        assert!(matches!(fault, Fault::Timeout { .. }), "{fault}");
        assert!(fault.is_outage());
        server.abort();
    }
}

#[tokio::test]
async fn a_registry_that_is_gone_is_told_as_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let fault = resolve(&at(&host, true, LONG), &host).await;
    assert!(matches!(fault, Fault::Unreachable { .. }), "{fault}");
    let fault = resolve(&at("reg.invalid", false, LONG), "reg.invalid").await;
    assert!(matches!(fault, Fault::Unreachable { .. }), "{fault}");
}

#[tokio::test]
async fn a_registry_without_tls_is_told_as_that() {
    let fake = Fake::start().await;
    let fault = resolve(&at(&fake.host, false, LONG), &fake.host).await;
    assert!(matches!(fault, Fault::Tls { .. }), "{fault}");
    assert!(fake.asked().is_empty(), "nothing is sent in the clear");
}
