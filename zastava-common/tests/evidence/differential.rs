//! References are read as the library reads them that runtimes use: it is inside of skopeo.

use std::process::Command;

use proptest::prelude::*;
use zastava_common::evidence::ImageReference;

/// Nobody listens there, so that whatever is a reference ends at once.
const NOWHERE: &str = "127.0.0.1:1/";

/// Whether skopeo takes it for a reference, whatever comes of it then.
fn skopeo_reads(reference: &str) -> bool {
    let reference = format!("docker://{reference}");
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["inspect", "--tls-verify=false", "--retry-times", "0", &reference]);
    let output = skopeo.output().expect("skopeo is needed: cargo xtask setup");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    let refused = ["invalid reference format", "cannot specify 64-byte", "must not be more than 255"];
    !refused.iter().any(|refused| error.contains(refused))
}

fn we_read(reference: &str) -> bool {
    reference.parse::<ImageReference>().is_ok()
}

#[test]
fn odd_references_are_read_as_skopeo_reads_them() {
    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let tails = [
        "a",
        "A",
        "a/b",
        "a//b",
        "a/",
        "a.b",
        "a..b",
        "a_b",
        "a__b",
        "a___b",
        "a-b",
        "a---b",
        "a._b",
        "a_",
        "-a",
        ".a",
        "a:b",
        "a:",
        "a:.b",
        "a:-b",
        "a:_b",
        "a:B.c-d_e",
        "a:b:c",
        "a:b/c",
        "a@",
        "a@b",
        "a@sha256:00",
        "a b",
        "a\tb",
        "",
        "\u{e9}",
        "a:\u{e9}",
        "library/a:latest",
        "a/b/c/d/e/f",
        "1",
        "1.2/3",
        "a%2fb",
        "a?b",
        "a#b",
        "a@b@c",
    ];
    let long = "t".repeat(128);
    let digests =
        [format!("a@sha256:{HEX}"), format!("a:b@sha256:{HEX}"), format!("a@SHA256:{HEX}"), HEX.to_owned()];
    let longs =
        [format!("a:{long}"), format!("a:{long}t"), "a/".repeat(100) + "a", "a".repeat(242), "a".repeat(243)];
    let all = tails.map(str::to_owned).into_iter().chain(digests).chain(longs);
    for reference in all.map(|tail| format!("{NOWHERE}{tail}")) {
        assert_eq!(we_read(&reference), skopeo_reads(&reference), "{reference:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn references_are_read_as_skopeo_reads_them(tail in "([a-zA-Z0-9]{1,2}|[._:@/-]){1,8}") {
        let reference = format!("{NOWHERE}{tail}");
        prop_assert_eq!(we_read(&reference), skopeo_reads(&reference), "{}", reference);
    }
}
