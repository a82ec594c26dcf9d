use insta::assert_snapshot;
use proptest::prelude::*;

use super::{accepted, error};
use crate::config::{
    Controllers, ImageAtDigest, Label, MirrorPlace, Need, PublicKeySource, RegistryHost, RepositoryPattern,
    SbomLevel, SubjectText, TagPattern, parse,
};

const EVERYTHING: &str = r#"
zastava:
  admission:
    controllers: enforce
    verifiers:
      keys:
        - name: release
          publicKey: /etc/zastava/keys/release.pub
      keyless:
        - name: ci
          issuer: https://issuer.example
          subjectPattern: https://git\.example/acme/.*
          trustedRoot: /etc/zastava/root.json
    signature: {verifiers: [release, ci], need: all, legacy: false}
    sbom: {level: signed}
    registryAllowlist: [registry.example/acme, "*.example.org", "[::1]:5000/a/*"]
    tags: {deny: [latest, "*-snapshot"], denyUntagged: true, requireDigest: true}
    namespaces:
      - names: [prod]
        enforce: true
        controllers: enforce
        signature: {verifiers: [release]}
    registries:
      - {host: "registry.example:5000", usernameFile: /a, passwordFile: /b}
"#;

#[test]
fn what_the_webhook_can_be_told_is_read() {
    let admission = accepted(EVERYTHING).admission;

    assert_eq!(admission.controllers, Controllers::Enforce);
    assert_eq!(admission.verifiers.names().map(Label::as_str).collect::<Vec<_>>(), ["release", "ci"]);
    assert!(!admission.verifiers.keys[0].require_log && admission.verifiers.keyless[0].require_log);
    assert_eq!(admission.signature.need, Need::All);
    assert_eq!(admission.sbom.level, SbomLevel::Signed);
    assert_eq!(admission.registry_allowlist[0].as_str(), "registry.example/acme");
    assert_eq!(admission.namespaces[0].controllers, Some(Controllers::Enforce));
    assert_eq!(admission.namespaces[0].sbom.level, SbomLevel::Present);
    assert_eq!(admission.registries[0].host.as_str(), "registry.example:5000");
}

