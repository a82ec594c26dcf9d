use std::{sync::Arc, time::Duration};

use zastava_common::evidence::{
    Base, Digest, Evidence, Fault, Form, Format, Hint, ImageReference, Layers, Material, Outcome, Platform,
    Reason as Why, Refusal, Sbom, SbomFound, SbomLevel, SignerFact, Verified,
};

use super::{Finding, Grade, at_once, by_facts};
use crate::{
    known::{Known, Missing, Verdict, VerdictWord},
    policy::{Rules, tests::policy},
    reason::Reason,
};

fn rules(admission: &str) -> Arc<Rules> {
    Arc::clone(policy(admission).unwrap().rules("shop"))
}

fn digest(of: &str) -> Digest {
    Digest::sha256(of.as_bytes())
}

fn evidence(signatures: Vec<SignerFact>) -> Evidence {
    Evidence {
        digest: digest("image"),
        platforms: vec![Platform { digest: digest("image"), name: None }],
        signatures,
        sbom: None,
        base: None,
    }
}

fn known(evidence: Evidence) -> Known {
    Known { digest: Some(Ok(digest("image"))), evidence: Some(Ok(Arc::new(evidence))), ..Known::default() }
}

fn fact(verifier: &str, outcome: Outcome) -> SignerFact {
    SignerFact { verifier: verifier.to_owned(), outcome }
}

fn verified() -> Outcome {
    Outcome::Verified(Verified {
        signed: vec![digest("image")],
        form: Form::Bundle,
        identity: None,
        logged: false,
    })
}

fn refused(reason: Why) -> Outcome {
    Outcome::Refused(Refusal { reason, detail: "found so".to_owned() })
}

fn unknown() -> Outcome {
    Outcome::Unknown(Fault::Timeout { host: "reg.test".to_owned(), after: Duration::from_secs(1) })
}

fn codes(findings: &[Finding]) -> Vec<(&'static str, Grade)> {
    findings.iter().map(|finding| (finding.reason.code(), finding.grade)).collect()
}

const SIGNED: &str = "{verify: {sbomReferrer: false, scannerPolicyPass: false}, \
                      verifiers: {keys: [{name: a, publicKey: /a.pub}, {name: b, publicKey: /b.pub}]}";

fn signature(need: &str, outcomes: [Outcome; 2]) -> Vec<(&'static str, Grade)> {
    let rules = rules(&format!("{SIGNED}, signature: {{need: {need}}}}}"));
    let [a, b] = outcomes;
    codes(&by_facts(&known(evidence(vec![fact("a", a), fact("b", b)])), &rules))
}

#[test]
fn one_signature_is_enough_where_any_is() {
    assert_eq!(signature("any", [refused(Why::Unsigned), verified()]), []);
    assert_eq!(signature("any", [unknown(), verified()]), []);
    assert_eq!(
        signature("any", [refused(Why::KeyMismatch), refused(Why::Unsigned)]),
        [("key_mismatch", Grade::Deny)]
    );
    assert_eq!(
        signature("any", [refused(Why::Unsigned), unknown()]),
        [("registry_timeout", Grade::Unanswered)]
    );
}

#[test]
fn every_signature_is_needed_where_all_are() {
    assert_eq!(signature("all", [verified(), verified()]), []);
    assert_eq!(
        signature("all", [verified(), refused(Why::SignatureInvalid)]),
        [("signature_invalid", Grade::Deny)]
    );
    assert_eq!(signature("all", [verified(), unknown()]), [("registry_timeout", Grade::Unanswered)]);
    // One definite no is a no, whatever the other would say.
    assert_eq!(signature("all", [unknown(), refused(Why::Unsigned)]), [("unsigned", Grade::Deny)]);
}

#[test]
fn what_somebody_may_have_made_unreadable_is_no_outage() {
    let too_many = || Fault::TooMany { host: "reg.test".to_owned(), what: "referrers", limit: 1 };
    let denied = [("registry_too_much", Grade::Deny)];
    assert_eq!(signature("any", [Outcome::Unknown(too_many()), refused(Why::Unsigned)]), denied);
    assert_eq!(sbom("present", &[], Some(too_many()), false), denied);
    assert!(!Missing::Panic.is_outage());
}

#[test]
fn every_refusal_keeps_its_reason() {
    let all = [
        Why::Unsigned,
        Why::FormatUnsupported,
        Why::WrongPredicate,
        Why::SignatureInvalid,
        Why::KeyMismatch,
        Why::IdentityMismatch,
        Why::TimestampMissing,
        Why::TlogMissing,
    ];
    for why in all {
        assert_eq!(signature("any", [refused(why), refused(Why::Unsigned)]), [(why.code(), Grade::Deny)]);
    }
}

