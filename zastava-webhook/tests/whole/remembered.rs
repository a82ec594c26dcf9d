use serde_json::json;

use crate::lab::{Mood, Registry, Webhook, config, review_of};

/// In `prod` the image must be signed by somebody else beside.
const STRICTER: &str = "signature: {verifiers: [release]}
namespaces: [{names: [prod], signature: {verifiers: [other]}}]";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_is_answered_alike_and_to_nobody_else() {
    let registry = Registry::start().await;
    let key = crate::lab::made().join("keys/other.pub").canonicalize().unwrap();
    let other = format!("keys: [{{name: other, publicKey: {}}}, ", key.display());
    let webhook = Webhook::start(&config(&registry, STRICTER).replace("keys: [", &other));
    let client = webhook.client();
    let pinned = |name: &str| registry.image(name, &format!("@{}", registry.digest(name)));
    let asked = [
        ("shop", pinned("app"), true, None),
        ("prod", pinned("app"), false, Some("key_mismatch")),
        ("shop", pinned("other"), false, Some("unsigned")),
        ("prod", registry.image("app", ":app"), false, Some("key_mismatch")),
        ("shop", registry.image("app", ":app"), true, None),
    ];
    let mut first = Vec::new();
    for (namespace, image, allowed, reason) in &asked {
        let answer = client.ask(&review_of(image, namespace), "10s").await;
        assert_eq!(answer["allowed"], *allowed, "{namespace} {image}: {answer}");
        assert_eq!(answer["auditAnnotations"]["reasons"].as_str(), *reason, "{namespace} {image}");
        first.push(answer);
    }
    registry.asked();
    for ((namespace, image, ..), before) in asked.iter().zip(&first) {
        assert_eq!(client.ask(&review_of(image, namespace), "10s").await, *before, "{namespace} {image}");
    }
    assert!(registry.asked().is_empty(), "nobody was asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_takes_nothing_away_that_was_known() {
    let registry = Registry::start().await;
    // A refusal never rests on what was known before.
    let webhook = Webhook::start(&config(&registry, "cache: {negativeSeconds: 0}"));
    let client = webhook.client();
    let pinned = |name: &str| registry.image(name, &format!("@{}", registry.digest(name)));
    let good = review_of(&pinned("app"), "shop");
    assert_eq!(client.ask(&good, "10s").await["allowed"], true);
    registry.mood(Mood::Status(502));
    let mut both = good.clone();
    let other = json!({"name": "other", "image": pinned("other")});
    both["request"]["object"]["spec"]["containers"].as_array_mut().unwrap().push(other);
    let refused = client.ask(&both, "10s").await;
    assert_eq!(refused["allowed"], false);
    assert!(!registry.asked().is_empty());
    let again = client.ask(&good, "10s").await;
    assert_eq!(again["allowed"], true, "{again}");
    assert!(registry.asked().is_empty(), "what was known is still known");
}
