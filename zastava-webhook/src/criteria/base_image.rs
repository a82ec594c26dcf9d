//! Images are built on allowed bases. What an image says of itself proves nothing; signed provenance does, and layers.

use zastava_common::evidence::{Base, Evidence, Fault, Material};

use super::{Finding, Grade};
use crate::{
    known::{Known, Missing},
    policy::Bases,
    reason::{Criterion, Reason},
};

/// The first rule that does not hold speaks.
pub(super) fn check(evidence: &Evidence, known: &Known, rules: &[Bases]) -> Option<Finding> {
    rules.iter().find_map(|rule| rule_fails(evidence, known, rule))
}

fn rule_fails(evidence: &Evidence, known: &Known, rule: &Bases) -> Option<Finding> {
    let nothing = Base::default();
    let base = evidence.base.as_ref().unwrap_or(&nothing);
    let provenance = if rule.provenance { provenance(base, rule) } else { Provenance::Silent };
    // What could not be read may name a stranger.
    let by_provenance = provenance == Provenance::Allowed && base.unknown.is_none();
    if by_provenance || (rule.layers && layers_hold(base, known, rule)) {
        return None;
    }
    // What will never be told is no outage, whatever else is one.
    let unknown = base.refused.as_ref().or(base.unknown.as_ref()).cloned().map(Missing::Fault);
    let unknown = unknown.or_else(|| missing_base(known, rule));
    if let Some(missing) = unknown {
        return Some(Finding {
            criterion: Criterion::BaseImage,
            reason: missing.reason(),
            grade: Grade::of(missing.is_outage()),
            detail: format!("what it was built on is not known: {}", missing.detail()),
        });
    }
    let deny = |reason, detail| Some(Finding::deny(Criterion::BaseImage, reason, detail));
    match provenance {
        Provenance::Stranger(uri) => {
            deny(Reason::BaseDenied, format!("its provenance names {uri}, which is not allowed"))
        }
        _ if rule.layers && !base.layers.is_empty() => {
            let hint = base.hint.as_ref().and_then(|hint| hint.name.as_deref());
            let hint = hint
                .map_or_else(String::new, |name| format!("; it says of itself that it is {}", plain(name)));
            deny(Reason::BaseDenied, format!("its first layers are of no allowed base{hint}"))
        }
        _ => deny(Reason::BaseUnknown, "there is no proof of what it was built on".to_owned()),
    }
}

#[derive(Debug, Eq, PartialEq)]
enum Provenance {
    /// It names no image.
    Silent,
    Allowed,
    /// It names this one, among others perhaps.
    Stranger(String),
}

/// Every image that went into the build must be allowed: which of them was the base, provenance does not say.
fn provenance(base: &Base, rule: &Bases) -> Provenance {
    let mut images = base.materials.iter().filter(|material| material.is_image()).peekable();
    if images.peek().is_none() {
        return Provenance::Silent;
    }
    let allowed = |material: &Material| {
        material
            .digest
            .as_ref()
            .is_some_and(|digest| rule.allow.iter().any(|base| base.digest() == Some(digest)))
    };
    match images.find(|material| !allowed(material)) {
        Some(material) => Provenance::Stranger(plain(&material.uri)),
        None => Provenance::Allowed,
    }
}

/// Each platform's image begins with the layers of an allowed base for the same platform.
fn layers_hold(base: &Base, known: &Known, rule: &Bases) -> bool {
    let allowed = || {
        let bases = known.bases.iter().filter(|(image, _)| rule.allow.contains(image));
        bases.filter_map(|(_, layers)| layers.as_ref().ok()).flat_map(|layers| layers.iter())
    };
    !base.layers.is_empty() && base.layers.iter().all(|image| allowed().any(|base| image.start_with(base)))
}

/// Why one of the bases could not be compared with. One that is not there any more is no base of anything.
fn missing_base(known: &Known, rule: &Bases) -> Option<Missing> {
    if !rule.layers {
        return None;
    }
    let asked = |image| known.bases.iter().find(|(its, _)| its == image);
    rule.allow.iter().find_map(|image| match asked(image) {
        Some((_, Ok(_) | Err(Missing::Fault(Fault::NotFound { .. })))) => None,
        Some((_, Err(missing))) => Some(missing.clone()),
        None => Some(Missing::Deadline),
    })
}

fn plain(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
