mod unusable;

use std::{collections::HashMap, path::Path};

use proptest::prelude::*;
use zastava_common::{
    config::{self, Controllers, SbomLevel},
    evidence::{self, ImageReference},
};

use super::{FileError, Files, Glob, Need, Policy, Repositories, Unusable};
use crate::criteria;

/// Files in memory.
pub(crate) struct Memory(pub(crate) HashMap<&'static str, String>);

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<String, FileError> {
        let missing = || FileError::Read {
            path: path.display().to_string(),
            source: std::io::Error::from(std::io::ErrorKind::NotFound),
        };
        self.0.get(path.to_str().unwrap()).cloned().ok_or_else(missing)
    }
}

pub(crate) fn key() -> String {
    rcgen::KeyPair::generate().unwrap().public_key_pem()
}

/// The policy of a configuration's `admission` section, with two keys under `/a.pub` and `/b.pub`.
pub(crate) fn policy(admission: &str) -> Result<Policy, Unusable> {
    let config = config::parse("f", &format!("zastava: {{admission: {admission}}}")).unwrap();
    Policy::compile(&config, &Memory(HashMap::from([("/a.pub", key()), ("/b.pub", key())])))
}

const NOTHING: &str = "imageSignature: false, sbomReferrer: false, scannerPolicyPass: false";
const KEYS: &str = "keys: [{name: a, publicKey: /a.pub}, {name: b, publicKey: /b.pub}]";

#[test]
fn a_namespace_adds_its_rules_to_the_general_ones() {
    let policy = policy(&format!(
        "{{enforce: false, verify: {{sbomReferrer: false, scannerPolicyPass: false}}, verifiers: {{{KEYS}}},
          failOpenNamespaces: [dev], signature: {{verifiers: [a]}}, registryAllowlist: [reg.test],
          namespaces: [
            {{names: [prod], enforce: true, controllers: enforce, signature: {{verifiers: [b]}}}},
            {{names: [prod, dev], verify: {{sbomReferrer: true}}, registryAllowlist: [reg.test/acme],
              tags: {{requireDigest: true}}}}]}}"
    ))
    .unwrap();

    let general = policy.rules("shop");
    assert!(!general.enforce && !general.fail_open && general.sbom.is_none());
    assert_eq!((general.signatures.len(), general.registries.len()), (1, 1));
    assert_eq!(general.wanted.signatures.as_ref().unwrap().need(), evidence::verifier::Need::Any);

    let prod = policy.rules("prod");
    assert!(prod.enforce && !prod.fail_open);
    assert_eq!(prod.controllers, Controllers::Enforce);
    assert_eq!(prod.sbom, Some(SbomLevel::Present));
    assert_eq!(prod.registries.len(), 2);
    assert_eq!(prod.signatures.len(), 2);
    assert_eq!((prod.signatures[1].need, &prod.signatures[1].members), (Need::Any, &vec![1]));
    // Both requirements must hold, so that looking may not end with the first signature.
    assert_eq!(prod.wanted.signatures.as_ref().unwrap().need(), evidence::verifier::Need::All);

    let dev = policy.rules("dev");
    assert!(dev.fail_open && !dev.enforce);
    assert!(dev.tags.iter().any(|tags| tags.require_digest));
}

#[test]
fn the_hash_follows_the_configuration_and_the_keys() {
    let with = |text: &str, key: &str| {
        let config = config::parse("f", &format!("zastava: {{admission: {text}}}")).unwrap();
        Policy::compile(&config, &Memory(HashMap::from([("/a.pub", key.to_owned())]))).unwrap().hash()
    };
    let (first, second) = (key(), key());
    let text = format!("{{verify: {{{NOTHING}}}, verifiers: {{keys: [{{name: a, publicKey: /a.pub}}]}}}}");
    assert_eq!(with(&text, &first), with(&text, &first));
    assert_ne!(with(&text, &first), with(&text, &second));
    assert_ne!(with(&text, &first), with(&text.replace("{verify", "{enforce: false, verify"), &first));
}

#[test]
fn every_recipe_of_the_cookbook_can_be_used() {
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/webhook/policies.md");
    let book = std::fs::read_to_string(book)
        .unwrap()
        .replace("sha256:...", &evidence::Digest::sha256(b"").to_string());
    let recipes: Vec<&str> =
        book.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert!(recipes.len() > 8);
    // What one recipe names another one has.
    let known = "    verifiers:\n      keys: [{name: release, publicKey: /release.pub}]\n      keyless: [{name: ci, issuer: 'https://issuer.example', subject: ci}]\n";
    for recipe in recipes {
        let whole = if recipe.starts_with("zastava:") {
            recipe.to_owned()
        } else {
            let known = if recipe.starts_with("    verifiers:") { "" } else { known };
            format!("zastava:\n  admission:\n{known}{recipe}")
        };
        config::parse("policies.md", &whole).unwrap_or_else(|error| panic!("{error}: {recipe}"));
    }
}

