//! Images of a registry with a password, which pods' pull secrets open where that is configured.

use serde_json::{Value, json};

use crate::{
    lab::{Api, Client, Registry, Webhook, made_here, review_of},
    registries::{DockerRegistry, skopeo},
};

/// What must be read to allow anything: that the image is built on a base, which the operator keeps in a registry that is
/// open. A pod's secrets are not for that one.
fn admission(registry: &DockerRegistry, bases: &Registry, pull_secrets: bool) -> String {
    format!(
        "verify: {{imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}}
baseImages: {{allow: ['{}'], proof: [layers]}}
registries:
  - {{host: '{}', caFile: {}, private: true}}
  - {{host: '{}', plainHttp: true}}
failOpenNamespaces: [dev]
pullSecrets: {pull_secrets}",
        bases.image("base", &format!("@{}", bases.digest("base"))),
        registry.host,
        registry.folder().join("ca.crt").display(),
        bases.host
    )
}

fn push(registry: &DockerRegistry) -> String {
    let folder = registry.folder().display().to_string();
    let how = ["--dest-cert-dir", folder.as_str(), "--dest-creds", "user:word"];
    let image = format!("{}/team/app:1", registry.host);
    skopeo("app", &image, &how);
    image
}

async fn ask(client: &Client, image: &str, namespace: &str, secrets: &[&str]) -> (bool, String) {
    let mut review = review_of(image, namespace);
    let named: Vec<Value> = secrets.iter().map(|name| json!({ "name": name })).collect();
    review["request"]["object"]["spec"]["imagePullSecrets"] = named.into();
    let answer = client.ask(&review, "10s").await;
    let reasons = answer["auditAnnotations"]["reasons"].as_str().unwrap_or_default();
    (answer["allowed"].as_bool().unwrap(), reasons.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_pull_secrets_open_its_own_images_to_it_alone() {
    let registry = DockerRegistry::start_secured();
    let (image, bases) = (push(&registry), Registry::start().await);
    let api = Api::start(&registry.host, None).await;
    let webhook =
        Webhook::in_cluster(&made_here(), &admission(&registry, &bases, true), "", Some(&api.config()));
    let client = webhook.client();

    assert_eq!(ask(&client, &image, "shop", &["pull"]).await, (true, String::new()));
    assert_eq!(api.asked(), ["shop/pull"]);
    // What was read with a secret is told to nobody without it.
    assert_eq!(ask(&client, &image, "shop", &[]).await, (false, "registry_access".to_owned()));
    assert_eq!(api.asked(), [""; 0]);
    // A name reaches into no other namespace.
    assert_eq!(ask(&client, &image, "attacker", &["pull"]).await, (false, "pull_secret".to_owned()));
    assert_eq!(api.asked(), ["attacker/pull"]);
    // Whoever writes the pod can always name a secret that does not fit: that is no outage.
    assert_eq!(ask(&client, &image, "dev", &["wrong"]).await, (false, "pull_secret".to_owned()));
    assert_eq!(api.asked(), ["dev/wrong"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_secrets_are_not_even_read_where_nobody_asked_for_that() {
    let registry = DockerRegistry::start_secured();
    let (image, bases) = (push(&registry), Registry::start().await);
    let api = Api::start(&registry.host, None).await;
    let webhook =
        Webhook::in_cluster(&made_here(), &admission(&registry, &bases, false), "", Some(&api.config()));

    let told = ask(&webhook.client(), &image, "shop", &["pull"]).await;

    assert_eq!(told, (false, "registry_access".to_owned()));
    assert_eq!(api.asked(), [""; 0]);
}
