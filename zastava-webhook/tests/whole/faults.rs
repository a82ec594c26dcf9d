use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use axum::{Router, http::StatusCode};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use zastava_common::config::Server;
use zastava_webhook::{
    certs::make,
    policy::Disk,
    server::{Certificates, Listener},
};

use crate::lab::{Mood, Registry, Webhook, config, review, review_of};

/// Ample for an answer that is due in 2 s, and much less than what the registry would take.
const DUE: Duration = Duration::from_secs(20);
/// Requests to the registry for one image that cannot be had.
const FEW: u32 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_answer_as_it_should_is_told_in_time_and_the_namespace_decides() {
    let moods = [
        (Mood::Status(500), "registry_failing", true),
        (Mood::Status(429), "registry_rate_limited", true),
        (Mood::Slow(Duration::from_mins(1)), "deadline_exceeded", true),
        (Mood::Status(401), "registry_access", false),
        (Mood::Status(403), "registry_access", false),
        (Mood::Endless, "registry_too_much", false),
        (Mood::RedirectLoop, "registry_redirect_refused", false),
        (Mood::Wrong, "registry_other_content", false),
    ];
    for (mood, reason, is_outage) in moods {
        let registry = Registry::start().await;
        let webhook = Webhook::start(&config(&registry, "failOpenNamespaces: [dev]"));
        let client = webhook.client();
        let image = registry.image("app", &format!("@{}", registry.digest("app")));
        registry.mood(mood);
        let begun = Instant::now();
        let closed = client.ask(&review(&image), "2s").await;
        assert!(begun.elapsed() < DUE, "{mood:?} took {:?}", begun.elapsed());
        assert_eq!(closed["allowed"], false, "{mood:?}");
        assert_eq!(closed["auditAnnotations"]["reasons"], reason, "{mood:?}: {closed}");
        let open = client.ask(&review_of(&image, "dev"), "2s").await;
        // What passes is excused; what somebody may have made so is not.
        assert_eq!(open["allowed"], is_outage, "{mood:?}: {open}");
        if is_outage {
            assert_eq!(open["auditAnnotations"]["decision"], "fail_open", "{mood:?}");
            assert!(webhook.metric("zastava_admission_fail_open_total{namespace=\"dev\"}").await > 0.0);
        }
        let asked: u32 = registry.asked().values().sum();
        assert!(asked <= FEW, "{mood:?}: {asked} requests");
        assert!(webhook.most_memory() < 128 << 20, "{mood:?}: {} bytes", webhook.most_memory());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_whose_certificate_nobody_trusts_is_told_and_asked_nothing() {
    let made = make(&["localhost".to_owned()], SystemTime::now()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [("crt", &made.certificate), ("key", &made.key), ("ca", &made.authority)] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let path = |file: &str| serde_json::from_value(json!(folder.path().join(file))).unwrap();
    let server = Server { certificate_file: path("crt"), key_file: path("key"), ..Server::default() };
    let certificates = Certificates::load(&server, &Disk).unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let router = Router::new().fallback(async move || {
        count.fetch_add(1, Ordering::Relaxed);
        StatusCode::NOT_FOUND
    });
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), router, 64).await.unwrap();
    let host = format!("localhost:{}", listener.address().unwrap().port());
    tokio::spawn(listener.run(Some(certificates), CancellationToken::new()));
    let elsewhere = Registry::start().await;
    let admission = |more: &str| {
        let registry = format!("{{host: \"{host}\", private: true{more}}}, {{host");
        config(&elsewhere, "failOpenNamespaces: [dev]").replace("[{host", &format!("[{registry}"))
    };
    let image = format!("{host}/team/app@{}", elsewhere.digest("app"));

    let webhook = Webhook::start(&admission(""));
    let closed = webhook.client().ask(&review(&image), "5s").await;
    assert_eq!(closed["auditAnnotations"]["reasons"], "registry_tls", "{closed}");
    let open = webhook.client().ask(&review_of(&image, "dev"), "5s").await;
    assert_eq!(open["auditAnnotations"]["decision"], "fail_open", "{open}");
    assert_eq!(asked.load(Ordering::Relaxed), 0);

    let trusting = Webhook::start(&admission(&format!(", caFile: {}", folder.path().join("ca").display())));
    let answer = trusting.client().ask(&review(&image), "5s").await;
    assert_eq!(answer["auditAnnotations"]["reasons"], "image_not_found", "{answer}");
    assert!(asked.load(Ordering::Relaxed) > 0);
}

/// Nobody listens at this address of this machine, where no test binds a port.
const REFUSING: &str = "127.77.77.77:5000";
/// A name that never is one (RFC 6761).
const NAMELESS: &str = "registry.invalid";

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_gone_is_told_in_time_and_the_namespace_decides() {
    let registry = Registry::start().await;
    for gone in [REFUSING, NAMELESS] {
        let admission = config(&registry, "failOpenNamespaces: [dev]").replace(&registry.host, gone);
        let webhook = Webhook::start(&admission);
        let client = webhook.client();
        let image = format!("{gone}/team/app@{}", registry.digest("app"));
        let begun = Instant::now();
        let closed = client.ask(&review(&image), "2s").await;
        assert!(begun.elapsed() < DUE, "{gone} took {:?}", begun.elapsed());
        assert_eq!(closed["allowed"], false, "{gone}");
        let reason = closed["auditAnnotations"]["reasons"].as_str().unwrap().to_owned();
        // Whoever resolves names may be slower than we are asked to be.
        let slow = gone == NAMELESS && reason == "deadline_exceeded";
        assert!(reason == "registry_unreachable" || slow, "{gone}: {closed}");

        let open = client.ask(&review_of(&image, "dev"), "2s").await;
        assert_eq!(open["allowed"], true, "{gone}: {open}");
        assert_eq!(open["auditAnnotations"]["decision"], "fail_open", "{gone}");
        let warnings = open["warnings"].as_array().unwrap();
        assert!(warnings.iter().any(|line| line.as_str().unwrap().contains("registry")), "{warnings:?}");
        assert!(webhook.metric("zastava_admission_fail_open_total{namespace=\"dev\"}").await > 0.0);
        for _ in 0..8 {
            client.ask(&review(&image), "2s").await;
        }
        let asked = format!("zastava_registry_requests_total{{host=\"{gone}\",code=\"error\"}}");
        let asked = webhook.metric(&asked).await;
        assert!(asked <= f64::from(FEW), "{gone}: {asked} requests");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_not_allowed_never_hears_of_it() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, "registryAllowlist: [registry.example]"));

    let answer = webhook.client().ask(&review(&registry.image("app", ":app")), "5s").await;

    assert_eq!(answer["auditAnnotations"]["reasons"], "registry_denied");
    assert!(registry.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_and_unsigned_are_told_apart_and_the_digest_is_reported() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, ""));
    let client = webhook.client();

    let signed = client.ask(&review(&registry.image("app", ":app")), "10s").await;
    assert_eq!(signed["allowed"], true, "{signed}");
    let images = signed["auditAnnotations"]["images"].as_str().unwrap();
    assert!(images.ends_with(&format!("={}", registry.digest("app"))), "{images}");
    assert!(signed["auditAnnotations"]["evidence"].as_str().unwrap().ends_with("=release"));

    let unsigned = client.ask(&review(&registry.image("other", ":other")), "10s").await;
    assert_eq!(unsigned["auditAnnotations"]["reasons"], "unsigned");
    let missing = client.ask(&review(&registry.image("app", ":none")), "10s").await;
    assert_eq!(missing["auditAnnotations"]["reasons"], "image_not_found");
}
