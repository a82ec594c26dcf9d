use super::{Algorithm, Digest, NoDigest};

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn a_digest_is_of_the_content_that_hashes_to_it_and_of_no_other() {
    let digest = Digest::sha256(b"");
    assert_eq!(digest.to_string(), EMPTY);
    assert_eq!(EMPTY.parse(), Ok(digest.clone()));
    assert!(digest.is_of(b"") && !digest.is_of(b"\n"));
    let long = Digest::of(Algorithm::Sha512, b"");
    assert!(long.to_string().starts_with("sha512:cf83e1357eefb8bd"));
    assert!(long.is_of(b"") && long != digest);
}

#[test]
fn what_cannot_be_checked_is_no_digest() {
    let upper = EMPTY.to_uppercase();
    let wrong = [
        "",
        "sha256:",
        "sha256:e3b0c442",
        &EMPTY[7..],
        &upper,
        &EMPTY.replace("sha256", "sha384"),
        &EMPTY.replace("sha256", "SHA256"),
        &EMPTY.replace("e3", "g3"),
        &format!("{EMPTY} "),
        &format!("{EMPTY}00"),
    ];
    for wrong in wrong {
        assert_eq!(wrong.parse::<Digest>(), Err(NoDigest), "{wrong:?}");
    }
}

#[test]
fn a_fallback_tag_is_never_longer_than_a_tag_may_be() {
    let long = Digest::of(Algorithm::Sha512, b"");
    assert_eq!(long.fallback_tag(), format!("sha512-{}", &long.hex()[..64]));
    assert_eq!(Digest::sha256(b"").fallback_tag(), EMPTY.replace(':', "-"));
}
