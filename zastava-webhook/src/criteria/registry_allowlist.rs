//! Images come from allowed places.

use zastava_common::evidence::ImageReference;

use super::Finding;
use crate::{
    policy::Repositories,
    reason::{Criterion, Reason},
};

/// Places named in a message.
const SHOWN: usize = 5;

/// Every list must permit the image; there is one finding at most.
pub(super) fn check(image: &ImageReference, lists: &[Repositories]) -> Option<Finding> {
    let list = lists.iter().find(|list| !list.permits(image))?;
    let mut places: Vec<_> = list.written().take(SHOWN).collect();
    if list.written().nth(SHOWN).is_some() {
        places.push("...");
    }
    let detail = format!("{} is in none of: {}", image.name(), places.join(", "));
    Some(Finding::deny(Criterion::RegistryAllowlist, Reason::RegistryDenied, detail))
}
