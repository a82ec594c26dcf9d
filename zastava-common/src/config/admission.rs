mod cache;
mod check;
mod namespace;
mod registry;
mod rules;
mod server;
mod verifier;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    cache::Cache,
    namespace::{MoreVerify, NamespaceRules},
    registry::Registry,
    rules::{BaseImages, BaseProof, Need, SbomLevel, SbomRule, SignatureRule, TagRules},
    server::Server,
    verifier::{Key, Keyless, Verifiers},
};
pub(super) use check::check;

use super::{Bounded, Namespace, RegistryHost, RepositoryPattern};

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
    /// What becomes of controllers (Deployment, Job, ...) that do not pass: their pods are asked about in any case.
    pub controllers: Controllers,
    /// Who may sign.
    pub verifiers: Verifiers,
    /// Which signatures an image needs.
    pub signature: SignatureRule,
    /// Which SBOM an image needs.
    pub sbom: SbomRule,
    /// Registries and repositories that images may come from; empty: any.
    pub registry_allowlist: Vec<RepositoryPattern>,
    /// What tags may be.
    pub tags: TagRules,
    /// What images may be built on.
    pub base_images: BaseImages,
    /// More that is asked in some namespaces. All entries that name a namespace hold there, beside what stands above.
    pub namespaces: Vec<NamespaceRules>,
    /// How registries are spoken to; one that is not listed is asked over TLS and without credentials.
    pub registries: Vec<Registry>,
    /// Hosts at private addresses that a registry which is `private` itself may send us to: a token server, a store of blobs.
    pub private_hosts: Vec<RegistryHost>,
    /// Ask registries with the pull secrets that a pod names, read from its own namespace alone.
    pub pull_secrets: bool,
    /// What is remembered, and for how long.
    pub cache: Cache,
    /// Where the webhook listens.
    pub server: Server,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            enforce: true,
            fail_open_namespaces: Vec::new(),
            verify: Verify::default(),
            cache_ttl_seconds: Bounded::literal::<300>(),
            controllers: Controllers::default(),
            verifiers: Verifiers::default(),
            signature: SignatureRule::default(),
            sbom: SbomRule::default(),
            registry_allowlist: Vec::new(),
            tags: TagRules::default(),
            base_images: BaseImages::default(),
            namespaces: Vec::new(),
            registries: Vec::new(),
            private_hosts: Vec::new(),
            pull_secrets: false,
            cache: Cache::default(),
            server: Server::default(),
        }
    }
}

/// What is verified of an image.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Verify {
    /// It is signed by a configured key or identity.
    pub image_signature: bool,
    /// It has an SBOM: a referrer, an attestation or a catalog entry.
    pub sbom_referrer: bool,
    /// The backend's verdict is `pass`.
    pub scanner_policy_pass: bool,
}

impl Default for Verify {
    fn default() -> Self {
        Self { image_signature: true, sbom_referrer: true, scanner_policy_pass: true }
    }
}

/// What becomes of a controller that does not pass. Each is stricter than the one before it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "lowercase")]
pub enum Controllers {
    // It is not looked at.
    Ignore,
    // It is let through with a warning.
    #[default]
    Warn,
    // It is refused like a pod.
    Enforce,
}
