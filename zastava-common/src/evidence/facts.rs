//! The facts themselves. Plain data: comparable, without policy.

#[cfg(test)]
mod tests;

use super::{digest::Digest, fault::Fault};

/// What is known about one digest in one repository.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evidence {
    /// What all of this is about: the index, or the manifest, that the reference resolved to.
    pub digest: Digest,
    /// The images for single platforms: those of an index, without its attestations, or the one image itself.
    pub platforms: Vec<Platform>,
    /// One for each verifier asked about, in that order; empty where none was.
    pub signatures: Vec<SignerFact>,
    /// Where wanted.
    pub sbom: Option<Sbom>,
    /// Where wanted.
    pub base: Option<Base>,
}

/// An image for one platform.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Platform {
    pub digest: Digest,
    /// As the index says: `linux/arm64/v8`. A lone manifest says nothing.
    pub name: Option<String>,
}

/// What one verifier found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignerFact {
    /// The verifier's name.
    pub verifier: String,
    pub outcome: Outcome,
}

/// A fact has three values: not knowing is not a no.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    Verified(Verified),
    /// Everything there is was looked at, and nothing of it satisfies.
    Refused(Refusal),
    /// Nothing satisfied, but not everything could be looked at, for an outage or because only others may read it.
    Unknown(Fault),
}

/// A signature that satisfies a verifier.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    /// What was signed: the digest itself, or each of its platforms.
    pub signed: Vec<Digest>,
    pub form: Form,
    /// Where a certificate says so: issuer and subject.
    pub identity: Option<(String, String)>,
    /// Whether its entry in a transparency log was checked.
    pub logged: bool,
}

/// How a signature is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// A layer below cosign's `.sig` tag.
    Legacy,
    /// A Sigstore bundle among the referrers.
    Bundle,
}

/// Why nothing satisfied a verifier. Of several signatures the one that came closest speaks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    pub reason: Reason,
    /// A sentence with what exactly was found.
    pub detail: String,
}

/// Reason codes that stay. Ordered by how close a signature came: the last is the closest.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// There is no signature.
    Unsigned,
    /// What is there is no signature in a form that we read.
    FormatUnsupported,
    /// What is signed says something else than "this image is signed".
    WrongPredicate,
    /// The signature is not one, or not of this image.
    SignatureInvalid,
    /// Signed with another key.
    KeyMismatch,
    /// Signed with a certificate of somebody else.
    IdentityMismatch,
    /// Nothing proves when it was signed.
    TimestampMissing,
    /// There is no entry in a transparency log, where one is required.
    TlogMissing,
}

impl Reason {
    pub fn code(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::FormatUnsupported => "format_unsupported",
            Self::WrongPredicate => "wrong_predicate",
            Self::SignatureInvalid => "signature_invalid",
            Self::KeyMismatch => "key_mismatch",
            Self::IdentityMismatch => "identity_mismatch",
            Self::TimestampMissing => "timestamp_missing",
            Self::TlogMissing => "tlog_missing",
        }
    }
}

/// The SBOMs that were found, all of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sbom {
    pub found: Vec<SbomFound>,
    /// Why there may be more than were found: an outage, or what only others may read.
    pub unknown: Option<Fault>,
    /// The same where it never will be told, and is no outage: there is more beside the image than is looked at.
    pub refused: Option<Fault>,
}

