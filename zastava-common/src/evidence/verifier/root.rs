use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use sigstore_verify::{Verifier, trust_root};

/// The authorities and logs that keyless signatures are checked with (Sigstore's `trusted_root.json`).
pub struct TrustRoot {
    verifier: Verifier,
    fingerprint: [u8; 32],
}

/// A text that is no trusted root.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no trusted root (the JSON that `cosign trusted-root create` writes): {0}")]
pub struct BadRoot(String);

impl TrustRoot {
    pub fn from_json(json: &str) -> Result<Self, BadRoot> {
        let root = trust_root::TrustedRoot::from_json(json).map_err(|error| BadRoot(error.to_string()))?;
        let verifier = Verifier::new(&root).map_err(|error| BadRoot(error.to_string()))?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, json.as_bytes()).as_ref());
        Ok(Self { verifier, fingerprint })
    }

    /// The root of Sigstore's public instance as it was when this program was built.
    pub fn sigstore() -> Result<Self, BadRoot> {
        Self::from_json(trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT)
    }

    pub(crate) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    pub(crate) fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrustRoot").field(&super::super::digest::hex(&self.fingerprint)).finish()
    }
}
