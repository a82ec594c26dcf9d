//! What the API server is told, compared with the configuration by a webhook that may look.

use std::{process::Command, time::Duration};

use serde_json::{Value, json};

use crate::lab::{Api, Webhook, made_here, webhook_program};

const ADMISSION: &str = "verify: {imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}
failOpenNamespaces: [dev]
pullSecrets: true";
const CURRENT: &str = "zastava_admission_webhooks_current";

/// What the program says that Kubernetes must be told.
fn printed() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zastava.yaml");
    std::fs::write(&file, "zastava: {admission: {failOpenNamespaces: [dev]}}").unwrap();
    let output = Command::new(webhook_program()).args(["config", "webhooks"]).arg(&file).output().unwrap();
    assert!(output.status.success());
    serde_saphyr::from_str(std::str::from_utf8(&output.stdout).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_not_asked_as_its_configuration_says_warns_of_it() {
    let mut hooks = printed();
    hooks["webhooks"][0]["failurePolicy"] = json!("Ignore");
    let api = Api::start("registry.example", Some(hooks)).await;
    let webhook = Webhook::in_cluster(&made_here(), ADMISSION, "", Some(&api.config()));

    let told = webhook.line("the API server is told something else");

    let message = told["message"].as_str().unwrap();
    let difference = "closed.admission.zastava: failurePolicy is \"Ignore\" instead of \"Fail\"";
    assert!(message.ends_with(difference), "{message}");
    assert_eq!(told["level"], "WARN");
    let (_, page) = webhook.page("/metrics").await.unwrap();
    assert!(page.lines().any(|line| line == format!("{CURRENT} 0")), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_asked_as_it_should_be_says_nothing() {
    let api = Api::start("registry.example", Some(printed())).await;
    let webhook = Webhook::in_cluster(&made_here(), ADMISSION, "", Some(&api.config()));

    while webhook.metric(CURRENT).await < 1.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
