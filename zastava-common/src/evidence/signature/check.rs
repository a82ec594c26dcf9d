use sigstore_verify::{
    Error, PublicKeyVerificationPolicy, TimestampError, TransparencyLogError, VerificationPolicy, bundle,
    types,
};

use super::read::{By, Message, Signature};
use crate::evidence::{
    Digest, Reason, Refusal,
    digest::Algorithm,
    facts::refusal,
    verifier::{Identity, Method, PublicKey, TrustRoot, Verifier},
};

/// What holds of a signature that a verifier accepts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checked {
    /// Issuer and subject of the certificate, where it was signed with one.
    pub identity: Option<(String, String)>,
    /// Whether its entry in a transparency log was checked.
    pub logged: bool,
}

/// Whether `verifier` made this signature, and whether it is about `digest`. What it says about it is for the caller to
/// look at.
pub fn check(verifier: &Verifier, signature: &Signature, digest: &Digest) -> Result<Checked, Refusal> {
    if !signature.claim.is_about(digest) {
        return Err(refusal(
            Reason::SignatureInvalid,
            "it signs another image: it was copied, or the image replaced",
        ));
    }
    match &verifier.method {
        Method::Key { key, log } => {
            check_key(key, signature, digest)?;
            if let Some(root) = log {
                check_log(root, key, signature, digest)?;
            }
            Ok(Checked { identity: None, logged: log.is_some() })
        }
        Method::Keyless { identity, root, log } => check_keyless(identity, root, *log, signature, digest),
    }
}

/// The key's own signature, without any log: sigstore-verify takes no bundle that has neither a log entry nor a
/// timestamp.
fn check_key(key: &PublicKey, signature: &Signature, digest: &Digest) -> Result<(), Refusal> {
    let holds = match &signature.message {
        Message::Bytes(bytes) => key.signed(bytes, &signature.made),
        Message::Manifest => key.signed_digest(digest, &signature.made),
    };
    match &signature.by {
        _ if holds => Ok(()),
        By::Key(Some(hint)) if *hint == key.hint() => {
            Err(refusal(Reason::SignatureInvalid, "it names the key, but the key did not make it"))
        }
        By::Key(_) => Err(refusal(Reason::KeyMismatch, "it is signed with another key")),
        By::Certificate => {
            Err(refusal(Reason::KeyMismatch, "it is signed with a certificate, and not by the key"))
        }
    }
}

fn check_log(
    root: &TrustRoot,
    key: &PublicKey,
    signature: &Signature,
    digest: &Digest,
) -> Result<(), Refusal> {
    let bundle = bundle_of(signature)?;
    if bundle.verification_material.tlog_entries.is_empty() {
        return Err(refusal(
            Reason::TlogMissing,
            "it has no entry in a transparency log, which the policy requires",
        ));
    }
    let policy = PublicKeyVerificationPolicy::new(key.der().clone());
    let checked = root
        .verifier()
        .verify(artifact(signature, digest)?, bundle, &policy)
        .map_err(|error| tell(&error))?;
    if checked.tlog_verified() {
        Ok(())
    } else {
        Err(refusal(Reason::TlogMissing, "its log entry was not checked"))
    }
}

fn check_keyless(
    identity: &Identity,
    root: &TrustRoot,
    log: bool,
    signature: &Signature,
    digest: &Digest,
) -> Result<Checked, Refusal> {
    if matches!(signature.by, By::Key(_)) {
        return Err(refusal(
            Reason::IdentityMismatch,
            "it is signed with a key, which is nobody's certificate",
        ));
    }
    let bundle = bundle_of(signature)?;
    let mut policy = VerificationPolicy::any_identity();
    if log {
        if bundle.verification_material.tlog_entries.is_empty() {
            return Err(refusal(
                Reason::TlogMissing,
                "it has no entry in a transparency log, which the policy requires",
            ));
        }
    } else {
        policy = policy.skip_tlog_unsafe().skip_sct();
    }
    let checked = root
        .verifier()
        .verify(artifact(signature, digest)?, bundle, &policy)
        .map_err(|error| tell(&error))?;
    let (Some(issuer), Some(subject), true) =
        (checked.issuer(), checked.identity(), checked.certificate_verified())
    else {
        return Err(refusal(Reason::IdentityMismatch, "its certificate names no issuer or no subject"));
    };
    // Both of one certificate.
    let Identity { issuer: wanted_issuer, subject: wanted_subject } = identity;
    if !wanted_issuer.matches(issuer) || !wanted_subject.matches(subject.as_str()) {
        let detail = format!("it is signed by {:?}, for whom {issuer:?} vouches", subject.as_str());
        return Err(Refusal { reason: Reason::IdentityMismatch, detail });
    }
    Ok(Checked {
        identity: Some((issuer.to_owned(), subject.as_str().to_owned())),
        logged: checked.tlog_verified(),
    })
}

fn bundle_of(signature: &Signature) -> Result<&types::Bundle, Refusal> {
    signature
        .bundle
        .as_ref()
        .map_err(|cause| Refusal { reason: Reason::SignatureInvalid, detail: cause.clone() })
}

/// What is signed, as sigstore-verify wants it.
fn artifact<'a>(signature: &'a Signature, digest: &Digest) -> Result<types::Artifact<'a>, Refusal> {
    if let (super::Claim::Image(_), Message::Bytes(payload)) = (&signature.claim, &signature.message) {
        return Ok(types::Artifact::Blob(payload));
    }
    let algorithm = match digest.algorithm() {
        Algorithm::Sha256 => types::HashAlgorithm::Sha2256,
        Algorithm::Sha512 => types::HashAlgorithm::Sha2512,
    };
    let hash = types::ArtifactDigest::new(algorithm, digest.bytes());
    hash.map(types::Artifact::Digest)
        .map_err(|error| Refusal { reason: Reason::SignatureInvalid, detail: error.to_string() })
}

/// sigstore-verify's reasons in ours.
fn tell(error: &Error) -> Refusal {
    let reason = match error {
        Error::IdentityMismatch { .. } | Error::IssuerMismatch { .. } => Reason::IdentityMismatch,
        Error::TransparencyLog(TransparencyLogError::UnknownLog { .. }) => Reason::TlogMissing,
        Error::Bundle(missing) => match missing {
            bundle::Error::MissingInclusionProof(_)
            | bundle::Error::MissingInclusionPromise(_)
            | bundle::Error::MissingSigningTimeEvidence => Reason::TlogMissing,
            bundle::Error::MissingTimestamp => Reason::TimestampMissing,
            _ => Reason::SignatureInvalid,
        },
        Error::Timestamp(TimestampError::NoVerifiedTimestamp(_)) => Reason::TimestampMissing,
        Error::UnsupportedBundle(_) => Reason::FormatUnsupported,
        _ => Reason::SignatureInvalid,
    };
    Refusal { reason, detail: error.to_string() }
}
