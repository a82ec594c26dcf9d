//! What of a manifest stays once it is read: it may have 4 MiB, of which next to nothing is looked at.

use super::{Annotations, Descriptor, Index, Manifest};
use crate::evidence::{
    predicate::{IN_TOTO_LAYER, sbom_media_type},
    signature::{BUNDLE_LAYER, ENVELOPE_LAYER, SIMPLE_SIGNING_LAYER},
};

/// Layers of one manifest that are looked at for signatures, and as many for statements without any.
pub(crate) const MAX_EVIDENCE: usize = 64;

/// What a descriptor takes beside its texts.
const DESCRIPTOR_BYTES: usize = 300;

impl Manifest {
    /// Leaves of an image's layers those that may be evidence, one more of a kind than are looked at; and one of the
    /// others, if one of them has content.
    pub(crate) fn trim(&mut self) {
        let Self::Image(image) = self else { return };
        let (mut signatures, mut statements, mut others) = (0, 0, 0);
        image.layers.retain(|layer| {
            let (count, most) = if is_signature(&layer.media_type) {
                (&mut signatures, MAX_EVIDENCE + 1)
            } else if is_statement(&layer.media_type) {
                (&mut statements, MAX_EVIDENCE + 1)
            } else if layer.size > 2 {
                (&mut others, 1)
            } else {
                return false;
            };
            *count += 1;
            *count <= most
        });
        image.layers.shrink_to_fit();
    }

    /// Roughly how many bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let (descriptors, annotations): (&[Descriptor], _) = match self {
            Self::Index(Index { manifests, annotations }) => (manifests, annotations),
            Self::Image(image) => (&image.layers, &image.annotations),
        };
        let own = match self {
            Self::Index(_) => 0,
            Self::Image(image) => {
                image.artifact_type.as_ref().map_or(0, String::len) + image.config.weight() + DESCRIPTOR_BYTES
            }
        };
        own + weight(annotations) + descriptors.iter().map(Descriptor::weight).sum::<usize>()
    }
}

impl Descriptor {
    fn weight(&self) -> usize {
        let Self { media_type, digest: _, size: _, artifact_type, annotations, platform } = self;
        let platform = platform.as_ref().map_or(0, |platform| {
            platform.os.len() + platform.architecture.len() + platform.variant.as_ref().map_or(0, String::len)
        });
        let artifact_type = artifact_type.as_ref().map_or(0, String::len);
        DESCRIPTOR_BYTES + media_type.len() + artifact_type + platform + weight(annotations)
    }
}

fn weight(annotations: &Annotations) -> usize {
    annotations.iter().map(|(key, value)| key.len() + value.len()).sum()
}

fn is_signature(media_type: &str) -> bool {
    [SIMPLE_SIGNING_LAYER, ENVELOPE_LAYER].contains(&media_type) || media_type.starts_with(BUNDLE_LAYER)
}

fn is_statement(media_type: &str) -> bool {
    media_type == IN_TOTO_LAYER || sbom_media_type(media_type).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Digest;

    const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

    fn layer(media_type: &str, size: u64) -> serde_json::Value {
        serde_json::json!({ "mediaType": media_type, "digest": Digest::sha256(b""), "size": size })
    }

    fn trimmed(layers: &[serde_json::Value], pad: &str) -> (Vec<String>, usize) {
        let config = layer("application/vnd.oci.image.config.v1+json", 2);
        let manifest = serde_json::json!({ "config": config, "layers": layers, "pad": pad }).to_string();
        let mut manifest = Manifest::parse(manifest.as_bytes(), Some(OCI)).unwrap();
        manifest.trim();
        let weight = manifest.weight();
        let Manifest::Image(image) = manifest else { panic!("an index") };
        (image.layers.into_iter().map(|layer| layer.media_type).collect(), weight)
    }

    #[test]
    fn an_images_layers_and_what_nobody_asks_for_take_no_memory() {
        let layers = vec![layer("application/vnd.oci.image.layer.v1.tar+gzip", 9); 5_000];
        let (left, weight) = trimmed(&layers, &"x".repeat(3 << 20));
        assert_eq!(left.len(), 1, "it has content");
        assert!(weight < 2_000, "{weight}");
        assert_eq!(trimmed(&[layer("application/vnd.oci.empty.v1+json", 2)], "").0, Vec::<String>::new());
    }

    #[test]
    fn evidence_stays_in_its_order_and_one_more_than_is_looked_at() {
        let kinds = [
            SIMPLE_SIGNING_LAYER,
            ENVELOPE_LAYER,
            "application/vnd.in-toto+json",
            "application/vnd.dev.sigstore.bundle.v0.3+json",
            "application/spdx+json",
        ];
        let layers: Vec<_> = kinds.iter().flat_map(|kind| [layer("x", 0), layer(kind, 1)]).collect();
        assert_eq!(trimmed(&layers, "").0, kinds);
        assert_eq!(trimmed(&vec![layer(ENVELOPE_LAYER, 9); 500], "").0.len(), MAX_EVIDENCE + 1);
        // What nobody signed takes no signature's place.
        let mut layers = vec![layer(IN_TOTO_LAYER, 9); 500];
        layers.push(layer(SIMPLE_SIGNING_LAYER, 9));
        let left = trimmed(&layers, "").0;
        assert_eq!((left.len(), left.last().unwrap().as_str()), (MAX_EVIDENCE + 2, SIMPLE_SIGNING_LAYER));
    }

    #[test]
    fn what_is_written_where_it_is_looked_at_weighs_what_it_takes() {
        let long = "x".repeat(10_000);
        for manifest in [
            serde_json::json!({ "config": layer(&long, 2), "layers": [] }),
            serde_json::json!({ "config": layer("x", 2), "layers": [], "artifactType": long }),
            serde_json::json!({ "config": layer("x", 2), "layers": [layer(&long, 9)] }),
            serde_json::json!({ "config": layer("x", 2), "layers": [],
                "annotations": { "org.opencontainers.image.base.name": long } }),
        ] {
            let mut manifest = Manifest::parse(manifest.to_string().as_bytes(), Some(OCI)).unwrap();
            manifest.trim();
            assert!(manifest.weight() > 10_000);
        }
    }
}
