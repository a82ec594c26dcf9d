//! Requests to the API server, with the service account's token.

use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject},
};
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::container::runtime::{
    client::{Failure, in_time},
    grpc::plain,
    http,
};

/// Where Kubernetes mounts a service account (kubernetes.io, "Accessing the Kubernetes API from a Pod").
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Tokens are some hundred bytes, certificates a few thousand.
const MAX_FILE: u64 = 1 << 20;

pub(super) struct Api {
    host: String,
    port: u16,
    name: ServerName<'static>,
    connector: TlsConnector,
    token: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("cannot read {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("KUBERNETES_SERVICE_PORT is no port")]
    Port,
    #[error("KUBERNETES_SERVICE_HOST is no host: {0}")]
    Host(#[from] InvalidDnsNameError),
    #[error("{0} has no certificate that can be used")]
    Certificate(PathBuf),
    #[error("no TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Api {
    /// `None` outside of a pod.
    pub(super) fn in_cluster() -> Result<Option<Self>, ApiError> {
        let host = env::var("KUBERNETES_SERVICE_HOST");
        let port = env::var("KUBERNETES_SERVICE_PORT");
        let account = Path::new(ACCOUNT);
        match (host, port) {
            (Ok(host), Ok(port)) if account.join("token").exists() => {
                let port = port.parse().map_err(|_| ApiError::Port)?;
                Self::new(host, port, account).map(Some)
            }
            _ => Ok(None),
        }
    }

    pub(super) fn new(host: String, port: u16, account: &Path) -> Result<Self, ApiError> {
        let path = account.join("ca.crt");
        let pem = read(&path).map_err(|source| ApiError::File { path: path.clone(), source })?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|_| ApiError::Certificate(path.clone()))?;
            roots.add(certificate).map_err(|_| ApiError::Certificate(path.clone()))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.clone())?;
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { host, port, name, connector, token: account.join("token") })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, Failure> {
        in_time(async {
            let lost = |error: io::Error| Failure::Lost(plain(&error.to_string()));
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(lost)?;
            let stream = self.connector.connect(self.name.clone(), stream).await.map_err(lost)?;
            // Anew each time: the kubelet exchanges it every hour.
            let headers = [
                (ACCEPT, HeaderValue::from_static("application/json")),
                (AUTHORIZATION, self.bearer().map_err(lost)?),
            ];
            http::exchange(stream, &self.host, target, headers).await
        })
        .await
        .and_then(|body| http::json(&body))
    }

    fn bearer(&self) -> io::Result<HeaderValue> {
        let token = read(&self.token)?;
        let bearer = [b"Bearer ", token.trim_ascii()].concat();
        let mut bearer = HeaderValue::from_bytes(&bearer).map_err(io::Error::other)?;
        bearer.set_sensitive(true);
        Ok(bearer)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, MAX_FILE), &mut bytes)?;
    Ok(bytes)
}
