//! The backend passes the image.

use super::{Finding, Grade};
use crate::{
    known::{Known, Missing, Verdict, VerdictWord},
    reason::{Criterion, Reason},
};

/// Reasons of the backend that are repeated.
const SHOWN: usize = 5;
/// Characters of each.
const LONGEST: usize = 200;

/// `alone`: no other criterion tells that the digest is not known.
pub(super) fn check(known: &Known, alone: bool) -> Option<Finding> {
    let criterion = Criterion::PolicyVerdict;
    let verdict = match (&known.digest, &known.verdict) {
        (_, Some(Ok(verdict))) => verdict,
        // What it stands for is not known, so that the backend was not asked.
        (Some(Err(missing)), _) => return alone.then(|| Finding::missing(criterion, missing)),
        (_, Some(Err(missing))) => return Some(Finding::missing(criterion, missing)),
        (_, None) => return Some(Finding::missing(criterion, &Missing::Deadline)),
    };
    let Verdict { word, reasons, has_sbom: _ } = &**verdict;
    let (reason, grade, word) = match word {
        VerdictWord::Pass => return None,
        VerdictWord::Warn => (Reason::VerdictWarn, Grade::Warn, "warn"),
        VerdictWord::Fail => (Reason::VerdictFail, Grade::Deny, "fail"),
        VerdictWord::Unknown => (Reason::VerdictUnknown, Grade::Deny, "unknown"),
    };
    let reasons: Vec<String> = reasons.iter().take(SHOWN).map(|reason| plain(reason)).collect();
    let detail = if reasons.is_empty() {
        format!("the backend says `{word}`")
    } else {
        format!("the backend says `{word}`: {}", reasons.join("; "))
    };
    Some(Finding { criterion, reason, grade, detail })
}

fn plain(text: &str) -> String {
    text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
