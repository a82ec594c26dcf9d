//! Any bytes are a signature or none, and no signature satisfies a key whose secret half nobody has.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use zastava_common::evidence::{
    Digest,
    signature::{LegacyLayer, check, read_attestation, read_bundle, read_simple},
    verifier::{Method, PublicKey, Verifier},
};

/// RFC 8410, section 10.1.
const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| Verifier {
    name: "nobody".to_owned(),
    method: Method::Key { key: PublicKey::from_pem(KEY).expect("a key"), log: None },
    legacy: true,
});

fuzz_target!(|input: (&[u8], Vec<(u8, String)>)| {
    let (content, written) = input;
    let names = [
        "dev.cosignproject.cosign/signature",
        "dev.sigstore.cosign/certificate",
        "dev.sigstore.cosign/chain",
        "dev.sigstore.cosign/bundle",
        "dev.sigstore.cosign/rfc3161timestamp",
    ];
    let named =
        written.into_iter().map(|(name, value)| (names[usize::from(name) % names.len()].to_owned(), value));
    let annotations = named.collect();
    let digest = Digest::sha256(content);
    let layer = LegacyLayer { content, digest: &digest, annotations: &annotations };
    let read = [read_bundle(content, &digest), read_simple(layer), read_attestation(layer)];
    for signature in read.into_iter().flatten() {
        assert!(check(&VERIFIER, &signature, &digest).is_err());
    }
});
