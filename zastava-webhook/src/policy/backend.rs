use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use zastava_common::{
    backend::{AuthoritySettings, Backend, BackendSettings, ClientCertificate},
    config::{self, AbsolutePath, Config, Token},
};

use super::{
    Cause, Files, Unusable,
    files::{certificates, certificates_in, word},
};

const HERE: &str = "zastava.backend";

/// The backend that the configuration names, if any; reads the certificates, keys and secrets that it names.
pub fn backend(config: &Config, files: &dyn Files) -> Result<Option<Backend>, Unusable> {
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
        Some(path) => certificates(path, files).map_err(|cause| cause.at(format!("{HERE}.caFile")))?,
    };
    let certificate = match (certificate_file, key_file) {
        (Some(chain), Some(key)) => Some(own(chain, key, files)?),
        _ => None,
    };
    let authority =
        config.runtime.authority.as_ref().map(|authority| issuer(authority, files)).transpose()?;
    if certificate.is_none() && authority.as_ref().is_some_and(|authority| authority.mutual_tls) {
        return Err(Cause::NoOwnCertificate.at(format!("{HERE}.certificateFile")));
    }
    let settings = BackendSettings {
        base_address: base_address.to_string().trim_end_matches('/').to_owned(),
        policy_path: policy_path.as_str().to_owned(),
        within: request_timeout_seconds.seconds(),
        authorities,
        certificate,
        authority,
    };
    // Each file was looked at; what is left is that certificate and key do not fit.
    let backend = Backend::new(&settings).map_err(|error| {
        Cause::from(error)
            .at(certificate_file.as_ref().map_or_else(|| HERE.to_owned(), |_| format!("{HERE}.keyFile")))
    })?;
    Ok(Some(backend))
}

fn own(chain: &AbsolutePath, key: &AbsolutePath, files: &dyn Files) -> Result<ClientCertificate, Unusable> {
    let read = |path: &AbsolutePath| files.read(path.as_path()).map_err(Cause::from);
    let chain = read(chain).and_then(|text| certificates_in(&text, chain).map(|_| text));
    let chain = chain.map_err(|cause| cause.at(format!("{HERE}.certificateFile")))?;
    let key_text = read(key).and_then(|text| {
        let path = key.as_path().display().to_string();
        PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|source| Cause::PrivateKey { path, source })?;
        Ok(text)
    });
    Ok(ClientCertificate { chain, key: key_text.map_err(|cause| cause.at(format!("{HERE}.keyFile")))? })
}

fn issuer(authority: &config::Authority, files: &dyn Files) -> Result<AuthoritySettings, Unusable> {
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
    let secret = client_secret_file.as_ref().map(|path| word(path, files)).transpose();
    Ok(AuthoritySettings {
        issuer: issuer.to_string().trim_end_matches('/').to_owned(),
        client_id: client_id.as_str().to_owned(),
        secret: secret.map_err(|cause| cause.at("zastava.runtime.authority.clientSecretFile"))?,
        audience: words(audience),
        scopes: words(scopes),
        dpop: *require_dpop,
        mutual_tls: *require_mutual_tls,
    })
}
