//! What is asked about images, and what the backend says.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// Reasons, build-ids and results that are kept of one answer.
const MAX_REASONS: usize = 32;
const MAX_BUILD_IDS: usize = 256;
const MAX_RESULTS: usize = 256;

/// Bytes of one text that are kept.
const MAX_TEXT: usize = 512;

/// All images of one pod in one question.
#[derive(Clone, Debug, Serialize)]
pub struct Question<'a> {
    pub tenant: &'a str,
    pub namespace: &'a str,
    pub labels: &'a BTreeMap<String, String>,
    pub images: Vec<ImageQuestion<'a>>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ImageQuestion<'a> {
    pub reference: String,
    /// `sha256:...`.
    pub digest: &'a str,
}

/// The backend's answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdicts {
    /// Names the policy that was applied.
    pub policy_revision: Option<String>,
    /// How long the backend stands by it.
    pub ttl: Option<Duration>,
    /// By digest; what was not answered is not in it.
    pub results: BTreeMap<String, Verdict>,
}

/// About one digest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    pub verdict: Decision,
    pub signed: Option<bool>,
    pub has_sbom: Option<bool>,
    /// As the backend words them; cut to what people read.
    pub reasons: Vec<String>,
    pub build_ids: Vec<String>,
    pub attestation: Option<Attestation>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    Pass,
    Warn,
    Fail,
    /// Also what we do not understand.
    #[default]
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub struct Attestation {
    pub uuid: String,
    pub verified: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    policy_revision: Option<String>,
    #[serde(default)]
    ttl_seconds: Option<u64>,
    results: BTreeMap<String, Result>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Result {
    #[serde(default)]
    verdict: Decision,
    #[serde(default)]
    signed: Option<bool>,
    #[serde(default)]
    has_sbom: Option<bool>,
    #[serde(default)]
    reasons: Option<Vec<String>>,
    #[serde(default)]
    build_ids: Option<Vec<String>>,
    #[serde(default)]
    attestation: Option<Attestation>,
}

impl Verdicts {
    /// Reads an answer. Fields that are not known are passed over; one without results is none.
    pub fn parse(body: &[u8]) -> std::result::Result<Self, serde_json::Error> {
        let Answer { policy_revision, ttl_seconds, results } = serde_json::from_slice(body)?;
        Ok(Self {
            policy_revision: policy_revision.map(cut),
            ttl: ttl_seconds.map(Duration::from_secs),
            results: results
                .into_iter()
                .take(MAX_RESULTS)
                .map(|(digest, result)| (digest, result.verdict()))
                .collect(),
        })
    }
}

impl Result {
    fn verdict(self) -> Verdict {
        let Self { verdict, signed, has_sbom, reasons, build_ids, attestation } = self;
        let texts =
            |texts: Option<Vec<String>>, most| texts.into_iter().flatten().take(most).map(cut).collect();
        let attestation =
            attestation.map(|Attestation { uuid, verified }| Attestation { uuid: cut(uuid), verified });
        Verdict {
            verdict,
            signed,
            has_sbom,
            reasons: texts(reasons, MAX_REASONS),
            build_ids: texts(build_ids, MAX_BUILD_IDS),
            attestation,
        }
    }
}

fn cut(mut text: String) -> String {
    let mut end = MAX_TEXT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