impl Sbom {
    /// The best that holds for the image, or for each of its `platforms`. An index that nobody signed, although each of
    /// its platforms is signed, vouches for nothing that it names.
    pub fn level(&self, evidence: &Evidence) -> Option<SbomLevel> {
        let bound = if evidence.is_vouched_for() { SbomLevel::Bound } else { SbomLevel::Present };
        let level = |found: &SbomFound| match found.level {
            SbomLevel::Bound => bound,
            level => level,
        };
        let of = |digest: &Digest| self.found.iter().filter(|found| found.of == *digest).map(level).max();
        let of_each = evidence.platforms.iter().map(|platform| of(&platform.digest)).min().flatten();
        of(&evidence.digest).max(of_each)
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SbomFound {
    /// What it describes: the digest itself or one of its platforms.
    pub of: Digest,
    pub level: SbomLevel,
    pub format: Format,
    /// The manifest or blob that holds it.
    pub digest: Digest,
    /// The verifiers that its signature satisfies.
    pub signed_by: Vec<String>,
}

/// What an SBOM's claim to belong to the image rests on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SbomLevel {
    /// Somebody who may write to the repository put it beside the image.
    Present,
    /// The image's index names it: whoever vouches for the digest vouches for it.
    Bound,
    /// A signature by one of the verifiers binds it.
    Signed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    CycloneDx,
    Spdx,
}

/// What is known about what an image was built on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Base {
    /// What signed provenance says went into the build: **all** of it, also images that were not its base. Empty where
    /// there are too many, and where it is of the platforms and that of one of them names no image.
    pub materials: Vec<Material>,
    /// Whether there is provenance signed by one of the verifiers, of the digest itself or of each of its platforms;
    /// `materials` may be empty all the same.
    pub provenance: bool,
    /// The layers of each platform's image, which a base's can be compared with.
    pub layers: Vec<Layers>,
    /// What the image says of itself. Whoever built it wrote what they liked.
    pub hint: Option<Hint>,
    /// Why there may be more than this: an outage, or what only others may read.
    pub unknown: Option<Fault>,
    /// Why `materials` or `layers` cannot be told, and never will be: no outage.
    pub refused: Option<Fault>,
}

/// One input of a build by signed provenance (SLSA `resolvedDependencies` or `materials`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Material {
    pub uri: String,
    pub digest: Option<Digest>,
    /// The verifier that the provenance's signature satisfies.
    pub verifier: String,
}

impl Material {
    /// Whether it names a container image (by its package URL or scheme).
    pub fn is_image(&self) -> bool {
        ["pkg:docker/", "pkg:oci/", "docker-image:", "docker:", "oci:"]
            .iter()
            .any(|start| self.uri.starts_with(start))
    }
}

/// The layers of one image, uncompressed, the lowest first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Layers {
    /// The manifest.
    pub digest: Digest,
    /// `linux/arm64/v8`, as the image's configuration says.
    pub platform: String,
    pub diff_ids: Vec<Digest>,
}

impl Layers {
    /// Whether `base` is below: all of its layers, for the same platform, are this image's first.
    pub fn start_with(&self, base: &Self) -> bool {
        !base.diff_ids.is_empty()
            && self.platform == base.platform
            && self.diff_ids.starts_with(&base.diff_ids)
    }
}

/// `org.opencontainers.image.base.name` and `.digest`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hint {
    pub name: Option<String>,
    pub digest: Option<Digest>,
}

impl Evidence {
    /// The best that holds of its SBOMs.
    pub fn sbom_level(&self) -> Option<SbomLevel> {
        self.sbom.as_ref()?.level(self)
    }

    /// Whether nothing says that the index itself is signed by nobody who was asked about, while its platforms are, or
    /// may be.
    fn is_vouched_for(&self) -> bool {
        let mut below = false;
        for fact in &self.signatures {
            match &fact.outcome {
                Outcome::Verified(verified) if verified.signed.contains(&self.digest) => return true,
                Outcome::Verified(_) | Outcome::Unknown(_) => below = true,
                Outcome::Refused(_) => {}
            }
        }
        !below
    }

    /// Roughly how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let Self { digest: _, platforms, signatures, sbom, base } = self;
        let sbom = sbom.as_ref().map_or(0, |sbom| sbom.found.len());
        let base = base.as_ref().map_or(0, |base| {
            let uris: usize = base.materials.iter().map(|material| material.uri.len() + 200).sum();
            let layers: usize = base.layers.iter().map(|layers| layers.diff_ids.len() * 112 + 200).sum();
            uris + layers
        });
        let signatures: usize = signatures.iter().map(SignerFact::weight).sum();
        500 + platforms.len() * 150 + signatures + sbom * 300 + base
    }
}

impl SignerFact {
    fn weight(&self) -> usize {
        let outcome = match &self.outcome {
            Outcome::Verified(Verified { signed, identity, .. }) => {
                signed.len() * 112
                    + identity.as_ref().map_or(0, |(issuer, subject)| issuer.len() + subject.len())
            }
            Outcome::Refused(Refusal { detail, .. }) => detail.len(),
            Outcome::Unknown(_) => 200,
        };
        100 + self.verifier.len() + outcome
    }

    pub fn is_verified(&self) -> bool {
        matches!(self.outcome, Outcome::Verified(_))
    }
}

pub(crate) fn refusal(reason: Reason, detail: &str) -> Refusal {
    Refusal { reason, detail: detail.to_owned() }
}