#[test]
fn a_verifier_that_nobody_is_called_is_shown_in_its_line() {
    assert_snapshot!(error(&EVERYTHING.replace("{verifiers: [release]}", "{verifiers: [ci, relaese]}")), @r"
    zastava.yaml:22:37: not allowed for zastava.admission.namespaces[0].signature.verifiers[1]: relaese
      did you mean `release`?
      allowed: release, ci
    ");
    assert_snapshot!(error("zastava:\n  admission:\n    signature: {verifiers: [x]}"), @r"
    zastava.yaml:3:29: not allowed for zastava.admission.signature.verifiers[0]: x
      allowed: names under zastava.admission.verifiers
    ");
}

#[test]
fn names_are_given_once() {
    assert_snapshot!(error(&EVERYTHING.replace("name: ci", "name: release")), @r"
    zastava.yaml:10:11: not allowed for zastava.admission.verifiers.keyless[0].name: release
      allowed: a name that no verifier before it has
    ");
    let twice = "zastava: {admission: {registries: [{host: a.example}, {host: a.example}]}}";
    assert_snapshot!(error(twice), @r"
    zastava.yaml:1:56: not allowed for zastava.admission.registries[1].host: a.example
      allowed: each host once
    ");
}

#[test]
fn keys_that_belong_together_stand_together() {
    let neither = EVERYTHING.replace("          subjectPattern: https://git\\.example/acme/.*\n", "");
    assert_snapshot!(error(&neither), @r"
    zastava.yaml:10:11: not allowed for zastava.admission.verifiers.keyless[0]: no subject
      allowed: either subject or subjectPattern
    ");
    assert_snapshot!(error(&EVERYTHING.replace("usernameFile: /a, ", "")), @r"
    zastava.yaml:24:9: not allowed for zastava.admission.registries[0]: one of two
      allowed: usernameFile and passwordFile together
    ");
    assert_snapshot!(error("zastava:\n  admission:\n    namespaces:\n      - names: []"), @r"
    zastava.yaml:4:9: not allowed for zastava.admission.namespaces[0].names: an empty list
      allowed: at least one namespace
    ");
}

#[test]
fn a_namespace_cannot_be_told_to_ask_for_less() {
    assert_snapshot!(error("zastava: {admission: {namespaces: [{names: [a], failOpen: true}]}}"), @r"
    zastava.yaml:1:49: unknown key zastava.admission.namespaces[0].failOpen
      allowed: baseImages, controllers, enforce, names, registryAllowlist, sbom, signature, tags, verify
    ");
}

#[test]
fn names_of_images_have_the_form_that_they_say() {
    for good in [
        "registry.example",
        "registry.example:5000/acme/*/api",
        "*.example.org/a",
        "localhost",
        "localhost/a",
        "10.0.0.1:5000",
        "[::1]:5000/a",
    ] {
        assert!(good.parse::<RepositoryPattern>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "nginx",
        "library/nginx",
        "registry.example/",
        "registry.example//a",
        "registry.example/a*",
        "https://registry.example",
        "*.",
        "*",
        "Registry.example",
        "registry.example/A",
        "registry.example:x/a",
        "registry.example:0",
        "registry.example/a:tag",
        "a..b",
        "-a.b",
    ] {
        assert!(bad.parse::<RepositoryPattern>().is_err(), "{bad}");
    }
    assert!("registry.example:5000".parse::<RegistryHost>().is_ok());
    for bad in ["", "a/b", "https://a", "a:b", "a:70000", "[::1", "a_b"] {
        assert!(bad.parse::<RegistryHost>().is_err(), "{bad}");
    }
    for (good, parts) in [
        ("m.example", ("m.example", None)),
        ("m.example:5000/docker.io", ("m.example:5000", Some("docker.io"))),
        ("[::1]:5000/a/b_c", ("[::1]:5000", Some("a/b_c"))),
    ] {
        assert_eq!(good.parse::<MirrorPlace>().unwrap().parts(), parts);
    }
    for bad in
        ["", "/a", "m.example/", "m.example//a", "m.example/A", "m.example/.a", "m.example/a:1", "https://m"]
    {
        assert!(bad.parse::<MirrorPlace>().is_err(), "{bad}");
    }
    let digest = "a".repeat(64);
    assert!(format!("registry.example/base@sha256:{digest}").parse::<ImageAtDigest>().is_ok());
    for bad in [
        "registry.example/base".to_owned(),
        format!("base@sha256:{digest}"),
        format!("registry.example/base:1@sha256:{digest}"),
        format!("registry.example/base@sha256:{}", "A".repeat(64)),
        format!("registry.example@sha256:{digest}"),
    ] {
        assert!(bad.parse::<ImageAtDigest>().is_err(), "{bad}");
    }
    assert!("*-rc.?".parse::<TagPattern>().is_err() && "v*-rc".parse::<TagPattern>().is_ok());
    assert!("a\nb".parse::<SubjectText>().is_err() && "a@b.example".parse::<SubjectText>().is_ok());
    assert!("key.pub".parse::<PublicKeySource>().is_err());
    assert!("-----BEGIN PUBLIC KEY-----\nMFkw".parse::<PublicKeySource>().is_ok());
    assert!("-----BEGIN PRIVATE KEY-----\nMFkw".parse::<PublicKeySource>().is_err());
}

proptest! {
    #[test]
    fn a_fault_that_no_single_value_has_is_always_given_a_line(blank in 0..20usize, name in "[a-z]{1,8}") {
        let text = format!("zastava:\n{}  admission:\n    signature:\n      verifiers: [{name}]\n", "\n".repeat(blank));
        let message = parse("f", &text).unwrap_err().to_string();
        prop_assert!(message.starts_with(&format!("f:{}:", blank + 4)), "{}", message);
    }
}
