use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{AbsolutePath, MirrorPlace, RegistryHost, present};

/// How one registry is spoken to.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Registry {
    /// As it stands in image references.
    pub host: RegistryHost,
    /// Asked first, in this order; each host may have an entry of its own. A path stands before those of repositories:
    /// `mirror.example/hub` has `library/nginx` as `hub/library/nginx`.
    #[serde(default)]
    pub mirrors: Vec<MirrorPlace>,
    /// Certificates of the authority that signed the registry's, as PEM; beside the system's.
    #[schemars(with = "AbsolutePath")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<AbsolutePath>,
    /// A file with the user's name.
    #[schemars(with = "AbsolutePath")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub username_file: Option<AbsolutePath>,
    /// A file with the password.
    #[schemars(with = "AbsolutePath")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub password_file: Option<AbsolutePath>,
    /// Other hosts that may be given its credentials in exchange for a token; those of its own domain may in any case.
    #[serde(default)]
    pub token_hosts: Vec<RegistryHost>,
    /// Speak plain HTTP.
    #[serde(default)]
    pub plain_http: bool,
    /// The registry is at a private or local address, where else nothing is asked.
    #[serde(default)]
    pub private: bool,
}
