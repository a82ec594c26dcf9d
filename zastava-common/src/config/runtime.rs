use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AbsolutePath, BaseAddress, Bounded, LabelKeys, SocketPath, Tenant, Token, present};

/// What workloads are told by, as a rule.
const LABELS: [&str; 5] =
    ["app", "app.kubernetes.io/*", "k8s-app", "com.docker.compose.project", "com.docker.compose.service"];

/// What is observed, and as whom.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Runtime {
    /// Who gives tokens for the backend. Absent: none are asked for.
    #[schemars(with = "Authority")]
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub authority: Option<Authority>,
    /// Whose node it is; stands in every event.
    pub tenant: Tenant,
    /// The container engine of the node: with `auto` every one that answers; `docker` is Podman's socket too; with
    /// `none` containers have their ids and no names.
    pub engine: Engine,
    /// Sockets of engines, looked at before the usual places.
    pub sockets: Vec<SocketPath>,
    /// Labels of containers and pods that may go into events; a `*` at the end stands for any ending.
    pub labels: Vec<LabelKeys>,
    /// Annotations that may, likewise.
    pub annotations: Vec<LabelKeys>,
    /// Ask the API server of Kubernetes for a pod's owner, where a service account is mounted.
    pub kubernetes_api: bool,
    /// Where the host's /proc is mounted: `/host/proc` in a container, as a rule.
    pub procfs: AbsolutePath,
    /// What is collected of each container.
    pub collect: Collect,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            authority: None,
            tenant: Tenant::known("default"),
            engine: Engine::default(),
            sockets: Vec::new(),
            labels: LABELS.iter().copied().map(LabelKeys::known).collect(),
            annotations: Vec::new(),
            kubernetes_api: true,
            procfs: AbsolutePath::known("/proc"),
            collect: Collect::default(),
        }
    }
}

/// Who gives tokens for the backend (OpenID Connect), and what to ask of it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Authority {
    /// The issuer's address; its discovery document is below it.
    pub issuer: BaseAddress,
    /// Name of this client at the issuer.
    pub client_id: Token,
    /// A file with this client's secret. Absent: its certificate says who it is.
    #[schemars(with = "AbsolutePath")]
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<AbsolutePath>,
    /// Whom the token is for.
    #[serde(default = "audience")]
    pub audience: Vec<Token>,
    /// What the token must allow.
    #[serde(default = "scopes")]
    pub scopes: Vec<Token>,
    /// Bind tokens to a key of this client (DPoP, RFC 9449).
    #[serde(default = "yes")]
    pub require_dpop: bool,
    /// Bind tokens to the client's certificate (RFC 8705).
    #[serde(default = "yes")]
    pub require_mutual_tls: bool,
}

fn audience() -> Vec<Token> {
    vec![Token::known("scanner"), Token::known("zastava")]
}

fn scopes() -> Vec<Token> {
    vec![Token::known("api:scanner.runtime.write")]
}

fn yes() -> bool {
    true
}

/// A container engine.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    // The one whose socket answers.
    #[default]
    Auto,
    Containerd,
    CriO,
    Docker,
    None,
}

/// What is collected of each container.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Collect {
    /// Follow the entrypoint through shells and wrappers to the program that stays.
    pub entry_trace: bool,
    /// Name the libraries that are mapped executable.
    pub loaded_libs: bool,
    /// Most libraries named per container.
    pub max_libs: Bounded<1, 65_536>,
    /// Most bytes hashed per container; 0 hashes nothing.
    pub max_hash_bytes_per_container: Bounded<0, { 1 << 40 }>,
}

impl Default for Collect {
    fn default() -> Self {
        Self {
            entry_trace: true,
            loaded_libs: true,
            max_libs: Bounded::literal::<256>(),
            max_hash_bytes_per_container: Bounded::literal::<64_000_000>(),
        }
    }
}
