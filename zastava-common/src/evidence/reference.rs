//! Image references as container runtimes read them.
//!
//! The grammar and the shorthands (`nginx` is `library/nginx` of Docker Hub) are those of distribution's `reference`
//! package, which containerd, CRI-O and the kubelet use. A reference is taken apart into host and path segments at
//! once: no rule ever compares prefixes of texts.

mod host;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

pub use self::host::Host;
use super::digest::{Digest, NoDigest};

/// The longest name (host and path) that is allowed.
const MAX_NAME: usize = 255;

/// An image, named.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ImageReference {
    host: Host,
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

/// The path of a repository within its registry: segments of lower-case letters, digits and separators.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Repository(Box<str>);

/// 1 to 128 letters, digits, underscores, dots and dashes, the first neither dot nor dash.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tag(Box<str>);

/// Why a text names no image.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoReference {
    #[error("the image reference is empty")]
    Empty,
    #[error("the registry is no host name or address with an optional port")]
    Host,
    #[error("the repository is not made of lower-case letters, digits and single separators")]
    Repository,
    #[error("the name has more than {MAX_NAME} characters")]
    TooLong,
    #[error("the tag is not 1 to 128 letters, digits, underscores, dots and dashes")]
    Tag,
    #[error("{0}")]
    Digest(#[from] NoDigest),
    #[error(
        "this is the id of an image that a node may have (64 hexadecimal digits, or a digest without a name), and names \
         nothing in a registry"
    )]
    ImageId,
}

impl ImageReference {
    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag as it was given: `None` where there was none, although runtimes then take `latest`.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// Where there is a digest, runtimes pull by it and ignore the tag.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same image by digest alone.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self { host: self.host.clone(), repository: self.repository.clone(), tag: None, digest: Some(digest) }
    }

    /// Host and repository.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }
}

impl Repository {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl Tag {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag that runtimes take where none is given.
    pub fn latest() -> Self {
        Self("latest".into())
    }
}

impl FromStr for ImageReference {
    type Err = NoReference;

    fn from_str(text: &str) -> Result<Self, NoReference> {
        if text.is_empty() {
            return Err(NoReference::Empty);
        }
        if is_image_id(text) {
            return Err(NoReference::ImageId);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let (host, path) = split_host(rest);
        let (path, tag) = match path.split_once(':') {
            Some((path, tag)) => (path, Some(tag.parse()?)),
            None => (path, None),
        };
        let host: Host = match host {
            Some(host) => host.parse().map_err(|_| NoReference::Host)?,
            None => Host::docker_hub(),
        };
        let repository: Repository = if host == Host::docker_hub() && !path.contains('/') {
            format!("library/{path}").parse()?
        } else {
            path.parse()?
        };
        if host.as_str().len() + 1 + repository.0.len() > MAX_NAME {
            return Err(NoReference::TooLong);
        }
        Ok(Self { host, repository, tag, digest })
    }
}

/// What runtimes look up among the images that the node has before they read it as a reference: containerd takes whatever
/// begins like a digest of an algorithm that go-digest knows for an id, also for a shortened one
/// (`CRIImageService.LocalResolve`, `digestset.Lookup`). As a reference it would name a tag of an image called `sha256`.
fn is_image_id(text: &str) -> bool {
    if text.contains(['/', '@']) {
        return false;
    }
    match text.split_once(':') {
        Some((algorithm, _)) => matches!(algorithm, "sha256" | "sha384" | "sha512"),
        None => text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
    }
}

/// Separates what is a host by its look: it has a dot or a colon, or is `localhost`. What an upper-case letter alone
/// makes a host of in `reference` is refused: in lower case it would name a repository of Docker Hub.
fn split_host(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, text),
    }
}

impl FromStr for Repository {
    type Err = NoReference;

    fn from_str(text: &str) -> Result<Self, NoReference> {
        if text.len() > MAX_NAME {
            return Err(NoReference::TooLong);
        }
        if text.split('/').all(is_segment) { Ok(Self(text.into())) } else { Err(NoReference::Repository) }
    }
}

/// Runs of letters and digits, and between two of them one dot, one or two underscores, or dashes.
fn is_segment(segment: &str) -> bool {
    let alphanumeric = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let mut separators = segment.split(|c: char| c.is_ascii() && alphanumeric(c as u8));
    let allowed = |separator: &str| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    };
    segment.bytes().next().is_some_and(alphanumeric)
        && segment.bytes().next_back().is_some_and(alphanumeric)
        && separators.all(allowed)
}

impl FromStr for Tag {
    type Err = NoReference;

    fn from_str(text: &str) -> Result<Self, NoReference> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let first = text.bytes().next().is_some_and(word);
        let rest = text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
        if first && rest && text.len() <= 128 { Ok(Self(text.into())) } else { Err(NoReference::Tag) }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, repository, tag, digest } = self;
        write!(f, "{host}/{repository}")?;
        if let Some(tag) = tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
