//! Signatures as such, without a registry: each form, each way in which one can be wrong.

use zastava_common::evidence::{
    Digest, Reason,
    signature::{Checked, NoSignature, check},
    verifier::{Matcher, Verifier},
};

use crate::made::{builder, key, keyless, logged_key, made};

/// What `verifier` finds in the evidence about the image that it is meant for, else about `app`.
fn find(verifier: &Verifier, evidence: &str) -> Result<Checked, Reason> {
    let made = made();
    let signature = made.signature(evidence).unwrap_or_else(|error| panic!("{evidence}: {error}"));
    check(verifier, &signature, made.digest("app")).map_err(|refusal| refusal.reason)
}

const KEYED: Checked = Checked { identity: None, logged: false };

fn by_builder() -> Checked {
    let made = made();
    Checked { identity: Some((made.issuer, made.builder)), logged: true }
}

#[test]
fn keys_of_every_kind_are_checked_in_both_forms() {
    for name in ["p256", "p384", "ed25519", "rsa"] {
        for evidence in [format!("{name}.sig"), format!("{name}-bundle")] {
            assert_eq!(find(&key(name), &evidence), Ok(KEYED), "{evidence}");
            assert_eq!(
                find(&key("other"), &evidence),
                Err(Reason::KeyMismatch),
                "{evidence} with another key"
            );
        }
    }
}

#[test]
fn what_cosign_itself_signed_is_accepted() {
    for evidence in ["cosign2.sig", "cosign2.att", "cosign3"] {
        assert_eq!(find(&key("cosign"), evidence), Ok(KEYED), "{evidence}");
        assert_eq!(find(&key("p256"), evidence), Err(Reason::KeyMismatch), "{evidence}");
    }
    assert_eq!(find(&builder("cosign3"), "cosign3-keyless"), Ok(by_builder()));
}

#[test]
fn certificates_are_checked_in_both_forms() {
    for evidence in ["keyless", "keyless-timed", "keyless.sig"] {
        assert_eq!(find(&builder("root"), evidence), Ok(by_builder()), "{evidence}");
    }
}

#[test]
fn a_signature_that_is_wrong_says_in_which_way() {
    let wrong = [
        ("wrong-key.sig", key("p256"), Reason::KeyMismatch),
        ("wrong-key-bundle", key("p256"), Reason::KeyMismatch),
        ("wrong-key-named-bundle", key("p256"), Reason::SignatureInvalid),
        ("wrong-digest.sig", key("p256"), Reason::SignatureInvalid),
        ("wrong-digest-bundle", key("p256"), Reason::SignatureInvalid),
        ("other-image.sig", key("p256"), Reason::SignatureInvalid),
        ("keyless", key("p256"), Reason::KeyMismatch),
        ("p256-bundle", builder("root"), Reason::IdentityMismatch),
        ("p256.sig", builder("root"), Reason::IdentityMismatch),
        ("keyless-other-subject", builder("root"), Reason::IdentityMismatch),
        ("keyless-other-issuer", builder("root"), Reason::IdentityMismatch),
        ("keyless-other-image", builder("root"), Reason::SignatureInvalid),
        ("keyless-wrong-digest.sig", builder("root"), Reason::SignatureInvalid),
        ("keyless-without-log", builder("root"), Reason::TlogMissing),
        ("keyless-other-entry", builder("root"), Reason::SignatureInvalid),
        ("keyless-other-time", builder("root"), Reason::SignatureInvalid),
        ("keyless-other-clock", builder("root"), Reason::SignatureInvalid),
        ("keyless-expired", builder("late"), Reason::SignatureInvalid),
        ("keyless-other-authority", builder("root"), Reason::SignatureInvalid),
        // An authority that had ended when it signed (GHSA-wfqv-66vq-46rm).
        ("keyless", builder("ca-ended"), Reason::SignatureInvalid),
    ];
    for (evidence, verifier, reason) in wrong {
        assert_eq!(find(&verifier, evidence), Err(reason), "{evidence}");
    }
}

