//! What is served is not what was named.

use axum::body::{Body, Bytes};
use zastava_common::evidence::{Evidence, Fault, Outcome, Reason, Wanted, registry::PullSecrets};

use super::fake::{Fake, INDEX, MANIFEST, answer_with, ok};
use crate::{
    lab::signed_by,
    made::{self, any, key, made},
};

fn wanted() -> Wanted {
    signed_by(any(vec![key("p256")]))
}

async fn gather(fake: &Fake) -> Result<Evidence, Fault> {
    fake.source().gather(&fake.image(), made().digest("app"), &wanted(), &PullSecrets::default()).await
}

fn outcome(evidence: &Evidence) -> Result<(), Reason> {
    match &evidence.signatures[0].outcome {
        Outcome::Verified(_) => Ok(()),
        Outcome::Refused(refusal) => Err(refusal.reason),
        Outcome::Unknown(fault) => panic!("{fault}"),
    }
}

/// A body that never ends.
fn endless() -> Body {
    let chunk = Bytes::from(vec![b' '; 64 * 1024]);
    Body::from_stream(tokio_stream::iter(std::iter::repeat_with(move || {
        Ok::<_, std::io::Error>(chunk.clone())
    })))
}

#[tokio::test]
async fn the_fake_serves_a_signed_image_where_nothing_is_wrong() {
    for piece in ["p256-bundle", "p256.sig"] {
        let fake = Fake::with(&[piece]).await;
        assert_eq!(outcome(&gather(&fake).await.unwrap()), Ok(()), "{piece}");
    }
}

#[tokio::test]
async fn a_manifest_that_is_another_is_told() {
    let fake = Fake::with(&[]).await;
    let made = made();
    let other = made::blob(made.digest("other"));
    fake.on(&format!("/v2/team/app/manifests/{}", made.digest("app")), move |_| ok(MANIFEST, other.clone()));
    let fault = gather(&fake).await.unwrap_err();
    assert!(
        matches!(&fault, Fault::OtherContent { expected, .. } if expected == made.digest("app")),
        "{fault}"
    );
    assert!(!fault.is_outage(), "no outage excuses it");
}

#[tokio::test]
async fn a_registry_that_answers_differently_the_second_time_gains_nothing() {
    // The tag is resolved once; what is looked at afterwards is that digest (CVE-2022-47633).
    let fake = Fake::with(&["p256-bundle"]).await;
    let made = made();
    let digest = made.digest("app").to_string();
    fake.on("/v2/team/app/manifests/1", move |_| answer_with(200, &[("docker-content-digest", &digest)], ""));
    let source = fake.source();
    let resolved = source.resolve(&fake.image(), &PullSecrets::default()).await.unwrap();
    assert_eq!(&resolved, made.digest("app"));
    let other = made::blob(made.digest("other"));
    fake.on("/v2/team/app/manifests/1", move |_| ok(MANIFEST, other.clone()));
    let evidence = source.gather(&fake.image(), &resolved, &wanted(), &PullSecrets::default()).await.unwrap();
    assert_eq!((&evidence.digest, outcome(&evidence)), (made.digest("app"), Ok(())));
    let by_tag = fake.asked().iter().filter(|asked| asked.path.ends_with("/manifests/1")).count();
    assert_eq!(by_tag, 1);
}

#[tokio::test]
async fn bodies_without_an_end_end_at_the_bound() {
    let made = made();
    let fake = Fake::with(&["p256-bundle"]).await;
    let layer = made.layers("p256-bundle").remove(0).0.digest;
    fake.on(&format!("/v2/team/app/blobs/{layer}"), |_| ok("", endless()));
    assert_eq!(outcome(&gather(&fake).await.unwrap()), Err(Reason::SignatureInvalid));
    fake.on("/v2/team/app/referrers/", |_| ok(INDEX, endless()));
    assert_eq!(outcome(&gather(&fake).await.unwrap()), Err(Reason::SignatureInvalid));
    fake.on(&format!("/v2/team/app/manifests/{}", made.digest("app")), |_| ok(MANIFEST, endless()));
    assert!(matches!(gather(&fake).await, Err(Fault::TooLarge { .. })));
}

#[tokio::test]
async fn a_size_that_is_announced_wrongly_is_found_out() {
    let fake = Fake::with(&[]).await;
    let digest = made().digest("app").to_string();
    fake.on(&format!("/v2/team/app/manifests/{digest}"), |_| {
        answer_with(200, &[("content-type", MANIFEST), ("content-length", "1000000000")], endless())
    });
    assert!(matches!(gather(&fake).await, Err(Fault::TooLarge { .. })));
}

