//! What is told of a request: the log's line and the metrics, from one value.

use std::time::Duration;

use zastava_common::metric;

use crate::{
    decision::{Answer, Decision},
    engine::Outcome,
    gather::Depth,
    policy::PolicyHash,
    review::Subject,
};

/// Findings in one line of the log.
const MAX_FINDINGS: usize = 16;

/// A request that was answered.
#[derive(Debug)]
pub struct Answered<'a> {
    pub subject: &'a Subject,
    pub outcome: &'a Outcome,
    pub policy: PolicyHash,
    pub took: Duration,
}

impl Answered<'_> {
    pub fn tell(&self) {
        let Self { subject, outcome, policy, took } = self;
        let (decision, depth) = match outcome {
            Outcome::Nothing(_) | Outcome::Ignored => {
                metrics::counter!(metric::ADMISSION_DECISIONS, "decision" => Answer::Allow.name())
                    .increment(1);
                metrics::histogram!(metric::ADMISSION_DURATION, "path" => Depth::Warm.name()).record(*took);
                tracing::debug!(
                    uid = %subject.uid, namespace = %subject.namespace, kind = %subject.kind,
                    sub_resource = subject.sub_resource.as_deref(), outcome = ?outcome, "nothing to look at"
                );
                return;
            }
            Outcome::Decided { decision, depth } => (decision, depth),
        };
        count(decision, *depth, *took);
        if decision.answer == Answer::FailOpen {
            let namespace = subject.namespace.clone();
            metrics::counter!(metric::ADMISSION_FAIL_OPEN, "namespace" => namespace).increment(1);
        }
        let images: Vec<String> = decision
            .images
            .iter()
            .map(|judged| match &judged.digest {
                Some(digest) => format!("{:?}={digest}", judged.image.reference),
                None => format!("{:?}", judged.image.reference),
            })
            .collect();
        tracing::info!(
            decision = decision.answer.name(), uid = %subject.uid, namespace = %subject.namespace,
            kind = %subject.kind, name = %subject.name, sub_resource = subject.sub_resource.as_deref(),
            dry_run = subject.dry_run, policy = %policy, path = depth.name(),
            microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX), images = images.join(" "),
            findings = findings(decision), "decided"
        );
    }
}

/// A request that was refused without having been read.
#[derive(Debug)]
pub struct Refused<'a> {
    pub uid: &'a str,
    pub decision: &'a Decision,
    pub policy: PolicyHash,
    pub took: Duration,
}

impl Refused<'_> {
    pub fn tell(&self) {
        let Self { uid, decision, policy, took } = self;
        count(decision, Depth::Warm, *took);
        tracing::warn!(
            decision = decision.answer.name(), %uid, %policy, findings = findings(decision),
            "refused without having been read"
        );
    }
}

fn count(decision: &Decision, depth: Depth, took: Duration) {
    metrics::counter!(metric::ADMISSION_DECISIONS, "decision" => decision.answer.name()).increment(1);
    metrics::histogram!(metric::ADMISSION_DURATION, "path" => depth.name()).record(took);
    for (_, finding) in decision.findings() {
        let (criterion, reason) = (finding.criterion.name(), finding.reason.code());
        metrics::counter!(metric::ADMISSION_FINDINGS, "criterion" => criterion, "reason" => reason)
            .increment(1);
    }
}

fn findings(decision: &Decision) -> String {
    let findings = decision.findings().take(MAX_FINDINGS);
    let findings = findings.map(|(_, finding)| format!("{}: {}", finding.reason.code(), finding.detail));
    findings.collect::<Vec<_>>().join("; ")
}

/// A request that got no decision, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unanswered {
    /// It is no AdmissionReview, or not one of an object as Kubernetes writes it.
    Malformed,
    TooLarge,
    /// Its body did not come in time.
    Slow,
    /// Too much of other requests is in memory.
    Busy,
    /// The handler panicked.
    Panic,
}

impl Unanswered {
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::Busy => "busy",
            Self::Panic => "panic",
        }
    }

    pub fn tell(self, why: &str) {
        metrics::counter!(metric::ADMISSION_UNANSWERED, "cause" => self.name()).increment(1);
        if self == Self::Panic {
            tracing::error!(cause = self.name(), "no answer: {why}");
        } else {
            tracing::warn!(cause = self.name(), "no answer: {why}");
        }
    }
}
