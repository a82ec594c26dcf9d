//! Manifests, indexes and image configurations, as much of them as is asked about (OCI image specification 1.1; Docker's
//! schema 2 has the same fields).

mod annotations;
mod keys;
#[cfg(test)]
mod tests;
mod trim;

use serde::Deserialize;

pub use self::annotations::Annotations;
pub(crate) use self::{annotations::BUNDLE_PREDICATE, trim::MAX_EVIDENCE};
use self::{annotations::asked_for, keys::Keys};
use super::digest::Digest;

/// The most of a manifest that is read: what the distribution specification wants registries to take.
pub const MAX_MANIFEST: usize = 4 << 20;

/// The most of an image's configuration that is read.
pub const MAX_CONFIG: usize = 4 << 20;

/// The media types of what can be resolved, for `Accept`.
pub const ACCEPT: &str = concat!(
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, ",
    "application/vnd.docker.distribution.manifest.list.v2+json, ",
    "application/vnd.docker.distribution.manifest.v2+json"
);

const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// The most layers, or manifests of an index, that are taken.
const MAX_ENTRIES: usize = 10_000;

/// The most layers of an image that are told of: overlayfs takes no more than 500.
const MAX_LAYERS: usize = 512;

/// What a digest or tag stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Manifest {
    Index(Index),
    Image(Box<Image>),
}

/// A list of manifests: one image for several platforms, or referrers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Index {
    pub manifests: Vec<Descriptor>,
    pub annotations: Annotations,
}

/// One image, or an artifact in the form of one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    pub subject: Option<Digest>,
    pub annotations: Annotations,
}

/// A reference to content by digest.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default)]
    pub artifact_type: Option<String>,
    #[serde(default, deserialize_with = "asked_for")]
    pub annotations: Annotations,
    #[serde(default)]
    pub platform: Option<Platform>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(default)]
    pub variant: Option<String>,
}

/// Of an image's configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImageConfig {
    pub platform: Platform,
    pub diff_ids: Vec<Digest>,
}

/// Everything that may stand in either kind of document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "asked_for")]
    annotations: Annotations,
}

const PLATFORM: Keys = Keys(&[("architecture", Keys::NONE), ("os", Keys::NONE), ("variant", Keys::NONE)]);

const DESCRIPTOR: Keys = Keys(&[
    ("mediaType", Keys::NONE),
    ("digest", Keys::NONE),
    ("size", Keys::NONE),
    ("artifactType", Keys::NONE),
    ("annotations", Keys::NONE),
    ("platform", PLATFORM),
]);

const DOCUMENT: Keys = Keys(&[
    ("mediaType", Keys::NONE),
    ("artifactType", Keys::NONE),
    ("config", DESCRIPTOR),
    ("layers", DESCRIPTOR),
    ("manifests", DESCRIPTOR),
    ("subject", DESCRIPTOR),
    ("annotations", Keys::NONE),
]);

#[derive(Deserialize)]
struct ConfigDocument {
    architecture: String,
    os: String,
    variant: Option<String>,
    rootfs: RootFs,
}

const CONFIG: Keys = Keys(&[
    ("architecture", Keys::NONE),
    ("os", Keys::NONE),
    ("variant", Keys::NONE),
    ("rootfs", Keys(&[("diff_ids", Keys::NONE)])),
]);

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// Why a document cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoManifest {
    #[error("{0}")]
    Json(String),
    #[error("its media type is {0}")]
    MediaType(String),
    #[error("it says of itself that it is {itself}, but was sent as {sent}")]
    TwoTypes { itself: String, sent: String },
    #[error("it can be read as an index and as a manifest")]
    Ambiguous,
    #[error("it has no configuration or no layers")]
    Incomplete,
    #[error("it has more than {MAX_ENTRIES} entries")]
    TooMany,
    #[error("it has more than {MAX_LAYERS} layers")]
    TooManyLayers,
}

