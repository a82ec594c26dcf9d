use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{AbsolutePath, Bounded, ListenAddress, present};

/// Where the webhook listens.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Server {
    /// Where the API server asks, over TLS; port 0 takes a free one.
    pub address: ListenAddress,
    /// Where `/metrics`, `/healthz` and `/readyz` are served, in plain text.
    pub metrics_address: ListenAddress,
    /// The serving certificate and its chain, as PEM.
    pub certificate_file: AbsolutePath,
    /// Its private key, as PEM.
    pub key_file: AbsolutePath,
    /// Certificates of the authority that the API server's own certificate must be from, as PEM. Absent: anyone who
    /// reaches the port may ask.
    #[schemars(with = "AbsolutePath")]
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<AbsolutePath>,
    /// How often certificates, keys and this file are looked at for changes, in seconds.
    pub reload_seconds: Bounded<1, 3_600>,
    /// How long to go on answering after the signal to end, in seconds, while the cluster learns of it.
    pub drain_seconds: Bounded<0, 300>,
    /// How long before the API server's timeout the answer leaves, in milliseconds.
    pub margin_milliseconds: Bounded<10, 5_000>,
    /// Connections served at once.
    pub max_connections: Bounded<1, 65_536>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443)).into(),
            metrics_address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9465)).into(),
            certificate_file: AbsolutePath::known("/etc/zastava/tls/tls.crt"),
            key_file: AbsolutePath::known("/etc/zastava/tls/tls.key"),
            client_ca_file: None,
            reload_seconds: Bounded::literal::<10>(),
            drain_seconds: Bounded::literal::<10>(),
            margin_milliseconds: Bounded::literal::<300>(),
            max_connections: Bounded::literal::<2_048>(),
        }
    }
}
