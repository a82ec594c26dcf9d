//! Tags that say nothing, or something else tomorrow.

use zastava_common::evidence::{ImageReference, reference::Tag};

use super::Finding;
use crate::{
    policy::Tags,
    reason::{Criterion, Reason},
};

/// One finding at most: the strictest rule speaks.
pub(super) fn check(image: &ImageReference, rules: &[Tags]) -> Option<Finding> {
    let deny = |reason, detail| Some(Finding::deny(Criterion::TagBans, reason, detail));
    let has_digest = image.digest().is_some();
    if !has_digest && rules.iter().any(|rules| rules.require_digest) {
        return deny(Reason::DigestRequired, format!("{image} names no digest"));
    }
    if !has_digest && image.tag().is_none() && rules.iter().any(|rules| rules.deny_untagged) {
        return deny(Reason::Untagged, format!("{image} names neither tag nor digest"));
    }
    // A tag beside a digest is decoration for runtimes, but whoever reads the manifest takes it at its word.
    let latest = Tag::latest();
    let tag = match image.tag() {
        Some(tag) => tag,
        None if has_digest => return None,
        None => &latest,
    };
    let banned = rules.iter().flat_map(|rules| &rules.deny).find(|glob| glob.matches(tag.as_str()))?;
    deny(Reason::TagDenied, format!("the tag {tag} is refused by `{}`", banned.as_str()))
}
