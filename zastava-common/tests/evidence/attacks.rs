//! What verifiers of others once took for a signature.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, DnValue, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData, SignatureAlgorithm, SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};
use sigstore_verify::{crypto::x509::parse_certificate_info, types::DerCertificate};
use zastava_common::evidence::{
    Digest, Reason,
    manifest::{Annotations, Descriptor},
    signature::{Checked, LegacyLayer, check, read_attestation, read_bundle},
    verifier::{Method, PublicKey, TrustRoot, Verifier},
};

use crate::made::{builder, key, logged_key, made, read, text};

fn find(verifier: &Verifier, layer: &Descriptor, content: &[u8]) -> Result<Checked, Reason> {
    let signature = read(layer, content).unwrap();
    check(verifier, &signature, made().digest("app")).map_err(|refusal| refusal.reason)
}

/// The key of the authority that made the certificates of `root.json`.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P384_SHA384
    }
}

fn authority(common_name: &str, last_year: i32) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let name = |text: &str| DnValue::PrintableString(text.try_into().unwrap());
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name(common_name));
    params.distinguished_name.push(DnType::OrganizationName, name("sigstore.mock"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(last_year, 12, 31);
    params
}

/// The builder, by a root in which the authority is an intermediate one. Each is valid until then; the root itself says
/// nothing about their end.
fn builder_below(intermediate_until: i32, root_until: i32) -> Verifier {
    let mut root: Value = serde_json::from_str(&text("roots/root.json")).unwrap();
    let chain = &mut root["certificateAuthorities"][0]["certChain"]["certificates"];
    let der = STANDARD.decode(chain[0]["rawBytes"].as_str().unwrap()).unwrap();
    let spki = parse_certificate_info(&DerCertificate::new(der)).unwrap().public_key;
    // An uncompressed point of P-384 is the end of it.
    let point = Point(spki.as_bytes()[spki.as_bytes().len() - 97..].to_vec());

    let above =
        CertifiedIssuer::self_signed(authority("above", root_until), KeyPair::generate().unwrap()).unwrap();
    let below = authority("sigstore", intermediate_until).signed_by(&point, &above).unwrap();
    let certificates = [below.der(), above.der()].map(|der| json!({ "rawBytes": STANDARD.encode(der) }));
    *chain = json!(certificates);
    assert!(root["certificateAuthorities"][0]["validFor"]["end"].is_null());

    let trusted = Arc::new(TrustRoot::from_json(&root.to_string()).unwrap());
    let mut verifier = builder("root");
    let Method::Keyless { root, .. } = &mut verifier.method else { panic!("a key") };
    *root = trusted;
    verifier
}

#[test]
fn an_authority_that_had_expired_when_it_was_signed_vouches_for_nothing() {
    // GHSA-wfqv-66vq-46rm: each certificate of the chain has a time of its own.
    for evidence in ["keyless", "keyless.sig"] {
        let (layer, content) = made().layers(evidence).remove(0);
        let found = |verifier: &Verifier| find(verifier, &layer, &content).map(drop);
        assert_eq!(found(&builder_below(2100, 2100)), Ok(()), "{evidence}");
        assert_eq!(found(&builder_below(2020, 2100)), Err(Reason::SignatureInvalid), "{evidence}");
        assert_eq!(found(&builder_below(2100, 2020)), Err(Reason::SignatureInvalid), "{evidence}");
    }
}

#[test]
fn an_entry_of_the_log_for_something_else_is_none_of_this_signature() {
    // CVE-2022-36056, CVE-2026-22703: the log's own signature holds, and is about another.
    const ENTRY: &str = "dev.sigstore.cosign/bundle";
    let made = made();
    let entry_of = |evidence: &str| made.layers(evidence).remove(0).0.annotations[ENTRY].clone();
    let (mut layer, content) = made.layers("keyless.sig").remove(0);
    assert!(find(&builder("root"), &layer, &content).is_ok());
    layer.annotations.insert(ENTRY.to_owned(), entry_of("keyless-wrong-digest.sig"));
    assert_eq!(find(&builder("root"), &layer, &content), Err(Reason::SignatureInvalid));

    let (mut layer, content) = made.layers("p256.sig").remove(0);
    assert!(find(&key("p256"), &layer, &content).is_ok());
    for other in ["keyless.sig", "keyless-wrong-digest.sig"] {
        layer.annotations.insert(ENTRY.to_owned(), entry_of(other));
        assert_eq!(
            find(&logged_key("p256", "root"), &layer, &content),
            Err(Reason::SignatureInvalid),
            "{other}"
        );
    }
}

/// `payload` signed as it is, as a bundle and in cosign's older form.
fn signed(
    key: &KeyPair,
    payload: &[u8],
) -> [Result<zastava_common::evidence::signature::Signature, String>; 2] {
    let kind = "application/vnd.in-toto+json";
    let pae = [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), payload].concat();
    let made = STANDARD.encode(key.sign(&pae).unwrap());
    let envelope = json!({
        "payload": STANDARD.encode(payload), "payloadType": kind, "signatures": [{ "sig": made }],
    });
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": { "publicKey": { "hint": "x" } },
        "dsseEnvelope": envelope,
    });
    let digest = Digest::sha256(payload);
    let content = envelope.to_string();
    let annotations = Annotations::new();
    let layer = LegacyLayer { content: content.as_bytes(), digest: &digest, annotations: &annotations };
    [
        read_bundle(bundle.to_string().as_bytes(), &digest).map_err(|error| error.to_string()),
        read_attestation(layer).map_err(|error| error.to_string()),
    ]
}

