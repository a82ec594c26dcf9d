//! The criteria: one file each, from facts to findings. No criterion asks anybody; what it needs to know is given to it,
//! and what is not known is a finding of its own.
#![forbid(unsafe_code)]

mod base_image;
mod image_signature;
mod policy_verdict;
mod registry_allowlist;
mod sbom;
mod tag_bans;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use zastava_common::evidence::{Evidence, ImageReference};

use crate::{
    known::{Known, Missing},
    policy::Rules,
    reason::{Criterion, Reason},
};

/// What speaks against an image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    pub criterion: Criterion,
    pub reason: Reason,
    pub grade: Grade,
    /// A sentence with what exactly was found, fit for a terminal.
    pub detail: String,
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Grade {
    /// It is told and changes nothing.
    Warn,
    /// The answer could not be had: the namespace's rule decides.
    Unanswered,
    Deny,
}

impl Grade {
    /// Of what could not be found out: an outage alone is something to be excused.
    pub fn of(is_outage: bool) -> Self {
        if is_outage { Self::Unanswered } else { Self::Deny }
    }
}

impl Finding {
    pub fn deny(criterion: Criterion, reason: Reason, detail: impl Into<String>) -> Self {
        Self { criterion, reason, grade: Grade::Deny, detail: detail.into() }
    }

    /// What could not be found out speaks against an image too.
    pub fn missing(criterion: Criterion, missing: &Missing) -> Self {
        let grade = Grade::of(missing.is_outage());
        Self { criterion, reason: missing.reason(), grade, detail: missing.detail() }
    }
}

/// What the reference itself gives away. An image that fails here is asked about nowhere: a registry that is not allowed
/// never hears of it.
pub fn at_once(image: &ImageReference, rules: &Rules) -> Vec<Finding> {
    let tags = tag_bans::check(image, &rules.tags);
    registry_allowlist::check(image, &rules.registries).into_iter().chain(tags).collect()
}

/// What is known about the image's digest.
pub fn by_facts(known: &Known, rules: &Rules) -> Vec<Finding> {
    let mut findings = Vec::new();
    if rules.needs_evidence() {
        match evidence(known) {
            Ok(evidence) => {
                findings.extend(image_signature::check(evidence, &rules.signatures));
                findings.extend(rules.sbom.and_then(|level| sbom::check(evidence, known, level)));
                findings.extend(base_image::check(evidence, known, &rules.bases));
            }
            // One line for all criteria that needed it.
            Err(missing) => findings.push(Finding::missing(Criterion::Evidence, &missing)),
        }
    }
    if rules.verdict {
        findings.extend(policy_verdict::check(known, !rules.needs_evidence()));
    }
    findings
}

/// The evidence, or why there is none. What was never asked for was not had in time.
fn evidence(known: &Known) -> Result<&Arc<Evidence>, Missing> {
    if let Some(Err(missing)) = &known.digest {
        return Err(missing.clone());
    }
    match &known.evidence {
        Some(Ok(evidence)) => Ok(evidence),
        Some(Err(missing)) => Err(missing.clone()),
        None => Err(Missing::Deadline),
    }
}
