use std::time::Duration;

use super::*;

fn digest(of: &str) -> Digest {
    Digest::sha256(of.as_bytes())
}

fn signed(by: &str, what: &[&str]) -> SignerFact {
    let signed = what.iter().map(|what| digest(what)).collect();
    let verified = Verified { signed, form: Form::Bundle, identity: None, logged: false };
    SignerFact { verifier: by.to_owned(), outcome: Outcome::Verified(verified) }
}

fn not(outcome: Outcome) -> SignerFact {
    SignerFact { verifier: "other".to_owned(), outcome }
}

/// Of an index with two platforms, and an SBOM of each thing named.
fn level(signatures: Vec<SignerFact>, found: &[(&str, SbomLevel)]) -> Option<SbomLevel> {
    let found = found.iter().map(|(of, level)| SbomFound {
        of: digest(of),
        level: *level,
        format: Format::Spdx,
        digest: digest("sbom"),
        signed_by: Vec::new(),
    });
    let sbom = Sbom { found: found.collect(), unknown: None, refused: None };
    let platform = |name: &str| Platform { digest: digest(name), name: None };
    let evidence = Evidence {
        digest: digest("index"),
        platforms: vec![platform("amd"), platform("arm")],
        signatures,
        sbom: Some(sbom),
        base: None,
    };
    evidence.sbom_level()
}

#[test]
fn the_sboms_of_all_platforms_count_as_much_as_the_least_of_them() {
    use SbomLevel::{Bound, Present, Signed};
    let of = |found: &[(&str, SbomLevel)]| level(Vec::new(), found);
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[("amd", Signed)]), None, "the other has none");
    assert_eq!(of(&[("amd", Signed), ("arm", Present)]), Some(Present));
    assert_eq!(of(&[("amd", Signed), ("arm", Bound)]), Some(Bound));
    assert_eq!(of(&[("amd", Signed), ("arm", Present), ("arm", Signed)]), Some(Signed));
    assert_eq!(of(&[("index", Present), ("amd", Signed)]), Some(Present), "of the whole there is one");
    assert_eq!(of(&[("index", Present), ("amd", Signed), ("arm", Signed)]), Some(Signed));
    assert_eq!(of(&[("stranger", Signed)]), None);
}

#[test]
fn what_an_index_names_is_bound_by_whoever_signed_the_index() {
    use SbomLevel::{Bound, Present, Signed};
    let bound = [("amd", Bound), ("arm", Bound)];
    let by_index = || signed("a", &["index"]);
    let below = || signed("b", &["amd", "arm"]);
    let refused = || not(Outcome::Refused(refusal(Reason::Unsigned, "none")));
    let unknown = || {
        not(Outcome::Unknown(Fault::Timeout { host: "reg.test".to_owned(), after: Duration::from_secs(1) }))
    };
    assert_eq!(level(vec![], &bound), Some(Bound), "nobody was asked about");
    assert_eq!(level(vec![by_index()], &bound), Some(Bound));
    assert_eq!(level(vec![below(), by_index()], &bound), Some(Bound));
    assert_eq!(level(vec![unknown(), by_index()], &bound), Some(Bound));
    for signatures in [vec![below()], vec![refused(), below()], vec![unknown()], vec![unknown(), refused()]] {
        assert_eq!(level(signatures.clone(), &bound), Some(Present), "{signatures:?}");
        assert_eq!(level(signatures, &[("amd", Signed), ("arm", Signed)]), Some(Signed));
    }
}
