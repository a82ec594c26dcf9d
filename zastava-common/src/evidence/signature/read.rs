use sigstore_verify::types::{Bundle, SignatureContent, bundle::VerificationMaterialContent};

use super::claim::{Claim, IN_TOTO, NoClaim};
use crate::evidence::{Digest, Form};

/// The beginning of a bundle's media type, whatever its version.
pub const BUNDLE_LAYER: &str = "application/vnd.dev.sigstore.bundle";

/// A signature with what it says and what proves it, not yet checked.
#[derive(Clone, Debug)]
pub struct Signature {
    pub(super) form: Form,
    pub(super) claim: Claim,
    /// What is signed.
    pub(super) message: Message,
    /// The signature itself.
    pub(super) made: Vec<u8>,
    pub(super) by: By,
    /// The same as a bundle: the form in which certificates and log entries are checked. An error where what is kept
    /// beside the signature makes none.
    pub(super) bundle: Result<Bundle, String>,
    /// The blob that it was read from.
    pub(super) source: Digest,
}

#[derive(Clone, Debug)]
pub(super) enum Message {
    /// These.
    Bytes(Vec<u8>),
    /// The manifest's.
    Manifest,
}

/// Who is said to have signed; nothing vouches for it.
#[derive(Clone, Debug)]
pub(super) enum By {
    /// A key, with the hint that bundles have.
    Key(Option<String>),
    Certificate,
}

/// Why something is no signature that can be checked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoSignature {
    #[error("it is no Sigstore bundle: {0}")]
    Bundle(String),
    #[error("it signs content of the type {0:?}")]
    PayloadType(String),
    #[error("it is signed in a way that is not known here")]
    Kind,
    #[error("it is no DSSE envelope with one signature: {0}")]
    Envelope(String),
    #[error("it has no signature, or one that is no base64")]
    Missing,
    #[error(transparent)]
    Claim(#[from] NoClaim),
}

impl NoSignature {
    /// Whether it is meant as something else, rather than broken.
    pub fn is_other(&self) -> bool {
        matches!(self, Self::PayloadType(_) | Self::Kind | Self::Claim(NoClaim::Type(_)))
    }
}

impl Signature {
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    pub fn form(&self) -> Form {
        self.form
    }

    pub fn source(&self) -> &Digest {
        &self.source
    }
}

/// Reads a Sigstore bundle, version 0.1 to 0.3. `source` is the blob's digest.
pub fn read_bundle(json: &[u8], source: &Digest) -> Result<Signature, NoSignature> {
    let text = std::str::from_utf8(json).map_err(|error| NoSignature::Bundle(error.to_string()))?;
    let bundle = Bundle::from_json(text).map_err(|error| NoSignature::Bundle(error.to_string()))?;
    let by = match &bundle.verification_material.content {
        VerificationMaterialContent::PublicKey(key) => By::Key(Some(key.hint.clone())),
        VerificationMaterialContent::Certificate(_)
        | VerificationMaterialContent::X509CertificateChain { .. } => By::Certificate,
        _ => return Err(NoSignature::Kind),
    };
    let (claim, message, signature) = match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            if envelope.payload_type != IN_TOTO {
                return Err(NoSignature::PayloadType(envelope.payload_type.clone()));
            }
            let claim = Claim::statement(envelope.payload.as_bytes())?;
            (claim, Message::Bytes(envelope.pae()), envelope.signature.sig.as_bytes().to_vec())
        }
        SignatureContent::MessageSignature(message) => {
            (Claim::Bytes, Message::Manifest, message.signature.as_bytes().to_vec())
        }
        _ => return Err(NoSignature::Kind),
    };
    Ok(Signature {
        form: Form::Bundle,
        claim,
        message,
        made: signature,
        by,
        bundle: Ok(bundle),
        source: source.clone(),
    })
}