#[tokio::test]
async fn a_compressed_answer_is_not_unpacked() {
    let fake = Fake::with(&[]).await;
    let digest = made().digest("app").to_string();
    fake.on(&format!("/v2/team/app/manifests/{digest}"), |_| {
        answer_with(200, &[("content-type", MANIFEST), ("content-encoding", "gzip")], "bomb")
    });
    assert!(matches!(gather(&fake).await, Err(Fault::Malformed { .. })));
}

#[tokio::test]
async fn more_referrers_than_are_looked_at_hide_nothing_that_is_allowed() {
    let fake = Fake::with(&[]).await;
    let entry = |n: usize| {
        let digest = zastava_common::evidence::Digest::sha256(&n.to_le_bytes());
        serde_json::json!({ "mediaType": MANIFEST, "digest": digest, "size": 2 })
    };
    for (count, requests) in [(65, 64), (1_001, 0), (10_000, 0)] {
        let entries: Vec<_> = (0..count).map(entry).collect();
        let index = serde_json::json!({ "mediaType": INDEX, "manifests": entries }).to_string();
        fake.on("/v2/team/app/referrers/", move |_| ok(INDEX, index.clone()));
        let before = fake.asked().len();
        assert_eq!(outcome(&gather(&fake).await.unwrap()), Err(Reason::SignatureInvalid), "{count}");
        // The manifest, the tag, the list.
        assert_eq!(fake.asked().len() - before, 3 + requests, "{count}");
    }
}

#[tokio::test]
async fn pages_without_an_end_and_to_elsewhere_are_not_followed() {
    let fake = Fake::with(&[]).await;
    let empty = format!(r#"{{"mediaType":"{INDEX}","manifests":[]}}"#);
    let page = empty.clone();
    fake.on("/v2/team/app/referrers/", move |asked| {
        let separator = if asked.path.contains('?') { '&' } else { '?' };
        let next = format!("<{}{separator}n>; rel=\"next\"", asked.path);
        answer_with(200, &[("content-type", INDEX), ("link", &next)], page.clone())
    });
    assert_eq!(outcome(&gather(&fake).await.unwrap()), Err(Reason::SignatureInvalid));
    let pages = fake.asked().iter().filter(|asked| asked.path.contains("referrers")).count();
    assert_eq!(pages, 16);
    let other = Fake::start().await;
    let link = format!("<http://{}/v2/team/app/referrers/x>; rel=\"next\"", other.host);
    fake.on("/v2/team/app/referrers/", move |_| {
        answer_with(200, &[("content-type", INDEX), ("link", &link)], empty.clone())
    });
    assert_eq!(outcome(&gather(&fake).await.unwrap()), Err(Reason::SignatureInvalid));
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn a_manifest_with_very_many_layers_costs_no_more_than_is_allowed() {
    let fake = Fake::with(&[]).await;
    let made = made();
    let layer = made.layers("p256.sig").remove(0).0;
    let layers: Vec<_> = (0..5_000)
        .map(|n: usize| {
            let digest = zastava_common::evidence::Digest::sha256(&n.to_le_bytes());
            serde_json::json!({ "mediaType": layer.media_type, "digest": digest, "size": 9 })
        })
        .collect();
    let config = serde_json::json!({ "mediaType": "x", "digest": layer.digest, "size": 2 });
    let manifest =
        serde_json::json!({ "mediaType": MANIFEST, "config": config, "layers": layers }).to_string();
    let tag = format!("/v2/team/app/manifests/{}.sig", made.digest("app").fallback_tag());
    fake.on(&tag, move |_| ok(MANIFEST, manifest.clone()));
    assert_eq!(outcome(&gather(&fake).await.unwrap()), Err(Reason::SignatureInvalid));
    let blobs = fake.asked().iter().filter(|asked| asked.path.contains("/blobs/")).count();
    assert_eq!(blobs, 64);
}

#[tokio::test]
async fn a_referrer_of_another_image_is_none_of_this_one() {
    // An SBOM of another image, listed by the registry as one of this.
    let fake = Fake::with(&["sbom-referrer", "p256-bundle"]).await;
    let made = made();
    let arm = made::blob(made.digest("arm"));
    fake.on(&format!("/v2/team/app/manifests/{}", made.digest("arm")), move |_| ok(MANIFEST, arm.clone()));
    let list = fake.source();
    let sbom = made.piece("sbom-referrer").descriptor();
    let index = serde_json::json!({ "mediaType": INDEX, "manifests": [{ "mediaType": MANIFEST, "digest": sbom.digest, "size": sbom.size }] }).to_string();
    fake.on("/v2/team/app/referrers/", move |_| ok(INDEX, index.clone()));
    let wanted = Wanted { sbom: Some(any(vec![])), ..Wanted::default() };
    let evidence =
        list.gather(&fake.image(), made.digest("arm"), &wanted, &PullSecrets::default()).await.unwrap();
    assert_eq!(evidence.sbom.unwrap().found, []);
}
