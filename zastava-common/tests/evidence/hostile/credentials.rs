//! Who is shown which credentials.

use zastava_common::evidence::{
    Fault, ImageReference, Source,
    registry::{Credentials, Endpoint, PullSecrets, Registry, RegistryConfig},
};

use super::fake::{Asked, Fake, answer_with, ok};
use crate::made::made;

/// `user:word` in base64.
const BASIC: &str = "Basic dXNlcjp3b3Jk";

async fn resolve(source: &Source, image: &ImageReference) -> Result<(), Fault> {
    source.resolve(image, &PullSecrets::default()).await.map(drop)
}

/// Answers with the digest of `app` if `authorization` is shown, else with the challenge.
fn guarded(fake: &Fake, challenge: &str, authorization: &'static str) {
    let (challenge, digest) = (challenge.to_owned(), made().digest("app").to_string());
    fake.on("/v2/", move |asked| {
        if asked.authorization.as_deref() == Some(authorization) {
            answer_with(200, &[("docker-content-digest", &digest)], "")
        } else {
            answer_with(401, &[("www-authenticate", &challenge)], "")
        }
    });
}

fn shown(fake: &Fake) -> Vec<Option<String>> {
    fake.asked().into_iter().map(|Asked { authorization, .. }| authorization).collect()
}

#[tokio::test]
async fn a_password_is_shown_when_it_is_asked_for_and_then_each_time() {
    let fake = Fake::start().await;
    guarded(&fake, "Basic realm=\"x\"", BASIC);
    let source = Source::new(&fake.config_with(Some(("user", "word")))).unwrap();
    for _ in 0..2 {
        resolve(&source, &fake.image()).await.unwrap();
    }
    assert_eq!(shown(&fake), [None, Some(BASIC.into()), Some(BASIC.into())]);
}