#[test]
fn a_verifier_that_was_not_asked_has_not_signed() {
    let rules = rules(&format!("{SIGNED}}}"));
    assert_eq!(codes(&by_facts(&known(evidence(Vec::new())), &rules)), [("unsigned", Grade::Deny)]);
}

#[test]
fn what_was_never_asked_for_is_no_pass() {
    let rules = rules(&format!("{SIGNED}}}"));
    assert_eq!(codes(&by_facts(&Known::default(), &rules)), [("deadline_exceeded", Grade::Unanswered)]);
    let gone = Fault::NotFound { host: "reg.test".to_owned(), what: "a".to_owned() };
    let missing = Known { digest: Some(Err(Missing::Fault(gone))), ..Known::default() };
    assert_eq!(codes(&by_facts(&missing, &rules)), [("image_not_found", Grade::Deny)]);
}

fn sbom(
    level: &str,
    found: &[SbomLevel],
    unknown: Option<Fault>,
    catalogue: bool,
) -> Vec<(&'static str, Grade)> {
    let rules = rules(&format!(
        "{{verify: {{imageSignature: false, scannerPolicyPass: false}}, sbom: {{level: {level}}}, \
         verifiers: {{keys: [{{name: a, publicKey: /a.pub}}]}}}}"
    ));
    let found = found.iter().map(|level| SbomFound {
        of: digest("image"),
        level: *level,
        format: Format::CycloneDx,
        digest: digest("sbom"),
        signed_by: Vec::new(),
    });
    let (unknown, refused) = match unknown {
        Some(fault) if !fault.is_outage() => (None, Some(fault)),
        unknown => (unknown, None),
    };
    let sbom = Sbom { found: found.collect(), unknown, refused };
    let mut known = known(Evidence { sbom: Some(sbom), ..evidence(Vec::new()) });
    if catalogue {
        let verdict = Verdict { word: VerdictWord::Pass, reasons: Vec::new(), has_sbom: true };
        known.verdict = Some(Ok(Arc::new(verdict)));
    }
    codes(&by_facts(&known, &rules))
}

#[test]
fn an_sbom_must_reach_the_level_that_is_asked_for() {
    use SbomLevel::{Bound, Present, Signed};
    assert_eq!(sbom("present", &[Present], None, false), []);
    assert_eq!(sbom("bound", &[Present, Signed], None, false), []);
    assert_eq!(sbom("present", &[], None, false), [("sbom_missing", Grade::Deny)]);
    assert_eq!(sbom("bound", &[Present], None, false), [("sbom_unbound", Grade::Deny)]);
    assert_eq!(sbom("signed", &[Bound], None, false), [("sbom_unsigned", Grade::Deny)]);
    let fault = || Some(Fault::Failing { host: "reg.test".to_owned(), status: 500 });
    assert_eq!(sbom("present", &[], fault(), false), [("registry_failing", Grade::Unanswered)]);
    assert_eq!(sbom("present", &[Present], fault(), false), []);
}

#[test]
fn the_backends_catalogue_is_an_sbom_and_no_more() {
    assert_eq!(sbom("present", &[], None, true), []);
    assert_eq!(sbom("bound", &[], None, true), [("sbom_unbound", Grade::Deny)]);
    // One that cannot be looked into may have it.
    let rules = rules("{verify: {imageSignature: false, scannerPolicyPass: false}, sbom: {level: present}}");
    let down = Missing::Backend { why: "down".to_owned(), outage: true };
    let known = Known { verdict: Some(Err(down)), ..known(evidence(Vec::new())) };
    assert_eq!(codes(&by_facts(&known, &rules)), [("backend_unavailable", Grade::Unanswered)]);
}

