//! Names of images (github.com/distribution/reference).

use super::text::digest;

/// A name taken apart. Nothing is looked up and nothing normalised: `busybox` stays `busybox`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Reference<'a> {
    /// Registry and path.
    pub(super) name: &'a str,
    pub(super) tag: Option<&'a str>,
    pub(super) digest: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// `None` for what names no repository: an image id, or nothing.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (rest, digested) = match text.split_once('@') {
            Some((rest, digested)) => (rest, Some(digest(digested)?)),
            None => (text, None),
        };
        // A colon behind the last slash stands before a tag; one before it stands before a port.
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last..].find(':') {
            Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
            None => (rest, None),
        };
        let is_id = name == "sha256" || (tag.is_none() && digested.is_none() && digest(text).is_some());
        let bare_hex = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let whole = !name.is_empty() && tag != Some("") && !is_id && !bare_hex;
        whole.then_some(Self { name, tag, digest: digested })
    }

    /// The repository as a runtime's store names it: with Docker's registry where none is given.
    pub(super) fn repository(&self) -> String {
        let host = self.name.split_once('/').map(|(host, _)| host);
        let is_host = |host: &str| host.contains(['.', ':']) || host == "localhost";
        match host {
            Some("index.docker.io") => {
                Self { name: &self.name["index.docker.io/".len()..], ..*self }.repository()
            }
            Some("docker.io") if !self.name["docker.io/".len()..].contains('/') => {
                format!("docker.io/library/{}", &self.name["docker.io/".len()..])
            }
            Some(host) if is_host(host) => self.name.to_owned(),
            Some(_) => format!("docker.io/{}", self.name),
            None => format!("docker.io/library/{}", self.name),
        }
    }

    /// The whole name as a runtime's store has it: with the tag `latest` where nothing else is given.
    pub(super) fn stored(&self) -> String {
        match (self.digest, self.tag) {
            (Some(digest), _) => format!("{}@{digest}", self.repository()),
            (None, tag) => format!("{}:{}", self.repository(), tag.unwrap_or("latest")),
        }
    }
}

/// What was asked for, with the digest that runs: never two digests.
pub(super) fn with_digest(requested: &str, digest: Option<&str>) -> String {
    let Some(digest) = digest else { return requested.to_owned() };
    match Reference::parse(requested) {
        Some(Reference { name, tag: Some(tag), .. }) => format!("{name}:{tag}@{digest}"),
        Some(Reference { name, tag: None, .. }) => format!("{name}@{digest}"),
        // By id: there is no name to put it behind.
        None => digest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const D: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const E: &str = "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    fn parts(text: &str) -> Option<(&str, Option<&str>, Option<&str>)> {
        Reference::parse(text).map(|reference| (reference.name, reference.tag, reference.digest))
    }

    #[test]
    fn a_name_is_taken_apart() {
        assert_eq!(parts("busybox"), Some(("busybox", None, None)));
        assert_eq!(parts("host:5000/a/b"), Some(("host:5000/a/b", None, None)));
        assert_eq!(parts("host:5000/a/b:1.2"), Some(("host:5000/a/b", Some("1.2"), None)));
        let both = format!("ghcr.io/acme/api:1@{D}");
        assert_eq!(parts(&both), Some(("ghcr.io/acme/api", Some("1"), Some(D))));
    }

    #[test]
    fn an_id_names_no_repository() {
        for id in [D, &D["sha256:".len()..], "", "x:", "x@sha256:12", "@", ":1"] {
            assert_eq!(parts(id), None, "{id}");
        }
    }

    #[test]
    fn a_name_is_stored_with_registry_and_tag() {
        let stored = |text| Reference::parse(text).unwrap().stored();
        assert_eq!(stored("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(stored("docker.io/busybox:1"), "docker.io/library/busybox:1");
        assert_eq!(stored("index.docker.io/acme/api"), "docker.io/acme/api:latest");
        assert_eq!(stored("acme/api:2"), "docker.io/acme/api:2");
        assert_eq!(stored("localhost/api"), "localhost/api:latest");
        assert_eq!(stored("ghcr.io/acme/api"), "ghcr.io/acme/api:latest");
        assert_eq!(stored(&format!("ghcr.io/acme/api:1@{D}")), format!("ghcr.io/acme/api@{D}"));
    }

    #[test]
    fn the_digest_that_runs_stands_behind_the_name_once() {
        assert_eq!(with_digest("a/b:1", Some(D)), format!("a/b:1@{D}"));
        assert_eq!(with_digest(&format!("a/b@{D}"), Some(D)), format!("a/b@{D}"));
        assert_eq!(with_digest(&format!("a/b:1@{D}"), Some(E)), format!("a/b:1@{E}"));
        assert_eq!(with_digest(D, Some(E)), E);
        assert_eq!(with_digest("a/b:1", None), "a/b:1");
    }

    proptest! {
        #[test]
        fn any_text_has_at_most_one_digest_behind_it(text in "[a-z0-9:/@.]{0,80}|.*") {
            let whole = with_digest(&text, Some(E));
            prop_assert!(whole.ends_with(E));
            prop_assert_eq!(whole.matches("@sha256:").count(), usize::from(Reference::parse(&text).is_some()));
            if let Some(reference) = Reference::parse(&text) {
                let stored = reference.stored();
                let again = Reference::parse(&stored).map(|reference| reference.stored());
                prop_assert_eq!(again.as_deref(), Some(stored.as_str()));
            }
        }
    }
}