#[tokio::test]
async fn a_token_is_fetched_once_for_all_that_is_asked_of_a_repository() {
    let fake = Fake::start().await;
    guarded(&fake, &format!("Bearer realm=\"http://{}/token\",service=\"reg\"", fake.host), "Bearer secret");
    fake.on("/token", |_| ok("application/json", r#"{"token":"secret","expires_in":300}"#));
    let source = Source::new(&fake.config_with(Some(("user", "word")))).unwrap();
    for _ in 0..3 {
        resolve(&source, &fake.image()).await.unwrap();
    }
    let asked = fake.asked();
    let tokens: Vec<&Asked> = asked.iter().filter(|asked| asked.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].path, "/token?service=reg&scope=repository%3Ateam%2Fapp%3Apull");
    assert_eq!(tokens[0].authorization.as_deref(), Some(BASIC));
    assert_eq!(asked.len(), 5, "one refusal, one token, three answers");
    let other: ImageReference = format!("{}/team/other:1", fake.host).parse().unwrap();
    resolve(&source, &other).await.unwrap();
    assert_eq!(fake.asked().len(), 8, "another repository has a token of its own");
}

#[tokio::test]
async fn credentials_that_do_not_help_are_shown_once() {
    let fake = Fake::start().await;
    guarded(&fake, "Basic realm=\"x\"", "Basic other");
    let source = Source::new(&fake.config_with(Some(("user", "word")))).unwrap();
    let fault = resolve(&source, &fake.image()).await.unwrap_err();
    assert!(matches!(fault, Fault::Denied { status: 401, .. }), "{fault}");
    assert_eq!(shown(&fake), [None, Some(BASIC.into())]);
    assert!(!fault.to_string().contains("word"));
}

#[tokio::test]
async fn a_registry_cannot_have_its_credentials_sent_to_others() {
    let fake = Fake::start().await;
    let thief = Fake::start().await;
    guarded(&fake, &format!("Bearer realm=\"http://{}/token\"", thief.host), "Bearer secret");
    thief.on("/token", |_| ok("application/json", r#"{"token":"secret"}"#));
    let mut config = fake.config_with(Some(("user", "word")));
    // Even where the guard would let it.
    config.private_hosts.insert(thief.host.parse().unwrap());
    let fault = resolve(&Source::new(&config).unwrap(), &fake.image()).await.unwrap_err();
    assert!(matches!(fault, Fault::RealmRefused { .. }), "{fault}");
    assert!(thief.asked().is_empty());
    config.registries[0].endpoints[0].token_hosts.insert(thief.host.parse().unwrap());
    resolve(&Source::new(&config).unwrap(), &fake.image()).await.unwrap();
    assert_eq!(shown(&thief), [Some(BASIC.into())], "where the configuration says so");
}

#[tokio::test]
async fn what_may_have_a_registrys_credentials_may_not_have_its_mirrors() {
    let upstream = Fake::start().await;
    let mirror = Fake::start().await;
    let tokens = Fake::start().await;
    tokens.on("/token", |_| ok("application/json", r#"{"token":"secret"}"#));
    let challenge = format!("Bearer realm=\"http://{}/token\"", tokens.host);
    guarded(&mirror, &challenge, "Bearer secret");
    guarded(&upstream, &challenge, "Bearer secret");
    let mut config = upstream.config_with(Some(("user", "word")));
    config.private_hosts.insert(tokens.host.parse().unwrap());
    let own = &mut config.registries[0].endpoints;
    own[0].token_hosts.insert(tokens.host.parse().unwrap());
    own.insert(0, mirror.config_with(Some(("mirror", "other"))).registries.remove(0).endpoints.remove(0));
    resolve(&Source::new(&config).unwrap(), &upstream.image()).await.unwrap();
    // The mirror was asked, and got no token for its own credentials; the registry got one for its.
    assert_eq!(mirror.asked().len(), 1);
    assert_eq!(shown(&tokens), [Some(BASIC.into())]);
}

#[tokio::test]
async fn a_redirect_to_another_host_leaves_the_credentials_behind() {
    let fake = Fake::start().await;
    let storage = Fake::start().await;
    let target = format!("http://{}/blob", storage.host);
    fake.on("/v2/", move |asked| match asked.authorization.as_deref() {
        Some(BASIC) => answer_with(307, &[("location", &target)], ""),
        _ => answer_with(401, &[("www-authenticate", "Basic realm=x")], ""),
    });
    let digest = made().digest("app").to_string();
    storage.on("/blob", move |_| answer_with(200, &[("docker-content-digest", &digest)], ""));
    let mut config = fake.config_with(Some(("user", "word")));
    config.private_hosts.insert(storage.host.parse().unwrap());
    resolve(&Source::new(&config).unwrap(), &fake.image()).await.unwrap();
    assert_eq!(shown(&storage), [None]);
    // A challenge from there is not answered either.
    storage.on("/blob", |_| answer_with(401, &[("www-authenticate", "Basic realm=x")], ""));
    assert!(resolve(&Source::new(&config).unwrap(), &fake.image()).await.is_err());
    assert!(shown(&storage).iter().all(Option::is_none));
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_sees_no_pull_secret() {
    let upstream = Fake::start().await;
    let mirror = Fake::start().await;
    guarded(&upstream, "Basic realm=\"x\"", BASIC);
    mirror.on("/v2/", |_| answer_with(401, &[("www-authenticate", "Basic realm=x")], ""));
    let endpoint = |fake: &Fake| Endpoint { plain_http: true, ..Endpoint::new(fake.host.parse().unwrap()) };
    let prefix = Some("proxied/hub".parse().unwrap());
    let endpoints = vec![Endpoint { prefix, ..endpoint(&mirror) }, endpoint(&upstream)];
    let registry = Registry::new(upstream.host.parse().unwrap(), endpoints);
    let config = RegistryConfig { registries: vec![registry], ..RegistryConfig::default() };
    let mut secrets = PullSecrets::default();
    let secret = format!(r#"{{"auths":{{"{}":{{"username":"user","password":"word"}}}}}}"#, upstream.host);
    secrets.add(secret.as_bytes()).unwrap();
    let source = Source::new(&config).unwrap();
    source.resolve(&upstream.image(), &secrets).await.unwrap();
    let asked = mirror.asked();
    assert_eq!(asked[0].path, format!("/v2/proxied/hub/team/app/manifests/1?ns={}", upstream.host));
    assert!(asked.iter().all(|asked| asked.authorization.is_none()));
    assert_eq!(shown(&upstream), [None, Some(BASIC.into())]);
}

#[tokio::test]
async fn what_one_secret_opens_stays_shut_for_others() {
    let fake = Fake::start().await;
    guarded(&fake, "Basic realm=\"x\"", BASIC);
    let source = fake.source();
    let mut secrets = PullSecrets::default();
    let secret = format!(r#"{{"auths":{{"{}":{{"username":"user","password":"word"}}}}}}"#, fake.host);
    secrets.add(secret.as_bytes()).unwrap();
    source.resolve(&fake.image(), &secrets).await.unwrap();
    let fault = source.resolve(&fake.image(), &PullSecrets::default()).await.unwrap_err();
    assert!(matches!(fault, Fault::Denied { .. }), "{fault}");
    assert_ne!(secrets.fingerprint(), PullSecrets::default().fingerprint());
}

#[tokio::test]
async fn requests_are_counted_by_host_and_answer() {
    let fake = Fake::start().await;
    guarded(&fake, "Basic realm=\"x\"", BASIC);
    let credentials = Credentials { username: "user".into(), password: "word".into() };
    let mut config = fake.config();
    config.registries[0].endpoints[0].credentials = Some(credentials);
    let source = Source::new(&config).unwrap();
    resolve(&source, &fake.image()).await.unwrap();
    let _ = resolve(&source, &"127.0.0.1:9/x".parse().unwrap()).await;
    let counts = |source: &Source| -> Vec<(String, &str, u64)> {
        source.requests().into_iter().map(|count| (count.host, count.code, count.count)).collect()
    };
    let host = fake.host.clone();
    let first = [(host.clone(), "2xx", 1), (host, "401", 1), ("other".into(), "error", 1)];
    assert_eq!(counts(&source), first);
    // One that takes its place counts on, and so does what is still asked by the first.
    let next = Source::new(&RegistryConfig::default()).unwrap().succeeding(&source);
    assert_eq!(counts(&next), first);
    let _ = resolve(&source, &"127.0.0.1:9/x".parse().unwrap()).await;
    let _ = resolve(&next, &"127.0.0.1:9/x".parse().unwrap()).await;
    assert_eq!(counts(&next)[2], ("other".into(), "error", 3));
}