#[test]
fn the_backend_must_pass_the_image() {
    let rules = Rules {
        verdict: true,
        ..(*rules("{verify: {imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}}")).clone()
    };
    let told = |verdict: Option<Result<Arc<Verdict>, Missing>>| {
        codes(&by_facts(&Known { digest: Some(Ok(digest("image"))), verdict, ..Known::default() }, &rules))
    };
    let verdict =
        |word| Some(Ok(Arc::new(Verdict { word, reasons: vec!["a\nb".to_owned()], has_sbom: false })));
    assert_eq!(told(verdict(VerdictWord::Pass)), []);
    assert_eq!(told(verdict(VerdictWord::Warn)), [("verdict_warn", Grade::Warn)]);
    assert_eq!(told(verdict(VerdictWord::Fail)), [("verdict_fail", Grade::Deny)]);
    assert_eq!(told(verdict(VerdictWord::Unknown)), [("verdict_unknown", Grade::Deny)]);
    assert_eq!(
        told(Some(Err(Missing::Backend { why: "down".to_owned(), outage: true }))),
        [("backend_unavailable", Grade::Unanswered)]
    );
    assert_eq!(told(None), [("deadline_exceeded", Grade::Unanswered)]);
}

fn base_image(
    proof: &str,
    base: Base,
    layers: Option<Result<Vec<Layers>, Missing>>,
) -> Vec<(&'static str, Grade)> {
    let allowed = format!("reg.test/base@{}", digest("base"));
    let rules = rules(&format!(
        "{{verify: {{imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}}, \
         baseImages: {{allow: ['{allowed}'], proof: {proof}}}}}"
    ));
    let mut known = known(Evidence { base: Some(base), ..evidence(Vec::new()) });
    let allowed: ImageReference = allowed.parse().unwrap();
    known.bases = layers.into_iter().map(|layers| (allowed.clone(), layers.map(Arc::new))).collect();
    codes(&by_facts(&known, &rules))
}

fn layers(platform: &str, diff_ids: &[&str]) -> Layers {
    Layers {
        digest: digest(platform),
        platform: platform.to_owned(),
        diff_ids: diff_ids.iter().map(|layer| digest(layer)).collect(),
    }
}

fn material(uri: &str, of: Option<&str>) -> Material {
    Material { uri: uri.to_owned(), digest: of.map(digest), verifier: "a".to_owned() }
}

#[test]
fn every_platforms_first_layers_are_those_of_an_allowed_base() {
    let image = |layers: Vec<Layers>| Base { layers, ..Base::default() };
    let allowed = || Some(Ok(vec![layers("linux/amd64", &["1", "2"]), layers("linux/arm64", &["3"])]));
    let good = vec![layers("linux/amd64", &["1", "2", "9"]), layers("linux/arm64", &["3", "8"])];
    assert_eq!(base_image("[layers]", image(good), allowed()), []);
    let denied = [("base_denied", Grade::Deny)];
    assert_eq!(base_image("[layers]", image(vec![layers("linux/amd64", &["1", "9"])]), allowed()), denied);
    let one_other = vec![layers("linux/amd64", &["1", "2", "9"]), layers("linux/arm64", &["7"])];
    assert_eq!(base_image("[layers]", image(one_other), allowed()), denied);
    // The other platform's base is none.
    assert_eq!(base_image("[layers]", image(vec![layers("linux/arm64", &["1", "2"])]), allowed()), denied);
    assert_eq!(base_image("[layers]", image(Vec::new()), allowed()), [("base_unknown", Grade::Deny)]);
}

#[test]
fn a_base_that_could_not_be_looked_at_is_no_answer_and_one_that_is_gone_is_no_base() {
    let image = || Base { layers: vec![layers("linux/amd64", &["1"])], ..Base::default() };
    let failing = Fault::Failing { host: "reg.test".to_owned(), status: 502 };
    let gone = Fault::NotFound { host: "reg.test".to_owned(), what: "base".to_owned() };
    assert_eq!(
        base_image("[layers]", image(), Some(Err(Missing::Fault(failing)))),
        [("registry_failing", Grade::Unanswered)]
    );
    assert_eq!(
        base_image("[layers]", image(), Some(Err(Missing::Fault(gone)))),
        [("base_denied", Grade::Deny)]
    );
    assert_eq!(base_image("[layers]", image(), None), [("deadline_exceeded", Grade::Unanswered)]);
}

