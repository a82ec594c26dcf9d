use super::{BadKey, Matcher, Method, Need, PublicKey, TrustRoot, Verifier, Verifiers};

/// RFC 8410, section 10.1.
const ED25519: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

fn verifier(name: &str, legacy: bool) -> Verifier {
    let method = Method::Key { key: PublicKey::from_pem(ED25519).unwrap(), log: None };
    Verifier { name: name.into(), method, legacy }
}

#[test]
fn a_pattern_matches_whole_texts_alone() {
    let pattern = Matcher::pattern("https://ci.example/(a|b)").unwrap();
    assert!(pattern.matches("https://ci.example/a") && pattern.matches("https://ci.example/b"));
    for wrong in
        ["https://ci.example/ab", "https://ci.example/a\n", "x https://ci.example/a", "https://ci.example/"]
    {
        assert!(!pattern.matches(wrong), "{wrong:?}");
    }
    let alternatives = Matcher::pattern("a|b").unwrap();
    assert!(!alternatives.matches("ax") && !alternatives.matches("xb"), "anchored around the whole");
}

#[test]
fn a_pattern_cannot_close_the_group_it_is_put_in() {
    assert!(Matcher::pattern("a)|(?:b").is_err());
    assert!(Matcher::pattern("(").is_err());
}

#[test]
fn an_exact_text_is_no_pattern() {
    assert!(!Matcher::Exact("a.c".into()).matches("abc"));
}

#[test]
fn a_key_that_is_none_is_refused_when_it_is_read() {
    assert!(matches!(PublicKey::from_pem("hello"), Err(BadKey::Pem(_))));
    let cut = ED25519.replace("AwAyEA", "");
    let cut = cut.replace("GYb", "");
    assert!(PublicKey::from_pem(&cut.replace("MCowBQYDK2Vw", "MCowBQYDK2Vx")).is_err());
}

#[test]
fn verifiers_that_differ_have_fingerprints_that_differ() {
    let of = |list: Vec<Verifier>, need| Verifiers::new(list, need).fingerprint();
    let fingerprints = [
        of(vec![], Need::Any),
        of(vec![], Need::All),
        of(vec![verifier("a", false)], Need::Any),
        of(vec![verifier("a", true)], Need::Any),
        of(vec![verifier("b", false)], Need::Any),
        of(vec![verifier("a", false), verifier("a", false)], Need::Any),
    ];
    for (at, one) in fingerprints.iter().enumerate() {
        assert!(fingerprints[at + 1..].iter().all(|other| other != one), "{at}");
    }
    assert_eq!(of(vec![verifier("a", false)], Need::Any), of(vec![verifier("a", false)], Need::Any));
}

#[test]
fn the_public_root_that_is_built_in_can_be_used() {
    TrustRoot::sigstore().unwrap();
    assert!(TrustRoot::from_json("{}").is_err());
}
