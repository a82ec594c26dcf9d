//! What is wrong with values that a valid configuration has, and where they stand.

use rustls::pki_types::pem;
use zastava_common::{
    backend::BackendError,
    config::{Fault, What},
    evidence::verifier::{BadKey, BadPattern, BadRoot},
};

use super::FileError;

/// A value that makes no policy.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {cause}")]
pub struct Unusable {
    /// The whole key, `zastava.admission.verifiers.keys[0].publicKey`.
    pub key: String,
    pub cause: Cause,
}

/// Why a value cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("nobody is named who may sign")]
    NoVerifiers,
    #[error("nobody is named who may sign SBOMs")]
    NoSbomVerifiers,
    #[error("there is no backend to ask")]
    NoBackend,
    #[error("there are images, and no proof that would count")]
    NoProof,
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path} is no PEM with certificates: {source}")]
    Pem { path: String, source: pem::Error },
    #[error("{path} has no certificate in it")]
    NoCertificate { path: String },
    #[error("{path} has something in it that is no certificate: {why}")]
    Certificate { path: String, why: String },
    #[error("{path} has no private key in it: {source}")]
    PrivateKey { path: String, source: pem::Error },
    #[error("tokens are to be bound to a certificate, and there is none to show")]
    NoOwnCertificate,
    #[error(transparent)]
    Key(#[from] BadKey),
    #[error(transparent)]
    Root(#[from] BadRoot),
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    #[error("nothing that an image can be compared with")]
    Image,
    #[error("no host of a registry")]
    Host,
    #[error("no host of a registry with a path as repositories have it")]
    Mirror,
    #[error("the same registry as an entry before it")]
    Twice,
    #[error("no TLS: {0}")]
    Tls(String),
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Cause {
    pub(super) fn at(self, key: impl Into<String>) -> Unusable {
        Unusable { key: key.into(), cause: self }
    }

    /// What would be right in its place, where the cause does not say so itself.
    fn allowed(&self) -> Option<&'static str> {
        match self {
            Self::NoVerifiers => {
                Some("true with keys or identities under zastava.admission.verifiers, or false")
            }
            Self::NoSbomVerifiers => {
                Some("signed with keys or identities under zastava.admission.verifiers, or present, bound")
            }
            Self::NoBackend => Some("true with a section zastava.backend, or false"),
            Self::NoProof => Some("provenance, layers, or both"),
            Self::File(_) => Some("the path of a text file that this program may read"),
            Self::Pem { .. } | Self::NoCertificate { .. } | Self::Certificate { .. } => {
                Some("a file with blocks -----BEGIN CERTIFICATE-----")
            }
            Self::PrivateKey { .. } => Some("a file with a block -----BEGIN PRIVATE KEY-----"),
            Self::NoOwnCertificate => {
                Some("certificateFile and keyFile, or zastava.runtime.authority.requireMutualTls: false")
            }
            Self::Key(_) => Some("a block -----BEGIN PUBLIC KEY-----, as cosign and openssl write it"),
            Self::Pattern(_) => Some("a regular expression without look-around and back-references"),
            Self::Host => Some("a host name or address, perhaps with a port: registry.example:5000"),
            Self::Mirror => Some("a host, perhaps with a port and a path: mirror.example:5000/docker.io"),
            Self::Twice => Some("each registry once; docker.io and index.docker.io are one"),
            Self::Root(_) | Self::Image | Self::Tls(_) | Self::Backend(_) => None,
        }
    }
}

impl Unusable {
    /// As the configuration tells its own faults.
    pub fn fault(self) -> Fault {
        let Self { key, cause } = self;
        let fault = Fault::new(key, What::Unusable { why: cause.to_string() });
        match cause.allowed() {
            Some(allowed) => fault.allowed(allowed),
            None => fault,
        }
    }
}
