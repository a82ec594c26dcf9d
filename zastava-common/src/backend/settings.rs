use std::{fmt, time::Duration};

use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::error::BackendError;
use crate::net;

/// Where the backend is, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct BackendSettings {
    /// Scheme, host, port and what path there is, without a slash at the end.
    pub base_address: String,
    /// Of the verdicts, below the base address.
    pub policy_path: String,
    /// How long one answer may take.
    pub within: Duration,
    /// Authorities besides the system's (DER), for the backend and the Authority.
    pub authorities: Vec<Vec<u8>>,
    /// What we show where we are asked who we are.
    pub certificate: Option<ClientCertificate>,
    /// Who gives the tokens; none are sent without.
    pub authority: Option<AuthoritySettings>,
}

/// Who gives tokens, and to whom.
#[derive(Clone)]
pub struct AuthoritySettings {
    /// Its discovery document is below.
    pub issuer: String,
    pub client_id: String,
    /// Not needed where the certificate tells who we are.
    pub secret: Option<String>,
    pub audience: Vec<String>,
    pub scopes: Vec<String>,
    /// Tokens must be bound to a key of ours.
    pub dpop: bool,
    /// Our certificate tells who we are (RFC 8705), and binds the tokens that no key binds.
    pub mutual_tls: bool,
}

/// A certificate with its chain, and its key (PEM).
#[derive(Clone)]
pub struct ClientCertificate {
    pub chain: String,
    pub key: String,
}

impl BackendSettings {
    pub(super) fn tls(&self) -> Result<ClientConfig, BackendError> {
        let own = self.certificate.as_ref().map(ClientCertificate::read).transpose()?;
        net::tls(&self.authorities, own).map_err(BackendError::Settings)
    }
}

impl ClientCertificate {
    fn read(&self) -> Result<net::OwnCertificate, BackendError> {
        let Self { chain, key } = self;
        let bad = |what: &str| BackendError::Settings(format!("the {what} cannot be read as PEM"));
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| bad("client certificate"))?;
        let key =
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| bad("client certificate's key"))?;
        Ok((chain, key))
    }
}

impl fmt::Debug for AuthoritySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, client_id, secret: _, audience, scopes, dpop, mutual_tls } = self;
        f.debug_struct("AuthoritySettings")
            .field("issuer", issuer)
            .field("client_id", client_id)
            .field("audience", audience)
            .field("scopes", scopes)
            .field("dpop", dpop)
            .field("mutual_tls", mutual_tls)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}
