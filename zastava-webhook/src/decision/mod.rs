//! From findings to one answer. A pure function of what was asked, what is known, and the rules.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use zastava_common::{
    config::Controllers,
    evidence::{Digest, Evidence, ImageReference, reference::NoReference},
};

use crate::{
    criteria::{self, Finding, Grade},
    images::{Image, Workload},
    known::Known,
    policy::Rules,
    reason::{Criterion, Reason},
};

/// The answer to one request, with everything that speaks against it.
#[derive(Clone, Debug)]
pub struct Decision {
    pub answer: Answer,
    pub images: Vec<Judged>,
    /// What is not about a single image.
    pub general: Option<Finding>,
}

/// One image, judged.
#[derive(Clone, Debug)]
pub struct Judged {
    pub image: Image,
    /// What the decision is about; `None` where that was not asked or could not be had.
    pub digest: Option<Digest>,
    /// What the decision rests on.
    pub evidence: Option<Arc<Evidence>>,
    pub findings: Vec<Finding>,
}

/// There is no default: an answer is always given by somebody.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Answer {
    Allow,
    /// Let through, and something is told.
    Warn,
    /// Let through because nothing is enforced.
    WouldDeny,
    /// Let through because the namespace fails open.
    FailOpen,
    Deny,
}

impl Answer {
    pub const ALL: [Self; 5] = [Self::Allow, Self::Warn, Self::WouldDeny, Self::FailOpen, Self::Deny];

    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::WouldDeny => "would_deny",
            Self::FailOpen => "fail_open",
            Self::Deny => "deny",
        }
    }

    pub fn allows(self) -> bool {
        self != Self::Deny
    }
}

/// An image whose reference was read, or was not one.
#[derive(Clone, Debug)]
pub struct Asked {
    pub image: Image,
    pub reference: Result<ImageReference, NoReference>,
    /// What the reference alone gives away.
    pub at_once: Vec<Finding>,
}

impl Asked {
    pub fn new(image: Image, rules: &Rules) -> Self {
        let reference = image.reference.parse::<ImageReference>();
        let at_once = match &reference {
            Ok(reference) => criteria::at_once(reference, rules),
            Err(why) => {
                vec![Finding::deny(Criterion::Reference, Reason::ReferenceInvalid, why.to_string())]
            }
        };
        Self { image, reference, at_once }
    }

    /// What must be asked of others about it; `None`: nothing, it has failed already or nothing is wanted.
    pub fn needs(&self, rules: &Rules) -> Option<&ImageReference> {
        let fails = self.at_once.iter().any(|finding| finding.grade == Grade::Deny);
        let asks = rules.needs_evidence() || rules.verdict;
        self.reference.as_ref().ok().filter(|_| asks && !fails)
    }
}

/// Judges a workload. `images` are all of its images with what was found out about each.
pub fn decide(workload: &Workload, rules: &Rules, images: Vec<(Asked, Known)>) -> Decision {
    let images: Vec<Judged> = images.into_iter().map(|(asked, known)| judge(asked, &known, rules)).collect();
    let general = workload.too_many.then(|| {
        let detail = format!("more than {} different images", crate::images::MAX_IMAGES);
        Finding::deny(Criterion::Reference, Reason::TooManyImages, detail)
    });
    let findings = || images.iter().flat_map(|judged| &judged.findings).chain(&general);
    let refuses = |finding: &Finding| match finding.grade {
        Grade::Warn => false,
        Grade::Unanswered => !rules.fail_open,
        Grade::Deny => true,
    };
    let answer = if findings().any(refuses) {
        match (rules.enforce, workload.is_pod, rules.controllers) {
            (false, _, _) => Answer::WouldDeny,
            (true, false, Controllers::Warn | Controllers::Ignore) => Answer::Warn,
            (true, _, _) => Answer::Deny,
        }
    } else {
        match findings().map(|finding| finding.grade).max() {
            None => Answer::Allow,
            Some(Grade::Unanswered) => Answer::FailOpen,
            Some(Grade::Warn | Grade::Deny) => Answer::Warn,
        }
    };
    Decision { answer, images, general }
}

fn judge(asked: Asked, known: &Known, rules: &Rules) -> Judged {
    let wants = asked.needs(rules).is_some();
    let Asked { image, reference, at_once } = asked;
    let mut findings = at_once;
    if wants {
        findings.extend(criteria::by_facts(known, rules));
    }
    let resolved = known.digest.as_ref().and_then(|digest| digest.as_ref().ok()).cloned();
    let digest = resolved.or_else(|| reference.ok()?.digest().cloned());
    let evidence = known.evidence.as_ref().and_then(|evidence| evidence.as_ref().ok()).cloned();
    Judged { image, digest, evidence, findings }
}

impl Decision {
    /// Of a question that could not be read: whoever wrote the object may have made it so, and nothing excuses that.
    pub fn unread(reason: Reason, detail: String) -> Self {
        let general = Some(Finding::deny(Criterion::Request, reason, detail));
        Self { answer: Answer::Deny, images: Vec::new(), general }
    }

    /// Everything that speaks against the request, with the image that it is about.
    pub fn findings(&self) -> impl Iterator<Item = (Option<&Judged>, &Finding)> {
        let of_images = self
            .images
            .iter()
            .flat_map(|judged| judged.findings.iter().map(move |finding| (Some(judged), finding)));
        of_images.chain(self.general.iter().map(|finding| (None, finding)))
    }
}
