//! Patterns for repositories and tags. Both compare whole parts; neither looks at how a text begins.

use zastava_common::{
    config::{RepositoryPattern, TagPattern},
    evidence::{ImageReference, reference::Host},
};

/// A list of places that images may come from.
#[derive(Clone, Debug)]
pub struct Repositories {
    places: Vec<Place>,
}

#[derive(Clone, Debug)]
struct Place {
    /// As it was written.
    written: String,
    host: HostPattern,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
enum HostPattern {
    Exact(Host),
    /// One label before this.
    Below(Host),
}

#[derive(Clone, Debug)]
enum Segment {
    Exact(String),
    Any,
}

impl Repositories {
    /// `None`: one of them is no pattern, which the configuration's type rules out.
    pub fn new(patterns: &[RepositoryPattern]) -> Option<Self> {
        let places = patterns.iter().map(|pattern| Place::parse(pattern.as_str())).collect::<Option<_>>()?;
        Some(Self { places })
    }

    pub fn permits(&self, image: &ImageReference) -> bool {
        self.places.iter().any(|place| place.permits(image))
    }

    /// As they were written.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| place.written.as_str())
    }
}

impl Place {
    fn parse(written: &str) -> Option<Self> {
        let (host, path) = match written.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (written, None),
        };
        let host = match host.strip_prefix("*.") {
            Some(below) => HostPattern::Below(below.parse().ok()?),
            None => HostPattern::Exact(host.parse().ok()?),
        };
        let segments = path.into_iter().flat_map(|path| path.split('/'));
        let segments = segments.map(|segment| match segment {
            "*" => Segment::Any,
            exact => Segment::Exact(exact.to_owned()),
        });
        Some(Self { written: written.to_owned(), host, segments: segments.collect() })
    }

    /// The image's path begins with these segments.
    fn permits(&self, image: &ImageReference) -> bool {
        let mut path = image.repository().segments();
        self.host.matches(image.host())
            && self.segments.iter().all(|wanted| match (path.next(), wanted) {
                (Some(_), Segment::Any) => true,
                (Some(segment), Segment::Exact(exact)) => segment == exact,
                (None, _) => false,
            })
    }
}

impl HostPattern {
    fn matches(&self, host: &Host) -> bool {
        match self {
            Self::Exact(exact) => exact == host,
            Self::Below(parent) => {
                let parent_name = host.name().split_once('.').map(|(_, parent)| parent);
                parent_name == Some(parent.name()) && host.port() == parent.port() && host.address().is_none()
            }
        }
    }
}

/// A text with `*` for any characters, none included.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Glob {
    written: String,
}

impl Glob {
    pub fn new(pattern: &TagPattern) -> Self {
        Self { written: pattern.as_str().to_owned() }
    }

    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Each piece between stars is looked for behind the one before it, as early as possible; the last one must end the
    /// text. Linear, whatever the pattern.
    pub fn matches(&self, text: &str) -> bool {
        let mut pieces = self.written.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        for piece in pieces {
            match rest.split_once(piece) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}
