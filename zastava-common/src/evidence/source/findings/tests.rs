use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Findings, MAX_MATERIALS};
use crate::evidence::{
    Digest, Fault, Outcome, Reason, Verifiers, Wanted,
    manifest::Annotations,
    signature::{LegacyLayer, Signature, read_attestation},
    verifier::{Method, Need, PublicKey, Verifier},
};

const IN_TOTO: &str = "application/vnd.in-toto+json";

fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn verifier(seed: u8) -> Verifier {
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    spki.extend_from_slice(key(seed).public_key().as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(spki));
    let key = PublicKey::from_pem(&pem).unwrap();
    Verifier { name: seed.to_string(), method: Method::Key { key, log: None }, legacy: true }
}

fn wanted() -> Wanted {
    let verifiers = Arc::new(Verifiers::new(vec![verifier(1), verifier(2)], Need::Any));
    Wanted { signatures: Some(Arc::clone(&verifiers)), base: Some(verifiers), sbom: None }
}

fn image(name: &str) -> Value {
    json!({ "uri": format!("pkg:docker/{name}@1"), "digest": { "sha256": Digest::sha256(name.as_bytes()).hex() } })
}

/// Provenance of the subject, signed with this key.
fn provenance(subject: &Digest, materials: &[Value], seed: u8) -> Signature {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "x", "digest": { "sha256": subject.hex() } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": { "buildDefinition": { "resolvedDependencies": materials } },
    })
    .to_string();
    let signed = format!("DSSEv1 {} {IN_TOTO} {} {statement}", IN_TOTO.len(), statement.len());
    let envelope = json!({
        "payloadType": IN_TOTO,
        "payload": STANDARD.encode(&statement),
        "signatures": [{ "keyid": "", "sig": STANDARD.encode(key(seed).sign(signed.as_bytes())) }],
    })
    .to_string();
    let digest = Digest::sha256(envelope.as_bytes());
    let annotations = Annotations::new();
    let layer = LegacyLayer { content: envelope.as_bytes(), digest: &digest, annotations: &annotations };
    read_attestation(layer).unwrap()
}

fn findings(wanted: &Wanted, name: &str, of: &[(&[Value], u8)]) -> Findings {
    let subject = Digest::sha256(name.as_bytes());
    let mut findings = Findings::new(subject.clone(), wanted);
    for (materials, seed) in of {
        findings.consider(&provenance(&subject, materials, *seed));
    }
    findings
}

#[test]
fn provenance_is_of_the_whole_or_of_each_platform_by_one_verifier() {
    let wanted = wanted();
    let base: &[Value] = &[image("base")];
    let other: &[Value] = &[image("other")];
    let git: &[Value] = &[json!({ "uri": "git+https://git.test/a" })];
    let of = |of: &[(&[Value], u8)]| findings(&wanted, "x", of);
    let told = |whole: &Findings, each: &[Findings], complete| {
        let base = whole.base(each, complete);
        assert_eq!((base.unknown, base.refused), (None, None));
        (base.provenance, base.materials.len())
    };
    let none = of(&[]);
    assert_eq!(told(&none, &[], true), (false, 0), "no platform at all");
    assert_eq!(told(&of(&[(base, 1)]), &[], true), (true, 1));
    assert_eq!(told(&none, &[of(&[(base, 1)]), of(&[(other, 1)])], true), (true, 2));
    assert_eq!(told(&none, &[of(&[(base, 1)]), of(&[(other, 1)])], false), (false, 0), "one not looked at");
    assert_eq!(told(&none, &[of(&[(base, 1)]), of(&[])], true), (false, 0), "one has none");
    assert_eq!(told(&none, &[of(&[]), of(&[(base, 1)])], true), (false, 0), "the first has none");
    assert_eq!(told(&none, &[of(&[(base, 1)]), of(&[(base, 2)])], true), (false, 0), "two verifiers");
    assert_eq!(told(&none, &[of(&[(base, 1)]), of(&[(base, 3)])], true), (false, 0), "a stranger");
    assert_eq!(told(&none, &[of(&[(base, 1)]), of(&[(git, 1)])], true), (true, 0), "one names no image");
    let both = of(&[(git, 1), (base, 2)]);
    assert_eq!(told(&none, &[of(&[(base, 1)]), both], true), (true, 0), "another's names one");
}

#[test]
fn too_many_inputs_are_none_and_a_refusal() {
    let wanted = wanted();
    let good: &[Value] = &[image("base")];
    let many: &[Value] = &vec![image("base"); MAX_MATERIALS];
    let full = findings(&wanted, "x", &[(many, 1)]).base(&[], true);
    assert_eq!((full.materials.len(), full.refused), (MAX_MATERIALS, None));
    let over: [&[(&[Value], u8)]; 3] =
        [&[(many, 1), (good, 1)], &[(many, 1), (good, 2)], &[(many, 1), (many, 1), (good, 1)]];
    for of in over {
        let whole = findings(&wanted, "x", of);
        let base = whole.base(&[], true);
        assert!(base.provenance && base.materials.is_empty() && base.unknown.is_none());
        assert!(
            base.refused.is_some_and(|fault| matches!(fault, Fault::TooMany { .. }) && !fault.is_outage())
        );
        // No outage: what else was asked has its answer.
        for fact in whole.signatures(&[], true) {
            assert!(
                matches!(&fact.outcome, Outcome::Refused(refusal) if refusal.reason == Reason::WrongPredicate),
                "{fact:?}"
            );
        }
        let each = [findings(&wanted, "y", &[(good, 1)]), whole];
        let base = findings(&wanted, "z", &[]).base(&each, true);
        assert!(base.materials.is_empty() && base.refused.is_some());
    }
}
