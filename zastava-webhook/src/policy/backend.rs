use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use zastava_common::{
    backend::{AuthoritySettings, Backend, BackendError, BackendSettings, ClientCertificate},
    config::{self, AbsolutePath, Config, Token},
};

use super::{FileError, Files};

#[derive(Debug, thiserror::Error)]
pub enum BackendFault {
    #[error("zastava.backend: {0}")]
    File(#[from] FileError),
    #[error("zastava.backend: {path} is no PEM with certificates: {source}")]
    Pem { path: String, source: rustls::pki_types::pem::Error },
    #[error("zastava.backend: {0}")]
    Settings(#[from] BackendError),
}

/// The backend that the configuration names, if any; reads the certificates, keys and secrets that it names.
pub fn backend(config: &Config, files: &dyn Files) -> Result<Option<Backend>, BackendFault> {
    let Some(settings) = &config.backend else { return Ok(None) };
    let config::Backend {
        base_address,
        policy_path,
        request_timeout_seconds,
        ca_file,
        certificate_file,
        key_file,
    } = settings;
    let authorities = match ca_file {
        None => Vec::new(),
        Some(path) => {
            let pem = files.read(path.as_path())?;
            let certificates =
                CertificateDer::pem_slice_iter(pem.as_bytes()).map(|one| one.map(|der| der.to_vec()));
            certificates
                .collect::<Result<_, _>>()
                .map_err(|source| BackendFault::Pem { path: path.as_path().display().to_string(), source })?
        }
    };
    let certificate = match (certificate_file, key_file) {
        (Some(chain), Some(key)) => {
            Some(ClientCertificate { chain: files.read(chain.as_path())?, key: files.read(key.as_path())? })
        }
        _ => None,
    };
    let authority =
        config.runtime.authority.as_ref().map(|authority| issuer(authority, files)).transpose()?;
    Ok(Some(Backend::new(&BackendSettings {
        base_address: base_address.to_string().trim_end_matches('/').to_owned(),
        policy_path: policy_path.as_str().to_owned(),
        within: request_timeout_seconds.seconds(),
        authorities,
        certificate,
        authority,
    })?))
}

fn issuer(authority: &config::Authority, files: &dyn Files) -> Result<AuthoritySettings, FileError> {
    let config::Authority {
        issuer,
        client_id,
        client_secret_file,
        audience,
        scopes,
        require_dpop,
        require_mutual_tls,
    } = authority;
    let words = |tokens: &[Token]| tokens.iter().map(|token| token.as_str().to_owned()).collect();
    let read = |path: &AbsolutePath| {
        files.read(path.as_path()).map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
    };
    Ok(AuthoritySettings {
        issuer: issuer.to_string().trim_end_matches('/').to_owned(),
        client_id: client_id.as_str().to_owned(),
        secret: client_secret_file.as_ref().map(read).transpose()?,
        audience: words(audience),
        scopes: words(scopes),
        dpop: *require_dpop,
        mutual_tls: *require_mutual_tls,
    })
}
