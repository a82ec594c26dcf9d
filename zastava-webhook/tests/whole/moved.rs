//! A tag that moves: what was decided on is what is reported, whatever the tag stands for by then.

use serde_json::Value;

use crate::{
    lab::{Mood, Registry, Webhook, config, config_of, review},
    made::made,
    registries::{Lab, Style},
};

#[track_caller]
fn decided(answer: &Value, allowed: bool, digest: &str) {
    assert_eq!(answer["allowed"], allowed, "{answer}");
    let images = answer["auditAnnotations"]["images"].as_str().unwrap();
    assert!(images.ends_with(&format!("={digest}")), "{images} is not {digest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_was_moved_is_decided_on_anew_with_the_digest_that_it_has_now() {
    let made = made();
    let lab = Lab::start(Style::Tag).await;
    let (signed, unsigned) = (made.digest("app").to_string(), made.digest("other").to_string());
    lab.skopeo("app", "team/web", "1");
    lab.attach("team/web", &made, &["p256.sig"]);
    let image = format!("{}/team/web:1", lab.host);
    let asking = Webhook::start(&config_of(&lab.host, "cache: {tagSeconds: 0}"));
    let remembering = Webhook::start(&config_of(&lab.host, "cache: {tagSeconds: 300}"));
    decided(&asking.client().ask(&review(&image), "10s").await, true, &signed);
    decided(&remembering.client().ask(&review(&image), "10s").await, true, &signed);

    lab.skopeo("other", "team/web", "1");

    let moved = asking.client().ask(&review(&image), "10s").await;
    decided(&moved, false, &unsigned);
    assert_eq!(moved["auditAnnotations"]["reasons"], "unsigned");
    // Who remembers what the tag stood for says so.
    decided(&remembering.client().ask(&review(&image), "10s").await, true, &signed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moves_while_it_is_looked_at_is_asked_for_once() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, "cache: {tagSeconds: 0}"));
    let client = webhook.client();
    registry.mood(Mood::Moving);
    for round in 0..4 {
        let answer = client.ask(&review(&registry.image("app", ":app")), "10s").await;
        let content = ["app", "other"][round % 2];
        decided(&answer, content == "app", &registry.digest(content));
        assert_eq!(registry.asked()["app/manifests/app"], 1, "round {round}");
    }
}
