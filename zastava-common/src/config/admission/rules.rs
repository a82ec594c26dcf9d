use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ImageAtDigest, Label, TagPattern};

/// Which signatures an image needs, where signatures are verified.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SignatureRule {
    /// Names of verifiers; empty: all that are configured.
    pub verifiers: Vec<Label>,
    /// Whether one of them is enough.
    pub need: Need,
    /// Signatures below cosign's `.sig` tag count, beside Sigstore bundles.
    pub legacy: bool,
}

impl Default for SignatureRule {
    fn default() -> Self {
        Self { verifiers: Vec::new(), need: Need::Any, legacy: true }
    }
}

/// How many verifiers must be satisfied.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    #[default]
    Any,
    All,
}

/// Which SBOM an image needs, where SBOMs are verified.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SbomRule {
    /// What its claim to belong to the image rests on: it lies beside it, the image's index names it, a verifier signed
    /// it.
    pub level: SbomLevel,
}

/// Each is stronger than the one before it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "lowercase")]
pub enum SbomLevel {
    #[default]
    Present,
    Bound,
    Signed,
}

/// What tags may be.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TagRules {
    /// Tags that are refused; `*` stands for any characters. One without a tag counts as `latest`, unless a digest is
    /// given.
    pub deny: Vec<TagPattern>,
    /// Refuse references with neither tag nor digest.
    pub deny_untagged: bool,
    /// Refuse references without a digest.
    pub require_digest: bool,
}

/// What images may be built on.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct BaseImages {
    /// The images, each by digest; empty: any.
    pub allow: Vec<ImageAtDigest>,
    /// What counts as proof, any of them: signed provenance that names the base; the base's layers as the image's first
    /// ones.
    pub proof: Vec<BaseProof>,
}

impl Default for BaseImages {
    fn default() -> Self {
        Self { allow: Vec::new(), proof: vec![BaseProof::Provenance, BaseProof::Layers] }
    }
}

/// What counts as proof of a base.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "lowercase")]
pub enum BaseProof {
    Provenance,
    Layers,
}
