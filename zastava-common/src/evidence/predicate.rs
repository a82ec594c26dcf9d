//! What attestations say: the predicates that we look for.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{digest::Digest, facts::Format};

/// The media type of an in-toto statement that nobody signed, as BuildKit writes them.
pub(crate) const IN_TOTO_LAYER: &str = "application/vnd.in-toto+json";

/// The format of an SBOM by the type of its predicate.
pub(crate) fn sbom(predicate_type: &str) -> Option<Format> {
    let is = |known: &str| {
        let version = predicate_type.strip_prefix(known);
        // Versions stand behind: `/v1.6`, `/v2.3`.
        version.is_some_and(|version| version.is_empty() || version.starts_with("/v"))
    };
    if is("https://cyclonedx.org/bom") {
        Some(Format::CycloneDx)
    } else if is("https://spdx.dev/Document") {
        Some(Format::Spdx)
    } else {
        None
    }
}

/// The format of an SBOM by the media type of an artifact or a layer.
pub(crate) fn sbom_media_type(media_type: &str) -> Option<Format> {
    match media_type {
        "application/vnd.cyclonedx+json" | "application/vnd.cyclonedx+xml" | "application/vnd.cyclonedx" => {
            Some(Format::CycloneDx)
        }
        "application/spdx+json" | "text/spdx+json" | "text/spdx" | "text/spdx+xml" => Some(Format::Spdx),
        _ => None,
    }
}

/// Whether it tells how something was built (SLSA, any version).
pub(crate) fn is_provenance(predicate_type: &str) -> bool {
    predicate_type.strip_prefix("https://slsa.dev/provenance/v").is_some_and(|version| !version.is_empty())
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Provenance {
    /// Version 1.
    build_definition: BuildDefinition,
    /// Versions before.
    materials: Vec<Input>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BuildDefinition {
    resolved_dependencies: Vec<Input>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Input {
    uri: String,
    digest: BTreeMap<String, String>,
}

/// The inputs of a build by its provenance; none where it is of another form.
pub(crate) fn materials(predicate: &str) -> impl Iterator<Item = (String, Option<Digest>)> {
    let Provenance { build_definition, materials } = serde_json::from_str(predicate).unwrap_or_default();
    build_definition.resolved_dependencies.into_iter().chain(materials).map(|Input { uri, digest }| {
        let digest = digest.iter().find_map(|(algorithm, hex)| format!("{algorithm}:{hex}").parse().ok());
        (uri, digest)
    })
}
