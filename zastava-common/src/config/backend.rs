use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AbsolutePath, ApiPath, BaseAddress, Bounded, Fault, What, present};

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
    /// Certificates of the authorities that signed the backend's and the issuer's, as PEM; beside the system's.
    #[schemars(with = "AbsolutePath")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<AbsolutePath>,
    /// The certificate that we show to both, with its chain, as PEM.
    #[schemars(with = "AbsolutePath")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<AbsolutePath>,
    /// Its private key, as PEM.
    #[schemars(with = "AbsolutePath")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub key_file: Option<AbsolutePath>,
}

fn policy_path() -> ApiPath {
    ApiPath::known("/api/v1/scanner/policy/runtime")
}

fn request_timeout_seconds() -> Bounded<1, 60> {
    Bounded::literal::<5>()
}

/// A certificate is shown with its key, or none is.
pub(super) fn check(backend: &Backend) -> Result<(), Box<Fault>> {
    let lacks = match (&backend.certificate_file, &backend.key_file) {
        (Some(_), None) => "keyFile",
        (None, Some(_)) => "certificateFile",
        _ => return Ok(()),
    };
    let fault = Fault::new(format!("zastava.backend.{lacks}"), What::MissingKey);
    Err(fault.allowed("certificateFile and keyFile together, or neither").into())
}
