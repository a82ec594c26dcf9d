//! Each kind of signature in each kind of registry.

use std::sync::Arc;

use zastava_common::evidence::{
    Form, Outcome, Reason, Verifiers,
    verifier::{Need, Verifier},
};

use crate::{
    lab::{Lab, STYLES, gather, signed_by},
    made::{any, builder, key, logged_key, made},
};

struct Case {
    /// What is there.
    pieces: &'static [&'static str],
    verifier: fn() -> Verifier,
    expected: Result<Form, Reason>,
}

const fn case(
    pieces: &'static [&'static str],
    verifier: fn() -> Verifier,
    expected: Result<Form, Reason>,
) -> Case {
    Case { pieces, verifier, expected }
}

fn p256() -> Verifier {
    key("p256")
}

fn cosign() -> Verifier {
    key("cosign")
}

fn by_builder() -> Verifier {
    builder("root")
}

const CASES: &[Case] = &[
    case(&[], p256, Err(Reason::Unsigned)),
    case(&[], by_builder, Err(Reason::Unsigned)),
    case(&["p256.sig"], p256, Ok(Form::Legacy)),
    case(&["cosign2.sig"], cosign, Ok(Form::Legacy)),
    case(&["keyless.sig"], by_builder, Ok(Form::Legacy)),
    case(&["p256-bundle"], p256, Ok(Form::Bundle)),
    case(&["p384-bundle"], || key("p384"), Ok(Form::Bundle)),
    case(&["ed25519-bundle"], || key("ed25519"), Ok(Form::Bundle)),
    case(&["rsa.sig"], || key("rsa"), Ok(Form::Legacy)),
    case(&["cosign3"], cosign, Ok(Form::Bundle)),
    case(&["keyless"], by_builder, Ok(Form::Bundle)),
    case(&["cosign3-keyless"], || builder("cosign3"), Ok(Form::Bundle)),
    case(&["p256-logged-bundle"], || logged_key("p256", "root"), Ok(Form::Bundle)),
    case(&["p256-bundle"], || logged_key("p256", "root"), Err(Reason::TlogMissing)),
    case(&["wrong-key.sig"], p256, Err(Reason::KeyMismatch)),
    case(&["wrong-key-bundle"], p256, Err(Reason::KeyMismatch)),
    case(&["wrong-key-named-bundle"], p256, Err(Reason::SignatureInvalid)),
    case(&["wrong-digest.sig"], p256, Err(Reason::SignatureInvalid)),
    case(&["wrong-digest-bundle"], p256, Err(Reason::SignatureInvalid)),
    case(&["wrong-type.sig"], p256, Err(Reason::FormatUnsupported)),
    case(&["two-signatures-bundle"], p256, Err(Reason::SignatureInvalid)),
    case(&["keyless-other-image"], by_builder, Err(Reason::SignatureInvalid)),
    case(&["keyless-other-subject"], by_builder, Err(Reason::IdentityMismatch)),
    case(&["keyless-other-issuer"], by_builder, Err(Reason::IdentityMismatch)),
    case(&["keyless-expired"], || builder("late"), Err(Reason::SignatureInvalid)),
    case(&["keyless-without-log"], by_builder, Err(Reason::TlogMissing)),
    case(&["keyless-other-entry"], by_builder, Err(Reason::SignatureInvalid)),
    case(&["other-predicate-bundle"], p256, Err(Reason::WrongPredicate)),
    case(&["keyless-vulnerable"], by_builder, Err(Reason::WrongPredicate)),
    case(&["sbom-referrer"], p256, Err(Reason::Unsigned)),
    case(&["sbom-bundle"], p256, Err(Reason::WrongPredicate)),
    case(&["notation"], p256, Err(Reason::FormatUnsupported)),
    // The right one among wrong ones, on the last page, below another tag.
    case(
        &["wrong-key-bundle", "other-predicate-bundle", "sbom-referrer", "p256-bundle"],
        p256,
        Ok(Form::Bundle),
    ),
    case(&["wrong-key.sig", "p256-bundle"], p256, Ok(Form::Bundle)),
    case(&["wrong-key-bundle", "p256.sig"], p256, Ok(Form::Legacy)),
    // Of several wrong ones the closest speaks.
    case(
        &["other-predicate-bundle", "wrong-key-bundle", "wrong-digest-bundle"],
        p256,
        Err(Reason::KeyMismatch),
    ),
    // Two that are right in different ways are not one that is right.
    case(&["keyless-other-subject", "keyless-other-issuer"], by_builder, Err(Reason::IdentityMismatch)),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_signature_is_judged_alike_in_each_kind_of_registry() {
    let made = made();
    for style in STYLES {
        let lab = Lab::start(style).await;
        for (number, Case { pieces, verifier, expected }) in CASES.iter().enumerate() {
            let repository = format!("team/case{number}");
            lab.put_image(&repository, made.digest("app"));
            lab.attach(&repository, &made, pieces);
            let wanted = signed_by(any(vec![verifier()]));
            let evidence = gather(&lab, &repository, "app", &wanted).await.unwrap();
            let found = match &evidence.signatures[0].outcome {
                Outcome::Verified(verified) => {
                    assert_eq!(verified.signed, [made.digest("app").clone()]);
                    Ok(verified.form)
                }
                Outcome::Refused(refusal) => Err(refusal.reason),
                Outcome::Unknown(fault) => panic!("{style:?} {pieces:?}: {fault}"),
            };
            assert_eq!(found, *expected, "{style:?} {pieces:?}: {:?}", evidence.signatures[0].outcome);
        }
    }
}

/// Evidence that its verifier takes, and behind which words one character is changed.
struct Tampered {
    piece: &'static str,
    verifier: fn() -> Verifier,
    marks: &'static [(&'static str, Reason)],
}

