//! Certificates from files, and their replacement while connections are open.
//!
//! Kubernetes swaps a link (`..data`) when it updates a mounted Secret, which no watch on the file itself notices: so
//! contents are compared. Certificate and key are taken as a pair; a pair that does not fit leaves the old one in use.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use zastava_common::{
    config::{AbsolutePath, Server},
    metric,
};

use crate::{
    certs::not_after,
    policy::{FileError, Files},
};

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path} is no PEM with {what}: {source}")]
    Pem { path: String, what: &'static str, source: rustls::pki_types::pem::Error },
    #[error("{path} has no certificate in it")]
    NoCertificate { path: String },
    #[error("certificate {certificate} and key {key} do not fit: {source}")]
    Pair { certificate: String, key: String, source: rustls::Error },
    #[error("{path} cannot be used to check clients: {source}")]
    ClientCa { path: String, source: VerifierBuilderError },
    #[error("the certificate in {path} cannot be read: {why}")]
    Certificate { path: String, why: String },
}

impl TlsError {
    /// The key of the configuration that names the file which is wrong.
    pub fn key(&self, server: &Server) -> &'static str {
        let path = match self {
            Self::File(error) => error.path(),
            Self::Pem { path, .. }
            | Self::NoCertificate { path }
            | Self::ClientCa { path, .. }
            | Self::Certificate { path, .. } => path,
            // The certificate may be right, and the key another's.
            Self::Pair { key, .. } => key,
        };
        let is = |file: &AbsolutePath| file.as_path().to_str() == Some(path);
        if is(&server.certificate_file) {
            "zastava.admission.server.certificateFile"
        } else if is(&server.key_file) {
            "zastava.admission.server.keyFile"
        } else {
            "zastava.admission.server.clientCaFile"
        }
    }
}

/// The certificates in use. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Certificates {
    current: Arc<ArcSwap<Current>>,
    paths: Paths,
    /// What was read last, good or bad, so that a bad file is told once.
    last: Arc<Mutex<Contents>>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// Seconds since 1970.
    not_after: i64,
}

#[derive(Clone, Debug)]
struct Paths {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Contents {
    certificate: String,
    key: String,
    client_ca: Option<String>,
}

impl Certificates {
    /// Reads the files that `server` names.
    pub fn load(server: &Server, files: &dyn Files) -> Result<Self, TlsError> {
        let paths = Paths {
            certificate: server.certificate_file.as_path().to_owned(),
            key: server.key_file.as_path().to_owned(),
            client_ca: server.client_ca_file.as_ref().map(|path| path.as_path().to_owned()),
        };
        let contents = paths.read(files)?;
        let current = paths.parse(&contents)?;
        let this = Self {
            current: Arc::new(ArcSwap::from_pointee(current)),
            paths,
            last: Arc::new(Mutex::new(contents)),
        };
        this.tell_expiry();
        Ok(this)
    }

    /// For the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// Looks at the files; `true` when other certificates are in use from here on.
    pub fn refresh(&self, files: &dyn Files) -> Result<bool, TlsError> {
        self.tell_expiry();
        let contents = self.paths.read(files)?;
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if *last == contents {
                return Ok(false);
            }
            *last = contents.clone();
        }
        self.current.store(Arc::new(self.paths.parse(&contents)?));
        self.tell_expiry();
        Ok(true)
    }

    fn tell_expiry(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let left = self.current.load().not_after.saturating_sub_unsigned(now);
        #[expect(clippy::cast_precision_loss, reason = "seconds of some years are exact")]
        metrics::gauge!(metric::ADMISSION_CERT_EXPIRY).set(left as f64);
    }
}

impl Paths {
    fn read(&self, files: &dyn Files) -> Result<Contents, TlsError> {
        let Self { certificate, key, client_ca } = self;
        Ok(Contents {
            certificate: files.read(certificate)?,
            key: files.read(key)?,
            client_ca: client_ca.as_ref().map(|path| files.read(path)).transpose()?,
        })
    }

    fn parse(&self, Contents { certificate, key, client_ca }: &Contents) -> Result<Current, TlsError> {
        let name = |path: &PathBuf| path.display().to_string();
        let chain = certificates(&name(&self.certificate), certificate)?;
        let not_after = match chain.first() {
            Some(first) => not_after(first)
                .map_err(|why| TlsError::Certificate { path: name(&self.certificate), why })?,
            None => return Err(TlsError::NoCertificate { path: name(&self.certificate) }),
        };
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|source| TlsError::Pem {
            path: name(&self.key),
            what: "a private key",
            source,
        })?;
        let builder = ServerConfig::builder();
        let builder = match (client_ca, &self.client_ca) {
            (Some(text), Some(path)) => {
                let path = name(path);
                let mut roots = RootCertStore::empty();
                let authorities = certificates(&path, text)?;
                if authorities.is_empty() {
                    return Err(TlsError::NoCertificate { path });
                }
                roots.add_parsable_certificates(authorities);
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|source| TlsError::ClientCa { path, source })?,
                )
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|source| TlsError::Pair {
            certificate: name(&self.certificate),
            key: name(&self.key),
            source,
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Current { config: Arc::new(config), not_after })
    }
}

fn certificates(path: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|source| TlsError::Pem {
        path: path.to_owned(),
        what: "certificates",
        source,
    })
}
