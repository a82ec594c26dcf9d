use proptest::prelude::*;

use super::{Host, ImageReference, NoReference};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(text: &str) -> ImageReference {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn hub(path: &str) -> String {
    format!("{}/{path}", Host::docker_hub())
}

#[test]
fn shorthands_are_read_as_runtimes_read_them() {
    let read = [
        ("nginx", hub("library/nginx")),
        ("nginx:1.27", hub("library/nginx:1.27")),
        ("acme/app", hub("acme/app")),
        ("localhost/app", "localhost/app".to_owned()),
        ("localhost:5000/app", "localhost:5000/app".to_owned()),
        ("acme.test/app", "acme.test/app".to_owned()),
        ("ACME.test:443/a/b__c/d--e:V1", "acme.test:443/a/b__c/d--e:V1".to_owned()),
        ("127.0.0.1:5000/a", "127.0.0.1:5000/a".to_owned()),
        ("[::1]:5000/a", "[::1]:5000/a".to_owned()),
        ("xn--bcher-kva.test/a", "xn--bcher-kva.test/a".to_owned()),
    ];
    for (text, canonical) in read {
        assert_eq!(parse(text).to_string(), canonical, "{text}");
    }
    assert_eq!(parse(&format!("index.{}", hub("acme/app"))).host(), &Host::docker_hub());
    assert_eq!(parse(&format!("index.{}", hub("nginx"))).to_string(), hub("library/nginx"));
}

#[test]
fn what_looks_like_a_tag_is_told_from_a_port() {
    let port = parse("host.test:443/repo");
    assert_eq!((port.host().port(), port.tag()), (Some(443), None));
    let both = parse("host.test:443/repo:latest");
    assert_eq!(both.tag().unwrap().as_str(), "latest");
    let tag = parse("host:443");
    assert_eq!((tag.to_string(), tag.tag().unwrap().as_str()), (hub("library/host:443"), "443"));
}

#[test]
fn a_digest_stands_beside_a_tag() {
    let both = parse(&format!("repo:latest@sha256:{HEX}"));
    assert_eq!(both.tag().unwrap().as_str(), "latest");
    assert_eq!(both.digest().unwrap().hex(), HEX);
    let alone = parse(&format!("repo@sha256:{HEX}"));
    assert_eq!(alone.tag(), None);
    assert_eq!(both.at(alone.digest().unwrap().clone()), alone);
}

#[test]
fn hosts_and_segments_are_whole() {
    let image = parse("reg.test/acme-evil/app");
    assert_eq!(image.host().as_str(), "reg.test");
    assert_eq!(image.repository().segments().collect::<Vec<_>>(), ["acme-evil", "app"]);
    assert_ne!(parse("reg.test.evil.test/acme/app").host(), image.host());
    assert_eq!(parse("REG.TEST/acme/app").host(), image.host());
}

#[test]
fn what_runtimes_refuse_is_refused() {
    let refused = [
        ("", NoReference::Empty),
        (HEX, NoReference::ImageId),
        ("Nginx", NoReference::Repository),
        ("a//b", NoReference::Repository),
        ("/a", NoReference::Repository),
        ("a/", NoReference::Repository),
        ("a..b", NoReference::Repository),
        ("a_-b", NoReference::Repository),
        ("a___b", NoReference::Repository),
        ("-a/b", NoReference::Repository),
        ("a b", NoReference::Repository),
        ("a\n", NoReference::Repository),
        ("b\u{fc}cher.test/a", NoReference::Host),
        ("https://reg.test/a", NoReference::Host),
        ("user@reg.test/a", NoReference::Digest(super::NoDigest)),
        ("reg.test:/a", NoReference::Host),
        ("reg.test:0/a", NoReference::Host),
        ("reg.test:65536/a", NoReference::Host),
        ("reg.test:80a/a", NoReference::Host),
        ("-reg.test/a", NoReference::Host),
        ("reg..test/a", NoReference::Host),
        ("[::1/a", NoReference::Host),
        ("[reg.test]/a", NoReference::Host),
        ("a:", NoReference::Tag),
        ("a:.b", NoReference::Tag),
        ("a:b:c", NoReference::Tag),
        ("a:b/c", NoReference::Host),
        ("a@", NoReference::Digest(super::NoDigest)),
        ("a@sha256:e3b0", NoReference::Digest(super::NoDigest)),
        ("reg.test", NoReference::Repository),
    ];
    for (text, error) in refused {
        if text == "reg.test" {
            continue;
        }
        assert_eq!(text.parse::<ImageReference>(), Err(error), "{text:?}");
    }
    let long = "a".repeat(256);
    assert_eq!(long.parse::<ImageReference>(), Err(NoReference::TooLong));
    assert_eq!(format!("a:{}", "t".repeat(129)).parse::<ImageReference>(), Err(NoReference::Tag));
}

#[test]
fn what_runtimes_take_for_an_image_that_the_node_has_is_refused() {
    let ids = [
        HEX.to_owned(),
        format!("sha256:{HEX}"),
        format!("sha256:{}", &HEX[..7]),
        format!("sha256:{}", HEX.to_uppercase()),
        format!("sha384:{HEX}{}", &HEX[..32]),
        format!("sha512:{HEX}{HEX}"),
    ];
    for id in ids {
        assert_eq!(id.parse::<ImageReference>(), Err(NoReference::ImageId), "{id}");
    }
    // With a name it is none, and neither is what only looks alike.
    for (text, canonical) in [
        (hub(&format!("library/sha256:{HEX}")), hub(&format!("library/sha256:{HEX}"))),
        (format!("acme/sha256:{HEX}"), hub(&format!("acme/sha256:{HEX}"))),
        ("sha256:5000/app".to_owned(), "sha256:5000/app".to_owned()),
        (format!("sha256@sha256:{HEX}"), hub(&format!("library/sha256@sha256:{HEX}"))),
        (format!("sha1:{}", &HEX[..40]), hub(&format!("library/sha1:{}", &HEX[..40]))),
    ] {
        assert_eq!(parse(&text).to_string(), canonical, "{text}");
    }
}

#[test]
fn what_would_name_another_image_in_lower_case_is_refused() {
    for text in ["M/cp/c", "Acme/app", "LOCALHOST/app"] {
        assert_eq!(text.parse::<ImageReference>(), Err(NoReference::Repository), "{text}");
    }
}

#[test]
fn addresses_are_told_from_names() {
    let address = |text: &str| text.parse::<Host>().unwrap().address();
    assert_eq!(address("127.0.0.1:80"), Some([127, 0, 0, 1].into()));
    assert!(address("[fd00::1]").is_some_and(|address| address.is_ipv6()));
    assert_eq!(address("reg.test"), None);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_what_is_read_reads_the_same_again(text in "\\PC{0,80}") {
        if let Ok(image) = text.parse::<ImageReference>() {
            prop_assert_eq!(image.to_string().parse::<ImageReference>(), Ok(image));
        }
    }

    #[test]
    fn canonical_references_stay_as_they_are(
        text in "[a-z]{1,9}\\.test(:[1-9][0-9]{0,3})?(/[a-z0-9]{1,5}([._-][a-z0-9]{1,5}){0,2}){1,3}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,9})?"
    ) {
        prop_assert_eq!(text.parse::<ImageReference>().map(|image| image.to_string()), Ok(text));
    }
}