const TAMPERED: &[Tampered] = &[
    Tampered {
        piece: "p256.sig",
        verifier: p256,
        marks: &[
            // In what is signed, and in the signature. Such a one does not name its key: it could be another's.
            ("docker-reference\":\"", Reason::KeyMismatch),
            ("sha256:", Reason::SignatureInvalid),
            ("container image", Reason::FormatUnsupported),
            ("cosign/signature\":\"", Reason::KeyMismatch),
        ],
    },
    Tampered {
        piece: "p256-bundle",
        verifier: p256,
        marks: &[
            ("\"payload\":\"", Reason::SignatureInvalid),
            ("\"sig\":\"", Reason::SignatureInvalid),
            ("\"payloadType\":\"", Reason::FormatUnsupported),
        ],
    },
    Tampered {
        piece: "keyless",
        verifier: by_builder,
        marks: &[
            ("\"payload\":\"", Reason::SignatureInvalid),
            ("\"sig\":\"", Reason::SignatureInvalid),
            ("\"rawBytes\":\"MIICwDCCAkagAwIBAgIEERggBD", Reason::SignatureInvalid),
            ("\"signedEntryTimestamp\":\"", Reason::SignatureInvalid),
            ("\"rootHash\":\"", Reason::SignatureInvalid),
            ("\"canonicalizedBody\":\"", Reason::SignatureInvalid),
            ("\"integratedTime\":\"", Reason::SignatureInvalid),
        ],
    },
    Tampered {
        piece: "keyless.sig",
        verifier: by_builder,
        marks: &[
            ("sha256:", Reason::SignatureInvalid),
            ("cosign/signature\":\"", Reason::SignatureInvalid),
            ("SignedEntryTimestamp\\\":\\\"", Reason::SignatureInvalid),
            ("body\\\":\\\"", Reason::SignatureInvalid),
            ("BEGIN CERTIFICATE-----\\n", Reason::SignatureInvalid),
        ],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_character_is_judged_alike_in_each_kind_of_registry() {
    let made = made();
    for style in STYLES {
        let lab = Lab::start(style).await;
        let mut wrong = Vec::new();
        for (number, Tampered { piece, verifier, marks }) in TAMPERED.iter().enumerate() {
            for (at, (mark, expected)) in marks.iter().enumerate() {
                let repository = format!("team/tampered{number}-{at}");
                lab.put_image(&repository, made.digest("app"));
                lab.attach_tampered(&repository, &made, piece, mark);
                let wanted = signed_by(any(vec![verifier()]));
                let evidence = gather(&lab, &repository, "app", &wanted).await.unwrap();
                let outcome = &evidence.signatures[0].outcome;
                if !matches!(outcome, Outcome::Refused(refusal) if refusal.reason == *expected) {
                    wrong.push(format!("{piece} behind {mark}: {outcome:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{style:?}: {wrong:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_form_counts_only_where_it_is_taken() {
    let made = made();
    let lab = Lab::start(STYLES[1]).await;
    lab.put_image("team/app", made.digest("app"));
    lab.attach("team/app", &made, &["p256.sig"]);
    let newer = Verifier { legacy: false, ..p256() };
    let evidence = gather(&lab, "team/app", "app", &signed_by(any(vec![newer]))).await.unwrap();
    let Outcome::Refused(refusal) = &evidence.signatures[0].outcome else { panic!("{evidence:?}") };
    assert_eq!(refusal.reason, Reason::Unsigned, "its tag is not even asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_are_told_for_each_verifier() {
    let made = made();
    let lab = Lab::start(STYLES[0]).await;
    lab.put_image("team/app", made.digest("app"));
    lab.attach("team/app", &made, &["p256-bundle", "keyless"]);
    for need in [Need::Any, Need::All] {
        let verifiers = Verifiers::new(vec![key("other"), p256(), by_builder()], need);
        let evidence = gather(&lab, "team/app", "app", &signed_by(Arc::new(verifiers))).await.unwrap();
        let verified: Vec<(&str, bool)> =
            evidence.signatures.iter().map(|fact| (fact.verifier.as_str(), fact.is_verified())).collect();
        match need {
            // As soon as one is satisfied, nothing more is fetched.
            Need::Any => assert_eq!(verified.iter().filter(|(_, verified)| *verified).count(), 1),
            Need::All => assert_eq!(verified, [("other", false), ("p256", true), ("builder", true)]),
        }
    }
}
