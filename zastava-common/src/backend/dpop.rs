//! Proof of possession (RFC 9449): each request shows that it comes from whom the token was given to.

#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::{self, SystemRandom},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

/// A key for ES256, made at the start and never written anywhere.
pub struct ProofKey {
    pair: EcdsaKeyPair,
    x: String,
    y: String,
}

/// The random numbers of the machine, or the key made of them, failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no key or signature for a proof of possession can be made")]
pub struct NoProof;

/// What a proof is for.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    pub method: &'a str,
    /// Without query and fragment.
    pub url: &'a str,
    /// Seconds since 1970.
    pub now: u64,
    /// What the server wants to see in it.
    pub nonce: Option<&'a str>,
    /// The token that is shown beside it.
    pub token: Option<&'a str>,
}

impl ProofKey {
    pub fn generate() -> Result<Self, NoProof> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| NoProof)?;
        let point = pair.public_key().as_ref().to_vec();
        // Uncompressed: 4, x, y (SEC 1).
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else { return Err(NoProof) };
        Ok(Self { x: URL_SAFE_NO_PAD.encode(x), y: URL_SAFE_NO_PAD.encode(y), pair })
    }

    /// A JWT for the header `DPoP`, good for one request.
    pub fn proof(&self, occasion: Occasion<'_>) -> Result<String, NoProof> {
        let Occasion { method, url, now, nonce, token } = occasion;
        let Self { pair, x, y } = self;
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": { "kty": "EC", "crv": "P-256", "x": x, "y": y } });
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| NoProof)?;
        let mut claims = json!({ "jti": URL_SAFE_NO_PAD.encode(id), "htm": method, "htu": url, "iat": now });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        if let Some(token) = token {
            claims["ath"] = json!(token_hash(token));
        }
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| NoProof)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// How servers name this key (RFC 7638).
    pub fn thumbprint(&self) -> String {
        thumbprint(&self.x, &self.y)
    }
}

/// The members that count, in the order of their names, without blanks.
fn thumbprint(x: &str, y: &str) -> String {
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
}

fn token_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()))
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProofKey").field(&self.thumbprint()).finish()
    }
}