#[test]
fn a_signed_payload_that_is_no_statement_signs_nothing() {
    // CVE-2022-35929, CVE-2022-35930, CVE-2026-39395.
    let key = KeyPair::generate().unwrap();
    let verifier = Verifier {
        name: "own".to_owned(),
        method: Method::Key { key: PublicKey::from_pem(&key.public_key_pem()).unwrap(), log: None },
        legacy: true,
    };
    let made = made();
    let app = made.digest("app");
    let good = json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": [{ "digest": { "sha256": app.hex() } }],
        "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {},
    });
    for signature in signed(&key, good.to_string().as_bytes()) {
        let signature = signature.unwrap();
        assert!(signature.claim().signs() && check(&verifier, &signature, app).is_ok());
    }
    let without = |key: &str| {
        let mut statement = good.clone();
        statement.as_object_mut().unwrap().remove(key);
        statement.to_string().into_bytes()
    };
    let with = |key: &str, value: Value| {
        let mut statement = good.clone();
        statement[key] = value;
        statement.to_string().into_bytes()
    };
    let whole = good.to_string();
    let broken = [
        Vec::new(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        whole.as_bytes()[..whole.len() - 1].to_vec(),
        [whole.as_bytes(), b"{}"].concat(),
        [whole.as_bytes(), b"\xff"].concat(),
        without("_type"),
        without("subject"),
        without("predicateType"),
        with("_type", json!("https://in-toto.io/Statement/v2")),
        with("subject", json!(null)),
        with("subject", json!({ "digest": { "sha256": app.hex() } })),
        with("subject", json!([{ "name": "app" }])),
        with("subject", json!([{ "digest": app.hex() }])),
        with("predicateType", json!(["https://sigstore.dev/cosign/sign/v1"])),
        whole.replacen("\"subject\":", "\"subject\":[],\"subject\":", 1).into_bytes(),
        format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes(),
    ];
    for payload in broken {
        for signature in signed(&key, &payload) {
            assert!(signature.is_err(), "{:?}", String::from_utf8_lossy(&payload));
        }
    }
    // It can be read, and is about nothing.
    let about_none = [
        with("subject", json!([])),
        with("subject", json!([{ "digest": {} }])),
        with("subject", json!([{ "digest": { "sha256": "" } }])),
        with("subject", json!([{ "digest": { "sha1": app.hex() } }])),
        with("subject", json!([{ "digest": { "sha256": app.hex().to_uppercase() } }])),
    ];
    for payload in about_none {
        for signature in signed(&key, &payload) {
            assert!(
                check(&verifier, &signature.unwrap(), app).is_err(),
                "{:?}",
                String::from_utf8_lossy(&payload)
            );
        }
    }
}
