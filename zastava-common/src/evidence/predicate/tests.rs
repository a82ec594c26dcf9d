use super::{is_provenance, materials, sbom, sbom_media_type};
use crate::evidence::{Digest, Format};

#[test]
fn sboms_are_known_by_predicate_and_by_media_type() {
    assert_eq!(sbom("https://cyclonedx.org/bom"), Some(Format::CycloneDx));
    assert_eq!(sbom("https://cyclonedx.org/bom/v1.6"), Some(Format::CycloneDx));
    assert_eq!(sbom("https://spdx.dev/Document"), Some(Format::Spdx));
    assert_eq!(sbom("https://spdx.dev/Document/v2.3"), Some(Format::Spdx));
    for other in
        ["https://spdx.dev/Documentary", "https://cyclonedx.org/bombast", "https://openvex.dev/ns", ""]
    {
        assert_eq!(sbom(other), None, "{other}");
    }
    assert_eq!(sbom_media_type("application/spdx+json"), Some(Format::Spdx));
    assert_eq!(sbom_media_type("application/json"), None);
}

#[test]
fn the_inputs_of_a_build_are_read_from_either_version_of_provenance() {
    let digest = Digest::sha256(b"");
    let hex = digest.hex();
    let one = format!(
        r#"{{"buildDefinition":{{"resolvedDependencies":[{{"uri":"pkg:docker/base@1","digest":{{"sha256":"{hex}"}}}},{{"uri":"git+https://x.test","digest":{{"gitCommit":"00"}}}}]}}}}"#
    );
    let read: Vec<_> = materials(&one).collect();
    assert_eq!(
        read,
        [("pkg:docker/base@1".into(), Some(digest.clone())), ("git+https://x.test".into(), None)]
    );
    let two = format!(r#"{{"materials":[{{"uri":"pkg:oci/base","digest":{{"sha256":"{hex}"}}}}]}}"#);
    assert_eq!(materials(&two).collect::<Vec<_>>(), [("pkg:oci/base".into(), Some(digest))]);
    for none in ["", "[]", "{}", "null", r#"{"materials":1}"#] {
        assert_eq!(materials(none).count(), 0, "{none}");
    }
    assert!(
        is_provenance("https://slsa.dev/provenance/v0.2") && is_provenance("https://slsa.dev/provenance/v1")
    );
    assert!(!is_provenance("https://slsa.dev/verification_summary/v1"));
}
