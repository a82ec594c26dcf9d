//! No change of a byte makes something of what is nothing.

use proptest::{prelude::*, sample::select};
use zastava_common::evidence::{
    manifest::Descriptor,
    signature::{Signature, check},
    verifier::Verifier,
};

use crate::made::{builder, key, logged_key, made, read};

/// Evidence that must not be accepted by the verifier beside it.
fn refused() -> Vec<(&'static str, Verifier)> {
    vec![
        ("wrong-key.sig", key("p256")),
        ("wrong-digest.sig", key("p256")),
        ("wrong-type.sig", key("p256")),
        ("wrong-key-bundle", key("p256")),
        ("wrong-digest-bundle", key("p256")),
        ("other-predicate-bundle", key("p256")),
        ("two-signatures-bundle", key("p256")),
        ("p256-bundle", logged_key("p256", "root")),
        ("keyless-other-subject", builder("root")),
        ("keyless-other-issuer", builder("root")),
        ("keyless-other-image", builder("root")),
        ("keyless-vulnerable", builder("root")),
        ("keyless-without-log", builder("root")),
        ("keyless-other-entry", builder("root")),
        ("keyless-other-time", builder("root")),
        ("keyless-other-authority", builder("root")),
        ("keyless-expired", builder("late")),
        ("keyless-wrong-digest.sig", builder("root")),
    ]
}

/// Whether the image counts as signed by what the layer holds.
fn accepted(verifier: &Verifier, layer: &Descriptor, content: &[u8]) -> bool {
    let made = made();
    read(layer, content).is_ok_and(|signature| {
        signature.claim().signs() && check(verifier, &signature, made.digest("app")).is_ok()
    })
}

/// Changes one byte of the layer: of its content, or of one of its annotations.
fn change(layer: &mut Descriptor, content: &mut [u8], place: usize, to: u8) {
    let annotated: usize = layer.annotations.values().map(String::len).sum();
    let mut place = place % (content.len() + annotated);
    if let Some(byte) = content.get_mut(place) {
        *byte ^= to;
        return;
    }
    place -= content.len();
    for value in layer.annotations.values_mut() {
        if place < value.len() {
            let mut bytes = value.clone().into_bytes();
            bytes[place] ^= to;
            *value = String::from_utf8_lossy(&bytes).into_owned();
            return;
        }
        place -= value.len();
    }
}

/// What can be read of the evidence with one byte changed, if anything can.
fn changed(evidence: &str, place: usize, to: u8) -> Option<Signature> {
    let (mut layer, mut content) = made().layers(evidence).remove(0);
    change(&mut layer, &mut content, place, to);
    read(&layer, &content).ok()
}

/// Attestations that the verifier beside it must not take for its own.
fn of_strangers() -> Vec<(&'static str, Verifier)> {
    vec![
        ("sbom-other-key-bundle", key("p256")),
        ("provenance-other-key-bundle", key("p256")),
        ("cosign2.att", key("p256")),
        ("sbom-bundle", builder("root")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_byte_makes_a_wrong_signature_right(
        (evidence, verifier) in select(refused()),
        place: usize,
        to in 1..=255u8,
    ) {
        let (mut layer, mut content) = made().layers(evidence).remove(0);
        prop_assert!(!accepted(&verifier, &layer, &content), "{evidence} is wrong to begin with");
        change(&mut layer, &mut content, place, to);
        prop_assert!(!accepted(&verifier, &layer, &content), "{evidence} at {place} with {to}");
    }

    #[test]
    fn no_changed_byte_makes_an_attestation_of_a_stranger_ones_own(
        (evidence, verifier) in select(of_strangers()),
        place: usize,
        to in 1..=255u8,
    ) {
        if let Some(signature) = changed(evidence, place, to) {
            prop_assert!(check(&verifier, &signature, made().digest("app")).is_err(), "{evidence} at {place} with {to}");
        }
    }

    #[test]
    fn what_still_holds_after_a_change_says_what_it_said(
        (evidence, verifier) in select(vec![
            ("p256.sig", key("p256")),
            ("p256-bundle", key("p256")),
            ("sbom-bundle", key("p256")),
            ("provenance-bundle", key("p256")),
            ("cosign2.att", key("cosign")),
            ("keyless", builder("root")),
            ("keyless.sig", builder("root")),
        ]),
        place: usize,
        to in 1..=255u8,
    ) {
        let made = made();
        let (layer, content) = made.layers(evidence).remove(0);
        let before = read(&layer, &content).unwrap();
        let checked = check(&verifier, &before, made.digest("app"));
        prop_assert!(checked.is_ok(), "{evidence} holds to begin with");
        if let Some(after) = changed(evidence, place, to)
            && let Ok(found) = check(&verifier, &after, made.digest("app"))
        {
            prop_assert_eq!(after.claim(), before.claim(), "{} at {} with {}", evidence, place, to);
            prop_assert_eq!(Ok(found), checked);
        }
    }

    #[test]
    fn a_right_signature_never_comes_to_sign_another_image(
        (evidence, verifier) in select(vec![
            ("p256.sig", key("p256")),
            ("p256-bundle", key("p256")),
            ("keyless", builder("root")),
            ("keyless.sig", builder("root")),
        ]),
        place: usize,
        to in 1..=255u8,
    ) {
        if let Some(signature) = changed(evidence, place, to) {
            prop_assert!(check(&verifier, &signature, made().digest("other")).is_err());
        }
    }
}
