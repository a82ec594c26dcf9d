//! Pods that their authors made large, or too large to be looked at.

use std::time::Duration;

use hyper::body::Bytes;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::lab::{Registry, Webhook, ask, config, review_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_too_large_to_be_looked_at_is_refused_where_the_webhook_fails_open_too() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, "failOpenNamespaces: [dev]"));
    let mut connection = webhook.client().connect().await.unwrap();
    let pod = review_of(&registry.image("other", ":other"), "dev");
    let uid = pod["request"]["uid"].as_str().unwrap();
    // 1.4 MiB of `<`, as the API server writes them; and the uid first, as it does.
    let filled = format!("\"object\":{{\"x\":\"{}\",", "\\u003c".repeat(1_400 << 10));
    let body = pod.to_string().replacen("\"object\":{", &filled, 1);
    let body = body.replacen("\"request\":{", &format!("\"request\":{{\"uid\":\"{uid}\","), 1);

    for times in 1..=2 {
        let (status, answer) =
            ask(&mut connection, "/validate", Bytes::from(body.clone()), "10s").await.unwrap();
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            (&answer["response"]["uid"], &answer["response"]["allowed"]),
            (&uid.into(), &false.into())
        );
        let message = answer["response"]["status"]["message"].as_str().unwrap();
        assert!(message.contains("review_too_large") && message.contains("8388608 bytes"), "{message}");
        let told = webhook.line("refused without having been read");
        assert_eq!((&told["decision"], &told["uid"]), (&"deny".into(), &uid.into()), "{told}");
        let counted = webhook.metric("zastava_admission_decisions_total{decision=\"deny\"}").await;
        assert!((counted - f64::from(times)).abs() < 0.5, "{counted}");
    }
    let reason = "zastava_admission_findings_total{criterion=\"request\",reason=\"review_too_large\"}";
    assert!(webhook.metric(reason).await > 1.5);
    assert!(webhook.most_memory() < 64 << 20, "{} bytes", webhook.most_memory());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_pod_whose_registry_is_silent_leaves_its_room_to_the_next_one() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, "tags: {deny: [latest]}"));
    let client = webhook.client();
    // One address has room for one body of this size.
    let large = |image: &str| {
        let filled = format!("\"object\":{{\"x\":\"{}\",", "a".repeat(7 << 20));
        Bytes::from(review_of(image, "shop").to_string().replacen("\"object\":{", &filled, 1))
    };
    let answer = async |body: Bytes| {
        let mut connection = client.connect().await.unwrap();
        let (status, answer) = ask(&mut connection, "/validate", body, "30s").await.unwrap();
        assert_eq!(status, 200);
        serde_json::from_slice::<Value>(&answer).unwrap()["response"].take()
    };
    registry.close();
    let signed = large(&registry.image("app", &format!("@{}", registry.digest("app"))));
    let meanwhile = async {
        let asked = async {
            while registry.asked().is_empty() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(25), asked).await.expect("the registry is asked");
        let refused = answer(large(&registry.image("other", ":latest"))).await;
        registry.open();
        refused
    };

    let (waited, refused) = tokio::join!(answer(signed), meanwhile);

    assert_eq!(waited["allowed"], true, "{waited}");
    assert_eq!(refused["auditAnnotations"]["reasons"], "tag_denied", "{refused}");
}