#[test]
fn a_log_entry_is_checked_where_one_is_required() {
    assert_eq!(
        find(&logged_key("p256", "root"), "p256-logged-bundle"),
        Ok(Checked { identity: None, logged: true })
    );
    assert_eq!(find(&key("p256"), "p256-logged-bundle"), Ok(KEYED));
    for evidence in ["p256-bundle", "p256.sig"] {
        assert_eq!(find(&logged_key("p256", "root"), evidence), Err(Reason::TlogMissing), "{evidence}");
    }
    assert_eq!(
        find(&logged_key("p256", "late"), "p256-logged-bundle"),
        Err(Reason::SignatureInvalid),
        "another log"
    );
}

#[test]
fn an_authority_without_a_public_log_countersigns_the_time() {
    let made = made();
    let exact = |text: &str| Matcher::Exact(text.to_owned());
    let private = keyless(exact(&made.issuer), exact(&made.builder), "root", false);
    let checked = find(&private, "keyless-without-log").unwrap();
    assert!(!checked.logged && checked.identity.is_some());
}

#[test]
fn each_part_of_an_identity_can_fail_alone() {
    let made = made();
    let exact = |text: &str| Matcher::Exact(text.to_owned());
    let pattern = |text: &str| Matcher::pattern(text).unwrap();
    let with = |issuer: Matcher, subject: Matcher| find(&keyless(issuer, subject, "root", true), "keyless");
    assert!(with(exact(&made.issuer), pattern("https://ci\\.test/acme/.*")).is_ok());
    assert!(with(pattern("https://issuer\\.test"), exact(&made.builder)).is_ok());
    let wrong = [
        (exact("https://issuer.tes"), exact(&made.builder)),
        (exact(&made.issuer), exact("https://ci.test/acme/app/build.yml")),
        (pattern("https://issuer"), exact(&made.builder)),
        (exact(&made.issuer), pattern("acme")),
        (exact(&made.builder), exact(&made.issuer)),
    ];
    for (issuer, subject) in wrong {
        assert_eq!(
            with(issuer.clone(), subject.clone()),
            Err(Reason::IdentityMismatch),
            "{issuer:?} {subject:?}"
        );
    }
}

#[test]
fn an_attestation_by_the_right_party_does_not_sign_the_image() {
    let made = made();
    for (evidence, verifier) in [
        ("other-predicate-bundle", key("p256")),
        ("keyless-vulnerable", builder("root")),
        ("cosign2.att", key("cosign")),
    ] {
        let signature = made.signature(evidence).unwrap();
        assert!(
            check(&verifier, &signature, made.digest("app")).is_ok(),
            "{evidence}: the signature itself holds"
        );
        assert!(!signature.claim().signs(), "{evidence}");
    }
    assert!(made.signature("keyless").unwrap().claim().signs());
}

#[test]
fn what_is_no_single_signature_is_not_read() {
    let made = made();
    assert!(matches!(made.signature("two-signatures-bundle"), Err(NoSignature::Bundle(_))));
    let wrong = made.signature("wrong-type.sig").unwrap_err();
    assert!(wrong.is_other(), "{wrong}");
}

#[test]
fn a_signature_holds_for_one_digest_and_no_other() {
    let made = made();
    for (evidence, verifier) in [
        ("p256.sig", key("p256")),
        ("p256-bundle", key("p256")),
        ("keyless", builder("root")),
        ("keyless.sig", builder("root")),
    ] {
        let signature = made.signature(evidence).unwrap();
        for other in [made.digest("other"), made.digest("multi"), &Digest::sha256(b"")] {
            let refusal = check(&verifier, &signature, other).unwrap_err();
            assert_eq!(refusal.reason, Reason::SignatureInvalid, "{evidence}");
        }
    }
}

#[test]
fn what_is_signed_but_cannot_be_read_signs_nothing() {
    let made = made();
    let (layer, content) = made.layers("p256.sig").remove(0);
    let payload = String::from_utf8(content).unwrap();
    let broken = [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        payload.replace("critical", "Critical"),
        payload.replace("sha256:", "sha256:0"),
        payload.replace("\"type\"", "\"kind\""),
        // A second digest beside the first.
        payload.replace("\"image\":{", "\"image\":{\"Docker-manifest-digest\":\"sha256:00\","),
        format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)),
    ];
    for payload in broken {
        assert!(crate::made::read(&layer, payload.as_bytes()).is_err(), "{payload:.80}");
    }
}
