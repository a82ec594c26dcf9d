//! The backend client against a real Authority: tokens bound to a key or to a certificate, who we are told by a secret or by a certificate.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is tests")]

mod world;

use std::{collections::BTreeMap, time::Duration};

use zastava_common::backend::{
    AuthoritySettings, Backend, BackendError, BackendSettings, Decision, ImageQuestion, Question,
};

use self::world::World;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

async fn ask(backend: &Backend) -> Result<Decision, BackendError> {
    let labels = BTreeMap::from([("app".to_owned(), "api".to_owned())]);
    let images = vec![ImageQuestion { reference: format!("reg.test/team/app@{DIGEST}"), digest: DIGEST }];
    let question = Question { tenant: "acme", namespace: "production", labels: &labels, images };
    let verdicts = backend.verdicts(&question).await?;
    assert_eq!(
        (verdicts.policy_revision.as_deref(), verdicts.ttl),
        (Some("7"), Some(Duration::from_mins(1)))
    );
    Ok(verdicts.results[DIGEST].verdict)
}

fn by_secret(world: &World) -> BackendSettings {
    let authority = AuthoritySettings {
        issuer: world.issuer.clone(),
        client_id: "by-secret".into(),
        secret: Some("open:sesame %&".into()),
        audience: vec!["scanner".into(), "zastava".into()],
        scopes: vec!["api:scanner.runtime.write".into()],
        dpop: true,
        mutual_tls: false,
    };
    BackendSettings { authority: Some(authority), certificate: None, ..world.settings() }
}

fn by_certificate(world: &World, dpop: bool) -> BackendSettings {
    let mut settings = by_secret(world);
    settings.certificate = Some(world.certificate());
    let authority = settings.authority.as_mut().unwrap();
    let client_id = if dpop { "by-certificate-and-key" } else { "by-certificate" };
    (authority.client_id, authority.secret) = (client_id.into(), None);
    (authority.dpop, authority.mutual_tls) = (dpop, true);
    settings
}

const ASKED: &str = "asked acme production 1";

#[tokio::test]
async fn a_token_bound_to_our_key_is_taken() {
    let mut world = World::start(600, false);
    let backend = Backend::new(&by_secret(&world)).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&backend).await, Ok(Decision::Pass));
    }
    world.saw(&["token by-secret", ASKED, ASKED, ASKED]);
}

#[tokio::test]
async fn nonces_are_put_into_proofs_where_they_are_wanted() {
    let mut world = World::start(600, true);
    let backend = Backend::new(&by_secret(&world)).unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&backend).await, Ok(Decision::Pass));
    }
    world.saw(&["refused use_dpop_nonce", "token by-secret", "challenged use_dpop_nonce", ASKED, ASKED]);
}

#[tokio::test]
async fn a_token_bound_to_our_certificate_is_taken() {
    let mut world = World::start(600, false);
    let backend = Backend::new(&by_certificate(&world, false)).unwrap();
    assert_eq!(ask(&backend).await, Ok(Decision::Pass));
    world.saw(&["token by-certificate", ASKED]);
}

#[tokio::test]
async fn a_certificate_tells_who_we_are_where_the_token_is_bound_to_our_key() {
    let mut world = World::start(600, true);
    let backend = Backend::new(&by_certificate(&world, true)).unwrap();
    assert_eq!(ask(&backend).await, Ok(Decision::Pass));
    world.saw(&[
        "refused use_dpop_nonce",
        "token by-certificate-and-key",
        "challenged use_dpop_nonce",
        ASKED,
    ]);
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_before_it_does() {
    let mut world = World::start(5, false);
    let backend = Backend::new(&by_secret(&world)).unwrap();
    assert_eq!(ask(&backend).await, Ok(Decision::Pass));
    // Tokens live five seconds here, by the server's clock, which counts whole ones: one may be dead after little more
    // than four. Until they are renewed, four fifths, is what is waited for.
    tokio::time::sleep(Duration::from_millis(4_250)).await;
    assert_eq!(ask(&backend).await, Ok(Decision::Pass));
    world.saw(&["token by-secret", ASKED, "token by-secret", ASKED]);
}

#[tokio::test]
async fn a_token_that_was_revoked_is_replaced_once() {
    let mut world = World::start(600, false);
    let backend = Backend::new(&by_secret(&world)).unwrap();
    assert_eq!(ask(&backend).await, Ok(Decision::Pass));
    world.tell("revoke");
    assert_eq!(ask(&backend).await, Ok(Decision::Pass));
    world.saw(&[
        "token by-secret",
        ASKED,
        "did revoke",
        "challenged invalid_token",
        "token by-secret",
        ASKED,
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_ask_for_one_token() {
    let mut world = World::start(600, false);
    let backend = Backend::new(&by_secret(&world)).unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let backend = backend.clone();
            tokio::spawn(async move { ask(&backend).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(Decision::Pass));
    }
    assert_eq!(world.told(21).iter().filter(|line| line.starts_with("token")).count(), 1);
}

#[tokio::test]
async fn a_secret_that_is_wrong_is_told_without_being_told() {
    let world = World::start(600, false);
    let mut settings = by_secret(&world);
    settings.authority.as_mut().unwrap().secret = Some("hunter2".into());
    let error = ask(&Backend::new(&settings).unwrap()).await.unwrap_err();
    assert!(
        matches!(&error, BackendError::Status { status: 401, detail, .. } if detail == "invalid_client"),
        "{error}"
    );
    assert!(!format!("{error:?} {settings:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_backend_that_fails_is_left_alone() {
    let mut world = World::start(600, false);
    let backend = Backend::new(&by_secret(&world)).unwrap();
    assert_eq!(ask(&backend).await, Ok(Decision::Pass));
    world.tell("break");
    world.saw(&["token by-secret", ASKED, "did break"]);
    for _ in 0..50 {
        assert!(ask(&backend).await.is_err());
    }
    world.tell("mend");
    world.saw(&["broken", "broken", "broken", "broken", "broken", "did mend"]);
    let error = ask(&backend).await.unwrap_err();
    assert!(matches!(&error, BackendError::LeftAlone { failures: 5, .. }), "{error}");
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_spoken_to() {
    let world = World::start(600, false);
    let mut settings = by_secret(&world);
    settings.authorities.clear();
    let error = ask(&Backend::new(&settings).unwrap()).await.unwrap_err();
    assert!(matches!(error, BackendError::Tls { .. }), "{error}");
}

#[tokio::test]
async fn settings_that_cannot_hold_are_refused_at_the_start() {
    let world = World::start(600, false);
    let mut settings = by_certificate(&world, false);
    settings.certificate = None;
    assert!(matches!(Backend::new(&settings), Err(BackendError::Settings(_))));
    let mut settings = by_certificate(&world, false);
    settings.certificate.as_mut().unwrap().key = "no key".into();
    let error = Backend::new(&settings).unwrap_err();
    assert!(!error.to_string().contains("no key"), "{error}");
}
