//! Images are signed by whom the policy names.

use zastava_common::evidence::{Evidence, Outcome, Reason as Why, Refusal, SignerFact};

use super::{Finding, Grade};
use crate::{
    policy::{Need, Requirement},
    reason::{Criterion, Reason},
};

/// The first requirement that does not hold speaks.
pub(super) fn check(evidence: &Evidence, requirements: &[Requirement]) -> Option<Finding> {
    requirements.iter().find_map(|requirement| requirement_fails(evidence, requirement))
}

fn requirement_fails(evidence: &Evidence, Requirement { need, members }: &Requirement) -> Option<Finding> {
    // A verifier that was not asked has verified nothing.
    let facts: Option<Vec<&SignerFact>> = members.iter().map(|at| evidence.signatures.get(*at)).collect();
    let Some(facts) = facts else {
        return Some(deny(Reason::Unsigned, "not every verifier was asked".to_owned()));
    };
    let holds = match need {
        Need::Any => facts.iter().any(|fact| fact.is_verified()),
        Need::All => !facts.is_empty() && facts.iter().all(|fact| fact.is_verified()),
    };
    if holds {
        return None;
    }
    let unknown = facts.iter().find_map(|fact| match &fact.outcome {
        Outcome::Unknown(fault) => Some((&fact.verifier, fault)),
        _ => None,
    });
    let closest = facts
        .iter()
        .filter_map(|fact| match &fact.outcome {
            Outcome::Refused(refusal) => Some((&fact.verifier, refusal)),
            _ => None,
        })
        .max_by_key(|(_, Refusal { reason, .. })| *reason);
    match (need, unknown, closest) {
        // Where one is enough, the one that is not known could be it; where all are needed, one no is enough.
        (Need::Any, Some((verifier, fault)), _) | (Need::All, Some((verifier, fault)), None) => {
            Some(Finding {
                criterion: Criterion::ImageSignature,
                reason: fault.into(),
                grade: Grade::of(fault.is_outage()),
                detail: format!("whether {verifier} signed it is not known: {fault}"),
            })
        }
        (_, _, Some((verifier, Refusal { reason: Why::Unsigned, .. }))) => {
            let others = facts.len().saturating_sub(1);
            let more = if others == 0 { String::new() } else { format!(" or {others} more") };
            Some(deny(Reason::Unsigned, format!("there is no signature by {verifier}{more}")))
        }
        (_, _, Some((verifier, Refusal { reason, detail }))) => {
            Some(deny((*reason).into(), format!("not signed by {verifier}: {detail}")))
        }
        // Nobody is asked for: such a requirement cannot hold.
        (_, None, None) => Some(deny(Reason::Unsigned, "no verifier is named".to_owned())),
    }
}

fn deny(reason: Reason, detail: String) -> Finding {
    Finding::deny(Criterion::ImageSignature, reason, detail)
}
