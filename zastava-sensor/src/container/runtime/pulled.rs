//! Which digest an image was pulled under, where the runtime tells no more than `RepoDigests`.

use std::{collections::BTreeSet, sync::Arc};

use super::reference::Reference;
use crate::{container::reason, observation::Known};

/// Of an image's repo digests the one for what was asked for. Where the repository has several, `preferred` decides, the
/// runtime's own choice: by itself it may be of another repository, which has an image with the same config.
pub(super) fn digest<'a>(
    requested: &str,
    repo_digests: impl IntoIterator<Item = &'a str>,
    preferred: Option<&str>,
) -> Known<Arc<str>> {
    let requested = Reference::parse(requested);
    let all: Vec<Reference<'_>> = repo_digests.into_iter().filter_map(Reference::parse).collect();
    let digests: BTreeSet<&str> = all.iter().filter_map(|one| one.digest).collect();
    if let Some(asked) = requested.and_then(|requested| requested.digest)
        && digests.contains(asked)
    {
        return Known::Is(asked.into());
    }
    let repository = requested.map(|requested| requested.repository());
    let of_repository: BTreeSet<&str> = all
        .iter()
        .filter(|one| repository.as_deref() == Some(one.repository().as_str()))
        .filter_map(|one| one.digest)
        .collect();
    for candidates in [&of_repository, &digests] {
        match (candidates.len(), preferred) {
            (0, _) => {}
            (1, _) => {
                return candidates
                    .first()
                    .map_or(Known::Not(reason::NO_REPO_DIGEST), |one| Known::Is((*one).into()));
            }
            // An index and its manifest, as a rule.
            (_, Some(preferred)) if candidates.contains(preferred) => return Known::Is(preferred.into()),
            _ => return Known::Not(reason::DIGEST_AMBIGUOUS),
        }
    }
    Known::Not(reason::NO_REPO_DIGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const E: &str = "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    fn of(requested: &str, digests: &[(&str, &str)], preferred: Option<&str>) -> Known<Arc<str>> {
        let digests: Vec<String> = digests.iter().map(|(name, digest)| format!("{name}@{digest}")).collect();
        digest(requested, digests.iter().map(String::as_str), preferred)
    }

    #[test]
    fn the_repository_asked_for_decides_between_two_with_one_config() {
        let both = [("ghcr.io/a/x", D), ("ghcr.io/b/y", E)];
        assert_eq!(of("ghcr.io/a/x:1", &both, Some(E)), Known::Is(D.into()));
        assert_eq!(of("ghcr.io/b/y", &both, None), Known::Is(E.into()));
        assert_eq!(of("ghcr.io/c/z:1", &both, None), Known::Not(reason::DIGEST_AMBIGUOUS));
        assert_eq!(of("busybox:1", &[("busybox", D), ("other", E)], None), Known::Is(D.into()));
        assert_eq!(of("busybox", &[("docker.io/library/busybox", D)], None), Known::Is(D.into()));
    }

    #[test]
    fn an_image_that_was_renamed_keeps_its_digest() {
        assert_eq!(of("mine:1", &[("ghcr.io/a/x", D)], None), Known::Is(D.into()));
    }

    #[test]
    fn an_image_that_was_never_pulled_has_none() {
        assert_eq!(of("mine:1", &[], None), Known::Not(reason::NO_REPO_DIGEST));
        assert_eq!(of(D, &[("<none>", "<none>")], None), Known::Not(reason::NO_REPO_DIGEST));
    }

    #[test]
    fn of_an_index_and_its_manifest_the_runtime_chooses() {
        let both = [("ghcr.io/a/x", D), ("ghcr.io/a/x", E)];
        assert_eq!(of("ghcr.io/a/x:1", &both, Some(E)), Known::Is(E.into()));
        assert_eq!(of("ghcr.io/a/x:1", &both, None), Known::Not(reason::DIGEST_AMBIGUOUS));
        assert_eq!(of(&format!("ghcr.io/a/x@{D}"), &both, Some(E)), Known::Is(D.into()));
    }
}
