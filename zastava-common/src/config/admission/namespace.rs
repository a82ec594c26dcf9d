use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BaseImages, Controllers, SbomRule, SignatureRule, TagRules};
use crate::config::{Namespace, RepositoryPattern, present};

/// More that is asked in some namespaces. Nothing here can ask for less: each rule holds beside the general one.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NamespaceRules {
    /// The namespaces.
    pub names: Vec<Namespace>,
    /// Refuse here, where elsewhere there are only warnings.
    #[serde(default)]
    pub enforce: bool,
    /// What is verified here in any case.
    #[serde(default)]
    pub verify: MoreVerify,
    /// What becomes of controllers, if that is stricter.
    #[schemars(with = "Controllers")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub controllers: Option<Controllers>,
    /// Signatures that are needed beside the general ones.
    #[schemars(with = "SignatureRule")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureRule>,
    /// The SBOM that is needed, if that is stricter.
    #[serde(default)]
    pub sbom: SbomRule,
    /// Images must be in this list and in the general one.
    #[serde(default)]
    pub registry_allowlist: Vec<RepositoryPattern>,
    /// What tags may be, beside the general rules.
    #[serde(default)]
    pub tags: TagRules,
    /// What images may be built on, beside the general rule.
    #[serde(default)]
    pub base_images: BaseImages,
}

/// What is verified beside what is verified everywhere.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct MoreVerify {
    /// Signatures.
    pub image_signature: bool,
    /// SBOMs.
    pub sbom_referrer: bool,
    /// The backend's verdict.
    pub scanner_policy_pass: bool,
}
