//! Requests about a part of a pod.

use serde_json::{Value, json};

use crate::lab::{Registry, Webhook, config};

fn recorded(file: &str) -> Value {
    let path = format!("{}/tests/data/admission-reviews/{file}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debug_container_is_judged_and_the_pod_that_it_enters_is_not() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, ""));
    let client = webhook.client();
    for (name, allowed) in [("app", true), ("other", false)] {
        let mut review = recorded("pod-ephemeralcontainers-debug");
        review["request"]["object"]["spec"]["ephemeralContainers"][0]["image"] =
            json!(registry.image(name, &format!("@{}", registry.digest(name))));
        let answer = client.ask(&review, "10s").await;
        assert_eq!(answer["allowed"], allowed, "{answer}");
        // The pod's own image is of a registry that is not there.
        let images = answer["auditAnnotations"]["images"].as_str().unwrap();
        assert!(images.contains(&registry.host) && !images.contains("reg.test"), "{images}");
        if !allowed {
            assert_eq!(answer["auditAnnotations"]["reasons"], "unsigned");
            let message = answer["status"]["message"].as_str().unwrap();
            assert!(message.contains("spec.ephemeralContainers[dbg].image"), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_given_other_resources_and_no_other_image() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, ""));
    let client = webhook.client();
    let mut review = recorded("pod-update-label");
    review["request"]["subResource"] = json!("resize");
    review["request"]["requestSubResource"] = json!("resize");
    let main = &mut review["request"]["object"]["spec"]["containers"][0];
    main["resources"] = json!({ "requests": { "cpu": "500m" } });

    assert_eq!(client.ask(&review, "10s").await["allowed"], true);
    assert!(registry.asked().is_empty());

    // No API server lets that pass; if one did, it would be judged.
    review["request"]["object"]["spec"]["containers"][0]["image"] = json!(registry.image("other", ":other"));
    let answer = client.ask(&review, "10s").await;
    assert_eq!(answer["allowed"], false, "{answer}");
    assert_eq!(answer["auditAnnotations"]["reasons"], "unsigned");
}
