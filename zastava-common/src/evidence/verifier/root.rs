use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use sigstore_verify::{
    Verifier,
    crypto::x509::parse_certificate_info,
    trust_root,
    types::{DerCertificate, TimeRange},
};

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
        let mut root =
            trust_root::TrustedRoot::from_json(json).map_err(|error| BadRoot(error.to_string()))?;
        for authority in &mut root.certificate_authorities {
            let chain = authority.cert_chain.certificates.iter().map(|one| &one.raw_bytes);
            authority.valid_for = valid(chain, authority.valid_for)?;
        }
        for authority in &mut root.timestamp_authorities {
            let chain = authority.cert_chain.certificates.iter().map(|one| &one.raw_bytes);
            authority.valid_for = valid(chain, authority.valid_for)?;
        }
        // One that never was valid has vouched for nothing.
        let ever = |valid: Option<TimeRange>| {
            valid.is_none_or(|TimeRange { start, end, .. }| end.is_none_or(|end| start <= end))
        };
        root.certificate_authorities.retain(|authority| ever(authority.valid_for));
        root.timestamp_authorities.retain(|authority| ever(authority.valid_for));
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

/// When an authority could vouch for anything: when the root says so, and every certificate of it. sigstore-verify takes
/// each of them for an anchor, whose own time it does not look at (CVE-2026-24122).
fn valid<'a>(
    chain: impl Iterator<Item = &'a DerCertificate>,
    said: Option<TimeRange>,
) -> Result<Option<TimeRange>, BadRoot> {
    let mut valid = said;
    for certificate in chain {
        let own = parse_certificate_info(certificate)
            .map_err(|error| BadRoot(format!("a certificate of an authority: {error}")))?;
        valid = Some(match valid {
            None => TimeRange::new(own.not_before, Some(own.not_after)),
            Some(TimeRange { start, end, .. }) => TimeRange::new(
                start.max(own.not_before),
                Some(end.map_or(own.not_after, |end| end.min(own.not_after))),
            ),
        });
    }
    Ok(valid)
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrustRoot").field(&super::super::digest::hex(&self.fingerprint)).finish()
    }
}
