use std::time::Duration;

use tokio::{task::JoinSet, time::timeout};

use crate::lab::{Mood, Registry, Webhook, config, review};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reviews_at_once_of_one_digest_cost_one_look() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, "server:\n  maxConnections: 2000"));
    let client = webhook.client();
    let image = registry.image("app", &format!("@{}", registry.digest("app")));
    // Nobody is answered before all have asked.
    registry.close();
    let mut load = JoinSet::new();
    for _ in 0..1_000 {
        let (client, review) = (client.clone(), review(&image));
        load.spawn(async move { client.ask(&review, "30s").await });
    }
    let waiting = async {
        while webhook.metric("zastava_admission_connections").await < 1_000.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(25), waiting).await.expect("all are connected");
    registry.open();

    let answers = load.join_all().await;

    assert!(answers.iter().all(|answer| answer["allowed"] == true), "{:?}", answers[0]);
    let asked = registry.asked();
    assert!(!asked.is_empty());
    for (what, times) in asked {
        assert_eq!(times, 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_goes_on_when_the_request_is_out_of_time() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, ""));
    let client = webhook.client();
    let image = registry.image("app", &format!("@{}", registry.digest("app")));
    registry.mood(Mood::Slow(Duration::from_millis(700)));

    let first = client.ask(&review(&image), "1s").await;

    assert_eq!(first["allowed"], false);
    assert_eq!(first["auditAnnotations"]["reasons"], "deadline_exceeded");
    let again = async {
        // The same question finds what the first one began, and asks nothing that was asked.
        while client.ask(&review(&image), "1s").await["allowed"] != true {}
    };
    timeout(Duration::from_secs(20), again).await.expect("the look-up goes on");
    assert!(registry.asked().values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_signature_is_seen_although_there_was_none_before() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, "cache: {negativeSeconds: 0}"));
    let client = webhook.client();
    let image = registry.image("other", ":other");

    assert_eq!(client.ask(&review(&image), "10s").await["auditAnnotations"]["reasons"], "unsigned");
    let before: u32 = registry.asked().values().sum();
    assert_eq!(client.ask(&review(&image), "10s").await["auditAnnotations"]["reasons"], "unsigned");

    // A no is asked about again; a yes is remembered.
    assert!(registry.asked().values().sum::<u32>() > 0, "{before}");
    let signed = registry.image("app", &format!("@{}", registry.digest("app")));
    assert_eq!(client.ask(&review(&signed), "10s").await["allowed"], true);
    registry.asked();
    assert_eq!(client.ask(&review(&signed), "10s").await["allowed"], true);
    assert!(registry.asked().is_empty());
}