fn permits(pattern: &str, image: &str) -> bool {
    let list = Repositories::new(&[pattern.parse().unwrap()]).unwrap();
    list.permits(&image.parse::<ImageReference>().unwrap())
}

#[test]
fn places_are_compared_by_host_and_whole_segments() {
    let digest = "a".repeat(128);
    for (pattern, image) in [
        ("reg.test", "reg.test/a/b:1"),
        ("reg.test/acme", "reg.test/acme/api"),
        ("reg.test/acme", "reg.test/acme:1"),
        ("reg.test/acme", &format!("reg.test/acme@sha512:{digest}")),
        ("reg.test/*/api", "reg.test/x/api/v2"),
        ("*.reg.test/acme", "eu.reg.test/acme/api"),
        ("reg.test:5000/acme", "reg.test:5000/acme"),
        ("reg.test", "REG.test/a"),
        ("localhost/a", "localhost/a"),
        ("[::1]:5000", "[::1]:5000/a"),
    ] {
        assert!(permits(pattern, image), "{pattern} {image}");
    }
    for (pattern, image) in [
        ("reg.test/acme", "reg.test/acme-evil"),
        ("reg.test/acme", "reg.test/acmeevil/api"),
        ("reg.test/acme", "reg.test/evil/acme"),
        ("reg.test/acme", "reg.test.evil.example/acme"),
        ("reg.test/acme", "evil.example/reg.test/acme"),
        ("reg.test/acme/api", "reg.test/acme"),
        ("reg.test", "reg.test:5000/a"),
        ("reg.test:5000", "reg.test/a"),
        ("reg.test", "eu.reg.test/a"),
        ("*.reg.test", "reg.test/a"),
        ("*.reg.test", "a.b.reg.test/a"),
        ("*.reg.test", "evilreg.test/a"),
        ("*.0.0.1", "127.0.0.1/a"),
        ("reg.test/*/api", "reg.test/api"),
        ("reg.test/library/web", "web"),
    ] {
        assert!(!permits(pattern, image), "{pattern} {image}");
    }
}

#[test]
fn a_star_stands_for_any_characters() {
    let matches = |pattern: &str, text: &str| Glob::new(&pattern.parse().unwrap()).matches(text);
    for (pattern, text) in [
        ("latest", "latest"),
        ("*", "x"),
        ("*-rc*", "1.2-rc.3"),
        ("v*.0", "v1.0"),
        ("a*b*b", "ab.b"),
        ("a**", "a"),
    ] {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [
        ("latest", "latest2"),
        ("latest", "Latest"),
        ("*-rc", "1-rc.3"),
        ("v*.0", "v0"),
        ("aa*aa", "aaa"),
        ("a*b", "abc"),
    ] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
}

proptest! {
    #[test]
    fn a_glob_agrees_with_a_plain_search(pattern in "[ab*]{1,8}", text in "[ab]{1,10}") {
        fn plain(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern.split_first(), text.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), _) if plain(rest, text) => true,
                (Some((b'*', _)), Some((_, behind))) => plain(pattern, behind),
                (Some((a, rest)), Some((b, behind))) => a == b && plain(rest, behind),
                _ => false,
            }
        }
        let glob = Glob::new(&pattern.parse().unwrap());
        prop_assert_eq!(glob.matches(&text), plain(pattern.as_bytes(), text.as_bytes()));
    }

    /// A namespace's rules let nothing through that the general ones do not.
    #[test]
    fn a_namespace_never_asks_for_less(
        general in r"(|reg\.test|reg\.test/a|other\.test)", own in r"(|reg\.test|reg\.test/a|reg\.test/b)",
        deny in r"(|latest|v\*)", own_deny in "(|1|latest)", digest: bool, own_digest: bool, untagged: bool,
        image in r"(reg\.test|other\.test)/(a|b)(:1|:latest|:v2|)",
    ) {
        let list = |text: &str| if text.is_empty() { "[]".to_owned() } else { format!("['{text}']") };
        let policy = policy(&format!(
            "{{verify: {{{NOTHING}}}, registryAllowlist: {}, tags: {{deny: {}, requireDigest: {digest}}}, namespaces: [{{names: [n],
              registryAllowlist: {}, tags: {{deny: {}, requireDigest: {own_digest}, denyUntagged: {untagged}}}}}]}}",
            list(&general), list(&deny), list(&own), list(&own_deny),
        )).unwrap();
        let image: ImageReference = image.parse().unwrap();
        let passes = |namespace: &str| criteria::at_once(&image, policy.rules(namespace)).is_empty();
        prop_assert!(!passes("n") || passes("elsewhere"));
    }
}
