use std::collections::BTreeSet;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use zastava_common::{
    config::{self, Admission, RegistryHost},
    evidence::{
        reference::Host,
        registry::{Credentials, Endpoint, Registry, RegistryConfig},
    },
};

use super::{FileError, Files};

#[derive(Debug, thiserror::Error)]
pub enum RegistriesError {
    #[error("the registry {host}: {source}")]
    File { host: String, source: FileError },
    #[error("the registry {host}: {path} is no PEM with certificates: {source}")]
    Pem { host: String, path: String, source: rustls::pki_types::pem::Error },
    #[error("{0} is no host of a registry")]
    Host(String),
}

/// How registries are spoken to; reads the certificates and credentials that the configuration names.
pub fn registries(admission: &Admission, files: &dyn Files) -> Result<RegistryConfig, RegistriesError> {
    let known = &admission.registries;
    let registries = known.iter().map(|entry| {
        let mirrors =
            entry.mirrors.iter().map(|mirror| match known.iter().find(|entry| entry.host == *mirror) {
                Some(entry) => endpoint(entry, files),
                None => Ok(Endpoint::new(host(mirror)?)),
            });
        Ok(Registry {
            host: host(&entry.host)?,
            // The registry itself is the last that is asked.
            endpoints: mirrors.chain([endpoint(entry, files)]).collect::<Result<_, _>>()?,
            token_hosts: hosts(&entry.token_hosts)?,
        })
    });
    Ok(RegistryConfig {
        registries: registries.collect::<Result<_, _>>()?,
        private_hosts: hosts(&admission.private_hosts)?,
        ..RegistryConfig::default()
    })
}

fn endpoint(entry: &config::Registry, files: &dyn Files) -> Result<Endpoint, RegistriesError> {
    let config::Registry { host: name, ca_file, username_file, password_file, plain_http, private, .. } =
        entry;
    let in_file = |source| RegistriesError::File { host: name.as_str().to_owned(), source };
    let authorities = match ca_file {
        None => Vec::new(),
        Some(path) => {
            let pem = files.read(path.as_path()).map_err(in_file)?;
            let certificates =
                CertificateDer::pem_slice_iter(pem.as_bytes()).map(|one| one.map(|der| der.to_vec()));
            certificates.collect::<Result<_, _>>().map_err(|source| RegistriesError::Pem {
                host: name.as_str().to_owned(),
                path: path.as_path().display().to_string(),
                source,
            })?
        }
    };
    let credentials = match (username_file, password_file) {
        (Some(username), Some(password)) => {
            let read = |path: &config::AbsolutePath| {
                files
                    .read(path.as_path())
                    .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                    .map_err(in_file)
            };
            Some(Credentials { username: read(username)?, password: read(password)? })
        }
        _ => None,
    };
    Ok(Endpoint {
        plain_http: *plain_http,
        private: *private,
        authorities,
        credentials,
        ..Endpoint::new(host(name)?)
    })
}

fn hosts(names: &[RegistryHost]) -> Result<BTreeSet<Host>, RegistriesError> {
    names.iter().map(host).collect()
}

fn host(name: &RegistryHost) -> Result<Host, RegistriesError> {
    name.as_str().parse().map_err(|_| RegistriesError::Host(name.as_str().to_owned()))
}
