//! Files that the configuration names: keys, roots, certificates, credentials.

use std::{fs::File, io, io::Read as _, path::Path};

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
