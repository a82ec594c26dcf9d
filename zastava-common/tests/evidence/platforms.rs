//! Images for several platforms: signed as a whole, or each.

use serde_json::json;
use zastava_common::evidence::{Outcome, Reason, Wanted, registry::PullSecrets};

use crate::{
    lab::{Lab, STYLES, gather, signed_by},
    made::{any, key, made},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_signed_as_a_whole_or_in_each_of_its_platforms() {
    let made = made();
    let (whole, each) = (made.digest("multi"), [made.digest("app"), made.digest("arm")]);
    for style in STYLES {
        let lab = Lab::start(style).await;
        let cases: [(&str, &[&str], Option<Vec<_>>); 5] = [
            ("none", &[], None),
            ("whole", &["multi-bundle"], Some(vec![whole.clone()])),
            ("each", &["leaf-app-bundle", "leaf-arm-bundle"], Some(each.map(Clone::clone).to_vec())),
            ("first", &["leaf-app-bundle"], None),
            ("last", &["leaf-arm-bundle"], None),
        ];
        for (repository, pieces, expected) in cases {
            let repository = format!("team/{repository}");
            lab.put_image(&repository, whole);
            lab.attach(&repository, &made, pieces);
            let evidence =
                gather(&lab, &repository, "multi", &signed_by(any(vec![key("p256")]))).await.unwrap();
            let names: Vec<&str> = evidence.platforms.iter().filter_map(|one| one.name.as_deref()).collect();
            assert_eq!(names, ["linux/amd64", "linux/arm64"]);
            match (&evidence.signatures[0].outcome, expected) {
                (Outcome::Verified(verified), Some(expected)) => assert_eq!(verified.signed, expected),
                (Outcome::Refused(refusal), None) => assert_eq!(refusal.reason, Reason::Unsigned),
                other => panic!("{style:?} {repository}: {other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_annotated_as_an_attestation_must_be_signed_all_the_same() {
    let made = made();
    let lab = Lab::start(STYLES[0]).await;
    for image in ["other", "arm"] {
        lab.put_image("team/app", made.digest(image));
    }
    lab.attach("team/app", &made, &["leaf-arm-bundle"]);
    // Runtimes take it for linux/amd64.
    let annotations = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": made.digest("arm"),
    });
    let mut evil = Lab::platform(made.digest("other"), "amd64");
    evil["annotations"] = annotations;
    let index = lab.put_index("team/app", &[evil, Lab::platform(made.digest("arm"), "arm64")]);
    let wanted = signed_by(any(vec![key("p256")]));
    let reference = lab.image("team/app");
    let evidence = lab.source().gather(&reference, &index, &wanted, &PullSecrets::default()).await.unwrap();
    assert_eq!(evidence.platforms.len(), 2);
    assert!(evidence.signatures.iter().all(|fact| !fact.is_verified()), "{:?}", evidence.signatures);
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_signed_by_different_parties_are_not_signed_by_one() {
    let made = made();
    let lab = Lab::start(STYLES[0]).await;
    lab.put_image("team/app", made.digest("multi"));
    // One of the two is signed by a key that is not asked about.
    lab.attach("team/app", &made, &["leaf-app-bundle", "wrong-key-bundle"]);
    let verifiers = any(vec![key("p256"), key("other")]);
    let evidence = gather(&lab, "team/app", "multi", &signed_by(verifiers)).await.unwrap();
    assert!(evidence.signatures.iter().all(|fact| !fact.is_verified()), "{:?}", evidence.signatures);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_skopeo_pushed_are_resolved_and_read() {
    let made = made();
    for style in STYLES {
        let lab = Lab::start(style).await;
        let secrets = PullSecrets::default();
        for image in ["app", "multi", "buildkit"] {
            lab.skopeo(image, "team/pushed", image);
            let reference = lab.image(&format!("team/pushed:{image}"));
            let digest = lab.source().resolve(&reference, &secrets).await.unwrap();
            assert_eq!(&digest, made.digest(image), "{style:?}");
            lab.source().gather(&reference, &digest, &Wanted::default(), &secrets).await.unwrap();
        }
        let missing = lab.source().resolve(&lab.image("team/pushed:none"), &secrets).await;
        let fault = missing.unwrap_err();
        assert_eq!(
            (fault.code(), fault.is_definitive(), fault.is_outage()),
            ("image_not_found", true, false)
        );
    }
}
