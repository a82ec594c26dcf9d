//! What else there is about an image: SBOMs and its base.

use zastava_common::evidence::{
    Digest, Evidence, Fault, Format, Layers, SbomLevel, Wanted, registry::PullSecrets,
};

use crate::{
    lab::{Lab, STYLES, gather},
    made::{any, key, made},
};

async fn sbom(lab: &Lab, repository: &str, image: &str, signer: &str) -> (Option<SbomLevel>, Evidence) {
    let wanted = Wanted { sbom: Some(any(vec![key(signer)])), ..Wanted::default() };
    let evidence = gather(lab, repository, image, &wanted).await.unwrap();
    let sbom = evidence.sbom.clone().unwrap();
    assert_eq!(sbom.unknown, None);
    (sbom.level(&evidence), evidence)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sbom_is_worth_as_much_as_what_binds_it_to_the_image() {
    let made = made();
    for style in STYLES {
        let lab = Lab::start(style).await;
        let cases: [(&str, &[&str], &str, Option<SbomLevel>); 8] = [
            ("none", &[], "p256", None),
            ("signature", &["p256-bundle"], "p256", None),
            ("referrer", &["sbom-referrer"], "p256", Some(SbomLevel::Present)),
            ("signed", &["sbom-bundle"], "p256", Some(SbomLevel::Signed)),
            ("stranger", &["sbom-other-key-bundle"], "p256", Some(SbomLevel::Present)),
            (
                "both",
                &["sbom-other-key-bundle", "sbom-referrer", "sbom-bundle"],
                "p256",
                Some(SbomLevel::Signed),
            ),
            ("attested", &["cosign2.att"], "cosign", Some(SbomLevel::Signed)),
            ("attested-by-stranger", &["cosign2.att"], "p256", Some(SbomLevel::Present)),
        ];
        for (repository, pieces, signer, expected) in cases {
            let repository = format!("team/{repository}");
            lab.put_image(&repository, made.digest("app"));
            lab.attach(&repository, &made, pieces);
            let (level, evidence) = sbom(&lab, &repository, "app", signer).await;
            assert_eq!(level, expected, "{style:?} {repository}: {evidence:?}");
            let found = evidence.sbom.unwrap().found;
            assert!(
                found
                    .iter()
                    .all(|found| found.format == Format::CycloneDx && found.of == *made.digest("app"))
            );
            let signed_by = found.iter().filter(|found| !found.signed_by.is_empty());
            assert!(
                signed_by
                    .clone()
                    .all(|found| found.level == SbomLevel::Signed && found.signed_by == [signer])
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sbom_in_the_index_is_bound_to_the_image() {
    let made = made();
    let lab = Lab::start(STYLES[1]).await;
    lab.put_image("team/app", made.digest("buildkit"));
    let (level, evidence) = sbom(&lab, "team/app", "buildkit", "p256").await;
    assert_eq!(level, Some(SbomLevel::Bound));
    assert_eq!(evidence.platforms.len(), 1, "an attestation is no platform");
    assert_eq!(evidence.sbom.unwrap().found[0].format, Format::Spdx);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sbom_in_an_index_that_nobody_signed_is_bound_to_nothing() {
    let made = made();
    let lab = Lab::start(STYLES[0]).await;
    lab.put_image("team/app", made.digest("buildkit"));
    // Its one platform is signed, and anybody could have put that into an index of theirs.
    lab.attach("team/app", &made, &["leaf-app-bundle"]);
    let by = Some(any(vec![key("p256")]));
    let wanted = Wanted { signatures: by.clone(), sbom: by, ..Wanted::default() };
    let evidence = gather(&lab, "team/app", "buildkit", &wanted).await.unwrap();
    assert!(evidence.signatures[0].is_verified());
    assert_eq!(evidence.sbom_level(), Some(SbomLevel::Present));
    let (level, _) = sbom(&lab, "team/app", "buildkit", "p256").await;
    assert_eq!(level, Some(SbomLevel::Bound), "where no signature is asked for, the digest is all there is");
}

#[tokio::test(flavor = "multi_thread")]
async fn sboms_of_each_platform_are_one_of_the_whole_as_good_as_the_least() {
    let made = made();
    let lab = Lab::start(STYLES[0]).await;
    for image in ["app", "buildkit"] {
        lab.put_image("team/app", made.digest(image));
    }
    lab.attach("team/app", &made, &["sbom-bundle"]);
    let one = lab.put_index("team/app", &[Lab::platform(made.digest("app"), "amd64")]);
    let wanted = Wanted { sbom: Some(any(vec![key("p256")])), ..Wanted::default() };
    let level = async |signer: &str, index: &Digest| {
        let wanted = Wanted { sbom: Some(any(vec![key(signer)])), ..wanted.clone() };
        let none = PullSecrets::default();
        let evidence = lab.source().gather(&lab.image("team/app"), index, &wanted, &none).await.unwrap();
        evidence.sbom_level()
    };
    assert_eq!(level("p256", &one).await, Some(SbomLevel::Signed));
    assert_eq!(level("other", &one).await, Some(SbomLevel::Present));
    // Beside the one that is bound there is one that is signed.
    assert_eq!(level("p256", made.digest("buildkit")).await, Some(SbomLevel::Signed));
    assert_eq!(level("other", made.digest("buildkit")).await, Some(SbomLevel::Bound));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sbom_of_one_platform_is_none_of_the_whole() {
    let made = made();
    let lab = Lab::start(STYLES[0]).await;
    lab.put_image("team/app", made.digest("multi"));
    lab.attach("team/app", &made, &["sbom-bundle"]);
    let (level, _) = sbom(&lab, "team/app", "multi", "p256").await;
    assert_eq!(level, None, "the other platform has none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_is_proved_by_layers_and_told_by_signed_provenance() {
    let made = made();
    for style in STYLES {
        let lab = Lab::start(style).await;
        let repository = "team/app";
        for image in ["base", "app", "other"] {
            lab.put_image(repository, made.digest(image));
        }
        lab.attach(repository, &made, &["provenance-bundle", "provenance-other-key-bundle"]);
        let wanted = Wanted { base: Some(any(vec![key("p256")])), ..Wanted::default() };
        let base = gather(&lab, repository, "app", &wanted).await.unwrap().base.unwrap();
        let by: Vec<&str> = base.materials.iter().map(|material| material.verifier.as_str()).collect();
        assert_eq!(by, ["p256"], "provenance by others tells nothing");
        let material = &base.materials[0];
        assert!(base.provenance && material.is_image());
        assert_eq!(material.digest.as_ref(), Some(made.digest("base")));
        assert_eq!(base.hint.unwrap().digest.as_ref(), Some(made.digest("base")));

        let layers = async |image: &str| -> Layers {
            let reference = lab.image(repository);
            let mut all =
                lab.source().layers(&reference, made.digest(image), &PullSecrets::default()).await.unwrap();
            all.remove(0)
        };
        let of_base = layers("base").await;
        assert_eq!(of_base.platform, "linux/amd64");
        assert!(base.layers[0].start_with(&of_base));
        assert!(!layers("other").await.start_with(&of_base));
        assert!(!of_base.start_with(&base.layers[0]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn provenance_of_one_platform_is_none_of_the_whole() {
    let made = made();
    let lab = Lab::start(STYLES[0]).await;
    lab.put_image("team/app", made.digest("multi"));
    lab.attach("team/app", &made, &["provenance-bundle"]);
    let wanted = Wanted { base: Some(any(vec![key("p256")])), ..Wanted::default() };
    let base = gather(&lab, "team/app", "multi", &wanted).await.unwrap().base.unwrap();
    assert_eq!((base.provenance, base.materials), (false, vec![]), "the other platform has none");
    assert_eq!((base.layers.len(), base.unknown, base.refused), (2, None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_that_are_never_read_are_no_outage() {
    let made = made();
    let lab = Lab::start(STYLES[0]).await;
    lab.put_image("team/app", made.digest("multi"));
    let index = lab.put_index("team/app", &[Lab::platform(made.digest("multi"), "amd64")]);
    let wanted = Wanted { base: Some(any(vec![key("p256")])), ..Wanted::default() };
    let reference = lab.image("team/app");
    let evidence = lab.source().gather(&reference, &index, &wanted, &PullSecrets::default()).await.unwrap();
    let base = evidence.base.unwrap();
    assert!(base.unknown.is_none() && base.layers.is_empty());
    assert!(matches!(base.refused, Some(Fault::Unsupported { .. })), "{:?}", base.refused);
}

#[test]
fn layers_of_another_platform_and_no_layers_prove_nothing() {
    let digest = |text: &str| Digest::sha256(text.as_bytes());
    let layers = |platform: &str, ids: &[&str]| Layers {
        digest: digest("x"),
        platform: platform.to_owned(),
        diff_ids: ids.iter().map(|id| digest(id)).collect(),
    };
    let image = layers("linux/amd64", &["a", "b"]);
    assert!(image.start_with(&layers("linux/amd64", &["a"])));
    assert!(!image.start_with(&layers("linux/arm64", &["a"])));
    assert!(!image.start_with(&layers("linux/amd64", &["b"])));
    assert!(!image.start_with(&layers("linux/amd64", &[])));
}
