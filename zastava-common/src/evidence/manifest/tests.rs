use proptest::prelude::*;

use super::{ImageConfig, Index, Manifest, NoManifest};
use crate::evidence::Digest;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn descriptor(more: &str) -> String {
    format!(r#"{{"mediaType":"x","digest":"sha256:{HEX}","size":0{more}}}"#)
}

fn image(more: &str) -> String {
    format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]{more}}}"#, descriptor(""), descriptor(""))
}

#[test]
fn an_artifact_is_what_it_says_or_what_its_configuration_is() {
    let parse = |text: &str| match Manifest::parse(text.as_bytes(), Some(OCI)) {
        Ok(Manifest::Image(image)) => image,
        other => panic!("{other:?}"),
    };
    assert_eq!(parse(&image("")).kind(), "x");
    assert_eq!(parse(&image(r#","artifactType":"""#)).kind(), "x");
    let artifact =
        parse(&image(&format!(r#","artifactType":"a/b","annotations":null,"subject":{}"#, descriptor(""))));
    assert_eq!(artifact.kind(), "a/b");
    assert_eq!(artifact.subject, Some(Digest::sha256(b"")));
}

#[test]
fn an_image_has_no_more_layers_than_runtimes_can_mount() {
    let with = |count: usize| {
        let ids = vec![format!(r#""sha256:{HEX}""#); count].join(",");
        let config =
            format!(r#"{{"architecture":"a","os":"o","rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#);
        ImageConfig::parse(config.as_bytes()).map(|config| config.diff_ids.len())
    };
    assert_eq!(with(512), Ok(512));
    assert_eq!(with(513), Err(NoManifest::TooManyLayers));
}

#[test]
fn only_annotations_that_are_asked_for_take_memory() {
    let others: Vec<_> = (0..10_000).map(|n| format!(r#""{n}":"""#)).collect();
    let others = others.join(",");
    let annotations = format!(r#","annotations":{{{others},"org.opencontainers.image.base.name":"b"}}"#);
    let Manifest::Image(read) = Manifest::parse(image(&annotations).as_bytes(), Some(OCI)).unwrap() else {
        panic!("an index")
    };
    let kept: Vec<_> = read.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(kept, [("org.opencontainers.image.base.name", "b")]);
}

#[test]
fn a_document_that_can_be_read_in_two_ways_is_refused() {
    let both = image(r#","manifests":[]"#);
    for sent in [OCI, OCI_INDEX] {
        assert_eq!(Manifest::parse(both.as_bytes(), Some(sent)), Err(NoManifest::Ambiguous));
    }
    let lying = image(&format!(r#","mediaType":"{OCI_INDEX}""#));
    assert!(matches!(Manifest::parse(lying.as_bytes(), Some(OCI)), Err(NoManifest::TwoTypes { .. })));
    let parameter = image(&format!(r#","mediaType":"{OCI}""#));
    assert!(Manifest::parse(parameter.as_bytes(), Some(&format!("{OCI}; charset=utf-8"))).is_ok());
    let twice = image(r#","layers":[]"#);
    assert!(matches!(Manifest::parse(twice.as_bytes(), Some(OCI)), Err(NoManifest::Json(_))), "a key twice");
}

#[test]
fn what_is_no_manifest_is_told_by_what_it_is() {
    let one = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    assert_eq!(Manifest::parse(b"{}", Some(one)), Err(NoManifest::MediaType(one.into())));
    assert_eq!(Manifest::parse(b"{}", None), Err(NoManifest::MediaType(String::new())));
    assert_eq!(Manifest::parse(b"{}", Some(OCI)), Err(NoManifest::Incomplete));
    assert_eq!(Manifest::parse(b"{}", Some(OCI_INDEX)), Err(NoManifest::Incomplete));
    let bad = image("").replace(HEX, "00");
    assert!(matches!(Manifest::parse(bad.as_bytes(), Some(OCI)), Err(NoManifest::Json(_))));
}

#[test]
fn attestations_of_an_index_are_no_images_of_it() {
    let other = Digest::sha256(b"other");
    let attestation = format!(
        r#","annotations":{{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"{other}"}}"#
    );
    let platform = r#","platform":{"architecture":"arm64","os":"linux","variant":"v8"}"#;
    let nowhere = r#","platform":{"architecture":"unknown","os":"unknown"}"#;
    let text = format!(
        r#"{{"manifests":[{},{}]}}"#,
        descriptor(platform),
        descriptor(&format!("{attestation}{nowhere}"))
    );
    let index = Index::parse_referrers(text.as_bytes()).unwrap();
    let images: Vec<String> =
        index.images().map(|image| image.platform.as_ref().unwrap().to_string()).collect();
    assert_eq!(images, ["linux/arm64/v8"]);
    assert_eq!(index.manifests[1].attests(), Some(other));
    assert_eq!(index.manifests[0].attests(), None);
    // Runtimes choose by platform, whatever is annotated.
    for (annotations, platform) in [
        (attestation.as_str(), platform),
        (&attestation, r#","platform":{"architecture":"unknown","os":"linux"}"#),
        (&attestation, r#","platform":{"architecture":"amd64","os":"unknown"}"#),
        (&attestation, r#","platform":null"#),
        (&attestation, ""),
        ("", nowhere),
    ] {
        let text = format!(r#"{{"manifests":[{}]}}"#, descriptor(&format!("{annotations}{platform}")));
        let index = Index::parse_referrers(text.as_bytes()).unwrap();
        assert_eq!((index.images().count(), index.manifests[0].attests()), (1, None), "{text}");
    }
}

#[test]
fn a_key_that_go_takes_for_another_is_refused() {
    let index = |more: &str, in_entry: &str| {
        let text = format!(r#"{{"manifests":[{}]{more}}}"#, descriptor(in_entry));
        Index::parse_referrers(text.as_bytes()).map(|index| index.manifests.len())
    };
    let platform = |more: &str| format!(r#","platform":{{"os":"linux","architecture":"amd64"{more}}}"#);
    assert_eq!(
        index(r#","urls":[],"Manifest":[],"x":{"Digest":1}"#, &platform(r#","os.version":"1""#)),
        Ok(1)
    );
    for (more, in_entry) in [
        (r#","Manifests":[]"#, String::new()),
        (r#","MANIFESTS":null"#, String::new()),
        (r#","\u004danifests":[]"#, String::new()),
        ("", r#","Digest":"x""#.to_owned()),
        ("", r#","Platform":{}"#.to_owned()),
        (",\"manifest\u{17f}\":[]", String::new()),
        ("", platform(r#","OS":"linux""#)),
        ("", platform(r#","o\u017f":"linux""#)),
        ("", platform(r#","os":"linux""#)),
    ] {
        let read = index(more, &in_entry);
        assert!(matches!(read, Err(NoManifest::Json(_))), "{more} {in_entry}: {read:?}");
    }
    let alone = format!(r#"{{"Manifests":[{}],"manifests":null}}"#, descriptor(""));
    assert!(matches!(Index::parse_referrers(alone.as_bytes()), Err(NoManifest::Json(_))));
    for more in [r#","Config":{}"#, r#","LAYERS":[]"#, r#","Subject":null"#, r#","mediatype":"x""#] {
        let read = Manifest::parse(image(more).as_bytes(), Some(OCI));
        assert!(matches!(read, Err(NoManifest::Json(_))), "{more}: {read:?}");
    }
    let within = image("").replace(r#""size":0"#, r#""size":0,"Size":1"#);
    assert!(matches!(Manifest::parse(within.as_bytes(), Some(OCI)), Err(NoManifest::Json(_))));
}

#[test]
fn a_configuration_has_no_key_that_go_takes_for_another() {
    let config = |more: &str, in_rootfs: &str| {
        let text = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]{in_rootfs}}}{more}}}"#
        );
        ImageConfig::parse(text.as_bytes()).map(|config| config.platform.to_string())
    };
    let others = r#","config":{"Env":["OS=1"],"Os":1},"container_config":{},"os.version":"1","Author":"a""#;
    assert_eq!(config(others, "").as_deref(), Ok("linux/amd64"));
    for (more, in_rootfs) in [
        (r#","RootFS":{}"#, ""),
        (r#","rootf\u017f":{}"#, ""),
        (r#","Architecture":"arm64""#, ""),
        (r#","os":"linux""#, ""),
        (r#","rootfs":{}"#, ""),
        ("", r#","Diff_IDs":[]"#),
        ("", r#","diff_ids":[]"#),
    ] {
        let read = config(more, in_rootfs);
        assert!(matches!(read, Err(NoManifest::Json(_))), "{more} {in_rootfs}: {read:?}");
    }
}

#[test]
fn a_configuration_says_platform_and_layers() {
    let text = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{HEX}"]}}}}"#
    );
    let config = ImageConfig::parse(text.as_bytes()).unwrap();
    assert_eq!(
        (config.platform.to_string().as_str(), config.diff_ids),
        ("linux/amd64", vec![Digest::sha256(b"")])
    );
    assert!(ImageConfig::parse(b"{}").is_err());
}

#[test]
fn deep_nesting_is_refused_before_the_stack_ends() {
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(Manifest::parse(deep.as_bytes(), Some(OCI)).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_a_manifest_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Manifest::parse(&bytes, Some(OCI));
        let _ = ImageConfig::parse(&bytes);
    }
}
