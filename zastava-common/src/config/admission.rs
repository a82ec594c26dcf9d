use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bounded, Namespace};

/// What the admission webhook asks of a pod.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Admission {
    /// Refuse what does not pass; else only warn.
    pub enforce: bool,
    /// Namespaces that are let through when the answer cannot be had.
    pub fail_open_namespaces: Vec<Namespace>,
    /// What is verified.
    pub verify: Verify,
    /// How long facts about an image are kept, in seconds; 0 keeps none.
    pub cache_ttl_seconds: Bounded<0, 86_400>,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            enforce: true,
            fail_open_namespaces: Vec::new(),
            verify: Verify::default(),
            cache_ttl_seconds: Bounded::literal::<300>(),
        }
    }
}

/// What is verified of an image.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Verify {
    /// It is signed by a configured key.
    pub image_signature: bool,
    /// It has an SBOM: a referrer or a catalog entry.
    pub sbom_referrer: bool,
    /// The backend's verdict is `pass`.
    pub scanner_policy_pass: bool,
}

impl Default for Verify {
    fn default() -> Self {
        Self { image_signature: true, sbom_referrer: true, scanner_policy_pass: true }
    }
}