#[test]
fn provenance_must_name_allowed_images_alone() {
    let built = |materials: Vec<Material>| Base { materials, provenance: true, ..Base::default() };
    let base = || material("pkg:docker/base@1", Some("base"));
    assert_eq!(
        base_image("[provenance]", built(vec![base(), material("git+https://git.test/a", None)]), None),
        []
    );
    let with_stranger = built(vec![base(), material("pkg:docker/evil@1", Some("evil"))]);
    assert_eq!(base_image("[provenance]", with_stranger, None), [("base_denied", Grade::Deny)]);
    let without_digest = built(vec![material("pkg:docker/base@1", None)]);
    assert_eq!(base_image("[provenance]", without_digest, None), [("base_denied", Grade::Deny)]);
    let failing = || Fault::Failing { host: "reg.test".to_owned(), status: 502 };
    let half_read = Base { unknown: Some(failing()), ..built(vec![base()]) };
    assert_eq!(base_image("[provenance]", half_read, None), [("registry_failing", Grade::Unanswered)]);
    let too_many = Fault::TooMany { host: "reg.test".to_owned(), what: "inputs", limit: 1 };
    let refused = Base { refused: Some(too_many), unknown: Some(failing()), ..built(Vec::new()) };
    assert_eq!(base_image("[provenance]", refused, None), [("registry_too_much", Grade::Deny)]);
    let silent = built(vec![material("git+https://git.test/a", None)]);
    assert_eq!(base_image("[provenance]", silent, None), [("base_unknown", Grade::Deny)]);
}

#[test]
fn what_an_image_says_of_itself_proves_nothing() {
    let hint = Hint { name: Some("reg.test/base".to_owned()), digest: Some(digest("base")) };
    let image = Base { hint: Some(hint), ..Base::default() };
    assert_eq!(
        base_image("[provenance, layers]", image, Some(Ok(vec![layers("linux/amd64", &["1"])]))),
        [("base_unknown", Grade::Deny)]
    );
}

fn tag(rules_text: &str, image: &str) -> Vec<&'static str> {
    let rules = rules(&format!(
        "{{verify: {{imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}}, tags: {rules_text}}}"
    ));
    at_once(&image.parse().unwrap(), &rules).iter().map(|finding| finding.reason.code()).collect()
}

#[test]
fn docker_hub_is_one_registry_by_the_names_that_runtimes_know() {
    let of = |allowed: &str, image: &str| {
        let rules = rules(&format!(
            "{{verify: {{imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}}, registryAllowlist: ['{allowed}']}}"
        ));
        at_once(&image.parse().unwrap(), &rules).is_empty()
    };
    for allowed in ["docker.io/acme", "index.docker.io/acme"] {
        for image in ["acme/app", "docker.io/acme/app", "index.docker.io/acme/app:1", "DOCKER.IO/acme/app"] {
            assert!(of(allowed, image), "{allowed}: {image}");
        }
        // `registry-1` is where its API is and no name of it: runtimes keep the two apart, and so does a pull secret.
        for image in [
            "registry-1.docker.io/acme/app",
            "docker.io:443/acme/app",
            "index.docker.io:443/acme/app",
            "docker.io/acme-evil/app",
            "docker.io/library/acme",
            "app",
            "docker.io.evil.test/acme/app",
            "evil.test/docker.io/acme/app",
            "evil-docker.io/acme/app",
        ] {
            assert!(!of(allowed, image), "{allowed}: {image}");
        }
    }
    assert!(of("registry-1.docker.io/acme", "registry-1.docker.io/acme/app"));
    assert!(!of("registry-1.docker.io/acme", "acme/app"));
    assert!(of("docker.io/library", "nginx"));
    assert!(!of("*.docker.io/acme", "docker.io/acme/app"), "a star is one label more");
}

#[test]
fn tags_are_those_that_runtimes_would_take() {
    let digest = digest("image");
    let latest = "{deny: [latest]}";
    for image in [
        "web",
        "reg.test/web",
        "reg.test:443/web",
        "reg.test/web:latest",
        &format!("reg.test/web:latest@{digest}"),
    ] {
        assert_eq!(tag(latest, image), ["tag_denied"], "{image}");
    }
    for image in ["web:1", "reg.test:443/web:1", "reg.test/latest:1", &format!("reg.test/web@{digest}")] {
        assert!(tag(latest, image).is_empty(), "{image}");
    }
    assert_eq!(tag("{denyUntagged: true}", "reg.test:443/web"), ["untagged"]);
    assert!(tag("{denyUntagged: true}", &format!("reg.test/web@{digest}")).is_empty());
    assert_eq!(tag("{requireDigest: true}", "reg.test/web:1"), ["digest_required"]);
    assert!(tag("{requireDigest: true}", &format!("reg.test/web:1@{digest}")).is_empty());
}

#[test]
fn codes_are_distinct_and_every_reason_says_what_would_fix_it() {
    let codes: std::collections::HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(codes.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        let word = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(reason.code().chars().all(word), "{}", reason.code());
        assert!(reason.means().ends_with('.') && !reason.fix().ends_with('.'), "{}", reason.code());
    }
}
