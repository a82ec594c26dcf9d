use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{AbsolutePath, Label, PublicKeySource, SubjectText, present};

/// Who may sign. Names are for messages and for the rules that name them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Verifiers {
    /// Those who sign with a key of their own.
    pub keys: Vec<Key>,
    /// Those who sign with short-lived certificates for an identity (Sigstore's keyless signing).
    pub keyless: Vec<Keyless>,
}

impl Verifiers {
    /// The names of all of them.
    pub fn names(&self) -> impl Iterator<Item = &Label> {
        let Self { keys, keyless } = self;
        keys.iter().map(|key| &key.name).chain(keyless.iter().map(|keyless| &keyless.name))
    }
}

/// One who signs with a key: ECDSA on P-256 or P-384, Ed25519, RSA.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Key {
    /// Unique among all verifiers.
    pub name: Label,
    /// The public key as PEM, or the path of a file with it; the file is read anew when it changes.
    pub public_key: PublicKeySource,
    /// The signature must also be in a transparency log of `trustedRoot`.
    #[serde(default)]
    pub require_log: bool,
    /// The log's trusted root, a file; absent: Sigstore's public one.
    #[schemars(with = "AbsolutePath")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub trusted_root: Option<AbsolutePath>,
}

/// One who signs with certificates.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Keyless {
    /// Unique among all verifiers.
    pub name: Label,
    /// Who vouched for the identity, exactly: the address of an OpenID Connect issuer.
    pub issuer: SubjectText,
    /// The identity, exactly: an address of mail or a URI. This or `subjectPattern` must be there.
    #[schemars(with = "SubjectText")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectText>,
    /// A regular expression for the whole of the identity.
    #[schemars(with = "SubjectText")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub subject_pattern: Option<SubjectText>,
    /// Authorities and logs, a file as `cosign trusted-root create` writes it; absent: Sigstore's public ones.
    #[schemars(with = "AbsolutePath")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub trusted_root: Option<AbsolutePath>,
    /// The signature must be in a transparency log. Off only for authorities that have none and countersign the time.
    #[serde(default = "yes")]
    pub require_log: bool,
}

fn yes() -> bool {
    true
}