impl Manifest {
    /// Reads a document that was sent as `media_type`. Refuses one that could mean two things (CVE-2021-41190).
    pub fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<Self, NoManifest> {
        let document: Document = read(bytes, DOCUMENT)?;
        let Document { media_type: itself, artifact_type, config, layers, manifests, subject, annotations } =
            document;
        let sent = media_type.map(|sent| sent.split(';').next().unwrap_or_default().trim());
        if let (Some(itself), Some(sent)) = (&itself, sent)
            && !itself.eq_ignore_ascii_case(sent)
        {
            return Err(NoManifest::TwoTypes { itself: itself.clone(), sent: sent.to_owned() });
        }
        let kind = itself.as_deref().or(sent).unwrap_or_default().to_ascii_lowercase();
        let entries = manifests.as_ref().or(layers.as_ref()).map_or(0, Vec::len);
        if entries > MAX_ENTRIES {
            return Err(NoManifest::TooMany);
        }
        if manifests.is_some() && (config.is_some() || layers.is_some()) {
            return Err(NoManifest::Ambiguous);
        }
        if INDEXES.contains(&kind.as_str()) {
            let manifests = manifests.ok_or(NoManifest::Incomplete)?;
            return Ok(Self::Index(Index { manifests, annotations }));
        }
        if !MANIFESTS.contains(&kind.as_str()) {
            return Err(NoManifest::MediaType(kind));
        }
        let (Some(config), Some(layers)) = (config, layers) else { return Err(NoManifest::Incomplete) };
        let subject = subject.map(|subject| subject.digest);
        Ok(Self::Image(Box::new(Image { artifact_type, config, layers, subject, annotations })))
    }
}

impl Index {
    /// A list of referrers: an index, whatever it is sent as.
    pub fn parse_referrers(bytes: &[u8]) -> Result<Self, NoManifest> {
        match Manifest::parse(bytes, Some(INDEXES[0]))? {
            Manifest::Index(index) => Ok(index),
            Manifest::Image(_) => Err(NoManifest::Incomplete),
        }
    }

    /// The images of an index: everything but attestations about them.
    pub fn images(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().filter(|entry| !entry.is_attestation())
    }
}

impl Image {
    /// What it is as an artifact: its own type, else that of its configuration (OCI image specification, "Guidelines
    /// for Artifact Usage").
    pub fn kind(&self) -> &str {
        match &self.artifact_type {
            Some(kind) if !kind.is_empty() => kind,
            _ => &self.config.media_type,
        }
    }
}

impl Descriptor {
    /// What BuildKit put into an index to tell about an image of it. It gives it a platform that no machine is of: what
    /// has another, or none, is run whatever its annotations say, for runtimes do not look at them.
    pub fn is_attestation(&self) -> bool {
        let annotated = self.annotations.get("vnd.docker.reference.type");
        let nowhere = |platform: &Platform| platform.os == "unknown" && platform.architecture == "unknown";
        annotated.is_some_and(|kind| kind == "attestation-manifest")
            && self.platform.as_ref().is_some_and(nowhere)
    }

    /// The image that BuildKit's attestation is about.
    pub fn attests(&self) -> Option<Digest> {
        let about = self.annotations.get("vnd.docker.reference.digest")?;
        self.is_attestation().then(|| about.parse().ok())?
    }

    pub fn is_index(&self) -> bool {
        INDEXES.contains(&self.media_type.as_str())
    }
}

impl ImageConfig {
    pub fn parse(bytes: &[u8]) -> Result<Self, NoManifest> {
        let ConfigDocument { architecture, os, variant, rootfs } = read(bytes, CONFIG)?;
        let platform = Platform { architecture, os, variant };
        if rootfs.diff_ids.len() > MAX_LAYERS {
            return Err(NoManifest::TooManyLayers);
        }
        Ok(Self { platform, diff_ids: rootfs.diff_ids })
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { architecture, os, variant } = self;
        write!(f, "{os}/{architecture}")?;
        match variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8], keys: Keys) -> Result<T, NoManifest> {
    let read = keys::check(bytes, keys).and_then(|()| serde_json::from_slice(bytes));
    read.map_err(|error| NoManifest::Json(error.to_string()))
}
