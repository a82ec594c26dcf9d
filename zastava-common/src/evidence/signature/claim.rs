//! What a signature says, apart from whether it holds.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::evidence::Digest;

/// The predicate by which cosign says "this image is signed" and nothing else.
pub const SIGNED_IMAGE: &str = "https://sigstore.dev/cosign/sign/v1";

/// The payload type of in-toto statements.
pub(super) const IN_TOTO: &str = "application/vnd.in-toto+json";

const SIMPLE_SIGNING: &str = "cosign container image signature";

const STATEMENTS: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];

/// Subjects of one statement that are looked at.
const MAX_SUBJECTS: usize = 1_000;

/// What is signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Claim {
    /// That this image is signed (cosign's simple signing).
    Image(Digest),
    /// Something about subjects.
    Statement { predicate_type: String, subjects: Vec<Digest>, predicate: String },
    /// The bytes of the manifest themselves.
    Bytes,
}

/// Why it cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoClaim {
    #[error("what is signed is no JSON of the form expected: {0}")]
    Json(String),
    #[error("what is signed is of the type {0:?}")]
    Type(String),
    #[error("what is signed has more than {MAX_SUBJECTS} subjects")]
    TooMany,
}

#[derive(Deserialize)]
struct Simple {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: SimpleImage,
    r#type: String,
}

#[derive(Deserialize)]
struct SimpleImage {
    // The specification's own example has the capital.
    #[serde(rename = "docker-manifest-digest", alias = "Docker-manifest-digest")]
    digest: Digest,
}

#[derive(Deserialize)]
struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    subject: Vec<Subject>,
    #[serde(borrow)]
    predicate: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Subject {
    digest: BTreeMap<String, String>,
}

impl Claim {
    /// Cosign's "simple signing" payload. The name of the repository in it is not looked at, as cosign does not: an
    /// image may be copied with its signatures.
    pub(super) fn simple(payload: &[u8]) -> Result<Self, NoClaim> {
        let Simple { critical: Critical { image, r#type } } =
            serde_json::from_slice(payload).map_err(|error| NoClaim::Json(error.to_string()))?;
        if r#type == SIMPLE_SIGNING { Ok(Self::Image(image.digest)) } else { Err(NoClaim::Type(r#type)) }
    }

    /// An in-toto statement.
    pub(super) fn statement(payload: &[u8]) -> Result<Self, NoClaim> {
        let Statement { kind, predicate_type, subject, predicate } =
            serde_json::from_slice(payload).map_err(|error| NoClaim::Json(error.to_string()))?;
        if !STATEMENTS.contains(&kind.as_str()) {
            return Err(NoClaim::Type(kind));
        }
        if subject.len() > MAX_SUBJECTS {
            return Err(NoClaim::TooMany);
        }
        // A subject may have digests of other kinds (of a commit), which no image has.
        let digests = subject.iter().flat_map(|subject| &subject.digest);
        let subjects =
            digests.filter_map(|(algorithm, hex)| format!("{algorithm}:{hex}").parse().ok()).collect();
        let predicate = predicate.map_or_else(String::new, |predicate| predicate.get().to_owned());
        Ok(Self::Statement { predicate_type, subjects, predicate })
    }

    /// Whether it is about `digest`. Whose bytes they are shows when the signature is checked.
    pub fn is_about(&self, digest: &Digest) -> bool {
        match self {
            Self::Image(image) => image == digest,
            Self::Statement { subjects, .. } => subjects.contains(digest),
            Self::Bytes => true,
        }
    }

    /// Whether it says that the image is signed, rather than something about it, be it good or bad.
    pub fn signs(&self) -> bool {
        match self {
            Self::Image(_) | Self::Bytes => true,
            Self::Statement { predicate_type, .. } => predicate_type == SIGNED_IMAGE,
        }
    }

    pub fn predicate_type(&self) -> Option<&str> {
        match self {
            Self::Statement { predicate_type, .. } => Some(predicate_type),
            Self::Image(_) | Self::Bytes => None,
        }
    }
}
