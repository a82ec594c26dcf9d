use crate::lab::{Registry, Webhook, config, review};

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
