//! Every value that a valid configuration has and that cannot be used is told with its line and key, and with what may
//! stand there.

use std::collections::HashMap;

use zastava_common::config::Written;

use super::{Memory, key};
use crate::policy::{Policy, asked, backend, registries};

/// What is told of this text, when the files are there.
fn told(text: &str) -> String {
    let written = Written::new("f", text);
    let config = written.parse().unwrap();
    let pair = rcgen::generate_simple_self_signed(["webhook.test".to_owned()]).unwrap();
    let files = Memory(HashMap::from([
        ("/a.pub", key()),
        ("/text", "nothing of the kind".to_owned()),
        ("/broken.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
        ("/half.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned()),
        ("/own.crt", pair.cert.pem()),
        ("/own.key", pair.signing_key.serialize_pem()),
        ("/other.key", rcgen::KeyPair::generate().unwrap().serialize_pem()),
    ]));
    let admission = &config.admission;
    let error = Policy::compile(&config, &files)
        .map(|_| ())
        .and_then(|()| asked(admission, &registries(admission, &files)?).map(|_| ()))
        .and_then(|()| backend(&config, &files).map(|_| ()));
    written.invalid(error.expect_err("it cannot be used").fault()).to_string()
}

/// Each text stands below `zastava.admission`; then line, key, reason, and what is allowed instead.
#[track_caller]
fn each(rows: &[(&str, u32, &str, &str, &str)]) {
    for (text, line, key, why, allowed) in rows {
        let told = told(&format!("zastava:\n  admission:\n{text}"));
        let (first, second) = told.split_once('\n').unwrap_or((&told, ""));
        assert!(first.starts_with(&format!("f:{line}:")), "{told}");
        assert!(first.contains(&format!(": cannot use zastava.admission.{key}: ")), "{told}");
        assert!(first.contains(why) && second.contains(allowed), "{told}");
    }
}

const OFF: &str = "    verify: {imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}\n";

#[test]
fn what_is_asked_and_cannot_be_answered_is_told_where_it_is_asked() {
    let named = "    namespaces:\n      - names: [shop]\n";
    let base = format!("reg.test/base@sha256:{}", "a".repeat(64));
    each(&[
        (
            "    enforce: true",
            2,
            "verify.scannerPolicyPass",
            "no backend to ask",
            "zastava.backend, or false",
        ),
        (
            "    verify:\n      imageSignature: false\n      scannerPolicyPass: true",
            5,
            "verify.scannerPolicyPass",
            "no backend",
            "",
        ),
        (
            "    verify:\n      scannerPolicyPass: false",
            3,
            "verify.imageSignature",
            "nobody is named who may sign",
            "zastava.admission.verifiers, or false",
        ),
        (
            "    verify: {imageSignature: false, scannerPolicyPass: false}\n    sbom:\n      level: signed",
            5,
            "sbom.level",
            "nobody is named who may sign",
            "present, bound",
        ),
        (
            &format!("{OFF}{named}        verify:\n          imageSignature: true"),
            7,
            "namespaces[0].verify.imageSignature",
            "nobody",
            "",
        ),
        (
            &format!(
                "{OFF}{named}      - names: [prod]\n        verify: {{sbomReferrer: true}}\n        sbom: {{level: signed}}"
            ),
            8,
            "namespaces[1].sbom.level",
            "nobody",
            "",
        ),
        (
            &format!("{OFF}    baseImages:\n      allow: ['{base}']\n      proof: []"),
            6,
            "baseImages.proof",
            "no proof",
            "provenance, layers, or both",
        ),
        (
            &format!("{OFF}{named}        baseImages: {{allow: ['{base}'], proof: []}}"),
            6,
            "namespaces[0].baseImages.proof",
            "no proof",
            "",
        ),
    ]);
}

#[test]
fn a_signer_that_cannot_be_used_is_told_at_its_entry() {
    let keys = |key: &str| format!("{OFF}    verifiers:\n      keys:\n        - name: a\n          {key}");
    let keyless = |more: &str| {
        format!(
            "{OFF}    verifiers:\n      keyless:\n        - name: a\n          issuer: i\n          {more}"
        )
    };
    let bad = "publicKey: \"-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----\\n\"";
    each(&[
        (
            &keys("publicKey: /none.pub"),
            7,
            "verifiers.keys[0].publicKey",
            "cannot read /none.pub",
            "text file that this program may read",
        ),
        (&keys("publicKey: /text"), 7, "verifiers.keys[0].publicKey", "no PEM block", "BEGIN PUBLIC KEY"),
        (&keys(bad), 7, "verifiers.keys[0].publicKey", "", "BEGIN PUBLIC KEY"),
        (
            &keys("publicKey: /a.pub\n          requireLog: true\n          trustedRoot: /text"),
            9,
            "verifiers.keys[0].trustedRoot",
            "no trusted root (the JSON that `cosign trusted-root create` writes)",
            "",
        ),
        (
            &keyless("subjectPattern: '('"),
            8,
            "verifiers.keyless[0].subjectPattern",
            "no regular expression",
            "without look-around",
        ),
        (
            &keyless("subject: s\n          trustedRoot: /none.json"),
            9,
            "verifiers.keyless[0].trustedRoot",
            "cannot read /none.json",
            "",
        ),
    ]);
}

#[test]
fn a_registry_that_cannot_be_used_is_told_at_its_entry() {
    let registries = |more: &str| {
        format!("{OFF}    registries:\n      - host: good.test\n      - host: reg.test\n        {more}")
    };
    let with = |file: &str| registries(&format!("caFile: {file}"));
    each(&[
        (&with("/none.crt"), 7, "registries[1].caFile", "cannot read /none.crt", "text file"),
        (&with("/text"), 7, "registries[1].caFile", "has no certificate in it", "BEGIN CERTIFICATE"),
        (&with("/half.crt"), 7, "registries[1].caFile", "no PEM with certificates", "BEGIN CERTIFICATE"),
        (&with("/broken.crt"), 7, "registries[1].caFile", "that is no certificate", "BEGIN CERTIFICATE"),
        (
            &registries("usernameFile: /text\n        passwordFile: /none"),
            8,
            "registries[1].passwordFile",
            "cannot read /none",
            "",
        ),
        (
            &format!("{OFF}    registries:\n      - host: docker.io\n      - host: index.docker.io"),
            6,
            "registries[1].host",
            "the same registry",
            "docker.io and index.docker.io are one",
        ),
        (
            &registries("mirrors: [m.test, m.test/a.__b]"),
            7,
            "registries[1].mirrors[1]",
            "no host of a registry with a path",
            "mirror.example:5000/docker.io",
        ),
        // A mirror with an entry of its own is told there.
        (
            &format!(
                "{OFF}    registries:\n      - host: reg.test\n        mirrors: [m.test]\n      - {{host: m.test, caFile: /text}}"
            ),
            7,
            "registries[1].caFile",
            "has no certificate in it",
            "",
        ),
    ]);
}

#[test]
fn a_backend_that_cannot_be_used_is_told_with_the_file_that_is_wrong() {
    let rows = [
        ("caFile: /text", "backend.caFile", "has no certificate in it"),
        ("certificateFile: /none.crt\n    keyFile: /own.key", "backend.certificateFile", "cannot read"),
        ("keyFile: /text\n    certificateFile: /own.crt", "backend.keyFile", "has no private key in it"),
        ("keyFile: /other.key\n    certificateFile: /own.crt", "backend.keyFile", "do not fit"),
        ("requestTimeoutSeconds: 5", "backend.certificateFile", "bound to a certificate"),
    ];
    let authority = "  runtime:\n    authority:\n      issuer: https://issuer.test\n      clientId: c\n";
    for (more, key, why) in rows {
        let told = told(&format!(
            "zastava:\n{authority}  admission:\n{OFF}  backend:\n    {more}\n    baseAddress: https://backend.test"
        ));
        let line = if more.starts_with("request") { 8 } else { 9 };
        assert!(told.starts_with(&format!("f:{line}:")), "{told}");
        assert!(told.contains(&format!("cannot use zastava.{key}: ")) && told.contains(why), "{told}");
    }
    let secret = told(&format!(
        "zastava:\n{authority}      clientSecretFile: /none\n  admission:\n{OFF}  backend:\n    baseAddress: https://backend.test"
    ));
    assert!(secret.starts_with("f:6:"), "{secret}");
    assert!(secret.contains("zastava.runtime.authority.clientSecretFile: cannot read /none"), "{secret}");
}
