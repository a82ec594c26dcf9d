//! Files that the configuration names: keys, roots, certificates, credentials.

use std::{fs::File, io, io::Read as _, path::Path};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use zastava_common::config::AbsolutePath;

use super::Cause;

/// The largest file that is read, in bytes. Sigstore's trusted root has 60 KiB.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("{path} is larger than {MAX_BYTES} bytes, which no key or certificate is")]
    TooLarge { path: String },
    #[error("{path} is no UTF-8 text")]
    NotText { path: String },
}

impl FileError {
    pub fn path(&self) -> &str {
        match self {
            Self::Read { path, .. } | Self::TooLarge { path } | Self::NotText { path } => path,
        }
    }
}

/// Where files come from; a test has them in memory.
pub trait Files {
    fn read(&self, path: &Path) -> Result<String, FileError>;
}

/// This machine's.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<String, FileError> {
        let name = || path.display().to_string();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|source| FileError::Read { path: name(), source })?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(FileError::TooLarge { path: name() });
        }
        String::from_utf8(bytes).map_err(|_| FileError::NotText { path: name() })
    }
}

/// The certificates in a file (DER), at least one.
pub(super) fn certificates(path: &AbsolutePath, files: &dyn Files) -> Result<Vec<Vec<u8>>, Cause> {
    certificates_in(&files.read(path.as_path())?, path)
}

/// The same where the text was read already; `path`: from where.
pub(super) fn certificates_in(text: &str, path: &AbsolutePath) -> Result<Vec<Vec<u8>>, Cause> {
    let path = || path.as_path().display().to_string();
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let certificates = certificates.map_err(|source| Cause::Pem { path: path(), source })?;
    if certificates.is_empty() {
        return Err(Cause::NoCertificate { path: path() });
    }
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store
            .add(certificate.clone())
            .map_err(|error| Cause::Certificate { path: path(), why: error.to_string() })?;
    }
    Ok(certificates.iter().map(|certificate| certificate.to_vec()).collect())
}

/// A name, password or secret alone in a file, without the line's end that editors put behind it.
pub(super) fn word(path: &AbsolutePath, files: &dyn Files) -> Result<String, Cause> {
    Ok(files.read(path.as_path())?.trim_end_matches(['\r', '\n']).to_owned())
}
