//! The answer as the API server reads it: AdmissionReview with a response.
//!
//! A refusal says everything: one line per image and criterion. What is let through says it in warnings, which
//! `kubectl` shows and which are short, because the API server cuts them. What was decided, and on what, goes into the
//! audit log as annotations.
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;
use zastava_common::evidence::Outcome;

use crate::{
    criteria::Finding,
    decision::{Answer, Decision, Judged},
    policy::PolicyHash,
    review::{API_VERSION, KIND},
};

/// Longest warning in bytes; longer ones may be cut by the API server.
const MAX_WARNING: usize = 256;
const MAX_WARNINGS: usize = 16;
/// Longest message of a refusal, in bytes.
const MAX_MESSAGE: usize = 16 << 10;
/// Longest value of an annotation, in bytes.
const MAX_ANNOTATION: usize = 4 << 10;

/// The body of the answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
struct Status {
    code: u16,
    reason: &'static str,
    message: String,
}

/// Nothing was looked at.
pub fn allow(uid: &str) -> Review<'_> {
    review(Response {
        uid,
        allowed: true,
        status: None,
        warnings: Vec::new(),
        audit_annotations: BTreeMap::new(),
    })
}

/// What was decided.
pub fn answer<'a>(uid: &'a str, decision: &Decision, policy: PolicyHash) -> Review<'a> {
    let allowed = decision.answer.allows();
    review(Response {
        uid,
        allowed,
        status: (!allowed).then(|| Status {
            code: 403,
            reason: "Forbidden",
            message: message(decision, policy),
        }),
        warnings: if allowed { warnings(decision) } else { Vec::new() },
        audit_annotations: annotations(decision, policy),
    })
}

fn review(response: Response<'_>) -> Review<'_> {
    Review { api_version: API_VERSION, kind: KIND, response }
}

/// One line per image and criterion: where it stands, which image, the reason, what exactly, what would fix it.
pub fn message(decision: &Decision, policy: PolicyHash) -> String {
    let count = decision.findings().count();
    let plural = if count == 1 { "reason" } else { "reasons" };
    let mut message = format!("zastava policy {policy} has {count} {plural}:");
    let mut untold = 0_usize;
    for (judged, finding) in decision.findings() {
        let line = line(judged, finding);
        if message.len() + line.len() + 64 > MAX_MESSAGE {
            untold += 1;
        } else {
            message.push('\n');
            message.push_str(&line);
        }
    }
    if untold > 0 {
        // Writing to a String does not fail.
        let _ = write!(message, "\nand {untold} more");
    }
    message
}

fn line(judged: Option<&Judged>, Finding { criterion: _, reason, grade: _, detail }: &Finding) -> String {
    let place = judged.map_or_else(String::new, |judged| format!("{} ", place(judged)));
    format!("{place}{}: {detail}. To fix it: {}.", reason.code(), reason.fix())
}

/// `spec.containers[web].image "registry.example/a:1" (sha256:...)`.
fn place(Judged { image, digest, .. }: &Judged) -> String {
    let mut place = image.fields.first().map(ToString::to_string).unwrap_or_default();
    if image.fields.len() > 1 {
        let _ = write!(place, " and {} more", image.fields.len() - 1);
    }
    let _ = write!(place, " \"{}\"", plain(&image.reference));
    if let Some(digest) = digest.as_ref().map(ToString::to_string)
        && !image.reference.contains(&digest)
    {
        let _ = write!(place, " ({digest})");
    }
    place
}

fn warnings(decision: &Decision) -> Vec<String> {
    let prefix = match decision.answer {
        Answer::Allow | Answer::Warn | Answer::Deny => "zastava",
        Answer::WouldDeny => "zastava would deny",
        Answer::FailOpen => "zastava let through unchecked",
    };
    let mut warnings: Vec<String> = decision
        .findings()
        .take(MAX_WARNINGS)
        .map(|(judged, Finding { reason, detail, .. })| {
            let image =
                judged.map_or_else(String::new, |judged| format!(" {}", plain(&judged.image.reference)));
            cut(format!("{prefix}: {}:{image}: {detail}", reason.code()), MAX_WARNING)
        })
        .collect();
    let untold = decision.findings().count().saturating_sub(MAX_WARNINGS);
    if untold > 0 {
        warnings.push(format!("{prefix}: and {untold} more"));
    }
    warnings
}

/// Keys stay; the API server puts the webhook's name before them.
fn annotations(decision: &Decision, policy: PolicyHash) -> BTreeMap<&'static str, String> {
    let images = decision.images.iter().map(|judged| match &judged.digest {
        Some(digest) if !judged.image.reference.contains(&digest.to_string()) => {
            format!("{}={digest}", plain(&judged.image.reference))
        }
        _ => plain(&judged.image.reference),
    });
    let mut reasons: Vec<_> = decision.findings().map(|(_, finding)| finding.reason.code()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let evidence = decision.images.iter().filter_map(evidence);
    let mut annotations = BTreeMap::from([
        ("decision", decision.answer.name().to_owned()),
        ("policy", policy.to_string()),
        ("images", cut(images.collect::<Vec<_>>().join(" "), MAX_ANNOTATION)),
    ]);
    if !reasons.is_empty() {
        annotations.insert("reasons", cut(reasons.join(" "), MAX_ANNOTATION));
    }
    let evidence = evidence.collect::<Vec<_>>().join(" ");
    if !evidence.is_empty() {
        annotations.insert("evidence", cut(evidence, MAX_ANNOTATION));
    }
    annotations
}

/// Who signed it: `sha256:...=release,ci`.
fn evidence(judged: &Judged) -> Option<String> {
    let evidence = judged.evidence.as_ref()?;
    let signers = evidence.signatures.iter().filter(|fact| matches!(fact.outcome, Outcome::Verified(_)));
    let signers: Vec<_> = signers.map(|fact| fact.verifier.as_str()).collect();
    (!signers.is_empty()).then(|| format!("{}={}", evidence.digest, signers.join(",")))
}

/// A reference that could not be read may have anything in it.
fn plain(text: &str) -> String {
    let shown: String = text.chars().take(300).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if shown.is_empty() { "(empty)".to_owned() } else { shown }
}

/// At most so many bytes, and a mark where something is missing.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let mut end = most - "...".len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
    text
}
