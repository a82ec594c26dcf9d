use std::{collections::BTreeSet, time::Duration};

use super::credentials::Credentials;
use crate::evidence::reference::{Host, Repository};

/// Which registries are spoken to in which way. Those not listed: HTTPS, the system's authorities, no credentials, and
/// never at a private or local address.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    pub registries: Vec<Registry>,
    /// Hosts that are no registries, but that an endpoint which may have a private address itself may send us to although
    /// theirs is private too: its token server, its storage of blobs. With the port, unless it is 443 or 80. Endpoints on
    /// the outside may send us to none of them.
    pub private_hosts: BTreeSet<Host>,
    /// How long one answer may take, to its last byte.
    pub within: Duration,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self { registries: Vec::new(), private_hosts: BTreeSet::new(), within: Duration::from_secs(10) }
    }
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadRegistry {
    #[error("the authority for {host} is no certificate: {cause}")]
    Authority { host: Host, cause: String },
    #[error("{host} is configured twice")]
    Twice { host: Host },
    #[error("no TLS: {0}")]
    Tls(String),
}

/// A registry as image references name it.
#[derive(Clone, Debug)]
pub struct Registry {
    pub host: Host,
    /// Asked one after another until one has the answer. Mirrors come first; the registry itself is last, and only if it
    /// is listed. Empty means the registry itself, by HTTPS.
    pub endpoints: Vec<Endpoint>,
}

/// Where a registry is.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub host: Host,
    /// Without TLS.
    pub plain_http: bool,
    /// Whether it may have a private or local address. An endpoint that is given by address may have that one anyway.
    pub private: bool,
    /// Authorities besides the system's (DER).
    pub authorities: Vec<Vec<u8>>,
    pub credentials: Option<Credentials>,
    /// Hosts that may be given these, or a pull secret for the registry, in exchange for a token. Its own host and those
    /// of the same domain need not be listed.
    pub token_hosts: BTreeSet<Host>,
    /// What stands before the repository's path, where a mirror keeps several registries apart.
    pub prefix: Option<Repository>,
}

impl Registry {
    pub fn new(host: Host, endpoints: Vec<Endpoint>) -> Self {
        Self { host, endpoints }
    }
}

impl Endpoint {
    /// By HTTPS, without anything special.
    pub fn new(host: Host) -> Self {
        Self {
            host,
            plain_http: false,
            private: false,
            authorities: Vec::new(),
            credentials: None,
            token_hosts: BTreeSet::new(),
            prefix: None,
        }
    }
}
