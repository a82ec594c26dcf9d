//! What somebody may do who may write pods in one namespace and push to a repository of their own: nothing of it is let
//! through, also where the namespace fails open.

use serde_json::{Value, json};

use crate::lab::{Api, Client, Mood, Registry, Webhook, config, made_here, review_of};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Names of pull secrets that a pod may bring.
fn secrets() -> Vec<Vec<&'static str>> {
    let mut ninth = vec!["elsewhere"; 8];
    ninth.push("wrong");
    let names = ["", "gone", "wrong", "forbidden", "../pull", "wrong?limit=1", "a/b", "Upper"];
    names.into_iter().map(|name| vec![name]).chain([vec![], ninth, vec!["s"; 100]]).collect()
}

async fn ask(client: &Client, image: &str, secrets: &[&str], timeout: &str) -> Value {
    let mut review = review_of(image, "dev");
    let named: Vec<Value> = secrets.iter().map(|name| json!({ "name": name })).collect();
    review["request"]["object"]["spec"]["imagePullSecrets"] = named.into();
    client.ask(&review, timeout).await
}

fn start(registry: &Registry, api: &Api, pull_secrets: bool) -> Webhook {
    let admission = config(registry, &format!("failOpenNamespaces: [dev]\npullSecrets: {pull_secrets}"));
    Webhook::in_cluster(&made_here(), &admission, "", Some(&api.config()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_pushed_to_or_closed_in_a_repository_of_ones_own_is_excused_nowhere() {
    // An image without a signature, a private repository, and what a registry can be made to send.
    let repository = [
        Mood::Good,
        Mood::Status(401),
        Mood::Status(403),
        Mood::Status(404),
        Mood::Wrong,
        Mood::Endless,
        Mood::RedirectLoop,
    ];
    for mood in repository {
        for pull_secrets in [false, true] {
            let registry = Registry::start().await;
            let api = Api::start(&registry.host, None).await;
            let webhook = start(&registry, &api, pull_secrets);
            registry.mood(mood);
            let by_digest = format!("@{}", registry.digest("other"));
            for secrets in secrets() {
                for reference in [":other", &by_digest] {
                    let image = registry.image("other", reference);
                    let answer = ask(&webhook.client(), &image, &secrets, "10s").await;
                    let case = format!("{mood:?}, {reference}, {secrets:?}, {pull_secrets}: {answer}");
                    assert_eq!(answer["allowed"], false, "{case}");
                    assert_eq!(answer["auditAnnotations"]["decision"], "deny", "{case}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_written_as_an_image_is_excused_nowhere() {
    let registry = Registry::start().await;
    let api = Api::start(&registry.host, None).await;
    let webhook = start(&registry, &api, true);
    let texts = [
        String::new(),
        " ".to_owned(),
        HEX.to_owned(),
        format!("sha256:{HEX}"),
        format!("sha256:{}", &HEX[..12]),
        format!("sha384:{HEX}{}", &HEX[..32]),
        format!("sha512:{HEX}{HEX}"),
        format!("{}@sha256:{}", registry.image("other", ""), &HEX[..12]),
        format!("http://{}", registry.image("other", ":other")),
        registry.image("OTHER", ":other"),
        registry.image("..", ":other"),
        registry.image("other", ":other/../app:app"),
        registry.image("other", ":other?digest"),
    ];
    for text in texts {
        let answer = ask(&webhook.client(), &text, &["wrong"], "10s").await;
        assert_eq!(answer["allowed"], false, "{text:?}: {answer}");
        assert_eq!(answer["auditAnnotations"]["reasons"], "reference_invalid", "{text:?}: {answer}");
    }
    assert!(registry.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_says_nothing_of_a_secret_hides_nothing_that_registries_say() {
    let registry = Registry::start().await;
    let api = Api::start(&registry.host, None).await;
    let webhook = start(&registry, &api, true);
    let ask = async |name: &str, reference: &str| {
        let image = registry.image(name, reference);
        ask(&webhook.client(), &image, &["silent"], "4s").await["auditAnnotations"].clone()
    };
    assert_eq!(ask("other", ":other").await["reasons"], "unsigned");
    assert_eq!(ask("app", ":app").await["decision"], "allow");
    registry.mood(Mood::Status(401));
    let private = ask("other", ":private").await;
    assert_eq!((&private["decision"], &private["reasons"]), (&"fail_open".into(), &"pull_secret".into()));
}
