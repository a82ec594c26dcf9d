//! Annotations, as far as somebody asks for them. Any number of others may stand in a small document, and each would
//! take many times its bytes in memory.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

pub type Annotations = BTreeMap<String, String>;

/// What a bundle states, as its signer wrote it on the manifest and registries repeat it in their lists of referrers.
pub(crate) const BUNDLE_PREDICATE: &str = "dev.sigstore.bundle.predicateType";

/// Those that are kept: of cosign's layers, of bundles, of BuildKit's attestations, of what an image says about its base.
const ASKED_FOR: [&str; 11] = [
    "dev.cosignproject.cosign/signature",
    BUNDLE_PREDICATE,
    "dev.sigstore.cosign/bundle",
    "dev.sigstore.cosign/certificate",
    "dev.sigstore.cosign/chain",
    "dev.sigstore.cosign/rfc3161timestamp",
    "in-toto.io/predicate-type",
    "org.opencontainers.image.base.digest",
    "org.opencontainers.image.base.name",
    "vnd.docker.reference.digest",
    "vnd.docker.reference.type",
];

pub(super) fn asked_for<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Annotations, D::Error> {
    deserializer.deserialize_any(AskedFor)
}

struct AskedFor;

impl<'de> Visitor<'de> for AskedFor {
    type Value = Annotations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("annotations")
    }

    /// Go writes an empty map as `null`.
    fn visit_unit<E>(self) -> Result<Annotations, E> {
        Ok(Annotations::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
        let mut kept = Annotations::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if ASKED_FOR.contains(&&*key) {
                kept.insert(key.into_owned(), map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(kept)
    }
}
