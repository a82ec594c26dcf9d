use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::task::JoinSet;

use crate::lab::{Client, Registry, Stream, Webhook, config, made_here, review, stream};

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_counts_from_the_next_request_on_and_an_unusable_one_never() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, ""));
    let client = webhook.client();
    let image = registry.image("app", ":app");
    let first = client.ask(&review(&image), "10s").await;
    assert_eq!(first["allowed"], true, "{first}");

    webhook.rewrite(&config(&registry, "tags: {deny: [app]}"));
    let told = webhook.line("another policy is in force");
    let second = client.ask(&review(&image), "10s").await;
    assert_eq!(second["auditAnnotations"]["reasons"], "tag_denied");
    assert_eq!(second["auditAnnotations"]["policy"], told["policy"]);
    assert_ne!(second["auditAnnotations"]["policy"], first["auditAnnotations"]["policy"]);

    webhook.rewrite(&config(&registry, "tags: {denny: [app]}"));
    let told = webhook.line("the old policy stays in force");
    let why = told["message"].as_str().unwrap();
    assert!(why.contains("zastava.yaml:6:") && why.contains("did you mean `deny`?"), "{why}");
    assert_eq!(told["level"], "ERROR");
    assert!(webhook.metric("zastava_admission_policy_current").await.abs() < f64::EPSILON);
    assert_eq!(
        client.ask(&review(&image), "10s").await["auditAnnotations"]["policy"],
        second["auditAnnotations"]["policy"]
    );

    webhook.rewrite(&config(&registry, ""));
    webhook.line("another policy is in force");
    assert_eq!(client.ask(&review(&image), "10s").await["allowed"], true);
    assert!((webhook.metric("zastava_admission_policy_current").await - 1.0).abs() < f64::EPSILON);
    let reloads = "zastava_admission_reloads_total{what=\"policy\",result=\"error\"}";
    assert!((webhook.metric(reloads).await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changes_in_its_file_counts_too() {
    let registry = Registry::start().await;
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("release.pub");
    let made = crate::lab::made().join("keys");
    std::fs::copy(made.join("other.pub"), &key).unwrap();
    let admission = config(&registry, "");
    let old = made.join("p256.pub").canonicalize().unwrap().display().to_string();
    let webhook = Webhook::start(&admission.replace(&old, &key.display().to_string()));
    let client = webhook.client();
    let image = registry.image("app", &format!("@{}", registry.digest("app")));
    assert_eq!(client.ask(&review(&image), "10s").await["auditAnnotations"]["reasons"], "key_mismatch");

    std::fs::copy(made.join("p256.pub"), &key).unwrap();
    webhook.line("another policy is in force");

    assert_eq!(client.ask(&review(&image), "10s").await["allowed"], true);
}

async fn allowed(sender: &mut Stream, body: Bytes) {
    let answer = stream(sender, body).await.expect("no request fails");
    assert_eq!(answer.status(), 200);
    let answer = answer.into_body().collect().await.unwrap().to_bytes();
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["response"]["allowed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_swapped_under_load_fails_no_handshake_and_ends_no_connection() {
    let registry = Registry::start().await;
    let certificates = [made_here(), made_here(), made_here()];
    let webhook = Webhook::with(&certificates[0], &config(&registry, ""), "");
    // As `certs` has it: who asks trusts the next authority before the pods show its certificate.
    let trusted: String = certificates.iter().map(|made| made.authority.as_str()).collect();
    let client = Client::new(webhook.address, &trusted);
    let body: Bytes =
        review(&registry.image("app", &format!("@{}", registry.digest("app")))).to_string().into();
    let (stop, served, shaken) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut load = JoinSet::new();
    // Many requests at once on one connection that stays.
    let (kept, first) = client.connect_http2().await.unwrap();
    for _ in 0..24 {
        let (mut kept, body) = (kept.clone(), body.clone());
        let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
        load.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                allowed(&mut kept, body.clone()).await;
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // And a handshake for each.
    for _ in 0..4 {
        let (client, body) = (client.clone(), body.clone());
        let (stop, shaken) = (Arc::clone(&stop), Arc::clone(&shaken));
        load.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let (mut sender, _) = client.connect_http2().await.expect("no handshake fails");
                allowed(&mut sender, body.clone()).await;
                shaken.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let more = async |count: &AtomicU64| {
        let wanted = count.load(Ordering::Relaxed) + 20;
        while count.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let der = |made: &zastava_webhook::certs::Made| {
        CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap().to_vec()
    };
    assert_eq!(first, der(&certificates[0]));
    for next in &certificates[1..] {
        more(&served).await;
        more(&shaken).await;
        webhook.swap(next);
        webhook.line("another certificate is in use");
        let (_, shown) = client.connect_http2().await.unwrap();
        assert_eq!(shown, der(next));
    }
    more(&served).await;
    more(&shaken).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(one) = load.join_next().await {
        one.expect("nothing fails");
    }
}
