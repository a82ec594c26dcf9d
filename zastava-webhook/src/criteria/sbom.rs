//! Images have an SBOM: beside them, in their index, signed, or in the backend's catalogue.

use zastava_common::{
    config,
    evidence::{Evidence, SbomLevel},
};

use super::{Finding, Grade};
use crate::{
    known::Known,
    reason::{Criterion, Reason},
};

pub(super) fn check(evidence: &Evidence, known: &Known, wanted: config::SbomLevel) -> Option<Finding> {
    let wanted = match wanted {
        config::SbomLevel::Present => SbomLevel::Present,
        config::SbomLevel::Bound => SbomLevel::Bound,
        config::SbomLevel::Signed => SbomLevel::Signed,
    };
    // That the backend has one says that there is one, and no more.
    let catalogue =
        matches!(&known.verdict, Some(Ok(verdict)) if verdict.has_sbom).then_some(SbomLevel::Present);
    let found = evidence.sbom_level().max(catalogue);
    if found >= Some(wanted) {
        return None;
    }
    // What will never be told is no outage, whatever else is one.
    let open = evidence.sbom.as_ref().and_then(|sbom| sbom.refused.as_ref().or(sbom.unknown.as_ref()));
    if let Some(fault) = open {
        return Some(Finding {
            criterion: Criterion::Sbom,
            reason: fault.into(),
            grade: Grade::of(fault.is_outage()),
            detail: format!("whether there is an SBOM is not known: {fault}"),
        });
    }
    // Its catalogue may have one.
    if let (Some(Err(missing)), SbomLevel::Present) = (&known.verdict, wanted) {
        return Some(Finding::missing(Criterion::Sbom, missing));
    }
    let (reason, detail) = match (found, wanted) {
        (None, _) => (Reason::SbomMissing, "there is no SBOM for it, or not for each of its platforms"),
        (Some(_), SbomLevel::Signed) => (Reason::SbomUnsigned, "its SBOM is not signed by a verifier"),
        (Some(_), _) => (
            Reason::SbomUnbound,
            "its SBOM lies beside it, or in an index of which only the platforms are signed",
        ),
    };
    Some(Finding::deny(Criterion::Sbom, reason, detail))
}
