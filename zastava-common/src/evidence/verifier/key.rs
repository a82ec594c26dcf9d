use std::{fmt, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sigstore_verify::{
    crypto::{KeyAlgorithm, SigningScheme, VerificationKey},
    types::{DerPublicKey, HashAlgorithm, SignatureBytes},
};

use crate::evidence::{Digest, digest::Algorithm};

/// A public key that signs images: ECDSA on P-256 or P-384, Ed25519, or RSA.
#[derive(Clone)]
pub struct PublicKey {
    spki: DerPublicKey,
    /// The same key with each way of signing that the tools use with it.
    schemes: Arc<[VerificationKey]>,
}

/// A text that is no key we can check with.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadKey {
    #[error("no PEM block `PUBLIC KEY`: {0}")]
    Pem(String),
    #[error("a key of a kind that signs no images: ECDSA on P-256 or P-384, Ed25519 and RSA do ({0})")]
    Kind(String),
}

impl PublicKey {
    /// From the PEM block `PUBLIC KEY`, as cosign and openssl write it.
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        let spki = DerPublicKey::from_pem(pem).map_err(|error| BadKey::Pem(error.to_string()))?;
        let default = VerificationKey::from_spki(&spki).map_err(|error| BadKey::Kind(error.to_string()))?;
        let schemes: &[SigningScheme] = match default.scheme().key_algorithm() {
            KeyAlgorithm::EcdsaP256 => &[SigningScheme::EcdsaP256Sha256],
            // cosign 2 and earlier sign with SHA-256 whatever the curve.
            KeyAlgorithm::EcdsaP384 => &[SigningScheme::EcdsaP384Sha384, SigningScheme::EcdsaP384Sha256],
            KeyAlgorithm::Ed25519 => &[SigningScheme::Ed25519],
            KeyAlgorithm::Rsa => &[SigningScheme::RsaPkcs1Sha256, SigningScheme::RsaPssSha256],
            other => return Err(BadKey::Kind(format!("{other:?}"))),
        };
        let schemes = schemes.iter().map(|scheme| VerificationKey::from_spki_with_scheme(&spki, *scheme));
        let schemes: Result<_, _> = schemes.collect();
        let schemes = schemes.map_err(|error| BadKey::Kind(error.to_string()))?;
        Ok(Self { spki, schemes })
    }

    /// The key itself (DER, `SubjectPublicKeyInfo`).
    pub fn spki(&self) -> &[u8] {
        self.spki.as_bytes()
    }

    /// How bundles name the key that they were signed with; nothing vouches for it.
    pub fn hint(&self) -> String {
        STANDARD.encode(digest(&SHA256, self.spki()))
    }

    /// Whether this key made the signature over `message`.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = SignatureBytes::from_bytes(signature);
        self.schemes.iter().any(|key| key.verify(message, &signature).is_ok())
    }

    /// Whether this key made the signature over what hashes to `digest`, where its way of signing hashes so.
    pub(crate) fn signed_digest(&self, digest: &Digest, signature: &[u8]) -> bool {
        let signature = SignatureBytes::from_bytes(signature);
        let algorithm = match digest.algorithm() {
            Algorithm::Sha256 => HashAlgorithm::Sha2256,
            Algorithm::Sha512 => HashAlgorithm::Sha2512,
        };
        let fitting = self.schemes.iter().filter(|key| key.scheme().hash_algorithm() == Some(algorithm));
        fitting.into_iter().any(|key| key.verify_prehashed(&digest.bytes(), &signature).is_ok())
    }

    pub(crate) fn der(&self) -> &DerPublicKey {
        &self.spki
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.hint()).finish()
    }
}
