//! The backend's verdict beside what the registry holds: tokens of a real Authority, bound to our key, with a nonce.

use std::fs;

use serde_json::Value;

use crate::{
    authority::World,
    lab::{Client, Registry, Webhook, config, made_here, review_of},
};

/// Sections beside `admission`: a backend, and an Authority that we tell who we are by a secret or by a certificate.
fn sections(world: &World, by_secret: bool) -> String {
    let folder = world.folder().display();
    fs::write(world.folder().join("secret"), "open:sesame %&\n").unwrap();
    let (certificate, who) = if by_secret {
        (
            String::new(),
            format!("clientId: by-secret, clientSecretFile: {folder}/secret, requireMutualTls: false"),
        )
    } else {
        let pair = format!(", certificateFile: {folder}/client.pem, keyFile: {folder}/client.key");
        (pair, "clientId: by-certificate-and-key".to_owned())
    };
    format!(
        "backend: {{baseAddress: \"{}\", caFile: {folder}/ca.pem{certificate}}}\n\
         runtime: {{tenant: acme, authority: {{issuer: \"{}\", {who}}}}}",
        world.backend, world.issuer
    )
}

const CHECKS: &str = "failOpenNamespaces: [dev]\nsignature: {verifiers: [release]}";

struct Shop {
    registry: Registry,
    client: Client,
    _webhook: Webhook,
}

impl Shop {
    async fn start(world: &World, by_secret: bool) -> Self {
        let registry = Registry::start().await;
        let admission =
            config(&registry, CHECKS).replace("scannerPolicyPass: false", "scannerPolicyPass: true");
        let webhook = Webhook::with(&made_here(), &admission, &sections(world, by_secret));
        Self { client: webhook.client(), registry, _webhook: webhook }
    }

    /// The answer about the signed or the unsigned image, as if it were in that repository.
    async fn ask(&self, repository: &str, content: &str, namespace: &str) -> Value {
        let image = self.registry.image(repository, &format!("@{}", self.registry.digest(content)));
        self.client.ask(&review_of(&image, namespace), "10s").await
    }
}

fn reasons(answer: &Value) -> (bool, &str) {
    let reasons = answer["auditAnnotations"]["reasons"].as_str().unwrap_or_default();
    (answer["allowed"].as_bool().unwrap(), reasons)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_must_be_signed_and_pass_at_the_backend() {
    for (by_secret, token) in [(true, "token by-secret"), (false, "token by-certificate-and-key")] {
        let mut world = World::start(600, true);
        let shop = Shop::start(&world, by_secret).await;

        let good = shop.ask("app", "app", "shop").await;
        assert_eq!(reasons(&good), (true, ""), "{good}");
        let asked = "asked acme shop 1";
        world.saw(&["refused use_dpop_nonce", token, "challenged use_dpop_nonce", asked]);
        assert_eq!(reasons(&shop.ask("other", "other", "shop").await), (false, "unsigned"));

        // The same content in another repository: what was said of it there is not said of it here.
        let condemned = shop.ask("condemned", "app", "shop").await;
        assert_eq!(reasons(&condemned), (false, "verdict_fail"));
        assert!(condemned["status"]["message"].as_str().unwrap().contains("it phones home"), "{condemned}");
        assert_eq!(reasons(&shop.ask("condemned", "other", "shop").await), (false, "unsigned verdict_fail"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_backend_the_namespace_decides() {
    let mut world = World::start(600, true);
    let shop = Shop::start(&world, true).await;
    world.tell("break");
    while world.told(1) != ["did break"] {}

    assert_eq!(reasons(&shop.ask("app", "app", "shop").await), (false, "backend_unavailable"));
    let open = shop.ask("app", "app", "dev").await;
    assert_eq!(reasons(&open), (true, "backend_unavailable"));
    assert_eq!(open["auditAnnotations"]["decision"], "fail_open");
    // What the registry says is a definite no there too.
    assert_eq!(reasons(&shop.ask("other", "other", "dev").await), (false, "backend_unavailable unsigned"));

    world.tell("mend");
    while world.told(1) != ["did mend"] {}
    assert_eq!(reasons(&shop.ask("app", "app", "shop").await), (true, ""));
}
