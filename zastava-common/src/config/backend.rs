use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApiPath, BaseAddress, Bounded};

/// The service that takes events and gives verdicts.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Backend {
    /// Where it is.
    pub base_address: BaseAddress,
    /// Endpoint of the policy verdicts, below the base address.
    #[serde(default = "policy_path")]
    pub policy_path: ApiPath,
    /// How long one request may take, in seconds.
    #[serde(default = "request_timeout_seconds")]
    pub request_timeout_seconds: Bounded<1, 60>,
}

fn policy_path() -> ApiPath {
    ApiPath::known("/api/v1/scanner/policy/runtime")
}

fn request_timeout_seconds() -> Bounded<1, 60> {
    Bounded::literal::<5>()
}
