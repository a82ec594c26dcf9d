//! What lies beside an image in real registries: by the referrers API page by page, by the fallback tag, and by one whose
//! entries do not say what they are.

use crate::{
    lab::{Webhook, config_of, review_of},
    made::made,
    registries::{Lab, STYLES},
};

/// Nothing is asked but by the namespace.
const RULES: &str = "
namespaces:
  - {names: [signed], verify: {imageSignature: true}}
  - {names: [sbom], verify: {sbomReferrer: true}}
  - {names: [signed-sbom], verify: {sbomReferrer: true}, sbom: {level: signed}}
  - {names: [layers], baseImages: {allow: ['BASE'], proof: [layers]}}
  - {names: [provenance], baseImages: {allow: ['BASE'], proof: [provenance]}}
  - {names: [stranger], baseImages: {allow: ['OTHER'], proof: [provenance]}}";

/// Repositories with `app` or `other`, and what lies beside it. What holds comes last, on a page of its own.
const REPOSITORIES: &[(&str, &str, &[&str])] = &[
    ("team/base", "base", &[]),
    ("team/bare", "app", &[]),
    ("team/foreign", "other", &[]),
    ("team/beside", "app", &["sbom-referrer"]),
    ("team/theirs", "app", &["wrong-key-bundle", "sbom-other-key-bundle", "provenance-other-key-bundle"]),
    (
        "team/full",
        "app",
        &[
            "wrong-key-bundle",
            "other-predicate-bundle",
            "sbom-other-key-bundle",
            "provenance-other-key-bundle",
            "sbom-bundle",
            "provenance-bundle",
            "p256-bundle",
        ],
    ),
];

/// Namespace, repository, and the reasons to refuse.
const CASES: &[(&str, &str, &str)] = &[
    ("signed", "team/bare", "unsigned"),
    ("signed", "team/theirs", "key_mismatch"),
    ("signed", "team/full", ""),
    ("sbom", "team/bare", "sbom_missing"),
    ("sbom", "team/beside", ""),
    ("sbom", "team/theirs", ""),
    ("signed-sbom", "team/bare", "sbom_missing"),
    ("signed-sbom", "team/beside", "sbom_unsigned"),
    ("signed-sbom", "team/theirs", "sbom_unsigned"),
    ("signed-sbom", "team/full", ""),
    ("layers", "team/bare", ""),
    ("layers", "team/base", ""),
    ("layers", "team/foreign", "base_denied"),
    ("provenance", "team/bare", "base_unknown"),
    ("provenance", "team/theirs", "base_unknown"),
    ("provenance", "team/full", ""),
    ("stranger", "team/full", "base_denied"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_beside_an_image_decides_alike_in_each_kind_of_registry() {
    let made = made();
    for style in STYLES {
        let lab = Lab::start(style).await;
        for (repository, image, pieces) in REPOSITORIES {
            lab.put_image(repository, made.digest(image));
            lab.attach(repository, &made, pieces);
        }
        let at = |repository: &str, image: &str| format!("{}/{repository}@{}", lab.host, made.digest(image));
        let rules =
            RULES.replace("BASE", &at("team/base", "base")).replace("OTHER", &at("team/foreign", "other"));
        let admission = config_of(&lab.host, rules.trim_start());
        let webhook = Webhook::start(&admission.replace(
            "imageSignature: true, sbomReferrer: false, s",
            "imageSignature: false, sbomReferrer: false, s",
        ));
        let client = webhook.client();
        for (namespace, repository, reasons) in CASES {
            let (_, image, _) = REPOSITORIES.iter().find(|(name, ..)| name == repository).unwrap();
            let answer = client.ask(&review_of(&at(repository, image), namespace), "10s").await;
            let told = answer["auditAnnotations"]["reasons"].as_str().unwrap_or_default();
            assert_eq!(told, *reasons, "{style:?} {namespace} {repository}: {answer}");
            assert_eq!(answer["allowed"], reasons.is_empty(), "{style:?} {namespace} {repository}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_hub_has_many_names_and_an_allowlist_knows_them() {
    let off = "verify: {imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}";
    for written in ["docker.io/library", "index.docker.io/library"] {
        let webhook = Webhook::start(&format!("{off}\nregistryAllowlist: [{written}]"));
        let client = webhook.client();
        for image in [
            "nginx",
            "nginx:1",
            "library/nginx",
            "docker.io/nginx",
            "docker.io/library/nginx:1",
            "index.docker.io/library/nginx",
            "Docker.IO/library/nginx",
        ] {
            let answer = client.ask(&review_of(image, "shop"), "10s").await;
            assert_eq!(answer["allowed"], true, "{written} {image}: {answer}");
        }
        for image in [
            "acme/nginx",
            "docker.io/acme/nginx",
            "docker.io/library-evil/nginx",
            "docker.io.evil.test/library/nginx",
            "evil.test/docker.io/library/nginx",
            "localhost/library/nginx",
            "docker.io:5000/library/nginx",
        ] {
            let answer = client.ask(&review_of(image, "shop"), "10s").await;
            assert_eq!(
                answer["auditAnnotations"]["reasons"], "registry_denied",
                "{written} {image}: {answer}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_keeps_several_registries_apart_by_paths_is_asked_below_the_right_one() {
    let made = made();
    let lab = Lab::start(STYLES[1]).await;
    // The registry itself is nowhere; its mirror has its images below `proxy/upstream`, and others' elsewhere.
    for (repository, pieces) in
        [("proxy/upstream/team/app", &["p256.sig"][..]), ("proxy/other/team/app", &[])]
    {
        lab.put_image(repository, made.digest("app"));
        lab.attach(repository, &made, pieces);
    }
    let entry = |name: &str| format!("{{host: {name}.invalid, mirrors: ['{}/proxy/{name}']}}", lab.host);
    let entries = format!("[{}, {}, {{host", entry("upstream"), entry("other"));
    let webhook = Webhook::start(&config_of(&lab.host, "").replace("[{host", &entries));
    let ask = async |host: &str| {
        let image = format!("{host}/team/app@{}", made.digest("app"));
        webhook.client().ask(&review_of(&image, "shop"), "10s").await
    };
    let signed = ask("upstream.invalid").await;
    assert_eq!(signed["allowed"], true, "{signed}");
    let unsigned = ask("other.invalid").await;
    assert_eq!(unsigned["allowed"], false, "{unsigned}");
}
